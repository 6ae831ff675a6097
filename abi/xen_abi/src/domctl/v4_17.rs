//! What depends on the interface version: the layouts of Xen 4.17 (domctl 0x15).
//!
//! [`CreateDomainCommon`] and [`GetDomainInfoCommon`] are the parts that both CPUs share; the whole
//! structures end in the CPU's `xen_arch_domainconfig`. Common code goes through [`DomctlArch`].

use bitflags::bitflags;

use crate::xen::DomainHandle;
use crate::{Arch, Arm64, Plain, X86_64};

abi_consts! { CONSTS, Both;
    /// Create: a translated guest.
    pub const XEN_DOMCTL_CDF_hvm: u32 = 1 << 0;
    /// Create: with second-stage paging.
    pub const XEN_DOMCTL_CDF_hap: u32 = 1 << 1;
    /// Create: memory is verified over suspend.
    pub const XEN_DOMCTL_CDF_s3_integrity: u32 = 1 << 2;
    /// Create: no out-of-sync shadow tables.
    pub const XEN_DOMCTL_CDF_oos_off: u32 = 1 << 3;
    /// Create: serves xenstore.
    pub const XEN_DOMCTL_CDF_xs_domain: u32 = 1 << 4;
    /// Create: may have devices behind an IOMMU.
    pub const XEN_DOMCTL_CDF_iommu: u32 = 1 << 5;
    /// Create: may run guests itself.
    pub const XEN_DOMCTL_CDF_nested_virt: u32 = 1 << 6;
    /// Create: sees performance counters.
    pub const XEN_DOMCTL_CDF_vpmu: u32 = 1 << 7;
    /// Largest create flag.
    pub const XEN_DOMCTL_CDF_MAX: u32 = XEN_DOMCTL_CDF_vpmu;
    /// IOMMU: page tables of its own.
    pub const XEN_DOMCTL_IOMMU_no_sharept: u32 = 1 << 0;
    /// Largest IOMMU flag.
    pub const XEN_DOMCTL_IOMMU_MAX: u32 = XEN_DOMCTL_IOMMU_no_sharept;
    /// Grant options: bits of the largest grant version.
    pub const XEN_DOMCTL_GRANT_version_mask: u32 = 0xf;

    /// State: being destroyed.
    pub const XEN_DOMINF_dying: u32 = 1 << 0;
    /// State: a translated guest.
    pub const XEN_DOMINF_hvm_guest: u32 = 1 << 1;
    /// State: shut down.
    pub const XEN_DOMINF_shutdown: u32 = 1 << 2;
    /// State: paused by the tools.
    pub const XEN_DOMINF_paused: u32 = 1 << 3;
    /// State: all vCPUs blocked.
    pub const XEN_DOMINF_blocked: u32 = 1 << 4;
    /// State: a vCPU runs.
    pub const XEN_DOMINF_running: u32 = 1 << 5;
    /// State: being debugged.
    pub const XEN_DOMINF_debugged: u32 = 1 << 6;
    /// State: serves xenstore.
    pub const XEN_DOMINF_xs_domain: u32 = 1 << 7;
    /// State: has second-stage paging.
    pub const XEN_DOMINF_hap: u32 = 1 << 8;
    /// Bits of the shutdown code, after the shift.
    pub const XEN_DOMINF_shutdownmask: u32 = 255;
    /// Shift of the shutdown code.
    pub const XEN_DOMINF_shutdownshift: u32 = 16;
    /// `max_vcpu_id` of a domain without vCPUs.
    pub const XEN_INVALID_MAX_VCPU_ID: u32 = !0;
}

