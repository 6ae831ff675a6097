//! RAM: what is free during boot, and which frames the hypervisor keeps for itself.

use core::sync::atomic::{AtomicU64, Ordering};

/// log2 of the frame size.
const FRAME_SHIFT: u32 = 12;
const WORD_BITS: u64 = u64::BITS as u64;

/// A range of physical addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    /// The first byte.
    pub start: u64,
    /// The byte after the last.
    pub end: u64,
}

impl Span {
    /// The number of bytes.
    pub const fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether there is no byte in it.
    pub const fn is_empty(&self) -> bool {
        self.end <= self.start
    }
}

/// Calls `each` with the pieces of `whole`, in whole pages, that no hole touches. The holes are in
/// any order.
pub fn without_holes<E>(
    whole: Span,
    holes: &[Span],
    each: &mut dyn FnMut(Span) -> Result<(), E>,
) -> Result<(), E> {
    const PAGE: u64 = 1 << FRAME_SHIFT;
    let end = whole.end & !(PAGE - 1);
    let mut at = whole.start.next_multiple_of(PAGE);
    while at < end {
        // The first hole that ends behind `at`.
        let next = holes.iter().filter(|h| !h.is_empty() && h.end > at).min_by_key(|h| h.start);
        let (stop, resume) = match next {
            Some(hole) if hole.start < end => (hole.start & !(PAGE - 1), hole.end.next_multiple_of(PAGE)),
            _ => (end, end),
        };
        if at < stop {
            each(Span { start: at, end: stop })?;
        }
        at = resume.max(at);
    }
    Ok(())
}

/// The most ranges of free memory; further ones, which are the highest, are not used during boot.
const MAX_RANGES: usize = 32;

/// Memory that nobody uses yet, handed out from the top of the highest range that has enough.
pub struct BootRam<'a> {
    free: &'a mut [Span],
    /// Where each range ended at first.
    ends: [u64; MAX_RANGES],
}

impl<'a> BootRam<'a> {
    /// Starts with these free ranges: in ascending order, page-aligned, not overlapping.
    pub fn new(free: &'a mut [Span]) -> Self {
        let mut ends = [0; MAX_RANGES];
        for (end, range) in ends.iter_mut().zip(free.iter()) {
            *end = range.end;
        }
        Self { free, ends }
    }

    /// Takes `len` bytes at a multiple of `align` (a power of two, at least the page size; `len` is
    /// rounded up to it). What lies between the piece and the range's end is taken with it.
    pub fn take(&mut self, len: u64, align: u64) -> Option<Span> {
        let align = align.max(1 << FRAME_SHIFT);
        let len = len.checked_next_multiple_of(align)?;
        let range = self.free.iter_mut().take(MAX_RANGES).rev().find(|range| {
            let end = range.end & !(align - 1);
            end >= range.start && end - range.start >= len
        })?;
        let end = range.end & !(align - 1);
        let piece = Span { start: end - len, end };
        range.end = piece.start;
        Some(piece)
    }

    /// The ranges still free.
    pub fn free(&self) -> &[Span] {
        self.free
    }

    /// Calls `each` with all that was taken.
    pub fn each_taken(&self, each: &mut dyn FnMut(Span)) {
        for (range, &end) in self.free.iter().zip(&self.ends) {
            if range.end < end {
                each(Span { start: range.end, end });
            }
        }
    }

    /// The bytes taken so far.
    pub fn taken(&self) -> u64 {
        let mut bytes = 0;
        self.each_taken(&mut |span| bytes += span.len());
        bytes
    }
}

/// One bank of RAM, with a bit for each frame that the hypervisor keeps for itself. Bits of the bitmap that are beyond the
/// bank are set: whether a frame may be shared then takes one look.
#[derive(Clone, Copy)]
pub struct Bank {
    first: u64,
    count: u64,
    private: &'static [AtomicU64],
}

impl Bank {
    /// The bitmap words that a bank of `bytes` needs.
    pub const fn words(bytes: u64) -> u64 {
        (bytes >> FRAME_SHIFT).div_ceil(WORD_BITS)
    }

