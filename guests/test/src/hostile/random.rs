//! Random numbers from a seed (SplitMix64).

/// A sequence.
pub struct Random(u64);

impl Random {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any 64 bits.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Below a limit.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.word() % limit
    }

    /// One of some.
    pub fn one_of<T: Copy>(&mut self, some: &[T]) -> T {
        some[self.below(some.len() as u64) as usize]
    }

    /// A number of a kind that programs get wrong: small, near a power of two, near the end, or anything.
    pub fn odd(&mut self) -> u64 {
        match self.below(6) {
            0 | 1 => self.below(8),
            2 => self.below(1024),
            3 => (1u64 << self.below(64)).wrapping_add(self.below(5)).wrapping_sub(2),
            4 => u64::MAX - self.below(16),
            _ => self.word(),
        }
    }
}
