//! Taking entries out of a map, several with one flush.

use super::walk::{Spot, offset};
use super::{ENTRIES, ENTRIES_LOG2, Entry, MapError, P2m, Removed};
use crate::hypervisor::Hypervisor;
use crate::memory::pool::TablePool;
use core::iter;
use hal::{FrameMem as _, Gfn, MachineOps as _, PteView, Stage2Format as _};
use machine::Stage2;
use xen_abi::Errno;

/// Pages whose entries are cleared, and whose translations are still to be flushed.
struct Cleared<const N: usize> {
    count: usize,
    gfns: [Gfn; N],
    /// What stood in the entries.
    ptes: [u64; N],
    /// A table has lost its last entry.
    emptied: bool,
}

impl P2m {
    /// Takes pages out: those of the items, each with a guest frame, for which `wanted` says so; it is told what is
    /// there. A block around a page is split. `removed` gets each page that was taken out after its translations are
    /// flushed, in the order of the items. Up to `N` are flushed at once.
    ///
    /// # Errors
    /// The first of `wanted`, or ENOMEM when a block cannot be split; the items before are done.
    #[inline]
    pub fn clear_pages<const N: usize, T>(
        &mut self,
        hv: &Hypervisor,
        pool: &mut TablePool,
        items: impl IntoIterator<Item = (Gfn, T)>,
        mut wanted: impl FnMut(T, Option<Entry>) -> Result<bool, Errno>,
        mut removed: impl FnMut(Removed),
    ) -> Result<(), Errno> {
        let mut cleared = Cleared::<N> { count: 0, gfns: [Gfn(0); N], ptes: [0; N], emptied: false };
        let mut result = Ok(());
        for (gfn, item) in items {
            match self.clear_page(hv, pool, gfn, |found| wanted(item, found), &mut cleared) {
                Ok(()) if cleared.count < N => {}
                Ok(()) => self.complete(hv, pool, &mut cleared, &mut removed),
                Err(e) => {
                    result = Err(e);
                    break;
                }
            }
        }
        self.complete(hv, pool, &mut cleared, &mut removed);
        result
    }

    /// Takes out the mapping of one page, after flushing its translations. A block around it is
    /// split. `Ok(None)` when nothing is mapped there.
    pub fn remove(
        &mut self,
        hv: &Hypervisor,
        pool: &mut TablePool,
        gfn: Gfn,
    ) -> Result<Option<Removed>, Errno> {
        let mut page = None;
        self.clear_pages::<1, _>(
            hv,
            pool,
            iter::once((gfn, ())),
            |(), found| Ok(found.is_some()),
            |r| page = Some(r),
        )?;
        Ok(page)
    }

    /// Clears the entry of one page, if it is wanted; its translations stay until [`complete`](Self::complete).
    #[inline]
    fn clear_page<const N: usize>(
        &mut self,
        hv: &Hypervisor,
        pool: &mut TablePool,
        gfn: Gfn,
        wanted: impl FnOnce(Option<Entry>) -> Result<bool, Errno>,
        cleared: &mut Cleared<N>,
    ) -> Result<(), Errno> {
        let spot = self.walk(hv, gfn);
        let entry = spot.as_ref().and_then(|spot| Entry::at(gfn, spot));
        let (true, Some(mut spot)) = (wanted(entry)?, spot.filter(|_| entry.is_some())) else {
            return Ok(());
        };
        while spot.level > 0 {
            spot = self.split(hv, pool, gfn, spot)?;
        }
        let n = cleared.count;
        if let (Some(g), Some(pte)) = (cleared.gfns.get_mut(n), cleared.ptes.get_mut(n)) {
            (*g, *pte) = (gfn, spot.pte);
            cleared.count = n + 1;
            spot.frame.store64(spot.offset, 0);
            cleared.emptied |= hv.frames.table_loses(spot.table);
        }
        Ok(())
    }

