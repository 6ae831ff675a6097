//! The pool of frames that a domain's stage-2 tables come from.
//!
//! The toolstack sizes it (XEN_DOMCTL_set_paging_mempool_size), so a guest that makes its tables
//! grow spends its own pool. Dom0's pool draws on the machine's free memory.

use crate::hypervisor::Hypervisor;
use hal::{Domid, FrameMem as _, MachineOps as _, Mfn};

/// Free tables that a pool keeps which draws on the machine.
const SPARE: u64 = 64;

/// Free table frames, linked through their first words; the guest cannot reach them.
#[derive(Debug)]
pub struct TablePool {
    owner: Domid,
    head: Option<Mfn>,
    free: u64,
    total: u64,
    /// Draw on the machine when empty.
    open: bool,
}

impl TablePool {
    /// An empty pool; `open` lets it draw on the machine's free memory.
    pub fn new(owner: Domid, open: bool) -> Self {
        Self { owner, head: None, free: 0, total: 0, open }
    }

    /// Fills a pool that draws on the machine with what it keeps, so that what dom0 maps of others
    /// comes out of that first. False without memory.
    pub fn fill(&mut self, hv: &Hypervisor) -> bool {
        while self.open && self.free < SPARE {
            if !self.grow(hv) {
                return false;
            }
        }
        true
    }

    /// All frames that belong to the pool, in use or free.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// A zeroed frame for a table.
    pub fn take(&mut self, hv: &Hypervisor) -> Option<Mfn> {
        if self.head.is_none() && self.open {
            self.grow(hv);
        }
        let mfn = self.head?;
        let frame = hv.machine.frame(mfn)?;
        self.head = match frame.load64(0) {
            0 => None,
            next => Some(Mfn(next)),
        };
        frame.store64(0, 0);
        self.free -= 1;
        Some(mfn)
    }

    /// Takes back an emptied table: all its words are zero. A pool that draws on the machine keeps
    /// only a few.
    pub fn give(&mut self, hv: &Hypervisor, mfn: Mfn) {
        if self.open && self.free >= SPARE {
            self.total -= 1;
            hv.frames.free_table(mfn);
        } else {
            self.keep(hv, mfn);
        }
    }

    /// Adds a table to those that are free.
    fn keep(&mut self, hv: &Hypervisor, mfn: Mfn) {
        if let Some(frame) = hv.machine.frame(mfn) {
            frame.store64(0, self.head.map_or(0, |m| m.0));
            self.head = Some(mfn);
            self.free += 1;
        }
    }

    /// Adds a frame of the machine's free memory; false when there is none.
    pub fn grow(&mut self, hv: &Hypervisor) -> bool {
        let Some(mfn) = hv.frames.alloc_table(hv.machine, self.owner) else { return false };
        self.total += 1;
        self.keep(hv, mfn);
        true
    }

    /// Returns a free frame to the machine; false when all are in use.
    pub fn shrink(&mut self, hv: &Hypervisor) -> bool {
        let open = core::mem::replace(&mut self.open, false);
        let taken = self.take(hv);
        self.open = open;
        match taken {
            Some(mfn) => {
                self.total -= 1;
                hv.frames.free_table(mfn);
                true
            }
            None => false,
        }
    }
}
