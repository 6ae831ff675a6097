//! The cpupools: which pCPUs and which domains belong together, and the scheduler of each.
//!
//! Each pool has a lock of its own. What belongs to it (a pCPU, a domain, a vCPU) names the pool's slot;
//! whoever wants the pool of something takes the lock of that slot and looks whether it is still the one.
//! Pools come and go, and what is in them moves, only while [`Hypervisor::domctl`] is held.

use crate::Hypervisor;
use crate::domain::{Domain, Vcpu};
use crate::options::Options;
use crate::pcpu::Work;
use crate::scheduling::{pcpu_id, resting_state};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use hal::{Domid, MachineOps as _, PcpuId};
use lock::{Mutex, MutexGuard};
use sched::{CpuId, CpuMask, Pool, Removal, SchedKind, UnitId, UnitInfo, UnitKey};
use xen_abi::Errno;

/// The slot of pool 0, which always is there.
pub const POOL_0: u32 = 0;
/// The slot of what is in no pool.
const NOWHERE: u32 = u32::MAX;
/// The number that asks for any (XEN_SYSCTL_CPUPOOL_PAR_ANY).
const ANY: u32 = u32::MAX;
/// Slots for each pCPU, as in Xen.
const SLOTS_PER_CPU: usize = 2;

/// A vCPU's place in its pool; it changes when its domain moves to another.
#[derive(Debug, Default)]
pub struct VcpuSched {
    /// The handle, or 0.
    unit: AtomicU64,
}

impl VcpuSched {
    /// The handle in the pool.
    #[inline]
    pub fn unit(&self) -> Option<UnitId> {
        UnitId::from_bits(self.unit.load(Ordering::Acquire))
    }

    fn set(&self, unit: UnitId) {
        self.unit.store(unit.to_bits(), Ordering::Release);
    }
}

/// The slot of the pool that a domain is in.
#[derive(Debug)]
pub struct DomainPool(AtomicU32);

impl Default for DomainPool {
    fn default() -> Self {
        Self(AtomicU32::new(NOWHERE))
    }
}

/// The pools.
pub struct Pools {
    slots: Box<[Mutex<Option<Pool>, 13>]>,
    /// The slot of each pCPU's pool. A pCPU that leaves belongs to it until it runs nothing of it.
    cpus: Box<[AtomicU32]>,
    ratelimit_us: u32,
    cap_period_ms: u32,
}

/// What tools see of a pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolInfo {
    /// Its number.
    pub id: u32,
    /// The number of its scheduler.
    pub scheduler: u32,
    /// How many domains are in it.
    pub domains: u32,
    /// Its pCPUs.
    pub cpus: CpuMask,
}

/// A scheduler's refusal as the ABI's errno.
pub fn errno(e: sched::Error) -> Errno {
    match e {
        sched::Error::NoMemory => Errno::ENOMEM,
        sched::Error::Full => Errno::ENOSPC,
        sched::Error::NotFound => Errno::ESRCH,
        sched::Error::Exists => Errno::EEXIST,
        sched::Error::Busy => Errno::EBUSY,
        sched::Error::Invalid | sched::Error::NoParameters => Errno::EINVAL,
        sched::Error::WrongCpu => Errno::EADDRNOTAVAIL,
        sched::Error::NoCpu => Errno::ENODEV,
    }
}

fn boxed<T>(count: usize, make: impl FnMut() -> T) -> Result<Box<[T]>, Errno> {
    let mut list = Vec::new();
    list.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
    list.resize_with(count, make);
    Ok(list.into_boxed_slice())
}

fn key(domid: Domid, vcpu: usize) -> UnitKey {
    UnitKey { domid: domid.raw(), vcpu: vcpu as u16 }
}

fn kick_all(hv: &Hypervisor, kick: CpuMask) {
    kick.iter().for_each(|cpu| hv.raise(pcpu_id(cpu), Work::RESCHEDULE));
}

