//! Virtual time: charging, queue order, credit reset, weights.
//!
//! Virtual times are compared by wrapping difference. That is sound because those of units that
//! run or wait stay within [`DEBT_MAX`] or so above `base`, and `admit` brings a sleeper back
//! into that range whatever became of it meanwhile.

use super::Credit2;
use crate::CpuId;
use crate::list::{List, NIL};
use crate::tables::{CpuState, LIMIT_ALONE, Tables};
use crate::unit::{CAPPED, RUNNABLE, Unit};

/// Credit that a reset leads up to: the largest head start of a unit over the others, virtual ns.
pub(super) const CREDIT_INIT: i64 = LIMIT_ALONE as i64;
/// Furthest that a unit falls behind, virtual ns. It bounds how long a light unit waits for heavy
/// ones, and it limits how exactly weights further apart than 1:1000 are kept.
const DEBT_MAX: i64 = 1_000_000_000;

/// Does virtual time `a` come before `b`?
#[inline]
pub(super) const fn is_before(a: u64, b: u64) -> bool {
    (a.wrapping_sub(b) as i64) < 0
}

/// `CpuState::limit` where others wait.
pub(super) const LIMIT: u32 = DEBT_MAX as u32;

/// How far the unit is ahead of `base`.
#[inline]
pub(super) const fn lead(base: u64, unit: &Unit) -> i64 {
    unit.vtime.wrapping_sub(base) as i64
}

/// Charges the current unit for its time since the last charge.
#[inline]
pub(super) fn charge(base: u64, state: &mut CpuState, unit: &mut Unit, now: u64) {
    let ran = state.elapsed(now);
    unit.runtime = unit.runtime.wrapping_add(ran);
    unit.vtime = charged(base, state.limit, unit, ran);
}

/// The unit's virtual time after `ran` ns more.
#[inline]
fn charged(base: u64, limit: u32, unit: &Unit, ran: u64) -> u64 {
    // Both factors fit 32 bits, so the product fits 64. Longer runs exceed `DEBT_MAX` anyway.
    let burn = ran.min(u64::from(u32::MAX)).wrapping_mul(u64::from(unit.rate)) >> 16;
    // It may have fallen behind `base` while it ran, which lapses; see `reset_if_spent`.
    let lead = lead(base, unit).max(0).cast_unsigned();
    // `admit` keeps `lead` far from the top.
    base.wrapping_add(lead.wrapping_add(burn).min(u64::from(limit).max(lead)))
}

/// Fixed-point rates of a domain: virtual per real ns, and the inverse.
fn rates(weight: u16, max_weight: u16) -> (u32, u32) {
    let (weight, max) = (u32::from(weight.max(1)), u32::from(max_weight.max(1)));
    let ratio = |a: u32, b: u32| (a << 16).checked_div(b).unwrap_or(1 << 16);
    (ratio(max, weight).max(1 << 16), ratio(weight, max).min(1 << 16))
}

impl Credit2 {
    /// How far the unit is ahead of `base`; its credit is `CREDIT_INIT` less this.
    #[inline]
    pub(super) const fn lead(&self, unit: &Unit) -> i64 {
        lead(self.base, unit)
    }

    /// The unit's credit for display.
    pub(crate) const fn credit(&self, unit: &Unit) -> i64 {
        CREDIT_INIT.saturating_sub(self.lead(unit))
    }

    /// Before queueing: sleeping earns at most full credit, and debt is limited.
    #[inline]
    pub(super) fn admit(&self, unit: &mut Unit) {
        let lead = self.lead(unit);
        if !(0..=DEBT_MAX).contains(&lead) {
            unit.vtime = self.base.wrapping_add(lead.clamp(0, DEBT_MAX).cast_unsigned());
        }
    }

    /// Charges whatever runs on the pCPU, its domain's cap included.
    pub(super) fn charge_cpu(&self, t: &mut Tables, cpu: CpuId, now: u64) {
        let Some(state) = t.cpu.get_mut(cpu.index()) else { return };
        let Some(unit) = t.units.get_mut(state.curr) else {
            let idle = state.elapsed(now);
            state.idle_ns = state.idle_ns.wrapping_add(idle);
            return;
        };
        let before = unit.runtime;
        charge(self.base, state, unit, now);
        if unit.has(CAPPED)
            && let Some(dom) = t.doms.get_mut(usize::from(unit.dom))
        {
            let ran = i64::try_from(unit.runtime.saturating_sub(before)).unwrap_or(i64::MAX);
            dom.budget = dom.budget.saturating_sub(ran);
        }
    }