bitflags! {
    /// Flags with which a domain is created (`XEN_DOMCTL_CDF_*`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct CreateFlags: u32 {
        /// [`XEN_DOMCTL_CDF_hvm`].
        const HVM = XEN_DOMCTL_CDF_hvm;
        /// [`XEN_DOMCTL_CDF_hap`].
        const HAP = XEN_DOMCTL_CDF_hap;
        /// [`XEN_DOMCTL_CDF_s3_integrity`].
        const S3_INTEGRITY = XEN_DOMCTL_CDF_s3_integrity;
        /// [`XEN_DOMCTL_CDF_oos_off`].
        const OOS_OFF = XEN_DOMCTL_CDF_oos_off;
        /// [`XEN_DOMCTL_CDF_xs_domain`].
        const XS_DOMAIN = XEN_DOMCTL_CDF_xs_domain;
        /// [`XEN_DOMCTL_CDF_iommu`].
        const IOMMU = XEN_DOMCTL_CDF_iommu;
        /// [`XEN_DOMCTL_CDF_nested_virt`].
        const NESTED_VIRT = XEN_DOMCTL_CDF_nested_virt;
        /// [`XEN_DOMCTL_CDF_vpmu`].
        const VPMU = XEN_DOMCTL_CDF_vpmu;
    }
}

bitflags! {
    /// State of a domain (`XEN_DOMINF_*`); the shutdown code lies above.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct DominfFlags: u32 {
        /// [`XEN_DOMINF_dying`].
        const DYING = XEN_DOMINF_dying;
        /// [`XEN_DOMINF_hvm_guest`].
        const HVM_GUEST = XEN_DOMINF_hvm_guest;
        /// [`XEN_DOMINF_shutdown`].
        const SHUTDOWN = XEN_DOMINF_shutdown;
        /// [`XEN_DOMINF_paused`].
        const PAUSED = XEN_DOMINF_paused;
        /// [`XEN_DOMINF_blocked`].
        const BLOCKED = XEN_DOMINF_blocked;
        /// [`XEN_DOMINF_running`].
        const RUNNING = XEN_DOMINF_running;
        /// [`XEN_DOMINF_debugged`].
        const DEBUGGED = XEN_DOMINF_debugged;
        /// [`XEN_DOMINF_xs_domain`].
        const XS_DOMAIN = XEN_DOMINF_xs_domain;
        /// [`XEN_DOMINF_hap`].
        const HAP = XEN_DOMINF_hap;
        /// The shutdown code and whatever else is there.
        const _ = !0;
    }
}

impl DominfFlags {
    /// These flags with the shutdown code `SHUTDOWN_*`, of which the low eight bits count.
    pub const fn with_shutdown_code(self, code: u32) -> Self {
        let mask = XEN_DOMINF_shutdownmask << XEN_DOMINF_shutdownshift;
        Self::from_bits_retain((self.bits() & !mask) | ((code << XEN_DOMINF_shutdownshift) & mask))
    }

    /// The shutdown code; only meaningful with `SHUTDOWN`.
    pub const fn shutdown_code(self) -> u32 {
        (self.bits() >> XEN_DOMINF_shutdownshift) & XEN_DOMINF_shutdownmask
    }
}

abi_structs! { STRUCTS, Both;
    /// The part of `xen_domctl_createdomain` in front of `arch`.
    #[c = "@prefix struct xen_domctl_createdomain arch"]
    pub struct CreateDomainCommon {
        /// IN: security label.
        pub ssidref: u32,
        /// IN: UUID.
        pub handle: DomainHandle,
        /// IN: `XEN_DOMCTL_CDF_*`.
        pub flags: u32,
        /// IN: `XEN_DOMCTL_IOMMU_*`.
        pub iommu_opts: u32,
        /// IN: number of vCPUs.
        pub max_vcpus: u32,
        /// IN: largest port.
        pub max_evtchn_port: u32,
        /// IN: limit of grant table frames; negative is the hypervisor's default.
        pub max_grant_frames: i32,
        /// IN: limit of frames that track grant maps; negative is the hypervisor's default.
        pub max_maptrack_frames: i32,
        /// IN: largest grant version in the low four bits.
        pub grant_opts: u32,
        /// IN: trace buffer per vCPU in bytes; 0 is none.
        pub vmtrace_size: u32,
        /// IN: CPU pool.
        pub cpupool_id: u32,
    }

    /// The part of `xen_domctl_getdomaininfo` in front of `arch_config`.
    #[c = "@prefix struct xen_domctl_getdomaininfo arch_config"]
    pub struct GetDomainInfoCommon {
        /// The domain.
        pub domain: u16,
        /// Unused.
        pub pad1: u16,
        /// `XEN_DOMINF_*` and the shutdown code.
        pub flags: u32,
        /// Pages now.
        pub tot_pages: u64,
        /// Pages at most.
        pub max_pages: u64,
        /// Pages claimed and not yet allocated.
        pub outstanding_pages: u64,
        /// Shared pages.
        pub shr_pages: u64,
        /// Pages paged out.
        pub paged_pages: u64,
        /// Guest frame of the shared information page; all ones when it is not mapped.
        pub shared_info_frame: u64,
        /// Nanoseconds of CPU time.
        pub cpu_time: u64,
        /// vCPUs online.
        pub nr_online_vcpus: u32,
        /// Largest vCPU id, or `XEN_INVALID_MAX_VCPU_ID`.
        pub max_vcpu_id: u32,
        /// Security label.
        pub ssidref: u32,
        /// UUID.
        pub handle: DomainHandle,
        /// CPU pool.
        pub cpupool: u32,
        /// Width of guest physical addresses.
        pub gpaddr_bits: u8,
        /// Unused.
        pub pad2: [u8; 7],
    }
}

