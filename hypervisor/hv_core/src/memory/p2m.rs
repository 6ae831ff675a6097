//! A domain's physical-to-machine map: its stage-2 tables.
//!
//! A leaf of kind RAM, shared or foreign owns one reference for each frame it maps. An entry is
//! never replaced in place: [`P2m::remove`] clears it and flushes the TLBs before it hands the
//! reference back, and [`P2m::insert`] only fills empty entries. So a frame cannot be freed while
//! a translation to it lives, and break-before-make holds by construction.

use super::page::HeldPage;
use super::pool::TablePool;
use crate::hypervisor::Hypervisor;
use hal::{FrameMem as _, Gfn, MachineOps as _, MapAttr, Mfn, PteView, Stage2Format as _, Stage2Root};
use machine::{Frame, Stage2};

const ENTRIES_LOG2: u32 = 9;
const ENTRIES: u64 = 1 << ENTRIES_LOG2;

/// What a guest frame maps to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// The domain's own memory.
    Ram = 1,
    /// A device's registers.
    Mmio = 2,
    /// A page of the hypervisor's that the domain shares: shared_info, grant frames.
    Shared = 3,
    /// A page of another domain, mapped by a privileged tool.
    Foreign = 4,
    /// The same, read only.
    ForeignRo = 5,
    /// A grant mapping; the maptrack entry owns the reference.
    Grant = 6,
    /// A grant mapping, read only.
    GrantRo = 7,
    /// Memory that the firmware keeps for dom0's use; nobody owns it.
    Reserved = 8,
}

impl Kind {
    fn from_soft(soft: u8) -> Option<Self> {
        [
            Self::Ram,
            Self::Mmio,
            Self::Shared,
            Self::Foreign,
            Self::ForeignRo,
            Self::Grant,
            Self::GrantRo,
            Self::Reserved,
        ]
        .into_iter()
        .find(|k| *k as u8 == soft)
    }

    fn attr(self) -> MapAttr {
        match self {
            Self::Ram | Self::Reserved => MapAttr::RAM,
            Self::Mmio => MapAttr::DEVICE,
            Self::Shared | Self::Foreign | Self::Grant => MapAttr::DATA,
            Self::ForeignRo | Self::GrantRo => MapAttr::RAM_RO,
        }
    }

    /// Whether an entry of this kind owns a reference to its frames.
    fn owns_reference(self) -> bool {
        matches!(self, Self::Ram | Self::Shared | Self::Foreign | Self::ForeignRo)
    }

    /// Whether the guest may write through it.
    pub fn is_writable(self) -> bool {
        self.attr().write
    }
}

/// A mapping that was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The machine frame that the guest frame asked for maps to.
    pub mfn: Mfn,
    /// What it is.
    pub kind: Kind,
    /// The level of the leaf: it maps 512^level frames.
    pub level: u32,
}

/// Why a mapping could not be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapError {
    /// The guest frame is beyond the guest's address space, or not aligned to the block.
    BadGfn,
    /// Something is mapped there.
    Occupied,
    /// The domain's table pool is empty.
    NoTables,
}

/// A mapping that was taken out, its translations flushed: its reference is to be released.
#[must_use]
#[derive(Debug)]
pub struct Removed {
    /// What it was.
    pub kind: Kind,
    /// The machine frame.
    pub mfn: Mfn,
}

impl Removed {
    /// The reference that the entry owned, if it owned one.
    pub fn into_page(self) -> Option<HeldPage> {
        self.kind.owns_reference().then(|| HeldPage::from_entry(self.mfn))
    }

    /// Leaves the frame to the domain, unmapped: see [`HeldPage::park`].
    pub(super) fn park(self) {
        if let Some(page) = self.into_page() {
            page.park();
        }
    }

    /// Releases the reference that the entry owned, if it owned one.
    pub fn release(self, hv: &Hypervisor) {
        if let Some(page) = self.into_page() {
            page.release(hv);
        }
    }
}

/// The map; the domain holds it under its lock.
#[derive(Debug)]
pub struct P2m {
    root: Stage2Root,
    max_gfn: Gfn,
    /// Guest frames from here on have no entry: all, once the tables are gone.
    end: Gfn,
    /// Frames that the teardown has passed.
    cursor: Gfn,
}

impl P2m {
    /// A map over zeroed root tables.
    pub fn new(root: Stage2Root) -> Self {
        Self { root, max_gfn: Gfn(0), end: Self::limit(), cursor: Gfn(0) }
    }

