//! A frame's record: one word, in which references are counted without a lock.

use super::sync::{AtomicU64, Ordering, fence};

/// References to the frame.
pub(super) const COUNT: u64 = 0xffff_ffff;
pub(super) const COUNT_MAX: u64 = COUNT;
pub(super) const OWNER_SHIFT: u32 = 32;
pub(super) const OWNER: u64 = 0xffff << OWNER_SHIFT;
/// The frame holds a domain's memory, or a page that the hypervisor shares with the domain.
pub(super) const GUEST: u64 = 1 << 48;
/// The frame holds tables of the domain: the guest can never reach it.
pub(super) const TABLE: u64 = 1 << 49;
/// The frame counts as the domain's memory (tot_pages).
pub(super) const CHARGED: u64 = 1 << 50;
/// One entry of a table that is in use; the count fills the bits from here on.
pub(super) const ENTRY_ONE: u64 = 1 << 52;
/// Entries of a table.
pub(super) const TABLE_ENTRIES: u64 = 512;

/// Whether a record is of a frame of `owner` that a guest may reach, and has room for one more reference.
#[inline(always)]
fn may_refer(record: u64, owner: u16) -> bool {
    let wanted = GUEST | u64::from(owner) << OWNER_SHIFT;
    let count = record & COUNT;
    record & (GUEST | OWNER) == wanted && count != 0 && count != COUNT_MAX
}

/// Takes a reference, if the frame is one of `owner`'s that a guest may reach.
#[inline(always)]
pub(super) fn get(record: &AtomicU64, owner: u16) -> bool {
    let now = record.load(Ordering::Relaxed);
    if !may_refer(now, owner) {
        return false;
    }
    record.compare_exchange_weak(now, now + 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
        || get_again(record, owner)
}

/// [`get`], when another pCPU changed the record in between.
#[cold]
#[inline(never)]
fn get_again(record: &AtomicU64, owner: u16) -> bool {
    let taken = record
        .fetch_update(Ordering::Acquire, Ordering::Relaxed, |now| may_refer(now, owner).then_some(now + 1));
    taken.is_ok()
}

/// Gives back a reference. If it was the last, the record as it was; the caller then [`clear`]s it.
#[inline(always)]
pub(super) fn put(record: &AtomicU64) -> Option<u64> {
    let before = record.fetch_sub(1, Ordering::Release);
    (before & COUNT == 1).then_some(before)
}

/// The last reference is gone: what all holders did with the frame is done.
#[inline(always)]
pub(super) fn clear(record: &AtomicU64) {
    fence(Ordering::Acquire);
    record.store(0, Ordering::Relaxed);
}
