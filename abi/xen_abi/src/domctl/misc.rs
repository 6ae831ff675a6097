//! Remaining domctl structures: identity, time, saved state, monitoring, x86 policies.

use crate::GuestHandle;
use crate::xen::DomainHandle;

abi_consts! { MISC_CONSTS, Both;
    /// Trigger: NMI.
    pub const XEN_DOMCTL_SENDTRIGGER_NMI: u32 = 0;
    /// Trigger: reset.
    pub const XEN_DOMCTL_SENDTRIGGER_RESET: u32 = 1;
    /// Trigger: INIT.
    pub const XEN_DOMCTL_SENDTRIGGER_INIT: u32 = 2;
    /// Trigger: power button.
    pub const XEN_DOMCTL_SENDTRIGGER_POWER: u32 = 3;
    /// Trigger: sleep button.
    pub const XEN_DOMCTL_SENDTRIGGER_SLEEP: u32 = 4;

    /// Memory events: start.
    pub const XEN_VM_EVENT_ENABLE: u32 = 0;
    /// Memory events: stop.
    pub const XEN_VM_EVENT_DISABLE: u32 = 1;
    /// Memory events: take the answers.
    pub const XEN_VM_EVENT_RESUME: u32 = 2;
    /// Memory events: version of the ring's records.
    pub const XEN_VM_EVENT_GET_VERSION: u32 = 3;
    /// Memory events: the paging ring.
    pub const XEN_DOMCTL_VM_EVENT_OP_PAGING: u32 = 1;
    /// Memory events: the monitor ring.
    pub const XEN_DOMCTL_VM_EVENT_OP_MONITOR: u32 = 2;
    /// Memory events: the sharing ring.
    pub const XEN_DOMCTL_VM_EVENT_OP_SHARING: u32 = 3;

    /// Monitor: switch an event on.
    pub const XEN_DOMCTL_MONITOR_OP_ENABLE: u32 = 0;
    /// Monitor: switch an event off.
    pub const XEN_DOMCTL_MONITOR_OP_DISABLE: u32 = 1;
    /// Monitor: which events there are.
    pub const XEN_DOMCTL_MONITOR_OP_GET_CAPABILITIES: u32 = 2;
    /// Monitor: emulate each repetition.
    pub const XEN_DOMCTL_MONITOR_OP_EMULATE_EACH_REP: u32 = 3;
    /// Monitor: keep control register traps.
    pub const XEN_DOMCTL_MONITOR_OP_CONTROL_REGISTERS: u32 = 4;
    /// Event: control register written.
    pub const XEN_DOMCTL_MONITOR_EVENT_WRITE_CTRLREG: u32 = 0;
    /// Event: model-specific register written.
    pub const XEN_DOMCTL_MONITOR_EVENT_MOV_TO_MSR: u32 = 1;
    /// Event: single step.
    pub const XEN_DOMCTL_MONITOR_EVENT_SINGLESTEP: u32 = 2;
    /// Event: software breakpoint.
    pub const XEN_DOMCTL_MONITOR_EVENT_SOFTWARE_BREAKPOINT: u32 = 3;
    /// Event: the guest asked.
    pub const XEN_DOMCTL_MONITOR_EVENT_GUEST_REQUEST: u32 = 4;
    /// Event: debug exception.
    pub const XEN_DOMCTL_MONITOR_EVENT_DEBUG_EXCEPTION: u32 = 5;
    /// Event: CPUID.
    pub const XEN_DOMCTL_MONITOR_EVENT_CPUID: u32 = 6;
    /// Event: privileged call (SMC).
    pub const XEN_DOMCTL_MONITOR_EVENT_PRIVILEGED_CALL: u32 = 7;
    /// Event: interrupt.
    pub const XEN_DOMCTL_MONITOR_EVENT_INTERRUPT: u32 = 8;
    /// Event: descriptor table.
    pub const XEN_DOMCTL_MONITOR_EVENT_DESC_ACCESS: u32 = 9;
    /// Event: an instruction that the emulator lacks.
    pub const XEN_DOMCTL_MONITOR_EVENT_EMUL_UNIMPLEMENTED: u32 = 10;
    /// Event: page fault inside the guest.
    pub const XEN_DOMCTL_MONITOR_EVENT_INGUEST_PAGEFAULT: u32 = 11;
    /// Event: exit from the guest.
    pub const XEN_DOMCTL_MONITOR_EVENT_VMEXIT: u32 = 12;

    /// Cache monitoring: stop.
    pub const XEN_DOMCTL_PSR_CMT_OP_DETACH: u32 = 0;
    /// Cache monitoring: start.
    pub const XEN_DOMCTL_PSR_CMT_OP_ATTACH: u32 = 1;
    /// Cache monitoring: which id.
    pub const XEN_DOMCTL_PSR_CMT_OP_QUERY_RMID: u32 = 2;
    /// Cache allocation: sets the mask of level 3.
    pub const XEN_DOMCTL_PSR_SET_L3_CBM: u32 = 0;
    /// Cache allocation: reads the mask of level 3.
    pub const XEN_DOMCTL_PSR_GET_L3_CBM: u32 = 1;
    /// Cache allocation: sets the mask for code of level 3.
    pub const XEN_DOMCTL_PSR_SET_L3_CODE: u32 = 2;
    /// Cache allocation: sets the mask for data of level 3.
    pub const XEN_DOMCTL_PSR_SET_L3_DATA: u32 = 3;
    /// Cache allocation: reads the mask for code of level 3.
    pub const XEN_DOMCTL_PSR_GET_L3_CODE: u32 = 4;
    /// Cache allocation: reads the mask for data of level 3.
    pub const XEN_DOMCTL_PSR_GET_L3_DATA: u32 = 5;
    /// Cache allocation: sets the mask of level 2.
    pub const XEN_DOMCTL_PSR_SET_L2_CBM: u32 = 6;
    /// Cache allocation: reads the mask of level 2.
    pub const XEN_DOMCTL_PSR_GET_L2_CBM: u32 = 7;
    /// Cache allocation: sets the throttle of memory bandwidth.
    pub const XEN_DOMCTL_PSR_SET_MBA_THRTL: u32 = 8;
    /// Cache allocation: reads the throttle of memory bandwidth.
    pub const XEN_DOMCTL_PSR_GET_MBA_THRTL: u32 = 9;
}

