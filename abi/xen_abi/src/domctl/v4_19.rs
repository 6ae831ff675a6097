//! What depends on the interface version: the layouts of Xen 4.19 to 4.22 (domctl 0x17 and 0x18).
//!
//! Against [`v4_17`](super::v4_17) `createdomain` has a word for alternate p2m, and the arm64 configuration grew: at
//! its end within an interface version, so that zeroes there mean the same to all of them. `getdomaininfo` keeps its
//! size, since the growth takes the place of padding. The layout tests know the headers of 4.17 only; these sizes and
//! offsets are stated in the tests here, from the headers of 4.19, 4.20, 4.21 and 4.22.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::v4_17::{self, DomctlArch};
use crate::xen::DomainHandle;
use crate::{Arm64, Plain, X86_64};

/// The first interface version with these layouts.
pub const FIRST_VERSION: u32 = 0x17;
/// Create: accesses to addresses where nothing is fault (4.21).
pub const XEN_DOMCTL_CDF_trap_unmapped_accesses: u32 = 1 << 8;

/// The part of `xen_domctl_createdomain` in front of `arch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
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
    /// IN: alternate p2m; 0 is none. A mode, since 4.21 with a number of views in the upper half.
    pub altp2m: u32,
    /// IN: trace buffer per vCPU in bytes; 0 is none.
    pub vmtrace_size: u32,
    /// IN: CPU pool.
    pub cpupool_id: u32,
}

impl CreateDomainCommon {
    /// The same domain as 4.17 says it; `None` for what 4.17 has no word for.
    fn narrowed(self) -> Option<v4_17::CreateDomainCommon> {
        let Self {
            ssidref,
            handle,
            flags,
            iommu_opts,
            max_vcpus,
            max_evtchn_port,
            max_grant_frames,
            max_maptrack_frames,
            grant_opts,
            altp2m,
            vmtrace_size,
            cpupool_id,
        } = self;
        let narrowed = v4_17::CreateDomainCommon {
            ssidref,
            handle,
            flags,
            iommu_opts,
            max_vcpus,
            max_evtchn_port,
            max_grant_frames,
            max_maptrack_frames,
            grant_opts,
            vmtrace_size,
            cpupool_id,
        };
        (altp2m == 0).then_some(narrowed)
    }
}

impl From<v4_17::CreateDomainCommon> for CreateDomainCommon {
    /// The same domain, without alternate p2m.
    fn from(old: v4_17::CreateDomainCommon) -> Self {
        let v4_17::CreateDomainCommon {
            ssidref,
            handle,
            flags,
            iommu_opts,
            max_vcpus,
            max_evtchn_port,
            max_grant_frames,
            max_maptrack_frames,
            grant_opts,
            vmtrace_size,
            cpupool_id,
        } = old;
        Self {
            ssidref,
            handle,
            flags,
            iommu_opts,
            max_vcpus,
            max_evtchn_port,
            max_grant_frames,
            max_maptrack_frames,
            grant_opts,
            altp2m: 0,
            vmtrace_size,
            cpupool_id,
        }
    }
}

/// The arm64 part of a domain's configuration, as 4.22 has it; earlier releases end before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ArchDomainConfigArm64 {
    /// IN: `XEN_DOMCTL_CONFIG_GIC_*`; OUT: the version chosen.
    pub gic_version: u8,
    /// IN: length of scalable vectors in units of 128 bits; 0 is none.
    pub sve_vl: u8,
    /// IN: `XEN_DOMCTL_CONFIG_TEE_*`.
    pub tee_type: u16,
    /// IN: shared peripheral interrupts.
    pub nr_spis: u32,
    /// OUT: `clock-frequency` of the host's timer node, 0 when it has none.
    pub clock_frequency: u32,
    /// IN: access to firmware's system control (4.21); 0 is none.
    pub arm_sci_type: u8,
    /// IN: memory system of EL1 on Armv8-R (4.22); 0 is none.
    pub v8r_el1_msa: u8,
    /// IN: 0.
    pub pad: u16,
}

impl From<v4_17::arm64::ArchDomainConfig> for ArchDomainConfigArm64 {
    /// The same configuration, without what is new.
    fn from(old: v4_17::arm64::ArchDomainConfig) -> Self {
        let v4_17::arm64::ArchDomainConfig { gic_version, _gap0: _, tee_type, nr_spis, clock_frequency } =
            old;
        Self {
            gic_version,
            sve_vl: 0,
            tee_type,
            nr_spis,
            clock_frequency,
            arm_sci_type: 0,
            v8r_el1_msa: 0,
            pad: 0,
        }
    }
}