    /// The bank of `span`, whose bitmap is `private`; a frame without a bit there does not exist.
    pub fn new(span: Span, private: &'static [AtomicU64]) -> Self {
        let count = (span.len() >> FRAME_SHIFT).min(private.len() as u64 * WORD_BITS);
        for (word, first) in private.iter().zip((0..).step_by(WORD_BITS as usize)) {
            let inside = count.saturating_sub(first);
            if inside < WORD_BITS {
                word.fetch_or(u64::MAX << inside, Ordering::Relaxed);
            }
        }
        Self { first: span.start >> FRAME_SHIFT, count, private }
    }

    fn bit(&self, mfn: u64) -> Option<(&'static AtomicU64, u64)> {
        let index = mfn.wrapping_sub(self.first);
        if index >= self.count {
            return None;
        }
        Some((self.private.get((index / WORD_BITS) as usize)?, 1 << (index % WORD_BITS)))
    }

    #[inline(always)]
    fn is_shareable(&self, mfn: u64) -> bool {
        let index = mfn.wrapping_sub(self.first);
        let word = self.private.get((index / WORD_BITS) as usize);
        word.is_some_and(|word| word.load(Ordering::Relaxed) >> (index % WORD_BITS) & 1 == 0)
    }
}

/// All RAM.
pub struct Banks {
    /// The first bank, at hand: it often is the only one.
    first: Bank,
    banks: &'static [Bank],
}

impl Banks {
    /// These banks, of which none overlap.
    pub const fn new(banks: &'static [Bank]) -> Self {
        const NONE: Bank = Bank { first: 0, count: 0, private: &[] };
        Self {
            first: match banks {
                [first, ..] => *first,
                [] => NONE,
            },
            banks,
        }
    }

    /// Whether `mfn` is a frame of RAM that the hypervisor does not keep for itself.
    #[inline(always)]
    pub fn is_shareable(&self, mfn: u64) -> bool {
        self.first.is_shareable(mfn) || self.is_shareable_elsewhere(mfn)
    }

    #[cold]
    #[inline(never)]
    fn is_shareable_elsewhere(&self, mfn: u64) -> bool {
        self.banks.iter().any(|bank| bank.is_shareable(mfn))
    }

    /// A number of frames from `mfn` on, at most `count`, that are all such: 0 only if `mfn` is none.
    pub fn shareable_run(&self, mfn: u64, count: u64) -> u64 {
        let Some((bank, (word, bit))) = self.banks.iter().find_map(|bank| Some((bank, bank.bit(mfn)?)))
        else {
            return 0;
        };
        let shift = bit.trailing_zeros();
        let run = (word.load(Ordering::Relaxed) >> shift).trailing_zeros().min(u64::BITS - shift);
        count.min(run.into()).min(bank.first + bank.count - mfn)
    }

    /// Whether `mfn` is a frame of RAM.
    pub fn is_ram(&self, mfn: u64) -> bool {
        self.banks.iter().any(|bank| bank.bit(mfn).is_some())
    }

