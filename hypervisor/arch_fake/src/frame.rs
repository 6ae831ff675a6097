//! The core's handle on a frame.

use crate::machine::Machine;
use crate::ram::{Page, Slot, TABLE, WATCHED, WORDS, byte_mask, for_words};
use core::fmt;
use hal::{FrameMem, Mfn, PAGE_SIZE, clip};

/// A frame of a [`Machine`]'s RAM, as the hypervisor sees it.
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    pub(crate) machine: &'a Machine,
    pub(crate) slot: &'a Slot,
    pub(crate) page: &'a Page,
    pub(crate) mfn: Mfn,
}

impl fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({:x})", self.mfn)
    }
}

impl Frame<'_> {
    /// Where the operand of `size` bytes lies: number of its word, bit in the word, mask unshifted.
    fn operand(offset: usize, size: usize) -> (usize, u32, u64) {
        let offset = (offset % PAGE_SIZE) & !(size - 1);
        (offset / 8, (offset % 8 * 8) as u32, byte_mask(0, size))
    }

    fn after_read(&self, offset: usize, len: usize) {
        if self.slot.flags() & WATCHED != 0 {
            self.machine.after_read(self.mfn, self.page, offset, len);
        }
        if self.machine.recorder.is_on() {
            self.record(offset, len);
        }
    }

    /// Whether a write needs only the store.
    fn is_plain(&self) -> bool {
        self.slot.flags() & TABLE == 0 && !self.machine.caches.is_on()
    }

    fn load(&self, offset: usize, size: usize) -> u64 {
        let (index, shift, mask) = Self::operand(offset, size);
        let value = (self.page.load(index) >> shift) & mask;
        self.after_read(index * 8 + shift as usize / 8, size);
        value
    }

    /// Changes a word, with the machine's checks.
    pub(crate) fn update(&self, index: usize, f: impl FnMut(u64) -> Option<u64>) -> Result<u64, u64> {
        if self.is_plain() { self.page.update(index, f) } else { self.machine.checked_update(self, index, f) }
    }

    /// Changes an operand of `size` bytes; `Ok` has its value before.
    fn change(&self, offset: usize, size: usize, f: impl Fn(u64) -> Option<u64>) -> Result<u64, u64> {
        let (index, shift, mask) = Self::operand(offset, size);
        let result = self.update(index, |word| {
            let new = f((word >> shift) & mask)?;
            Some(word & !(mask << shift) | (new & mask) << shift)
        });
        match result {
            Ok(word) => Ok((word >> shift) & mask),
            Err(word) => {
                self.after_read(index * 8 + shift as usize / 8, size);
                Err((word >> shift) & mask)
            }
        }
    }

    /// The same as an atomic operation of the contract; returns the value before.
    fn modify(&self, offset: usize, size: usize, f: impl Fn(u64) -> u64) -> u64 {
        self.atomically(|| self.fetch(offset, size, &f))
    }

    /// Changes an operand in any case; returns its value before.
    fn fetch(&self, offset: usize, size: usize, f: impl Fn(u64) -> u64) -> u64 {
        let (Ok(old) | Err(old)) = self.change(offset, size, |v| Some(f(v)));
        old
    }
}

