//! The physical interrupt controller, and the hardware side of the virtual one.
//!
//! GICv2 (IHI 0048) or GICv3 (IHI 0069), chosen at run time. Acknowledging also drops the running
//! priority, so further interrupts come through; the interrupt stays active, and so does not come
//! again, until it is deactivated: by [`Gic::deactivate`], or in hardware when a guest ends the
//! virtual interrupt that is linked to it.

mod v2;
mod v3;

use alloc::vec::Vec;

use hal::IrqConfig;
use lock::Mutex;

use arm_regs::GicRegs;

use super::cpu;
use super::hold;
use super::mmio::Mmio;

pub use v2::V2;
pub(super) use v3::GICR_SIZE as V3_FRAMES;
pub use v3::{Redistributor, V3};

/// Software-generated interrupt for [`hal::MachineOps::poke`].
pub(super) const SGI_POKE: u32 = 0;
/// Software-generated interrupt after which a pCPU stops for good.
pub(super) const SGI_STOP: u32 = 1;
/// Software-generated interrupt after which a pCPU waits until guests may run.
pub(super) const SGI_HOLD: u32 = 2;
/// The first number that is not of a software-generated interrupt.
const FIRST_PPI: u32 = 16;
/// The first shared interrupt.
const FIRST_SPI: u32 = 32;
/// The first number that is no interrupt.
const SPECIAL: u32 = 1020;
/// The priority of every physical interrupt.
const PRIORITY: u32 = 0xa0a0_a0a0;

// Registers of the distributor. GICv3 has the same for the private interrupts in the SGI frame of
// each redistributor.
const GICD_CTLR: usize = 0x000;
const GICD_TYPER: usize = 0x004;
const ISENABLER: usize = 0x100;
const ICENABLER: usize = 0x180;
const ISPENDR: usize = 0x200;
const ICPENDR: usize = 0x280;
const ISACTIVER: usize = 0x300;
const ICACTIVER: usize = 0x380;
const IPRIORITYR: usize = 0x400;
const ICFGR: usize = 0xc00;

/// What a GIC has and where, as the device tree tells.
pub enum GicInfo {
    /// GICv2.
    V2 {
        /// Distributor.
        distributor: Mmio,
        /// CPU interface.
        cpu: Mmio,
        /// Virtual interface control.
        hypervisor: Mmio,
    },
    /// GICv3.
    V3 {
        /// Distributor.
        distributor: Mmio,
        /// The redistributors found.
        redistributors: Vec<Redistributor>,
    },
}

/// The interrupt controller.
pub struct Gic {
    version: Version,
    /// Number of interrupt lines, private ones included.
    lines: u32,
    /// Held while a register with several interrupts' configuration is changed.
    configuration: Mutex<(), 8>,
}

#[expect(clippy::large_enum_variant, reason = "there is one, in a static")]
enum Version {
    V2(V2),
    V3(V3),
}

/// Calls the same method of either version.
macro_rules! either {
    ($gic:expr, $inner:ident => $call:expr) => {
        match &$gic.version {
            Version::V2($inner) => $call,
            Version::V3($inner) => $call,
        }
    };
}

impl Gic {
    /// Takes the controller over: all lines disabled, level, to this pCPU. The pCPU's own part
    /// follows with [`Gic::init_cpu`].
    pub(super) fn new(info: GicInfo) -> Self {
        let distributor = match &info {
            GicInfo::V2 { distributor, .. } | GicInfo::V3 { distributor, .. } => *distributor,
        };
        let lines = ((distributor.read32(GICD_TYPER) & 31) + 1) * 32;
        let lines = lines.min(SPECIAL);
        let version = match info {
            GicInfo::V2 { distributor, cpu, hypervisor } => {
                Version::V2(V2::new(distributor, cpu, hypervisor, lines))
            }
            GicInfo::V3 { distributor, redistributors } => {
                Version::V3(V3::new(distributor, redistributors, lines))
            }
        };
        Self { version, lines, configuration: Mutex::new(()) }
    }

    /// 2 or 3.
    pub fn version(&self) -> u32 {
        match self.version {
            Version::V2(_) => 2,
            Version::V3(_) => 3,
        }
    }

    /// The number of interrupt lines, private ones included.
    pub fn lines(&self) -> u32 {
        self.lines
    }

    /// Whether the pCPU with this affinity has what it needs here.
    pub(super) fn has_cpu(&self, mpidr: u64) -> bool {
        match &self.version {
            Version::V2(_) => true,
            Version::V3(gic) => gic.has_cpu(mpidr),
        }
    }

    /// Makes this pCPU, `cpu`, take interrupts: its private lines disabled, all priorities let
    /// through, end of interrupt in two steps, the virtual interface off.
    pub(super) fn init_cpu(&self, cpu: u32, mpidr: u64) {
        either!(self, gic => gic.init_cpu(cpu as usize, mpidr));
    }

    /// Acknowledges the most urgent pending interrupt of this pCPU and drops its priority; `None`
    /// when there is none. A software-generated one is deactivated at once, and what it says is done:
    /// the pCPU stops, or waits while guests may not run.
    #[inline]
    pub fn acknowledge(&self) -> Option<u32> {
        either!(self, gic => gic.acknowledge())
    }

    /// Deactivates an interrupt that was acknowledged on this pCPU.
    #[inline]
    pub fn deactivate(&self, irq: u32) {
        either!(self, gic => gic.deactivate(irq));
    }

    /// Sends a software-generated interrupt to a pCPU.
    #[inline]
    pub(super) fn send(&self, sgi: u32, cpu: u32) {
        either!(self, gic => gic.send(sgi, cpu as usize));
    }

