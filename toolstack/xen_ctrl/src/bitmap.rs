//! Sets of CPUs or nodes (`xenctl_bitmap`).

/// Bits of a [`Bitmap`]: more than any build of the hypervisor has CPUs.
pub const BITMAP_BITS: u32 = 4096;

const BYTES: usize = BITMAP_BITS as usize / 8;

/// A set of CPUs or of NUMA nodes, by number below [`BITMAP_BITS`].
#[derive(Clone, PartialEq, Eq)]
pub struct Bitmap([u8; BYTES]);

impl Default for Bitmap {
    fn default() -> Self {
        Self([0; BYTES])
    }
}

impl Bitmap {
    /// Every number, which means all that the host has.
    pub fn all() -> Self {
        Self([0xff; BYTES])
    }

    /// Adds a number; false if it is too large.
    #[must_use]
    pub fn insert(&mut self, bit: u32) -> bool {
        let byte = self.0.get_mut(bit as usize / 8);
        byte.map(|byte| *byte |= 1 << (bit % 8)).is_some()
    }

    /// Whether the number is in the set.
    pub fn contains(&self, bit: u32) -> bool {
        self.0.get(bit as usize / 8).is_some_and(|byte| byte & (1 << (bit % 8)) != 0)
    }

    /// The numbers, rising.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0..BITMAP_BITS).filter(|&bit| self.contains(bit))
    }

    /// Whether the set has no number.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|&byte| byte == 0)
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl std::fmt::Debug for Bitmap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn set_holds_what_was_put_in_and_refuses_what_is_too_large(bits in proptest::collection::btree_set(0u32..5000, 0..20)) {
            let mut set = Bitmap::default();
            for &bit in &bits {
                prop_assert_eq!(set.insert(bit), bit < BITMAP_BITS);
            }
            let fits: Vec<u32> = bits.iter().copied().filter(|&bit| bit < BITMAP_BITS).collect();
            prop_assert_eq!(set.is_empty(), fits.is_empty());
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), fits);
        }
    }

    #[test]
    fn bits_lie_in_bytes_lowest_first() {
        let mut set = Bitmap::default();
        assert!(set.insert(0) && set.insert(9));
        assert_eq!(&set.bytes_mut()[..3], &[1, 2, 0]);
        assert!(Bitmap::all().contains(BITMAP_BITS - 1));
    }
}
