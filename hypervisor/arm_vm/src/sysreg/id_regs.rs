//! Identification registers: what of the host's features a guest may see.
//!
//! A table of what is kept; everything else reads as zero, so that no feature shows which the hypervisor neither
//! switches nor traps. Field positions are those of the Arm ARM (DDI 0487, D24.2). Hidden on purpose: SVE, SME, MTE,
//! pointer authentication, MPAM, AMU, RAS, LOR, GCS, EL2 and EL3, PMU, trace, profiling, and whatever needs HCRX_EL2 or
//! fine-grained traps.

use crate::exit::SysReg;
use crate::vgic::Version;

/// Number of registers: CRm 1 to 7, op2 0 to 7 of op0 3, op1 0, CRn 0.
pub const ID_REGS: usize = 56;

/// The values that a guest reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdRegs([u64; ID_REGS]);

/// Fields of one register that pass. A field is four bits and named by its lowest bit.
struct Rule {
    crm: u8,
    op2: u8,
    /// Fields that pass as they are.
    keep: &'static [u32],
    /// Fields that pass up to a value. 15 means "not there" in signed fields and passes.
    up_to: &'static [(u32, u64)],
}

const fn keep(crm: u8, op2: u8, keep: &'static [u32]) -> Rule {
    Rule { crm, op2, keep, up_to: &[] }
}

const ALL: &[u32] = &[0, 4, 8, 12, 16, 20, 24, 28];

#[rustfmt::skip]
const RULES: &[Rule] = &[
    // AArch32, for EL0.
    // ID_PFR0: State0 to State3, CSV2, DIT.
    keep(1, 0, &[0, 4, 8, 12, 16, 24]),
    // ID_PFR1: ProgMod, MProgMod, GenTimer.
    keep(1, 1, &[0, 8, 16]),
    // ID_DFR0: CopDbg, CopSDbg.
    keep(1, 2, &[0, 4]),
    // ID_MMFR0 to ID_MMFR3.
    keep(1, 4, ALL), keep(1, 5, ALL), keep(1, 6, ALL), keep(1, 7, ALL),
    // ID_ISAR0 to ID_ISAR5.
    keep(2, 0, ALL), keep(2, 1, ALL), keep(2, 2, ALL), keep(2, 3, ALL), keep(2, 4, ALL), keep(2, 5, ALL),
    // ID_MMFR4: AC2, CnP, HPDS, LSM, CCIDX.
    keep(2, 6, &[4, 12, 16, 20, 24]),
    // ID_ISAR6.
    keep(2, 7, ALL),
    // MVFR0 to MVFR2.
    keep(3, 0, ALL), keep(3, 1, ALL), keep(3, 2, ALL),
    // ID_PFR2: CSV3, SSBS.
    keep(3, 4, &[0, 4]),
    // ID_MMFR5: ETS, nTLBPA.
    keep(3, 6, &[0, 4]),

    // ID_AA64PFR0: EL0, FP, AdvSIMD, DIT, CSV3; EL1 in AArch64 only; GIC without version 4; CSV2 without SCXTNUM.
    Rule { crm: 4, op2: 0, keep: &[0, 16, 20, 48, 60], up_to: &[(4, 1), (GIC_FIELD, 1), (56, 1)] },
    // ID_AA64PFR1: BT, SSBS; CSV2_frac without SCXTNUM.
    Rule { crm: 4, op2: 1, keep: &[0, 4], up_to: &[(32, 1)] },
    // ID_AA64DFR0: breakpoints, watchpoints, context breakpoints as counts; Armv8.0 debug.
    Rule { crm: 5, op2: 0, keep: &[12, 20, 28], up_to: &[(0, 6)] },
    // ID_AA64ISAR0: AES, SHA1, SHA2, CRC32, Atomic, RDM, SHA3, SM3, SM4, DP, FHM, TS, TLB, RNDR.
    keep(6, 0, &[4, 8, 12, 16, 20, 28, 32, 36, 40, 44, 48, 52, 56, 60]),
    // ID_AA64ISAR1: DPB, JSCVT, FCMA, LRCPC, FRINTTS, SB, SPECRES, BF16, DGH, I8MM.
    keep(6, 1, &[0, 12, 16, 20, 32, 36, 40, 44, 48, 52]),
    // ID_AA64ISAR2: RPRES, BC, CLRBHB, RPRFM, CSSC.
    keep(6, 2, &[4, 20, 28, 48, 52]),
    // ID_AA64MMFR0: ASIDBits, BigEnd, SNSMem, BigEndEL0, ExS; 48 bits of address; granules without 52 bits.
    Rule { crm: 7, op2: 0, keep: &[4, 8, 12, 16, 44], up_to: &[(0, 5), (20, 1), (24, 0), (28, 0)] },
    // ID_AA64MMFR1: HPDS, PAN, SpecSEI, ETS, AFP, nTLBPA, ECBHB; HAFDBS without table flags.
    Rule { crm: 7, op2: 1, keep: &[12, 20, 24, 36, 44, 48, 60], up_to: &[(0, 2)] },
    // ID_AA64MMFR2: CnP, UAO, LSM, CCIDX, ST, AT, TTL, BBM, E0PD; VARange up to 52 bits.
    Rule { crm: 7, op2: 2, keep: &[0, 4, 8, 20, 28, 32, 48, 52, 60], up_to: &[(16, 1)] },
];

