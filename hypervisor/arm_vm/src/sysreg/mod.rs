//! Trapped system registers: what a guest reads, and what a write does.
//!
//! The policy expects the traps of [`controls`]. A register that is not listed is undefined for the guest: whatever is
//! new in a CPU stays hidden until somebody adds it here.

pub mod controls;
mod id_regs;

pub use id_regs::{ID_REGS, IdRegs};

use crate::exit::SysReg;
use crate::timer::TimerReg;
use crate::vgic::{SgiKind, Version};

/// What reading a register gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// This value.
    Value(u64),
    /// A register of the vCPU's physical timer.
    Timer(TimerReg),
    /// Undefined instruction.
    Undefined,
}

/// What writing a register does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Nothing.
    Ignore,
    /// A register of the vCPU's physical timer changes.
    Timer(TimerReg),
    /// Software-generated interrupts are sent.
    Sgi(SgiKind),
    /// Cache maintenance by set and way: to be done for all of the domain's memory, as long as the guest runs with
    /// caches off.
    SetWay,
    /// Undefined instruction.
    Undefined,
}

const ICC_SGI1R_EL1: SysReg = SysReg::new(3, 0, 12, 11, 5);
const ICC_ASGI1R_EL1: SysReg = SysReg::new(3, 0, 12, 11, 6);
const ICC_SGI0R_EL1: SysReg = SysReg::new(3, 0, 12, 11, 7);
const ICC_SRE_EL1: SysReg = SysReg::new(3, 0, 12, 12, 5);
const CNTP_TVAL_EL0: SysReg = SysReg::new(3, 3, 14, 2, 0);
const CNTP_CTL_EL0: SysReg = SysReg::new(3, 3, 14, 2, 1);
const CNTP_CVAL_EL0: SysReg = SysReg::new(3, 3, 14, 2, 2);
const ACTLR_EL1: SysReg = SysReg::new(3, 0, 1, 0, 1);
const DC_ISW: SysReg = SysReg::new(1, 0, 7, 6, 2);
const DC_CSW: SysReg = SysReg::new(1, 0, 7, 10, 2);
const DC_CISW: SysReg = SysReg::new(1, 0, 7, 14, 2);
const MDRAR_EL1: SysReg = SysReg::new(2, 0, 1, 0, 0);
const OSLAR_EL1: SysReg = SysReg::new(2, 0, 1, 0, 4);
const OSLSR_EL1: SysReg = SysReg::new(2, 0, 1, 1, 4);
const MDCCSR_EL0: SysReg = SysReg::new(2, 3, 0, 1, 0);
const DBGAUTHSTATUS_EL1: SysReg = SysReg::new(2, 0, 7, 14, 6);
const PMUSERENR_EL0: SysReg = SysReg::new(3, 3, 9, 14, 0);

/// OSLSR_EL1: the OS lock exists and is not locked.
const OSLSR_UNLOCKED: u64 = 8;

/// Whether a register reads as zero and ignores writes, from EL1 only: debug and performance monitoring.
fn is_zero(reg: SysReg) -> bool {
    match (reg.op0(), reg.op1(), reg.crn(), reg.crm(), reg.op2()) {
        // Breakpoints and watchpoints: DBGBVR, DBGBCR, DBGWVR, DBGWCR.
        (2, 0, 0, _, 4..=7) => true,
        // MDCCINT, MDSCR, OSDTRRX, OSDTRTX, OSECCR.
        (2, 0, 0, 2, 0) | (2, 0, 0, 0 | 2 | 3 | 6, 2) => true,
        // OSDLR, DBGPRCR.
        (2, 0, 1, 3 | 4, 4) => true,
        // DBGCLAIMSET, DBGCLAIMCLR.
        (2, 0, 7, 8 | 9, 6) => true,
        // DBGDTR, DBGDTRRX and DBGDTRTX.
        (2, 3, 0, 4 | 5, 0) => true,
        // PMINTENSET, PMINTENCLR.
        (3, 0, 9, 14, 1 | 2) => true,
        // PMCR to PMOVSSET.
        (3, 3, 9, 12..=14, _) => true,
        // PMEVCNTR, PMEVTYPER, PMCCFILTR.
        (3, 3, 14, 8..=15, _) => true,
        _ => false,
    }
}

