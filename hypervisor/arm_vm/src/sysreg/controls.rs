//! The trap controls of EL2 that the models rely on while a guest runs; the ones of Xen 4.17.

/// HCR_EL2: stage 2 on; physical interrupts and SError to EL2; traps for WFI, WFE, SMC, identification (TID3), set and
/// way maintenance, ACTLR and implementation-defined registers; barriers and TLB maintenance at least inner shareable;
/// table walks through device memory refused; EL1 is AArch64.
pub const HCR_EL2: u64 =
    VM | SWIO | PTW | FMO | IMO | AMO | FB | BSU_INNER | TWI | TWE | TID3 | TSC | TIDCP | TACR | TSW | RW;

const VM: u64 = 1 << 0;
const SWIO: u64 = 1 << 1;
const PTW: u64 = 1 << 2;
const FMO: u64 = 1 << 3;
const IMO: u64 = 1 << 4;
const AMO: u64 = 1 << 5;
const FB: u64 = 1 << 9;
const BSU_INNER: u64 = 1 << 10;
/// HCR_EL2.TWI: WFI traps. To be cleared for guests that may idle natively.
pub const TWI: u64 = 1 << 13;
/// HCR_EL2.TWE: WFE traps. To be cleared for guests that may idle natively.
pub const TWE: u64 = 1 << 14;
const TID3: u64 = 1 << 18;
const TSC: u64 = 1 << 19;
const TIDCP: u64 = 1 << 20;
const TACR: u64 = 1 << 21;
const TSW: u64 = 1 << 22;
const RW: u64 = 1 << 31;

/// MDCR_EL2: debug and performance monitor registers trap. The number of counters (HPMN) is to be added.
pub const MDCR_EL2: u64 = (1 << 11) | (1 << 10) | (1 << 9) | (1 << 6) | (1 << 5);

/// CPTR_EL2 (without VHE): trace, activity monitors, SVE and SME trap; floating point does not; reserved bits are one.
pub const CPTR_EL2: u64 = (1 << 30) | (1 << 20) | 0x33ff;

/// HSTR_EL2: AArch32 CP15 c15 traps.
pub const HSTR_EL2: u64 = 1 << 15;

/// CNTHCTL_EL2 (without VHE): the physical counter can be read, the physical timer traps.
pub const CNTHCTL_EL2: u64 = 1 << 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_have_the_documented_values() {
        assert_eq!(HCR_EL2, 0x807c_663f);
        assert_eq!(MDCR_EL2, 0xe60);
        assert_eq!(CPTR_EL2 & (1 << 10), 0, "floating point runs free");
        assert_eq!(CPTR_EL2, 0x4010_33ff);
    }
}
