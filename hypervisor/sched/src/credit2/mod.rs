//! Credit2: shares by weight, caps, soft and hard affinity, one run queue for the pool's pCPUs.
//!
//! Own design on the published idea. A unit's *virtual time* advances while it runs, the faster
//! the lower its weight; the heaviest domain's units advance 1 ns per ns. The run queue orders
//! waiting units by virtual time. `base` follows the lowest virtual time of those that run or
//! wait, and a unit's credit is `CREDIT_INIT` less its lead over `base`: moving `base` is the
//! credit reset, in O(1) for all units (see `credit.rs`).
//!
//! Costs: `wake` and `sleep` are O(1) when a pCPU near the unit is idle and the queue is short;
//! else `wake` looks at each pCPU the unit may use, and queueing walks from the nearer end of the
//! queue, so neither exceeds the number of pCPUs plus that of waiting units. `schedule` is O(1)
//! when nothing waits, else it stops at the first waiting unit that cannot win; units that may
//! not use this pCPU are stepped over. A reset is O(pCPUs), O(pCPUs + waiting units) when
//! affinities split the pool; it follows `CREDIT_INIT` of virtual time used (for a very
//! light unit that may be each turn). A cap refill is O(domains + units that it releases), once per period.

mod cap;
mod credit;
mod place;

use crate::list::{List, NIL};
use crate::tables::{LIMIT_ALONE, Tables};
use crate::unit::{CAPPED, Place, RUNNABLE, Unit, YIELDED};
use crate::{CpuId, CpuMask, Decision, Error, UnitId, UnitKey};

const US: u64 = 1_000;
const MS: u64 = 1_000_000;

/// `XEN_SYSCTL_SCHED_RATELIMIT_MIN` and `_MAX`, us.
const RATELIMIT_US: core::ops::RangeInclusive<u32> = 100..=500_000;
/// Xen's default rate limit.
const RATELIMIT_DEFAULT: u64 = 1_000 * US;
/// Xen's default length of the caps' period.
const CAP_PERIOD_DEFAULT: u64 = 10 * MS;

/// How far a unit may get ahead of the next one before they change places, virtual ns.
const QUANTUM: i64 = MS as i64;
/// Turns are not planned shorter than this (a blocking unit ends its own) ...
const MIN_TURN: u64 = 500 * US;
/// ... nor longer than this while others wait.
const MAX_TURN: u64 = 10 * MS;
/// Lead that a unit needs to be worth moving from another pCPU.
const MOVE_PENALTY: i64 = 500 * US as i64;
/// Lead that a unit needs to be worth running outside its soft affinity.
const SOFT_PENALTY: i64 = 2 * MS as i64;

pub(crate) struct Credit2 {
    /// Waiting units, lowest virtual time first.
    pub queue: List,
    /// Virtual time that credits are counted from.
    base: u64,
    /// pCPUs that idle and have not been kicked since.
    idle: CpuMask,
    /// pCPUs whose unit is outside its soft affinity.
    adrift: CpuMask,
    /// A unit is not pre-empted earlier than this after its switch-in, ns.
    ratelimit: u64,
    /// How often a domain with a cap gets its budget anew, ns.
    cap_period: u64,
    /// When the first throttled domain is refilled; `u64::MAX` when none waits.
    next_refill: u64,
    /// The pCPU that sees to it, and by when it will call `schedule`.
    refill_cpu: Option<CpuId>,
    refill_by: u64,
    /// Highest weight of the pool's domains.
    pub max_weight: u16,
}

impl Credit2 {
    pub const fn new() -> Self {
        Self {
            queue: List::EMPTY,
            base: 0,
            idle: CpuMask::EMPTY,
            adrift: CpuMask::EMPTY,
            ratelimit: RATELIMIT_DEFAULT,
            cap_period: CAP_PERIOD_DEFAULT,
            next_refill: u64::MAX,
            refill_cpu: None,
            refill_by: u64::MAX,
            max_weight: 1,
        }
    }

