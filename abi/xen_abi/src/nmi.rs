//! `nmi.h`: NMIs of the hardware domain's PV kernel (x86).

abi_consts! { CONSTS, Both;
    /// Registers a handler.
    pub const XENNMI_register_callback: u32 = 0;
    /// Unregisters the handler.
    pub const XENNMI_unregister_callback: u32 = 1;
    /// Reason: I/O check.
    pub const XEN_NMIREASON_io_error: u64 = 1 << 0;
    /// Reason: PCI system error.
    pub const XEN_NMIREASON_pci_serr: u64 = 1 << 1;
    /// Reason: unknown.
    pub const XEN_NMIREASON_unknown: u64 = 1 << 2;
}

abi_structs! { STRUCTS, Both;
    /// `XENNMI_register_callback`.
    #[c = "struct xennmi_callback"]
    pub struct XennmiCallback {
        /// IN: address.
        pub handler_address: u64,
        /// Unused.
        pub pad: u64,
    }
}
