//! CPU bugs: which CPUs have them, and what is done about each.
//!
//! The rules are Xen's defaults (its list of errata and of branch-predictor hardening); part
//! numbers are from MIDR_EL1 as documented in each core's reference manual.

const ARM: u64 = 0x41;

const CORTEX_A55: u64 = 0xd05;
const CORTEX_A57: u64 = 0xd07;
const CORTEX_A72: u64 = 0xd08;
const CORTEX_A73: u64 = 0xd09;
const CORTEX_A75: u64 = 0xd0a;
const CORTEX_A76: u64 = 0xd0b;
const NEOVERSE_N1: u64 = 0xd0c;
const CORTEX_A77: u64 = 0xd0d;
const CORTEX_A76AE: u64 = 0xd0e;
const NEOVERSE_V1: u64 = 0xd40;
const CORTEX_A78: u64 = 0xd41;
const CORTEX_A78AE: u64 = 0xd42;
const CORTEX_X1: u64 = 0xd44;
const CORTEX_A710: u64 = 0xd47;
const CORTEX_X2: u64 = 0xd48;
const NEOVERSE_N2: u64 = 0xd49;
const CORTEX_A78C: u64 = 0xd4b;
const CORTEX_X1C: u64 = 0xd4c;
const CORTEX_X3: u64 = 0xd4e;
const NEOVERSE_V2: u64 = 0xd4f;
const CORTEX_X4: u64 = 0xd82;
const NEOVERSE_V3AE: u64 = 0xd83;
const NEOVERSE_V3: u64 = 0xd84;
const CORTEX_X925: u64 = 0xd85;
const C1_ULTRA: u64 = 0xd8c;
const C1_PREMIUM: u64 = 0xd90;

/// The bugs of a CPU that need work at run time. Not listed: those whose workaround costs nothing
/// and is always on (device loads are acquiring loads for 832075; clean operations also invalidate
/// for 819472, 824069 and 827319; no guest's translation is selected while its registers change,
/// for 1165522, 1319367, 1319537 and 1530923; the linker avoids 843419).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bugs(u32);

impl Bugs {
    /// 834220: a stage-2 fault may be reported where stage 1 faults.
    pub const FALSE_STAGE2_FAULT: Self = Self(1 << 0);
    /// 1286807 and CVE-2025-10263: TLB invalidations need a second one behind them.
    pub const REPEAT_TLBI: Self = Self(1 << 1);
    /// 858921: the counter may be misread while its low half overflows.
    pub const COUNTER_READ: Self = Self(1 << 2);
    /// 1508412: reads of PAR_EL1 need barriers around them.
    pub const PAR_READ: Self = Self(1 << 3);
    /// 832075 or 1508412: guests that know nothing of them can lock up the machine.
    pub const GUEST_DEADLOCK: Self = Self(1 << 4);

    /// The bugs in either.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `bugs` are there.
    #[inline]
    pub const fn has(self, bugs: Self) -> bool {
        self.0 & bugs.0 == bugs.0
    }

    /// The bits, to keep in an atomic word.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The bugs that [`Bugs::bits`] stands for.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The bugs of the CPU with this MIDR_EL1.
    pub fn of(midr: u64) -> Self {
        let cpu = Cpu::of(midr);
        let mut bugs = Self::default();
        let mut add = |condition: bool, bug: Self| {
            if condition {
                bugs = bugs.union(bug);
            }
        };
        if cpu.implementer != ARM {
            return bugs;
        }
        let old_a57 = cpu.part == CORTEX_A57 && cpu.revision <= 0x12;
        let old_a77 = cpu.part == CORTEX_A77 && cpu.revision <= 0x10;
        add(old_a57, Self::FALSE_STAGE2_FAULT);
        add(cpu.part == CORTEX_A73, Self::COUNTER_READ);
        add(old_a77, Self::PAR_READ);
        add(old_a57 || old_a77, Self::GUEST_DEADLOCK);
        let repeat = matches!(
            cpu.part,
            CORTEX_A76
                | CORTEX_A76AE
                | CORTEX_A77
                | CORTEX_A78
                | CORTEX_A78AE
                | CORTEX_A78C
                | CORTEX_A710
                | CORTEX_X1
                | CORTEX_X1C
                | CORTEX_X2
                | CORTEX_X3
                | CORTEX_X4
                | CORTEX_X925
                | NEOVERSE_N1
                | NEOVERSE_N2
                | NEOVERSE_V1
                | NEOVERSE_V2
                | NEOVERSE_V3
                | NEOVERSE_V3AE
                | C1_ULTRA
                | C1_PREMIUM
        );
        add(repeat, Self::REPEAT_TLBI);
        bugs
    }
}

