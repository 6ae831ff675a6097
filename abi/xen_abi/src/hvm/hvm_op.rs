//! `hvm/hvm_op.h`: operations on translated guests.

abi_consts! { CONSTS, Both;
    /// Sets a parameter.
    pub const HVMOP_set_param: u32 = 0;
    /// Reads a parameter.
    pub const HVMOP_get_param: u32 = 1;
    /// Flushes the TLBs of all vCPUs.
    pub const HVMOP_flush_tlbs: u32 = 5;
    /// Hints that a page table is about to go (shadow paging).
    pub const HVMOP_pagetable_dying: u32 = 9;
    /// Reads system time.
    pub const HVMOP_get_time: u32 = 10;
    /// Writes a trace record.
    pub const HVMOP_xentrace: u32 = 11;
    /// Old form of the memory access operation.
    pub const HVMOP_set_mem_access: u32 = 12;
    /// Old form of the memory access operation.
    pub const HVMOP_get_mem_access: u32 = 13;
    /// Type of a guest frame.
    pub const HVMOP_get_mem_type: u32 = 15;
    /// Sends a monitor event.
    pub const HVMOP_guest_request_vm_event: u32 = 24;
    /// Alternate p2m.
    pub const HVMOP_altp2m: u32 = 25;

    /// Frame type: RAM.
    pub const HVMMEM_ram_rw: u32 = 0;
    /// Frame type: read-only RAM.
    pub const HVMMEM_ram_ro: u32 = 1;
    /// Frame type: handled by the device model.
    pub const HVMMEM_mmio_dm: u32 = 2;
    /// Frame type: unused number.
    pub const HVMMEM_unused: u32 = 3;
    /// Frame type: writes go to an ioreq server.
    pub const HVMMEM_ioreq_server: u32 = 4;

    /// Ioreq server without a buffered ring.
    pub const HVM_IOREQSRV_BUFIOREQ_OFF: u8 = 0;
    /// Ioreq server with a buffered ring whose pointers are separate.
    pub const HVM_IOREQSRV_BUFIOREQ_LEGACY: u8 = 1;
    /// Ioreq server with a buffered ring whose pointers are read and written as one.
    pub const HVM_IOREQSRV_BUFIOREQ_ATOMIC: u8 = 2;

    /// Version in `xen_hvm_altp2m_op`.
    pub const HVMOP_ALTP2M_INTERFACE_VERSION: u32 = 1;
    /// Alternate p2m: reads whether it is on.
    pub const HVMOP_altp2m_get_domain_state: u32 = 1;
    /// Alternate p2m: switches it on or off.
    pub const HVMOP_altp2m_set_domain_state: u32 = 2;
    /// Alternate p2m: sends a vCPU its violations.
    pub const HVMOP_altp2m_vcpu_enable_notify: u32 = 3;
    /// Alternate p2m: creates a view.
    pub const HVMOP_altp2m_create_p2m: u32 = 4;
    /// Alternate p2m: destroys a view.
    pub const HVMOP_altp2m_destroy_p2m: u32 = 5;
    /// Alternate p2m: switches the domain to a view.
    pub const HVMOP_altp2m_switch_p2m: u32 = 6;
    /// Alternate p2m: sets the rights of a frame.
    pub const HVMOP_altp2m_set_mem_access: u32 = 7;
    /// Alternate p2m: maps a frame to another.
    pub const HVMOP_altp2m_change_gfn: u32 = 8;
    /// Alternate p2m: sets the rights of a list.
    pub const HVMOP_altp2m_set_mem_access_multi: u32 = 9;
    /// Alternate p2m: stops a frame's exceptions.
    pub const HVMOP_altp2m_set_suppress_ve: u32 = 10;
    /// Alternate p2m: reads whether they are stopped.
    pub const HVMOP_altp2m_get_suppress_ve: u32 = 11;
    /// Alternate p2m: reads the rights of a frame.
    pub const HVMOP_altp2m_get_mem_access: u32 = 12;
    /// Alternate p2m: no longer sends a vCPU its violations.
    pub const HVMOP_altp2m_vcpu_disable_notify: u32 = 13;
    /// Alternate p2m: reads a vCPU's view.
    pub const HVMOP_altp2m_get_p2m_idx: u32 = 14;
    /// Alternate p2m: stops the exceptions of a range.
    pub const HVMOP_altp2m_set_suppress_ve_multi: u32 = 15;
    /// Alternate p2m: hides or shows a view.
    pub const HVMOP_altp2m_set_visibility: u32 = 16;
}

abi_consts! { CONSTS_X86_64, X86_64;
    /// Interrupt vector for events, per vCPU.
    pub const HVMOP_set_evtchn_upcall_vector: u32 = 23;
}

abi_structs! { STRUCTS, Both;
    /// `HVMOP_set_param` and `HVMOP_get_param`.
    #[c = "struct xen_hvm_param"]
    pub struct HvmParam {
        /// IN: the domain.
        pub domid: u16,
        /// Unused.
        pub pad: u16,
        /// IN: `HVM_PARAM_*`.
        pub index: u32,
        /// IN or OUT: its value.
        pub value: u64,
    }

    /// `HVMOP_pagetable_dying`.
    #[c = "struct xen_hvm_pagetable_dying"]
    pub struct HvmPagetableDying {
        /// IN: the domain.
        pub domid: u16,
        /// Unused.
        pub pad: [u16; 3],
        /// IN: guest physical address of the page table root.
        pub gpa: u64,
    }

    /// `HVMOP_get_time`.
    #[c = "struct xen_hvm_get_time"]
    pub struct HvmGetTime {
        /// OUT: nanoseconds since boot.
        pub now: u64,
    }

    /// `HVMOP_get_mem_type`.
    #[c = "struct xen_hvm_get_mem_type"]
    pub struct HvmGetMemType {
        /// IN: the domain.
        pub domid: u16,
        /// OUT: `HVMMEM_*`.
        pub mem_type: u16,
        /// Unused.
        pub pad: [u16; 2],
        /// IN: guest frame.
        pub pfn: u64,
    }
}

abi_structs! { STRUCTS_X86_64, X86_64;
    /// `HVMOP_set_evtchn_upcall_vector`.
    #[c = "struct xen_hvm_evtchn_upcall_vector"]
    pub struct HvmEvtchnUpcallVector {
        /// IN: the vCPU.
        pub vcpu: u32,
        /// IN: interrupt vector.
        pub vector: u8,
        /// C padding.
        pub _gap0: [u8; 3],
    }
}
