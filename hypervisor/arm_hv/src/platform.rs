//! What the core asks of an arm64 machine as a whole: which guests there can be, and which domain
//! owns which physical interrupt.

use crate::guest::{ArmGuest, GuestParts, PHYSICAL_TIMER_PPI, VIRTUAL_TIMER_PPI};
use alloc::boxed::Box;
use alloc::vec::Vec;
use arm_regs::ArmOps as _;
use arm_vm::smccc::Policy;
use arm_vm::sysreg::{ID_REGS, IdRegs};
use arm_vm::vgic::{self, HwPpi, MAX_SPIS, RedistRegion, Version, Vgic};
use core::any::Any;
use core::sync::atomic::{AtomicU16, Ordering};
use hal::{Domid, Gaddr, Maddr};
use hv_core::domain::{DomainConfig, Platform};
use hv_core::memory::Kind;
use hv_core::{Domain, GuestKind, Hypervisor};
use lock::Once;
use machine::Machine;
use xen_abi::arch_arm::*;
use xen_abi::domctl::v4_17::arm64::ArchDomainConfig;
use xen_abi::domctl::v4_17::{XEN_DOMCTL_CDF_hap, XEN_DOMCTL_CDF_hvm};
use xen_abi::features::*;
use xen_abi::sysctl::{XEN_SYSCTL_PHYSCAP_hap, XEN_SYSCTL_PHYSCAP_hvm};
use xen_abi::{Errno, zerocopy};
use zerocopy::{FromBytes as _, FromZeros as _};

/// HVM_PARAM_CALLBACK_IRQ: type PPI in the top byte, active-low level in the flags (hvm/params.h).
const CALLBACK_PPI_LEVEL: u64 = 2 << 56 | 2 << 8;
/// In a route: the interrupt belongs to nobody.
const NOBODY: u16 = u16::MAX;
/// The first shared interrupt.
pub(crate) const FIRST_SPI: u32 = 32;
/// Pages of tables that a new domain has for what is mapped before the toolstack sets its pool.
const FIRST_TABLES: usize = 4;

/// The interrupt controller that domain guests get, and where its hardware part is.
#[derive(Clone, Copy, Debug)]
pub enum HostGic {
    /// GICv2, with the virtual CPU interface at this address.
    V2 {
        /// GICV, which guests get in place of GICC.
        gicv: Maddr,
        /// Its size in bytes.
        size: u64,
    },
    /// GICv3.
    V3,
}

/// Where a domain sees its interrupt controller.
#[derive(Clone, Debug)]
pub struct GuestGic {
    /// The distributor.
    pub distributor: u64,
    /// Redistributors (version 3): address and number of vCPUs of each region.
    pub redistributors: Vec<RedistRegion>,
    /// The CPU interface (version 2).
    pub cpu_interface: u64,
}

/// What dom0's interrupts look like: as the host's.
#[derive(Clone, Debug)]
pub struct Dom0Gic {
    /// Where the controller is.
    pub gic: GuestGic,
    /// The PPI of event channel upcalls.
    pub upcall_ppi: u32,
    /// The PPIs of the virtual and the physical timer.
    pub timers: (u32, u32),
}

/// The machine-specific side of the hypervisor.
pub struct ArmPlatform {
    host: HostGic,
    dom0: Once<Dom0Gic>,
    /// For each shared interrupt, the number of the domain that owns it.
    routes: Vec<AtomicU16>,
    /// The console's interrupt.
    console_irq: Option<u32>,
    /// What guests see of the CPU.
    ids: IdRegs,
}

impl ArmPlatform {
    /// The platform; `None` without memory.
    pub fn new(machine: &Machine, host: HostGic, console_irq: Option<u32>) -> Option<Self> {
        let mut routes = Vec::new();
        let count = machine.gic_lines().saturating_sub(FIRST_SPI) as usize;
        routes.try_reserve_exact(count).ok()?;
        routes.resize_with(count, || AtomicU16::new(NOBODY));
        let mut values = [0; ID_REGS];
        for (value, reg) in values.iter_mut().zip(IdRegs::encodings()) {
            *value = machine.id_register([reg.op0(), reg.op1(), reg.crn(), reg.crm(), reg.op2()]);
        }
        let version = if matches!(host, HostGic::V3) { Version::V3 } else { Version::V2 };
        let ids = IdRegs::from_host(&values, version);
        Some(Self { host, dom0: Once::new(), routes, console_irq, ids })
    }

    /// The platform of this hypervisor.
    #[inline]
    pub fn of(hv: &Hypervisor) -> Option<&Self> {
        hv.platform.as_any().downcast_ref()
    }

    /// The console's interrupt.
    pub fn console_irq(&self) -> Option<u32> {
        self.console_irq
    }