    /// The lead of a pCPU's current unit as of `now`, not charged yet.
    pub(super) fn lead_now(&self, state: &CpuState, unit: &Unit, now: u64) -> i64 {
        let ran = now.saturating_sub(state.charged);
        charged(self.base, state.limit, unit, ran).wrapping_sub(self.base) as i64
    }

    /// Queues a unit behind those with the same virtual time. Walks from the nearer end.
    pub(super) fn enqueue(&mut self, t: &mut Tables, i: u16) {
        let at = self.slot_for(t, i);
        self.queue.insert_before(&mut t.units, at, i);
    }

    /// The unit to queue `i` before; `NIL` for the end.
    fn slot_for(&self, t: &Tables, i: u16) -> u16 {
        let vtime = |i: u16| t.units.get(i).map_or(self.base, |unit| unit.vtime);
        let mine = vtime(i);
        let from_head = mine.wrapping_sub(vtime(self.queue.head)) as i64;
        let from_tail = vtime(self.queue.tail).wrapping_sub(mine) as i64;
        if from_tail <= from_head {
            let mut at = NIL;
            let mut before = self.queue.tail;
            while let Some(unit) = t.units.get(before)
                && is_before(mine, unit.vtime)
            {
                at = before;
                before = unit.prev;
            }
            at
        } else {
            let mut at = self.queue.head;
            while let Some(unit) = t.units.get(at)
                && !is_before(mine, unit.vtime)
            {
                at = unit.next;
            }
            at
        }
    }

    /// Credit reset, when the unit chosen for `cpu` has no credit left.
    ///
    /// `base` moves up to the lowest virtual time of all that wait or run. One that runs holds it
    /// back by `CREDIT_INIT` at most: it has all that it can use, and what it may claim beyond
    /// that lapses (a weight above the worth of one pCPU, else, would put the rest into ever
    /// deeper debt). When everyone who waits for this pCPU is still far ahead of `base`, others
    /// lag because affinity keeps them from it; then those who may use it are moved back
    /// together. That keeps the order and the distances among them, so their shares stay right.
    pub(super) fn reset_if_spent(&mut self, t: &mut Tables, cpu: CpuId, chosen: u16, now: u64) {
        let Some(lead) = t.units.get(chosen).map(|unit| self.lead(unit)) else { return };
        if lead < CREDIT_INIT {
            return;
        }
        // The lowest lead of those that run elsewhere, that wait, and that wait for this pCPU.
        let mut running = i64::MAX;
        let mut waiting = lead;
        let mut here = lead;
        let mut wait = |unit: &Unit, lead: i64| {
            waiting = waiting.min(lead);
            if unit.hard.contains(cpu) {
                here = here.min(lead);
            }
        };
        for other in t.cpus.iter() {
            self.charge_cpu(t, other, now);
            let Some(state) = t.state(other) else { continue };
            if let Some(unit) = t.units.get(state.curr).filter(|unit| unit.has(RUNNABLE))
                && other != cpu
            {
                running = running.min(self.lead(unit));
            }
            if let Some(unit) = t.units.get(state.leaving).filter(|unit| unit.has(RUNNABLE)) {
                wait(unit, self.lead(unit));
            }
        }
        let mut i = self.queue.head;
        while let Some(unit) = t.units.get(i) {
            wait(unit, self.lead(unit));
            if unit.hard.contains(cpu) {
                break;
            }
            i = unit.next;
        }
        let low = waiting.min(running.max(waiting.saturating_sub(CREDIT_INIT))).max(0);
        self.base = self.base.wrapping_add(low.cast_unsigned());
        let excess = here.saturating_sub(low);
        if here.saturating_sub(waiting) >= CREDIT_INIT {
            self.move_back(t, cpu, excess.cast_unsigned());
        }
    }

