//! The end of a map.

use super::{ENTRIES, ENTRIES_LOG2, Kind, P2m};
use crate::hypervisor::Hypervisor;
use crate::memory::page::HeldPage;
use crate::memory::pool::TablePool;
use hal::{FrameMem as _, Gfn, MachineOps as _, Mfn, PteView, Stage2Format as _};
use machine::Stage2;

impl P2m {
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
        self.walks.forget();
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
                    self.walks.forget();
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
