//! The mappings that a domain has made of others' grants, by handle.

use super::GrantError;
use crate::memory::HeldPage;
use alloc::vec::Vec;
use hal::{Domid, Gfn};
use xen_abi::grant_table::{GNTST_bad_handle, GNTST_general_error, GNTST_no_space};

/// Mappings for each page of maptrack that the domain may have.
const PER_PAGE: u32 = 256;
/// Handles are grown by this many at a time.
const GROW: usize = 256;
const NO_HANDLE: u32 = u32::MAX;

/// A mapping.
#[derive(Debug)]
pub(super) struct Mapping {
    /// Who granted.
    pub(super) owner: Domid,
    /// The grant.
    pub(super) gref: u32,
    /// Whether it may not be written.
    pub(super) read_only: bool,
    /// Where it is mapped.
    pub(super) gfn: Gfn,
    /// The reference to the page.
    pub(super) page: HeldPage,
}

/// The tag has a place of its own, so that a mapping is moved in whole words.
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
    slots: Vec<Slot>,
    free: u32,
    used: u32,
    limit: u32,
}

impl Maptrack {
    pub(super) fn new(max_pages: u32) -> Self {
        Self { slots: Vec::new(), free: NO_HANDLE, used: 0, limit: max_pages.saturating_mul(PER_PAGE) }
    }

    /// Handles in use.
    pub(super) fn in_use(&self) -> u32 {
        self.used
    }

    /// A handle for a mapping about to be made.
    pub(super) fn reserve(&mut self) -> Result<u32, GrantError> {
        if self.free == NO_HANDLE {
            self.grow().ok_or(GrantError(GNTST_no_space))?;
        }
        let handle = self.free;
        match self.slots.get_mut(handle as usize) {
            Some(slot @ Slot::Free { .. }) => {
                if let Slot::Free { next } = *slot {
                    self.free = next;
                }
                *slot = Slot::Reserved;
                self.used += 1;
                Ok(handle)
            }
            _ => Err(GrantError(GNTST_no_space)),
        }
    }

    fn grow(&mut self) -> Option<()> {
        let room = (self.limit as usize).saturating_sub(self.slots.len()).min(GROW);
        if room == 0 {
            return None;
        }
        self.slots.try_reserve_exact(room).ok()?;
        for _ in 0..room {
            let handle = self.slots.len() as u32;
            self.slots.push(Slot::Free { next: self.free });
            self.free = handle;
        }
        Some(())
    }

    /// Fills in a reserved handle.
    pub(super) fn set(&mut self, handle: u32, mapping: Mapping) {
        if let Some(slot) = self.slots.get_mut(handle as usize) {
            *slot = Slot::Used(mapping);
        }
    }

    /// Gives back a handle that was reserved, or whose mapping was taken.
    pub(super) fn release(&mut self, handle: u32) {
        if let Some(slot) = self.slots.get_mut(handle as usize) {
            *slot = Slot::Free { next: self.free };
            self.free = handle;
            self.used -= 1;
        }
    }

    /// Takes out the mapping behind a handle, which is free again. `at` is where the caller says that
    /// it is mapped; nothing happens when it does not say.
    pub(super) fn end(&mut self, handle: u32, at: Option<Gfn>) -> Result<Option<Mapping>, GrantError> {
        let slot = self.slots.get_mut(handle as usize).ok_or(GrantError(GNTST_bad_handle))?;
        let Slot::Used(mapping) = slot else { return Err(GrantError(GNTST_bad_handle)) };
        let Some(at) = at else { return Ok(None) };
        if mapping.gfn != at {
            return Err(GrantError(GNTST_general_error));
        }
        let Slot::Used(mapping) = core::mem::replace(slot, Slot::Reserved) else { return Ok(None) };
        self.release(handle);
        Ok(Some(mapping))
    }

    /// Takes out any mapping.
    pub(super) fn take_any(&mut self) -> Option<Mapping> {
        while let Some(slot) = self.slots.pop() {
            if let Slot::Used(mapping) = slot {
                return Some(mapping);
            }
        }
        self.free = NO_HANDLE;
        self.used = 0;
        None
    }

    /// Whether any of the handles `from..to` maps the frame.
    pub(super) fn maps(&self, mfn: hal::Mfn, from: usize, to: usize) -> bool {
        let range = from..to.min(self.slots.len());
        self.slots.get(range).is_some_and(|slots| {
            slots.iter().any(|slot| matches!(slot, Slot::Used(m) if m.page.mfn() == mfn))
        })
    }

    /// The mappings with their handles.
    #[cfg(any(test, feature = "testkit"))]
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Mapping)> {
        (0..).zip(&self.slots).filter_map(|(handle, slot)| match slot {
            Slot::Used(mapping) => Some((handle, mapping)),
            Slot::Free { .. } | Slot::Reserved => None,
        })
    }

    /// Handles that exist, in use or not.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }
}
