//! A bitmap that finds its first set bit in a few steps.
//!
//! Each level above the lowest has one bit for every word below it that is not zero, so a search
//! looks at one word a level: four levels cover 16 million bits. The levels lie in one slice that
//! the caller provides, so the tree allocates nothing itself.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

const WORD: usize = 64;
const MAX_LEVELS: usize = 6;

/// The tree over words that it borrows or owns.
#[derive(Debug)]
pub struct BitTree<W> {
    words: W,
    /// Where each level begins in `words`; level 0 holds the bits themselves.
    start: [usize; MAX_LEVELS],
    levels: usize,
    bits: usize,
}

/// The number of words that a tree of `bits` bits needs.
pub const fn words_needed(bits: usize) -> usize {
    let mut total = 0;
    let mut n = bits;
    loop {
        n = n.div_ceil(WORD);
        total += n;
        if n <= 1 {
            return total;
        }
    }
}

impl<W: AsRef<[u64]> + AsMut<[u64]>> BitTree<W> {
    /// A tree of `bits` clear bits over `words`, which must be zero; `None` if there are too few
    /// words or more bits than six levels cover.
    pub fn new(words: W, bits: usize) -> Option<Self> {
        if words.as_ref().len() < words_needed(bits) {
            return None;
        }
        let mut start = [0; MAX_LEVELS];
        let (mut levels, mut n, mut at) = (0, bits, 0);
        loop {
            *start.get_mut(levels)? = at;
            levels += 1;
            n = n.div_ceil(WORD);
            at += n;
            if n <= 1 {
                break;
            }
        }
        Some(Self { words, start, levels, bits })
    }

    /// The number of bits.
    pub fn len(&self) -> usize {
        self.bits
    }

    /// Whether the tree has no bits at all.
    pub fn is_empty(&self) -> bool {
        self.bits == 0
    }

    fn word(&self, level: usize, index: usize) -> u64 {
        let at = self.start.get(level).copied().unwrap_or(0) + index;
        self.words.as_ref().get(at).copied().unwrap_or(0)
    }

    fn word_mut(&mut self, level: usize, index: usize) -> Option<&mut u64> {
        let at = self.start.get(level).copied()? + index;
        self.words.as_mut().get_mut(at)
    }

    /// Whether bit `i` is set; false outside the tree.
    pub fn get(&self, i: usize) -> bool {
        i < self.bits && self.word(0, i / WORD) >> (i % WORD) & 1 != 0
    }

    /// Sets bit `i`; outside the tree nothing happens.
    pub fn set(&mut self, i: usize) {
        if i >= self.bits {
            return;
        }
        let mut i = i;
        for level in 0..self.levels {
            let Some(word) = self.word_mut(level, i / WORD) else { return };
            let before = *word;
            *word |= 1 << (i % WORD);
            if before != 0 {
                return;
            }
            i /= WORD;
        }
    }

    /// Clears bit `i`; outside the tree nothing happens.
    pub fn clear(&mut self, i: usize) {
        if i >= self.bits {
            return;
        }
        let mut i = i;
        for level in 0..self.levels {
            let Some(word) = self.word_mut(level, i / WORD) else { return };
            *word &= !(1 << (i % WORD));
            if *word != 0 {
                return;
            }
            i /= WORD;
        }
    }

    /// The lowest set bit.
    pub fn first(&self) -> Option<usize> {
        self.descend(self.levels, 0)
    }

    /// The lowest set bit at or above `from`.
    pub fn first_from(&self, from: usize) -> Option<usize> {
        let mut i = from;
        if i >= self.bits {
            return None;
        }
        for level in 0..self.levels {
            let word = self.word(level, i / WORD) & (u64::MAX << (i % WORD));
            if word != 0 {
                let found = i / WORD * WORD + word.trailing_zeros() as usize;
                return self.descend(level, found);
            }
            i = i / WORD + 1;
        }
        None
    }

    /// From bit `index` of `level` (or the root above all levels) down to the lowest bit below it.
    fn descend(&self, level: usize, index: usize) -> Option<usize> {
        let mut index = index;
        for below in (0..level).rev() {
            let word = self.word(below, index);
            if word == 0 {
                return None;
            }
            index = index * WORD + word.trailing_zeros() as usize;
        }
        (index < self.bits).then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn tree(bits: usize) -> BitTree<Vec<u64>> {
        BitTree::new(vec![0; words_needed(bits)], bits).expect("enough words")
    }

    #[test]
    fn too_few_words_are_refused() {
        assert!(BitTree::new(vec![0; 2], 200).is_none());
    }

    #[test]
    fn empty_tree_has_no_first_bit() {
        assert_eq!(tree(5000).first(), None);
        assert_eq!(tree(0).first(), None);
    }

    #[test]
    fn bits_outside_are_ignored() {
        let mut t = tree(70);
        t.set(70);
        assert!(!t.get(70));
        assert_eq!(t.first(), None);
    }

    proptest! {
        #[test]
        fn behaves_like_a_set(bits in 1usize..10_000, ops in prop::collection::vec((any::<bool>(), 0usize..10_000, 0usize..10_000), 0..200)) {
            let mut t = tree(bits);
            let mut model = BTreeSet::new();
            for (set, i, from) in ops {
                if set { t.set(i); if i < bits { model.insert(i); } } else { t.clear(i); model.remove(&i); }
                prop_assert_eq!(t.first(), model.first().copied());
                prop_assert_eq!(t.first_from(from), model.range(from..).next().copied());
                prop_assert_eq!(t.get(i), model.contains(&i));
            }
        }
    }
}
