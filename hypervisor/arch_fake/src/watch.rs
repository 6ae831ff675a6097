//! Watches on the hypervisor's reads of guest memory: counting them, and changing what was read,
//! as a guest on another pCPU may.

use crate::machine::{Machine, lock};
use crate::ram::{Page, WATCHED, byte_mask};
use hal::{Maddr, Mfn, PAGE_SIZE};

/// What changes a word that was read: gets the word's address and value, returns its new value.
type Change = Box<dyn FnMut(Maddr, u64) -> u64 + Send>;

/// A watch, to ask or to remove it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WatchId(u64);

/// The hypervisor's reads of a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadCount {
    /// Accesses that read any of it.
    pub accesses: u64,
    /// Reads of the byte that was read least.
    pub min_per_byte: u32,
    /// Reads of the byte that was read most.
    pub max_per_byte: u32,
}

struct Watch {
    id: WatchId,
    start: Maddr,
    accesses: u64,
    /// Reads of each byte.
    reads: Vec<u32>,
    change: Option<Change>,
}

impl Watch {
    /// The part of a range that is watched, as first address and one past the last.
    fn overlap(&self, from: u64, to: u64) -> Option<(u64, u64)> {
        let low = from.max(self.start.0);
        let high = to.min(self.start.0 + self.reads.len() as u64);
        (low < high).then_some((low, high))
    }
}

#[derive(Default)]
pub(crate) struct Watches {
    list: Vec<Watch>,
    next: u64,
}

impl Machine {
    /// Counts the hypervisor's reads of `len` bytes from `start`.
    pub fn count_reads(&self, start: Maddr, len: usize) -> WatchId {
        self.watch(start, len, None)
    }

    /// Counts the hypervisor's reads of `len` bytes from `start`, and changes the bytes after each
    /// read of them: `change` gets each 64-bit word's address and value and returns its new value, of
    /// which only bytes that were just read and are in the range are stored. A failed
    /// compare-exchange is a read too. `change` may not add, end or ask watches, nor read frames that
    /// have one.
    pub fn mutate_on_read(
        &self,
        start: Maddr,
        len: usize,
        change: impl FnMut(Maddr, u64) -> u64 + Send + 'static,
    ) -> WatchId {
        self.watch(start, len, Some(Box::new(change)))
    }

    fn watch(&self, start: Maddr, len: usize, change: Option<Change>) -> WatchId {
        assert!(len > 0, "a watch needs a range");
        let mut watches = lock(&self.watches);
        let id = WatchId(watches.next);
        watches.next += 1;
        watches.list.push(Watch { id, start, accesses: 0, reads: vec![0; len], change });
        self.mark(&watches, start, len);
        id
    }

    /// Ends a watch; returns its count. `None` when it has ended before.
    pub fn unwatch(&self, id: WatchId) -> Option<ReadCount> {
        let count = self.reads(id);
        let mut watches = lock(&self.watches);
        let n = watches.list.iter().position(|w| w.id == id)?;
        let gone = watches.list.remove(n);
        self.mark(&watches, gone.start, gone.reads.len());
        count
    }

    /// The reads so far; `None` when the watch has ended.
    pub fn reads(&self, id: WatchId) -> Option<ReadCount> {
        let watches = lock(&self.watches);
        let watch = watches.list.iter().find(|w| w.id == id)?;
        Some(ReadCount {
            accesses: watch.accesses,
            min_per_byte: watch.reads.iter().copied().min().unwrap_or(0),
            max_per_byte: watch.reads.iter().copied().max().unwrap_or(0),
        })
    }

    /// Panics unless each byte of the range was read exactly once.
    #[track_caller]
    pub fn assert_read_once(&self, id: WatchId) {
        let count = self.reads(id).expect("the watch was not ended");
        assert!(count.min_per_byte == 1 && count.max_per_byte == 1, "not read once: {count:?}");
    }

    /// Sets or clears the mark on each frame of a range, as watches demand.
    fn mark(&self, watches: &Watches, start: Maddr, len: usize) {
        let last = start.plus(len as u64 - 1);
        for mfn in (start.frame().0..=last.frame().0).map(Mfn) {
            if let Some(slot) = self.ram.slot(mfn) {
                let from = mfn.addr().0;
                let watched = watches.list.iter().any(|w| w.overlap(from, from + PAGE_SIZE as u64).is_some());
                slot.set(WATCHED, watched);
            }
        }
    }

