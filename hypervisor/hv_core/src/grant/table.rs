//! The granting side: the entries that a domain shares with the hypervisor, and who uses them.

use super::GrantError;
use crate::Hypervisor;
use crate::domain::Domain;
use crate::memory::{HeldPage, PageGuard};
use alloc::vec::Vec;
use core::mem;
use hal::{Domid, FrameMem as _, Gfn, Mfn, PAGE_SIZE};
use machine::Frame;
use xen_abi::Errno;
use xen_abi::grant_table::*;

/// No guest frame (INVALID_GFN).
const NOWHERE: Gfn = Gfn(u64::MAX);
/// Entries of a page.
pub(super) const PER_FRAME: usize = PAGE_SIZE / ENTRY;
const ENTRY: usize = size_of::<GrantEntryV1>();
/// Attempts to mark an entry that the guest keeps changing.
const ATTEMPTS: u32 = 5;

/// Use of an entry by others. The frame is fixed while anyone uses the entry.
#[derive(Clone, Copy, Debug)]
struct Active {
    readers: u32,
    writers: u32,
    user: u16,
    mfn: Mfn,
}

const UNUSED: Active = Active { readers: 0, writers: 0, user: 0, mfn: Mfn(0) };

/// The entries.
#[derive(Debug, Default)]
pub(super) struct Table {
    frames: Vec<HeldPage>,
    /// Where the guest last asked for each page; it may have put something else there since.
    places: Vec<Gfn>,
    active: Vec<Active>,
}

impl Table {
    /// Pages of entries, and entries in use.
    pub(super) fn usage(&self) -> (usize, usize) {
        (self.frames.len(), self.active.iter().filter(|a| a.readers + a.writers != 0).count())
    }

    /// Makes the table have `frames` pages; the caller checked the limit.
    pub(super) fn grow(&mut self, hv: &Hypervisor, owner: Domid, frames: usize) -> Result<(), Errno> {
        while self.frames.len() < frames {
            self.frames.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            self.active.try_reserve(PER_FRAME).map_err(|_| Errno::ENOMEM)?;
            self.places.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            let page = hv.new_shared_page(owner)?;
            self.frames.push(page);
            self.places.push(NOWHERE);
            self.active.resize(self.frames.len() * PER_FRAME, UNUSED);
        }
        Ok(())
    }

    /// Pages that the table has.
    pub(super) fn frame_count(&self) -> usize {
        self.frames.len()
    }

    pub(super) fn frame_mfn(&self, index: usize) -> Option<Mfn> {
        self.frames.get(index).map(HeldPage::mfn)
    }

    /// The guest asked for a page at `gfn`.
    pub(super) fn set_place(&mut self, index: usize, gfn: Gfn) {
        if let Some(place) = self.places.get_mut(index) {
            *place = gfn;
        }
    }

    /// The guest frame where the guest has a page; [`NOWHERE`] when it does not.
    pub(super) fn place(&self, hv: &Hypervisor, owner: &Domain, index: usize) -> Gfn {
        let (Some(gfn), Some(mfn)) = (self.places.get(index).copied(), self.frame_mfn(index)) else {
            return NOWHERE;
        };
        let is_there = gfn != NOWHERE && owner.lookup(hv, gfn).is_some_and(|entry| entry.mfn == mfn);
        if is_there { gfn } else { NOWHERE }
    }

    /// Gives up all pages, in the teardown.
    pub(super) fn take_frames(&mut self) -> Vec<HeldPage> {
        self.active = Vec::new();
        mem::take(&mut self.frames)
    }

    /// The frames, and the entries in use: reference, readers, writers.
    #[cfg(any(test, feature = "testkit"))]
    pub(super) fn inspect(&self, most: usize) -> (Vec<Mfn>, Vec<(u32, u32, u32)>) {
        let used = |(n, a): (usize, &Active)| (n as u32, a.readers, a.writers);
        let active = self.active.iter().enumerate().take(most).map(used).filter(|a| a.1 + a.2 != 0).collect();
        (self.frames.iter().map(HeldPage::mfn).collect(), active)
    }