/// The arm64 layouts.
pub mod arm64 {
    use super::{CreateDomainCommon, GetDomainInfoCommon};

    abi_structs! { STRUCTS, Arm64;
        /// The arm64 part of a domain's configuration.
        #[c = "struct xen_arch_domainconfig"]
        pub struct ArchDomainConfig {
            /// IN: `XEN_DOMCTL_CONFIG_GIC_*`; OUT: the version chosen.
            pub gic_version: u8,
            /// C padding.
            pub _gap0: u8,
            /// IN: `XEN_DOMCTL_CONFIG_TEE_*`.
            pub tee_type: u16,
            /// IN: shared peripheral interrupts.
            pub nr_spis: u32,
            /// OUT: `clock-frequency` of the host's timer node, 0 when it has none.
            pub clock_frequency: u32,
        }

        /// `XEN_DOMCTL_createdomain`.
        #[c = "struct xen_domctl_createdomain"]
        pub struct CreateDomain {
            /// What both CPUs share.
            #[c = "ssidref..cpupool_id"]
            pub common: CreateDomainCommon,
            /// The arm64 part.
            pub arch: ArchDomainConfig,
        }

        /// `XEN_DOMCTL_getdomaininfo`, and the element of `XEN_SYSCTL_getdomaininfolist`.
        #[c = "struct xen_domctl_getdomaininfo"]
        pub struct GetDomainInfo {
            /// What both CPUs share.
            #[c = "domain..pad2"]
            pub common: GetDomainInfoCommon,
            /// The arm64 part.
            pub arch_config: ArchDomainConfig,
            /// C padding.
            pub _gap0: u32,
        }
    }
}

/// The x86_64 layouts.
pub mod x86_64 {
    use super::{CreateDomainCommon, GetDomainInfoCommon};

    abi_structs! { STRUCTS, X86_64;
        /// The x86 part of a domain's configuration.
        #[c = "struct xen_arch_domainconfig"]
        pub struct ArchDomainConfig {
            /// IN: `XEN_X86_EMU_*`.
            pub emulation_flags: u32,
            /// IN: `XEN_X86_MSR_*`.
            pub misc_flags: u32,
        }

        /// `XEN_DOMCTL_createdomain`.
        #[c = "struct xen_domctl_createdomain"]
        pub struct CreateDomain {
            /// What both CPUs share.
            #[c = "ssidref..cpupool_id"]
            pub common: CreateDomainCommon,
            /// The x86 part.
            pub arch: ArchDomainConfig,
        }

        /// `XEN_DOMCTL_getdomaininfo`, and the element of `XEN_SYSCTL_getdomaininfolist`.
        #[c = "struct xen_domctl_getdomaininfo"]
        pub struct GetDomainInfo {
            /// What both CPUs share.
            #[c = "domain..pad2"]
            pub common: GetDomainInfoCommon,
            /// The x86 part.
            pub arch_config: ArchDomainConfig,
        }
    }
}

/// The CPU-dependent structures of this interface version.
pub trait DomctlArch: Arch {
    /// The CPU's part of a domain's configuration.
    type ArchDomainConfig: Plain;
    /// `xen_domctl_createdomain`.
    type CreateDomain: Plain;
    /// `xen_domctl_getdomaininfo`; its size is the stride of `XEN_SYSCTL_getdomaininfolist`.
    type GetDomainInfo: Plain;