fn timer_reg(reg: SysReg) -> Option<TimerReg> {
    Some(match reg {
        CNTP_CTL_EL0 => TimerReg::Ctl,
        CNTP_CVAL_EL0 => TimerReg::Cval,
        CNTP_TVAL_EL0 => TimerReg::Tval,
        _ => return None,
    })
}

/// MRS of a trapped register. `from_el0`: executed at EL0, and not refused by EL1 (CNTKCTL_EL1 is checked by the CPU
/// before the trap).
pub fn read(reg: SysReg, from_el0: bool, ids: &IdRegs) -> Read {
    if let Some(reg) = timer_reg(reg) {
        return Read::Timer(reg);
    }
    match reg {
        MDCCSR_EL0 | PMUSERENR_EL0 => return Read::Value(0),
        _ if from_el0 => return Read::Undefined,
        _ => {}
    }
    match reg {
        ACTLR_EL1 | MDRAR_EL1 | DBGAUTHSTATUS_EL1 => Read::Value(0),
        OSLSR_EL1 => Read::Value(OSLSR_UNLOCKED),
        // Trapped for a guest with version 2 only: there is no system register interface.
        ICC_SRE_EL1 => Read::Value(0),
        _ if is_zero(reg) => Read::Value(0),
        _ => match ids.get(reg) {
            Some(value) => Read::Value(value),
            None => Read::Undefined,
        },
    }
}

