//! More interrupts than list registers.
//!
//! Active interrupts stay in list registers if they can, the most urgent first, but always leave one for the most
//! urgent pending interrupt: it may preempt them. What is left out:
//!
//! * pending: the "no pending" maintenance interrupt brings the vCPU back when it has taken what it was given;
//! * active ("parked"): the hardware counts the guest's EOIs that match no list register, and raises "list register
//!   entry not present". Such an EOI can only be for the most urgent parked interrupt, since priorities nest. (A guest
//!   that separates priority drop from deactivation may have another one in mind. Then it ends the wrong one of its own.)

use super::BLOCK;
use super::bits::{bit, bits};
use super::cpu_interface::{MAX_LRS, hcr};
use super::refresh::{Pass, describe, intid_of};

/// The most urgent of the interrupts offered, sorted.
pub(super) struct Best {
    entries: [Choice; MAX_LRS],
    len: usize,
    limit: usize,
    /// How many were offered.
    offered: usize,
}

#[derive(Clone, Copy, Default)]
struct Choice {
    /// Priority, then residence, then number; lower is better.
    key: u32,
    intid: u32,
}

impl Best {
    pub fn new(limit: usize) -> Self {
        Self { entries: [Choice::default(); MAX_LRS], len: 0, limit: limit.min(MAX_LRS), offered: 0 }
    }

    pub fn offer(&mut self, intid: u32, priority: u8, resident: bool) {
        self.offered = self.offered.saturating_add(1);
        let key = (u32::from(priority) << 16) | (u32::from(!resident) << 15) | intid;
        let at = self.entries.iter().take(self.len).position(|entry| key < entry.key).unwrap_or(self.len);
        if at >= self.limit {
            return;
        }
        self.len = self.len.saturating_add(1).min(self.limit);
        let mut moved = Choice { key, intid };
        for entry in self.entries.iter_mut().take(self.len).skip(at) {
            core::mem::swap(entry, &mut moved);
        }
    }

    /// Their numbers, the most urgent first.
    pub fn numbers(&self, most: usize) -> impl Iterator<Item = u32> + '_ {
        self.entries.iter().take(self.len.min(most)).map(|entry| entry.intid)
    }
}