impl Pools {
    /// Pool 0, with all of `cpus` pCPUs.
    ///
    /// # Errors
    /// ENOMEM, EINVAL for parameters that the scheduler refuses.
    pub fn new(options: &Options, cpus: u32, now: u64) -> Result<Self, Errno> {
        let count = cpus as usize;
        let pools = Self {
            slots: boxed(count * SLOTS_PER_CPU, || Mutex::new(None))?,
            cpus: boxed(count, || AtomicU32::new(POOL_0))?,
            ratelimit_us: options.ratelimit_us,
            cap_period_ms: options.cap_period_ms,
        };
        let pool = pools.make(options.scheduler, POOL_0, 0, CpuMask::first_n(count), now)?;
        *pools.slot(POOL_0).ok_or(Errno::EINVAL)?.lock() = Some(pool);
        Ok(pools)
    }

    fn make(&self, kind: SchedKind, slot: u32, id: u32, cpus: CpuMask, now: u64) -> Result<Pool, Errno> {
        let mut pool = Pool::with_handles(kind, id, slot as u16, cpus, now).map_err(errno)?;
        if kind == SchedKind::Credit2 {
            pool.set_ratelimit_us(self.ratelimit_us).map_err(errno)?;
            pool.set_cap_period_ms(self.cap_period_ms).map_err(errno)?;
        }
        Ok(pool)
    }

    /// Every pCPU of the machine.
    pub fn all_cpus(&self) -> CpuMask {
        CpuMask::first_n(self.cpus.len())
    }

    #[inline]
    fn slot(&self, slot: u32) -> Option<&Mutex<Option<Pool>, 13>> {
        self.slots.get(slot as usize)
    }

