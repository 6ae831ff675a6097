//! What the guest does: accesses through stage 2, and the translation of its virtual addresses.

use crate::event::Fault;
use crate::frame::Frame;
use crate::machine::{Machine, lock};
use crate::ram::{PRIVATE, byte_mask, for_words};
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};
use hal::{FrameMem, Gaddr, MachineOps, Maddr, PAGE_SIZE, Stage2Root};
use std::sync::Mutex;

/// What a guest wants of memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Read data.
    Read,
    /// Write data.
    Write,
    /// Fetch an instruction.
    Fetch,
}

/// Why a guest's access traps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GuestFault {
    /// Nothing is mapped there: a translation fault at this level.
    Unmapped {
        /// The level of the table without an entry.
        level: u32,
    },
    /// The mapping does not allow it: a permission fault at this level.
    Denied {
        /// The level of the leaf.
        level: u32,
    },
    /// The mapping leads to where there is no RAM: a device's registers, or nothing.
    NotRam {
        /// The address that the machine would see.
        maddr: Maddr,
    },
}

/// A guest access's result.
type Guest<T> = Result<T, GuestFault>;

/// Never reached by the countdown of failing translations.
const NEVER: u64 = u64::MAX;

pub(crate) struct TranslateRules {
    va_base: u64,
    /// Translations left until one fails.
    countdown: AtomicU64,
    /// Ranges of virtual addresses that stage 1 denies, and whether only for writing.
    denied: Mutex<Vec<(Range<u64>, bool)>>,
}

impl TranslateRules {
    pub(crate) fn new(va_base: u64) -> Self {
        Self { va_base, countdown: AtomicU64::new(NEVER), denied: Mutex::new(Vec::new()) }
    }

    /// Whether this translation is the one to fail.
    fn fails_now(&self) -> bool {
        let count = |n| (n != NEVER).then(|| if n == 0 { NEVER } else { n - 1 });
        self.countdown.fetch_update(Ordering::SeqCst, Ordering::SeqCst, count) == Ok(0)
    }
}

impl Machine {
    /// Makes a translation of a virtual address fail, once: the next one for 0, the one after it
    /// for 1, and so on.
    pub fn fail_translate(&self, after: u64) {
        assert!(after < NEVER, "no such translation");
        self.translate_rules.countdown.store(after, Ordering::SeqCst);
    }

    /// Lets stage 1 of the guests' translation deny a range of virtual addresses: all accesses, or
    /// only writes.
    pub fn deny_va(&self, range: Range<u64>, only_write: bool) {
        lock(&self.translate_rules.denied).push((range, only_write));
    }

    /// Takes back all [`Machine::deny_va`].
    pub fn allow_all_va(&self) {
        lock(&self.translate_rules.denied).clear();
    }

    pub(crate) fn translate_impl(&self, va: u64, write: bool) -> Option<Maddr> {
        let rules = &self.translate_rules;
        if rules.fails_now() {
            return None;
        }
        let denied = lock(&rules.denied)
            .iter()
            .any(|(range, only_write)| range.contains(&va) && (write || !only_write));
        let root = self.stage2_of(self.this_cpu())?;
        let gaddr = Gaddr(va.checked_sub(rules.va_base)?);
        let access = if write { Access::Write } else { Access::Read };
        if denied { None } else { self.guest_translate(root, gaddr, access).ok() }
    }

    /// Walks stage 2 as an access of the guest does, with all that this leaves in the TLB.
    ///
    /// # Errors
    /// The guest's trap.
    pub fn guest_translate(&self, root: Stage2Root, gaddr: Gaddr, access: Access) -> Guest<Maddr> {
        self.guest_walk(root, gaddr, access).map(|(maddr, _)| maddr)
    }