impl FrameMem for Frame<'_> {
    fn read(&self, offset: usize, buf: &mut [u8]) -> usize {
        let len = clip(offset, buf.len());
        self.page.read(offset, &mut buf[..len]);
        self.after_read(offset, len);
        len
    }

    fn write(&self, offset: usize, bytes: &[u8]) -> usize {
        let len = clip(offset, bytes.len());
        let plain = self.is_plain();
        for_words(offset, &bytes[..len], |index, mask, value| {
            if plain && mask == u64::MAX {
                self.page.store(index, value);
            } else {
                let _ = self.update(index, |word| Some(word & !mask | value));
            }
        });
        len
    }

    fn copy_from(&self, offset: usize, src: &Self, src_offset: usize, len: usize) -> usize {
        let mut buf = [0; PAGE_SIZE];
        let len = clip(offset, clip(src_offset, len));
        src.read(src_offset, &mut buf[..len]);
        self.write(offset, &buf[..len])
    }

    fn zero(&self) {
        if self.is_plain() {
            (0..WORDS).for_each(|index| self.page.store(index, 0));
        } else {
            for index in 0..WORDS {
                let _ = self.update(index, |_| Some(0));
            }
        }
    }

    fn load8(&self, offset: usize) -> u8 {
        self.load(offset, 1) as u8
    }

    fn store8(&self, offset: usize, value: u8) {
        self.fetch(offset, 1, |_| value.into());
    }

    fn load16(&self, offset: usize) -> u16 {
        self.load(offset, 2) as u16
    }

    fn fetch_or16(&self, offset: usize, bits: u16) -> u16 {
        self.modify(offset, 2, |v| v | u64::from(bits)) as u16
    }

    fn fetch_and16(&self, offset: usize, bits: u16) -> u16 {
        self.modify(offset, 2, |v| v & u64::from(bits)) as u16
    }

    fn load32(&self, offset: usize) -> u32 {
        self.load(offset, 4) as u32
    }

    fn store32(&self, offset: usize, value: u32) {
        self.fetch(offset, 4, |_| value.into());
    }

    fn compare_exchange32(&self, offset: usize, current: u32, new: u32) -> Result<u32, u32> {
        self.atomically(|| self.change(offset, 4, |v| (v == u64::from(current)).then_some(new.into())))
            .map(|v| v as u32)
            .map_err(|v| v as u32)
    }

    fn fetch_or32(&self, offset: usize, bits: u32) -> u32 {
        self.modify(offset, 4, |v| v | u64::from(bits)) as u32
    }

    fn fetch_and32(&self, offset: usize, bits: u32) -> u32 {
        self.modify(offset, 4, |v| v & u64::from(bits)) as u32
    }

    fn load64(&self, offset: usize) -> u64 {
        self.load(offset, 8)
    }

    fn store64(&self, offset: usize, value: u64) {
        if self.is_plain() {
            self.page.store(offset % PAGE_SIZE / 8, value);
        } else {
            self.fetch(offset, 8, |_| value);
        }
    }

    fn fetch_or64(&self, offset: usize, bits: u64) -> u64 {
        self.modify(offset, 8, |v| v | bits)
    }

    fn fetch_and64(&self, offset: usize, bits: u64) -> u64 {
        self.modify(offset, 8, |v| v & bits)
    }

    fn swap64(&self, offset: usize, value: u64) -> u64 {
        self.modify(offset, 8, |_| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use hal::{MachineOps, Maddr};
    use proptest::prelude::*;

    const MFN: Mfn = Mfn(0x40000);

    #[test]
    fn offsets_wrap_and_are_aligned_down() {
        let m = Machine::new(Config { fill: 0, ..Config::default() });
        let f = m.frame(MFN).unwrap();
        f.store32(PAGE_SIZE + 7, 0x1122_3344);
        assert_eq!(f.load64(3), 0x1122_3344_0000_0000);
        assert_eq!((f.load16(7), f.load8(4 * PAGE_SIZE + 5)), (0x1122, 0x33));
    }

    #[test]
    fn operations_touch_only_their_operand() {
        let m = Machine::new(Config { fill: u64::MAX, ..Config::default() });
        let f = m.frame(MFN).unwrap();
        f.store8(1, 0);
        assert_eq!(f.fetch_and16(2, 0xf0f0), 0xffff);
        assert_eq!(f.fetch_or16(2, 0x000f), 0xf0f0);
        assert_eq!(f.fetch_and32(4, 1), u32::MAX);
        assert_eq!(f.fetch_or32(4, 6), 1);
        assert_eq!(f.compare_exchange32(4, 7, 8), Ok(7));
        assert_eq!(f.compare_exchange32(4, 7, 9), Err(8));
        assert_eq!(f.load64(0), 0x0000_0008_f0ff_00ff);
        assert_eq!(f.swap64(8, 5), u64::MAX);
        assert_eq!(f.fetch_or64(8, 8), 5);
        assert_eq!(f.fetch_and64(8, 9), 13);
        assert_eq!((f.load64(8), f.load64(16)), (9, u64::MAX));
    }

    #[test]
    fn bit_operations_of_threads_on_one_word_lose_nothing() {
        let m = Machine::new(Config { fill: 0, ..Config::default() });
        std::thread::scope(|s| {
            for n in 0..4 {
                let m = &m;
                s.spawn(move || {
                    let f = m.frame(MFN).unwrap();
                    for bit in 0..16 {
                        f.fetch_or16(n * 2, 1 << bit);
                    }
                });
            }
        });
        assert_eq!(m.frame(MFN).unwrap().load64(0), u64::MAX);
    }

    #[test]
    fn copies_are_cut_at_the_end_of_either_page() {
        let m = Machine::new(Config { fill: 0, ..Config::default() });
        let (a, b) = (m.frame(MFN).unwrap(), m.frame(MFN.plus(1)).unwrap());
        assert_eq!(a.write(PAGE_SIZE - 3, &[1, 2, 3, 4]), 3);
        assert_eq!(b.copy_from(10, &a, PAGE_SIZE - 3, 100), 3);
        assert_eq!(b.copy_from(PAGE_SIZE - 2, &a, PAGE_SIZE - 3, 100), 2);
        assert_eq!((b.load64(8), b.load16(PAGE_SIZE - 2)), (0x03_0201_0000, 0x0201));
        assert_eq!(a.write(PAGE_SIZE, &[1]), 0);
        assert_eq!(m.frame(MFN.plus(2)).unwrap().load8(0), 0);
        assert_eq!(a.copy_from(PAGE_SIZE - 2, &a, PAGE_SIZE - 3, 3), 2);
        assert_eq!(m.dump(Maddr(MFN.addr().0 + 0xffc), 4), "0040000ffc: 00 01 01 02\n");
        a.zero();
        assert_eq!(a.load64(PAGE_SIZE - 8), 0);
    }

    proptest! {
        #[test]
        fn bytes_read_back_as_written(
            writes in prop::collection::vec((0usize..5000, prop::collection::vec(any::<u8>(), 0..64)), 0..20),
            hostile: bool,
        ) {
            let config = if hostile { Config::hostile() } else { Config::default() };
            let m = Machine::new(Config { fill: 0, ..config });
            let f = m.frame(MFN).unwrap();
            let mut model = [0; PAGE_SIZE];
            for (offset, bytes) in &writes {
                let n = clip(*offset, bytes.len());
                prop_assert_eq!(f.write(*offset, bytes), n);
                if n > 0 {
                    model[*offset..offset + n].copy_from_slice(&bytes[..n]);
                }
            }
            let mut all = [0; PAGE_SIZE];
            prop_assert_eq!(f.read(0, &mut all), PAGE_SIZE);
            prop_assert_eq!(all, model);
            for (offset, bytes) in &writes {
                let mut part = vec![0; bytes.len()];
                let n = f.read(*offset, &mut part);
                prop_assert_eq!(n, clip(*offset, bytes.len()));
                prop_assert_eq!(&part[..n], &model[(*offset).min(PAGE_SIZE)..][..n]);
            }
        }
    }
}
