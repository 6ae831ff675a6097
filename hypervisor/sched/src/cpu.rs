//! pCPU numbers and sets of them.

use core::fmt;

/// Number of a pCPU, below [`CpuId::LIMIT`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CpuId(u8);

impl CpuId {
    /// How many pCPUs a [`CpuMask`] can name.
    pub const LIMIT: usize = 128;

    /// The pCPU with this number, or `None` when it is too large.
    #[must_use]
    pub const fn new(number: usize) -> Option<Self> {
        if number < Self::LIMIT { Some(Self(number as u8)) } else { None }
    }

    /// The pCPU's number.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Debug for CpuId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for CpuId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A set of pCPUs; bit n of word n / 64 stands for pCPU n, as in Xen's CPU bitmaps.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuMask([u64; 2]);

impl CpuMask {
    /// No pCPU.
    pub const EMPTY: Self = Self([0; 2]);
    /// Every pCPU that a mask can name.
    pub const ALL: Self = Self([u64::MAX; 2]);

    /// The set held in two words, lowest pCPUs first.
    #[must_use]
    pub const fn from_words(words: [u64; 2]) -> Self {
        Self(words)
    }

    /// The set as two words, lowest pCPUs first.
    #[must_use]
    pub const fn words(self) -> [u64; 2] {
        self.0
    }

    /// The set that holds one pCPU.
    #[must_use]
    pub fn single(cpu: CpuId) -> Self {
        let mut mask = Self::EMPTY;
        mask.insert(cpu);
        mask
    }

    /// The first `count` pCPUs (all when `count` exceeds the limit).
    #[must_use]
    pub fn first_n(count: usize) -> Self {
        let mut mask = Self::EMPTY;
        for cpu in (0..count).map_while(CpuId::new) {
            mask.insert(cpu);
        }
        mask
    }

    const fn bit(cpu: CpuId) -> u64 {
        1 << (cpu.0 & 63)
    }

    /// Is the pCPU in the set?
    #[inline]
    #[must_use]
    pub fn contains(&self, cpu: CpuId) -> bool {
        self.0.get((cpu.index() >> 6) & 1).is_some_and(|word| word & Self::bit(cpu) != 0)
    }

    /// Adds a pCPU.
    #[inline]
    pub fn insert(&mut self, cpu: CpuId) {
        if let Some(word) = self.0.get_mut((cpu.index() >> 6) & 1) {
            *word |= Self::bit(cpu);
        }
    }

    /// Takes a pCPU out.
    #[inline]
    pub fn remove(&mut self, cpu: CpuId) {
        if let Some(word) = self.0.get_mut((cpu.index() >> 6) & 1) {
            *word &= !Self::bit(cpu);
        }
    }

    /// Is the set empty?
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0[0] | self.0[1] == 0
    }

    /// How many pCPUs are in the set.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0[0].count_ones().wrapping_add(self.0[1].count_ones())
    }

    /// The lowest pCPU of the set.
    #[inline]
    #[must_use]
    pub fn first(&self) -> Option<CpuId> {
        let number =
            if self.0[0] != 0 { self.0[0].trailing_zeros() } else { self.0[1].trailing_zeros() | 64 };
        if self.is_empty() { None } else { CpuId::new(number as usize) }
    }

    /// pCPUs in both sets.
    #[inline]
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self([self.0[0] & other.0[0], self.0[1] & other.0[1]])
    }

    /// pCPUs in either set.
    #[inline]
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self([self.0[0] | other.0[0], self.0[1] | other.0[1]])
    }

    /// Do the sets share a pCPU?
    #[inline]
    #[must_use]
    pub fn intersects(self, other: Self) -> bool {
        !self.and(other).is_empty()
    }

    /// The pCPUs of the set, lowest first.
    pub fn iter(self) -> impl Iterator<Item = CpuId> {
        let mut rest = self;
        core::iter::from_fn(move || {
            let cpu = rest.first()?;
            rest.remove(cpu);
            Some(cpu)
        })
    }
}

impl From<CpuId> for CpuMask {
    fn from(cpu: CpuId) -> Self {
        Self::single(cpu)
    }
}

impl From<Option<CpuId>> for CpuMask {
    fn from(cpu: Option<CpuId>) -> Self {
        cpu.map_or(Self::EMPTY, Self::single)
    }
}

/// Ranges, as Xen's tools write them: `0-3,8`.
impl fmt::Display for CpuMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        let mut n = 0_usize;
        while n < CpuId::LIMIT {
            let has = |n: usize| CpuId::new(n).is_some_and(|cpu| self.contains(cpu));
            if has(n) {
                let start = n;
                while has(n.saturating_add(1)) {
                    n = n.saturating_add(1);
                }
                write!(f, "{comma}{start}")?;
                if n > start {
                    write!(f, "-{n}")?;
                }
                comma = ",";
            }
            n = n.saturating_add(1);
        }
        if comma.is_empty() { f.write_str("none") } else { Ok(()) }
    }
}

impl fmt::Debug for CpuMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{self}}}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(n: usize) -> CpuId {
        CpuId::new(n).unwrap()
    }

    #[test]
    fn number_at_the_limit_is_refused() {
        assert_eq!(CpuId::new(127).map(CpuId::index), Some(127));
        assert_eq!(CpuId::new(128), None);
    }

    #[test]
    fn members_span_both_words() {
        let mut mask = CpuMask::EMPTY;
        for n in [0, 63, 64, 127] {
            mask.insert(cpu(n));
        }
        assert_eq!(mask.words(), [1 | 1 << 63, 1 | 1 << 63]);
        assert_eq!(mask.iter().map(CpuId::index).collect::<Vec<_>>(), [0, 63, 64, 127]);
        assert_eq!(mask.count(), 4);
        mask.remove(cpu(0));
        mask.remove(cpu(63));
        assert_eq!(mask.first(), Some(cpu(64)));
        assert!(!mask.contains(cpu(0)) && mask.contains(cpu(127)));
        assert_eq!(CpuMask::EMPTY.first(), None);
    }

    #[test]
    fn text_shows_ranges() {
        let mut mask = CpuMask::first_n(4);
        mask.insert(cpu(8));
        assert_eq!(mask.to_string(), "0-3,8");
        assert_eq!(CpuMask::EMPTY.to_string(), "none");
        assert_eq!(CpuMask::ALL.to_string(), "0-127");
    }
}