    /// The address, and whether the mapping is of device memory.
    fn guest_walk(&self, root: Stage2Root, gaddr: Gaddr, access: Access) -> Guest<(Maddr, bool)> {
        self.check_tag(root);
        let hit = lock(&self.tlb)
            .walk(self.env(), root, gaddr.frame())
            .map_err(|level| GuestFault::Unmapped { level })?;
        let allowed = match access {
            Access::Read => true,
            Access::Write => hit.attr.write,
            Access::Fetch => hit.attr.exec,
        };
        if !allowed {
            return Err(GuestFault::Denied { level: hit.level });
        }
        Ok((hit.mfn.addr().plus(gaddr.page_offset() as u64), hit.attr.device))
    }

    /// The frame, offset in it and whether past the caches, for a guest's access.
    fn guest_frame(&self, root: Stage2Root, gaddr: Gaddr, access: Access) -> Guest<(Frame<'_>, usize, bool)> {
        let (maddr, device) = self.guest_walk(root, gaddr, access)?;
        let mfn = maddr.frame();
        let frame = self.frame_any(mfn).ok_or(GuestFault::NotRam { maddr })?;
        if frame.slot.flags() & PRIVATE != 0 {
            self.faults.record(Fault::GuestReachedPrivate { mfn });
        }
        Ok((frame, maddr.page_offset(), device))
    }

    /// Calls `f(address, part of the buffer)` for the part of an access in each page. Parts before
    /// one that traps are done.
    fn by_page(gaddr: Gaddr, len: usize, mut f: impl FnMut(Gaddr, Range<usize>) -> Guest<()>) -> Guest<()> {
        let mut done = 0;
        while done < len {
            let at = gaddr.plus(done as u64);
            let n = (len - done).min(PAGE_SIZE - at.page_offset());
            f(at, done..done + n)?;
            done += n;
        }
        Ok(())
    }

    fn read_as(
        &self,
        root: Stage2Root,
        gaddr: Gaddr,
        buf: &mut [u8],
        access: Access,
        uncached: bool,
    ) -> Guest<()> {
        Self::by_page(gaddr, buf.len(), |at, part| {
            let (frame, offset, device) = self.guest_frame(root, at, access)?;
            if uncached || device {
                for (n, byte) in buf[part].iter_mut().enumerate() {
                    let word = self.caches.load_uncached(frame.mfn, frame.page, (offset + n) / 8);
                    *byte = word.to_le_bytes()[(offset + n) % 8];
                }
            } else {
                frame.page.read(offset, &mut buf[part]);
            }
            Ok(())
        })
    }

    /// The guest reads.
    ///
    /// # Errors
    /// The guest's trap.
    pub fn guest_read(&self, root: Stage2Root, gaddr: Gaddr, buf: &mut [u8]) -> Guest<()> {
        self.read_as(root, gaddr, buf, Access::Read, false)
    }

    /// The guest reads with its caches off.
    ///
    /// # Errors
    /// The guest's trap.
    pub fn guest_read_uncached(&self, root: Stage2Root, gaddr: Gaddr, buf: &mut [u8]) -> Guest<()> {
        self.read_as(root, gaddr, buf, Access::Read, true)
    }

    /// The guest fetches an instruction; the fetch does not look in the data cache.
    ///
    /// # Errors
    /// The guest's trap.
    pub fn guest_fetch(&self, root: Stage2Root, gaddr: Gaddr) -> Guest<u32> {
        let mut buf = [0; 4];
        self.read_as(root, gaddr, &mut buf, Access::Fetch, true)?;
        Ok(u32::from_le_bytes(buf))
    }

    /// The guest writes.
    ///
    /// # Errors
    /// The guest's trap.
    pub fn guest_write(&self, root: Stage2Root, gaddr: Gaddr, bytes: &[u8]) -> Guest<()> {
        Self::by_page(gaddr, bytes.len(), |at, part| {
            let (frame, offset, device) = self.guest_frame(root, at, Access::Write)?;
            if device {
                self.put_uncached(&frame, offset, &bytes[part]);
            } else {
                frame.write(offset, &bytes[part]);
            }
            Ok(())
        })
    }