/// GIC field of ID_AA64PFR0_EL1.
const GIC_FIELD: u32 = 24;
/// ID_AA64PFR0_EL1.
const PFR0: SysReg = SysReg::new(3, 0, 0, 4, 0);

const fn field(shift: u32) -> u64 {
    0xfu64.wrapping_shl(shift)
}

/// Position of a register in the table.
fn index(reg: SysReg) -> Option<usize> {
    if (reg.op0(), reg.op1(), reg.crn()) != (3, 0, 0) {
        return None;
    }
    let row = reg.crm().checked_sub(1).filter(|row| *row < 7)?;
    Some((usize::from(row) << 3) | usize::from(reg.op2()))
}

impl IdRegs {
    /// From the host's registers, in the order of CRm, then op2: [`IdRegs::encodings`]. On a machine of unlike CPUs each
    /// field is to be the least of all CPUs'. A guest with version 2 sees no GIC system registers.
    pub fn from_host(host: &[u64; ID_REGS], gic: Version) -> Self {
        let mut values = [0; ID_REGS];
        for rule in RULES {
            let Some(at) = index(SysReg::new(3, 0, 0, rule.crm, rule.op2)) else { continue };
            if let (Some(value), Some(host)) = (values.get_mut(at), host.get(at)) {
                *value = rule.apply(*host);
            }
        }
        if gic == Version::V2
            && let Some(pfr0) = index(PFR0).and_then(|at| values.get_mut(at))
        {
            *pfr0 &= !field(GIC_FIELD);
        }
        Self(values)
    }

    /// The registers to read on the host, in the order that [`IdRegs::from_host`] wants them. Those without a meaning
    /// read as zero on every CPU.
    pub fn encodings() -> impl Iterator<Item = SysReg> {
        (1..8).flat_map(|crm| (0..8).map(move |op2| SysReg::new(3, 0, 0, crm, op2)))
    }

    /// What the guest reads; `None` if it is none of these registers.
    #[inline]
    pub fn get(&self, reg: SysReg) -> Option<u64> {
        self.0.get(index(reg)?).copied()
    }
}