    /// The pool of the slot that `place` names, with its lock held and the name still right.
    #[inline]
    fn lock_of(&self, place: &AtomicU32) -> Option<MutexGuard<'_, Option<Pool>, 13>> {
        loop {
            let slot = place.load(Ordering::Acquire);
            let guard = self.slot(slot)?.lock();
            if place.load(Ordering::Relaxed) == slot {
                return Some(guard);
            }
        }
    }

    /// Runs `f` on the pool of a pCPU; `None` for one that is in no pool.
    #[inline]
    pub(crate) fn of_cpu<R>(&self, cpu: CpuId, f: impl FnOnce(&mut Pool) -> R) -> Option<R> {
        self.lock_of(self.cpus.get(cpu.index())?)?.as_mut().map(f)
    }

    /// Runs `f` on the pool of a vCPU, with its handle there.
    #[inline]
    fn of_vcpu<R>(&self, vcpu: &Vcpu, f: impl FnOnce(&mut Pool, UnitId) -> R) -> Option<R> {
        loop {
            let unit = vcpu.sched.unit()?;
            let mut guard = self.slot(unit.pool().into())?.lock();
            if vcpu.sched.unit() == Some(unit) {
                return guard.as_mut().map(|pool| f(pool, unit));
            }
        }
    }

    /// Runs `f` on the pool of a domain and kicks the pCPUs that it returns.
    ///
    /// # Errors
    /// ESRCH for a domain that is in none (any more).
    pub fn with_domain<R>(
        &self,
        hv: &Hypervisor,
        domain: &Domain,
        f: impl FnOnce(&mut Pool, u64) -> (R, CpuMask),
    ) -> Result<R, Errno> {
        let now = hv.machine.now_ns();
        let done = self.lock_of(&domain.pool.0).and_then(|mut guard| guard.as_mut().map(|pool| f(pool, now)));
        let (result, kick) = done.ok_or(Errno::ESRCH)?;
        kick_all(hv, kick);
        Ok(result)
    }

    /// Runs `f` on the pool of a vCPU, with its handle there and the time, and kicks the pCPUs that it
    /// returns.
    ///
    /// # Errors
    /// ESRCH for a vCPU that is in none (any more).
    pub fn with_vcpu<R>(
        &self,
        hv: &Hypervisor,
        vcpu: &Vcpu,
        f: impl FnOnce(&mut Pool, UnitId, u64) -> (R, CpuMask),
    ) -> Result<R, Errno> {
        let now = hv.machine.now_ns();
        let done = self.of_vcpu(vcpu, |pool, unit| f(pool, unit, now));
        let (result, kick) = done.ok_or(Errno::ESRCH)?;
        kick_all(hv, kick);
        Ok(result)
    }

    /// Runs `f` on the pool of that number.
    ///
    /// # Errors
    /// ESRCH when there is none.
    pub fn with_pool<R>(&self, id: u32, f: impl FnOnce(&mut Pool) -> R) -> Result<R, Errno> {
        let slot = self.find(id).and_then(|slot| self.slot(slot)).ok_or(Errno::ESRCH)?;
        slot.lock().as_mut().map(f).ok_or(Errno::ESRCH)
    }

    /// The slot of the pool with that number.
    fn find(&self, id: u32) -> Option<u32> {
        let is = |slot: &Mutex<Option<Pool>, 13>| slot.lock().as_ref().is_some_and(|pool| pool.id() == id);
        self.slots.iter().position(is).map(|slot| slot as u32)
    }

    /// The numbers of all pools, in no order.
    fn ids(&self) -> impl Iterator<Item = u32> {
        self.slots.iter().filter_map(|slot| slot.lock().as_ref().map(Pool::id))
    }

    /// Enters a domain in the pool of that number.
    ///
    /// # Errors
    /// ESRCH without such a pool, ENODEV for one without pCPUs, ENOMEM, EEXIST, ENOSPC.
    pub(crate) fn add_domain(&self, hv: &Hypervisor, domain: &Domain, pool: u32) -> Result<(), Errno> {
        let slot = self.find(pool).ok_or(Errno::ESRCH)?;
        let now = hv.machine.now_ns();
        let mut guard = self.slot(slot).ok_or(Errno::ESRCH)?.lock();
        let pool = guard.as_mut().ok_or(Errno::ESRCH)?;
        pool.add_domain(domain.id.raw(), now).map_err(errno)?;
        domain.pool.0.store(slot, Ordering::Release);
        Ok(())
    }

    /// Removes a domain whose vCPUs are gone.
    pub(crate) fn remove_domain(&self, hv: &Hypervisor, domain: &Domain) {
        let removed = self.with_domain(hv, domain, |pool, now| {
            domain.pool.0.store(NOWHERE, Ordering::Release);
            (pool.remove_domain(domain.id.raw(), now), CpuMask::EMPTY)
        });
        debug_assert!(removed != Ok(Err(sched::Error::Busy)), "domain left with vCPUs");
    }

    /// The number of the pool that a domain is in; pool 0 for one that is in none any more.
    pub fn id_of(&self, domain: &Domain) -> u32 {
        self.lock_of(&domain.pool.0).and_then(|guard| guard.as_ref().map(Pool::id)).unwrap_or(0)
    }

    /// Enters a vCPU, which does not want to run yet.
    ///
    /// # Errors
    /// ENOMEM, ENOSPC, ESRCH for a domain that is in no pool.
    pub(crate) fn add_vcpu(&self, hv: &Hypervisor, domain: &Domain, vcpu: &Vcpu) -> Result<(), Errno> {
        self.with_domain(hv, domain, |pool, _| {
            let added = pool.add_unit(key(domain.id, vcpu.id), CpuMask::ALL, CpuMask::ALL);
            (added.map(|unit| vcpu.sched.set(unit)).map_err(errno), CpuMask::EMPTY)
        })?
    }

    /// Removes a vCPU that no pCPU holds.
    pub(crate) fn remove_vcpu(&self, hv: &Hypervisor, vcpu: &Vcpu) {
        let removed = self.of_vcpu(vcpu, Pool::remove_unit);
        if let Some(Ok(Removal::Done(Some(cpu)))) = removed {
            hv.raise(pcpu_id(cpu), Work::RESCHEDULE);
        }
        debug_assert!(!matches!(removed, Some(Ok(Removal::Pending(_)))), "vCPU removed while it runs");
    }

    /// Tells the scheduler what the vCPU's state asks for. Callers change the state first; whoever
    /// comes last tells the truth.
    pub fn update(&self, hv: &Hypervisor, vcpu: &Vcpu) {
        let now = hv.machine.now_ns();
        let kick = self.of_vcpu(vcpu, |pool, unit| {
            let kick = if vcpu.is_runnable() {
                pool.wake(unit, now)
            } else if vcpu.is_up() {
                pool.sleep(unit)
            } else {
                pool.offline(unit)
            };
            if vcpu.pcpu().is_none() {
                vcpu.runstate.change(hv, resting_state(vcpu), now);
            }
            kick
        });
        if let Some(Some(cpu)) = kick {
            hv.raise(pcpu_id(cpu), Work::RESCHEDULE);
        }
    }

    /// The running vCPU lets others run; true when there may be any.
    pub fn yield_now(&self, pcpu: PcpuId) -> bool {
        CpuId::new(pcpu.index()).and_then(|cpu| self.of_cpu(cpu, |pool| pool.yield_now(cpu))).unwrap_or(false)
    }

    /// Whether a pCPU has chosen the vCPU, and has not put it away since.
    pub(crate) fn is_held(&self, vcpu: &Vcpu) -> bool {
        self.of_vcpu(vcpu, |pool, unit| pool.on_cpu(unit).is_some()).unwrap_or(false)
    }

    /// A vCPU's place, affinities and run time.
    pub fn info(&self, hv: &Hypervisor, vcpu: &Vcpu) -> Option<UnitInfo> {
        let now = hv.machine.now_ns();
        self.of_vcpu(vcpu, |pool, unit| pool.unit_info(unit, now)).flatten()
    }

    /// Writes the state of all pools for a debug key.
    pub(crate) fn dump(&self, out: &mut dyn core::fmt::Write, now: u64) -> core::fmt::Result {
        let free = self.free_cpus();
        if !free.is_empty() {
            writeln!(out, "Free cpus: {free}")?;
        }
        self.slots.iter().try_for_each(|slot| match &*slot.lock() {
            Some(pool) => pool.dump(out, now),
            None => Ok(()),
        })
    }
}