struct Cpu {
    implementer: u64,
    part: u64,
    /// Variant in bits 7:4, revision in bits 3:0: r1p2 is 0x12.
    revision: u64,
}

impl Cpu {
    fn of(midr: u64) -> Self {
        Self {
            implementer: midr >> 24 & 0xff,
            part: midr >> 4 & 0xfff,
            revision: (midr >> 20 & 0xf) << 4 | midr & 0xf,
        }
    }
}

/// What a CPU does on entry from a guest, so that the guest cannot steer its branch predictor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hardening {
    /// The CPU needs nothing.
    NotNeeded,
    /// The CPU needs it, but neither the CPU nor the firmware offers a way.
    Missing,
    /// Run a loop of this many branches.
    BranchLoop(u32),
    /// Use the instruction CLRBHB.
    ClearInstruction,
    /// Call the firmware's SMCCC_ARCH_WORKAROUND_1.
    Firmware1,
    /// Call the firmware's SMCCC_ARCH_WORKAROUND_3.
    Firmware3,
}

/// What a CPU says about itself, for [`Hardening::choose`].
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuIds {
    /// MIDR_EL1.
    pub midr: u64,
    /// ID_AA64PFR0_EL1.
    pub pfr0: u64,
    /// ID_AA64MMFR1_EL1.
    pub mmfr1: u64,
    /// ID_AA64ISAR2_EL1.
    pub isar2: u64,
}

impl Hardening {
    /// Chooses for a CPU; `firmware1` and `firmware3` tell whether the firmware offers
    /// SMCCC_ARCH_WORKAROUND_1 and _3 on it.
    pub fn choose(ids: CpuIds, firmware1: bool, firmware3: bool) -> Self {
        let cpu = Cpu::of(ids.midr);
        if cpu.implementer != ARM {
            return Self::NotNeeded;
        }
        let csv2 = ids.pfr0 >> 56 & 0xf;
        let target_injection = match csv2 {
            0 if firmware1 => Self::Firmware1,
            0 => Self::Missing,
            _ => Self::NotNeeded,
        };

        let loops = match cpu.part {
            CORTEX_A57 => return target_injection,
            CORTEX_A72 if cpu.revision < 0x10 => return target_injection,
            CORTEX_A72 => Some(8),
            CORTEX_A76 | CORTEX_A77 | NEOVERSE_N1 => Some(24),
            CORTEX_A78 | CORTEX_A78C | CORTEX_A710 | CORTEX_X1 | CORTEX_X2 | NEOVERSE_N2 | NEOVERSE_V1 => {
                Some(32)
            }
            CORTEX_A73 | CORTEX_A75 => None,
            _ => return Self::NotNeeded,
        };
        // CSV2_3 and ECBHB: branch history does not carry over. CLRBHB: the instruction exists.
        if csv2 == 3 || ids.mmfr1 >> 60 & 0xf != 0 {
            return Self::NotNeeded;
        }
        if ids.isar2 >> 28 & 0xf != 0 {
            return Self::ClearInstruction;
        }
        match loops {
            Some(n) => Self::BranchLoop(n),
            None if firmware3 => Self::Firmware3,
            None if target_injection == Self::Firmware1 => Self::Firmware1,
            None => Self::Missing,
        }
    }
}

