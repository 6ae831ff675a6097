//! Ranges of physical addresses and sorted sets of them.
use alloc::vec::Vec;
use core::fmt;

use crate::sort::sort;

/// Bytes in a page: the 4 KiB granule that the hypervisor and its guests share.
pub const PAGE_SIZE: u64 = 4096;

/// The heap is exhausted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfMemory;

/// Appends `item`, if there is memory for it.
pub(crate) fn push<T>(list: &mut Vec<T>, item: T) -> Result<(), OutOfMemory> {
    list.try_reserve(1).map_err(|_| OutOfMemory)?;
    list.push(item);
    Ok(())
}

/// Addresses from `start` up to, not including, `end`. Always `start <= end`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Range {
    start: u64,
    end: u64,
}

impl Range {
    /// `size` bytes from `start` on; `None` when the end is beyond 2^64 - 1.
    pub const fn new(start: u64, size: u64) -> Option<Self> {
        match start.checked_add(size) {
            Some(end) => Some(Self { start, end }),
            None => None,
        }
    }

    /// From `start` up to `end`; `None` when `end` comes first.
    pub const fn from_bounds(start: u64, end: u64) -> Option<Self> {
        if start <= end { Some(Self { start, end }) } else { None }
    }

    /// The first address.
    pub const fn start(&self) -> u64 {
        self.start
    }

    /// The first address behind the range.
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// Length in bytes.
    pub const fn size(&self) -> u64 {
        self.end.wrapping_sub(self.start)
    }

    /// Whether there is no address in it.
    pub const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether the two have an address in common.
    pub const fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// Whether all of `other` lies in this range.
    pub const fn contains(&self, other: &Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// The smallest range of whole units of `align` bytes (a power of two) around this one; `None`
    /// when it does not end below 2^64.
    pub fn align_out(&self, align: u64) -> Option<Self> {
        let start = self.start & !align.wrapping_sub(1);
        Self::from_bounds(start, self.end.checked_next_multiple_of(align)?)
    }

    /// The largest range of whole units of `align` bytes (a power of two) inside this one; `None`
    /// when there is none.
    pub fn align_in(&self, align: u64) -> Option<Self> {
        let start = self.start.checked_next_multiple_of(align)?;
        let end = self.end.checked_sub(self.end.checked_rem(align)?)?;
        Self::from_bounds(start, end).filter(|r| !r.is_empty())
    }

    /// The common part; `None` when it is empty.
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        let start = self.start.max(other.start);
        let end = self.end.min(other.end);
        Self::from_bounds(start, end).filter(|r| !r.is_empty())
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            write!(f, "{:#x} (empty)", self.start)
        } else {
            write!(f, "{:#x}-{:#x}", self.start, self.end.wrapping_sub(1))
        }
    }
}

impl fmt::Debug for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Ranges collected in any order and then sorted, merged and subtracted from each other.
///
/// [`push`](Self::push) only appends, so that n ranges cost n log n and not n squared; call
/// [`normalise`](Self::normalise) before the other operations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeSet {
    ranges: Vec<Range>,
}

impl RangeSet {
    /// The empty set.
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// Adds a range; empty ones are dropped.
    pub fn push(&mut self, range: Range) -> Result<(), OutOfMemory> {
        if range.is_empty() {
            return Ok(());
        }
        push(&mut self.ranges, range)
    }

    /// Adds all of `ranges`.
    pub fn extend(&mut self, ranges: &[Range]) -> Result<(), OutOfMemory> {
        ranges.iter().try_for_each(|r| self.push(*r))
    }

    /// Sorts by address and merges what overlaps or touches.
    pub fn normalise(&mut self) {
        sort(&mut self.ranges);
        self.ranges.dedup_by(|next, last| {
            let joins = next.start <= last.end;
            if joins {
                last.end = last.end.max(next.end);
            }
            joins
        });
    }

