//! `callback.h`: entry points of a PV kernel (x86).

abi_consts! { CONSTS, Both;
    /// Registers an entry point.
    pub const CALLBACKOP_register: u32 = 0;
    /// Unregisters an entry point.
    pub const CALLBACKOP_unregister: u32 = 1;
    /// Entry: events.
    pub const CALLBACKTYPE_event: u16 = 0;
    /// Entry: return to user mode failed.
    pub const CALLBACKTYPE_failsafe: u16 = 1;
    /// Entry: 64-bit system call.
    pub const CALLBACKTYPE_syscall: u16 = 2;
    /// Entry: old number of SYSENTER.
    pub const CALLBACKTYPE_sysenter_deprecated: u16 = 3;
    /// Entry: NMI.
    pub const CALLBACKTYPE_nmi: u16 = 4;
    /// Entry: SYSENTER.
    pub const CALLBACKTYPE_sysenter: u16 = 5;
    /// Entry: 32-bit system call.
    pub const CALLBACKTYPE_syscall32: u16 = 7;
    /// The entry runs with events off.
    pub const CALLBACKF_mask_events: u16 = 1;
}

abi_structs! { STRUCTS, Both;
    /// `CALLBACKOP_register`.
    #[c = "struct callback_register"]
    pub struct CallbackRegister {
        /// IN: `CALLBACKTYPE_*`.
        #[c = "type"]
        pub type_: u16,
        /// IN: `CALLBACKF_*`.
        pub flags: u16,
        /// C padding.
        pub _gap0: u32,
        /// IN: address.
        pub address: u64,
    }

    /// `CALLBACKOP_unregister`.
    #[c = "struct callback_unregister"]
    pub struct CallbackUnregister {
        /// IN: `CALLBACKTYPE_*`.
        #[c = "type"]
        pub type_: u16,
        /// Unused.
        pub _unused: u16,
    }
}
