//! Stage-2 tables for this crate's own tests, built with as little wit as possible.

use crate::machine::Machine;
use crate::stage2::FakeStage2;
use core::cell::Cell;
use hal::{FrameMem, Gfn, MachineOps, MapAttr, Mfn, PteView, Stage2Format, Stage2Root};

/// The tables of a domain.
pub(crate) struct Tables<'a> {
    pub(crate) machine: &'a Machine,
    pub(crate) root: Stage2Root,
    next: Cell<u64>,
}

impl<'a> Tables<'a> {
    /// Empty tables that grow from `table` on.
    pub(crate) fn new(machine: &'a Machine, table: Mfn, tag: u16) -> Self {
        let this = Self { machine, root: Stage2Root { table, tag }, next: Cell::new(table.0) };
        this.new_table();
        this.new_table();
        this
    }

    fn new_table(&self) -> Mfn {
        let mfn = Mfn(self.next.replace(self.next.get() + 1));
        self.machine.frame(mfn).unwrap().zero();
        mfn
    }

    /// The table that holds a guest frame's entry at a level; missing ones are made.
    pub(crate) fn table(&self, gfn: Gfn, level: u32) -> Mfn {
        let mut table = self.root.table.plus(gfn.0 >> 27);
        for at in (level + 1..=2).rev() {
            let offset = (gfn.0 >> (9 * at)) as usize % 512 * 8;
            let frame = self.machine.frame(table).unwrap();
            table = match FakeStage2::view(frame.load64(offset), at) {
                PteView::Table(next) => next,
                PteView::Empty => {
                    let next = self.new_table();
                    frame.store64(offset, FakeStage2::table(next));
                    next
                }
                PteView::Leaf { .. } => panic!("a leaf is in the way"),
            };
        }
        table
    }

    /// Stores a guest frame's entry at a level.
    pub(crate) fn put(&self, gfn: Gfn, level: u32, pte: u64) {
        let offset = (gfn.0 >> (9 * level)) as usize % 512 * 8;
        self.machine.frame(self.table(gfn, level)).unwrap().store64(offset, pte);
    }

    /// Maps with all rights, and publishes.
    pub(crate) fn map(&self, gfn: Gfn, mfn: Mfn, level: u32) {
        self.put(gfn, level, FakeStage2::leaf(mfn, level, MapAttr::RAM, 0));
        self.machine.publish_tables();
    }

    /// Clears an entry without a flush.
    pub(crate) fn clear(&self, gfn: Gfn, level: u32) {
        self.put(gfn, level, 0);
    }

    /// Clears an entry and flushes what it covered.
    pub(crate) fn unmap(&self, gfn: Gfn, level: u32) {
        self.clear(gfn, level);
        self.machine.flush_gfns(self.root, gfn, 1 << (9 * level));
    }
}