    pub const fn ratelimit_us(&self) -> u32 {
        // Set from a u32 count of microseconds.
        (self.ratelimit / US) as u32
    }

    pub fn set_ratelimit_us(&mut self, us: u32) -> Result<(), Error> {
        if us != 0 && !RATELIMIT_US.contains(&us) {
            return Err(Error::Invalid);
        }
        self.ratelimit = u64::from(us).saturating_mul(US);
        Ok(())
    }

    pub fn set_cap_period_ms(&mut self, ms: u32) -> Result<(), Error> {
        if ms == 0 {
            return Err(Error::Invalid);
        }
        self.cap_period = u64::from(ms).saturating_mul(MS);
        Ok(())
    }

    /// A unit that is `Off` became runnable. When its last pCPU idles and nobody else waits, it is
    /// queued for that one; else the answer is `None` and `ready` must be called.
    #[inline]
    pub fn ready_at_last(&mut self, t: &mut Tables, i: u16) -> Option<CpuId> {
        let unit = t.units.get_mut(i)?;
        let last = unit.cpu;
        let near = self.idle.contains(last) && unit.soft.contains(last);
        if unit.flags & (CAPPED | YIELDED) != 0 || !near || !self.queue.is_empty() {
            return None;
        }
        self.admit(unit);
        unit.place = Place::Queued;
        unit.home = Some(last);
        // A unit outside lists has clear links.
        self.queue = List { head: i, tail: i };
        self.idle.remove(last);
        Some(last)
    }

    /// A unit that is `Off` became runnable: queue it and find a pCPU for it.
    pub fn ready(&mut self, t: &mut Tables, i: u16, now: u64) -> Option<CpuId> {
        let unit = t.units.get_mut(i)?;
        let (dom, capped, yielded) = (unit.dom, unit.has(CAPPED), unit.has(YIELDED));
        unit.set(YIELDED, false);
        self.admit(unit);
        if capped && !self.has_budget(t, dom, now) {
            self.park(t, i);
            return self.arm_refill(t, i);
        }
        if let Some(unit) = t.units.get_mut(i) {
            unit.place = Place::Queued;
        }
        self.enqueue(t, i);
        // Who yields lets others finish their turns.
        self.find_cpu(t, i, now, !yielded)
    }

    /// The unit is no longer runnable: it leaves the list it waits in.
    #[inline]
    pub fn sleep(&mut self, t: &mut Tables, i: u16) {
        let Some(unit) = t.units.get_mut(i) else { return };
        match unit.place {
            Place::Queued => {
                unit.place = Place::Off;
                self.queue.remove(&mut t.units, i);
            }
            Place::Parked => cap::unpark(t, i),
            Place::Off | Place::Running | Place::Leaving => {}
        }
    }

    /// Is there anyone to yield to?
    #[inline]
    pub fn yield_now(&mut self, t: &mut Tables, cpu: CpuId) -> bool {
        if self.queue.is_empty() {
            return false;
        }
        let Some(curr) = t.state(cpu).map(|state| state.curr) else { return false };
        let Some(unit) = t.units.get_mut(curr) else { return false };
        unit.set(YIELDED, true);
        true
    }

