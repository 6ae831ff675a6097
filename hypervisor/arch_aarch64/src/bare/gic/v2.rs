//! GICv2: CPU interfaces in memory.
//!
//! Groups stay as firmware left them. Where there is a secure world all is in group 1 and bit 0 of
//! the control registers enables that; where there is none all is in group 0, and the bit enables
//! that.

use core::sync::atomic::{AtomicU8, Ordering};

use arm_regs::GicRegs;

use super::{FIRST_PPI, GICD_CTLR, SPECIAL, obey, reset_private_lines, reset_shared_lines};
use crate::bare::mmio::Mmio;
use crate::bare::sysreg as reg;
use crate::layout::MAX_CPUS;

const GICD_ITARGETSR: usize = 0x800;
const GICD_SGIR: usize = 0xf00;

const GICC_CTLR: usize = 0x00;
const GICC_PMR: usize = 0x04;
const GICC_BPR: usize = 0x08;
const GICC_IAR: usize = 0x0c;
const GICC_EOIR: usize = 0x10;
const GICC_DIR: usize = 0x1000;
/// Interrupts on, end of interrupt in two steps.
const GICC_CTLR_ON: u32 = 1 << 0 | 1 << 9;
/// A GIC-400 whose pages repeat 16 times: with 64 KiB granularity the two pages of the CPU
/// interface are the last of the first block and the first of the second.
const GICC_REPEATED: usize = 0x2_0000;
const GICC_REPEATED_START: usize = 0xf000;
const GICC_SIZE: usize = 0x2000;
const IAR_IRQ: u32 = 0x3ff;

const GICH_HCR: usize = 0x00;
const GICH_VTR: usize = 0x04;
const GICH_VMCR: usize = 0x08;
const GICH_APR: usize = 0xf0;
const GICH_LR: usize = 0x100;

/// A GICv2.
pub struct V2 {
    distributor: Mmio,
    cpu: Mmio,
    hypervisor: Mmio,
    nr_lrs: usize,
    /// For each pCPU, its bit in target masks.
    targets: [AtomicU8; MAX_CPUS],
}

impl V2 {
    pub(super) fn new(distributor: Mmio, cpu: Mmio, hypervisor: Mmio, lines: u32) -> Self {
        let repeated = match cpu.part(GICC_REPEATED_START, GICC_SIZE) {
            Some(part) if cpu.part(0, GICC_REPEATED).is_some() => Some(part),
            _ => None,
        };
        distributor.write32(GICD_CTLR, 0);
        reset_shared_lines(distributor, lines);
        let gic = Self {
            distributor,
            cpu: repeated.unwrap_or(cpu),
            hypervisor,
            nr_lrs: (hypervisor.read32(GICH_VTR) as usize & 0x3f) + 1,
            targets: [const { AtomicU8::new(0) }; MAX_CPUS],
        };
        let here = u32::from(gic.own_target());
        for n in (32..lines as usize).step_by(4) {
            distributor.write32(GICD_ITARGETSR + n, here * 0x0101_0101);
        }
        distributor.write32(GICD_CTLR, 1);
        gic
    }

    /// This pCPU's bit in target masks, as the read-only targets of private lines show it.
    fn own_target(&self) -> u8 {
        let targets = (0..32).step_by(4).map(|n| self.distributor.read32(GICD_ITARGETSR + n));
        let all = targets.fold(0, |all, word| all | word);
        let mask = (all | all >> 8 | all >> 16 | all >> 24) as u8;
        // A controller for a single CPU shows none.
        if mask == 0 { 1 } else { mask }
    }

    pub(super) fn init_cpu(&self, cpu: usize, _mpidr: u64) {
        if let Some(target) = self.targets.get(cpu) {
            target.store(self.own_target(), Ordering::Relaxed);
        }
        reset_private_lines(self.distributor);
        self.cpu.write32(GICC_PMR, 0xf0);
        self.cpu.write32(GICC_BPR, 0);
        self.hypervisor.write32(GICH_HCR, 0);
        for n in 0..self.nr_lrs {
            self.write_lr(n, 0);
        }
        self.cpu.write32(GICC_CTLR, GICC_CTLR_ON);
    }

    #[inline]
    pub(super) fn acknowledge(&self) -> Option<u32> {
        let value = self.cpu.read32(GICC_IAR);
        let irq = value & IAR_IRQ;
        if irq >= SPECIAL {
            return None;
        }
        self.cpu.write32(GICC_EOIR, value);
        if irq < FIRST_PPI {
            // With the sender's number, as it was read.
            self.cpu.write32(GICC_DIR, value);
            obey(irq);
        }
        Some(irq)
    }

    #[inline]
    pub(super) fn deactivate(&self, irq: u32) {
        self.cpu.write32(GICC_DIR, irq);
    }

    #[inline]
    pub(super) fn send(&self, sgi: u32, cpu: usize) {
        let Some(target) = self.targets.get(cpu) else { return };
        reg::dsb(reg::ISHST);
        self.distributor.write32(GICD_SGIR, u32::from(target.load(Ordering::Relaxed)) << 16 | sgi);
    }

    pub(super) fn bank(&self, _irq: u32) -> Option<Mmio> {
        Some(self.distributor)
    }

    pub(super) fn route(&self, irq: u32, cpu: usize) {
        if let Some(target) = self.targets.get(cpu) {
            self.distributor.write8(GICD_ITARGETSR + irq as usize, target.load(Ordering::Relaxed));
        }
    }

    #[inline]
    pub(super) fn nr_lrs(&self) -> usize {
        self.nr_lrs
    }

    #[inline]
    pub(super) fn read_lr(&self, n: usize) -> u64 {
        u64::from(self.hypervisor.read32(GICH_LR + n * 4))
    }

    #[inline]
    pub(super) fn write_lr(&self, n: usize, value: u64) {
        self.hypervisor.write32(GICH_LR + n * 4, value as u32);
    }

    #[inline]
    pub(super) fn read_hcr(&self) -> u32 {
        self.hypervisor.read32(GICH_HCR)
    }

    #[inline]
    pub(super) fn write_hcr(&self, value: u32) {
        self.hypervisor.write32(GICH_HCR, value);
    }

    #[inline]
    pub(super) fn read_vmcr(&self) -> u64 {
        u64::from(self.hypervisor.read32(GICH_VMCR))
    }

    #[inline]
    pub(super) fn save(&self, regs: &mut GicRegs) {
        regs.vmcr = self.read_vmcr();
        regs.ap1r[0] = self.hypervisor.read32(GICH_APR);
        self.hypervisor.write32(GICH_HCR, 0);
    }

    #[inline]
    pub(super) fn load(&self, regs: &GicRegs) {
        self.hypervisor.write32(GICH_VMCR, regs.vmcr as u32);
        self.hypervisor.write32(GICH_APR, regs.ap1r[0]);
    }
}