    /// Says how dom0's interrupts look; before dom0 is created.
    pub(crate) fn set_dom0(&self, dom0: Dom0Gic) {
        self.dom0.call_once(|| dom0);
    }

    /// What a guest may know of the firmware's and our own mitigations. None is offered that the
    /// firmware does not offer us.
    pub(crate) fn smccc_policy(&self, nr_vcpus: usize) -> Policy {
        Policy { nr_vcpus, ..Policy::default() }
    }

    /// The identification registers that guests see.
    #[inline]
    pub(crate) fn ids(&self) -> &IdRegs {
        &self.ids
    }

    /// HVM_PARAM_CALLBACK_IRQ for a PPI.
    pub(crate) fn callback_value(ppi: u32) -> u64 {
        CALLBACK_PPI_LEVEL | u64::from(ppi)
    }

    fn route(&self, irq: u32) -> Option<&AtomicU16> {
        self.routes.get(irq.checked_sub(FIRST_SPI)? as usize)
    }

    /// The domain that owns a shared interrupt.
    #[inline]
    pub(crate) fn owner(&self, irq: u32) -> Option<Domid> {
        Domid::new(self.route(irq)?.load(Ordering::Relaxed))
    }

    /// Gives a shared interrupt to a domain; false when it is the console's, or does not exist.
    pub(crate) fn give(&self, irq: u32, domid: Domid) -> bool {
        if self.console_irq == Some(irq) {
            return false;
        }
        match self.route(irq) {
            Some(route) => {
                route.store(domid.raw(), Ordering::Relaxed);
                true
            }
            None => false,
        }
    }

    /// Gives a shared interrupt that is nobody's to a domain.
    ///
    /// # Errors
    /// EINVAL for what is no shared interrupt of the machine, EBUSY when it is the console's or another's.
    pub(crate) fn take(&self, irq: u32, domid: Domid) -> Result<(), Errno> {
        let route = self.route(irq).ok_or(Errno::EINVAL)?;
        if self.console_irq == Some(irq) {
            return Err(Errno::EBUSY);
        }
        let taken = route.compare_exchange(NOBODY, domid.raw(), Ordering::Relaxed, Ordering::Relaxed);
        taken.map(drop).map_err(|_| Errno::EBUSY)
    }

    /// A shared interrupt is nobody's again.
    pub(crate) fn take_back(&self, irq: u32) {
        if let Some(route) = self.route(irq) {
            route.store(NOBODY, Ordering::Relaxed);
        }
    }

    /// The shared interrupts that a domain owns.
    pub(crate) fn owned(&self, domid: Domid) -> impl Iterator<Item = u32> {
        let owns = move |(_, route): &(u32, &AtomicU16)| route.load(Ordering::Relaxed) == domid.raw();
        (FIRST_SPI..).zip(&self.routes).filter(owns).map(|(irq, _)| irq)
    }

    fn version(&self) -> Version {
        match self.host {
            HostGic::V2 { .. } => Version::V2,
            HostGic::V3 => Version::V3,
        }
    }

    /// Where a DomU sees its controller (the toolstack's memory map, arch-arm.h).
    fn domu_gic(&self, nr_vcpus: usize) -> Result<GuestGic, Errno> {
        let mut redistributors = Vec::new();
        if self.version() == Version::V3 {
            redistributors.try_reserve_exact(1).map_err(|_| Errno::ENOMEM)?;
            redistributors.push(RedistRegion { base: GUEST_GICV3_GICR0_BASE, nr_vcpus });
        }
        let distributor = match self.host {
            HostGic::V2 { .. } => GUEST_GICD_BASE,
            HostGic::V3 => GUEST_GICV3_GICD_BASE,
        };
        Ok(GuestGic { distributor, redistributors, cpu_interface: GUEST_GICC_BASE })
    }

    /// Checks the ABI's configuration of a DomU and fills in what it leaves to us.
    fn complete(&self, arch: &[u8]) -> Result<ArchDomainConfig, Errno> {
        let mut config = ArchDomainConfig::read_from_bytes(arch).map_err(|_| Errno::EINVAL)?;
        let native = match self.host {
            HostGic::V2 { .. } => XEN_DOMCTL_CONFIG_GIC_V2,
            HostGic::V3 => XEN_DOMCTL_CONFIG_GIC_V3,
        };
        if config.gic_version == XEN_DOMCTL_CONFIG_GIC_NATIVE {
            config.gic_version = native;
        }
        if config.gic_version != native
            || config.tee_type != XEN_DOMCTL_CONFIG_TEE_NONE
            || config.nr_spis as usize > MAX_SPIS
        {
            return Err(Errno::EINVAL);
        }
        Ok(config)
    }
}

