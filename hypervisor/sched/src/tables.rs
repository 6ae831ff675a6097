//! What every scheduler needs to know: pCPUs, units, domains, and the switch between units.

use alloc::vec::Vec;

use crate::list::{List, NIL};
use crate::unit::{Arena, CAPPED, DOOMED, Place, RUNNABLE, Unit};
use crate::{CpuId, CpuInfo, CpuMask, Decision, DomainParams, Error, UnitId, UnitKey};

/// Credit2: `CpuState::limit` where nobody waits: the credit that a unit starts with, so that it
/// gets no deeper into debt than one reset makes good. 10 ms.
pub(crate) const LIMIT_ALONE: u32 = 10_000_000;

/// A pCPU of the pool, or one that was and may be again. Its size makes finding it a shift.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(crate) struct CpuState {
    /// The unit it runs.
    pub curr: u16,
    /// The unit whose context it is saving.
    pub leaving: u16,
    /// Null: the unit that owns it.
    pub owner: u16,
    /// It was asked to schedule and has not yet.
    pub kicked: bool,
    /// `schedule` was called while `leaving` was set; ask again afterwards.
    pub again: bool,
    /// It left the pool while it held a unit's context, and nobody has heard yet that it is done.
    pub departing: bool,
    /// Credit2: how deep `curr` may get into debt, virtual ns. Lower when no other unit waited
    /// for this pCPU at its last decision.
    pub limit: u32,
    /// Credit2: when it must decide again; `u64::MAX` means when kicked.
    pub deadline: u64,
    /// When `curr` was switched in.
    pub started: u64,
    /// Up to when `curr`, or idleness, has been accounted.
    pub charged: u64,
    /// Idle time up to `charged`.
    pub idle_ns: u64,
}

impl CpuState {
    const fn new(now: u64) -> Self {
        Self {
            curr: NIL,
            leaving: NIL,
            owner: NIL,
            kicked: false,
            again: false,
            departing: false,
            limit: LIMIT_ALONE,
            deadline: u64::MAX,
            started: now,
            charged: now,
            idle_ns: 0,
        }
    }

    /// Time since the last call, which is now accounted. Never negative: pCPUs may take the
    /// lock in another order than they read the clock. All the times it returned add up to less
    /// than 2^64, so sums of them need no overflow check.
    #[inline]
    pub fn elapsed(&mut self, now: u64) -> u64 {
        let ran = now.saturating_sub(self.charged);
        self.charged = self.charged.max(now);
        ran
    }

    /// Credit2: a decision that nothing else waits for.
    #[inline]
    pub const fn no_rival(&mut self) {
        self.kicked = false;
        self.limit = LIMIT_ALONE;
        self.deadline = u64::MAX;
    }

    pub const fn is_quiet(&self) -> bool {
        self.curr == NIL && self.leaving == NIL
    }
}

pub(crate) struct Domain {
    /// `None` in a free slot.
    pub domid: Option<u16>,
    pub params: DomainParams,
    /// How many units it has.
    pub units: u32,
    /// With a cap: how many are current on some pCPU.
    pub running: u32,
    /// With a cap: ns left in this period; negative when overrun.
    pub budget: i64,
    /// With a cap: when the period ends.
    pub period_end: u64,
    /// With a cap: units wait for the end of the period.
    pub throttled: bool,
    pub parked: List,
}

impl Domain {
    const fn new(domid: u16) -> Self {
        Self {
            domid: Some(domid),
            params: DomainParams::DEFAULT,
            units: 0,
            running: 0,
            budget: 0,
            period_end: 0,
            throttled: false,
            parked: List::EMPTY,
        }
    }
}

pub(crate) struct Tables {
    /// pCPUs of the pool.
    pub cpus: CpuMask,
    /// State by pCPU number; covers every pCPU that was ever in the pool.
    pub cpu: Vec<CpuState>,
    pub units: Arena,
    pub doms: Vec<Domain>,
    /// Pinned units, and the hard affinities that they get back. Few at any time.
    pub pins: Vec<(UnitId, CpuMask)>,
}