abi_structs! { MISC_STRUCTS, Both;
    /// `XEN_DOMCTL_setdomainhandle`.
    #[c = "struct xen_domctl_setdomainhandle"]
    pub struct SetDomainHandle {
        /// IN: UUID.
        pub handle: DomainHandle,
    }

    /// `XEN_DOMCTL_setdebugging`.
    #[c = "struct xen_domctl_setdebugging"]
    pub struct SetDebugging {
        /// IN: 1 switches on.
        pub enable: u8,
    }

    /// `XEN_DOMCTL_hypercall_init`.
    #[c = "struct xen_domctl_hypercall_init"]
    pub struct HypercallInit {
        /// IN: guest frame.
        pub gmfn: u64,
    }

    /// `XEN_DOMCTL_settimeoffset`.
    #[c = "struct xen_domctl_settimeoffset"]
    pub struct SetTimeOffset {
        /// IN: seconds.
        pub time_offset_seconds: i64,
    }

    /// `XEN_DOMCTL_gethvmcontext` and `XEN_DOMCTL_sethvmcontext`.
    #[c = "struct xen_domctl_hvmcontext"]
    pub struct HvmContext {
        /// IN, OUT: bytes.
        pub size: u32,
        /// C padding.
        pub _gap0: u32,
        /// IN or OUT: the records; null asks for the size.
        pub buffer: GuestHandle,
    }

    /// `XEN_DOMCTL_gethvmcontext_partial`.
    #[c = "struct xen_domctl_hvmcontext_partial"]
    pub struct HvmContextPartial {
        /// IN: record.
        #[c = "type"]
        pub type_: u32,
        /// IN: instance.
        pub instance: u32,
        /// IN, OUT: bytes.
        pub bufsz: u64,
        /// OUT: the record; null asks for the size.
        pub buffer: GuestHandle,
    }

    /// `XEN_DOMCTL_set_address_size` and `XEN_DOMCTL_get_address_size`.
    #[c = "struct xen_domctl_address_size"]
    pub struct AddressSize {
        /// IN or OUT: 32 or 64.
        pub size: u32,
    }

    /// `XEN_DOMCTL_sendtrigger`.
    #[c = "struct xen_domctl_sendtrigger"]
    pub struct SendTrigger {
        /// IN: `XEN_DOMCTL_SENDTRIGGER_*`.
        pub trigger: u32,
        /// IN: the vCPU.
        pub vcpu: u32,
    }

    /// `XEN_DOMCTL_set_target`.
    #[c = "struct xen_domctl_set_target"]
    pub struct SetTarget {
        /// IN: domain to be served.
        pub target: u16,
    }

    /// `XEN_DOMCTL_subscribe`.
    #[c = "struct xen_domctl_subscribe"]
    pub struct Subscribe {
        /// IN: port of the caller.
        pub port: u32,
    }

    /// `XEN_DOMCTL_gettscinfo` and `XEN_DOMCTL_settscinfo`.
    #[c = "struct xen_domctl_tsc_info"]
    pub struct TscInfo {
        /// Mode.
        pub tsc_mode: u32,
        /// kHz that the guest sees.
        pub gtsc_khz: u32,
        /// Times it was restored.
        pub incarnation: u32,
        /// Unused.
        pub pad: u32,
        /// Nanoseconds since it was created.
        pub elapsed_nsec: u64,
    }

    /// `XEN_DOMCTL_vm_event_op`.
    #[c = "struct xen_domctl_vm_event_op"]
    pub struct VmEventOp {
        /// IN: `XEN_VM_EVENT_*`.
        pub op: u32,
        /// IN: `XEN_DOMCTL_VM_EVENT_OP_*`.
        pub mode: u32,
        /// OUT: the port, or the version.
        pub u: u32,
    }

    /// `XEN_DOMCTL_set_virq_handler`.
    #[c = "struct xen_domctl_set_virq_handler"]
    pub struct SetVirqHandler {
        /// IN: `VIRQ_*`, a global one.
        pub virq: u32,
    }

    /// `XEN_DOMCTL_monitor_op`.
    #[c = "struct xen_domctl_monitor_op"]
    pub struct MonitorOp {
        /// IN: `XEN_DOMCTL_MONITOR_OP_*`.
        pub op: u32,
        /// IN: `XEN_DOMCTL_MONITOR_EVENT_*`; OUT: bit per event there is.
        pub event: u32,
        /// IN: options of the event: [`MonitorOpMovToCr`], [`MonitorOpMovToMsr`], [`MonitorOpGuestRequest`],
        /// or a `u8` that is 1 when the vCPU waits for the answer (debug exception, exit).
        pub u: [u64; 2],
    }

    /// Options of `XEN_DOMCTL_MONITOR_EVENT_WRITE_CTRLREG`.
    #[c = "__typeof__(((struct xen_domctl_monitor_op *)0)->u.mov_to_cr)"]
    pub struct MonitorOpMovToCr {
        /// Which register.
        pub index: u8,
        /// 1: the vCPU waits for the answer.
        pub sync: u8,
        /// 1: only when the value changes.
        pub onchangeonly: u8,
        /// Unused.
        pub pad1: u8,
        /// Unused.
        pub pad2: u32,
        /// Bits that do not count as a change.
        pub bitmask: u64,
    }

    /// Options of `XEN_DOMCTL_MONITOR_EVENT_MOV_TO_MSR`.
    #[c = "__typeof__(((struct xen_domctl_monitor_op *)0)->u.mov_to_msr)"]
    pub struct MonitorOpMovToMsr {
        /// Which register.
        pub msr: u32,
        /// 1: only when the value changes.
        pub onchangeonly: u8,
        /// C padding.
        pub _gap0: [u8; 3],
    }

    /// Options of `XEN_DOMCTL_MONITOR_EVENT_GUEST_REQUEST`.
    #[c = "__typeof__(((struct xen_domctl_monitor_op *)0)->u.guest_request)"]
    pub struct MonitorOpGuestRequest {
        /// 1: the vCPU waits for the answer.
        pub sync: u8,
        /// 1: user mode may ask.
        pub allow_userspace: u8,
    }

    /// `XEN_DOMCTL_psr_cmt_op`.
    #[c = "struct xen_domctl_psr_cmt_op"]
    pub struct PsrCmtOp {
        /// IN: `XEN_DOMCTL_PSR_CMT_OP_*`.
        pub cmd: u32,
        /// OUT: the id.
        pub data: u32,
    }

    /// `XEN_DOMCTL_psr_alloc`.
    #[c = "struct xen_domctl_psr_alloc"]
    pub struct PsrAlloc {
        /// IN: `XEN_DOMCTL_PSR_*`.
        pub cmd: u32,
        /// IN: socket.
        pub target: u32,
        /// IN or OUT: value.
        pub data: u64,
    }
}

