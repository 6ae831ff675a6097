//! Names for what ESR_EL2 holds (Arm ARM, ESR_EL2.EC and the data abort's DFSC).

/// What happened, for a person.
pub fn class_name(esr: u64) -> &'static str {
    match esr >> 26 & 0x3f {
        0x00 => "unknown reason",
        0x07 => "trapped SIMD or floating point",
        0x0e => "illegal execution state",
        0x15 => "SVC",
        0x16 => "HVC",
        0x17 => "SMC",
        0x18 => "trapped system register",
        0x20 => "instruction abort from a guest",
        0x21 => "instruction abort",
        0x22 => "misaligned PC",
        0x24 => "data abort from a guest",
        0x25 => "data abort",
        0x26 => "misaligned stack pointer",
        0x2c => "trapped floating-point exception",
        0x2f => "SError",
        0x30 | 0x31 => "breakpoint",
        0x34 | 0x35 => "watchpoint",
        0x3c => "BRK",
        _ => "other exception",
    }
}

/// Whether FAR_EL2 holds the address concerned: aborts, misaligned PC and watchpoints.
pub fn has_address(esr: u64) -> bool {
    matches!(esr >> 26 & 0x3f, 0x20..=0x22 | 0x24 | 0x25 | 0x34 | 0x35) && esr >> 10 & 1 == 0
}

/// The kind of fault of an abort.
pub fn fault_name(esr: u64) -> &'static str {
    match esr & 0x3f {
        0x00..=0x03 => "address size",
        0x04..=0x07 => "nothing mapped",
        0x08..=0x0b => "access flag",
        0x0c..=0x0f => "permission",
        0x10 => "external abort",
        0x14..=0x17 => "external abort on a table walk",
        0x18..=0x1f => "parity or ECC",
        0x21 => "alignment",
        0x30 => "TLB conflict",
        _ => "other fault",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_to_an_unmapped_address_is_named() {
        let esr = 0x25 << 26 | 1 << 25 | 1 << 6 | 0x07;
        assert_eq!(
            (class_name(esr), fault_name(esr), has_address(esr)),
            ("data abort", "nothing mapped", true)
        );
    }

    #[test]
    fn address_is_not_reported_when_the_register_is_not_valid() {
        assert!(!has_address(0x25 << 26 | 1 << 10 | 0x10));
        assert!(!has_address(0x3c << 26));
    }
}
