//! Taking entries out of a map, several with one flush.

use super::walk::{Spot, offset};
use super::{ENTRIES, ENTRIES_LOG2, Entry, MapError, P2m, Removed};
use crate::hypervisor::Hypervisor;
use crate::memory::pool::TablePool;
use hal::{FrameMem as _, Gfn, MachineOps as _, PteView, Stage2Format as _};
use machine::Stage2;
use xen_abi::Errno;

/// Pages whose translations are flushed at once.
const TOGETHER: usize = 16;

/// Pages whose entries are cleared, and whose translations are still to be flushed.
struct Cleared {
    count: usize,
    gfns: [Gfn; TOGETHER],
    /// What stood in the entries.
    ptes: [u64; TOGETHER],
    /// A table has lost its last entry.
    emptied: bool,
}

/// A page whose entry was cleared.
struct ClearedEntry {
    /// What it was.
    entry: Entry,
    /// What stood there.
    pte: u64,
    /// The table has no entry any more.
    emptied: bool,
}

impl P2m {
    /// Takes pages out: those of the items, each with a guest frame, for which `wanted` says so; it is told what is
    /// there. A block around a page is split. `removed` gets each page that was taken out after its translations are
    /// flushed, in the order of the items. Several are flushed at once.
    ///
    /// # Errors
    /// The first of `wanted`, or ENOMEM when a block cannot be split; the items before are done.
    pub fn clear_pages<T>(
        &mut self,
        hv: &Hypervisor,
        pool: &mut TablePool,
        items: impl IntoIterator<Item = (Gfn, T)>,
        mut wanted: impl FnMut(T, Option<Entry>) -> Result<bool, Errno>,
        mut removed: impl FnMut(Removed),
    ) -> Result<(), Errno> {
        let mut cleared = Cleared { count: 0, gfns: [Gfn(0); TOGETHER], ptes: [0; TOGETHER], emptied: false };
        let mut result = Ok(());
        for (gfn, item) in items {
            match self.clear_entry(hv, pool, gfn, |found| wanted(item, found)) {
                Ok(None) => {}
                Ok(Some(entry)) => {
                    let n = cleared.count;
                    if let (Some(g), Some(pte)) = (cleared.gfns.get_mut(n), cleared.ptes.get_mut(n)) {
                        (*g, *pte) = (gfn, entry.pte);
                        cleared.count = n + 1;
                        cleared.emptied |= entry.emptied;
                    }
                    if cleared.count == TOGETHER {
                        self.complete(hv, pool, &mut cleared, &mut removed);
                    }
                }
                Err(e) => {
                    result = Err(e);
                    break;
                }
            }
        }
        self.complete(hv, pool, &mut cleared, &mut removed);
        result
    }

    /// Takes one page out, if `wanted` says so, which is told what is there. A block around it is split. `Ok(None)`
    /// when it was not wanted or nothing is mapped there; otherwise its translations are flushed.
    ///
    /// # Errors
    /// That of `wanted`, or ENOMEM when a block cannot be split.
    #[inline(always)]
    pub fn clear_one(
        &mut self,
        hv: &Hypervisor,
        pool: &mut TablePool,
        gfn: Gfn,
        wanted: impl FnOnce(Option<Entry>) -> Result<bool, Errno>,
    ) -> Result<Option<Removed>, Errno> {
        let Some(ClearedEntry { entry, emptied, .. }) = self.clear_entry(hv, pool, gfn, wanted)? else {
            return Ok(None);
        };
        hv.machine.flush_pages(self.root, &[gfn]);
        if emptied {
            self.drop_empty_tables(hv, pool, gfn);
        }
        Ok(Some(Removed { kind: entry.kind, mfn: entry.mfn }))
    }

    /// Clears the entry of one page, if it is wanted; its translations stay. A block around it is split.
    #[inline(always)]
    fn clear_entry(
        &mut self,
        hv: &Hypervisor,
        pool: &mut TablePool,
        gfn: Gfn,
        wanted: impl FnOnce(Option<Entry>) -> Result<bool, Errno>,
    ) -> Result<Option<ClearedEntry>, Errno> {
        let spot = self.walk(hv, gfn);
        let entry = spot.as_ref().and_then(|spot| Entry::at(gfn, spot));
        let (true, Some(spot), Some(entry)) = (wanted(entry)?, spot, entry) else { return Ok(None) };
        let spot = if spot.level == 0 { spot } else { self.split_to_page(hv, pool, gfn)? };
        spot.frame.store64(spot.offset, 0);
        let emptied = hv.frames.table_loses(spot.table);
        Ok(Some(ClearedEntry { entry, pte: spot.pte, emptied }))
    }

    /// Flushes what was cleared, takes out tables that it left empty, and hands out the pages.
    #[inline]
    fn complete(
        &mut self,
        hv: &Hypervisor,
        pool: &mut TablePool,
        cleared: &mut Cleared,
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

    /// Splits the block around `gfn` until there is a page's entry, which is returned.
    #[cold]
    #[inline(never)]
    fn split_to_page(&mut self, hv: &Hypervisor, pool: &mut TablePool, gfn: Gfn) -> Result<Spot, MapError> {
        let mut spot = self.walk(hv, gfn).ok_or(MapError::BadGfn)?;
        while spot.level > 0 {
            spot = self.split(hv, pool, gfn, spot)?;
        }
        Ok(spot)
    }

    /// Replaces the block at `block`, which is around `gfn`, by a table of the next level's leaves; returns its entry
    /// for `gfn`.
    fn split(
        &mut self,
        hv: &Hypervisor,
        pool: &mut TablePool,
        gfn: Gfn,
        block: Spot,
    ) -> Result<Spot, MapError> {
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
        self.walks.note(gfn, table, frame, level);
        let offset = offset(gfn, level);
        Ok(Spot { table, frame, offset, level, pte: frame.load64(offset) })
    }
}