abi_payload! {
    MonitorOp.u: [u64; 2];
}

abi_structs! { MISC_STRUCTS_X86_64, X86_64;
    /// `XEN_DOMCTL_get_cpu_policy` and `XEN_DOMCTL_set_cpu_policy`.
    #[c = "struct xen_domctl_cpu_policy"]
    pub struct CpuPolicy {
        /// IN, OUT: leaves.
        pub nr_leaves: u32,
        /// IN, OUT: model-specific registers.
        pub nr_msrs: u32,
        /// Array of [`crate::arch_x86::CpuidLeaf`].
        pub leaves: GuestHandle,
        /// Array of [`crate::arch_x86::MsrEntry`].
        pub msrs: GuestHandle,
        /// OUT: leaf at fault.
        pub err_leaf: u32,
        /// OUT: subleaf at fault.
        pub err_subleaf: u32,
        /// OUT: register at fault.
        pub err_msr: u32,
        /// C padding.
        pub _gap0: u32,
    }

    /// `XEN_DOMCTL_setvcpuextstate` and `XEN_DOMCTL_getvcpuextstate`.
    #[c = "struct xen_domctl_vcpuextstate"]
    pub struct VcpuExtState {
        /// IN: the vCPU.
        pub vcpu: u32,
        /// C padding.
        pub _gap0: u32,
        /// IN, OUT: features.
        pub xfeature_mask: u64,
        /// IN, OUT: bytes.
        pub size: u64,
        /// IN or OUT: the state.
        pub buffer: GuestHandle,
    }

    /// `XEN_DOMCTL_get_vcpu_msrs` and `XEN_DOMCTL_set_vcpu_msrs`.
    #[c = "struct xen_domctl_vcpu_msrs"]
    pub struct VcpuMsrs {
        /// IN: the vCPU.
        pub vcpu: u32,
        /// IN, OUT: registers.
        pub msr_count: u32,
        /// Array of [`VcpuMsr`].
        pub msrs: GuestHandle,
    }

    /// One register in [`VcpuMsrs`].
    #[c = "struct xen_domctl_vcpu_msr"]
    pub struct VcpuMsr {
        /// Its number.
        pub index: u32,
        /// 0.
        pub reserved: u32,
        /// Its value.
        pub value: u64,
    }
}