    /// `schedule` in the common cases, in which there is nothing to weigh. `None` when `schedule`
    /// must be called.
    #[inline]
    pub fn schedule_simply(&mut self, t: &mut Tables, cpu: CpuId, now: u64) -> Option<Decision> {
        let state = t.cpu.get_mut(cpu.index())?;
        if state.leaving != NIL || self.next_refill != u64::MAX {
            return None;
        }
        if self.queue.is_empty() {
            let unit = t.units.get_mut(state.curr)?;
            if unit.flags == RUNNABLE && unit.soft.contains(cpu) {
                // A well placed unit stays, without a timer.
                credit::charge(self.base, state, unit, now);
                state.no_rival();
                return Some(decision(unit.name, false));
            }
            if unit.flags == 0 && self.adrift.is_empty() && t.cpus.contains(cpu) {
                // It blocked; the pCPU idles.
                credit::charge(self.base, state, unit, now);
                state.no_rival();
                state.leaving = core::mem::replace(&mut state.curr, NIL);
                unit.place = Place::Leaving;
                self.idle.insert(cpu);
                return Some(decision(None, true));
            }
        } else if state.curr == NIL && self.queue.head == self.queue.tail {
            let unit = t.units.get_mut(self.queue.head)?;
            let lead = credit::lead(self.base, unit);
            if unit.flags == RUNNABLE && unit.soft.contains(cpu) && lead < credit::CREDIT_INIT {
                // The pCPU idled and one unit waits, which is well placed here and has credit.
                let idle = state.elapsed(now);
                state.idle_ns = state.idle_ns.wrapping_add(idle);
                state.no_rival();
                state.curr = self.queue.head;
                state.started = now;
                unit.place = Place::Running;
                unit.cpu = cpu;
                self.queue = List::EMPTY;
                self.idle.remove(cpu);
                return Some(decision(unit.name, true));
            }
        }
        None
    }

    /// `schedule` in every case.
    pub fn schedule(&mut self, t: &mut Tables, cpu: CpuId, now: u64) -> Decision {
        let Some(state) = t.state_mut(cpu) else { return t.unchanged(cpu) };
        if state.leaving != NIL {
            state.again = true;
            return t.unchanged(cpu);
        }
        self.decide(t, cpu, now)
    }

    /// Weighs the current unit against those that wait.
    fn decide(&mut self, t: &mut Tables, cpu: CpuId, now: u64) -> Decision {
        let mut kick = CpuMask::EMPTY;
        self.charge_cpu(t, cpu, now);
        if now >= self.next_refill {
            kick = self.refill(t, now);
        }
        let Some(state) = t.state_mut(cpu) else { return t.unchanged(cpu) };
        state.kicked = false;
        let (prev, started) = (state.curr, state.started);

        // May the current unit go on, and must it?
        let mut stays = false;
        let mut holds = false;
        let mut homeward = false;
        let mut best = NIL;
        let mut best_rank = i64::MAX;
        if let Some(unit) = t.units.get_mut(prev) {
            stays = unit.has(RUNNABLE) && unit.hard.contains(cpu);
            let (dom, capped, yielded) = (unit.dom, unit.has(CAPPED), unit.has(YIELDED));
            homeward = stays && !unit.soft.contains(cpu) && self.idle.intersects(unit.soft);
            let rank = self.lead(unit);
            if stays && capped && !self.has_budget(t, dom, now) {
                stays = false;
                self.throttle(t, dom);
            }
            holds = stays && !yielded && now.saturating_sub(started) < self.ratelimit;
            if stays && (holds || !homeward) {
                best = prev;
                best_rank = if yielded { i64::MAX } else { rank };
            }
        }
        if !holds {
            best = self.pick(t, cpu, best, best_rank, now);
        }

        if best != prev {
            if best != NIL {
                self.queue.remove(&mut t.units, best);
            }
        } else if let Some(unit) = t.units.get_mut(best) {
            unit.set(YIELDED, false);
        }
        let switch = t.switch(cpu, best, now);
        self.reset_if_spent(t, cpu, best, now);

        let rival = self.first_rival(t, cpu, if switch && stays { prev } else { NIL });
        let mut deadline = u64::MAX;
        if let Some(unit) = t.units.get(best) {
            let hold_end = if switch { now } else { started }.saturating_add(self.ratelimit);
            if let Some(rival) = rival {
                let shortest = if holds { 0 } else { MIN_TURN };
                let turn = turn_ns(unit, rival).max(shortest);
                deadline = now.saturating_add(turn).max(hold_end);
            } else if holds && homeward {
                deadline = hold_end;
            }
            if unit.has(CAPPED) {
                deadline = deadline.min(now.saturating_add(cap::turn_ns(t, unit.dom)));
            }
            let drifts = !unit.soft.contains(cpu);
            self.idle.remove(cpu);
            if drifts {
                self.adrift.insert(cpu);
            } else {
                self.adrift.remove(cpu);
            }
        } else {
            self.adrift.remove(cpu);
            if t.cpus.contains(cpu) {
                self.idle.insert(cpu);
                kick = kick.or(self.call_home(t, cpu).into());
            }
        }
        if prev == NIL && best != NIL && !self.queue.is_empty() {
            kick = kick.or(self.redirect(t, cpu, now));
        }
        deadline = deadline.min(self.refill_deadline(t, cpu));
        if let Some(state) = t.state_mut(cpu) {
            state.limit = if rival.is_none() { LIMIT_ALONE } else { credit::LIMIT };
            state.deadline = deadline;
        }
        // What was refilled may have been meant for this pCPU, which has just decided.
        kick.remove(cpu);
        t.decision(best, switch, (deadline != u64::MAX).then_some(deadline), kick)
    }

