//! A domain's physical-to-machine map: its stage-2 tables.
//!
//! A leaf of kind RAM, shared or foreign owns one reference for each frame it maps. An entry is
//! never replaced in place: [`P2m::clear_pages`] and [`P2m::clear_one`] clear entries and flush the TLBs before they hand
//! the references back, and [`P2m::insert`] only fills empty entries. So a frame cannot be freed
//! while a translation to it lives, and break-before-make holds by construction.

mod clear;
mod entry;
mod teardown;
mod walk;

pub use entry::{Entry, Kind, MapError, Removed};

use super::page::HeldPage;
use super::pool::TablePool;
use crate::hypervisor::Hypervisor;
use hal::{FrameMem as _, Gfn, MachineOps as _, Mfn, PteView, Stage2Format as _, Stage2Root};
use machine::Stage2;
use walk::{Spot, Walks};

const ENTRIES_LOG2: u32 = 9;
const ENTRIES: u64 = 1 << ENTRIES_LOG2;

/// The map; the domain holds it under its lock.
#[derive(Debug)]
pub struct P2m {
    root: Stage2Root,
    max_gfn: Gfn,
    /// Guest frames from here on have no entry: all, once the tables are gone.
    end: Gfn,
    /// Frames that the teardown has passed.
    cursor: Gfn,
    walks: Walks,
}

impl P2m {
    /// A map over zeroed root tables.
    pub fn new(root: Stage2Root) -> Self {
        Self { root, max_gfn: Gfn(0), end: Self::limit(), cursor: Gfn(0), walks: Walks::NONE }
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

    /// What `gfn` maps to.
    #[inline(always)]
    pub fn lookup(&mut self, hv: &Hypervisor, gfn: Gfn) -> Option<Entry> {
        Entry::at(gfn, &self.walk(hv, gfn)?)
    }

    /// Maps 512^`level` frames from `gfn` to `mfn`. References are the caller's affair: see
    /// [`insert_page`](Self::insert_page).
    #[inline(never)]
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
        let mut spot = self.walk(hv, gfn).ok_or(MapError::BadGfn)?;
        if spot.level < level || spot.view() != PteView::Empty {
            return Err(MapError::Occupied);
        }
        while spot.level > level {
            spot = self.add_table(hv, pool, gfn, spot)?;
        }
        self.fill(hv, &spot, last, mfn, kind);
        Ok(())
    }

    /// Maps one page, as [`insert`](Self::insert) does: where its table exists and the entry is empty, in line.
    #[inline(always)]
    fn insert_one(
        &mut self,
        hv: &Hypervisor,
        pool: &mut TablePool,
        gfn: Gfn,
        mfn: Mfn,
        kind: Kind,
    ) -> Result<(), MapError> {
        match self.walk(hv, gfn) {
            Some(spot) if spot.level == 0 && spot.view() == PteView::Empty => {
                self.fill(hv, &spot, gfn, mfn, kind);
                Ok(())
            }
            _ => self.insert(hv, pool, gfn, 0, mfn, kind),
        }
    }

    /// Fills the empty entry where a walk ended; `last` is the last guest frame that it maps.
    #[inline(always)]
    fn fill(&mut self, hv: &Hypervisor, spot: &Spot, last: Gfn, mfn: Mfn, kind: Kind) {
        spot.frame.store64(spot.offset, Stage2::leaf(mfn, spot.level, kind.attr(), kind as u8));
        hv.machine.publish_tables();
        hv.frames.table_gains(spot.table);
        self.max_gfn = self.max_gfn.max(last);
    }

    /// Puts a table at the empty entry `above`; returns its entry for `gfn`.
    #[cold]
    #[inline(never)]
    fn add_table(
        &mut self,
        hv: &Hypervisor,
        pool: &mut TablePool,
        gfn: Gfn,
        above: Spot,
    ) -> Result<Spot, MapError> {
        let new = pool.take(hv).and_then(|table| Some((table, hv.machine.frame(table)?)));
        let Some((table, frame)) = new else {
            self.drop_empty_tables(hv, pool, gfn);
            return Err(MapError::NoTables);
        };
        // The table's zeroes are seen before the entry that leads to it.
        hv.machine.publish_tables();
        above.frame.store64(above.offset, Stage2::table(table));
        hv.frames.table_gains(above.table);
        let level = above.level - 1;
        self.walks.note(gfn, table, frame, level);
        Ok(Spot { table, frame, offset: walk::offset(gfn, level), level, pte: 0 })
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
    #[inline]
    pub fn insert_page(
        &mut self,
        hv: &Hypervisor,
        pool: &mut TablePool,
        gfn: Gfn,
        page: HeldPage,
        kind: Kind,
    ) -> Result<(), (MapError, HeldPage)> {
        match self.insert_one(hv, pool, gfn, page.mfn(), kind) {
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
    #[inline]
    pub fn insert_grant(
        &mut self,
        hv: &Hypervisor,
        pool: &mut TablePool,
        gfn: Gfn,
        mfn: Mfn,
        read_only: bool,
    ) -> Result<(), MapError> {
        self.insert_one(hv, pool, gfn, mfn, if read_only { Kind::GrantRo } else { Kind::Grant })
    }
}
