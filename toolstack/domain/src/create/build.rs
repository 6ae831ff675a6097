//! Memory, kernel and first vCPU, by the plan of [`domain_builder`].

use std::num::NonZeroU32;

use domain_builder::{Bank, Content, Gic, Guest, Plan, Segment, plan};
use xen_abi::arch_arm::XEN_DOMCTL_CONFIG_GIC_V2;
use xen_abi::grant_table::{GNTTAB_RESERVED_CONSOLE, GNTTAB_RESERVED_XENSTORE};
use xen_abi::hvm::params::*;
use xen_ctrl::{Created, CtrlError, Registers, SeededGrant};
use xen_dev::{Domid, Port, Source};
use xl_config::DomainConfig;

use super::files::Files;
use crate::{DomainError, Toolstack};

const PAGE: u64 = 4096;
/// Pages of an extent that one entry of the second level maps, as an order: 2 MiB.
const SUPERPAGE_ORDER: u32 = 9;
/// `XEN_DOMCTL_set_address_size` of a 64-bit guest.
const BITS: u32 = 64;
/// Width of a guest's physical addresses where the hypervisor does not say.
const ADDRESS_BITS: u8 = 40;

/// A page that a guest shares with a daemon, and the guest's end of the event channel.
#[derive(Clone, Copy)]
pub(super) struct Ring {
    pub(super) gfn: u64,
    pub(super) port: Port,
}

/// The rings of a guest.
pub(super) struct Rings {
    pub(super) xenstore: Ring,
    pub(super) console: Ring,
    pub(super) vuart: Option<Ring>,
}

impl Toolstack {
    /// Gives a domain memory, kernel, rings and a first vCPU that is ready to start.
    pub(super) fn build(
        &mut self,
        config: &DomainConfig,
        files: &Files,
        created: &Created,
    ) -> Result<Rings, DomainError> {
        let domid = created.domid;
        let info = self.ctrl.domain(domid)?;
        let (major, minor) = self.ctrl.version()?;
        let plan = plan(&Guest {
            kernel: files.kernel(),
            ramdisk: files.ramdisk.as_ref().map(|file| file.len),
            cmdline: config.cmdline.as_deref(),
            memory: config.maxmem.bytes(),
            vcpus: config.maxvcpus,
            gic: match created.gic_version {
                Some(XEN_DOMCTL_CONFIG_GIC_V2) => Gic::V2,
                _ => Gic::V3,
            },
            vuart: config.vuart.is_some(),
            xen_version: (major.into(), minor.into()),
            address_bits: if info.gpaddr_bits == 0 { ADDRESS_BITS } else { info.gpaddr_bits },
            timer_hz: created.clock_frequency.and_then(NonZeroU32::new),
            rng_seed: crate::random::bytes()?,
            partial_tree: files.tree.as_ref().map(|(_, tree)| tree.as_slice()),
        })
        .map_err(|error| files.at_fault(error))?;
        self.ctrl.set_address_size(domid, BITS)?;
        for bank in plan.banks {
            self.populate(domid, bank)?;
        }
        for segment in &plan.segments {
            self.write(domid, segment, files)?;
        }
        let rings = self.make_rings(domid, &plan, config.vuart.is_some())?;
        self.ctrl.set_registers(domid, 0, &Registers::Arm64(Box::new(plan.vcpu0)))?;
        Ok(rings)
    }

    /// Gives a domain a range of memory, in large pages where there are such.
    fn populate(&self, domid: Domid, bank: Bank) -> Result<(), DomainError> {
        let (first, end) = (bank.base / PAGE, bank.end() / PAGE);
        let step = 1u64 << SUPERPAGE_ORDER;
        let large: Vec<u64> = (first..end - (end - first) % step).step_by(step as usize).collect();
        let done = match self.ctrl.populate_physmap(domid, &large, SUPERPAGE_ORDER, 0) {
            Ok(()) => large.len(),
            Err(CtrlError::Partial { done, .. }) => done,
            Err(error) => return Err(error.into()),
        };
        let small: Vec<u64> = (first + done as u64 * step..end).collect();
        Ok(self.ctrl.populate_physmap(domid, &small, 0, 0)?)
    }

    /// Writes a segment into a domain's memory, and through the caches.
    fn write(&self, domid: Domid, segment: &Segment, files: &Files) -> Result<(), DomainError> {
        // A segment begins at a page boundary.
        let gfn = segment.address / PAGE;
        match &segment.content {
            Content::Bytes(bytes) => self.ctrl.copy_in(domid, gfn, &Source::Bytes(bytes))?,
            Content::KernelFile => files.kernel.copy_in(&self.ctrl, domid, gfn)?,
            Content::RamDisk => {
                if let Some(file) = &files.ramdisk {
                    file.copy_in(&self.ctrl, domid, gfn)?;
                }
            }
        }
        Ok(self.ctrl.flush_caches(domid, gfn, segment.len.div_ceil(PAGE))?)
    }

    /// Makes the pages that a guest shares with others, tells it of them, and grants them.
    fn make_rings(&self, domid: Domid, plan: &Plan, vuart: bool) -> Result<Rings, DomainError> {
        let ctrl = &self.ctrl;
        let magic = plan.magic;
        let gfns = [magic.console, magic.xenstore, magic.monitor, magic.vuart];
        ctrl.populate_physmap(domid, &gfns, 0, 0)?;
        ctrl.copy_in(domid, magic.console, &Source::Bytes(&[0; 4 * PAGE as usize]))?;
        ctrl.flush_caches(domid, magic.console, gfns.len() as u64)?;
        let xenstore = Ring { gfn: magic.xenstore, port: ctrl.alloc_unbound(domid, Domid::DOM0)? };
        let console = Ring { gfn: magic.console, port: ctrl.alloc_unbound(domid, Domid::DOM0)? };
        for (index, value) in [
            (HVM_PARAM_CONSOLE_PFN, console.gfn),
            (HVM_PARAM_CONSOLE_EVTCHN, console.port.into()),
            (HVM_PARAM_STORE_PFN, xenstore.gfn),
            (HVM_PARAM_STORE_EVTCHN, xenstore.port.into()),
            (HVM_PARAM_MONITOR_RING_PFN, magic.monitor),
        ] {
            ctrl.set_hvm_param(domid, index, value)?;
        }
        let grant = |gref, ring: Ring| SeededGrant { gref, to: Domid::DOM0, gfn: ring.gfn };
        let grants = [grant(GNTTAB_RESERVED_CONSOLE, console), grant(GNTTAB_RESERVED_XENSTORE, xenstore)];
        ctrl.seed_grants(domid, &grants)?;
        let vuart = match vuart {
            true => Some(Ring { gfn: magic.vuart, port: ctrl.init_vuart(domid, magic.vuart)? }),
            false => None,
        };
        Ok(Rings { xenstore, console, vuart })
    }
}