impl Pass<'_> {
    /// Chooses anew what is in the list registers. `parked` are hints about parked SPIs that were taken.
    #[inline(never)]
    pub fn rearrange(&mut self, parked: u32) {
        let nr_lrs = self.ci.nr_lrs();
        let mut pending = Best::new(nr_lrs);
        let mut active = Best::new(nr_lrs);
        self.offer_private(&mut pending, &mut active);
        self.offer_resident_spis(&mut pending, &mut active);
        self.offer_other_spis(parked, &mut pending, &mut active);

        let keep_active = active.len.min(if pending.len == 0 { nr_lrs } else { nr_lrs.saturating_sub(1) });
        let keep_pending = pending.len.min(nr_lrs.saturating_sub(keep_active));
        let mut left_out = pending.offered > keep_pending;
        let mut still_parked = parked;

        for slot in bits(self.inner.used.into()) {
            let slot = slot as usize;
            let intid = self.inner.slot(slot);
            let kept =
                active.numbers(keep_active).chain(pending.numbers(keep_pending)).any(|kept| kept == intid);
            if !kept {
                still_parked |= self.evict(slot, intid);
            }
        }
        for intid in active.numbers(keep_active) {
            self.unpark(intid);
        }
        for intid in pending.numbers(keep_pending) {
            left_out |= !self.load(intid);
        }

        self.ci.hcr = hcr::EN;
        if active.offered > keep_active {
            self.ci.hcr |= hcr::LRENPIE;
            self.bank.keep_parked(still_parked);
        }
        if left_out {
            self.bank.keep_spi_hint(self.hint);
            if self.any_pending_register() {
                self.ci.hcr |= hcr::NPIE;
            } else {
                // Nothing is there whose acknowledgement could bring the vCPU back.
                self.bank.set_work();
            }
        }
    }

    fn any_pending_register(&self) -> bool {
        bits(self.ci.used.into())
            .any(|slot| super::lr::state(self.vgic.version, self.ci.raw(slot as usize)) == super::lr::PENDING)
    }

    fn offer_private(&self, pending: &mut Best, active: &mut Best) {
        let block = &self.inner.block;
        for n in bits(block.active) {
            active.offer(n, block.presented_priority(n), block.in_lr & bit(n) != 0);
        }
        for n in bits(block.candidates(self.ctlr) | (block.lr_pending & !block.active)) {
            pending.offer(n, block.priority_of(n), block.in_lr & bit(n) != 0);
        }
    }

    fn offer_resident_spis(&self, pending: &mut Best, active: &mut Best) {
        for slot in bits(self.inner.used.into()) {
            let intid = self.inner.slot(slot as usize);
            let Some((block, _, n)) = self.vgic.spi(intid) else { continue };
            let block = block.lock();
            if block.common.active & bit(n) != 0 {
                active.offer(intid, block.common.presented_priority(n), true);
            } else {
                pending.offer(intid, block.common.priority_of(n), true);
            }
        }
    }

    fn offer_other_spis(&self, parked: u32, pending: &mut Best, active: &mut Best) {
        for index in bits(self.hint | parked) {
            let Some(block) = self.vgic.spis.get(index as usize) else { continue };
            let block = block.lock();
            for n in bits(block.candidates_of(self.vcpu, self.ctlr)) {
                pending.offer(intid_of(index as usize, n), block.common.priority_of(n), false);
            }
            for n in bits(block.parked_of(self.vcpu)) {
                active.offer(intid_of(index as usize, n), block.common.presented_priority(n), false);
            }
        }
    }

    /// Takes an interrupt out of its list register. Returns a hint when it is a parked SPI now.
    pub fn evict(&mut self, slot: usize, intid: u32) -> u32 {
        let mut parked = 0;
        if intid < BLOCK {
            self.withdraw_private(intid);
        } else if let Some((block, index, n)) = self.vgic.spi(intid) {
            let mut block = block.lock();
            block.common.withdraw(bit(n));
            if block.common.parked() & bit(n) != 0 {
                parked = bit(index as u32);
            } else {
                self.hint |= bit(index as u32);
            }
        }
        self.release(slot);
        parked
    }

    /// Gives a parked interrupt a list register again; nothing if it has one.
    fn unpark(&mut self, intid: u32) {
        let free = self.ci.free();
        let slot = free.trailing_zeros() as usize;
        if free == 0 {
            return;
        }
        let lr = if intid < BLOCK {
            let block = &mut self.inner.block;
            if block.parked() & bit(intid) == 0 {
                return;
            }
            block.unpark(bit(intid));
            let phys = self.vgic.phys_of_ppi(intid);
            let eoi = block.level_high(bit(intid));
            let sender = self.inner.lr_sender(intid);
            describe(&mut self.inner.block, intid, intid, phys, eoi, sender)
        } else {
            let Some((block, _, n)) = self.vgic.spi(intid) else { return };
            let mut block = block.lock();
            if block.parked_of(self.vcpu) & bit(n) == 0 {
                return;
            }
            block.common.unpark(bit(n));
            let phys = block.phys_of(n).unwrap_or(intid as u16);
            let eoi = block.common.level_high(bit(n));
            describe(&mut block.common, n, intid, phys, eoi, 0)
        };
        self.occupy(slot, intid, &lr);
    }

    /// Gives a waiting interrupt a list register; nothing if it has one. False if it is still without.
    fn load(&mut self, intid: u32) -> bool {
        if intid < BLOCK {
            return self.inner.block.candidates(self.ctlr) & bit(intid) == 0 || self.load_private(intid);
        }
        let Some((block, index, n)) = self.vgic.spi(intid) else { return true };
        let mut block = block.lock();
        if block.candidates_of(self.vcpu, self.ctlr) & bit(n) == 0 {
            return true;
        }
        self.load_spi(index, &mut block, n)
    }

    /// Ends as many parked interrupts as the hardware counted EOIs for.
    #[cold]
    pub fn count_eois(&mut self) {
        let mut left = usize::from(core::mem::take(&mut self.ci.eoi_count)).min(31);
        let hints = self.bank.take_parked();
        self.bank.keep_parked(hints);
        while left != 0 {
            let mut parked = Best::new(MAX_LRS);
            for n in bits(self.inner.block.parked()) {
                parked.offer(n, self.inner.block.presented_priority(n), false);
            }
            for index in bits(hints) {
                let Some(block) = self.vgic.spis.get(index as usize) else { continue };
                let block = block.lock();
                for n in bits(block.parked_of(self.vcpu)) {
                    parked.offer(intid_of(index as usize, n), block.common.presented_priority(n), false);
                }
            }
            if parked.len == 0 {
                return;
            }
            for intid in parked.numbers(left) {
                self.end_parked(intid);
            }
            left = left.saturating_sub(parked.len);
        }
    }

    fn end_parked(&mut self, intid: u32) {
        if intid < BLOCK {
            let lost = self.inner.block.clear_active(bit(intid));
            if lost != 0 {
                self.ci.push_deactivate(self.vgic.phys_of_ppi(intid));
            }
        } else if let Some((block, index, n)) = self.vgic.spi(intid) {
            let mut block = block.lock();
            if block.common.clear_active(bit(n)) != 0 {
                self.ci.push_deactivate(block.phys_of(n).unwrap_or(intid as u16));
            }
            self.hand_on(index, &block, n);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn best_keeps_the_most_urgent_sorted() {
        let mut best = Best::new(3);
        for (intid, priority) in [(40, 0xa0), (41, 0x80), (42, 0xa0), (43, 0x10), (44, 0xf0)] {
            best.offer(intid, priority, false);
        }
        assert_eq!(best.numbers(16).collect::<Vec<_>>(), [43, 41, 40]);
        assert_eq!(best.numbers(2).collect::<Vec<_>>(), [43, 41]);
        assert_eq!(best.offered, 5);
    }

    #[test]
    fn of_equals_the_one_that_has_a_register_keeps_it() {
        let mut best = Best::new(1);
        best.offer(40, 0xa0, false);
        best.offer(50, 0xa0, true);
        assert_eq!(best.numbers(1).collect::<Vec<_>>(), [50]);
    }
}