    /// Puts the two parts together.
    fn create_domain(common: CreateDomainCommon, arch: Self::ArchDomainConfig) -> Self::CreateDomain;
    /// Takes the two parts apart.
    fn split_create_domain(whole: Self::CreateDomain) -> (CreateDomainCommon, Self::ArchDomainConfig);
    /// Puts the two parts together.
    fn get_domain_info(common: GetDomainInfoCommon, arch: Self::ArchDomainConfig) -> Self::GetDomainInfo;
    /// Takes the two parts apart.
    fn split_get_domain_info(whole: Self::GetDomainInfo) -> (GetDomainInfoCommon, Self::ArchDomainConfig);
}

impl DomctlArch for Arm64 {
    type ArchDomainConfig = arm64::ArchDomainConfig;
    type CreateDomain = arm64::CreateDomain;
    type GetDomainInfo = arm64::GetDomainInfo;

    #[inline]
    fn create_domain(common: CreateDomainCommon, arch: Self::ArchDomainConfig) -> Self::CreateDomain {
        arm64::CreateDomain { common, arch }
    }

    #[inline]
    fn split_create_domain(whole: Self::CreateDomain) -> (CreateDomainCommon, Self::ArchDomainConfig) {
        (whole.common, whole.arch)
    }

    #[inline]
    fn get_domain_info(common: GetDomainInfoCommon, arch: Self::ArchDomainConfig) -> Self::GetDomainInfo {
        arm64::GetDomainInfo { common, arch_config: arch, _gap0: 0 }
    }

    #[inline]
    fn split_get_domain_info(whole: Self::GetDomainInfo) -> (GetDomainInfoCommon, Self::ArchDomainConfig) {
        (whole.common, whole.arch_config)
    }
}

impl DomctlArch for X86_64 {
    type ArchDomainConfig = x86_64::ArchDomainConfig;
    type CreateDomain = x86_64::CreateDomain;
    type GetDomainInfo = x86_64::GetDomainInfo;

    #[inline]
    fn create_domain(common: CreateDomainCommon, arch: Self::ArchDomainConfig) -> Self::CreateDomain {
        x86_64::CreateDomain { common, arch }
    }

    #[inline]
    fn split_create_domain(whole: Self::CreateDomain) -> (CreateDomainCommon, Self::ArchDomainConfig) {
        (whole.common, whole.arch)
    }

    #[inline]
    fn get_domain_info(common: GetDomainInfoCommon, arch: Self::ArchDomainConfig) -> Self::GetDomainInfo {
        x86_64::GetDomainInfo { common, arch_config: arch }
    }

    #[inline]
    fn split_get_domain_info(whole: Self::GetDomainInfo) -> (GetDomainInfoCommon, Self::ArchDomainConfig) {
        (whole.common, whole.arch_config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::{FromBytes, FromZeros, IntoBytes};

    #[test]
    fn shutdown_code_lies_above_the_flags_and_replaces_the_old_one() {
        let flags = DominfFlags::SHUTDOWN.with_shutdown_code(255).with_shutdown_code(3);
        assert_eq!(flags.bits(), 0x0003_0004);
        assert_eq!(flags.shutdown_code(), 3);
        assert_eq!(DominfFlags::empty().with_shutdown_code(0x1ff).bits(), 0x00ff_0000);
    }

    #[test]
    fn parts_survive_the_whole_on_both_cpus() {
        fn check<A: DomctlArch>(arch_bytes: usize) {
            let arch = A::ArchDomainConfig::read_from_bytes(&[0x5a; 12][..arch_bytes]).unwrap();
            let mut create = CreateDomainCommon::new_zeroed();
            create.cpupool_id = 9;
            let (common, got) = A::split_create_domain(A::create_domain(create, arch));
            assert_eq!((common, got.as_bytes()), (create, arch.as_bytes()));
            let mut info = GetDomainInfoCommon::new_zeroed();
            info.gpaddr_bits = 40;
            let (common, got) = A::split_get_domain_info(A::get_domain_info(info, arch));
            assert_eq!((common, got.as_bytes()), (info, arch.as_bytes()));
        }
        check::<Arm64>(12);
        check::<X86_64>(8);
    }
}
