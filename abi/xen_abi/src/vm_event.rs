//! `vm_event.h`: numbers of the monitor's ring. The records are not needed yet.

abi_consts! { CONSTS, Both;
    /// Version of the ring's records.
    pub const VM_EVENT_INTERFACE_VERSION: u32 = 7;
    /// Reason: unknown.
    pub const VM_EVENT_REASON_UNKNOWN: u32 = 0;
    /// Reason: memory access.
    pub const VM_EVENT_REASON_MEM_ACCESS: u32 = 1;
    /// Reason: memory sharing.
    pub const VM_EVENT_REASON_MEM_SHARING: u32 = 2;
    /// Reason: memory paging.
    pub const VM_EVENT_REASON_MEM_PAGING: u32 = 3;
    /// Reason: control register.
    pub const VM_EVENT_REASON_WRITE_CTRLREG: u32 = 4;
    /// Reason: model-specific register.
    pub const VM_EVENT_REASON_MOV_TO_MSR: u32 = 5;
    /// Reason: software breakpoint.
    pub const VM_EVENT_REASON_SOFTWARE_BREAKPOINT: u32 = 6;
    /// Reason: single step.
    pub const VM_EVENT_REASON_SINGLESTEP: u32 = 7;
    /// Reason: the guest asked.
    pub const VM_EVENT_REASON_GUEST_REQUEST: u32 = 8;
    /// Reason: debug exception.
    pub const VM_EVENT_REASON_DEBUG_EXCEPTION: u32 = 9;
    /// Reason: CPUID.
    pub const VM_EVENT_REASON_CPUID: u32 = 10;
    /// Reason: privileged call.
    pub const VM_EVENT_REASON_PRIVILEGED_CALL: u32 = 11;
    /// Reason: interrupt.
    pub const VM_EVENT_REASON_INTERRUPT: u32 = 12;
    /// Reason: descriptor table.
    pub const VM_EVENT_REASON_DESCRIPTOR_ACCESS: u32 = 13;
    /// Reason: instruction that the emulator lacks.
    pub const VM_EVENT_REASON_EMUL_UNIMPLEMENTED: u32 = 14;
    /// Reason: exit from the guest.
    pub const VM_EVENT_REASON_VMEXIT: u32 = 15;
}
