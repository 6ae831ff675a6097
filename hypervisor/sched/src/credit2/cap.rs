//! Caps: each capped domain has a budget of run time per period. Overruns are carried over, so
//! that the long-run share is exact; what is not used is lost.
//!
//! Budgets are refilled when looked at. Only when units wait for a refill does a pCPU (the
//! refill pCPU) get a deadline for it.

use super::{Credit2, US};
use crate::list::{List, NIL};
use crate::tables::{Domain, Tables};
use crate::unit::{CAPPED, Place};
use crate::{CpuId, CpuMask, DomainParams, Error};

/// A capped unit is not switched in for less than this; the overrun is carried over.
const SHORTEST: u64 = 100 * US;

/// Budget per period for a cap in percent of one pCPU.
fn quota(cap: u16, period: u64) -> i64 {
    i64::from(cap).saturating_mul((period / 100).cast_signed())
}

/// Adds what the periods that have ended are worth. Unused budget does not pile up.
fn refill_domain(dom: &mut Domain, period: u64, now: u64) {
    let Some(late) = now.checked_sub(dom.period_end) else { return };
    let periods = late.checked_div(period).unwrap_or(0).saturating_add(1);
    dom.period_end = dom.period_end.saturating_add(periods.saturating_mul(period));
    let quota = quota(dom.params.cap, period);
    let gain = quota.saturating_mul(i64::try_from(periods).unwrap_or(i64::MAX));
    dom.budget = dom.budget.saturating_add(gain).min(quota);
}

/// How long a unit of the domain may run before the budget is looked at again: its part, when
/// several run.
pub(super) fn turn_ns(t: &Tables, dom: u16) -> u64 {
    let Some(dom) = t.dom(dom) else { return SHORTEST };
    let budget = dom.budget.max(0).cast_unsigned();
    budget.checked_div(u64::from(dom.running)).unwrap_or(budget).max(SHORTEST)
}

/// Takes a parked unit out of its domain's list.
pub(super) fn unpark(t: &mut Tables, i: u16) {
    let Some(unit) = t.units.get_mut(i) else { return };
    unit.place = Place::Off;
    if let Some(dom) = t.doms.get_mut(usize::from(unit.dom)) {
        dom.parked.remove(&mut t.units, i);
    }
}

impl Credit2 {
    /// May the domain's units run?
    pub(super) fn has_budget(&self, t: &mut Tables, dom: u16, now: u64) -> bool {
        let Some(dom) = t.dom_mut(dom) else { return false };
        refill_domain(dom, self.cap_period, now);
        dom.budget > 0
    }

    /// Puts a unit that is in no list into its domain's list of units that wait for a refill.
    pub(super) fn park(&mut self, t: &mut Tables, i: u16) {
        let Some(unit) = t.units.get_mut(i) else { return };
        unit.place = Place::Parked;
        let dom = unit.dom;
        if let Some(dom) = t.doms.get_mut(usize::from(dom)) {
            dom.parked.push_back(&mut t.units, i);
        }
        self.throttle(t, dom);
    }

    /// Asks for a refill of the domain at the end of its period.
    pub(super) fn throttle(&mut self, t: &mut Tables, dom: u16) {
        if let Some(dom) = t.dom_mut(dom) {
            dom.throttled = true;
            self.next_refill = self.next_refill.min(dom.period_end);
        }
    }

    /// A refill is due earlier than any pCPU will come by: names one to kick, the refill pCPU or
    /// else the one that unit `i` ran on.
    pub(super) fn arm_refill(&mut self, t: &Tables, i: u16) -> Option<CpuId> {
        if self.next_refill >= self.refill_by {
            return None;
        }
        let last = t.units.get(i).map(|unit| unit.cpu).filter(|cpu| t.cpus.contains(*cpu));
        let cpu = self.refill_cpu.or(last).or_else(|| t.cpus.first())?;
        self.refill_cpu = Some(cpu);
        self.refill_by = self.next_refill;
        Some(cpu)
    }

