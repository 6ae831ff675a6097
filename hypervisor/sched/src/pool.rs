//! A cpupool: pCPUs, the domains that run on them, and their scheduler. Hot paths and queries;
//! changes of members are in `members.rs`.

use crate::credit2::Credit2;
use crate::null::Null;
use crate::tables::Tables;
use crate::unit::{DOOMED, Place, RUNNABLE, YIELDED};
use crate::{
    CpuId, CpuInfo, CpuMask, Decision, DomainParams, Error, SchedKind, UnitId, UnitInfo, UnitKey, UnitState,
};

pub(crate) enum Policy {
    Credit2(Credit2),
    Null(Null),
}

/// A cpupool. See the crate's documentation for who calls what, when.
pub struct Pool {
    pub(crate) id: u32,
    pub(crate) t: Tables,
    pub(crate) policy: Policy,
}

impl Pool {
    /// A pool with this number and these pCPUs. Handles of pools whose numbers are equal in the
    /// low 16 bits cannot be told apart.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub fn new(kind: SchedKind, id: u32, cpus: CpuMask, now: u64) -> Result<Self, Error> {
        Self::with_handles(kind, id, id as u16, cpus, now)
    }

    /// As [`Pool::new`], with handles that say [`pool`](UnitId::pool) to be `handles`.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub fn with_handles(
        kind: SchedKind,
        id: u32,
        handles: u16,
        cpus: CpuMask,
        now: u64,
    ) -> Result<Self, Error> {
        let policy = match kind {
            SchedKind::Credit2 => Policy::Credit2(Credit2::new()),
            SchedKind::Null => Policy::Null(Null::new()),
        };
        let mut pool = Self { id, t: Tables::new(handles), policy };
        for cpu in cpus.iter() {
            pool.add_cpu(cpu, now)?;
        }
        Ok(pool)
    }

    /// The pool's number (`cpupool_id`).
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// Its scheduler.
    #[must_use]
    pub const fn kind(&self) -> SchedKind {
        match self.policy {
            Policy::Credit2(_) => SchedKind::Credit2,
            Policy::Null(_) => SchedKind::Null,
        }
    }

    /// Its pCPUs.
    #[must_use]
    pub const fn cpus(&self) -> CpuMask {
        self.t.cpus
    }

    /// How many domains are in it (`n_dom`).
    #[must_use]
    pub fn domain_count(&self) -> usize {
        self.t.doms.iter().filter(|dom| dom.domid.is_some()).count()
    }

    /// Is the handle's unit still there?
    #[must_use]
    pub fn contains(&self, unit: UnitId) -> bool {
        self.t.units.find(unit).is_some()
    }

    /// Makes a unit runnable. Returns the pCPU to kick, if any. No effect on one that is
    /// runnable, or removed. A unit whose context a pCPU still saves is queued by that pCPU's
    /// `switched_out`.
    #[inline]
    pub fn wake(&mut self, unit: UnitId, now: u64) -> Option<CpuId> {
        let u = self.t.units.find_mut(unit)?;
        if u.flags & (RUNNABLE | DOOMED) != 0 {
            return None;
        }
        u.flags |= RUNNABLE;
        if u.place != Place::Off {
            return None;
        }
        self.ready(unit.index(), now)
    }

    /// A unit that is off every pCPU and in no list became runnable.
    #[inline]
    fn ready(&mut self, i: u16, now: u64) -> Option<CpuId> {
        if let Policy::Credit2(credit2) = &mut self.policy
            && let Some(cpu) = credit2.ready_at_last(&mut self.t, i)
        {
            return Some(cpu);
        }
        self.ready_among_others(i, now)
    }

    // Not inlined, so that the common path above stays short.
    #[inline(never)]
    fn ready_among_others(&mut self, i: u16, now: u64) -> Option<CpuId> {
        match &mut self.policy {
            Policy::Credit2(credit2) => credit2.ready(&mut self.t, i, now),
            Policy::Null(null) => null.ready(&mut self.t, i),
        }
    }

    /// Makes a unit not runnable: it blocks, or is paused. Returns the pCPU that runs it and must
    /// be kicked; a pCPU that blocks its own vCPU just calls `schedule`. The unit is off every
    /// pCPU once [`Pool::on_cpu`] says so.
    #[inline]
    pub fn sleep(&mut self, unit: UnitId) -> Option<CpuId> {
        let u = self.t.units.find_mut(unit)?;
        u.flags &= !(RUNNABLE | YIELDED);
        match u.place {
            Place::Off | Place::Leaving => None,
            Place::Running => Some(u.cpu),
            Place::Queued | Place::Parked => {
                let i = unit.index();
                match &mut self.policy {
                    Policy::Credit2(credit2) => credit2.sleep(&mut self.t, i),
                    Policy::Null(null) => null.sleep(&mut self.t, i),
                }
                None
            }
        }
    }

    /// As [`Pool::sleep`], for a vCPU that goes offline: under the null scheduler it gives its
    /// pCPU to one that waits. Returns the pCPU to kick.
    pub fn offline(&mut self, unit: UnitId) -> Option<CpuId> {
        let kick = self.sleep(unit);
        match &mut self.policy {
            Policy::Credit2(_) => kick,
            Policy::Null(null) => {
                self.t.units.find(unit)?;
                null.evict(&mut self.t, unit.index()).or(kick)
            }
        }
    }

    /// The pCPU's unit gives way to others. Returns whether there may be any: then call
    /// `schedule`, else carry on.
    #[inline]
    pub fn yield_now(&mut self, cpu: CpuId) -> bool {
        match &mut self.policy {
            Policy::Credit2(credit2) => credit2.yield_now(&mut self.t, cpu),
            Policy::Null(_) => false,
        }
    }

    /// What the pCPU runs next. To be called by that pCPU: at the deadline of the last decision,
    /// when kicked, and when its unit blocks. When the decision says `switch`, the pCPU saves the
    /// old context and then calls [`Pool::switched_out`]; until then the answer stays the same.
    #[inline]
    pub fn schedule(&mut self, cpu: CpuId, now: u64) -> Decision {
        if let Policy::Credit2(credit2) = &mut self.policy
            && let Some(decision) = credit2.schedule_simply(&mut self.t, cpu, now)
        {
            return decision;
        }
        self.schedule_among_others(cpu, now)
    }

    #[inline(never)]
    fn schedule_among_others(&mut self, cpu: CpuId, now: u64) -> Decision {
        match &mut self.policy {
            Policy::Credit2(credit2) => credit2.schedule(&mut self.t, cpu, now),
            Policy::Null(null) => null.schedule(&mut self.t, cpu, now),
        }
    }

    /// The pCPU no longer holds the context of the unit it ran before its last `schedule`; other
    /// pCPUs may take it from now on. Returns the pCPUs to kick, which may include this one.
    #[inline]
    pub fn switched_out(&mut self, cpu: CpuId, now: u64) -> CpuMask {
        let (unit, again) = self.t.switched_out(cpu);
        let mut kick = CpuMask::EMPTY;
        if let Some(i) = unit {
            kick = self.ready_among_others(i, now).into();
        }
        if again {
            kick.insert(cpu);
        }
        kick
    }

    /// The pCPU that holds the unit's context: it runs it, or is still saving it.
    #[inline]
    #[must_use]
    pub fn on_cpu(&self, unit: UnitId) -> Option<CpuId> {
        self.t.units.find(unit).filter(|unit| unit.on_cpu()).map(|unit| unit.cpu)
    }

    /// The unit that the pCPU runs.
    #[must_use]
    pub fn current(&self, cpu: CpuId) -> Option<(UnitId, UnitKey)> {
        self.t.unchanged(cpu).next
    }

    /// Sets where a unit may run and where it should. Returns the pCPUs to kick; a unit that runs
    /// where it may not any more leaves at the next `schedule` there.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Invalid`] when `hard` has no pCPU of the pool; [`Error::Busy`]
    /// while the unit is pinned.
    pub fn set_affinity(
        &mut self,
        unit: UnitId,
        hard: CpuMask,
        soft: CpuMask,
        now: u64,
    ) -> Result<CpuMask, Error> {
        if self.t.pin_of(unit).is_some() {
            return Err(Error::Busy);
        }
        self.change_affinity(unit, hard, soft, now)
    }

    fn change_affinity(
        &mut self,
        unit: UnitId,
        hard: CpuMask,
        soft: CpuMask,
        now: u64,
    ) -> Result<CpuMask, Error> {
        let cpus = self.t.cpus;
        let u = self.t.units.find_mut(unit).ok_or(Error::NotFound)?;
        if !hard.intersects(cpus) {
            return Err(Error::Invalid);
        }
        u.hard_asked = hard;
        u.soft_asked = soft;
        u.refresh_affinity(cpus);
        Ok(match &mut self.policy {
            Policy::Credit2(credit2) => credit2.affinity_changed(&mut self.t, unit.index(), now).into(),
            Policy::Null(null) => null.rearrange(&mut self.t),
        })
    }

    /// Ties a unit to one pCPU until [`Pool::unpin`], whatever its affinity, which is kept
    /// (`SCHEDOP_pin_override`). Returns the pCPUs to kick.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Busy`] when it is pinned; [`Error::Invalid`] for a pCPU that the
    /// pool has not; [`Error::NoMemory`].
    pub fn pin(&mut self, unit: UnitId, cpu: CpuId, now: u64) -> Result<CpuMask, Error> {
        let u = self.t.units.find(unit).ok_or(Error::NotFound)?;
        let (hard, soft) = (u.hard_asked, u.soft_asked);
        if self.t.pin_of(unit).is_some() {
            return Err(Error::Busy);
        }
        self.t.pins.try_reserve(1).map_err(|_| Error::NoMemory)?;
        let kick = self.change_affinity(unit, CpuMask::single(cpu), soft, now)?;
        self.t.pins.push((unit, hard));
        Ok(kick)
    }

    /// Gives a pinned unit its hard affinity back. Returns the pCPUs to kick.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Invalid`] when it is not pinned.
    pub fn unpin(&mut self, unit: UnitId, now: u64) -> Result<CpuMask, Error> {
        let soft = self.t.units.find(unit).ok_or(Error::NotFound)?.soft_asked;
        let mut hard = self.t.take_pin(unit).ok_or(Error::Invalid)?;
        // The pCPUs that it named may have left meanwhile.
        if !hard.intersects(self.t.cpus) {
            hard = CpuMask::ALL;
        }
        self.change_affinity(unit, hard, soft, now)
    }

    /// Is any unit pinned to the pCPU?
    #[must_use]
    pub fn has_pinned(&self, cpu: CpuId) -> bool {
        let tied = |unit: &UnitId| self.t.units.find(*unit).is_some_and(|u| u.hard_asked.contains(cpu));
        self.t.pins.iter().any(|(unit, _)| tied(unit))
    }

    /// Sets a domain's weight and cap, all or nothing (`XEN_DOMCTL_SCHEDOP_putinfo`). A weight of
    /// 0 keeps the weight; a cap of 0 means no cap. Returns the pCPUs to kick.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Invalid`] for a cap above 100 % for each vCPU;
    /// [`Error::NoParameters`] under the null scheduler.
    pub fn set_domain_params(
        &mut self,
        domid: u16,
        params: DomainParams,
        now: u64,
    ) -> Result<CpuMask, Error> {
        let dom = self.t.find_domain(domid).ok_or(Error::NotFound)?;
        match &mut self.policy {
            Policy::Credit2(credit2) => credit2.set_params(&mut self.t, dom, params, now),
            Policy::Null(_) => Err(Error::NoParameters),
        }
    }

    /// A domain's weight and cap (`XEN_DOMCTL_SCHEDOP_getinfo`).
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NoParameters`] under the null scheduler.
    pub fn domain_params(&self, domid: u16) -> Result<DomainParams, Error> {
        let dom = self.t.find_domain(domid).ok_or(Error::NotFound)?;
        match self.policy {
            Policy::Credit2(_) => self.t.dom(dom).map(|dom| dom.params).ok_or(Error::NotFound),
            Policy::Null(_) => Err(Error::NoParameters),
        }
    }

    /// Sets the shortest time before a pre-emption, in us: 0 (none) or 100 to 500000
    /// (`xen_sysctl_credit2_schedule.ratelimit_us`).
    ///
    /// # Errors
    /// [`Error::Invalid`]; [`Error::NoParameters`] under the null scheduler.
    pub fn set_ratelimit_us(&mut self, us: u32) -> Result<(), Error> {
        match &mut self.policy {
            Policy::Credit2(credit2) => credit2.set_ratelimit_us(us),
            Policy::Null(_) => Err(Error::NoParameters),
        }
    }

    /// The rate limit in us.
    ///
    /// # Errors
    /// [`Error::NoParameters`] under the null scheduler.
    pub fn ratelimit_us(&self) -> Result<u32, Error> {
        match &self.policy {
            Policy::Credit2(credit2) => Ok(credit2.ratelimit_us()),
            Policy::Null(_) => Err(Error::NoParameters),
        }
    }

    /// Sets how often a domain with a cap gets its budget anew, in ms. Periods under way end as planned.
    ///
    /// # Errors
    /// [`Error::Invalid`] for 0; [`Error::NoParameters`] under the null scheduler.
    pub fn set_cap_period_ms(&mut self, ms: u32) -> Result<(), Error> {
        match &mut self.policy {
            Policy::Credit2(credit2) => credit2.set_cap_period_ms(ms),
            Policy::Null(_) => Err(Error::NoParameters),
        }
    }

    /// A unit's place and run time, the current turn included.
    #[must_use]
    pub fn unit_info(&self, unit: UnitId, now: u64) -> Option<UnitInfo> {
        let u = self.t.units.find(unit)?;
        let runnable = u.has(RUNNABLE);
        let state = match u.place {
            Place::Running => UnitState::Running(u.cpu),
            Place::Leaving => UnitState::Leaving(u.cpu),
            Place::Parked => UnitState::Capped,
            Place::Queued => UnitState::Waiting,
            Place::Off if runnable => UnitState::Waiting,
            Place::Off => UnitState::Blocked,
        };
        let charged = self.t.state(u.cpu).map_or(now, |state| state.charged);
        let turn = if u.place == Place::Running { now.saturating_sub(charged) } else { 0 };
        Some(UnitInfo {
            key: u.name?.1,
            state,
            runnable,
            runtime_ns: u.runtime.saturating_add(turn),
            last_cpu: u.cpu,
            hard: u.hard_asked,
            soft: u.soft_asked,
        })
    }

    /// A pCPU's unit and idle time; `None` for one that never was in the pool.
    #[must_use]
    pub fn cpu_info(&self, cpu: CpuId, now: u64) -> Option<CpuInfo> {
        self.t.cpu_info(cpu, now)
    }

    /// The unit of a vCPU, by search.
    #[must_use]
    pub fn find_unit(&self, key: UnitKey) -> Option<UnitId> {
        let mut names = self.t.units.iter().filter_map(|(_, unit)| unit.name);
        names.find(|(_, own)| *own == key).map(|(id, _)| id)
    }
}

#[cfg(test)]
mod tests;