    /// The guest writes with its caches off.
    ///
    /// # Errors
    /// The guest's trap.
    pub fn guest_write_uncached(&self, root: Stage2Root, gaddr: Gaddr, bytes: &[u8]) -> Guest<()> {
        Self::by_page(gaddr, bytes.len(), |at, part| {
            let (frame, offset, _) = self.guest_frame(root, at, Access::Write)?;
            self.put_uncached(&frame, offset, &bytes[part]);
            Ok(())
        })
    }

    fn put_uncached(&self, frame: &Frame<'_>, offset: usize, bytes: &[u8]) {
        for_words(offset, bytes, |index, mask, value| {
            self.caches.store_uncached(frame.mfn, frame.page, index, mask, value);
        });
    }

    /// The guest changes a naturally aligned operand of `size` bytes (1, 2, 4 or 8) in one atomic
    /// step; returns its value before.
    ///
    /// # Errors
    /// The guest's trap.
    pub fn guest_update(
        &self,
        root: Stage2Root,
        gaddr: Gaddr,
        size: usize,
        f: impl Fn(u64) -> u64,
    ) -> Guest<u64> {
        let (frame, offset, _) = self.guest_frame(root, gaddr, Access::Write)?;
        assert!([1, 2, 4, 8].contains(&size) && offset.is_multiple_of(size), "operand is not aligned");
        let shift = offset % 8 * 8;
        let mask = byte_mask(0, size);
        let (Ok(word) | Err(word)) = frame.update(offset / 8, |word| {
            let new = f(word >> shift & mask) & mask;
            Some(word & !(mask << shift) | new << shift)
        });
        Ok(word >> shift & mask)
    }

    /// The guest reads a 32-bit word.
    ///
    /// # Errors
    /// The guest's trap.
    pub fn guest_read32(&self, root: Stage2Root, gaddr: Gaddr) -> Guest<u32> {
        let mut buf = [0; 4];
        self.guest_read(root, gaddr, &mut buf)?;
        Ok(u32::from_le_bytes(buf))
    }

    /// The guest reads a 64-bit word.
    ///
    /// # Errors
    /// The guest's trap.
    pub fn guest_read64(&self, root: Stage2Root, gaddr: Gaddr) -> Guest<u64> {
        let mut buf = [0; 8];
        self.guest_read(root, gaddr, &mut buf)?;
        Ok(u64::from_le_bytes(buf))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Tables;
    use hal::{Gfn, Mfn, PcpuId};

    const A: Mfn = Mfn(0x41000);
    const GFN: Gfn = Gfn(0x80000);

    /// Two neighbouring guest frames in distant frames of RAM.
    fn with_pages(m: &Machine) -> Tables<'_> {
        let t = Tables::new(m, Mfn(0x40000), 1);
        t.map(GFN, A.plus(8), 0);
        t.map(Gfn(GFN.0 + 1), A, 0);
        t
    }

    #[test]
    fn access_across_pages_is_split() {
        let m = Machine::new(Config::default());
        let t = with_pages(&m);
        let at = GFN.addr().plus(0xffe);
        m.guest_write(t.root, at, &[1, 2, 3, 4]).unwrap();
        assert_eq!(
            (m.frame(A).unwrap().load16(0), m.frame(A.plus(8)).unwrap().load16(0xffe)),
            (0x403, 0x201)
        );
        let mut buf = [0; 4];
        m.guest_read(t.root, at, &mut buf).unwrap();
        assert_eq!(buf, [1, 2, 3, 4]);
        let end = GFN.addr().plus(0x1fff);
        assert_eq!(m.guest_write(t.root, end, &[5, 6]), Err(GuestFault::Unmapped { level: 0 }));
        assert_eq!(m.frame(A).unwrap().load8(0xfff), 5);
    }

