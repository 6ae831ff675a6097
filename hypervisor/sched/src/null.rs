//! The null scheduler: each vCPU owns a pCPU; those that find none free wait in line.
//!
//! A vCPU takes a pCPU when it first wakes and keeps it, blocked or not, until it goes offline,
//! is removed, or its affinity or the pool changes. No timers, no accounting beyond run time.

use crate::list::{List, NIL};
use crate::tables::Tables;
use crate::unit::{Place, RUNNABLE};
use crate::{CpuId, CpuMask, Decision};

pub(crate) struct Null {
    /// Runnable units without a pCPU, first come first served.
    pub waiting: List,
    /// pCPUs of the pool that no unit owns.
    pub free: CpuMask,
}

impl Null {
    pub const fn new() -> Self {
        Self { waiting: List::EMPTY, free: CpuMask::EMPTY }
    }

    /// A unit that is `Off` became runnable.
    #[inline]
    pub fn ready(&mut self, t: &mut Tables, i: u16) -> Option<CpuId> {
        let unit = t.units.get(i)?;
        match unit.home {
            Some(home) => Some(home),
            None => self.settle(t, i),
        }
    }

    /// Gives the unit a free pCPU, or puts it in line.
    fn settle(&mut self, t: &mut Tables, i: u16) -> Option<CpuId> {
        let unit = t.units.get_mut(i)?;
        let near = self.free.and(unit.soft);
        let cpu = if near.contains(unit.cpu) {
            Some(unit.cpu)
        } else {
            near.first().or_else(|| self.free.and(unit.hard).first())
        };
        match cpu {
            Some(cpu) => self.own(t, cpu, i),
            None => {
                unit.place = Place::Queued;
                self.waiting.push_back(&mut t.units, i);
            }
        }
        cpu
    }

    fn own(&mut self, t: &mut Tables, cpu: CpuId, i: u16) {
        self.free.remove(cpu);
        if let Some(unit) = t.units.get_mut(i) {
            unit.home = Some(cpu);
            unit.place = Place::Off;
        }
        if let Some(state) = t.state_mut(cpu) {
            state.owner = i;
        }
    }

    /// Takes the unit's pCPU away, or takes it out of the line. Returns the pCPU.
    pub fn evict(&mut self, t: &mut Tables, i: u16) -> Option<CpuId> {
        let unit = t.units.get_mut(i)?;
        if unit.place == Place::Queued {
            unit.place = Place::Off;
            self.waiting.remove(&mut t.units, i);
            return None;
        }
        let home = unit.home.take()?;
        if let Some(state) = t.state_mut(home) {
            state.owner = NIL;
        }
        if t.cpus.contains(home) {
            self.free.insert(home);
        }
        Some(home)
    }

    /// The unit is no longer runnable.
    pub fn sleep(&mut self, t: &mut Tables, i: u16) {
        if let Some(unit) = t.units.get_mut(i)
            && unit.place == Place::Queued
        {
            unit.place = Place::Off;
            self.waiting.remove(&mut t.units, i);
        }
    }

    #[inline]
    pub fn schedule(&mut self, t: &mut Tables, cpu: CpuId, now: u64) -> Decision {
        t.charge_runtime(cpu, now);
        let Some(state) = t.state_mut(cpu) else { return t.unchanged(cpu) };
        if state.leaving != NIL {
            state.again = true;
            return t.unchanged(cpu);
        }
        let mut owner = state.owner;
        if owner == NIL && self.free.contains(cpu) {
            owner = self.adopt(t, cpu);
        }
        // The owner is off every pCPU, or on this one: a unit gets a new pCPU only when `Off`.
        let ready = t.units.get(owner).is_some_and(|unit| unit.has(RUNNABLE));
        let next = if ready { owner } else { NIL };
        let switch = t.switch(cpu, next, now);
        t.decision(next, switch, None, CpuMask::EMPTY)
    }

    /// Gives a free pCPU to the first in line that prefers it, else to the first that may use it.
    /// Looks at each waiting unit once.
    fn adopt(&mut self, t: &mut Tables, cpu: CpuId) -> u16 {
        let mut found = NIL;
        let mut i = self.waiting.head;
        while let Some(unit) = t.units.get(i) {
            if unit.soft.contains(cpu) {
                found = i;
                break;
            }
            if found == NIL && unit.hard.contains(cpu) {
                found = i;
            }
            i = unit.next;
        }
        if found != NIL {
            self.waiting.remove(&mut t.units, found);
            self.own(t, cpu, found);
        }
        found
    }

    /// Affinities or the pool changed: units whose pCPU is not allowed any more look for
    /// another, and waiting units for a first one. Bounded by the number of units.
    pub fn rearrange(&mut self, t: &mut Tables) -> CpuMask {
        let mut kick = CpuMask::EMPTY;
        for i in 0..t.units.bound() {
            let Some(unit) = t.units.get(i) else { break };
            if unit.name.is_none() {
                continue;
            }
            let misplaced = unit.home.is_some_and(|home| !unit.hard.contains(home));
            if misplaced {
                kick = kick.or(self.evict(t, i).into());
                kick = kick.or(self.resettle(t, i).into());
            }
        }
        // Who waits may find a pCPU that another just gave up. Each is looked at once.
        let mut i = self.waiting.head;
        while let Some(unit) = t.units.get(i) {
            let (next, hard) = (unit.next, unit.hard);
            if self.free.intersects(hard) {
                self.waiting.remove(&mut t.units, i);
                kick = kick.or(self.settle(t, i).into());
            }
            i = next;
        }
        kick
    }

    /// Finds a new pCPU for a unit that lost its own. One that is still on a pCPU is settled
    /// when its context is saved; one that is blocked, when it wakes.
    fn resettle(&mut self, t: &mut Tables, i: u16) -> Option<CpuId> {
        let unit = t.units.get(i)?;
        if unit.has(RUNNABLE) && unit.place == Place::Off { self.settle(t, i) } else { None }
    }

    /// The pCPU left the pool.
    pub fn remove_cpu(&mut self, t: &mut Tables, cpu: CpuId) -> CpuMask {
        self.free.remove(cpu);
        let owner = t.state_mut(cpu).map_or(NIL, |state| core::mem::replace(&mut state.owner, NIL));
        if let Some(unit) = t.units.get_mut(owner) {
            unit.home = None;
        }
        let mut kick = CpuMask::from(self.resettle(t, owner));
        kick = kick.or(self.rearrange(t));
        kick
    }
}

#[cfg(test)]
mod tests;
