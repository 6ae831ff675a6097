//! The guest's RAM.
use xen_abi::arch_arm::{GUEST_RAM_BANK, GUEST_RAM_MAX};

use crate::error::BuildError;

const PAGE: u64 = 4096;
const MIB: u64 = 1 << 20;

/// A range of the guest's RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bank {
    /// First byte, on a 1 GiB boundary.
    pub base: u64,
    /// Bytes, whole pages; 0 for a bank that the guest does not use.
    pub size: u64,
}

impl Bank {
    /// First byte behind it.
    pub fn end(&self) -> u64 {
        // Both come from Xen's constants, far from the end of the number.
        self.base + self.size
    }
}

/// Fills Xen's banks in order with `bytes` of RAM. Addresses have `address_bits` bits.
pub(crate) fn banks(bytes: u64, address_bits: u8) -> Result<[Bank; 2], BuildError> {
    let mut left = bytes / PAGE * PAGE;
    if left == 0 {
        return Err(BuildError::NoMemory);
    }
    let banks = GUEST_RAM_BANK.map(|(base, most)| {
        let size = left.min(most.min(end_of_addresses(address_bits).saturating_sub(base)));
        left -= size;
        Bank { base, size }
    });
    if left == 0 {
        return Ok(banks);
    }
    let most = GUEST_RAM_MAX.min(banks.iter().map(|bank| bank.size).sum());
    Err(BuildError::TooMuchMemory { mib: bytes.div_ceil(MIB), most_mib: most / MIB })
}

/// The addresses that a guest can have nothing at and behind.
pub(crate) fn end_of_addresses(address_bits: u8) -> u64 {
    1 << address_bits.min(63)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn sizes(bytes: u64) -> [u64; 2] {
        banks(bytes, 40).unwrap().map(|bank| bank.size)
    }

    #[test]
    fn first_bank_is_filled_before_the_second() {
        assert_eq!(sizes(256 * MIB), [256 * MIB, 0]);
        assert_eq!(sizes(3 * GIB), [3 * GIB, 0]);
        assert_eq!(sizes(4 * GIB + PAGE + 1), [3 * GIB, GIB + PAGE]);
        assert_eq!(banks(GIB, 40).unwrap().map(|bank| bank.base), [0x4000_0000, 0x2_0000_0000]);
    }

    #[test]
    fn nothing_and_too_much_are_errors() {
        assert_eq!(banks(4095, 40), Err(BuildError::NoMemory));
        assert!(banks(GUEST_RAM_MAX, 40).is_ok());
        assert!(matches!(banks(GUEST_RAM_MAX + PAGE, 48), Err(BuildError::TooMuchMemory { .. })));
        assert!(banks(u64::MAX, 255).is_err());
    }

    #[test]
    fn addresses_bound_memory_too() {
        assert_eq!(sizes_at(36, 32 * GIB), Ok([3 * GIB, 29 * GIB]));
        let most_mib = (3 + 56) * 1024;
        assert_eq!(sizes_at(36, 60 * GIB), Err(BuildError::TooMuchMemory { mib: 60 * 1024, most_mib }));
        assert_eq!(sizes_at(0, GIB), Err(BuildError::TooMuchMemory { mib: 1024, most_mib: 0 }));
    }

    fn sizes_at(bits: u8, bytes: u64) -> Result<[u64; 2], BuildError> {
        banks(bytes, bits).map(|banks| banks.map(|bank| bank.size))
    }
}