impl Tables {
    pub const fn new(pool: u16) -> Self {
        Self {
            cpus: CpuMask::EMPTY,
            cpu: Vec::new(),
            units: Arena::new(pool),
            doms: Vec::new(),
            pins: Vec::new(),
        }
    }

    /// The hard affinity that a pinned unit gets back.
    pub fn pin_of(&self, unit: UnitId) -> Option<CpuMask> {
        self.pins.iter().find(|(pinned, _)| *pinned == unit).map(|(_, hard)| *hard)
    }

    /// The unit is pinned no more; the hard affinity that it had before.
    pub fn take_pin(&mut self, unit: UnitId) -> Option<CpuMask> {
        let hard = self.pin_of(unit)?;
        self.pins.retain(|(pinned, _)| *pinned != unit);
        Some(hard)
    }

    /// Makes state for a pCPU and takes it into the pool.
    pub fn add_cpu(&mut self, cpu: CpuId, now: u64) -> Result<(), Error> {
        if self.cpus.contains(cpu) {
            return Err(Error::WrongCpu);
        }
        let missing = cpu.index().saturating_add(1).saturating_sub(self.cpu.len());
        self.cpu.try_reserve(missing).map_err(|_| Error::NoMemory)?;
        while self.cpu.len() <= cpu.index() {
            self.cpu.push(CpuState::new(now));
        }
        if let Some(state) = self.cpu.get_mut(cpu.index()) {
            if state.is_quiet() {
                *state = CpuState::new(now);
            }
            state.departing = false;
        }
        self.cpus.insert(cpu);
        Ok(())
    }

    #[inline]
    pub fn state(&self, cpu: CpuId) -> Option<&CpuState> {
        self.cpu.get(cpu.index())
    }

    #[inline]
    pub fn state_mut(&mut self, cpu: CpuId) -> Option<&mut CpuState> {
        self.cpu.get_mut(cpu.index())
    }

    pub fn find_domain(&self, domid: u16) -> Option<u16> {
        (0..NIL).zip(&self.doms).find(|(_, dom)| dom.domid == Some(domid)).map(|(i, _)| i)
    }

    #[inline]
    pub fn dom(&self, i: u16) -> Option<&Domain> {
        self.doms.get(usize::from(i))
    }

    #[inline]
    pub fn dom_mut(&mut self, i: u16) -> Option<&mut Domain> {
        self.doms.get_mut(usize::from(i))
    }

    pub fn add_domain(&mut self, domid: u16) -> Result<(), Error> {
        if self.find_domain(domid).is_some() {
            return Err(Error::Exists);
        }
        let domain = Domain::new(domid);
        if let Some(slot) = self.doms.iter_mut().find(|dom| dom.domid.is_none()) {
            *slot = domain;
        } else {
            // Domids are 16 bits wide and each is here once, so `NIL` stays free.
            if self.doms.len() >= usize::from(NIL) {
                return Err(Error::Full);
            }
            self.doms.try_reserve(1).map_err(|_| Error::NoMemory)?;
            self.doms.push(domain);
        }
        Ok(())
    }

    pub fn remove_domain(&mut self, domid: u16) -> Result<(), Error> {
        let slot = self.doms.iter_mut().find(|dom| dom.domid == Some(domid));
        let slot = slot.ok_or(Error::NotFound)?;
        if slot.units != 0 {
            return Err(Error::Busy);
        }
        slot.domid = None;
        Ok(())
    }

    /// Adds a unit; its affinity is already set.
    pub fn add_unit(&mut self, key: UnitKey, unit: Unit) -> Result<UnitId, Error> {
        let dom = unit.dom;
        let id = self.units.insert(key, unit)?;
        if let Some(dom) = self.dom_mut(dom) {
            dom.units = dom.units.saturating_add(1);
        }
        Ok(id)
    }