/// What the tools do with pools (XEN_SYSCTL_cpupool_op). The caller holds [`Hypervisor::domctl`].
impl Pools {
    /// The pool with this number, or the one with the next higher number.
    pub fn next(&self, from: u32) -> Option<PoolInfo> {
        let id = self.ids().filter(|id| *id >= from).min()?;
        self.with_pool(id, |pool| PoolInfo {
            id,
            scheduler: pool.kind().abi_id(),
            domains: pool.domain_count() as u32,
            cpus: pool.cpus(),
        })
        .ok()
    }

    /// pCPUs that are in no pool.
    pub fn free_cpus(&self) -> CpuMask {
        let free = |(n, slot): (usize, &AtomicU32)| {
            if slot.load(Ordering::Acquire) == NOWHERE { CpuId::new(n) } else { None }
        };
        self.cpus.iter().enumerate().filter_map(free).fold(CpuMask::EMPTY, |all, cpu| all.or(cpu.into()))
    }

    /// Makes a pool without pCPUs; its number is `id`, or the next free one for [`ANY`].
    ///
    /// # Errors
    /// ENOSPC when there are too many, EEXIST for a number in use, ENOENT for a scheduler that is not
    /// there, ENOMEM.
    pub fn create(&self, hv: &Hypervisor, id: u32, scheduler: u32) -> Result<u32, Errno> {
        let slot = self.slots.iter().position(|slot| slot.lock().is_none()).ok_or(Errno::ENOSPC)? as u32;
        let id = if id == ANY { self.new_id()? } else { id };
        if self.find(id).is_some() {
            return Err(Errno::EEXIST);
        }
        let kind = SchedKind::from_abi_id(scheduler).ok_or(Errno::ENOENT)?;
        let pool = self.make(kind, slot, id, CpuMask::EMPTY, hv.machine.now_ns())?;
        *self.slot(slot).ok_or(Errno::ENOSPC)?.lock() = Some(pool);
        Ok(id)
    }