impl Rule {
    fn apply(&self, host: u64) -> u64 {
        let mut value = 0;
        for &shift in self.keep {
            value |= host & field(shift);
        }
        for &(shift, most) in self.up_to {
            let found = host.wrapping_shr(shift) & 0xf;
            let shown = if found == 0xf { found } else { found.min(most) };
            value |= shown.wrapping_shl(shift);
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(crm: u8, op2: u8, host: u64) -> u64 {
        let mut all = [0; ID_REGS];
        all[index(SysReg::new(3, 0, 0, crm, op2)).unwrap()] = host;
        IdRegs::from_host(&all, Version::V3).get(SysReg::new(3, 0, 0, crm, op2)).unwrap()
    }

    #[test]
    fn a_plain_cortex_a57_is_shown_as_it_is_but_for_what_is_hidden() {
        // Values of QEMU's cortex-a57.
        assert_eq!(shown(4, 0, 0x0100_2222), 0x0100_0012, "EL2, EL3 hidden, EL1 in AArch64 only");
        assert_eq!(shown(5, 0, 0x1030_5106), 0x1030_5006, "PMU hidden");
        assert_eq!(shown(6, 0, 0x0001_1120), 0x0001_1120);
        assert_eq!(shown(7, 0, 0x0000_1124), 0x0000_1124);
        assert_eq!(shown(1, 2, 0x0301_0066), 0x0000_0066);
        assert_eq!(shown(1, 1, 0x1001_1011), 0x0001_0001);
    }

    #[test]
    fn features_without_support_are_hidden() {
        for (crm, op2, shift) in [
            (4, 0, 28),
            (4, 0, 32),
            (4, 0, 40),
            (4, 0, 44),
            (4, 0, 52),
            (4, 1, 8),
            (4, 1, 12),
            (4, 1, 24),
            (4, 1, 36),
            (4, 1, 44),
            (5, 0, 4),
            (5, 0, 8),
            (5, 0, 32),
            (5, 0, 40),
            (5, 0, 52),
            (6, 0, 24),
            (6, 1, 4),
            (6, 1, 8),
            (6, 1, 24),
            (6, 1, 28),
            (6, 1, 60),
            (6, 2, 0),
            (6, 2, 8),
            (6, 2, 12),
            (6, 2, 16),
            (7, 0, 56),
            (7, 0, 60),
            (7, 1, 8),
            (7, 1, 16),
            (7, 1, 40),
            (7, 2, 24),
            (7, 2, 40),
        ] {
            assert_eq!(shown(crm, op2, 1 << shift), 0, "CRm {crm} op2 {op2} bit {shift}");
        }
        for (crm, op2) in
            [(4, 2), (4, 4), (4, 5), (4, 7), (5, 1), (5, 4), (6, 3), (7, 3), (7, 4), (3, 5), (1, 3)]
        {
            assert_eq!(shown(crm, op2, u64::MAX), 0, "CRm {crm} op2 {op2}");
        }
    }

    #[test]
    fn capped_fields_keep_the_code_for_absence() {
        assert_eq!(shown(7, 0, 0xf110_0000), 0xf010_0000, "4K granule absent, 64K without 52 bits, 16K");
        assert_eq!(shown(7, 0, 0x0020_0006), 0x0010_0005);
        assert_eq!(shown(4, 0, 3 << 24), 1 << 24);
        assert_eq!(shown(4, 0, 2 << 56), 1 << 56);
        assert_eq!(shown(4, 0, 0xff_0000), 0xff_0000, "no floating point");
    }

    #[test]
    fn version_2_guest_sees_no_interrupt_controller_registers() {
        let host = [u64::MAX - (0xe << 24); ID_REGS];
        let field = |gic| IdRegs::from_host(&host, gic).get(PFR0).unwrap() >> 24 & 0xf;
        assert_eq!((field(Version::V2), field(Version::V3)), (0, 1));
    }

    #[test]
    fn encodings_come_in_table_order() {
        let all: Vec<_> = IdRegs::encodings().collect();
        assert_eq!(all.len(), ID_REGS);
        for (at, reg) in all.into_iter().enumerate() {
            assert_eq!(index(reg), Some(at));
        }
        assert_eq!(index(SysReg::new(3, 0, 0, 0, 0)), None);
        assert_eq!(index(SysReg::new(3, 0, 0, 8, 0)), None);
        assert_eq!(index(SysReg::new(3, 3, 0, 4, 0)), None);
    }

    proptest! {
        #[test]
        fn nothing_is_shown_that_the_host_lacks(host in proptest::array::uniform32(any::<u64>())) {
            let mut all = [0; ID_REGS];
            all[..32].copy_from_slice(&host);
            all[32..].copy_from_slice(&host[..24]);
            let ids = IdRegs::from_host(&all, Version::V3);
            for (at, reg) in IdRegs::encodings().enumerate() {
                let value = ids.get(reg).unwrap();
                for shift in (0..64).step_by(4) {
                    let (guest, host) = (value >> shift & 0xf, all[at] >> shift & 0xf);
                    prop_assert!(guest <= host);
                }
            }
        }
    }
}
