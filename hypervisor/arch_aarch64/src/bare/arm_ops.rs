//! The machine as the code for arm64 guests sees it.

use arm_regs::{ArmOps, PrivateIrqs};
use hal::Gaddr;

use super::machine::{Machine, page_of, with_par};
use super::sysreg as reg;
use super::{console, cpu, switch};
use crate::cpu_bugs::Bugs;

/// Reads the identification register with this CRm and op2; all of them are op0 3, op1 0, CRn 0.
/// Those without a meaning read as zero (Arm ARM, "AArch64 System register encoding space").
macro_rules! id_register {
    ($crm:expr, $op2:expr; $($m:literal)*) => {
        match ($crm, $op2) {
            $(
                ($m, 0) => reg::Reg::<{ reg::code(3, 0, 0, $m, 0) }, true>.read(),
                ($m, 1) => reg::Reg::<{ reg::code(3, 0, 0, $m, 1) }, true>.read(),
                ($m, 2) => reg::Reg::<{ reg::code(3, 0, 0, $m, 2) }, true>.read(),
                ($m, 3) => reg::Reg::<{ reg::code(3, 0, 0, $m, 3) }, true>.read(),
                ($m, 4) => reg::Reg::<{ reg::code(3, 0, 0, $m, 4) }, true>.read(),
                ($m, 5) => reg::Reg::<{ reg::code(3, 0, 0, $m, 5) }, true>.read(),
                ($m, 6) => reg::Reg::<{ reg::code(3, 0, 0, $m, 6) }, true>.read(),
                ($m, 7) => reg::Reg::<{ reg::code(3, 0, 0, $m, 7) }, true>.read(),
            )*
            _ => 0,
        }
    };
}

impl ArmOps for Machine {
    #[inline(always)]
    fn esr(&self) -> u64 {
        reg::ESR_EL2.read()
    }

    #[inline(always)]
    fn fault_address(&self) -> u64 {
        reg::FAR_EL2.read()
    }

    #[inline]
    fn fault_guest_address(&self, esr: u64) -> Option<Gaddr> {
        const S1PTW: u64 = 1 << 7;
        const TRANSLATION_FAULT: u64 = 0x4;
        let va = self.fault_address();
        // HPFAR_EL2 is valid for translation faults and for faults of a stage-1 walk.
        let translation = esr & 0x3c == TRANSLATION_FAULT;
        if esr & S1PTW != 0 || translation && !cpu::bugs().has(Bugs::FALSE_STAGE2_FAULT) {
            // Bits 43:4 have bits 51:12 of the address.
            let page = (reg::HPFAR_EL2.read() & 0xfff_ffff_fff0) << 8;
            return Some(Gaddr(page | va & 0xfff));
        }
        let par = with_par(|| reg::AT_S1E1R.run(va));
        page_of(par, va).map(Gaddr)
    }

    fn guest_aborted(&self) -> bool {
        switch::guest_serror_pending() != 0
    }

    fn id_register(&self, encoding: [u8; 5]) -> u64 {
        let [3, 0, 0, crm, op2] = encoding else { return 0 };
        id_register!(crm, op2; 1 2 3 4 5 6 7)
    }

    fn ticks_to_ns(&self, ticks: u64) -> u64 {
        self.clock().ns(ticks)
    }

    fn counter_hz(&self) -> u64 {
        self.clock().hz()
    }

    #[inline(always)]
    fn private_irqs(&self) -> PrivateIrqs {
        self.irqs()
    }

    fn gic_version(&self) -> u32 {
        self.gic().version()
    }

    fn gic_lines(&self) -> u32 {
        self.gic().lines()
    }

    #[inline]
    fn acknowledge(&self) -> Option<u32> {
        self.gic().acknowledge()
    }

    fn set_active(&self, irq: u32, active: bool) {
        self.gic().set_active(irq, active);
    }

    fn virtual_timer_is_due(&self) -> bool {
        /// CNTV_CTL_EL0 (Arm ARM D19): enabled, masked, condition met.
        const ENABLE: u64 = 1 << 0;
        const IMASK: u64 = 1 << 1;
        const ISTATUS: u64 = 1 << 2;
        reg::CNTV_CTL_EL0.read() & (ENABLE | IMASK | ISTATUS) == ENABLE | ISTATUS
    }

    fn nr_lrs(&self) -> usize {
        self.gic().nr_lrs()
    }

    #[inline]
    fn read_lr(&self, n: usize) -> u64 {
        self.gic().read_lr(n)
    }

    #[inline]
    fn write_lr(&self, n: usize, value: u64) {
        self.gic().write_lr(n, value);
    }

    #[inline]
    fn read_gic_hcr(&self) -> u32 {
        self.gic().read_hcr()
    }

    #[inline]
    fn write_gic_hcr(&self, value: u32) {
        self.gic().write_hcr(value);
    }

    #[inline]
    fn read_vmcr(&self) -> u64 {
        self.gic().read_vmcr()
    }

    fn console_read(&self) -> Option<u8> {
        console::read()
    }
}
