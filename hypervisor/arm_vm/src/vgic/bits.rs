//! Walking 32-bit masks.

/// Bit `n` of a mask, `n` below 32.
#[inline]
pub(super) const fn bit(n: u32) -> u32 {
    1u32.wrapping_shl(n)
}

/// Positions of the set bits, ascending.
#[inline]
pub(super) fn bits(mask: u32) -> Bits {
    Bits(mask)
}

/// Iterator of [`bits`].
pub(super) struct Bits(u32);

impl Iterator for Bits {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        if self.0 == 0 {
            return None;
        }
        let n = self.0.trailing_zeros();
        self.0 &= self.0.wrapping_sub(1);
        Some(n)
    }
}

/// Sets or clears bits of a mask.
#[inline]
pub(super) const fn assign(mask: &mut u32, bits: u32, value: bool) {
    if value {
        *mask |= bits;
    } else {
        *mask &= !bits;
    }
}