    /// The number after the highest; when that is not free, the lowest that is.
    fn new_id(&self) -> Result<u32, Errno> {
        let highest = self.ids().max().unwrap_or(0);
        if highest < ANY - 1 {
            return Ok(highest + 1);
        }
        (0..=self.slots.len() as u32).find(|id| self.find(*id).is_none()).ok_or(Errno::ENOSPC)
    }

    /// Removes an empty pool.
    ///
    /// # Errors
    /// ENOENT when there is none, EBUSY when it has domains or pCPUs.
    pub fn destroy(&self, id: u32) -> Result<(), Errno> {
        let slot = self.find(id).ok_or(Errno::ENOENT)?;
        let leaving = self.cpus.iter().any(|of| of.load(Ordering::Acquire) == slot);
        let mut guard = self.slot(slot).ok_or(Errno::ENOENT)?.lock();
        let pool = guard.as_ref().ok_or(Errno::ENOENT)?;
        if leaving || pool.domain_count() != 0 || !pool.cpus().is_empty() {
            return Err(Errno::EBUSY);
        }
        *guard = None;
        Ok(())
    }

    /// Gives a pCPU that is in no pool, or any such for [`ANY`], to a pool.
    ///
    /// # Errors
    /// ENOENT without such a pool, EINVAL for a number beyond the machine's, ENODEV when it is not free,
    /// EADDRNOTAVAIL while it leaves another pool, ENOMEM.
    pub fn add_cpu(&self, hv: &Hypervisor, id: u32, cpu: u32) -> Result<(), Errno> {
        let slot = self.find(id).ok_or(Errno::ENOENT)?;
        let cpu = match cpu {
            ANY => self.free_cpus().first().ok_or(Errno::ENODEV)?,
            cpu => CpuId::new(cpu as usize).ok_or(Errno::EINVAL)?,
        };
        let place = self.cpus.get(cpu.index()).ok_or(Errno::EINVAL)?;
        let current = place.load(Ordering::Acquire);
        if current != NOWHERE {
            // One that still leaves may come back.
            let stays = self.of_cpu(cpu, |pool| pool.cpus().contains(cpu)).unwrap_or(true);
            if stays {
                return Err(Errno::ENODEV);
            }
            if current != slot {
                return Err(Errno::EADDRNOTAVAIL);
            }
        }
        let kick = {
            let mut guard = self.slot(slot).ok_or(Errno::ENOENT)?.lock();
            let pool = guard.as_mut().ok_or(Errno::ENOENT)?;
            let kick = pool.add_cpu(cpu, hv.machine.now_ns()).map_err(errno)?;
            place.store(slot, Ordering::Release);
            kick
        };
        kick_all(hv, kick);
        Ok(())
    }

    /// Takes a pCPU, or the last one for [`ANY`], out of a pool. False: it still runs one of its vCPUs,
    /// ask again.
    ///
    /// # Errors
    /// ENOENT without such a pool, EINVAL for a number beyond the machine's and for pCPU 0 of pool 0,
    /// EADDRNOTAVAIL when it is not in the pool, EADDRINUSE while a vCPU is pinned to it, EBUSY for the
    /// last one of a pool that has domains.
    pub fn remove_cpu(&self, hv: &Hypervisor, id: u32, cpu: u32) -> Result<bool, Errno> {
        let slot = self.find(id).ok_or(Errno::ENOENT)?;
        let last = || self.with_pool(id, |pool| pool.cpus().iter().last()).ok().flatten();
        let cpu = match cpu {
            ANY => self.leaving(slot).or_else(last),
            cpu => CpuId::new(cpu as usize),
        };
        let cpu = cpu.ok_or(Errno::EINVAL)?;
        let place = self.cpus.get(cpu.index()).ok_or(Errno::EINVAL)?;
        if id == 0 && cpu.index() == 0 {
            return Err(Errno::EINVAL);
        }
        self.move_dying_out(hv, slot, cpu)?;
        let removal = {
            let mut guard = self.slot(slot).ok_or(Errno::ENOENT)?.lock();
            let pool = guard.as_mut().ok_or(Errno::ENOENT)?;
            if pool.cpus().contains(cpu) && pool.has_pinned(cpu) {
                return Err(Errno::EADDRINUSE);
            }
            let removal = pool.remove_cpu(cpu, hv.machine.now_ns()).map_err(errno)?;
            if removal.done {
                place.store(NOWHERE, Ordering::Release);
            }
            removal
        };
        kick_all(hv, removal.kick);
        Ok(removal.done)
    }