/// Whether the CPU's translation can be disturbed by speculative AT instructions (1165522, 1319367,
/// 1319537, 1530923). The workaround is always on; this is for the boot messages.
pub fn speculates_at(midr: u64) -> bool {
    let cpu = Cpu::of(midr);
    cpu.implementer == ARM
        && match cpu.part {
            CORTEX_A55 | CORTEX_A57 | CORTEX_A72 => true,
            CORTEX_A76 | NEOVERSE_N1 => cpu.revision <= 0x20,
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn midr(part: u64, revision: u64) -> u64 {
        ARM << 24 | (revision >> 4) << 20 | 0xf << 16 | part << 4 | revision & 0xf
    }

    use Hardening as H;

    #[test]
    fn cortex_a57_r1p0_has_its_bugs() {
        let bugs = Bugs::of(0x411f_d070);
        assert!(bugs.has(Bugs::FALSE_STAGE2_FAULT) && bugs.has(Bugs::GUEST_DEADLOCK));
        assert!(!bugs.has(Bugs::REPEAT_TLBI) && !bugs.has(Bugs::COUNTER_READ));
        assert_eq!(Bugs::of(midr(CORTEX_A57, 0x13)), Bugs::default());
        assert!(speculates_at(0x411f_d070));
    }

    #[test]
    fn other_implementers_have_none_of_these() {
        let midr = midr(CORTEX_A76, 0) & !(0xff << 24);
        assert_eq!(Bugs::of(midr), Bugs::default());
        assert_eq!(H::choose(CpuIds { midr, ..CpuIds::default() }, true, true), Hardening::NotNeeded);
        assert!(!speculates_at(midr));
    }

    #[test]
    fn revision_decides_where_a_bug_was_fixed() {
        assert!(Bugs::of(midr(CORTEX_A77, 0x10)).has(Bugs::PAR_READ));
        assert!(!Bugs::of(midr(CORTEX_A77, 0x11)).has(Bugs::PAR_READ));
        assert!(Bugs::of(midr(CORTEX_A76, 0x40)).has(Bugs::REPEAT_TLBI));
        assert!(!speculates_at(midr(CORTEX_A76, 0x30)));
    }

    #[test]
    fn firmware_is_called_only_when_it_offers() {
        let a57 = CpuIds { midr: midr(CORTEX_A57, 0x10), ..CpuIds::default() };
        assert_eq!(H::choose(a57, true, true), Hardening::Firmware1);
        assert_eq!(H::choose(a57, false, false), Hardening::Missing);
        let a73 = CpuIds { midr: midr(CORTEX_A73, 0), ..CpuIds::default() };
        assert_eq!(H::choose(a73, true, true), Hardening::Firmware3);
        assert_eq!(H::choose(a73, true, false), Hardening::Firmware1);
        assert_eq!(H::choose(a73, false, false), Hardening::Missing);
        let a73_csv2 = CpuIds { pfr0: 1 << 56, ..a73 };
        assert_eq!(H::choose(a73_csv2, true, false), Hardening::Missing);
    }

    #[test]
    fn unaffected_features_switch_hardening_off() {
        let a72 = CpuIds { midr: midr(CORTEX_A72, 0x10), ..CpuIds::default() };
        assert_eq!(H::choose(a72, false, false), Hardening::BranchLoop(8));
        assert_eq!(H::choose(CpuIds { pfr0: 3 << 56, ..a72 }, false, false), Hardening::NotNeeded);
        assert_eq!(H::choose(CpuIds { mmfr1: 1 << 60, ..a72 }, false, false), Hardening::NotNeeded);
        assert_eq!(H::choose(CpuIds { isar2: 1 << 28, ..a72 }, false, false), Hardening::ClearInstruction);
        let n2 = CpuIds { midr: midr(NEOVERSE_N2, 0), ..CpuIds::default() };
        assert_eq!(H::choose(n2, false, false), Hardening::BranchLoop(32));
    }
}