    /// Flushes what was cleared, takes out tables that it left empty, and hands out the pages.
    #[inline]
    fn complete<const N: usize>(
        &mut self,
        hv: &Hypervisor,
        pool: &mut TablePool,
        cleared: &mut Cleared<N>,
        removed: &mut impl FnMut(Removed),
    ) {
        let count = core::mem::take(&mut cleared.count);
        if count == 0 {
            return;
        }
        let gfns = cleared.gfns.get(..count).unwrap_or_default();
        hv.machine.flush_pages(self.root, gfns);
        if core::mem::take(&mut cleared.emptied) {
            for &gfn in gfns {
                self.drop_empty_tables(hv, pool, gfn);
            }
        }
        for &pte in cleared.ptes.iter().take(count) {
            if let Some((mfn, kind)) = Entry::page(pte) {
                removed(Removed { kind, mfn });
            }
        }
    }

    /// Clears the block of `level` at `gfn`, and the entries of tables that it leaves empty, and
    /// flushes what they mapped.
    pub(super) fn clear(&mut self, hv: &Hypervisor, pool: &mut TablePool, gfn: Gfn, level: u32) {
        let Some(spot) = self.walk(hv, gfn).filter(|spot| spot.level == level) else { return };
        if spot.view() == PteView::Empty {
            return;
        }
        spot.frame.store64(spot.offset, 0);
        hv.machine.flush_gfns(self.root, gfn, 1 << (ENTRIES_LOG2 * level));
        if hv.frames.table_loses(spot.table) {
            self.drop_empty_tables(hv, pool, gfn);
        }
    }

    /// Takes out the tables on the way to `gfn` that have no entries, from the lowest up.
    #[cold]
    #[inline(never)]
    pub(super) fn drop_empty_tables(&mut self, hv: &Hypervisor, pool: &mut TablePool, gfn: Gfn) {
        loop {
            // The entry that leads to the lowest table on the way, and that table.
            let (mut above, mut table, mut at) = (None, self.root_table(gfn), Stage2::ROOT_LEVEL);
            while let Some(frame) = hv.machine.frame(table)
                && let PteView::Table(next) = Stage2::view(frame.load64(offset(gfn, at)), at)
            {
                above = Some((frame, offset(gfn, at), table));
                table = next;
                at -= 1;
            }
            let Some((frame, offset, parent)) = above else { return };
            if !hv.frames.table_is_empty(table) {
                return;
            }
            self.walks.forget();
            frame.store64(offset, 0);
            hv.machine.flush_gfns(self.root, gfn, 1);
            hv.frames.table_loses(parent);
            pool.give(hv, table);
        }
    }

    /// Replaces the block at `block`, which is around `gfn`, by a table of the next level's leaves; returns its entry
    /// for `gfn`.
    #[cold]
    #[inline(never)]
    fn split<'a>(
        &mut self,
        hv: &'a Hypervisor,
        pool: &mut TablePool,
        gfn: Gfn,
        block: Spot<'a>,
    ) -> Result<Spot<'a>, MapError> {
        let (PteView::Leaf { mfn, attr, soft }, Some(level)) = (block.view(), block.level.checked_sub(1))
        else {
            return Err(MapError::BadGfn);
        };
        let table = pool.take(hv).ok_or(MapError::NoTables)?;
        let frame = hv.machine.frame(table).ok_or(MapError::NoTables)?;
        for i in 0..ENTRIES {
            let part = mfn.plus(i << (ENTRIES_LOG2 * level));
            frame.store64(i as usize * 8, Stage2::leaf(part, level, attr, soft));
        }
        hv.frames.table_is_full(table);
        block.frame.store64(block.offset, 0);
        let count = 1 << (ENTRIES_LOG2 * block.level);
        hv.machine.flush_gfns(self.root, Gfn(gfn.0 & !(count - 1)), count);
        block.frame.store64(block.offset, Stage2::table(table));
        hv.machine.publish_tables();
        self.walks.note(gfn, table, level);
        let offset = offset(gfn, level);
        Ok(Spot { table, frame, offset, level, pte: frame.load64(offset) })
    }
}