    /// The root, for loading.
    pub fn root(&self) -> Stage2Root {
        self.root
    }

    /// The highest guest frame ever mapped.
    pub fn max_gfn(&self) -> Gfn {
        self.max_gfn
    }

    /// The number of guest frames in the address space.
    pub const fn limit() -> Gfn {
        Gfn(1 << (Stage2::GUEST_ADDR_BITS - hal::PAGE_SHIFT))
    }

    /// The byte offset of the entry for `gfn` in the table at `level`, and how many tables on.
    fn slot(gfn: Gfn, level: u32) -> (u64, usize) {
        let index = gfn.0 >> (ENTRIES_LOG2 * level);
        if level == Stage2::ROOT_LEVEL {
            (index >> ENTRIES_LOG2, (index % ENTRIES) as usize * 8)
        } else {
            (0, (index % ENTRIES) as usize * 8)
        }
    }

    /// The table and offset of the entry for `gfn` at `level` below `table`.
    fn entry<'a>(hv: &'a Hypervisor, table: Mfn, gfn: Gfn, level: u32) -> Option<(Frame<'a>, usize)> {
        let (ahead, offset) = Self::slot(gfn, level);
        Some((hv.machine.frame(table.plus(ahead))?, offset))
    }

    /// What `gfn` maps to.
    #[inline]
    pub fn lookup(&self, hv: &Hypervisor, gfn: Gfn) -> Option<Entry> {
        if gfn >= self.end {
            return None;
        }
        let (mut table, mut level) = (self.root.table, Stage2::ROOT_LEVEL);
        loop {
            let (frame, offset) = Self::entry(hv, table, gfn, level)?;
            match Stage2::view(frame.load64(offset), level) {
                PteView::Empty => return None,
                PteView::Table(next) => {
                    table = next;
                    level = level.checked_sub(1)?;
                }
                PteView::Leaf { mfn, soft, .. } => {
                    let within = gfn.0 & ((1 << (ENTRIES_LOG2 * level)) - 1);
                    return Some(Entry { mfn: mfn.plus(within), kind: Kind::from_soft(soft)?, level });
                }
            }
        }
    }

    /// Maps 512^`level` frames from `gfn` to `mfn`. References are the caller's affair: see
    /// [`insert_page`](Self::insert_page).
    fn insert(
        &mut self,
        hv: &Hypervisor,
        pool: &mut TablePool,
        gfn: Gfn,
        level: u32,
        mfn: Mfn,
        kind: Kind,
    ) -> Result<(), MapError> {
        let order = ENTRIES_LOG2 * level;
        let last = gfn.plus((1 << order) - 1);
        if gfn >= Self::limit() || last >= Self::limit() || !gfn.is_aligned(order) || !mfn.is_aligned(order) {
            return Err(MapError::BadGfn);
        }
        let (mut table, mut at) = (self.root.table, Stage2::ROOT_LEVEL);
        loop {
            let (frame, offset) = Self::entry(hv, table, gfn, at).ok_or(MapError::NoTables)?;
            let view = Stage2::view(frame.load64(offset), at);
            if at == level {
                if view != PteView::Empty {
                    return Err(MapError::Occupied);
                }
                frame.store64(offset, Stage2::leaf(mfn, level, kind.attr(), kind as u8));
                hv.machine.publish_tables();
                hv.frames.table_gains(table);
                self.max_gfn = self.max_gfn.max(last);
                return Ok(());
            }
            match view {
                PteView::Leaf { .. } => return Err(MapError::Occupied),
                PteView::Table(next) => table = next,
                PteView::Empty => {
                    let Some(next) = pool.take(hv) else {
                        self.drop_empty_tables(hv, pool, gfn);
                        return Err(MapError::NoTables);
                    };
                    // The table's zeroes are seen before the entry that leads to it.
                    hv.machine.publish_tables();
                    frame.store64(offset, Stage2::table(next));
                    hv.frames.table_gains(table);
                    table = next;
                }
            }
            at -= 1;
        }
    }

    /// Takes out the tables on the way to `gfn` that have no entries, from the lowest up.
    fn drop_empty_tables(&self, hv: &Hypervisor, pool: &mut TablePool, gfn: Gfn) {
        loop {
            // The entry that leads to the lowest table on the way, and that table.
            let (mut above, mut table, mut at) = (None, self.root.table, Stage2::ROOT_LEVEL);
            while let Some((frame, offset)) = Self::entry(hv, table, gfn, at)
                && let PteView::Table(next) = Stage2::view(frame.load64(offset), at)
            {
                above = Some((frame, offset, table));
                table = next;
                at -= 1;
            }
            let Some((frame, offset, parent)) = above else { return };
            if !hv.frames.table_is_empty(table) {
                return;
            }
            frame.store64(offset, 0);
            hv.machine.publish_tables();
            hv.machine.flush_gfns(self.root, gfn, 1);
            hv.frames.table_loses(parent);
            pool.give(hv, table);
        }
    }

    /// Maps a range in the largest blocks that fit: a device's registers, or dom0's own memory, of
    /// whose frames each has one reference that the entries take over.
    pub fn insert_range(
        &mut self,
        hv: &Hypervisor,
        pool: &mut TablePool,
        gfn: Gfn,
        mfn: Mfn,
        count: u64,
        kind: Kind,
    ) -> Result<(), MapError> {
        let mut done = 0;
        while done < count {
            let (g, m) = (gfn.plus(done), mfn.plus(done));
            let level = (0..=Stage2::MAX_LEAF_LEVEL)
                .rev()
                .find(|l| {
                    let order = ENTRIES_LOG2 * l;
                    g.is_aligned(order) && m.is_aligned(order) && count - done >= 1 << order
                })
                .unwrap_or(0);
            self.insert(hv, pool, g, level, m, kind)?;
            done += 1 << (ENTRIES_LOG2 * level);
        }
        Ok(())
    }

    /// Maps one page; the entry takes over the reference. On an error the reference comes back.
    pub fn insert_page(
        &mut self,
        hv: &Hypervisor,
        pool: &mut TablePool,
        gfn: Gfn,
        page: HeldPage,
        kind: Kind,
    ) -> Result<(), (MapError, HeldPage)> {
        match self.insert(hv, pool, gfn, 0, page.mfn(), kind) {
            Ok(()) => {
                page.into_entry();
                Ok(())
            }
            Err(e) => Err((e, page)),
        }
    }

    /// Maps a block of 2^`order` frames of the domain's memory, each of which has one reference
    /// that the entries take over. On an error nothing is mapped.
    pub fn insert_ram(
        &mut self,
        hv: &Hypervisor,
        pool: &mut TablePool,
        gfn: Gfn,
        mfn: Mfn,
        order: u32,
    ) -> Result<(), MapError> {
        let level = (order / ENTRIES_LOG2).min(Stage2::MAX_LEAF_LEVEL);
        let step = 1u64 << (ENTRIES_LOG2 * level);
        let count = 1u64 << order;
        let mut done = 0;
        while done < count {
            if let Err(e) = self.insert(hv, pool, gfn.plus(done), level, mfn.plus(done), Kind::Ram) {
                let mut back = 0;
                while back < done {
                    self.clear(hv, pool, gfn.plus(back), level);
                    back += step;
                }
                return Err(e);
            }
            done += step;
        }
        Ok(())
    }

    /// Maps a grant; the maptrack entry keeps the reference.
    pub fn insert_grant(
        &mut self,
        hv: &Hypervisor,
        pool: &mut TablePool,
        gfn: Gfn,
        mfn: Mfn,
        read_only: bool,
    ) -> Result<(), MapError> {
        self.insert(hv, pool, gfn, 0, mfn, if read_only { Kind::GrantRo } else { Kind::Grant })
    }

    /// Takes out the mapping of one page, after flushing its translations. A block around it is
    /// split. `Ok(None)` when nothing is mapped there.
    pub fn remove(
        &mut self,
        hv: &Hypervisor,
        pool: &mut TablePool,
        gfn: Gfn,
    ) -> Result<Option<Removed>, MapError> {
        loop {
            let Some(entry) = self.lookup(hv, gfn) else { return Ok(None) };
            if entry.level == 0 {
                self.clear(hv, pool, gfn, 0);
                return Ok(Some(Removed { kind: entry.kind, mfn: entry.mfn }));
            }
            self.split(hv, pool, gfn, entry.level)?;
        }
    }

    /// Clears the leaf for `gfn` at `level`, and the entries of tables that it leaves empty, and
    /// flushes what they mapped.
    fn clear(&mut self, hv: &Hypervisor, pool: &mut TablePool, gfn: Gfn, level: u32) {
        let (mut table, mut at) = (self.root.table, Stage2::ROOT_LEVEL);
        while let Some((frame, offset)) = Self::entry(hv, table, gfn, at) {
            match Stage2::view(frame.load64(offset), at) {
                PteView::Table(next) if at > level => table = next,
                PteView::Leaf { .. } if at == level => {
                    frame.store64(offset, 0);
                    hv.machine.publish_tables();
                    hv.machine.flush_gfns(self.root, gfn, 1 << (ENTRIES_LOG2 * level));
                    if hv.frames.table_loses(table) && at != Stage2::ROOT_LEVEL {
                        self.drop_empty_tables(hv, pool, gfn);
                    }
                    return;
                }
                _ => return,
            }
            at -= 1;
        }
    }

    /// Replaces the block of `level` around `gfn` by a table of the next level's leaves.
    fn split(&mut self, hv: &Hypervisor, pool: &mut TablePool, gfn: Gfn, level: u32) -> Result<(), MapError> {
        let (mut table, mut at) = (self.root.table, Stage2::ROOT_LEVEL);
        loop {
            let (frame, offset) = Self::entry(hv, table, gfn, at).ok_or(MapError::BadGfn)?;
            match Stage2::view(frame.load64(offset), at) {
                PteView::Table(next) => table = next,
                PteView::Leaf { mfn, attr, soft } if at == level => {
                    let new = pool.take(hv).ok_or(MapError::NoTables)?;
                    let below = level - 1;
                    let fill = hv.machine.frame(new).ok_or(MapError::NoTables)?;
                    for i in 0..ENTRIES {
                        let part = mfn.plus(i << (ENTRIES_LOG2 * below));
                        fill.store64(i as usize * 8, Stage2::leaf(part, below, attr, soft));
                    }
                    hv.frames.table_is_full(new);
                    frame.store64(offset, 0);
                    hv.machine.publish_tables();
                    let start = Gfn(gfn.0 & !((1 << (ENTRIES_LOG2 * level)) - 1));
                    hv.machine.flush_gfns(self.root, start, 1 << (ENTRIES_LOG2 * level));
                    frame.store64(offset, Stage2::table(new));
                    hv.machine.publish_tables();
                    return Ok(());
                }
                _ => return Err(MapError::BadGfn),
            }
            at -= 1;
        }
    }

    /// Takes out everything, at most about `budget` pages a call; true when all is gone. No vCPU
    /// of the domain runs any more and its TLB tag was flushed after the last one stopped.
    pub fn teardown(&mut self, hv: &Hypervisor, pool: &mut TablePool, budget: u64) -> bool {
        let mut left = budget;
        for root in 0..1u64 << Stage2::ROOT_ORDER {
            let span = 1 << (ENTRIES_LOG2 * (Stage2::ROOT_LEVEL + 1));
            let base = Gfn(root * span);
            if self.cursor.0 >= base.0 + span {
                continue;
            }
            let table = self.root.table.plus(root);
            if !self.strip(hv, pool, table, Stage2::ROOT_LEVEL, base, &mut left) {
                return false;
            }
        }
        // The root goes back to the machine next.
        self.end = Gfn(0);
        true
    }

    /// Empties one table; true when it is empty, false when the budget ran out at `self.cursor`.
    fn strip(
        &mut self,
        hv: &Hypervisor,
        pool: &mut TablePool,
        table: Mfn,
        level: u32,
        base: Gfn,
        left: &mut u64,
    ) -> bool {
        let Some(frame) = hv.machine.frame(table) else { return true };
        let order = ENTRIES_LOG2 * level;
        let first = (self.cursor.0.saturating_sub(base.0) >> order).min(ENTRIES);
        for i in first..ENTRIES {
            let offset = i as usize * 8;
            let gfn = base.plus(i << order);
            match Stage2::view(frame.load64(offset), level) {
                PteView::Empty => {}
                PteView::Table(next) => {
                    if *left == 0 {
                        self.cursor = self.cursor.max(gfn);
                        return false;
                    }
                    if !self.strip(hv, pool, next, level.saturating_sub(1), gfn, left) {
                        return false;
                    }
                    frame.store64(offset, 0);
                    hv.frames.table_was_stripped(next);
                    pool.give(hv, next);
                    *left = left.saturating_sub(1);
                }
                PteView::Leaf { mfn, soft, .. } => {
                    if *left == 0 {
                        self.cursor = gfn;
                        return false;
                    }
                    frame.store64(offset, 0);
                    if Kind::from_soft(soft).is_some_and(Kind::owns_reference) {
                        for n in 0..1u64 << order {
                            HeldPage::from_entry(mfn.plus(n)).release(hv);
                        }
                    }
                    *left = left.saturating_sub(1 << order);
                }
            }
        }
        true
    }
}