/// MSR (or a system instruction) of a trapped register.
pub fn write(reg: SysReg, from_el0: bool, gic: Version) -> Write {
    if let Some(reg) = timer_reg(reg) {
        return Write::Timer(reg);
    }
    if from_el0 {
        return Write::Undefined;
    }
    match reg {
        ICC_SGI1R_EL1 if gic == Version::V3 => Write::Sgi(SgiKind::Sgi1r),
        ICC_ASGI1R_EL1 if gic == Version::V3 => Write::Sgi(SgiKind::Asgi1r),
        ICC_SGI0R_EL1 if gic == Version::V3 => Write::Sgi(SgiKind::Sgi0r),
        DC_ISW | DC_CSW | DC_CISW => Write::SetWay,
        ACTLR_EL1 | OSLAR_EL1 | ICC_SRE_EL1 => Write::Ignore,
        _ if is_zero(reg) => Write::Ignore,
        _ => Write::Undefined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ids() -> IdRegs {
        IdRegs::from_host(&[u64::MAX; ID_REGS], Version::V3)
    }

    #[test]
    fn timer_registers_are_handed_to_the_timer_from_either_level() {
        for from_el0 in [false, true] {
            assert_eq!(read(SysReg::new(3, 3, 14, 2, 1), from_el0, &ids()), Read::Timer(TimerReg::Ctl));
            assert_eq!(
                write(SysReg::new(3, 3, 14, 2, 0), from_el0, Version::V2),
                Write::Timer(TimerReg::Tval)
            );
            assert_eq!(
                write(SysReg::new(3, 3, 14, 2, 2), from_el0, Version::V2),
                Write::Timer(TimerReg::Cval)
            );
        }
    }

    #[test]
    fn sgi_registers_exist_with_version_3_only_and_cannot_be_read() {
        for (op2, kind) in [(5, SgiKind::Sgi1r), (6, SgiKind::Asgi1r), (7, SgiKind::Sgi0r)] {
            let reg = SysReg::new(3, 0, 12, 11, op2);
            assert_eq!(write(reg, false, Version::V3), Write::Sgi(kind));
            assert_eq!(write(reg, false, Version::V2), Write::Undefined);
            assert_eq!(write(reg, true, Version::V3), Write::Undefined);
            assert_eq!(read(reg, false, &ids()), Read::Undefined);
        }
        assert_eq!(read(ICC_SRE_EL1, false, &ids()), Read::Value(0));
        assert_eq!(write(ICC_SRE_EL1, false, Version::V2), Write::Ignore);
    }

    #[test]
    fn cache_maintenance_by_set_and_way_is_reported() {
        for crm in [6, 10, 14] {
            assert_eq!(write(SysReg::new(1, 0, 7, crm, 2), false, Version::V3), Write::SetWay);
            assert_eq!(
                write(SysReg::new(1, 0, 7, crm, 4), false, Version::V3),
                Write::Undefined,
                "with tags"
            );
        }
    }

    #[test]
    fn debug_and_monitor_registers_are_zero_at_el1_and_undefined_at_el0() {
        for reg in [
            SysReg::new(2, 0, 0, 2, 2),
            SysReg::new(2, 0, 0, 15, 7),
            SysReg::new(2, 0, 1, 3, 4),
            SysReg::new(3, 3, 9, 12, 0),
            SysReg::new(3, 3, 14, 15, 7),
            SysReg::new(3, 0, 9, 14, 1),
        ] {
            assert_eq!(read(reg, false, &ids()), Read::Value(0), "{reg:?}");
            assert_eq!(write(reg, false, Version::V3), Write::Ignore, "{reg:?}");
            assert_eq!(read(reg, true, &ids()), Read::Undefined, "{reg:?}");
            assert_eq!(write(reg, true, Version::V3), Write::Undefined, "{reg:?}");
        }
        assert_eq!(read(OSLSR_EL1, false, &ids()), Read::Value(8));
        assert_eq!(write(OSLSR_EL1, false, Version::V3), Write::Undefined, "read only");
        assert_eq!(read(OSLAR_EL1, false, &ids()), Read::Undefined, "write only");
        assert_eq!(write(OSLAR_EL1, false, Version::V3), Write::Ignore);
        assert_eq!(read(PMUSERENR_EL0, true, &ids()), Read::Value(0));
        assert_eq!(write(PMUSERENR_EL0, true, Version::V3), Write::Undefined);
        assert_eq!(write(PMUSERENR_EL0, false, Version::V3), Write::Ignore);
        assert_eq!(read(MDRAR_EL1, false, &ids()), Read::Value(0));
        assert_eq!(write(MDRAR_EL1, false, Version::V3), Write::Undefined);
    }

    #[test]
    fn identification_registers_are_read_only_and_for_el1() {
        let pfr0 = SysReg::new(3, 0, 0, 4, 0);
        assert!(matches!(read(pfr0, false, &ids()), Read::Value(_)));
        assert_eq!(read(pfr0, true, &ids()), Read::Undefined);
        assert_eq!(write(pfr0, false, Version::V3), Write::Undefined);
        assert_eq!(read(SysReg::new(3, 0, 0, 7, 7), false, &ids()), Read::Value(0), "not assigned yet");
    }

    #[test]
    fn everything_else_is_undefined() {
        for reg in [
            SysReg::new(3, 0, 15, 2, 0),
            SysReg::new(2, 1, 0, 0, 0),
            SysReg::new(3, 3, 13, 2, 0),
            SysReg::new(3, 0, 0, 0, 0),
            SysReg::new(3, 4, 1, 1, 0),
        ] {
            assert_eq!(read(reg, false, &ids()), Read::Undefined, "{reg:?}");
            assert_eq!(write(reg, false, Version::V3), Write::Undefined, "{reg:?}");
        }
    }

    proptest! {
        #[test]
        fn any_encoding_has_a_policy(op0: u8, op1: u8, crn: u8, crm: u8, op2: u8, el0: bool) {
            let reg = SysReg::new(op0, op1, crn, crm, op2);
            let _ = read(reg, el0, &ids());
            if el0 {
                prop_assert!(matches!(write(reg, el0, Version::V3), Write::Undefined | Write::Timer(_)));
            }
        }
    }
}
