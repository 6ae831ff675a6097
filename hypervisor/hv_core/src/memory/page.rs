//! References to frames, as guards.
//!
//! [`PageGuard`] is a reference for the length of a scope. [`HeldPage`] is one that is kept: in a
//! stage-2 entry, a maptrack entry, a domain's structure. Turning one into the other is the only
//! way a reference is stored or taken back.

use crate::hypervisor::Hypervisor;
use core::fmt;
use core::mem;
use hal::{Domid, MachineOps as _, Mfn};
use machine::Frame;

/// A reference to a frame that ends with its scope.
#[must_use]
pub struct PageGuard<'a> {
    hv: &'a Hypervisor,
    mfn: Mfn,
}

impl fmt::Debug for PageGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PageGuard({:x})", self.mfn)
    }
}

impl<'a> PageGuard<'a> {
    /// A reference to `mfn` if `owner` owns it.
    #[inline(always)]
    pub fn get(hv: &'a Hypervisor, mfn: Mfn, owner: Domid) -> Option<Self> {
        // Not `then_some`: a guard that is made for nothing would give a reference back.
        hv.frames.get(mfn, owner).then(|| Self { hv, mfn })
    }

    /// The frame's number.
    pub fn mfn(&self) -> Mfn {
        self.mfn
    }

    /// Access to the bytes.
    #[inline(always)]
    pub fn frame(&self) -> Option<Frame<'a>> {
        self.hv.machine.frame(self.mfn)
    }

    /// Keeps the reference beyond the scope.
    pub fn keep(self) -> HeldPage {
        let held = HeldPage { mfn: self.mfn };
        mem::forget(self);
        held
    }
}

impl Drop for PageGuard<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(freed) = self.hv.frames.put(self.mfn) {
            self.hv.page_freed(freed);
        }
    }
}

/// A reference that is stored; it has to be taken back by [`release`](Self::release).
#[must_use]
#[derive(Debug)]
pub struct HeldPage {
    mfn: Mfn,
}

impl HeldPage {
    /// Takes back the reference that a stage-2 or maptrack entry held; the entry must be gone and
    /// its translations flushed.
    pub(super) fn from_entry(mfn: Mfn) -> Self {
        Self { mfn }
    }

    /// The reference of a frame just allocated.
    pub fn from_allocation(mfn: Mfn) -> Self {
        Self { mfn }
    }

    /// Gives the reference to a stage-2 entry, which is found by the returned number.
    #[inline]
    pub(super) fn into_entry(self) -> Mfn {
        let mfn = self.mfn;
        mem::forget(self);
        mfn
    }

    /// Leaves a frame of a direct-mapped domain to it, mapped nowhere, until
    /// [`unpark`](Self::unpark).
    #[inline]
    pub(super) fn park(self) {
        self.into_entry();
    }

    /// Takes back a frame of `owner`'s memory that was parked. The caller holds the lock of the map, and maps the
    /// frame at the one place where it can be; when it is mapped there already, and so was not parked, this is to be
    /// [parked](Self::park) again at once.
    pub(super) fn unpark(hv: &Hypervisor, mfn: Mfn, owner: Domid) -> Option<Self> {
        hv.frames.is_memory_of(mfn, owner).then(|| Self { mfn })
    }

    /// The frame's number.
    pub fn mfn(&self) -> Mfn {
        self.mfn
    }

    /// Access to the bytes.
    #[inline]
    pub fn frame(&self, hv: &Hypervisor) -> Option<Frame<'static>> {
        hv.machine.frame(self.mfn)
    }

    /// Makes it a guard again, which gives it back at the end of its scope.
    pub fn into_guard(self, hv: &Hypervisor) -> PageGuard<'_> {
        PageGuard { hv, mfn: self.into_entry() }
    }

    /// Gives the reference back.
    pub fn release(self, hv: &Hypervisor) {
        drop(self.into_guard(hv));
    }
}

impl Drop for HeldPage {
    fn drop(&mut self) {
        debug_assert!(false, "reference to frame {:x} lost", self.mfn);
    }
}