    /// The pCPU that is on its way out of a pool: whoever asked for any asks for this one again.
    fn leaving(&self, slot: u32) -> Option<CpuId> {
        let guard = self.slot(slot)?.lock();
        let cpus = guard.as_ref()?.cpus();
        let of_slot =
            |n: &CpuId| self.cpus.get(n.index()).is_some_and(|of| of.load(Ordering::Acquire) == slot);
        self.all_cpus().iter().filter(of_slot).find(|cpu| !cpus.contains(*cpu))
    }

    /// Dying domains do not keep a pool's last pCPU: they end in pool 0.
    fn move_dying_out(&self, hv: &Hypervisor, slot: u32, cpu: CpuId) -> Result<(), Errno> {
        let is_last = {
            let guard = self.slot(slot).ok_or(Errno::ENOENT)?.lock();
            let pool = guard.as_ref().ok_or(Errno::ENOENT)?;
            pool.cpus() == CpuMask::single(cpu) && pool.domain_count() != 0
        };
        let mut from = 0;
        while let Some(domain) = hv.domains.first_from(from).filter(|_| is_last && slot != POOL_0) {
            from = domain.id.raw() + 1;
            if domain.pool.0.load(Ordering::Acquire) == slot {
                if !domain.is_dying() {
                    return Err(Errno::EBUSY);
                }
                hv.move_to_pool(&domain, 0)?;
            }
        }
        Ok(())
    }

    /// Moves a domain, whose vCPUs are paused and off every pCPU, to another slot's pool.
    fn move_domain(&self, hv: &Hypervisor, domain: &Domain, to: u32) -> Result<(), Errno> {
        let from = domain.pool.0.load(Ordering::Acquire);
        let (Some(a), Some(b)) = (self.slot(from.min(to)), self.slot(from.max(to))) else {
            return Err(Errno::ESRCH);
        };
        let kicks = {
            // The lower slot first.
            let (mut low, mut high) = (a.lock(), b.lock_second());
            let (source, target) = if from < to { (&mut low, &mut high) } else { (&mut high, &mut low) };
            let (Some(source), Some(target)) = (source.as_mut(), target.as_mut()) else {
                return Err(Errno::ESRCH);
            };
            let mut moved = |key: UnitKey, unit: UnitId| {
                if let Some(vcpu) = domain.vcpu(usize::from(key.vcpu)) {
                    vcpu.sched.set(unit);
                }
            };
            let kicks = source.move_domain(target, domain.id.raw(), hv.machine.now_ns(), &mut moved);
            let kicks = kicks.map_err(errno)?;
            domain.pool.0.store(to, Ordering::Release);
            kicks
        };
        kick_all(hv, kicks.left.or(kicks.joined));
        Ok(())
    }
}

impl Hypervisor {
    /// Moves a domain to the pool of that number; its vCPUs stop for it. The caller holds
    /// [`Hypervisor::domctl`], and is not one of them.
    ///
    /// # Errors
    /// ENOENT without such a pool, or for one without pCPUs; EBUSY while one of its vCPUs is pinned;
    /// ENOMEM.
    pub fn move_to_pool(&self, domain: &Domain, id: u32) -> Result<(), Errno> {
        if self.pools.id_of(domain) == id {
            return Ok(());
        }
        let slot = self.pools.find(id).ok_or(Errno::ENOENT)?;
        if self.pools.with_pool(id, |pool| pool.cpus().is_empty())? {
            return Err(Errno::ENOENT);
        }
        self.hold(domain);
        let moved = self.pools.move_domain(self, domain, slot);
        self.let_go(domain);
        moved
    }
}
