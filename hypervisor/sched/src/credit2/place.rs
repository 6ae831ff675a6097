//! Which pCPU to kick for a unit that waits, and pCPUs joining and leaving.

use super::{Credit2, penalty};
use crate::list::NIL;
use crate::tables::{LIMIT_ALONE, Tables};
use crate::unit::{Place, RUNNABLE};
use crate::{CpuId, CpuMask};

impl Credit2 {
    /// Finds a pCPU for a queued unit: an idle one, better inside its soft affinity and better
    /// where it ran last; else the one whose unit is furthest behind this one, if it may be
    /// pre-empted; else one that runs without a timer and must now set one. Looks at each pCPU
    /// that the unit may use once.
    #[inline(never)]
    pub(super) fn find_cpu(&mut self, t: &mut Tables, i: u16, now: u64, preempt: bool) -> Option<CpuId> {
        let unit = t.units.get(i)?;
        let near = self.idle.and(unit.soft);
        let far = self.idle.and(unit.hard);
        let idle = if near.is_empty() { far } else { near };
        let idle = if idle.contains(unit.cpu) { Some(unit.cpu) } else { idle.first() };
        let mine = self.lead(unit);
        if let Some(unit) = t.units.get_mut(i) {
            unit.home = idle;
        }
        if let Some(cpu) = idle {
            self.idle.remove(cpu);
            return Some(cpu);
        }
        let unit = t.units.get(i)?;

        // The best victim that may be pre-empted now, and the best one under the rate limit.
        let mut victim = (0, None);
        let mut limited = (0, None);
        let mut unarmed = None;
        for cpu in unit.hard.iter() {
            let Some(state) = t.state(cpu) else { continue };
            if state.kicked || state.curr == NIL {
                continue;
            }
            let Some(curr) = t.units.get(state.curr) else { continue };
            if !curr.has(RUNNABLE) {
                // It is about to decide anyway, and will find this unit in the queue.
                t.state_mut(cpu)?.kicked = true;
                return None;
            }
            let margin = penalty(unit, cpu);
            let gain = self.lead_now(state, curr, now).saturating_sub(mine).saturating_sub(margin);
            let hold_end = state.started.saturating_add(self.ratelimit);
            let best = if now < hold_end { &mut limited } else { &mut victim };
            if gain > best.0 {
                *best = (gain, Some((cpu, hold_end.max(now), state.deadline)));
            }
            if state.limit == LIMIT_ALONE {
                unarmed = Some(cpu);
            }
        }
        let chosen = match (victim.1.or(limited.1), unarmed) {
            (Some((cpu, when, deadline)), unarmed) if preempt => {
                // No kick when its timer brings it in time.
                if deadline > when { Some(cpu) } else { unarmed }
            }
            (_, unarmed) => unarmed,
        }?;
        t.state_mut(chosen)?.kicked = true;
        Some(chosen)
    }

    /// `cpu` was idle and has now chosen one unit: others that it was kicked for as well look for
    /// another pCPU. Looks at each waiting unit once.
    pub(super) fn redirect(&mut self, t: &mut Tables, cpu: CpuId, now: u64) -> CpuMask {
        let mut kick = CpuMask::EMPTY;
        let mut i = self.queue.head;
        while let Some(unit) = t.units.get(i) {
            let next = unit.next;
            if unit.home == Some(cpu) {
                kick = kick.or(self.find_cpu(t, i, now, true).into());
            }
            i = next;
        }
        kick
    }

    /// `cpu` has nothing to do: is there a unit that runs elsewhere but would rather be here?
    pub(super) fn call_home(&self, t: &mut Tables, cpu: CpuId) -> Option<CpuId> {
        let wants_it = |other: CpuId| {
            let state = t.state(other)?;
            let unit = t.units.get(state.curr)?;
            (!state.kicked && unit.has(RUNNABLE) && unit.soft.contains(cpu)).then_some(other)
        };
        let other = self.adrift.iter().find_map(wants_it)?;
        t.state_mut(other)?.kicked = true;
        Some(other)
    }

    /// Looks for a pCPU for every waiting unit again, after affinities or the pool changed.
    pub(crate) fn kick_for_waiting(&mut self, t: &mut Tables, now: u64) -> CpuMask {
        let mut kick = CpuMask::EMPTY;
        let mut i = self.queue.head;
        while let Some(unit) = t.units.get(i) {
            let next = unit.next;
            kick = kick.or(self.find_cpu(t, i, now, true).into());
            i = next;
        }
        kick
    }

    /// A unit's affinity changed.
    pub(crate) fn affinity_changed(&mut self, t: &mut Tables, i: u16, now: u64) -> Option<CpuId> {
        let unit = t.units.get(i)?;
        match unit.place {
            Place::Queued => self.find_cpu(t, i, now, true),
            Place::Running => {
                let (cpu, soft) = (unit.cpu, unit.soft);
                if soft.contains(cpu) {
                    self.adrift.remove(cpu);
                    return None;
                }
                self.adrift.insert(cpu);
                (!unit.hard.contains(cpu) || self.idle.intersects(soft)).then_some(cpu)
            }
            Place::Off | Place::Parked | Place::Leaving => None,
        }
    }

    /// A pCPU joined the pool; it must be kicked.
    pub(crate) fn add_cpu(&mut self, cpu: CpuId) {
        self.idle.remove(cpu);
    }

    /// A pCPU left the pool.
    pub(crate) fn remove_cpu(&mut self, t: &mut Tables, cpu: CpuId, now: u64) -> CpuMask {
        self.idle.remove(cpu);
        self.adrift.remove(cpu);
        let mut kick = self.kick_for_waiting(t, now);
        if self.refill_cpu == Some(cpu) {
            self.refill_cpu = None;
            self.refill_by = u64::MAX;
            kick = kick.or(self.arm_refill(t, NIL).into());
        }
        kick
    }
}
