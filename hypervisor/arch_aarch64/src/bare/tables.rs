//! The hypervisor's live page tables.

use core::sync::atomic::{AtomicUsize, Ordering};

use super::boot::Entry;
use super::memory::zero_pages;
use super::sysreg as reg;
use crate::layout;
use crate::paging::{self, MapError, TableMemory, Use};
use crate::ram::BootRam;

const PAGE: usize = 4096;
/// Tables in the image, for the time before RAM is mapped.
const FIRST_TABLES: usize = 8;

#[repr(C, align(4096))]
struct FirstTables([[u8; PAGE]; FIRST_TABLES]);

static mut FIRST: FirstTables = FirstTables([[0; PAGE]; FIRST_TABLES]);
static FIRST_USED: AtomicUsize = AtomicUsize::new(0);

/// The live tables, and where new ones come from.
pub(super) struct LiveTables<'r, 'f> {
    entry: Entry,
    ram: Option<&'r mut BootRam<'f>>,
}

impl<'r, 'f> LiveTables<'r, 'f> {
    /// The tables that `entry` describes; new ones are from the image, and then from `ram`, which
    /// is in the direct map.
    pub(super) fn new(entry: Entry, ram: Option<&'r mut BootRam<'f>>) -> Self {
        Self { entry, ram }
    }

    /// Maps; see [`paging::map`].
    pub(super) fn map(&mut self, va: u64, pa: u64, len: u64, purpose: Use) -> Result<(), MapError> {
        let root = self.entry.root_table();
        let result = paging::map(self, root, va, pa, len, purpose);
        // The walker sees the new entries from here on; empty ones are not cached.
        reg::dsb(reg::ISHST);
        reg::isb();
        result
    }

    /// Unmaps single pages, on all pCPUs.
    pub(super) fn unmap_pages(&mut self, va: u64, len: u64) {
        let root = self.entry.root_table();
        paging::unmap_pages(self, root, va, len);
        reg::dsb(reg::ISHST);
        for page in (va..va + len).step_by(PAGE) {
            reg::TLBI_VAE2IS.run(page >> 12);
        }
        reg::dsb(reg::ISH);
        if super::cpu::bugs().has(crate::Bugs::REPEAT_TLBI) {
            reg::TLBI_VALE2IS.run(0);
            reg::dsb(reg::ISH);
        }
        reg::isb();
    }

    fn entry_at(&self, table: u64, index: usize) -> *mut u64 {
        let image = self.entry.image_span();
        let va = if (image.start..image.end).contains(&table) {
            table - image.start + layout::IMAGE_BASE
        } else {
            layout::direct(table)
        };
        core::ptr::with_exposed_provenance_mut::<u64>(va as usize).wrapping_add(index % 512)
    }
}

impl TableMemory for LiveTables<'_, '_> {
    fn read(&self, table: u64, index: usize) -> u64 {
        // SAFETY: tables are in the image or in the direct map, and only this type uses them.
        unsafe { self.entry_at(table, index).read_volatile() }
    }

    fn write(&mut self, table: u64, index: usize, entry: u64) {
        // SAFETY: as above; `paging` never changes what is mapped, so no reference is disturbed.
        unsafe { self.entry_at(table, index).write_volatile(entry) }
    }

    fn allocate(&mut self) -> Option<u64> {
        let n = FIRST_USED.load(Ordering::Relaxed);
        if n < FIRST_TABLES {
            FIRST_USED.store(n + 1, Ordering::Relaxed);
            return Some(self.entry.physical((&raw const FIRST).addr() as u64) + (n * PAGE) as u64);
        }
        let piece = self.ram.as_mut()?.take(PAGE as u64, 0)?;
        let at = self.entry_at(piece.start, 0).cast::<u8>();
        // SAFETY: fresh memory in the direct map that only we have.
        unsafe { zero_pages(at, at.wrapping_add(PAGE)) };
        Some(piece.start)
    }
}