impl Platform for ArmPlatform {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn new_guest(
        &self,
        hv: &Hypervisor,
        config: &DomainConfig,
        arch: &[u8],
    ) -> Result<Box<dyn GuestKind>, Errno> {
        let nr_vcpus = config.max_vcpus;
        let dom0 = if config.privileged { self.dom0.get() } else { None };
        let (gic, upcall_ppi, timers, arch, nr_spis) = match dom0 {
            Some(dom0) => {
                let lines = hv.machine.gic_lines().saturating_sub(FIRST_SPI) as usize;
                let fresh = ArchDomainConfig::new_zeroed();
                (dom0.gic.clone(), dom0.upcall_ppi, dom0.timers, fresh, lines)
            }
            None => {
                let arch = self.complete(arch)?;
                let spis = (arch.nr_spis as usize).next_multiple_of(FIRST_SPI as usize);
                let timers = (VIRTUAL_TIMER_PPI, PHYSICAL_TIMER_PPI);
                (self.domu_gic(nr_vcpus)?, GUEST_EVTCHN_PPI, timers, arch, spis)
            }
        };
        let vgic = Vgic::new(&vgic::Config {
            version: self.version(),
            nr_vcpus,
            nr_spis: nr_spis.min(MAX_SPIS),
            dist_base: gic.distributor,
            redists: &gic.redistributors,
            hw_ppis: &[HwPpi { intid: timers.0, phys: hv.machine.private_irqs().virtual_timer as u16 }],
            sampled_ppis: &[upcall_ppi],
        });
        let vgic = vgic.map_err(|e| match e {
            vgic::ConfigError::NoMemory => Errno::ENOMEM,
            _ => Errno::EINVAL,
        })?;
        let parts = GuestParts { vgic, config: arch, upcall_ppi, timers, nr_vcpus };
        Ok(Box::new(ArmGuest::new(hv, parts)?))
    }

    /// Version 2 guests use the hardware's virtual CPU interface in place of theirs.
    fn finish_guest(&self, hv: &Hypervisor, domain: &Domain) -> Result<(), Errno> {
        let HostGic::V2 { gicv, size } = self.host else { return Ok(()) };
        let at = match self.dom0.get().filter(|_| domain.privileged) {
            Some(dom0) => dom0.gic.cpu_interface,
            None => GUEST_GICC_BASE,
        };
        let size = size.min(GUEST_GICC_SIZE);
        let mut memory = domain.memory.lock();
        let memory = &mut *memory;
        for _ in 0..FIRST_TABLES {
            if !memory.pool.grow(hv) {
                return Err(Errno::ENOMEM);
            }
        }
        let (gfn, mfn) = (Gaddr(at).frame(), gicv.frame());
        let frames = size >> hal::PAGE_SHIFT;
        Ok(memory.p2m.insert_range(hv, &mut memory.pool, gfn, mfn, frames, Kind::Mmio)?)
    }

    fn check_create_flags(&self, flags: u32) -> Result<(), Errno> {
        // Second-stage paging is the only way here; no IOMMU, no counters.
        if flags == XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap { Ok(()) } else { Err(Errno::EINVAL) }
    }

    fn capabilities(&self) -> u32 {
        XEN_SYSCTL_PHYSCAP_hvm | XEN_SYSCTL_PHYSCAP_hap
    }

    fn guest_types(&self) -> &'static str {
        "xen-3.0-aarch64 "
    }

    fn irq_count(&self, hv: &Hypervisor) -> u32 {
        hv.machine.gic_lines()
    }

    fn cpu_khz(&self, hv: &Hypervisor) -> u32 {
        u32::try_from(hv.machine.counter_hz() / 1000).unwrap_or(u32::MAX)
    }

    fn topology(&self, pcpu: usize) -> (u32, u32) {
        (pcpu as u32, 0)
    }

    fn features(&self, privileged: bool, direct_mapped: bool) -> u32 {
        let mapped = if direct_mapped { XENFEAT_direct_mapped } else { XENFEAT_not_direct_mapped };
        let mut features = 1 << XENFEAT_writable_page_tables
            | 1 << XENFEAT_auto_translated_physmap
            | 1 << XENFEAT_memory_op_vnode_supported
            | 1 << XENFEAT_ARM_SMCCC_supported
            | 1 << mapped;
        if privileged {
            features |= 1 << XENFEAT_dom0;
        }
        features
    }

    fn callback_irq(&self, privileged: bool) -> u64 {
        let dom0 = self.dom0.get().filter(|_| privileged);
        Self::callback_value(dom0.map_or(GUEST_EVTCHN_PPI, |dom0| dom0.upcall_ppi))
    }
}