    /// The registers that hold line `irq`'s bits: the distributor's, or this pCPU's own.
    fn bank(&self, irq: u32) -> Option<Mmio> {
        (irq < self.lines).then(|| either!(self, gic => gic.bank(irq)))?
    }

    fn set_bit(&self, register: usize, irq: u32) {
        if let Some(bank) = self.bank(irq) {
            bank.write32(register + irq as usize / 32 * 4, 1 << (irq % 32));
        }
    }

    fn bit(&self, register: usize, irq: u32) -> bool {
        self.bank(irq)
            .is_some_and(|bank| bank.read32(register + irq as usize / 32 * 4) >> (irq % 32) & 1 != 0)
    }

    /// Lets a line interrupt; a private one on this pCPU.
    pub fn enable(&self, irq: u32) {
        self.set_bit(ISENABLER, irq);
    }

    /// Stops a line from interrupting; a private one on this pCPU. It has stopped on return.
    pub fn disable(&self, irq: u32) {
        self.set_bit(ICENABLER, irq);
        if let Version::V3(gic) = &self.version {
            gic.wait_for_writes(irq);
        }
    }

    /// Makes an interrupt active, so that it does not come, or inactive; a private one on this
    /// pCPU.
    pub fn set_active(&self, irq: u32, active: bool) {
        self.set_bit(if active { ISACTIVER } else { ICACTIVER }, irq);
    }

    /// Whether an interrupt is active.
    pub fn is_active(&self, irq: u32) -> bool {
        self.bit(ISACTIVER, irq)
    }

    /// Makes an interrupt pending or not.
    pub fn set_pending(&self, irq: u32, pending: bool) {
        self.set_bit(if pending { ISPENDR } else { ICPENDR }, irq);
    }

    /// Sets how a shared or private line signals; it should be disabled meanwhile.
    pub fn configure(&self, irq: u32, config: IrqConfig) {
        let Some(bank) = self.bank(irq) else { return };
        let _held = self.configuration.lock();
        let (register, edge) = (ICFGR + irq as usize / 16 * 4, 2u32 << (irq % 16 * 2));
        let value = bank.read32(register);
        let value = match config {
            IrqConfig::Edge => value | edge,
            IrqConfig::Level => value & !edge,
        };
        bank.write32(register, value);
    }

    /// Sends a shared line to a pCPU.
    pub fn route(&self, irq: u32, cpu: u32) {
        if (FIRST_SPI..self.lines).contains(&irq) {
            either!(self, gic => gic.route(irq, cpu as usize));
        }
    }

    // The virtual interface of this pCPU.

    /// The number of list registers.
    #[inline]
    pub fn nr_lrs(&self) -> usize {
        either!(self, gic => gic.nr_lrs())
    }

    /// Reads a list register, in the version's own format.
    #[inline]
    pub fn read_lr(&self, n: usize) -> u64 {
        either!(self, gic => gic.read_lr(n))
    }

    /// Writes a list register, in the version's own format.
    #[inline]
    pub fn write_lr(&self, n: usize, value: u64) {
        either!(self, gic => gic.write_lr(n, value));
    }

    /// Reads ICH_HCR_EL2 or GICH_HCR.
    #[inline]
    pub fn read_hcr(&self) -> u32 {
        either!(self, gic => gic.read_hcr())
    }

    /// Writes ICH_HCR_EL2 or GICH_HCR.
    #[inline]
    pub fn write_hcr(&self, value: u32) {
        either!(self, gic => gic.write_hcr(value));
    }

    /// Reads ICH_VMCR_EL2 or GICH_VMCR: the guest's priority mask and enables.
    #[inline]
    pub fn read_vmcr(&self) -> u64 {
        either!(self, gic => gic.read_vmcr())
    }

    /// Stores the virtual interface's registers, list registers excepted.
    #[inline]
    pub(super) fn save(&self, regs: &mut GicRegs) {
        either!(self, gic => gic.save(regs));
    }

    /// Loads the virtual interface's registers, list registers excepted.
    #[inline]
    pub(super) fn load(&self, regs: &GicRegs) {
        either!(self, gic => gic.load(regs));
    }
}

/// Obeys a software-generated interrupt that is not for the caller.
#[inline]
fn obey(sgi: u32) {
    match sgi {
        SGI_STOP => cpu::park(),
        SGI_HOLD => hold::wait(),
        _ => {}
    }
}

/// Sets up the shared lines: disabled, inactive, one priority, level.
fn reset_shared_lines(distributor: Mmio, lines: u32) {
    for n in (FIRST_SPI as usize..lines as usize).step_by(32) {
        distributor.write32(ICENABLER + n / 8, u32::MAX);
        distributor.write32(ICACTIVER + n / 8, u32::MAX);
    }
    for n in (FIRST_SPI as usize..lines as usize).step_by(16) {
        distributor.write32(ICFGR + n / 4, 0);
    }
    for n in (FIRST_SPI as usize..lines as usize).step_by(4) {
        distributor.write32(IPRIORITYR + n, PRIORITY);
    }
}

/// Sets up a pCPU's private lines likewise; software-generated interrupts are enabled.
fn reset_private_lines(bank: Mmio) {
    const SGIS: u32 = 0xffff;
    bank.write32(ICENABLER, !SGIS);
    bank.write32(ICACTIVER, u32::MAX);
    for n in (0..FIRST_SPI as usize).step_by(4) {
        bank.write32(IPRIORITYR + n, PRIORITY);
    }
    bank.write32(ISENABLER, SGIS);
}
