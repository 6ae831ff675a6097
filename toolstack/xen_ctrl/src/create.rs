//! Creation of domains, laid out for the hypervisor's version and CPU.

use xen_abi::Plain;
use xen_abi::arch_arm::XEN_DOMCTL_CONFIG_GIC_NATIVE;
use xen_abi::domctl::v4_17::{self, CreateDomainCommon, CreateFlags, XEN_DOMCTL_GRANT_version_mask};
use xen_abi::domctl::{XEN_DOMCTL_createdomain, v4_19};
use xen_abi::xen::DomainHandle;
use xen_dev::{Domid, Errno};

use crate::ctrl::again;
use crate::{Cpu, CtrlError, XenCtrl};

const CALL: &str = "XEN_DOMCTL_createdomain";
/// First interface version with the layout of [`v4_19`].
const LAYOUT_4_19: u32 = 0x17;

/// What a new domain shall be (`xen_domctl_createdomain`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateConfig {
    /// UUID.
    pub handle: DomainHandle,
    /// Kind and abilities.
    pub flags: CreateFlags,
    /// `XEN_DOMCTL_IOMMU_*`.
    pub iommu_opts: u32,
    /// vCPUs.
    pub max_vcpus: u32,
    /// Largest event channel port.
    pub max_event_port: u32,
    /// Limit of grant table frames; without it the hypervisor's default.
    pub max_grant_frames: Option<u32>,
    /// Limit of frames that track grant maps; without it the hypervisor's default.
    pub max_maptrack_frames: Option<u32>,
    /// Largest version of the grant table that the domain may choose.
    pub max_grant_version: u32,
    /// CPU pool.
    pub cpupool: u32,
    /// Security label, 0 without a security module.
    pub ssidref: u32,
    /// The CPU's part.
    pub arch: ArchConfig,
}

/// The CPU's part of a domain's configuration (`xen_arch_domainconfig`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchConfig {
    /// A domain on an arm64 host.
    Arm64 {
        /// `XEN_DOMCTL_CONFIG_GIC_*`.
        gic_version: u8,
        /// `XEN_DOMCTL_CONFIG_TEE_*`.
        tee_type: u16,
        /// Shared peripheral interrupts.
        nr_spis: u32,
    },
    /// A domain on an x86 host.
    X86 {
        /// `XEN_X86_EMU_*`.
        emulation_flags: u32,
        /// `XEN_X86_MSR_*`.
        misc_flags: u32,
    },
}

/// A domain that was just created: paused, without memory and vCPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Created {
    /// Its id.
    pub domid: Domid,
    /// On arm64, the version of the interrupt controller that it got (`XEN_DOMCTL_CONFIG_GIC_*`), never `NATIVE`.
    pub gic_version: Option<u8>,
    /// On arm64, the timer's frequency in Hz, where the device tree must state it.
    pub clock_frequency: Option<u32>,
}

impl XenCtrl {
    /// Creates a domain with this id, or with a free one.
    pub fn create(&self, domid: Option<Domid>, config: &CreateConfig) -> Result<Created, CtrlError> {
        let argument = |what| CtrlError::Argument { call: CALL, domid, what };
        let limit = |frames: Option<u32>| match frames {
            Some(frames) => i32::try_from(frames).map_err(|_| argument("limit of frames is too large")),
            None => Ok(-1),
        };
        if config.max_grant_version > XEN_DOMCTL_GRANT_version_mask {
            return Err(argument("there is no such version of the grant table"));
        }
        let common = CreateDomainCommon {
            ssidref: config.ssidref,
            handle: config.handle,
            flags: config.flags.bits(),
            iommu_opts: config.iommu_opts,
            max_vcpus: config.max_vcpus,
            max_evtchn_port: config.max_event_port,
            max_grant_frames: limit(config.max_grant_frames)?,
            max_maptrack_frames: limit(config.max_maptrack_frames)?,
            grant_opts: config.max_grant_version,
            vmtrace_size: 0,
            cpupool_id: config.cpupool,
        };
        let old = self.domctl_version < LAYOUT_4_19;
        match (self.cpu, config.arch) {
            (Cpu::Arm64, ArchConfig::Arm64 { gic_version, tee_type, nr_spis }) => {
                let arch = v4_17::arm64::ArchDomainConfig {
                    gic_version,
                    _gap0: 0,
                    tee_type,
                    nr_spis,
                    clock_frequency: 0,
                };
                let (domid, gic, clock) = if old {
                    let mut create = v4_17::arm64::CreateDomain { common, arch };
                    let domid = self.create_as(domid, &mut create)?;
                    (domid, create.arch.gic_version, create.arch.clock_frequency)
                } else {
                    let mut create = v4_19::CreateDomainArm64 { common: common.into(), arch: arch.into() };
                    let domid = self.create_as(domid, &mut create)?;
                    (domid, create.arch.gic_version, create.arch.clock_frequency)
                };
                if gic == XEN_DOMCTL_CONFIG_GIC_NATIVE {
                    // Nobody else knows of the domain, so it must not stay.
                    self.destroy(domid)?;
                    let what = "no version of the interrupt controller";
                    return Err(CtrlError::Answer { call: CALL, domid: Some(domid), what });
                }
                let clock_frequency = Some(clock).filter(|&hz| hz != 0);
                Ok(Created { domid, gic_version: Some(gic), clock_frequency })
            }
            (Cpu::X86, ArchConfig::X86 { emulation_flags, misc_flags }) => {
                let arch = v4_17::x86_64::ArchDomainConfig { emulation_flags, misc_flags };
                let domid = if old {
                    self.create_as(domid, &mut v4_17::x86_64::CreateDomain { common, arch })?
                } else {
                    self.create_as(domid, &mut v4_19::CreateDomainX86 { common: common.into(), arch })?
                };
                Ok(Created { domid, gic_version: None, clock_frequency: None })
            }
            _ => Err(argument("the configuration is for another CPU than the host's")),
        }
    }