    /// Makes `count` frames private or shareable; frames that are not RAM are passed over.
    pub fn set_private(&self, mfn: u64, count: u64, private: bool) {
        let end = mfn.saturating_add(count);
        for bank in self.banks {
            let mut next = mfn.max(bank.first);
            let end = end.min(bank.first + bank.count);
            while next < end {
                let Some((word, _)) = bank.bit(next) else { break };
                let shift = (next - bank.first) % WORD_BITS;
                let n = (WORD_BITS - shift).min(end - next);
                let mask = u64::MAX >> (WORD_BITS - n) << shift;
                if private {
                    word.fetch_or(mask, Ordering::Relaxed);
                } else {
                    word.fetch_and(!mask, Ordering::Relaxed);
                }
                next += n;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn banks(spans: &[Span]) -> Banks {
        let banks: Vec<Bank> = spans
            .iter()
            .map(|&span| {
                let words = (0..Bank::words(span.len())).map(|_| AtomicU64::new(0)).collect::<Vec<_>>();
                Bank::new(span, words.leak())
            })
            .collect();
        Banks::new(banks.leak())
    }

    #[test]
    fn pieces_come_from_the_top_and_do_not_overlap() {
        let mut free = [Span { start: 0x1000, end: 0x9000 }, Span { start: 0x10000, end: 0x13000 }];
        let mut ram = BootRam::new(&mut free);
        assert_eq!(ram.take(0x1800, 0), Some(Span { start: 0x11000, end: 0x13000 }));
        assert_eq!(ram.take(0x2000, 0x1000), Some(Span { start: 0x7000, end: 0x9000 }));
        assert_eq!(ram.take(0x4000, 0x4000), None);
        assert_eq!(ram.take(0x2000, 0x4000), None);
        assert_eq!(ram.take(0x2000, 0x2000), Some(Span { start: 0x4000, end: 0x6000 }));
        assert_eq!(ram.taken(), 0x2000 + 0x2000 + 0x3000);
        let mut taken = Vec::new();
        ram.each_taken(&mut |span| taken.push(span));
        assert_eq!(taken, [Span { start: 0x4000, end: 0x9000 }, Span { start: 0x11000, end: 0x13000 }]);
        assert_eq!(ram.free()[0], Span { start: 0x1000, end: 0x4000 });
        assert_eq!(ram.take(u64::MAX, 0), None);
    }

    proptest! {
        #[test]
        fn pieces_are_what_the_holes_leave(
            start in 0u64..50, len in 0u64..60,
            holes in proptest::collection::vec((0u64..500, 0u64..100), 0..6),
        ) {
            let whole = Span { start: start << 12, end: (start + len) << 12 };
            // In quarters of a page.
            let holes: Vec<_> =
                holes.iter().map(|&(at, n)| Span { start: at << 10, end: (at + n) << 10 }).collect();
            let mut left = Vec::new();
            without_holes(whole, &holes, &mut |piece| {
                left.extend((piece.start >> 12)..(piece.end >> 12));
                Ok::<(), ()>(())
            }).unwrap();
            let expected: Vec<_> = (start..start + len)
                .filter(|page| holes.iter().all(|h| h.is_empty() || h.end <= page << 12 || h.start >= (page + 1) << 12))
                .collect();
            prop_assert_eq!(left, expected);
        }
    }

    #[test]
    fn bank_that_begins_in_the_last_word_of_another_is_shareable() {
        let ram = banks(&[Span { start: 0, end: 70 << 12 }, Span { start: 70 << 12, end: 200 << 12 }]);
        assert!((0..200).all(|mfn| ram.is_shareable(mfn)));
        assert!(!ram.is_shareable(200));
    }

    #[test]
    fn frame_outside_every_bank_is_not_shareable() {
        let ram = banks(&[Span { start: 0x4000_0000, end: 0x4010_0000 }]);
        assert!(ram.is_shareable(0x40000));
        assert!(ram.is_shareable(0x400ff));
        assert!(!ram.is_shareable(0x40100));
        assert!(!ram.is_shareable(0x3ffff));
        assert!(!ram.is_shareable(u64::MAX));
    }

    proptest! {
        #[test]
        fn private_frames_are_those_that_were_set(
            sets in proptest::collection::vec((0u64..400, 0u64..300, any::<bool>()), 1..20)
        ) {
            let spans = [Span { start: 10 << 12, end: 200 << 12 }, Span { start: 250 << 12, end: 381 << 12 }];
            let ram = banks(&spans);
            let mut model = vec![false; 1000];
            for (first, count, private) in sets {
                ram.set_private(first, count, private);
                model[first as usize..(first + count) as usize].fill(private);
            }
            for mfn in 0..500u64 {
                let exists = spans.iter().any(|s| (s.start..s.end).contains(&(mfn << 12)));
                prop_assert_eq!(ram.is_ram(mfn), exists);
                prop_assert_eq!(ram.is_shareable(mfn), exists && !model[mfn as usize], "mfn {}", mfn);
                let run = ram.shareable_run(mfn, 70);
                prop_assert_eq!(run > 0, ram.is_shareable(mfn), "mfn {}", mfn);
                prop_assert!(run <= 70 && (mfn..mfn + run).all(|mfn| ram.is_shareable(mfn)), "mfn {}", mfn);
            }
        }
    }
}
