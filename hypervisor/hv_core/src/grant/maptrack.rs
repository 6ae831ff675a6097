//! The mappings that a domain has made of others' grants, by handle.

use super::GrantError;
use crate::memory::HeldPage;
use alloc::vec::Vec;
use hal::{Domid, Gfn};
use xen_abi::grant_table::{GNTMAP_readonly, GNTST_bad_handle, GNTST_general_error, GNTST_no_space};

/// Mappings for each page of maptrack that the domain may have.
const PER_PAGE: u32 = 256;
/// Handles are grown by a chunk of this many at a time, which stays where it is: growing costs the same, however many
/// there are.
const CHUNK: usize = 256;
const NO_HANDLE: u32 = u32::MAX;

/// A mapping.
#[derive(Debug)]
pub(super) struct Mapping {
    /// Who granted.
    pub(super) owner: Domid,
    /// The grant.
    pub(super) gref: u32,
    /// With what rights: GNTMAP_readonly, or nothing.
    pub(super) flags: u16,
    /// Where it is mapped.
    pub(super) gfn: Gfn,
    /// The reference to the page.
    pub(super) page: HeldPage,
}

impl Mapping {
    /// Whether it may not be written.
    pub(super) fn is_read_only(&self) -> bool {
        u32::from(self.flags) & GNTMAP_readonly != 0
    }
}

/// The tag has a place of its own, and nothing in a mapping could hold it, so that a mapping is moved in whole words.
#[derive(Debug)]
#[repr(u8)]
enum Slot {
    Free { next: u32 },
    Reserved,
    Used(Mapping),
}

/// The handles.
#[derive(Debug)]
pub(super) struct Maptrack {
    /// All chunks but the last are full.
    chunks: Vec<Vec<Slot>>,
    free: u32,
    used: u32,
    limit: u32,
}

impl Maptrack {
    pub(super) fn new(max_pages: u32) -> Self {
        Self { chunks: Vec::new(), free: NO_HANDLE, used: 0, limit: max_pages.saturating_mul(PER_PAGE) }
    }

    #[inline]
    fn slot(&mut self, handle: u32) -> Option<&mut Slot> {
        self.chunks.get_mut(handle as usize / CHUNK)?.get_mut(handle as usize % CHUNK)
    }

    /// Handles in use.
    pub(super) fn in_use(&self) -> u32 {
        self.used
    }

    /// A handle for a mapping about to be made.
    #[inline]
    pub(super) fn reserve(&mut self) -> Result<u32, GrantError> {
        if self.free == NO_HANDLE {
            self.grow().ok_or(GrantError(GNTST_no_space))?;
        }
        let handle = self.free;
        let Some(slot) = self.slot(handle) else { return Err(GrantError(GNTST_no_space)) };
        let Slot::Free { next } = *slot else { return Err(GrantError(GNTST_no_space)) };
        *slot = Slot::Reserved;
        self.free = next;
        self.used += 1;
        Ok(handle)
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) -> Option<()> {
        let first = self.len();
        let room = (self.limit as usize).saturating_sub(first).min(CHUNK);
        if room == 0 {
            return None;
        }
        let mut chunk = Vec::new();
        chunk.try_reserve_exact(room).ok()?;
        self.chunks.try_reserve(1).ok()?;
        for handle in (first as u32..).take(room) {
            chunk.push(Slot::Free { next: self.free });
            self.free = handle;
        }
        self.chunks.push(chunk);
        Some(())
    }

    /// Fills in a reserved handle.
    #[inline]
    pub(super) fn set(&mut self, handle: u32, mapping: Mapping) {
        if let Some(slot) = self.slot(handle) {
            *slot = Slot::Used(mapping);
        }
    }

    /// Gives back a handle that was reserved, or whose mapping was taken.
    pub(super) fn release(&mut self, handle: u32) {
        let next = self.free;
        if let Some(slot) = self.slot(handle) {
            *slot = Slot::Free { next };
            self.free = handle;
            self.used -= 1;
        }
    }

    /// Takes out the mapping behind a handle, which is free again. `at` is where the caller says that
    /// it is mapped; nothing happens when it does not say.
    #[inline(always)]
    pub(super) fn end(&mut self, handle: u32, at: Option<Gfn>) -> Result<Option<Mapping>, GrantError> {
        let next = self.free;
        let slot = self.slot(handle).ok_or(GrantError(GNTST_bad_handle))?;
        let Slot::Used(mapping) = slot else { return Err(GrantError(GNTST_bad_handle)) };
        let Some(at) = at else { return Ok(None) };
        if mapping.gfn != at {
            return Err(GrantError(GNTST_general_error));
        }
        let Slot::Used(mapping) = core::mem::replace(slot, Slot::Free { next }) else { return Ok(None) };
        self.free = handle;
        self.used -= 1;
        Ok(Some(mapping))
    }

    /// Takes away the last handle, in the teardown, and its mapping, if it has one. `None` when there are no handles.
    pub(super) fn take_last(&mut self) -> Option<Option<Mapping>> {
        while let Some(chunk) = self.chunks.last_mut() {
            match chunk.pop() {
                Some(Slot::Used(mapping)) => return Some(Some(mapping)),
                Some(Slot::Free { .. } | Slot::Reserved) => return Some(None),
                None => drop(self.chunks.pop()),
            }
        }
        self.free = NO_HANDLE;
        self.used = 0;
        None
    }

    /// Whether any of the handles `from..to` maps the frame.
    pub(super) fn maps(&self, mfn: hal::Mfn, from: usize, to: usize) -> bool {
        let slots = self.chunks.iter().skip(from / CHUNK).flatten().skip(from % CHUNK);
        slots.take(to.saturating_sub(from)).any(|slot| matches!(slot, Slot::Used(m) if m.page.mfn() == mfn))
    }

    /// The mappings with their handles.
    #[cfg(any(test, feature = "testkit"))]
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Mapping)> {
        (0..).zip(self.chunks.iter().flatten()).filter_map(|(handle, slot)| match slot {
            Slot::Used(mapping) => Some((handle, mapping)),
            Slot::Free { .. } | Slot::Reserved => None,
        })
    }

    /// Handles that exist, in use or not.
    pub(super) fn len(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK + last.len())
    }
}
