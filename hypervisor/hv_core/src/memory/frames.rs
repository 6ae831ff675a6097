//! Who owns which frame: one atomic record a frame, and the free frames.
//!
//! A record counts the references to a frame and names its owner. Every stage-2 entry that maps a
//! domain's own memory, every grant mapping, every foreign mapping and every kernel-held pointer is
//! one reference; the frame is freed when the last one goes. References are only made through
//! [`PageGuard`](super::PageGuard).
//!
//! Free frames can be *claimed*: kept back for a domain that is to be filled, so that whoever starts to
//! build it knows that the memory will be there (XENMEM_claim_pages). What is claimed is free, but only
//! the claim's owner is given it.
//!
//! A record of zero is a frame that nobody can refer to: free, absent, or kept by the hypervisor.

use super::buddy::{Buddy, MAX_ORDER};
use super::record::{self, CHARGED, COUNT, ENTRY_ONE, GUEST, OWNER, OWNER_SHIFT, TABLE, TABLE_ENTRIES};
use core::sync::atomic::{AtomicU64, Ordering};
use hal::{Domid, FrameMem as _, MachineOps as _, Mfn};
use lock::Mutex;
use machine::Machine;
use xen_abi::Errno;

/// What a frame is allocated for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Use {
    /// The domain's memory, counted in its tot_pages.
    Memory,
    /// A page that the hypervisor shares with the domain (shared_info, grant frames); not counted.
    Shared,
    /// Stage-2 tables and other pages that the guest never sees.
    Table,
}

/// What became of a frame whose last reference went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Freed {
    /// Whose it was.
    pub owner: Domid,
    /// Whether it counted in the owner's tot_pages.
    pub charged: bool,
}

/// All frames of the machine.
#[derive(Debug)]
pub struct Frames {
    base: Mfn,
    records: &'static [AtomicU64],
    buddy: Mutex<Buddy, 20>,
    /// Frames kept back for all claims; changed with `buddy` locked.
    claimed: AtomicU64,
    total: u64,
}

/// The frames that are kept back for a domain. The number changes only with the free frames locked.
#[derive(Debug, Default)]
pub struct Claim(AtomicU64);

