//! The granting side: the entries that a domain shares with the hypervisor, and who uses them.

use super::GrantError;
use crate::Hypervisor;
use crate::domain::Domain;
use crate::memory::{HeldPage, PageGuard};
use alloc::boxed::Box;
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

impl Active {
    const UNUSED: Self = Self { readers: 0, writers: 0, user: 0, mfn: Mfn(0) };

    fn is_used(&self) -> bool {
        self.readers != 0 || self.writers != 0
    }
}

/// A page of entries.
#[derive(Debug)]
struct TablePage {
    held: HeldPage,
    frame: Frame<'static>,
    active: Box<[Active; PER_FRAME]>,
    /// Where the guest last asked for it; it may have put something else there since.
    place: Gfn,
}

/// The entries.
#[derive(Debug, Default)]
pub(super) struct Table {
    pages: Vec<TablePage>,
}

impl Table {
    /// Pages of entries, and entries in use.
    pub(super) fn usage(&self) -> (usize, usize) {
        let used = self.pages.iter().flat_map(|page| page.active.iter()).filter(|active| active.is_used());
        (self.pages.len(), used.count())
    }

    /// Makes the table have `frames` pages; the caller checked the limit.
    pub(super) fn grow(&mut self, hv: &Hypervisor, owner: Domid, frames: usize) -> Result<(), Errno> {
        while self.pages.len() < frames {
            let mut active = Vec::new();
            active.try_reserve_exact(PER_FRAME).map_err(|_| Errno::ENOMEM)?;
            active.resize(PER_FRAME, Active::UNUSED);
            let active = active.into_boxed_slice().try_into().map_err(|_| Errno::ENOMEM)?;
            self.pages.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            let held = hv.new_shared_page(owner)?;
            let Some(frame) = held.frame(hv) else {
                held.release(hv);
                return Err(Errno::ENOMEM);
            };
            self.pages.push(TablePage { held, frame, active, place: NOWHERE });
        }
        Ok(())
    }

    /// Pages that the table has.
    pub(super) fn frame_count(&self) -> usize {
        self.pages.len()
    }

    pub(super) fn frame_mfn(&self, index: usize) -> Option<Mfn> {
        self.pages.get(index).map(|page| page.held.mfn())
    }

    /// The guest asked for a page at `gfn`.
    pub(super) fn set_place(&mut self, index: usize, gfn: Gfn) {
        if let Some(page) = self.pages.get_mut(index) {
            page.place = gfn;
        }
    }

    /// The guest frame where the guest has a page; [`NOWHERE`] when it does not.
    pub(super) fn place(&self, hv: &Hypervisor, owner: &Domain, index: usize) -> Gfn {
        let Some(page) = self.pages.get(index) else { return NOWHERE };
        let (gfn, mfn) = (page.place, page.held.mfn());
        let is_there = gfn != NOWHERE && owner.lookup(hv, gfn).is_some_and(|entry| entry.mfn == mfn);
        if is_there { gfn } else { NOWHERE }
    }

    /// Gives up all pages, in the teardown.
    pub(super) fn take_frames(&mut self) -> impl Iterator<Item = HeldPage> + use<> {
        mem::take(&mut self.pages).into_iter().map(|page| page.held)
    }

    /// The frames, and the entries in use: reference, readers, writers.
    #[cfg(any(test, feature = "testkit"))]
    pub(super) fn inspect(&self, most: usize) -> (Vec<Mfn>, Vec<(u32, u32, u32)>) {
        let active = self.pages.iter().flat_map(|page| page.active.iter());
        let used = active.zip(0..).take(most).filter(|(active, _)| active.is_used());
        let used = used.map(|(active, gref)| (gref, active.readers, active.writers)).collect();
        (self.pages.iter().map(|page| page.held.mfn()).collect(), used)
    }

    /// An entry: the page's bytes, its place there, and its use.
    #[inline(always)]
    fn entry(&mut self, gref: u32) -> Option<(Frame<'static>, usize, &mut Active)> {
        let index = gref as usize;
        let page = self.pages.get_mut(index / PER_FRAME)?;
        let active = page.active.get_mut(index % PER_FRAME)?;
        Some((page.frame, index % PER_FRAME * ENTRY, active))
    }

