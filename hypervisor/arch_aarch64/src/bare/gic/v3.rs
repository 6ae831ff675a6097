//! GICv3: CPU interfaces in system registers, a redistributor for each CPU.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arm_regs::GicRegs;

use super::{FIRST_PPI, FIRST_SPI, GICD_CTLR, SPECIAL, obey, reset_private_lines, reset_shared_lines};
use crate::bare::cpu;
use crate::bare::mmio::Mmio;
use crate::bare::sysreg as reg;
use crate::layout::MAX_CPUS;

/// The group of each line; 1 is for the non-secure world.
const IGROUPR: usize = 0x080;
const GICD_IROUTER: usize = 0x6000;
/// Affinity routing, and group 1 on: in both security states' views of the register.
const GICD_CTLR_ON: u32 = 1 << 4 | 1 << 1 | 1 << 0;
/// Register write pending.
const GICD_CTLR_RWP: u32 = 1 << 31;

const GICR_CTLR: usize = 0x00;
const GICR_TYPER: usize = 0x08;
const GICR_WAKER: usize = 0x14;
const GICR_CTLR_RWP: u32 = 1 << 3;
const WAKER_SLEEP: u32 = 1 << 1;
const WAKER_ASLEEP: u32 = 1 << 2;
/// The frame with the private lines' registers follows the first.
const SGI_FRAME: usize = 0x1_0000;
const FRAME: usize = 0x1_0000;
/// The size of a redistributor without virtual LPIs.
pub(in crate::bare) const GICR_SIZE: u64 = 2 * FRAME as u64;
const TYPER_LAST: u64 = 1 << 4;
const TYPER_VLPIS: u64 = 1 << 1;

/// ICC_CTLR_EL1.EOImode: end of interrupt in two steps.
const CTLR_EOI_MODE: u64 = 1 << 1;
/// ICC_SRE_EL2: system registers on, bypass off, EL1 may use them.
const SRE_ON: u64 = 0xf;

/// A CPU's redistributor.
#[derive(Clone, Copy, Debug)]
pub struct Redistributor {
    affinity: u64,
    registers: Mmio,
}

impl Redistributor {
    /// The one with these registers, at least its first two frames.
    pub(in crate::bare) fn new(registers: Mmio) -> Self {
        let typer = registers.read64(GICR_TYPER);
        // Aff3 to Aff0 in bits 63:32; MPIDR_EL1 has Aff3 in bits 39:32.
        let packed = typer >> 32;
        Self { affinity: (packed & 0xff00_0000) << 8 | packed & 0xff_ffff, registers }
    }

    /// Whether it is the last of its region.
    pub(in crate::bare) fn is_last(&self) -> bool {
        self.registers.read64(GICR_TYPER) & TYPER_LAST != 0
    }

    /// How far away the next one is.
    pub(in crate::bare) fn stride(&self) -> u64 {
        if self.registers.read64(GICR_TYPER) & TYPER_VLPIS != 0 { 4 * FRAME as u64 } else { GICR_SIZE }
    }
}

/// A GICv3.
pub struct V3 {
    distributor: Mmio,
    redistributors: Vec<Redistributor>,
    /// For each pCPU, which redistributor is its own.
    own: [AtomicUsize; MAX_CPUS],
    /// For each pCPU, its affinity as in MPIDR_EL1.
    affinity: [AtomicU64; MAX_CPUS],
    nr_lrs: usize,
    nr_aprs: usize,
}

impl V3 {
    pub(super) fn new(distributor: Mmio, redistributors: Vec<Redistributor>, lines: u32) -> Self {
        reg::ICC_SRE_EL2.write(SRE_ON);
        reg::isb();
        let vtr = reg::ICH_VTR_EL2.read();
        let gic = Self {
            distributor,
            redistributors,
            own: [const { AtomicUsize::new(0) }; MAX_CPUS],
            affinity: [const { AtomicU64::new(0) }; MAX_CPUS],
            nr_lrs: (vtr as usize & 31) + 1,
            // 5 preemption bits need one register of 32 bits, 6 two, 7 four.
            nr_aprs: 1 << ((vtr >> 26 & 7) as usize + 1).saturating_sub(5).min(2),
        };
        distributor.write32(GICD_CTLR, 0);
        gic.wait_for_writes(FIRST_SPI);
        reset_shared_lines(distributor, lines);
        for n in (FIRST_SPI as usize..lines as usize).step_by(32) {
            distributor.write32(IGROUPR + n / 8, u32::MAX);
        }
        distributor.write32(GICD_CTLR, GICD_CTLR_ON);
        gic.wait_for_writes(FIRST_SPI);
        let here = reg::MPIDR_EL1.read() & cpu::MPIDR_AFFINITY;
        for irq in FIRST_SPI as usize..lines as usize {
            distributor.write64(GICD_IROUTER + irq * 8, here);
        }
        gic
    }

