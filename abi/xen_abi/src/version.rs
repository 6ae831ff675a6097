//! `version.h`: operations of `xen_version`. The features they report are in [`crate::features`].

abi_consts! { CONSTS, Both;
    /// Returns major << 16 | minor.
    pub const XENVER_version: u32 = 0;
    /// Copies out an [`ExtraVersion`].
    pub const XENVER_extraversion: u32 = 1;
    /// Copies out a [`CompileInfo`].
    pub const XENVER_compile_info: u32 = 2;
    /// Copies out a [`CapabilitiesInfo`].
    pub const XENVER_capabilities: u32 = 3;
    /// Copies out a [`ChangesetInfo`].
    pub const XENVER_changeset: u32 = 4;
    /// Copies out a [`PlatformParameters`].
    pub const XENVER_platform_parameters: u32 = 5;
    /// Reads one word of features, [`FeatureInfo`].
    pub const XENVER_get_features: u32 = 6;
    /// Returns the page size in bytes.
    pub const XENVER_pagesize: u32 = 7;
    /// Copies out the caller's handle (UUID).
    pub const XENVER_guest_handle: u32 = 8;
    /// Copies out the hypervisor's [`Commandline`].
    pub const XENVER_commandline: u32 = 9;
    /// Copies out the build id behind a [`BuildId`]; a null argument returns its length.
    pub const XENVER_build_id: u32 = 10;

    /// Length of [`ExtraVersion`].
    pub const XEN_EXTRAVERSION_LEN: usize = 16;
    /// Length of [`CapabilitiesInfo`].
    pub const XEN_CAPABILITIES_INFO_LEN: usize = 1024;
    /// Length of [`ChangesetInfo`].
    pub const XEN_CHANGESET_INFO_LEN: usize = 64;
}

/// Text behind the version number, such as `.7`, ended by zero.
#[doc(alias = "xen_extraversion_t")]
pub type ExtraVersion = [u8; XEN_EXTRAVERSION_LEN];
/// Guest types that can be run, separated by spaces and ended by zero.
#[doc(alias = "xen_capabilities_info_t")]
pub type CapabilitiesInfo = [u8; XEN_CAPABILITIES_INFO_LEN];
/// Source revision, ended by zero.
#[doc(alias = "xen_changeset_info_t")]
pub type ChangesetInfo = [u8; XEN_CHANGESET_INFO_LEN];
/// The hypervisor's command line, ended by zero.
#[doc(alias = "xen_commandline_t")]
pub type Commandline = [u8; 1024];

abi_structs! { STRUCTS, Both;
    /// Who built the hypervisor, when and with what; texts ended by zero.
    #[c = "struct xen_compile_info"]
    pub struct CompileInfo {
        /// Compiler.
        pub compiler: [u8; 64],
        /// User.
        pub compile_by: [u8; 16],
        /// Host's domain name.
        pub compile_domain: [u8; 32],
        /// Date.
        pub compile_date: [u8; 32],
    }

    /// `XENVER_platform_parameters`.
    #[c = "struct xen_platform_parameters"]
    pub struct PlatformParameters {
        /// First virtual address that the hypervisor keeps from PV guests.
        pub virt_start: u64,
    }

    /// `XENVER_get_features`.
    #[c = "struct xen_feature_info"]
    pub struct FeatureInfo {
        /// IN: which word; only 0 exists.
        pub submap_idx: u32,
        /// OUT: bit per `XENFEAT_*`.
        pub submap: u32,
    }

    /// `XENVER_build_id`; the bytes follow.
    #[c = "struct xen_build_id"]
    pub struct BuildId {
        /// IN: room for the bytes.
        pub len: u32,
    }
}