    /// Counts a use of `gref` by `user`, marks the entry, and returns a reference to the page.
    #[inline(always)]
    pub(super) fn pin<'a>(
        &mut self,
        hv: &'a Hypervisor,
        owner: &Domain,
        gref: u32,
        user: Domid,
        write: bool,
    ) -> Result<PageGuard<'a>, GrantError> {
        let (frame, at, active) = self.entry(gref).ok_or(GrantError(GNTST_bad_gntref))?;
        if active.is_used() {
            return pin_again(hv, owner, (frame, at), active, user, write);
        }
        let gfn = mark(frame, at, user, write)?;
        let Some(page) = owner.guest_page_in_line(hv, gfn) else {
            unmark(frame, at, write, true);
            return Err(GrantError(GNTST_bad_page));
        };
        let (readers, writers) = if write { (0, 1) } else { (1, 0) };
        *active = Active { readers, writers, user: user.raw(), mfn: page.mfn() };
        Ok(page)
    }

    /// Ends a use that [`pin`](Self::pin) counted.
    #[inline]
    pub(super) fn unpin(&mut self, gref: u32, write: bool) {
        let Some((frame, at, active)) = self.entry(gref) else { return };
        let count = if write { &mut active.writers } else { &mut active.readers };
        *count = count.saturating_sub(1);
        let (reading, writing) = (active.readers != 0, active.writers != 0);
        // A mark of writing that no use made is the guest's own, and stays.
        if !writing && (write || !reading) {
            unmark(frame, at, write, !reading);
        }
    }

    /// GNTTABOP_swap_grant_ref: exchanges two entries that nobody uses.
    pub(super) fn swap(&mut self, a: u32, b: u32) -> Result<(), GrantError> {
        let bad_ref = GrantError(GNTST_bad_gntref);
        let (frame_a, at_a, active) = self.entry(a).ok_or(bad_ref)?;
        let used_a = active.is_used();
        let (frame_b, at_b, active) = self.entry(b).ok_or(bad_ref)?;
        let used_b = active.is_used();
        if a == b {
            return Ok(());
        }
        if used_a || used_b {
            return Err(GrantError(GNTST_eagain));
        }
        let entry = frame_a.load64(at_a);
        frame_a.store64(at_a, frame_b.load64(at_b));
        frame_b.store64(at_b, entry);
        Ok(())
    }
}

/// [`Table::pin`] of an entry that is in use.
#[cold]
#[inline(never)]
fn pin_again<'a>(
    hv: &'a Hypervisor,
    owner: &Domain,
    (frame, at): (Frame<'_>, usize),
    active: &mut Active,
    user: Domid,
    write: bool,
) -> Result<PageGuard<'a>, GrantError> {
    let refused = GrantError(GNTST_general_error);
    if active.user != user.raw() {
        return Err(refused);
    }
    let writing = active.writers != 0;
    let count = if write { &mut active.writers } else { &mut active.readers };
    let more = count.checked_add(1).ok_or(refused)?;
    if write && !writing {
        mark(frame, at, user, write)?;
    }
    let Some(page) = PageGuard::get(hv, active.mfn, owner.id) else {
        unmark(frame, at, write && !writing, false);
        return Err(GrantError(GNTST_bad_page));
    };
    *count = more;
    Ok(page)
}

/// Marks an entry as read, or read and written, by `user` if it grants that; returns its frame. The
/// granting guest may change the entry at any moment: flags and domid are checked and marked in
/// one step.
#[inline(always)]
fn mark(frame: Frame<'_>, at: usize, user: Domid, write: bool) -> Result<Gfn, GrantError> {
    // A grant of bytes within a page is a matter of version 2.
    let (looked_at, marks) = if write {
        (GTF_type_mask | GTF_sub_page | GTF_readonly, GTF_reading | GTF_writing)
    } else {
        (GTF_type_mask | GTF_sub_page, GTF_reading)
    };
    let granted = u32::from(GTF_permit_access) | u32::from(user.raw()) << 16;
    let mut word = frame.load32(at);
    for _ in 0..ATTEMPTS {
        if word & (u32::from(looked_at) | 0xffff << 16) != granted {
            break;
        }
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