    fn redistributor(&self, mpidr: u64) -> Option<usize> {
        self.redistributors.iter().position(|r| r.affinity == mpidr)
    }

    pub(super) fn has_cpu(&self, mpidr: u64) -> bool {
        self.redistributor(mpidr).is_some()
    }

    pub(super) fn init_cpu(&self, cpu: usize, mpidr: u64) {
        let Some(index) = self.redistributor(mpidr) else { return };
        self.own[cpu].store(index, Ordering::Relaxed);
        self.affinity[cpu].store(mpidr, Ordering::Relaxed);
        let registers = self.redistributors[index].registers;
        registers.write32(GICR_WAKER, registers.read32(GICR_WAKER) & !WAKER_SLEEP);
        while registers.read32(GICR_WAKER) & WAKER_ASLEEP != 0 {
            core::hint::spin_loop();
        }
        if let Some(bank) = registers.part(SGI_FRAME, FRAME) {
            bank.write32(IGROUPR, u32::MAX);
            reset_private_lines(bank);
        }
        self.wait_for_writes(0);
        reg::ICC_SRE_EL2.write(SRE_ON);
        reg::isb();
        reg::ICC_SRE_EL1.write(1);
        reg::ICC_PMR_EL1.write(0xf0);
        reg::ICC_BPR1_EL1.write(0);
        reg::ICC_CTLR_EL1.write(CTLR_EOI_MODE);
        reg::ICH_HCR_EL2.write(0);
        for n in 0..self.nr_lrs {
            self.write_lr(n, 0);
        }
        reg::ICC_IGRPEN1_EL1.write(1);
        reg::isb();
    }

    /// Waits until writes to the distributor, or to this pCPU's redistributor, have taken effect.
    pub(super) fn wait_for_writes(&self, irq: u32) {
        let (registers, control, pending) = if irq >= FIRST_SPI {
            (self.distributor, GICD_CTLR, GICD_CTLR_RWP)
        } else {
            let own = self.own[cpu::this() as usize].load(Ordering::Relaxed);
            (self.redistributors[own].registers, GICR_CTLR, GICR_CTLR_RWP)
        };
        while registers.read32(control) & pending != 0 {
            core::hint::spin_loop();
        }
    }

    #[inline]
    pub(super) fn acknowledge(&self) -> Option<u32> {
        let irq = reg::ICC_IAR1_EL1.read() as u32 & 0xff_ffff;
        // What the device wrote before it interrupted is visible from here on.
        reg::dsb(reg::SY);
        if irq >= SPECIAL {
            return None;
        }
        reg::ICC_EOIR1_EL1.write(u64::from(irq));
        if irq < FIRST_PPI {
            reg::ICC_DIR_EL1.write(u64::from(irq));
            obey(irq);
        }
        reg::isb();
        Some(irq)
    }

    #[inline]
    pub(super) fn deactivate(&self, irq: u32) {
        reg::ICC_DIR_EL1.write(u64::from(irq));
        reg::isb();
    }

    #[inline]
    pub(super) fn send(&self, sgi: u32, cpu: usize) {
        let Some(affinity) = self.affinity.get(cpu) else { return };
        let affinity = affinity.load(Ordering::Relaxed);
        let (aff0, aff1, aff2, aff3) =
            (affinity & 0xff, affinity >> 8 & 0xff, affinity >> 16 & 0xff, affinity >> 32 & 0xff);
        // Aff0 as a bit in a list of 16, whose range is selected by RS.
        let value = aff3 << 48
            | (aff0 >> 4) << 44
            | aff2 << 32
            | u64::from(sgi) << 24
            | aff1 << 16
            | 1 << (aff0 & 15);
        reg::dsb(reg::ISHST);
        reg::ICC_SGI1R_EL1.write(value);
        reg::isb();
    }

    pub(super) fn bank(&self, irq: u32) -> Option<Mmio> {
        if irq >= FIRST_SPI {
            return Some(self.distributor);
        }
        let own = self.own[cpu::this() as usize].load(Ordering::Relaxed);
        self.redistributors[own].registers.part(SGI_FRAME, FRAME)
    }

    pub(super) fn route(&self, irq: u32, cpu: usize) {
        if let Some(affinity) = self.affinity.get(cpu) {
            self.distributor.write64(GICD_IROUTER + irq as usize * 8, affinity.load(Ordering::Relaxed));
        }
    }

    #[inline]
    pub(super) fn nr_lrs(&self) -> usize {
        self.nr_lrs
    }

