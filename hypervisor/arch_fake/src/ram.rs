//! The machine's RAM: frames that come into being when they are first used.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use hal::{Maddr, Mfn, PAGE_SIZE};
use std::sync::OnceLock;

/// 64-bit words of a page.
pub(crate) const WORDS: usize = PAGE_SIZE / 8;
/// Frames of a chunk, the unit in which the frames' records are allocated.
const CHUNK: u64 = 512;

/// Slot flag: the hypervisor keeps the frame for itself.
pub(crate) const PRIVATE: u32 = 1 << 0;
/// Slot flag: reads are counted or answered with a change.
pub(crate) const WATCHED: u32 = 1 << 1;
/// Slot flag: the TLB has walked through this frame.
pub(crate) const TABLE: u32 = 1 << 2;
/// Slot flag: guests write to all of it without end.
pub(crate) const CONTENDED: u32 = 1 << 3;

/// The contents of a frame.
pub(crate) struct Page {
    words: [AtomicU64; WORDS],
}

impl Page {
    fn new(fill: u64) -> Self {
        Self { words: core::array::from_fn(|_| AtomicU64::new(fill)) }
    }

    /// The word with this number, which wraps.
    fn word(&self, index: usize) -> &AtomicU64 {
        &self.words[index % WORDS]
    }

    pub(crate) fn load(&self, index: usize) -> u64 {
        self.word(index).load(Ordering::Acquire)
    }

    pub(crate) fn store(&self, index: usize, value: u64) {
        self.word(index).store(value, Ordering::Release);
    }

    /// Changes a word in one atomic step, if `f` says to what; `Ok` has the value before.
    pub(crate) fn update(&self, index: usize, f: impl FnMut(u64) -> Option<u64>) -> Result<u64, u64> {
        self.word(index).fetch_update(Ordering::SeqCst, Ordering::SeqCst, f)
    }

    /// Copies bytes out; each word is read once. The range must lie in the page.
    pub(crate) fn read(&self, offset: usize, buf: &mut [u8]) {
        if offset == 0 && buf.len() == PAGE_SIZE {
            for (bytes, word) in buf.chunks_exact_mut(8).zip(&self.words) {
                bytes.copy_from_slice(&word.load(Ordering::Acquire).to_le_bytes());
            }
            return;
        }
        let mut at = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let skip = at % 8;
            let n = rest.len().min(8 - skip);
            let bytes = self.load(at / 8).to_le_bytes();
            let (now, later) = rest.split_at_mut(n);
            now.copy_from_slice(&bytes[skip..skip + n]);
            rest = later;
            at += n;
        }
    }
}

/// Splits a write of `bytes` at `offset` in words: calls `f(word number, mask, value)` for each.
pub(crate) fn for_words(offset: usize, bytes: &[u8], mut f: impl FnMut(usize, u64, u64)) {
    let mut at = offset;
    let mut rest = bytes;
    while !rest.is_empty() {
        let skip = at % 8;
        let n = rest.len().min(8 - skip);
        let (now, later) = rest.split_at(n);
        let mut value = [0; 8];
        value[skip..skip + n].copy_from_slice(now);
        f(at / 8, byte_mask(skip, n), u64::from_le_bytes(value));
        rest = later;
        at += n;
    }
}

/// The bits of `n` bytes of a word from byte `skip`; the bytes lie in the word.
pub(crate) fn byte_mask(skip: usize, n: usize) -> u64 {
    if n == 0 { 0 } else { (u64::MAX >> (64 - 8 * n)) << (8 * skip) }
}

/// A frame's record.
#[derive(Default)]
pub(crate) struct Slot {
    flags: AtomicU32,
    page: OnceLock<Box<Page>>,
}

impl Slot {
    pub(crate) fn flags(&self) -> u32 {
        self.flags.load(Ordering::Acquire)
    }

    pub(crate) fn set(&self, flag: u32, on: bool) {
        if on {
            self.flags.fetch_or(flag, Ordering::AcqRel);
        } else {
            self.flags.fetch_and(!flag, Ordering::AcqRel);
        }
    }
}

struct Region {
    start: u64,
    frames: u64,
    chunks: Vec<OnceLock<Box<[Slot]>>>,
}

/// All RAM.
pub(crate) struct Ram {
    regions: Vec<Region>,
    fill: u64,
}

impl Ram {
    /// RAM in these regions. Panics when two overlap.
    pub(crate) fn new(regions: &[(Mfn, u64)], fill: u64) -> Self {
        let mut sorted: Vec<_> = regions.iter().map(|&(start, frames)| (start.0, frames)).collect();
        sorted.sort_unstable();
        assert!(sorted.windows(2).all(|w| w[0].0 + w[0].1 <= w[1].0), "RAM regions overlap");
        let regions = sorted
            .into_iter()
            .map(|(start, frames)| Region {
                start,
                frames,
                chunks: (0..frames.div_ceil(CHUNK)).map(|_| OnceLock::new()).collect(),
            })
            .collect();
        Self { regions, fill }
    }

    /// A frame's record, or `None` where there is no RAM.
    pub(crate) fn slot(&self, mfn: Mfn) -> Option<&Slot> {
        let (region, index) = self.regions.iter().find_map(|r| {
            let index = mfn.0.checked_sub(r.start)?;
            (index < r.frames).then_some((r, index))
        })?;
        let chunk = region.chunks.get((index / CHUNK) as usize)?;
        let slots = chunk.get_or_init(|| (0..CHUNK).map(|_| Slot::default()).collect());
        slots.get((index % CHUNK) as usize)
    }

    /// The contents of a slot's frame.
    pub(crate) fn page<'a>(&self, slot: &'a Slot) -> &'a Page {
        slot.page.get_or_init(|| Box::new(Page::new(self.fill)))
    }

    /// The contents of a frame, if it is RAM that was ever used.
    pub(crate) fn used(&self, mfn: Mfn) -> Option<&Page> {
        self.slot(mfn)?.page.get().map(|page| &**page)
    }

    /// The word at an address, wherever it lies.
    pub(crate) fn word(&self, addr: Maddr) -> Option<u64> {
        let slot = self.slot(addr.frame())?;
        Some(self.page(slot).load(addr.page_offset() / 8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_frames_of_a_region_exist() {
        let ram = Ram::new(&[(Mfn(0x1000), 3), (Mfn(0x10), 1)], 7);
        for (mfn, there) in [(0xf, false), (0x10, true), (0x11, false), (0x1002, true), (0x1003, false)] {
            assert_eq!(ram.slot(Mfn(mfn)).is_some(), there, "frame {mfn:#x}");
        }
    }

    #[test]
    fn unused_ram_has_the_fill() {
        let ram = Ram::new(&[(Mfn(0), 1)], 0x1234);
        assert_eq!(ram.word(Maddr(8)), Some(0x1234));
        assert_eq!(ram.word(Maddr(0x1000)), None);
    }

    #[test]
    #[should_panic(expected = "overlap")]
    fn overlapping_regions_are_refused() {
        Ram::new(&[(Mfn(0), 2), (Mfn(1), 2)], 0);
    }

    #[test]
    fn masks_cover_the_bytes() {
        assert_eq!(byte_mask(0, 8), u64::MAX);
        assert_eq!(byte_mask(6, 2), 0xffff << 48);
        assert_eq!(byte_mask(3, 0), 0);
    }
}