    /// Counts a read of the hypervisor, then changes what it read.
    pub(crate) fn after_read(&self, mfn: Mfn, page: &Page, offset: usize, len: usize) {
        let page_addr = mfn.addr().0;
        let from = page_addr + offset as u64;
        for watch in &mut lock(&self.watches).list {
            let Some((low, high)) = watch.overlap(from, from + len as u64) else { continue };
            watch.accesses += 1;
            let first = (low - watch.start.0) as usize;
            let last = (high - watch.start.0) as usize;
            watch.reads[first..last].iter_mut().for_each(|n| *n += 1);
            let Some(change) = &mut watch.change else { continue };
            let mut at = low;
            while at < high {
                let word = at & !7;
                let n = (high - at).min(word + 8 - at) as usize;
                let mask = byte_mask((at - word) as usize, n);
                let index = ((word - page_addr) / 8) as usize;
                let new = change(Maddr(word), page.load(index));
                let _ = page.update(index, |old| Some(old & !mask | new & mask));
                at += n as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use hal::{FrameMem, MachineOps};

    const MFN: Mfn = Mfn(0x40010);

    fn machine() -> Machine {
        Machine::new(Config { fill: 0, ..Config::default() })
    }

    #[test]
    fn second_read_sees_another_value() {
        let m = machine();
        let f = m.frame(MFN).unwrap();
        f.write(8, &[1; 16]);
        m.mutate_on_read(MFN.addr().plus(10), 4, |_, v| !v);
        let mut once = [0; 16];
        f.read(8, &mut once);
        assert_eq!(once, [1; 16]);
        assert_eq!(f.load64(8), 0x0101_fefe_fefe_0101);
        assert_eq!(f.load64(8), 0x0101_0101_0101_0101);
        assert_eq!(f.load64(16), 0x0101_0101_0101_0101);
    }

    #[test]
    fn only_bytes_that_were_read_change() {
        let m = machine();
        let f = m.frame(MFN).unwrap();
        let id = m.mutate_on_read(MFN.addr(), 16, |_, v| v + 0x0101_0101_0101_0101);
        assert_eq!(f.load16(2), 0);
        m.unwatch(id);
        assert_eq!(f.load64(0), 0x0101_0000);
    }

    #[test]
    fn change_sees_the_address_across_words_and_frames() {
        let m = machine();
        let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let log = seen.clone();
        m.mutate_on_read(MFN.addr().plus(0xffc), 8, move |addr, value| {
            log.lock().unwrap().push(addr.0);
            value
        });
        m.frame(MFN).unwrap().read(0xff0, &mut [0; 16]);
        m.frame(MFN.plus(1)).unwrap().read(0, &mut [0; 16]);
        assert_eq!(*seen.lock().unwrap(), [0x4001_0ff8, 0x4001_1000]);
    }

    #[test]
    fn loop_that_never_gives_up_a_compare_exchange_is_noticed() {
        let m = machine();
        let f = m.frame(MFN).unwrap();
        let id = m.mutate_on_read(MFN.addr(), 4, |_, v| v + 1);
        let mut found = f.load32(0);
        for _ in 0..10 {
            found = f.compare_exchange32(0, found, 1000).unwrap_err();
        }
        assert_eq!(m.unwatch(id).unwrap().accesses, 11);
        assert_eq!(f.compare_exchange32(0, 11, 1000), Ok(11));
    }

    #[test]
    fn structure_read_once_passes_and_read_twice_fails() {
        let m = machine();
        let f = m.frame(MFN).unwrap();
        let id = m.count_reads(MFN.addr().plus(32), 24);
        f.read(32, &mut [0; 20]);
        assert_eq!(m.reads(id).map(|r| (r.min_per_byte, r.max_per_byte)), Some((0, 1)));
        f.load32(52);
        m.assert_read_once(id);
        f.load8(33);
        let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| m.assert_read_once(id)));
        assert!(failed.is_err());
        assert_eq!(m.reads(id), Some(ReadCount { accesses: 3, min_per_byte: 1, max_per_byte: 2 }));
    }

    #[test]
    fn ended_watch_counts_no_more_and_leaves_others_alone() {
        let m = machine();
        let f = m.frame(MFN).unwrap();
        let (a, b) = (m.count_reads(MFN.addr(), 8), m.count_reads(MFN.addr(), 8));
        f.load64(0);
        assert!(m.unwatch(a).is_some());
        f.load64(0);
        assert_eq!(m.reads(a), None);
        assert_eq!(m.unwatch(b).map(|r| r.accesses), Some(2));
        assert_eq!(m.unwatch(b), None);
    }

    #[test]
    fn copies_and_atomics_of_the_hypervisor_and_reads_of_a_guest_count_as_what_they_are() {
        let m = machine();
        let (a, b) = (m.frame(MFN).unwrap(), m.frame(MFN.plus(1)).unwrap());
        let id = m.count_reads(MFN.addr(), 8);
        a.fetch_or64(0, 1);
        a.store32(4, 1);
        m.peek64(MFN.addr());
        assert_eq!(m.reads(id).unwrap().accesses, 0);
        b.copy_from(0, &a, 0, 8);
        m.assert_read_once(id);
    }
}