    /// What is in this set and not in `other`; both normalised.
    pub fn without(&self, other: &RangeSet) -> Result<RangeSet, OutOfMemory> {
        let mut rest = RangeSet::new();
        let mut holes = other.ranges.iter().peekable();
        for range in &self.ranges {
            let mut start = range.start;
            while let Some(hole) = holes.peek() {
                if hole.start >= range.end {
                    break;
                }
                if let Some(before) = Range::from_bounds(start, hole.start) {
                    rest.push(before)?;
                }
                start = start.max(hole.end);
                if hole.end > range.end {
                    break;
                }
                holes.next();
            }
            if let Some(tail) = Range::from_bounds(start, range.end) {
                rest.push(tail)?;
            }
        }
        Ok(rest)
    }

    /// Whether one member holds all of `range`; normalised.
    pub fn contains(&self, range: &Range) -> bool {
        let after = self.ranges.partition_point(|r| r.start <= range.start);
        after.checked_sub(1).and_then(|i| self.ranges.get(i)).is_some_and(|r| r.contains(range))
    }

    /// The members, in the order of their addresses when normalised.
    pub fn as_slice(&self) -> &[Range] {
        &self.ranges
    }

    /// All bytes of all members; normalised.
    pub fn total(&self) -> u64 {
        // Disjoint parts of a 64-bit space: the sum cannot overflow.
        self.ranges.iter().fold(0, |sum, r| sum.wrapping_add(r.size()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn r(start: u64, end: u64) -> Range {
        Range::from_bounds(start, end).unwrap()
    }

    fn set(ranges: &[Range]) -> RangeSet {
        let mut s = RangeSet::new();
        s.extend(ranges).unwrap();
        s.normalise();
        s
    }

    #[test]
    fn range_past_the_end_of_the_address_space_is_refused() {
        assert_eq!(Range::new(u64::MAX, 1), None);
        assert_eq!(Range::new(u64::MAX - 1, 1).unwrap().end(), u64::MAX);
        assert_eq!(Range::from_bounds(2, 1), None);
    }

    #[test]
    fn align_out_covers_and_align_in_is_covered() {
        assert_eq!(r(0x1001, 0x2001).align_out(0x1000), Some(r(0x1000, 0x3000)));
        assert_eq!(r(0x1001, 0x4001).align_in(0x1000), Some(r(0x2000, 0x4000)));
        assert_eq!(r(0x1001, 0x2001).align_in(0x1000), None);
        assert_eq!(r(1, u64::MAX).align_out(0x1000), None);
        assert_eq!(r(u64::MAX - 1, u64::MAX).align_in(0x1000), None);
    }

    #[test]
    fn touching_and_overlapping_ranges_merge() {
        let s = set(&[r(5, 7), r(1, 3), r(3, 4), r(6, 9), r(20, 21)]);
        assert_eq!(s.as_slice(), &[r(1, 4), r(5, 9), r(20, 21)]);
        assert_eq!(s.total(), 8);
    }

    #[test]
    fn contains_needs_one_member_around_the_whole_range() {
        let s = set(&[r(10, 20), r(30, 40)]);
        assert!(s.contains(&r(10, 20)));
        assert!(!s.contains(&r(15, 35)));
        assert!(!s.contains(&r(5, 6)));
    }

    proptest! {
        #[test]
        fn without_agrees_with_membership(
            a in prop::collection::vec((0u64..60, 0u64..12), 0..8),
            b in prop::collection::vec((0u64..60, 0u64..12), 0..8),
        ) {
            let build = |v: &[(u64, u64)]| {
                set(&v.iter().map(|(s, n)| r(*s, s + n)).collect::<Vec<_>>())
            };
            let (a, b) = (build(&a), build(&b));
            let rest = a.without(&b).unwrap();
            let has = |s: &RangeSet, x| s.as_slice().iter().any(|m| m.contains(&r(x, x + 1)));
            for x in 0..80 {
                prop_assert_eq!(has(&rest, x), has(&a, x) && !has(&b, x));
            }
            for pair in rest.as_slice().windows(2) {
                prop_assert!(pair[0].end() < pair[1].start());
            }
        }
    }
}