/// `XEN_DOMCTL_createdomain` on arm64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CreateDomainArm64 {
    /// What both CPUs share.
    pub common: CreateDomainCommon,
    /// The arm64 part.
    pub arch: ArchDomainConfigArm64,
}

/// `XEN_DOMCTL_createdomain` on x86_64, whose part is that of 4.17.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CreateDomainX86 {
    /// What both CPUs share.
    pub common: CreateDomainCommon,
    /// The x86 part.
    pub arch: v4_17::x86_64::ArchDomainConfig,
}

/// Creation for common code, which knows the parts of 4.17.
pub trait CreateDomainArch: DomctlArch {
    /// `xen_domctl_createdomain` from 4.19 on.
    type Grown: Plain;

    /// What a request of 4.17 would ask for; `None` for what 4.17 has no word for.
    fn narrow(whole: Self::Grown) -> Option<(v4_17::CreateDomainCommon, Self::ArchDomainConfig)>;
    /// A request of 4.17, with nothing that is new.
    fn widen(common: v4_17::CreateDomainCommon, arch: Self::ArchDomainConfig) -> Self::Grown;
}

impl CreateDomainArch for Arm64 {
    type Grown = CreateDomainArm64;

    /// Accesses where nothing is fault for every domain: who asks for it has it.
    fn narrow(whole: CreateDomainArm64) -> Option<(v4_17::CreateDomainCommon, Self::ArchDomainConfig)> {
        let CreateDomainArm64 { mut common, arch } = whole;
        common.flags &= !XEN_DOMCTL_CDF_trap_unmapped_accesses;
        let ArchDomainConfigArm64 {
            gic_version,
            sve_vl,
            tee_type,
            nr_spis,
            clock_frequency,
            arm_sci_type,
            v8r_el1_msa,
            pad,
        } = arch;
        if (sve_vl, arm_sci_type, v8r_el1_msa, pad) != (0, 0, 0, 0) {
            return None;
        }
        let arch =
            v4_17::arm64::ArchDomainConfig { gic_version, _gap0: 0, tee_type, nr_spis, clock_frequency };
        Some((common.narrowed()?, arch))
    }

    fn widen(common: v4_17::CreateDomainCommon, arch: Self::ArchDomainConfig) -> CreateDomainArm64 {
        CreateDomainArm64 { common: common.into(), arch: arch.into() }
    }
}

impl CreateDomainArch for X86_64 {
    type Grown = CreateDomainX86;

    fn narrow(whole: CreateDomainX86) -> Option<(v4_17::CreateDomainCommon, Self::ArchDomainConfig)> {
        Some((whole.common.narrowed()?, whole.arch))
    }

    fn widen(common: v4_17::CreateDomainCommon, arch: Self::ArchDomainConfig) -> CreateDomainX86 {
        CreateDomainX86 { common: common.into(), arch }
    }
}

#[cfg(test)]
mod tests {
    use core::mem::{offset_of, size_of};

    use super::*;

    #[test]
    fn layouts_are_those_of_the_headers_from_4_19_on() {
        assert_eq!(offset_of!(CreateDomainCommon, grant_opts), 44);
        assert_eq!(offset_of!(CreateDomainCommon, altp2m), 48);
        assert_eq!(offset_of!(CreateDomainCommon, cpupool_id), 56);
        assert_eq!(size_of::<CreateDomainCommon>(), 60);
        assert_eq!(offset_of!(ArchDomainConfigArm64, clock_frequency), 8);
        assert_eq!(offset_of!(ArchDomainConfigArm64, v8r_el1_msa), 13);
        assert_eq!(size_of::<CreateDomainArm64>(), 76);
        assert_eq!(size_of::<CreateDomainX86>(), 68);
    }

    #[test]
    fn growth_of_the_arm64_configuration_fills_the_padding_of_getdomaininfo() {
        let grown = size_of::<v4_17::GetDomainInfoCommon>() + size_of::<ArchDomainConfigArm64>();
        assert_eq!(grown, size_of::<v4_17::arm64::GetDomainInfo>());
    }
}