    /// The waiting unit that should run on `cpu` instead of `best` (lead `best_rank`), if any.
    /// Stops where no later unit can win. Units whose domain is used up are parked on the way.
    fn pick(&mut self, t: &mut Tables, cpu: CpuId, best: u16, rank: i64, now: u64) -> u16 {
        let (mut best, mut best_rank) = (best, rank);
        let mut i = self.queue.head;
        while let Some(unit) = t.units.get(i) {
            let lead = self.lead(unit);
            if lead >= best_rank {
                break;
            }
            let next = unit.next;
            if unit.hard.contains(cpu) {
                let rank = lead.saturating_add(penalty(unit, cpu));
                if unit.has(CAPPED) && !self.has_budget(t, unit.dom, now) {
                    self.queue.remove(&mut t.units, i);
                    self.park(t, i);
                } else if rank < best_rank {
                    best = i;
                    best_rank = rank;
                }
            }
            i = next;
        }
        best
    }

    /// Virtual time of the first other unit that wants this pCPU; `leaver` is about to queue.
    fn first_rival(&self, t: &Tables, cpu: CpuId, leaver: u16) -> Option<u64> {
        let mut first = t.units.get(leaver).map(|unit| unit.vtime);
        let mut i = self.queue.head;
        while let Some(unit) = t.units.get(i) {
            if unit.hard.contains(cpu) {
                if first.is_none_or(|first| credit::is_before(unit.vtime, first)) {
                    first = Some(unit.vtime);
                }
                break;
            }
            i = unit.next;
        }
        first
    }
}

/// A decision without a timer and without kicks.
#[inline]
const fn decision(next: Option<(UnitId, UnitKey)>, switch: bool) -> Decision {
    Decision { next, deadline: None, switch, kick: CpuMask::EMPTY }
}

/// Handicap of a unit on a pCPU: it is warm elsewhere, or prefers others.
#[inline]
fn penalty(unit: &Unit, cpu: CpuId) -> i64 {
    let moved = if unit.cpu == cpu { 0 } else { MOVE_PENALTY };
    let astray = if unit.soft.contains(cpu) { 0 } else { SOFT_PENALTY };
    moved.saturating_add(astray)
}

/// How long the unit may run before it is `QUANTUM` past its rival, at most `MAX_TURN`.
fn turn_ns(unit: &Unit, rival: u64) -> u64 {
    let lead = (rival.wrapping_sub(unit.vtime) as i64).saturating_add(QUANTUM);
    let lead = lead.clamp(0, i64::from(u32::MAX)).cast_unsigned();
    (lead.wrapping_mul(u64::from(unit.inverse)) >> 16).min(MAX_TURN)
}