    #[inline]
    pub(super) fn read_lr(&self, n: usize) -> u64 {
        match n {
            0 => reg::ICH_LR0_EL2.read(),
            1 => reg::ICH_LR1_EL2.read(),
            2 => reg::ICH_LR2_EL2.read(),
            3 => reg::ICH_LR3_EL2.read(),
            4 => reg::ICH_LR4_EL2.read(),
            5 => reg::ICH_LR5_EL2.read(),
            6 => reg::ICH_LR6_EL2.read(),
            7 => reg::ICH_LR7_EL2.read(),
            8 => reg::ICH_LR8_EL2.read(),
            9 => reg::ICH_LR9_EL2.read(),
            10 => reg::ICH_LR10_EL2.read(),
            11 => reg::ICH_LR11_EL2.read(),
            12 => reg::ICH_LR12_EL2.read(),
            13 => reg::ICH_LR13_EL2.read(),
            14 => reg::ICH_LR14_EL2.read(),
            15 => reg::ICH_LR15_EL2.read(),
            _ => 0,
        }
    }

    #[inline]
    pub(super) fn write_lr(&self, n: usize, value: u64) {
        match n {
            0 => reg::ICH_LR0_EL2.write(value),
            1 => reg::ICH_LR1_EL2.write(value),
            2 => reg::ICH_LR2_EL2.write(value),
            3 => reg::ICH_LR3_EL2.write(value),
            4 => reg::ICH_LR4_EL2.write(value),
            5 => reg::ICH_LR5_EL2.write(value),
            6 => reg::ICH_LR6_EL2.write(value),
            7 => reg::ICH_LR7_EL2.write(value),
            8 => reg::ICH_LR8_EL2.write(value),
            9 => reg::ICH_LR9_EL2.write(value),
            10 => reg::ICH_LR10_EL2.write(value),
            11 => reg::ICH_LR11_EL2.write(value),
            12 => reg::ICH_LR12_EL2.write(value),
            13 => reg::ICH_LR13_EL2.write(value),
            14 => reg::ICH_LR14_EL2.write(value),
            15 => reg::ICH_LR15_EL2.write(value),
            _ => {}
        }
    }

    #[inline]
    pub(super) fn read_hcr(&self) -> u32 {
        reg::ICH_HCR_EL2.read() as u32
    }

    #[inline]
    pub(super) fn write_hcr(&self, value: u32) {
        reg::ICH_HCR_EL2.write(u64::from(value));
    }

    #[inline]
    pub(super) fn read_vmcr(&self) -> u64 {
        reg::ICH_VMCR_EL2.read()
    }

    #[inline]
    pub(super) fn save(&self, regs: &mut GicRegs) {
        regs.vmcr = reg::ICH_VMCR_EL2.read();
        regs.ap0r[0] = reg::ICH_AP0R0_EL2.read() as u32;
        regs.ap1r[0] = reg::ICH_AP1R0_EL2.read() as u32;
        if self.nr_aprs > 1 {
            regs.ap0r[1] = reg::ICH_AP0R1_EL2.read() as u32;
            regs.ap1r[1] = reg::ICH_AP1R1_EL2.read() as u32;
        }
        if self.nr_aprs > 2 {
            regs.ap0r[2] = reg::ICH_AP0R2_EL2.read() as u32;
            regs.ap1r[2] = reg::ICH_AP1R2_EL2.read() as u32;
            regs.ap0r[3] = reg::ICH_AP0R3_EL2.read() as u32;
            regs.ap1r[3] = reg::ICH_AP1R3_EL2.read() as u32;
        }
        reg::ICH_HCR_EL2.write(0);
    }

    #[inline]
    pub(super) fn load(&self, regs: &GicRegs) {
        reg::ICH_VMCR_EL2.write(regs.vmcr);
        reg::ICH_AP0R0_EL2.write(u64::from(regs.ap0r[0]));
        reg::ICH_AP1R0_EL2.write(u64::from(regs.ap1r[0]));
        if self.nr_aprs > 1 {
            reg::ICH_AP0R1_EL2.write(u64::from(regs.ap0r[1]));
            reg::ICH_AP1R1_EL2.write(u64::from(regs.ap1r[1]));
        }
        if self.nr_aprs > 2 {
            reg::ICH_AP0R2_EL2.write(u64::from(regs.ap0r[2]));
            reg::ICH_AP1R2_EL2.write(u64::from(regs.ap1r[2]));
            reg::ICH_AP0R3_EL2.write(u64::from(regs.ap0r[3]));
            reg::ICH_AP1R3_EL2.write(u64::from(regs.ap1r[3]));
        }
    }
}