    fn shared<'a>(&self, hv: &'a Hypervisor, gref: u32) -> Option<(Frame<'a>, usize)> {
        let index = gref as usize;
        let frame = self.frames.get(index / PER_FRAME)?.frame(hv)?;
        Some((frame, index % PER_FRAME * ENTRY))
    }

    /// Counts a use of `gref` by `user`, marks the entry, and returns a reference to the page.
    #[inline]
    pub(super) fn pin<'a>(
        &mut self,
        hv: &'a Hypervisor,
        owner: &Domain,
        gref: u32,
        user: Domid,
        write: bool,
    ) -> Result<PageGuard<'a>, GrantError> {
        let (bad_ref, refused) = (GrantError(GNTST_bad_gntref), GrantError(GNTST_general_error));
        let (frame, at) = self.shared(hv, gref).ok_or(bad_ref)?;
        let active = self.active.get_mut(gref as usize).ok_or(bad_ref)?;
        let (reading, writing) = (active.readers != 0, active.writers != 0);
        let in_use = reading || writing;
        if in_use && active.user != user.raw() {
            return Err(refused);
        }
        let count = if write { &mut active.writers } else { &mut active.readers };
        let more = count.checked_add(1).ok_or(refused)?;
        let page = if in_use {
            if write && !writing {
                mark(frame, at, user, write)?;
            }
            PageGuard::get(hv, active.mfn, owner.id)
        } else {
            let gfn = mark(frame, at, user, write)?;
            owner.guest_page(hv, gfn)
        };
        let Some(page) = page else {
            unmark(frame, at, write && !writing, !in_use);
            return Err(GrantError(GNTST_bad_page));
        };
        *count = more;
        if !in_use {
            active.mfn = page.mfn();
            active.user = user.raw();
        }
        Ok(page)
    }

    /// Ends a use that [`pin`](Self::pin) counted.
    #[inline]
    pub(super) fn unpin(&mut self, hv: &Hypervisor, gref: u32, write: bool) {
        let Some((frame, at)) = self.shared(hv, gref) else { return };
        let Some(active) = self.active.get_mut(gref as usize) else { return };
        let count = if write { &mut active.writers } else { &mut active.readers };
        *count = count.saturating_sub(1);
        let (reading, writing) = (active.readers != 0, active.writers != 0);
        // A mark of writing that no use made is the guest's own, and stays.
        if !writing && (write || !reading) {
            unmark(frame, at, write, !reading);
        }
    }

    /// GNTTABOP_swap_grant_ref: exchanges two entries that nobody uses.
    pub(super) fn swap(&mut self, hv: &Hypervisor, a: u32, b: u32) -> Result<(), GrantError> {
        let bad_ref = GrantError(GNTST_bad_gntref);
        let (frame_a, at_a) = self.shared(hv, a).ok_or(bad_ref)?;
        let (frame_b, at_b) = self.shared(hv, b).ok_or(bad_ref)?;
        if a == b {
            return Ok(());
        }
        let used = |gref: u32| self.active.get(gref as usize).is_none_or(|x| x.readers + x.writers != 0);
        if used(a) || used(b) {
            return Err(GrantError(GNTST_eagain));
        }
        let entry = frame_a.load64(at_a);
        frame_a.store64(at_a, frame_b.load64(at_b));
        frame_b.store64(at_b, entry);
        Ok(())
    }
}

/// Marks an entry as read, or read and written, by `user` if it grants that; returns its frame. The
/// granting guest may change the entry at any moment: flags and domid are checked and marked in
/// one step.
#[inline]
fn mark(frame: Frame<'_>, at: usize, user: Domid, write: bool) -> Result<Gfn, GrantError> {
    let mut word = frame.load32(at);
    for _ in 0..ATTEMPTS {
        let (flags, domid) = (word as u16, (word >> 16) as u16);
        // A grant of bytes within a page is a matter of version 2.
        let permits = flags & GTF_type_mask == GTF_permit_access && flags & GTF_sub_page == 0;
        if !permits || domid != user.raw() || (write && flags & GTF_readonly != 0) {
            return Err(GrantError(GNTST_general_error));
        }
        let marks = if write { GTF_reading | GTF_writing } else { GTF_reading };
        match frame.compare_exchange32(at, word, word | u32::from(marks)) {
            Ok(_) => return Ok(Gfn(u64::from(frame.load32(at + 4)))),
            Err(now) => word = now,
        }
    }
    Err(GrantError(GNTST_general_error))
}

/// Takes away marks that nobody needs any more; what was done in the page comes first.
fn unmark(frame: Frame<'_>, at: usize, writing: bool, reading: bool) {
    let mut keep = u16::MAX;
    if writing {
        keep &= !GTF_writing;
    }
    if reading {
        keep &= !GTF_reading;
    }
    frame.fetch_and16(at, keep);
}
