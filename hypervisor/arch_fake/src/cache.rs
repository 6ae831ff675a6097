//! Data caches: what the cached side wrote to a 64-byte line is kept from uncached observers until
//! the line is cleaned; a clean then overwrites what they wrote to the line meanwhile.
//!
//! Memory holds what the cached side sees; here are the old contents of dirty lines.

use crate::machine::lock;
use crate::ram::Page;
use hal::Mfn;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// 64-bit words of a line.
const LINE_WORDS: usize = 8;

/// Old contents of dirty lines, by frame and line number.
type Lines = BTreeMap<(Mfn, usize), [u64; LINE_WORDS]>;

pub(crate) struct Caches {
    on: bool,
    dirty: Mutex<Lines>,
}

impl Caches {
    pub(crate) fn new(on: bool) -> Self {
        Self { on, dirty: Mutex::new(Lines::new()) }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.on
    }

    /// Makes a line dirty before the cached side writes one of its words.
    pub(crate) fn before_write(&self, mfn: Mfn, page: &Page, index: usize) {
        if self.is_on() {
            let line = index / LINE_WORDS;
            lock(&self.dirty)
                .entry((mfn, line))
                .or_insert_with(|| core::array::from_fn(|n| page.load(line * LINE_WORDS + n)));
        }
    }

    /// Writes back dirty lines.
    pub(crate) fn clean(&self, mfn: Mfn, count: u64) {
        if self.is_on() {
            let end = Mfn(mfn.0.saturating_add(count));
            let mut dirty = lock(&self.dirty);
            // Not `retain`: that looks at all that is dirty anywhere.
            let lines: Vec<_> = dirty.range((mfn, 0)..(end, 0)).map(|(line, _)| *line).collect();
            for line in lines {
                dirty.remove(&line);
            }
        }
    }

    /// Whether a frame has dirty lines.
    pub(crate) fn is_dirty(&self, mfn: Mfn) -> bool {
        lock(&self.dirty).range((mfn, 0)..(mfn.plus(1), 0)).next().is_some()
    }

    /// Reads a word past the caches.
    pub(crate) fn load_uncached(&self, mfn: Mfn, page: &Page, index: usize) -> u64 {
        match lock(&self.dirty).get(&(mfn, index / LINE_WORDS)) {
            Some(old) => old[index % LINE_WORDS],
            None => page.load(index),
        }
    }

    /// Writes the masked bits of a word past the caches.
    pub(crate) fn store_uncached(&self, mfn: Mfn, page: &Page, index: usize, mask: u64, value: u64) {
        let merge = |word: u64| word & !mask | value & mask;
        if let Some(old) = lock(&self.dirty).get_mut(&(mfn, index / LINE_WORDS)) {
            let word = &mut old[index % LINE_WORDS];
            *word = merge(*word);
            return;
        }
        let _ = page.update(index, |word| Some(merge(word)));
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Tables;
    use crate::{Config, FakeStage2, Fault, Machine};
    use hal::{FrameMem, Gfn, MachineOps, MapAttr, Mfn, Stage2Format};

    const A: Mfn = Mfn(0x41000);
    const GFN: Gfn = Gfn(0x80000);

    fn machine(caches: bool) -> Machine {
        Machine::new(Config { caches, fill: 0, ..Config::default() })
    }

    fn with_page(m: &Machine) -> Tables<'_> {
        let t = Tables::new(m, Mfn(0x40000), 1);
        t.map(GFN, A, 0);
        t
    }

    fn uncached(t: &Tables<'_>) -> [u8; 2] {
        let mut buf = [0; 2];
        t.machine.guest_read_uncached(t.root, GFN.addr().plus(63), &mut buf).unwrap();
        buf
    }

    #[test]
    fn guest_without_caches_sees_what_was_cleaned_only() {
        let m = machine(true);
        let t = with_page(&m);
        m.frame(A).unwrap().write(63, &[1, 2]);
        assert!(m.is_dirty(A));
        assert_eq!(uncached(&t), [0, 0]);
        assert_eq!(m.guest_read32(t.root, GFN.addr().plus(60)), Ok(0x0100_0000));
        m.clean_frames(A.plus(1), 5);
        assert_eq!(uncached(&t), [0, 0]);
        m.clean_frames(A, 1);
        assert!(!m.is_dirty(A));
        assert_eq!(uncached(&t), [1, 2]);
    }

    #[test]
    fn instructions_are_fetched_past_the_data_cache() {
        let m = machine(true);
        let t = with_page(&m);
        m.frame(A).unwrap().store32(8, 0xd503_201f);
        assert_eq!(m.guest_fetch(t.root, GFN.addr().plus(8)), Ok(0));
        m.clean_frames(A, 1);
        assert_eq!(m.guest_fetch(t.root, GFN.addr().plus(8)), Ok(0xd503_201f));
    }

    #[test]
    fn late_clean_overwrites_what_the_guest_wrote_to_the_line() {
        let m = machine(true);
        let t = with_page(&m);
        m.frame(A).unwrap().zero();
        m.guest_write_uncached(t.root, GFN.addr().plus(63), &[5, 6]).unwrap();
        assert_eq!((uncached(&t), m.frame(A).unwrap().load8(63)), ([5, 6], 0));
        m.clean_frames(A, 1);
        assert_eq!(uncached(&t), [0, 0]);
        m.guest_write_uncached(t.root, GFN.addr().plus(63), &[7, 8]).unwrap();
        assert_eq!((uncached(&t), m.frame(A).unwrap().load8(63)), ([7, 8], 7));
    }

    #[test]
    fn device_mapping_goes_past_the_caches() {
        let m = machine(true);
        let t = with_page(&m);
        m.frame(A).unwrap().store8(0, 1);
        t.put(Gfn(7), 0, FakeStage2::leaf(A, 0, MapAttr::DEVICE, 0));
        let mut byte = [9];
        m.guest_read(t.root, Gfn(7).addr(), &mut byte).unwrap();
        assert_eq!(byte, [0]);
        m.guest_write(t.root, Gfn(7).addr(), &[3]).unwrap();
        assert_eq!(m.frame(A).unwrap().load8(0), 1);
    }

    #[test]
    fn without_caches_everything_is_seen_at_once() {
        let m = machine(false);
        let t = with_page(&m);
        m.frame(A).unwrap().write(63, &[1, 2]);
        assert_eq!((uncached(&t), m.is_dirty(A)), ([1, 2], false));
    }

    #[test]
    fn clean_of_frames_that_are_not_ram_is_a_fault() {
        let m = machine(true);
        m.clean_frames(Mfn(0x47fff), 1);
        m.assert_no_faults();
        m.clean_frames(Mfn(0x47fff), 2);
        assert_eq!(m.take_faults(), [Fault::CleanOutsideRam { mfn: Mfn(0x47fff), count: 2 }]);
    }
}
