//! Domains, units and pCPUs joining, leaving and changing pools. Not on hot paths.

use crate::pool::{Policy, Pool};
use crate::tables::Tables;
use crate::unit::{CAPPED, DOOMED, RUNNABLE, Unit, YIELDED};
use crate::{CpuId, CpuMask, CpuRemoval, DomainParams, Error, MoveKicks, Removal, UnitId, UnitKey};

impl Pool {
    /// Adds a domain, with default parameters. Its units are added one by one.
    ///
    /// # Errors
    /// [`Error::NoCpu`], [`Error::Exists`], [`Error::NoMemory`], [`Error::Full`].
    pub fn add_domain(&mut self, domid: u16, now: u64) -> Result<(), Error> {
        if self.t.cpus.is_empty() {
            return Err(Error::NoCpu);
        }
        self.t.add_domain(domid)?;
        self.weights_changed(now);
        Ok(())
    }

    /// Removes a domain that has no units left.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Busy`] while it has units, removed but pending ones included.
    pub fn remove_domain(&mut self, domid: u16, now: u64) -> Result<(), Error> {
        self.t.remove_domain(domid)?;
        self.weights_changed(now);
        Ok(())
    }

    fn weights_changed(&mut self, now: u64) {
        if let Policy::Credit2(credit2) = &mut self.policy {
            credit2.reweigh(&mut self.t, now);
        }
    }

    /// Adds a vCPU, not runnable. All memory that it will ever need here is allocated now.
    ///
    /// # Errors
    /// [`Error::NotFound`] without its domain, [`Error::Exists`], [`Error::Invalid`] when `hard`
    /// has no pCPU of the pool, [`Error::NoMemory`], [`Error::Full`].
    pub fn add_unit(&mut self, key: UnitKey, hard: CpuMask, soft: CpuMask) -> Result<UnitId, Error> {
        let dom = self.t.find_domain(key.domid).ok_or(Error::NotFound)?;
        if self.find_unit(key).is_some() {
            return Err(Error::Exists);
        }
        let unit = self.new_unit(key, dom, hard, soft)?;
        self.t.add_unit(key, unit)
    }

    fn new_unit(&self, key: UnitKey, dom: u16, hard: CpuMask, soft: CpuMask) -> Result<Unit, Error> {
        let params = self.t.dom(dom).map_or(DomainParams::DEFAULT, |dom| dom.params);
        let allowed = hard.and(self.t.cpus);
        // Spread the first placement over the pCPUs by vCPU number.
        let start = usize::from(key.vcpu).checked_rem(allowed.count() as usize).unwrap_or(0);
        let cpu = allowed.iter().nth(start).ok_or(Error::Invalid)?;
        let mut unit = Unit::new(dom, cpu);
        unit.hard_asked = hard;
        unit.soft_asked = soft;
        unit.refresh_affinity(self.t.cpus);
        if let Policy::Credit2(credit2) = &self.policy {
            credit2.init_unit(&mut unit, params.weight);
            unit.set(CAPPED, params.cap != 0);
        }
        Ok(unit)
    }

