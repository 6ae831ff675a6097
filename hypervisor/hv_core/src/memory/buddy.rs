//! Which frames are free: a buddy allocator on bitmaps.
//!
//! One [`BitTree`] an order has a bit for every free block of exactly that order. Nothing is stored
//! in the free frames themselves, so a stray write to one cannot harm the allocator.

use alloc::vec::Vec;
use bit_tree::{BitTree, words_needed};

/// Blocks are at most 2^`MAX_ORDER` frames (2 MiB).
pub const MAX_ORDER: u32 = 9;
const ORDERS: usize = MAX_ORDER as usize + 1;

/// The allocator over frames 0..n of a range; callers add the range's base.
#[derive(Debug)]
pub struct Buddy {
    free: [BitTree<Vec<u64>>; ORDERS],
    free_frames: u64,
}

impl Buddy {
    /// An allocator over `frames` frames, all in use; `None` without memory for the bitmaps.
    pub fn new(frames: usize) -> Option<Self> {
        let mut trees = Vec::new();
        trees.try_reserve_exact(ORDERS).ok()?;
        for order in 0..ORDERS {
            let bits = frames >> order;
            let mut words = Vec::new();
            let needed = words_needed(bits);
            words.try_reserve_exact(needed).ok()?;
            words.resize(needed, 0);
            trees.push(BitTree::new(words, bits)?);
        }
        Some(Self { free: trees.try_into().ok()?, free_frames: 0 })
    }

    /// The number of free frames.
    pub fn free_frames(&self) -> u64 {
        self.free_frames
    }

    /// Takes a block of 2^`order` frames; the lowest that fits.
    pub fn alloc(&mut self, order: u32) -> Option<u64> {
        let want = order as usize;
        let (found, block) = (want..ORDERS).find_map(|o| Some((o, self.free.get(o)?.first()?)))?;
        self.free.get_mut(found)?.clear(block);
        // Give back the upper half of each split.
        let mut index = block;
        for o in (want..found).rev() {
            index <<= 1;
            self.free.get_mut(o)?.set(index + 1);
        }
        self.free_frames -= 1 << order;
        Some((index as u64) << order)
    }

    /// Gives back the block of 2^`order` frames at `frame`, joined with its free neighbours.
    pub fn free(&mut self, frame: u64, order: u32) {
        let mut index = (frame >> order) as usize;
        let mut o = order as usize;
        self.free_frames += 1 << order;
        while o + 1 < ORDERS {
            let Some(tree) = self.free.get_mut(o) else { return };
            if !tree.get(index ^ 1) {
                break;
            }
            tree.clear(index ^ 1);
            index >>= 1;
            o += 1;
        }
        if let Some(tree) = self.free.get_mut(o) {
            tree.set(index);
        }
    }

    /// Makes the frames `start..end` free, in the largest blocks that fit.
    pub fn add_range(&mut self, start: u64, end: u64) {
        let mut at = start;
        while at < end {
            let fits = (end - at).ilog2().min(MAX_ORDER);
            let order = at.trailing_zeros().min(fits);
            self.free(at, order);
            at += 1 << order;
        }
    }

    /// Whether all of `start..end` is free and was taken out; nothing changes if not.
    pub fn take_range(&mut self, start: u64, end: u64) -> bool {
        let mut at = start;
        while at < end {
            match self.free_block_at(at) {
                Some((first, order)) => at = first + (1 << order),
                None => return false,
            }
        }
        let mut at = start;
        while at < end {
            let Some((first, order)) = self.free_block_at(at) else { return false };
            let past = first + (1u64 << order);
            if let Some(tree) = self.free.get_mut(order as usize) {
                tree.clear((first >> order) as usize);
            }
            self.free_frames -= 1 << order;
            self.add_range(first, at);
            self.add_range(past.min(end), past);
            at = past.min(end);
        }
        true
    }

    /// Which frames are free; panics where a frame is free twice.
    #[cfg(any(test, feature = "testkit"))]
    pub(super) fn free_map(&self, frames: usize) -> Vec<bool> {
        let mut map = alloc::vec![false; frames];
        for (order, tree) in self.free.iter().enumerate() {
            for block in (0..frames >> order).filter(|block| tree.get(*block)) {
                for frame in &mut map[block << order..(block + 1) << order] {
                    assert!(!core::mem::replace(frame, true), "a frame is free twice");
                }
            }
        }
        map
    }

    /// The free block that holds `frame`: its first frame and order.
    fn free_block_at(&self, frame: u64) -> Option<(u64, u32)> {
        (0..=MAX_ORDER).find_map(|order| {
            let tree = self.free.get(order as usize)?;
            tree.get((frame >> order) as usize).then_some((frame >> order << order, order))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    #[test]
    fn freed_blocks_join_again() {
        let mut b = Buddy::new(1024).unwrap();
        b.add_range(0, 1024);
        let pages: Vec<_> = (0..1024).map(|_| b.alloc(0).unwrap()).collect();
        assert_eq!((b.free_frames(), b.alloc(0)), (0, None));
        for p in pages {
            b.free(p, 0);
        }
        assert!(b.alloc(MAX_ORDER).is_some() && b.alloc(MAX_ORDER).is_some());
    }

    #[test]
    fn a_range_partly_in_use_is_not_taken() {
        let mut b = Buddy::new(64).unwrap();
        b.add_range(0, 64);
        assert!(b.take_range(10, 12));
        assert!(!b.take_range(8, 11));
        assert_eq!(b.free_frames(), 62);
        assert!(b.take_range(12, 64) && b.take_range(0, 10));
        assert_eq!(b.free_frames(), 0);
    }

    proptest! {
        #[test]
        fn blocks_never_overlap_and_all_come_back(ops in prop::collection::vec((any::<bool>(), 0u32..=MAX_ORDER, any::<prop::sample::Index>()), 1..200)) {
            let mut b = Buddy::new(2048).unwrap();
            b.add_range(3, 2047);
            let mut held: BTreeMap<u64, u32> = BTreeMap::new();
            for (take, order, pick) in ops {
                if take {
                    if let Some(start) = b.alloc(order) {
                        let end = start + (1 << order);
                        prop_assert!(start >= 3 && end <= 2047 && start.trailing_zeros() >= order);
                        if let Some((&s, &o)) = held.range(..end).next_back() { prop_assert!(s + (1 << o) <= start); }
                        held.insert(start, order);
                    }
                } else if !held.is_empty() {
                    let (&s, &o) = held.iter().nth(pick.index(held.len())).unwrap();
                    held.remove(&s);
                    b.free(s, o);
                }
                prop_assert_eq!(b.free_frames(), 2044 - held.values().map(|o| 1u64 << o).sum::<u64>());
            }
            for (s, o) in held { b.free(s, o); }
            prop_assert!(b.take_range(3, 2047));
        }
    }
}