    #[test]
    fn guest_changes_operands_atomically() {
        let m = Machine::new(Config { fill: 0, ..Config::default() });
        let t = with_pages(&m);
        let at = GFN.addr().plus(4);
        assert_eq!(m.guest_update(t.root, at, 4, |v| v | 0x8000_0000), Ok(0));
        assert_eq!(m.guest_update(t.root, at, 4, |v| v + 1), Ok(0x8000_0000));
        assert_eq!(m.guest_read64(t.root, GFN.addr()), Ok(0x8000_0001_0000_0000));
    }

    #[test]
    fn guest_reaching_a_private_frame_is_a_fault_and_the_core_gets_none() {
        let m = Machine::new(Config::default());
        let t = with_pages(&m);
        m.set_private(A, 1, true);
        assert!(m.frame(A).is_none() && m.frame(A.plus(1)).is_some());
        m.guest_read32(t.root, Gfn(GFN.0 + 1).addr()).unwrap();
        assert_eq!(m.take_faults(), [Fault::GuestReachedPrivate { mfn: A }]);
        m.set_private(A, 1, false);
        m.guest_read32(t.root, Gfn(GFN.0 + 1).addr()).unwrap();
        assert!(m.frame(A).is_some());
    }

    #[test]
    fn mapping_without_ram_tells_where_it_leads() {
        let m = Machine::new(Config::default());
        let t = with_pages(&m);
        t.map(Gfn(9), Mfn(0x9000), 0);
        let result = m.guest_read32(t.root, Gfn(9).addr().plus(0x18));
        assert_eq!(result, Err(GuestFault::NotRam { maddr: Maddr(0x900_0018) }));
    }

    #[test]
    fn virtual_address_is_the_guests_physical_one_of_the_root_on_this_pcpu() {
        let m = Machine::new(Config::default());
        let t = with_pages(&m);
        t.put(Gfn(1), 0, 0);
        let va = GFN.addr().0 + 0x123;
        assert_eq!(m.translate(va, false), None);
        m.run_on(PcpuId(1), || m.set_stage2(t.root));
        assert_eq!(m.translate(va, false), None);
        m.on_cpu(PcpuId(1));
        assert_eq!(m.translate(va, true), Some(A.plus(8).addr().plus(0x123)));
        assert_eq!(m.translate(0x1000, false), None);
        assert_eq!(m.translate(u64::MAX, false), None);
    }

    #[test]
    fn rights_of_stage_2_and_of_the_guests_own_tables_both_count() {
        use crate::FakeStage2;
        use hal::{MapAttr, Stage2Format};
        let m = Machine::new(Config { va_base: 1 << 47, ..Config::default() });
        let t = with_pages(&m);
        t.put(Gfn(1), 0, FakeStage2::leaf(A, 0, MapAttr::RAM_RO, 0));
        m.set_stage2(t.root);
        let va = |gfn: Gfn| (1 << 47) + gfn.addr().0;
        let can = |gfn| (m.translate(va(gfn), false).is_some(), m.translate(va(gfn), true).is_some());
        assert_eq!((can(Gfn(1)), can(GFN)), ((true, false), (true, true)));
        assert_eq!(m.translate(GFN.addr().0, false), None);
        m.deny_va(va(GFN)..va(GFN) + 1, true);
        assert_eq!(can(GFN), (true, false));
        m.deny_va(va(GFN)..va(GFN) + 0x1000, false);
        assert_eq!(can(GFN), (false, false));
        m.allow_all_va();
        assert_eq!(can(GFN), (true, true));
    }

    #[test]
    fn chosen_translation_fails_once() {
        let m = Machine::new(Config::default());
        let t = with_pages(&m);
        m.set_stage2(t.root);
        m.fail_translate(2);
        let works: Vec<bool> = (0..5).map(|_| m.translate(GFN.addr().0, false).is_some()).collect();
        assert_eq!(works, [true, true, false, true, true]);
    }
}
