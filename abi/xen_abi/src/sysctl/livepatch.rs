//! Sysctl structures about live patches.

use crate::GuestHandle;

abi_consts! { LIVEPATCH_CONSTS, Both;
    /// Version of a payload's function table.
    pub const LIVEPATCH_PAYLOAD_VERSION: u32 = 2;
    /// Longest name with its zero.
    pub const XEN_LIVEPATCH_NAME_SIZE: u32 = 128;
    /// Loads a payload.
    pub const XEN_SYSCTL_LIVEPATCH_UPLOAD: u32 = 0;
    /// State of a payload.
    pub const XEN_SYSCTL_LIVEPATCH_GET: u32 = 1;
    /// Lists payloads.
    pub const XEN_SYSCTL_LIVEPATCH_LIST: u32 = 2;
    /// Does something with a payload.
    pub const XEN_SYSCTL_LIVEPATCH_ACTION: u32 = 3;
    /// State: checked.
    pub const LIVEPATCH_STATE_CHECKED: u32 = 1;
    /// State: in effect.
    pub const LIVEPATCH_STATE_APPLIED: u32 = 2;
    /// Action: unload.
    pub const LIVEPATCH_ACTION_UNLOAD: u32 = 1;
    /// Action: take out of effect.
    pub const LIVEPATCH_ACTION_REVERT: u32 = 2;
    /// Action: put into effect.
    pub const LIVEPATCH_ACTION_APPLY: u32 = 3;
    /// Action: put into effect instead of all others.
    pub const LIVEPATCH_ACTION_REPLACE: u32 = 4;
    /// Action flag: do not check what it depends on.
    pub const LIVEPATCH_ACTION_APPLY_NODEPS: u32 = 1;
}

abi_structs! { LIVEPATCH_STRUCTS, Both;
    /// Name of a payload.
    #[c = "struct xen_livepatch_name"]
    pub struct LivepatchName {
        /// IN: text.
        pub name: GuestHandle,
        /// IN: its size with its zero.
        pub size: u16,
        /// IN: 0.
        pub pad: [u16; 3],
    }

    /// `XEN_SYSCTL_LIVEPATCH_UPLOAD`.
    #[c = "struct xen_sysctl_livepatch_upload"]
    pub struct LivepatchUpload {
        /// IN: name.
        pub name: LivepatchName,
        /// IN: bytes.
        pub size: u64,
        /// IN: ELF file.
        pub payload: GuestHandle,
    }

    /// State of a payload.
    #[c = "struct xen_livepatch_status"]
    pub struct LivepatchStatus {
        /// OUT: `LIVEPATCH_STATE_*`.
        pub state: u32,
        /// OUT: 0 or a negative error.
        pub rc: i32,
    }

    /// `XEN_SYSCTL_LIVEPATCH_GET`.
    #[c = "struct xen_sysctl_livepatch_get"]
    pub struct LivepatchGet {
        /// IN: name.
        pub name: LivepatchName,
        /// OUT: state.
        pub status: LivepatchStatus,
    }

    /// `XEN_SYSCTL_LIVEPATCH_LIST`.
    #[c = "struct xen_sysctl_livepatch_list"]
    pub struct LivepatchList {
        /// OUT: changes with the list.
        pub version: u32,
        /// IN: first payload.
        pub idx: u32,
        /// IN: room; OUT: payloads left.
        pub nr: u32,
        /// IN: 0.
        pub pad: u32,
        /// OUT: bytes of all names.
        pub name_total_size: u32,
        /// OUT: bytes of all metadata.
        pub metadata_total_size: u32,
        /// OUT: array of [`LivepatchStatus`].
        pub status: GuestHandle,
        /// OUT: names.
        pub name: GuestHandle,
        /// OUT: array of their lengths (`u32`).
        pub len: GuestHandle,
        /// OUT: metadata.
        pub metadata: GuestHandle,
        /// OUT: array of their lengths (`u32`).
        pub metadata_len: GuestHandle,
    }

    /// `XEN_SYSCTL_LIVEPATCH_ACTION`.
    #[c = "struct xen_sysctl_livepatch_action"]
    pub struct LivepatchAction {
        /// IN: name.
        pub name: LivepatchName,
        /// IN: `LIVEPATCH_ACTION_*`.
        pub cmd: u32,
        /// IN: nanoseconds, or 0 for the default.
        pub timeout: u32,
        /// IN: flags.
        pub flags: u32,
        /// IN: 0.
        pub pad: u32,
    }

    /// `XEN_SYSCTL_livepatch_op`.
    #[c = "struct xen_sysctl_livepatch_op"]
    pub struct LivepatchOp {
        /// IN: `XEN_SYSCTL_LIVEPATCH_*`.
        pub cmd: u32,
        /// IN: 0.
        pub pad: u32,
        /// IN, OUT: [`LivepatchUpload`], [`LivepatchGet`], [`LivepatchList`] or [`LivepatchAction`].
        pub u: [u64; 8],
    }
}

abi_payload! {
    LivepatchOp.u: [u64; 8];
}
