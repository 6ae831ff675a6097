//! `hvm/params.h`: indices of the parameters that `HVMOP_set_param` and `HVMOP_get_param` move.

abi_consts! { CONSTS, Both;
    /// How events interrupt the guest: see `HVM_PARAM_CALLBACK_TYPE_*`.
    pub const HVM_PARAM_CALLBACK_IRQ: u32 = 0;
    /// Guest frame of the xenstore ring.
    pub const HVM_PARAM_STORE_PFN: u32 = 1;
    /// Port of xenstore.
    pub const HVM_PARAM_STORE_EVTCHN: u32 = 2;
    /// Unused.
    pub const HVM_PARAM_PAE_ENABLED: u32 = 4;
    /// Guest frame of the old device model's requests.
    pub const HVM_PARAM_IOREQ_PFN: u32 = 5;
    /// Guest frame of the old device model's buffered requests.
    pub const HVM_PARAM_BUFIOREQ_PFN: u32 = 6;
    /// Treatment of missed timer ticks, `HVMPTM_*`.
    pub const HVM_PARAM_TIMER_MODE: u32 = 10;
    /// HPET on or off (x86).
    pub const HVM_PARAM_HPET_ENABLED: u32 = 11;
    /// Identity page table (x86).
    pub const HVM_PARAM_IDENT_PT: u32 = 12;
    /// Unused.
    pub const HVM_PARAM_DM_DOMAIN: u32 = 13;
    /// ACPI sleep state.
    pub const HVM_PARAM_ACPI_S_STATE: u32 = 14;
    /// Task state for real mode (x86).
    pub const HVM_PARAM_VM86_TSS: u32 = 15;
    /// Align periodic timers.
    pub const HVM_PARAM_VPT_ALIGN: u32 = 16;
    /// Guest frame of the console ring.
    pub const HVM_PARAM_CONSOLE_PFN: u32 = 17;
    /// Port of the console.
    pub const HVM_PARAM_CONSOLE_EVTCHN: u32 = 18;
    /// Which ACPI ports are used (x86).
    pub const HVM_PARAM_ACPI_IOPORTS_LOCATION: u32 = 19;
    /// Unused.
    pub const HVM_PARAM_MEMORY_EVENT_CR0: u32 = 20;
    /// Unused.
    pub const HVM_PARAM_MEMORY_EVENT_CR3: u32 = 21;
    /// Unused.
    pub const HVM_PARAM_MEMORY_EVENT_CR4: u32 = 22;
    /// Unused.
    pub const HVM_PARAM_MEMORY_EVENT_INT3: u32 = 23;
    /// Unused.
    pub const HVM_PARAM_NESTEDHVM: u32 = 24;
    /// Unused.
    pub const HVM_PARAM_MEMORY_EVENT_SINGLE_STEP: u32 = 25;
    /// Unused.
    pub const HVM_PARAM_BUFIOREQ_EVTCHN: u32 = 26;
    /// Guest frame of the memory paging ring.
    pub const HVM_PARAM_PAGING_RING_PFN: u32 = 27;
    /// Guest frame of the monitor ring.
    pub const HVM_PARAM_MONITOR_RING_PFN: u32 = 28;
    /// Guest frame of the memory sharing ring.
    pub const HVM_PARAM_SHARING_RING_PFN: u32 = 29;
    /// Unused.
    pub const HVM_PARAM_MEMORY_EVENT_MSR: u32 = 30;
    /// `SHUTDOWN_*` after a triple fault (x86).
    pub const HVM_PARAM_TRIPLE_FAULT_REASON: u32 = 31;
    /// First guest frame for ioreq servers.
    pub const HVM_PARAM_IOREQ_SERVER_PFN: u32 = 32;
    /// Number of those frames.
    pub const HVM_PARAM_NR_IOREQ_SERVER_PAGES: u32 = 33;
    /// Guest physical address of the generation id.
    pub const HVM_PARAM_VM_GENERATION_ID_ADDR: u32 = 34;
    /// Alternate p2m mode, `XEN_ALTP2M_*`.
    pub const HVM_PARAM_ALTP2M: u32 = 35;
    /// Width of saved x87 pointers (x86).
    pub const HVM_PARAM_X87_FIP_WIDTH: u32 = 36;
    /// Task state for real mode, with its size (x86).
    pub const HVM_PARAM_VM86_TSS_SIZED: u32 = 37;
    /// Machine check abilities (x86).
    pub const HVM_PARAM_MCA_CAP: u32 = 38;
    /// Number of parameters.
    pub const HVM_NR_PARAMS: u32 = 39;

    /// Bits of the callback parameter that hold its type.
    pub const HVM_PARAM_CALLBACK_IRQ_TYPE_MASK: u64 = 0xff00_0000_0000_0000;
    /// Callback by global interrupt number.
    pub const HVM_PARAM_CALLBACK_TYPE_GSI: u64 = 0;
    /// Callback by PCI interrupt pin.
    pub const HVM_PARAM_CALLBACK_TYPE_PCI_INTX: u64 = 1;

    /// Timer mode: late ticks delay guest time.
    pub const HVMPTM_delay_for_missed_ticks: u64 = 0;
    /// Timer mode: late ticks are delivered, guest time goes on.
    pub const HVMPTM_no_delay_for_missed_ticks: u64 = 1;
    /// Timer mode: late ticks are dropped.
    pub const HVMPTM_no_missed_ticks_pending: u64 = 2;
    /// Timer mode: late ticks become one.
    pub const HVMPTM_one_missed_tick_pending: u64 = 3;

    /// Alternate p2m: off.
    pub const XEN_ALTP2M_disabled: u64 = 0;
    /// Alternate p2m: guest and tools.
    pub const XEN_ALTP2M_mixed: u64 = 1;
    /// Alternate p2m: tools only.
    pub const XEN_ALTP2M_external: u64 = 2;
    /// Alternate p2m: guest may switch views.
    pub const XEN_ALTP2M_limited: u64 = 3;
}

abi_consts! { CONSTS_ARM64, Arm64;
    /// Callback by private peripheral interrupt: number in bits 7:0, flags in 15:8.
    pub const HVM_PARAM_CALLBACK_TYPE_PPI: u64 = 2;
    /// Bits of those flags.
    pub const HVM_PARAM_CALLBACK_TYPE_PPI_FLAG_MASK: u64 = 0xff00;
    /// Flag (after the shift): active low, level triggered.
    pub const HVM_PARAM_CALLBACK_TYPE_PPI_FLAG_LOW_LEVEL: u64 = 2;
}

abi_consts! { CONSTS_X86_64, X86_64;
    /// Callback by interrupt vector.
    pub const HVM_PARAM_CALLBACK_TYPE_VECTOR: u64 = 2;
    /// Viridian features, `HVMPV_*`.
    pub const HVM_PARAM_VIRIDIAN: u32 = 9;
}