    fn create_as<T: Plain>(&self, domid: Option<Domid>, create: &mut T) -> Result<Domid, CtrlError> {
        let mut domain = domid.map_or(0, Domid::get);
        let version = self.domctl_version;
        again(|| self.domctl_as(version, XEN_DOMCTL_createdomain, &mut domain, create, &mut []))
            .map_err(|errno: Errno| CtrlError::Call { call: CALL, domid, errno })?;
        Domid::new(domain).ok_or(CtrlError::Answer { call: CALL, domid, what: "a reserved domain id" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{ctrl_of_version, domctl_of, only};

    fn config(arch: ArchConfig) -> CreateConfig {
        CreateConfig {
            handle: *b"0123456789abcdef",
            flags: CreateFlags::HVM | CreateFlags::HAP,
            iommu_opts: 0x11,
            max_vcpus: 0x22,
            max_event_port: 0x33,
            max_grant_frames: Some(0x44),
            max_maptrack_frames: None,
            max_grant_version: 1,
            cpupool: 0x66,
            ssidref: 0x77,
            arch,
        }
    }

    const ARM: ArchConfig = ArchConfig::Arm64 { gic_version: 2, tee_type: 0x102, nr_spis: 0x88 };
    const X86: ArchConfig = ArchConfig::X86 { emulation_flags: 1, misc_flags: 0x99 };

    /// The words of a request in front of the CPU's part, up to `grant_opts`.
    fn head() -> Vec<u8> {
        let mut bytes = 0x77u32.to_le_bytes().to_vec();
        bytes.extend(b"0123456789abcdef");
        for word in [3u32, 0x11, 0x22, 0x33, 0x44, 0xffff_ffff, 1] {
            bytes.extend(word.to_le_bytes());
        }
        bytes
    }

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn request_has_the_layout_of_each_version_and_cpu() {
        let arm = [0x0102_0002, 0x88, 0];
        let x86 = [1, 0x99];
        for (version, cpu, arch, tail) in [
            (0x15, Cpu::Arm64, ARM, [&[0, 0x66], &arm[..]].concat()),
            (0x16, Cpu::Arm64, ARM, [&[0, 0x66], &arm[..]].concat()),
            (0x17, Cpu::Arm64, ARM, [&[0, 0, 0x66], &arm[..], &[0]].concat()),
            (0x18, Cpu::Arm64, ARM, [&[0, 0, 0x66], &arm[..], &[0]].concat()),
            (0x15, Cpu::X86, X86, [&[0, 0x66], &x86[..]].concat()),
            (0x17, Cpu::X86, X86, [&[0, 0, 0x66], &x86[..]].concat()),
        ] {
            let (ctrl, xen) = ctrl_of_version(cpu, version);
            let created = ctrl.create(Domid::new(9), &config(arch)).unwrap();
            assert_eq!(created.domid.get(), 9);
            let call = only(&xen);
            let op = domctl_of(&call);
            assert_eq!((op.cmd, op.interface_version, op.domain), (1, version, 9));
            let mut wanted = head();
            wanted.extend(words(&tail));
            wanted.resize(128, 0);
            assert_eq!(call.buffers[0][16..], wanted, "{version:#x} {cpu:?}");
        }
    }

    #[test]
    fn free_id_and_chosen_interrupt_controller_come_back() {
        for (version, gic_at) in [(0x15, 56), (0x17, 60)] {
            let (ctrl, xen) = ctrl_of_version(Cpu::Arm64, version);
            xen.on_hypercall(move |call| {
                let mut op = domctl_of(call);
                assert_eq!(op.domain, 0, "asks for a free id");
                op.domain = 12;
                call.write(call.args[0], &op)?;
                let bytes = call.bytes_at_mut(call.args[0])?;
                bytes[16 + gic_at] = 1;
                bytes[16 + gic_at + 8..][..4].copy_from_slice(&62_500_000u32.to_le_bytes());
                Ok(0)
            });
            let created = ctrl.create(None, &config(ARM)).unwrap();
            assert_eq!((created.domid.get(), created.gic_version), (12, Some(1)));
            assert_eq!(created.clock_frequency, Some(62_500_000));
        }
    }

    #[test]
    fn configuration_that_cannot_be_expressed_reaches_no_hypervisor() {
        let (ctrl, xen) = ctrl_of_version(Cpu::Arm64, 0x15);
        for wrong in [
            config(X86),
            CreateConfig { max_grant_version: 16, ..config(ARM) },
            CreateConfig { max_grant_frames: Some(u32::MAX), ..config(ARM) },
        ] {
            assert!(matches!(ctrl.create(None, &wrong), Err(CtrlError::Argument { .. })));
        }
        assert!(xen.take_calls().is_empty());
    }

    #[test]
    fn domain_of_a_hypervisor_that_answers_nonsense_does_not_stay() {
        let (ctrl, xen) = ctrl_of_version(Cpu::Arm64, 0x15);
        let undecided = ArchConfig::Arm64 { gic_version: 0, tee_type: 0, nr_spis: 0 };
        assert!(matches!(ctrl.create(Domid::new(9), &config(undecided)), Err(CtrlError::Answer { .. })));
        let calls = xen.take_calls();
        let done: Vec<_> = calls.iter().map(domctl_of).map(|op| (op.cmd, op.domain)).collect();
        assert_eq!(done, [(1, 9), (2, 9)]);
    }
}