    /// Takes `by` off the virtual time of every unit that runs or waits and may use `cpu`; those
    /// that wait are at least that far ahead of `base`. Linear: the moved units keep their order,
    /// so two sorted lists merge.
    fn move_back(&mut self, t: &mut Tables, cpu: CpuId, by: u64) {
        for state in &t.cpu {
            for i in [state.curr, state.leaving] {
                if let Some(unit) = t.units.get_mut(i)
                    && unit.hard.contains(cpu)
                {
                    unit.vtime = unit.vtime.wrapping_sub(by);
                }
            }
        }
        let mut moved = List::EMPTY;
        let mut i = self.queue.head;
        while let Some(unit) = t.units.get_mut(i) {
            let next = unit.next;
            if unit.hard.contains(cpu) {
                unit.vtime = unit.vtime.wrapping_sub(by);
                self.queue.remove(&mut t.units, i);
                moved.push_back(&mut t.units, i);
            }
            i = next;
        }
        let mut at = self.queue.head;
        while let Some(i) = moved.pop_front(&mut t.units) {
            let Some(vtime) = t.units.get(i).map(|unit| unit.vtime) else { break };
            while let Some(unit) = t.units.get(at)
                && !is_before(vtime, unit.vtime)
            {
                at = unit.next;
            }
            self.queue.insert_before(&mut t.units, at, i);
        }
    }

    /// Recomputes every unit's rate after a domain or a weight changed. What runs is charged at
    /// the old rate first. Bounded by the pool's domains and units.
    pub(crate) fn reweigh(&mut self, t: &mut Tables, now: u64) {
        for cpu in t.cpus.iter() {
            self.charge_cpu(t, cpu, now);
        }
        let weights = t.doms.iter().filter(|dom| dom.domid.is_some()).map(|dom| dom.params.weight);
        self.max_weight = weights.max().unwrap_or(1);
        let (doms, units) = (&t.doms, &mut t.units);
        for (_, unit) in units.iter_mut() {
            if let Some(dom) = doms.get(usize::from(unit.dom)) {
                (unit.rate, unit.inverse) = rates(dom.params.weight, self.max_weight);
            }
        }
    }

    /// Sets a new unit's rate, and gives it full credit.
    pub(crate) fn init_unit(&self, unit: &mut Unit, weight: u16) {
        unit.vtime = self.base;
        (unit.rate, unit.inverse) = rates(weight, self.max_weight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_exact_to_one_in_65536_at_both_ends() {
        assert_eq!(rates(256, 256), (1 << 16, 1 << 16));
        assert_eq!(rates(1, 65_535), (65_535 << 16, 1));
        assert_eq!(rates(512, 1_024), (2 << 16, 1 << 15));
        assert_eq!(rates(0, 0), (1 << 16, 1 << 16));
    }

    #[test]
    fn sleeper_is_brought_back_into_range_whatever_its_virtual_time() {
        let mut credit2 = Credit2::new();
        credit2.base = 5;
        let mut unit = Unit::new(0, CpuId::new(0).unwrap());
        for (vtime, lead) in [
            (u64::MAX - 100, 0),
            (5, 0),
            (6, 1),
            (5 + DEBT_MAX as u64, DEBT_MAX),
            (6 + DEBT_MAX as u64, DEBT_MAX),
            (1 << 63, DEBT_MAX),
            (1 << 63 | 5, 0),
        ] {
            unit.vtime = vtime;
            credit2.admit(&mut unit);
            assert_eq!(credit2.lead(&unit), lead, "{vtime:#x}");
        }
    }

    #[test]
    fn charge_is_by_rate_and_debt_is_limited() {
        let mut unit = Unit::new(0, CpuId::new(0).unwrap());
        (unit.rate, unit.inverse) = rates(256, 1024);
        assert_eq!(charged(0, LIMIT, &unit, 1_000), 4_000);
        assert_eq!(charged(0, LIMIT, &unit, u64::MAX), DEBT_MAX as u64);
        assert_eq!(charged(0, LIMIT_ALONE, &unit, u64::MAX), CREDIT_INIT as u64);
        // Debt from before is not forgiven.
        unit.vtime = CREDIT_INIT as u64 + 7;
        assert_eq!(charged(0, LIMIT_ALONE, &unit, 1_000), unit.vtime);
        // Behind the base it starts from the base.
        assert_eq!(charged(CREDIT_INIT as u64 + 8, LIMIT, &unit, 1_000), CREDIT_INIT as u64 + 4_008);
    }

    #[test]
    fn virtual_time_order_survives_wrapping() {
        assert!(is_before(u64::MAX, 3));
        assert!(!is_before(3, u64::MAX));
        assert!(!is_before(7, 7));
    }
}