impl Claim {
    /// How many frames are kept back.
    #[inline]
    pub fn frames(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Frames {
    /// The frames from `base`, one for each record; the records are zero. `ranges` are the free
    /// ones, `total` all that is RAM. `None` without memory, or for ranges that have no record.
    pub fn new(base: Mfn, records: &'static [AtomicU64], ranges: &[(Mfn, u64)], total: u64) -> Option<Self> {
        let count = records.len();
        let mut buddy = Buddy::new(count)?;
        for &(start, frames) in ranges {
            let first = start.0.checked_sub(base.0)?;
            let end = first.checked_add(frames)?;
            if end > count as u64 {
                return None;
            }
            buddy.add_range(first, end);
        }
        Some(Self { base, records, buddy: Mutex::new(buddy), claimed: AtomicU64::new(0), total })
    }

    /// The number of frames of RAM.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The number of free frames.
    pub fn free_frames(&self) -> u64 {
        self.buddy.lock().free_frames()
    }

    /// The number of free frames that are kept back for claims.
    pub fn claimed_frames(&self) -> u64 {
        self.claimed.load(Ordering::Relaxed)
    }

    /// Takes a block of free frames, out of a claim as far as that goes. Frames that others claim are
    /// not given.
    fn take(&self, order: u32, claim: Option<&Claim>) -> Option<u64> {
        let count = 1u64 << order;
        let mut buddy = self.buddy.lock();
        let claimed = self.claimed_frames();
        if claimed == 0 {
            return buddy.alloc(order);
        }
        let own = claim.map_or(0, Claim::frames);
        if own < count && claimed.saturating_add(count) > buddy.free_frames() {
            return None;
        }
        let first = buddy.alloc(order)?;
        if let Some(claim) = claim {
            let used = own.min(count);
            claim.0.store(own - used, Ordering::Relaxed);
            self.claimed.store(claimed.saturating_sub(used), Ordering::Relaxed);
        }
        Some(first)
    }

    /// Keeps back frames for a domain, so that with the `has` that it has it can get to `pages`; 0 gives
    /// the claim up. `may` is asked with the lock held.
    ///
    /// # Errors
    /// EINVAL when there is a claim already, when the domain has as much, or when `may` says no; ENOMEM
    /// when so much is not free.
    pub fn set_claim(
        &self,
        claim: &Claim,
        has: u64,
        pages: u64,
        may: impl FnOnce() -> bool,
    ) -> Result<(), Errno> {
        let buddy = self.buddy.lock();
        let own = claim.frames();
        if pages == 0 {
            claim.0.store(0, Ordering::Relaxed);
            self.claimed.fetch_sub(own, Ordering::Relaxed);
            return Ok(());
        }
        if own != 0 || pages <= has || !may() {
            return Err(Errno::EINVAL);
        }
        let more = pages - has;
        if more > buddy.free_frames().saturating_sub(self.claimed_frames()) {
            return Err(Errno::ENOMEM);
        }
        claim.0.store(more, Ordering::Relaxed);
        self.claimed.fetch_add(more, Ordering::Relaxed);
        Ok(())
    }

    /// A frame came back from a domain that has a claim: it is kept back too.
    pub(crate) fn grow_claim(&self, claim: &Claim) {
        let _buddy = self.buddy.lock();
        let own = claim.frames();
        if own != 0 {
            claim.0.store(own + 1, Ordering::Relaxed);
            self.claimed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The lowest frame.
    pub fn start(&self) -> Mfn {
        self.base
    }

    /// The number just past the highest frame.
    pub fn end(&self) -> Mfn {
        self.base.plus(self.records.len() as u64)
    }

    #[inline(always)]
    fn record(&self, mfn: Mfn) -> Option<&AtomicU64> {
        self.records.get(mfn.0.wrapping_sub(self.base.0) as usize)
    }

    /// Takes 2^`order` frames for `owner`, each with one reference and zeroed; a guest's own memory
    /// also for observers without caches. The block is given back frame by frame. `None` when no
    /// such block is free.
    pub fn alloc(&self, machine: &Machine, order: u32, owner: Domid, usage: Use) -> Option<Mfn> {
        self.alloc_claimed(machine, order, owner, usage, None)
    }

    /// As [`alloc`](Self::alloc), out of the owner's claim.
    pub fn alloc_claimed(
        &self,
        machine: &Machine,
        order: u32,
        owner: Domid,
        usage: Use,
        claim: Option<&Claim>,
    ) -> Option<Mfn> {
        if order > MAX_ORDER {
            return None;
        }
        let first = self.base.plus(self.take(order, claim)?);
        match usage {
            Use::Memory => machine.zero_and_clean_frames(first, 1 << order),
            Use::Shared | Use::Table => {
                (0..1u64 << order)
                    .filter_map(|i| machine.frame(first.plus(i)))
                    .for_each(|frame| frame.zero());
            }
        }
        self.assign(first, 1 << order, owner, usage);
        Some(first)
    }

    /// Takes exactly the frames `first..first + count` for `owner`, content as it is (the boot
    /// modules, dom0's direct-mapped memory). False, and nothing taken, if any is not free.
    pub fn alloc_range(&self, first: Mfn, count: u64, owner: Domid, usage: Use) -> bool {
        let Some(start) = first.0.checked_sub(self.base.0) else { return false };
        let Some(end) = start.checked_add(count) else { return false };
        if end > self.records.len() as u64 || !self.buddy.lock().take_range(start, end) {
            return false;
        }
        self.assign(first, count, owner, usage);
        true
    }

    fn assign(&self, first: Mfn, count: u64, owner: Domid, usage: Use) {
        let kind = match usage {
            Use::Memory => GUEST | CHARGED,
            Use::Shared => GUEST,
            Use::Table => TABLE,
        };
        let record = kind | u64::from(owner.raw()) << OWNER_SHIFT | 1;
        for i in 0..count {
            if let Some(r) = self.record(first.plus(i)) {
                r.store(record, Ordering::Release);
            }
        }
    }

    /// Takes 2^`order` frames for the hypervisor itself, content undefined.
    pub fn alloc_private(&self, order: u32) -> Option<Mfn> {
        if order > MAX_ORDER {
            return None;
        }
        Some(self.base.plus(self.take(order, None)?))
    }

    /// Gives back what [`alloc_private`](Self::alloc_private) gave.
    pub fn free_private(&self, first: Mfn, order: u32) {
        self.buddy.lock().free(first.0.wrapping_sub(self.base.0), order);
    }

    /// Adds `count` frames that the hypervisor does not need any more (boot modules, early pools).
    pub fn release_range(&self, first: Mfn, count: u64) {
        let Some(start) = first.0.checked_sub(self.base.0) else { return };
        let end = start.saturating_add(count).min(self.records.len() as u64);
        self.buddy.lock().add_range(start, end);
    }

    /// Takes a reference to a frame that a guest may reach, if `owner` owns it.
    #[inline(always)]
    pub(super) fn get(&self, mfn: Mfn, owner: Domid) -> bool {
        self.refer(mfn, owner).is_some()
    }

    /// As [`get`](Self::get); the record makes it cheaper to [give the reference back](Self::put_record).
    #[inline(always)]
    pub(super) fn refer(&self, mfn: Mfn, owner: Domid) -> Option<&AtomicU64> {
        let record = self.record(mfn)?;
        record::get(record, owner.raw()).then_some(record)
    }

    /// The owner of a frame that is in use.
    pub fn owner(&self, mfn: Mfn) -> Option<Domid> {
        let now = self.record(mfn)?.load(Ordering::Relaxed);
        if now & COUNT == 0 {
            return None;
        }
        Domid::new((now >> OWNER_SHIFT) as u16)
    }

    /// Whether the frame is in use as memory of `owner`.
    pub(super) fn is_memory_of(&self, mfn: Mfn, owner: Domid) -> bool {
        let now = self.record(mfn).map_or(0, |r| r.load(Ordering::Relaxed));
        let wanted = GUEST | CHARGED | u64::from(owner.raw()) << OWNER_SHIFT;
        now & (GUEST | CHARGED | OWNER) == wanted && now & COUNT != 0
    }

    /// Gives back a reference; says so when it was the last and the frame is free now.
    #[inline(always)]
    pub(super) fn put(&self, mfn: Mfn) -> Option<Freed> {
        self.put_record(mfn, self.record(mfn)?)
    }

    /// As [`put`](Self::put), with the frame's record.
    #[inline(always)]
    pub(super) fn put_record(&self, mfn: Mfn, record: &AtomicU64) -> Option<Freed> {
        let before = record::put(record)?;
        self.free_frame(mfn, record, before)
    }

    /// The last reference to a frame is gone; its record was `before` until then.
    #[cold]
    #[inline(never)]
    fn free_frame(&self, mfn: Mfn, record: &AtomicU64, before: u64) -> Option<Freed> {
        record::clear(record);
        self.buddy.lock().free(mfn.0.wrapping_sub(self.base.0), 0);
        let owner = Domid::new((before >> OWNER_SHIFT) as u16)?;
        Some(Freed { owner, charged: before & CHARGED != 0 })
    }

    /// Takes a frame for tables of `owner`, zeroed.
    pub fn alloc_table(&self, machine: &Machine, owner: Domid) -> Option<Mfn> {
        self.alloc(machine, 0, owner, Use::Table)
    }

    /// Gives back a frame of [`alloc_table`](Self::alloc_table), or of a block of such frames.
    pub fn free_table(&self, mfn: Mfn) {
        debug_assert!(self.record(mfn).is_some_and(|r| r.load(Ordering::Relaxed) & TABLE != 0));
        self.put(mfn);
    }

    /// A table has one more entry. The count lives in the record, which only the holder of the lock of the map that the
    /// table belongs to changes: nobody else can refer to a table.
    #[inline]
    pub(super) fn table_gains(&self, table: Mfn) {
        if let Some(record) = self.record(table) {
            record.store(record.load(Ordering::Relaxed) + ENTRY_ONE, Ordering::Relaxed);
        }
    }

    /// A table has one entry less; true when it has none left.
    #[inline]
    pub(super) fn table_loses(&self, table: Mfn) -> bool {
        let Some(record) = self.record(table) else { return false };
        let left = record.load(Ordering::Relaxed).saturating_sub(ENTRY_ONE);
        record.store(left, Ordering::Relaxed);
        left < ENTRY_ONE
    }

    /// Whether a table has no entries.
    pub(super) fn table_is_empty(&self, table: Mfn) -> bool {
        self.record(table).is_some_and(|r| r.load(Ordering::Relaxed) < ENTRY_ONE)
    }

    /// All entries of a new table are in use.
    pub(super) fn table_is_full(&self, table: Mfn) {
        if let Some(record) = self.record(table) {
            record.fetch_add(TABLE_ENTRIES * ENTRY_ONE, Ordering::Relaxed);
        }
    }

    /// The teardown has emptied a table.
    pub(super) fn table_was_stripped(&self, table: Mfn) {
        if let Some(record) = self.record(table) {
            record.fetch_and(ENTRY_ONE - 1, Ordering::Relaxed);
        }
    }

    /// The references to a frame.
    #[cfg(test)]
    pub(crate) fn references(&self, mfn: Mfn) -> u64 {
        self.record(mfn).map_or(0, |r| r.load(Ordering::Relaxed) & COUNT)
    }
}

/// A frame's record taken apart, for tests.
#[cfg(any(test, feature = "testkit"))]
#[derive(Clone, Copy, Debug)]
pub(crate) struct InspectedFrame {
    pub(crate) count: u64,
    pub(crate) owner: u16,
    pub(crate) table: bool,
    pub(crate) charged: bool,
    pub(crate) entries: u64,
    /// The allocator has it.
    pub(crate) free: bool,
}

#[cfg(any(test, feature = "testkit"))]
impl Frames {
    /// All records, from the lowest frame on.
    pub(crate) fn inspect(&self) -> alloc::vec::Vec<InspectedFrame> {
        let free = self.buddy.lock().free_map(self.records.len());
        self.records.iter().zip(free).map(|(record, free)| apart(record, free)).collect()
    }

    /// One record. Whether the frame is free is told by its count.
    pub(crate) fn inspect_one(&self, mfn: Mfn) -> InspectedFrame {
        let record = self.record(mfn).expect("a frame of RAM");
        apart(record, record.load(Ordering::Relaxed) & COUNT == 0)
    }
}

#[cfg(any(test, feature = "testkit"))]
fn apart(record: &AtomicU64, free: bool) -> InspectedFrame {
    let now = record.load(Ordering::Relaxed);
    InspectedFrame {
        count: now & COUNT,
        owner: (now >> OWNER_SHIFT) as u16,
        table: now & TABLE != 0,
        charged: now & CHARGED != 0,
        entries: now / ENTRY_ONE,
        free,
    }
}