    /// Removes a vCPU, whatever it is doing.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn remove_unit(&mut self, unit: UnitId) -> Result<Removal, Error> {
        if self.t.units.find(unit).is_none() {
            return Err(Error::NotFound);
        }
        let kick = self.offline(unit);
        let i = unit.index();
        let Some(u) = self.t.units.get_mut(i) else { return Err(Error::NotFound) };
        u.flags &= !(RUNNABLE | YIELDED);
        if u.on_cpu() {
            u.set(DOOMED, true);
            return Ok(Removal::Pending(u.cpu));
        }
        self.t.free_unit(i);
        Ok(Removal::Done(kick))
    }

    /// Adds a pCPU that no other pool has; one that is still leaving this pool comes back. It
    /// must be kicked; it is used once it has called `schedule`. Returns the pCPUs to kick.
    ///
    /// # Errors
    /// [`Error::WrongCpu`] when it is in the pool; [`Error::NoMemory`].
    pub fn add_cpu(&mut self, cpu: CpuId, now: u64) -> Result<CpuMask, Error> {
        self.t.add_cpu(cpu, now)?;
        let mut kick = CpuMask::single(cpu);
        refresh_affinities(&mut self.t);
        match &mut self.policy {
            Policy::Credit2(credit2) => credit2.add_cpu(cpu),
            Policy::Null(null) => {
                null.free.insert(cpu);
                kick = kick.or(null.rearrange(&mut self.t));
            }
        }
        Ok(kick)
    }

    /// Takes a pCPU out of the pool. Its unit moves elsewhere; units that may run nowhere else
    /// lose their hard affinity, as in Xen. Ask again until `done`.
    ///
    /// # Errors
    /// [`Error::WrongCpu`] when it is not in the pool; [`Error::Busy`] when it is the last one
    /// and there are domains, or when a unit is pinned to it.
    pub fn remove_cpu(&mut self, cpu: CpuId, now: u64) -> Result<CpuRemoval, Error> {
        let mut cpus = self.t.cpus;
        cpus.remove(cpu);
        let last = cpus.is_empty() && self.domain_count() != 0;
        let member = self.t.cpus.contains(cpu);
        let state = self.t.state_mut(cpu).ok_or(Error::WrongCpu)?;
        let quiet = state.is_quiet();
        if !member {
            if !core::mem::replace(&mut state.departing, !quiet) {
                return Err(Error::WrongCpu);
            }
            let kick = if quiet { CpuMask::EMPTY } else { CpuMask::single(cpu) };
            return Ok(CpuRemoval { done: quiet, kick, affinity_broken: 0 });
        }
        if last || self.has_pinned(cpu) {
            return Err(Error::Busy);
        }
        let state = self.t.state_mut(cpu).ok_or(Error::WrongCpu)?;
        state.departing = !quiet;
        self.t.cpus = cpus;
        let affinity_broken = refresh_affinities(&mut self.t);
        let mut kick = match &mut self.policy {
            Policy::Credit2(credit2) => credit2.remove_cpu(&mut self.t, cpu, now),
            Policy::Null(null) => null.remove_cpu(&mut self.t, cpu),
        };
        if !quiet {
            kick.insert(cpu);
        }
        Ok(CpuRemoval { done: quiet, kick, affinity_broken })
    }

    /// Moves a domain with all its units to another pool, all or nothing. As in Xen it gets
    /// default parameters and may run on every pCPU there. `moved` hears each vCPU's new handle;
    /// the old ones become void.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Busy`] when a pCPU holds the context of one of the units
    /// (pause the domain first), or when one is pinned; in the other pool [`Error::NoCpu`], [`Error::Exists`],
    /// [`Error::NoMemory`], [`Error::Full`].
    pub fn move_domain(
        &mut self,
        to: &mut Self,
        domid: u16,
        now: u64,
        moved: &mut dyn FnMut(UnitKey, UnitId),
    ) -> Result<MoveKicks, Error> {
        let dom = self.t.find_domain(domid).ok_or(Error::NotFound)?;
        let mut count = 0_usize;
        for (_, unit) in self.t.units.iter().filter(|(_, unit)| unit.dom == dom) {
            if unit.on_cpu() || unit.name.is_some_and(|(id, _)| self.t.pin_of(id).is_some()) {
                return Err(Error::Busy);
            }
            count = count.saturating_add(1);
        }
        to.t.units.reserve(count)?;
        to.add_domain(domid, now)?;
        let new_dom = to.t.find_domain(domid).ok_or(Error::NotFound)?;

        let mut kick = MoveKicks { left: CpuMask::EMPTY, joined: CpuMask::EMPTY };
        for i in 0..self.t.units.bound() {
            let Some(unit) = self.t.units.get(i).filter(|unit| unit.dom == dom) else { continue };
            let Some((id, key)) = unit.name else { continue };
            let (runnable, runtime) = (unit.has(RUNNABLE), unit.runtime);
            let mut unit = to.new_unit(key, new_dom, CpuMask::ALL, CpuMask::ALL)?;
            unit.runtime = runtime;
            let new_id = to.t.add_unit(key, unit)?;
            // No pCPU holds it, so it is gone at once.
            if let Removal::Done(freed) = self.remove_unit(id)? {
                kick.left = kick.left.or(freed.into());
            }
            moved(key, new_id);
            if runnable {
                kick.joined = kick.joined.or(to.wake(new_id, now).into());
            }
        }
        self.remove_domain(domid, now)?;
        Ok(kick)
    }
}

/// Recomputes where units may run. Returns how many had to give up their hard affinity.
fn refresh_affinities(t: &mut Tables) -> u32 {
    let cpus = t.cpus;
    let mut broken = 0_u32;
    for (_, unit) in t.units.iter_mut() {
        if !cpus.is_empty() && !unit.hard_asked.intersects(cpus) {
            unit.hard_asked = CpuMask::ALL;
            broken = broken.saturating_add(1);
        }
        unit.refresh_affinity(cpus);
    }
    broken
}

#[cfg(test)]
mod tests;
