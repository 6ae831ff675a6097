//! A record of what the hypervisor reads, and a guest that changes its memory between two reads.

use crate::frame::Frame;
use crate::machine::{Machine, lock};
use crate::ram::for_words;
use core::sync::atomic::{AtomicBool, Ordering};
use hal::{Mfn, PAGE_SIZE};
use std::sync::Mutex;

/// Bytes of a frame: what was read there, or what a guest stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bytes {
    /// The frame.
    pub mfn: Mfn,
    /// Where in it.
    pub offset: usize,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// What a guest does to memory while the hypervisor reads it.
#[derive(Clone, Debug)]
pub struct Meddling {
    /// The frames whose reads count, and in which it stores.
    pub frames: Vec<Mfn>,
    /// Reads that it lets pass.
    pub after: usize,
    /// How far behind the first byte of the next read it stores; never beyond the page.
    pub ahead: usize,
    /// How many bytes it changes.
    pub len: usize,
    /// The bits that it changes of each.
    pub bits: u8,
}

/// What happened while reads were recorded.
#[derive(Debug, Default)]
pub struct Reads {
    /// What was read, in order.
    pub list: Vec<Bytes>,
    /// What the guest stored meanwhile.
    pub stored: Vec<Bytes>,
}

#[derive(Default)]
pub(crate) struct Recorder {
    on: AtomicBool,
    state: Mutex<(Reads, Option<Meddling>)>,
}

impl Recorder {
    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Ordering::Acquire)
    }
}

impl Machine {
    /// From now on records all reads of the hypervisor, of tables and guest memory alike, and lets a guest meddle.
    pub fn record_reads(&self, meddling: Option<Meddling>) {
        *lock(&self.recorder.state) = (Reads::default(), meddling);
        self.recorder.on.store(true, Ordering::Release);
    }

    /// Ends the record.
    pub fn take_reads(&self) -> Reads {
        self.recorder.on.store(false, Ordering::Release);
        core::mem::take(&mut lock(&self.recorder.state).0)
    }
}

impl Frame<'_> {
    /// Notes a read, after which the guest may store.
    pub(crate) fn record(&self, offset: usize, len: usize) {
        let mut state = lock(&self.machine.recorder.state);
        let (reads, meddling) = &mut *state;
        let at = |offset: usize, len: usize| {
            let mut bytes = vec![0; len];
            self.page.read(offset, &mut bytes);
            Bytes { mfn: self.mfn, offset, bytes }
        };
        reads.list.push(at(offset, len));
        let Some(now) = meddling.as_mut().filter(|meddling| meddling.frames.contains(&self.mfn)) else {
            return;
        };
        if now.after > 0 {
            now.after -= 1;
            return;
        }
        let from = (offset + now.ahead).min(PAGE_SIZE);
        let mut stored = at(from, now.len.min(PAGE_SIZE - from));
        stored.bytes.iter_mut().for_each(|byte| *byte ^= now.bits);
        for_words(from, &stored.bytes, |index, mask, value| {
            let _ = self.update(index, |word| Some(word & !mask | value));
        });
        reads.stored.push(stored);
        *meddling = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use hal::{FrameMem, MachineOps};

    const MFN: Mfn = Mfn(0x40010);

    fn bytes(offset: usize, bytes: &[u8]) -> Bytes {
        Bytes { mfn: MFN, offset, bytes: bytes.to_vec() }
    }

    #[test]
    fn reads_are_recorded_while_that_is_asked() {
        let m = Machine::new(Config { fill: 0, ..Config::default() });
        let f = m.frame(MFN).unwrap();
        f.load64(0);
        m.record_reads(None);
        f.write(4, &[1, 2]);
        assert_eq!((f.load16(4), f.read(5, &mut [0; 3])), (0x201, 3));
        let reads = m.take_reads();
        assert_eq!(reads.list, [bytes(4, &[1, 2]), bytes(5, &[2, 0, 0])]);
        assert!(reads.stored.is_empty());
        f.load64(0);
        m.record_reads(None);
        assert!(m.take_reads().list.is_empty());
    }

    #[test]
    fn guest_stores_once_behind_the_read_that_was_chosen() {
        let m = Machine::new(Config { fill: 0, ..Config::default() });
        let (f, other) = (m.frame(MFN).unwrap(), m.frame(MFN.plus(1)).unwrap());
        m.record_reads(Some(Meddling { frames: vec![MFN], after: 1, ahead: 3, len: 2, bits: 0xf0 }));
        other.load64(0);
        assert_eq!((f.load64(0), f.load64(0), f.load64(0)), (0, 0, 0xf0_f000_0000));
        assert_eq!(m.take_reads().stored, [bytes(3, &[0xf0, 0xf0])]);
        m.record_reads(Some(Meddling { frames: vec![MFN], after: 0, ahead: 9, len: 8, bits: 1 }));
        f.load32(PAGE_SIZE - 8);
        assert_eq!(m.take_reads().stored, [bytes(PAGE_SIZE, &[])]);
    }
}