    /// Frees a unit that is in no list and on no pCPU.
    pub fn free_unit(&mut self, i: u16) {
        let Some((dom, name)) = self.units.get(i).map(|unit| (unit.dom, unit.name)) else { return };
        if let Some((id, _)) = name {
            self.take_pin(id);
        }
        self.units.remove(i);
        if let Some(dom) = self.dom_mut(dom) {
            dom.units = dom.units.saturating_sub(1);
        }
    }

    fn names(&self, i: u16) -> Option<(UnitId, UnitKey)> {
        self.units.get(i).and_then(|unit| unit.name)
    }

    /// Makes `next` (or `NIL`) the current unit of the pCPU. A different previous unit becomes
    /// the leaving one. The time until now must have been accounted.
    #[inline]
    pub fn switch(&mut self, cpu: CpuId, next: u16, now: u64) -> bool {
        let Some(state) = self.cpu.get_mut(cpu.index()) else { return false };
        let prev = state.curr;
        if prev == next {
            return false;
        }
        state.curr = next;
        state.leaving = prev;
        state.started = now;
        if let Some(unit) = self.units.get_mut(prev) {
            unit.place = Place::Leaving;
            if unit.has(CAPPED)
                && let Some(dom) = self.doms.get_mut(usize::from(unit.dom))
            {
                dom.running = dom.running.saturating_sub(1);
            }
        }
        if let Some(unit) = self.units.get_mut(next) {
            unit.place = Place::Running;
            unit.cpu = cpu;
            if unit.has(CAPPED)
                && let Some(dom) = self.doms.get_mut(usize::from(unit.dom))
            {
                dom.running = dom.running.saturating_add(1);
            }
        }
        true
    }

    /// The decision that `cpu` keeps doing what it does, with nothing else known.
    pub fn unchanged(&self, cpu: CpuId) -> Decision {
        let curr = self.state(cpu).map_or(NIL, |state| state.curr);
        self.decision(curr, false, None, CpuMask::EMPTY)
    }

    pub fn decision(&self, next: u16, switch: bool, deadline: Option<u64>, kick: CpuMask) -> Decision {
        Decision { next: self.names(next), deadline, switch, kick }
    }

    /// Ends the saving of a context. Returns the unit when it still wants to run, and whether
    /// `schedule` was called too early.
    #[inline]
    pub fn switched_out(&mut self, cpu: CpuId) -> (Option<u16>, bool) {
        let Some(state) = self.cpu.get_mut(cpu.index()) else { return (None, false) };
        let i = core::mem::replace(&mut state.leaving, NIL);
        let again = core::mem::take(&mut state.again);
        let Some(unit) = self.units.get_mut(i) else { return (None, again) };
        unit.place = Place::Off;
        if unit.flags & (RUNNABLE | DOOMED) == RUNNABLE {
            return (Some(i), again);
        }
        if unit.has(DOOMED) {
            self.free_unit(i);
        }
        (None, again)
    }

    pub fn cpu_info(&self, cpu: CpuId, now: u64) -> Option<CpuInfo> {
        let state = self.state(cpu)?;
        let idle_now = if state.curr == NIL { now.saturating_sub(state.charged) } else { 0 };
        Some(CpuInfo { running: self.names(state.curr), idle_ns: state.idle_ns.saturating_add(idle_now) })
    }

    /// Accounts the time since the last call to the pCPU's current unit, or as idle time.
    #[inline]
    pub fn charge_runtime(&mut self, cpu: CpuId, now: u64) {
        let Some(state) = self.cpu.get_mut(cpu.index()) else { return };
        let ran = state.elapsed(now);
        match self.units.get_mut(state.curr) {
            Some(unit) => unit.runtime = unit.runtime.wrapping_add(ran),
            None => state.idle_ns = state.idle_ns.wrapping_add(ran),
        }
    }
}