    /// When `cpu`, which is deciding, must come back for a refill.
    pub(super) fn refill_deadline(&mut self, t: &Tables, cpu: CpuId) -> u64 {
        let mine = self.refill_cpu == Some(cpu) || self.next_refill < self.refill_by;
        if self.next_refill == u64::MAX || !mine || !t.cpus.contains(cpu) {
            return u64::MAX;
        }
        self.refill_cpu = Some(cpu);
        self.refill_by = self.next_refill;
        self.next_refill
    }

    /// Refills the throttled domains whose period has ended and releases their units.
    pub(super) fn refill(&mut self, t: &mut Tables, now: u64) -> CpuMask {
        let mut kick = CpuMask::EMPTY;
        for i in (0..NIL).take(t.doms.len()) {
            let Some(dom) = t.dom_mut(i) else { break };
            if !dom.throttled || dom.period_end > now {
                continue;
            }
            refill_domain(dom, self.cap_period, now);
            if dom.budget > 0 {
                dom.throttled = false;
                let parked = core::mem::replace(&mut dom.parked, List::EMPTY);
                kick = kick.or(self.release(t, parked, now));
            }
        }
        self.plan_refill(t);
        kick
    }

    /// Queues units that were parked.
    fn release(&mut self, t: &mut Tables, mut parked: List, now: u64) -> CpuMask {
        let mut kick = CpuMask::EMPTY;
        while let Some(i) = parked.pop_front(&mut t.units) {
            let Some(unit) = t.units.get_mut(i) else { break };
            self.admit(unit);
            unit.place = Place::Queued;
            self.enqueue(t, i);
            kick = kick.or(self.find_cpu(t, i, now, true).into());
        }
        kick
    }

    /// Recomputes the next refill.
    fn plan_refill(&mut self, t: &Tables) {
        let ends = t.doms.iter().filter(|dom| dom.throttled).map(|dom| dom.period_end);
        self.next_refill = ends.min().unwrap_or(u64::MAX);
        if self.next_refill == u64::MAX {
            self.refill_cpu = None;
            self.refill_by = u64::MAX;
        }
    }

    /// Applies new parameters to a domain, all or nothing. As in Xen a weight of 0 leaves the
    /// weight alone, a cap of 0 lifts the cap, and a cap above what the domain's vCPUs could use
    /// is refused.
    pub(crate) fn set_params(
        &mut self,
        t: &mut Tables,
        dom_index: u16,
        params: DomainParams,
        now: u64,
    ) -> Result<CpuMask, Error> {
        let dom = t.dom(dom_index).ok_or(Error::NotFound)?;
        if u32::from(params.cap) > dom.units.saturating_mul(100) {
            return Err(Error::Invalid);
        }
        // Charges running units under the old parameters.
        self.reweigh(t, now);
        let dom = t.dom_mut(dom_index).ok_or(Error::NotFound)?;
        let old = dom.params;
        if params.weight != 0 {
            dom.params.weight = params.weight;
        }
        dom.params.cap = params.cap;
        let mut parked = List::EMPTY;
        if params.cap != old.cap {
            // A fresh period; an overrun is kept, unless there was no cap.
            let debt = if old.cap == 0 { 0 } else { dom.budget.min(0) };
            dom.budget = quota(params.cap, self.cap_period).saturating_add(debt);
            dom.period_end = now.saturating_add(self.cap_period);
            dom.throttled = false;
            parked = core::mem::replace(&mut dom.parked, List::EMPTY);
        }
        if dom.params.weight != old.weight {
            self.reweigh(t, now);
        }
        let mut kick = CpuMask::EMPTY;
        if params.cap != old.cap {
            let mut running = 0_u32;
            for (_, unit) in t.units.iter_mut().filter(|(_, unit)| unit.dom == dom_index) {
                unit.set(CAPPED, params.cap != 0);
                if unit.place == Place::Running {
                    running = running.saturating_add(1);
                    // It must look at its budget and set a timer for it.
                    kick.insert(unit.cpu);
                }
            }
            if let Some(dom) = t.dom_mut(dom_index) {
                dom.running = running;
            }
            kick = kick.or(self.release(t, parked, now));
            self.plan_refill(t);
        }
        Ok(kick)
    }
}
