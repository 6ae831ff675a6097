//! Finding the entry for a guest frame, with a memory of where earlier walks ended.

use super::{ENTRIES, ENTRIES_LOG2, P2m};
use crate::hypervisor::Hypervisor;
use hal::{FrameMem as _, Gfn, MachineOps as _, Mfn, PteView, Stage2Format as _};
use machine::{Frame, Stage2};

/// Walks that are remembered.
const LINES: usize = 16;
/// A number that no 2 MiB of guest frames has.
const NONE: u64 = u64::MAX;

/// Where a walk ended: at a leaf, or at an empty entry.
#[derive(Clone, Copy)]
pub(super) struct Spot {
    /// The table.
    pub(super) table: Mfn,
    /// The table's bytes.
    pub(super) frame: Frame<'static>,
    /// The entry's place in it.
    pub(super) offset: usize,
    /// The entry's level.
    pub(super) level: u32,
    /// What stood in the entry.
    pub(super) pte: u64,
}

impl Spot {
    /// The entry, taken apart.
    #[inline]
    pub(super) fn view(&self) -> PteView {
        Stage2::view(self.pte, self.level)
    }
}

#[derive(Clone, Copy, Debug)]
struct Line {
    /// 2 MiB of guest frames.
    block: u64,
    /// The table in which a walk for them ended.
    table: Mfn,
    /// The table's bytes.
    frame: Option<Frame<'static>>,
    level: u32,
}

/// The tables in which the last walks ended, so that the next for the same 2 MiB look there first. A table may have got
/// another below it since: then the walk begins at the root. What is remembered has to be forgotten as soon as any
/// table leaves the map.
#[derive(Debug)]
pub(super) struct Walks([Line; LINES]);

impl Walks {
    /// None.
    pub(super) const NONE: Self = Self([Line { block: NONE, table: Mfn(0), frame: None, level: 0 }; LINES]);

    #[inline]
    fn line(&mut self, block: u64) -> Option<&mut Line> {
        self.0.get_mut(block as usize % LINES)
    }

    /// Remembers where a walk for `gfn` ended.
    #[inline]
    pub(super) fn note(&mut self, gfn: Gfn, table: Mfn, frame: Frame<'static>, level: u32) {
        let block = gfn.0 >> ENTRIES_LOG2;
        if let Some(line) = self.line(block) {
            *line = Line { block, table, frame: Some(frame), level };
        }
    }

    /// Forgets all: a table has left the map.
    pub(super) fn forget(&mut self) {
        *self = Self::NONE;
    }
}

/// The place of the entry for `gfn` in a table of `level`.
#[inline]
pub(super) fn offset(gfn: Gfn, level: u32) -> usize {
    (gfn.0 >> (ENTRIES_LOG2 * level) & (ENTRIES - 1)) as usize * 8
}

impl P2m {
    /// The root table for `gfn`.
    pub(super) fn root_table(&self, gfn: Gfn) -> Mfn {
        self.root.table.plus(gfn.0 >> (ENTRIES_LOG2 * (Stage2::ROOT_LEVEL + 1)))
    }

    /// Walks to the entry that decides about `gfn`. `None` for a guest frame out of range, or when the tables are gone.
    #[inline(always)]
    pub(super) fn walk(&mut self, hv: &Hypervisor, gfn: Gfn) -> Option<Spot> {
        let block = gfn.0 >> ENTRIES_LOG2;
        // What was walked is remembered: the second look is the last.
        loop {
            let line = self.walks.line(block)?;
            if line.block == block
                && let Some(frame) = line.frame
            {
                let (table, level, offset) = (line.table, line.level, offset(gfn, line.level));
                let pte = frame.load64(offset);
                if !matches!(Stage2::view(pte, level), PteView::Table(_)) {
                    return Some(Spot { table, frame, offset, level, pte });
                }
            }
            if !self.walk_from_root(hv, gfn) {
                return None;
            }
        }
    }

    /// Walks to the entry that decides about `gfn` and remembers its table; false when there is none.
    #[cold]
    #[inline(never)]
    fn walk_from_root(&mut self, hv: &Hypervisor, gfn: Gfn) -> bool {
        if gfn >= self.end {
            return false;
        }
        let (mut table, mut level) = (self.root_table(gfn), Stage2::ROOT_LEVEL);
        while let Some(frame) = hv.machine.frame(table) {
            match (Stage2::view(frame.load64(offset(gfn, level)), level), level.checked_sub(1)) {
                (PteView::Table(next), Some(below)) => (table, level) = (next, below),
                _ => {
                    self.walks.note(gfn, table, frame, level);
                    return true;
                }
            }
        }
        false
    }
}
