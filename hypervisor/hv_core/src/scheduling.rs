//! Which vCPU runs where: the pools, and the switch from one vCPU to another.
//!
//! The crate `sched` decides; this module holds its lock, tells it what vCPUs want, and carries
//! decisions out.

use crate::Hypervisor;
use crate::domain::{Domain, Vcpu};
use crate::options::Options;
use crate::pcpu::{Current, Local, Work};
use crate::timer::TimerKind;
use hal::{Domid, MachineOps as _, PcpuId, VcpuContext as _};
use lock::{Mutex, Once};
use machine::Regs;
use sched::{CpuId, CpuMask, Pool, Removal, SchedKind, UnitId, UnitInfo, UnitKey};
use xen_abi::Errno;
use xen_abi::vcpu::{RUNSTATE_blocked, RUNSTATE_offline, RUNSTATE_runnable, RUNSTATE_running};

/// Timers that one interrupt handles at most; the rest comes with the next, at once.
const EXPIRIES: usize = 32;

/// A vCPU's place in its pool.
#[derive(Debug, Default)]
pub struct VcpuSched {
    unit: Once<UnitId>,
}

impl VcpuSched {
    /// The handle in the pool.
    pub fn unit(&self) -> Option<UnitId> {
        self.unit.get().copied()
    }
}

/// The pools of pCPUs; today one, with all of them.
pub struct Pools {
    pool: Mutex<Pool, 13>,
}

/// A scheduler's refusal as the ABI's errno.
pub fn errno(e: sched::Error) -> Errno {
    match e {
        sched::Error::NoMemory => Errno::ENOMEM,
        sched::Error::Full => Errno::ENOSPC,
        sched::Error::NotFound => Errno::ESRCH,
        sched::Error::Exists => Errno::EEXIST,
        sched::Error::Busy => Errno::EBUSY,
        sched::Error::Invalid | sched::Error::NoParameters | sched::Error::WrongCpu => Errno::EINVAL,
        sched::Error::NoCpu => Errno::ENODEV,
    }
}

fn cpu_id(pcpu: PcpuId) -> Option<CpuId> {
    CpuId::new(pcpu.index())
}

fn pcpu_id(cpu: CpuId) -> PcpuId {
    PcpuId(cpu.index() as u32)
}

fn key(domid: Domid, vcpu: usize) -> UnitKey {
    UnitKey { domid: domid.raw(), vcpu: vcpu as u16 }
}

impl Pools {
    /// The pool of all `cpus` pCPUs.
    ///
    /// # Errors
    /// ENOMEM, EINVAL for parameters that the scheduler refuses.
    pub fn new(options: &Options, cpus: u32, now: u64) -> Result<Self, Errno> {
        let all = CpuMask::first_n(cpus as usize);
        let mut pool = Pool::new(options.scheduler, 0, all, now).map_err(errno)?;
        if options.scheduler == SchedKind::Credit2 {
            pool.set_ratelimit_us(options.ratelimit_us).map_err(errno)?;
            pool.set_cap_period_ms(options.cap_period_ms).map_err(errno)?;
        }
        Ok(Self { pool: Mutex::new(pool) })
    }

    /// Runs `f` on the pool and kicks the pCPUs that it returns.
    pub fn with<R>(&self, hv: &Hypervisor, f: impl FnOnce(&mut Pool, u64) -> (R, CpuMask)) -> R {
        let now = hv.machine.now_ns();
        let (result, kick) = f(&mut self.pool.lock(), now);
        kick_all(hv, kick);
        result
    }

    /// Enters a domain.
    ///
    /// # Errors
    /// ENOMEM, EEXIST, ENOSPC.
    pub(crate) fn add_domain(&self, hv: &Hypervisor, domain: &Domain) -> Result<(), Errno> {
        self.pool.lock().add_domain(domain.id.raw(), hv.machine.now_ns()).map_err(errno)
    }

    /// Removes a domain whose vCPUs are gone.
    pub(crate) fn remove_domain(&self, hv: &Hypervisor, domain: &Domain) {
        let removed = self.pool.lock().remove_domain(domain.id.raw(), hv.machine.now_ns());
        debug_assert!(removed != Err(sched::Error::Busy), "domain left with vCPUs");
    }

    /// Enters a vCPU, which does not want to run yet.
    ///
    /// # Errors
    /// ENOMEM, ENOSPC.
    pub(crate) fn add_vcpu(&self, domain: &Domain, vcpu: &Vcpu) -> Result<(), Errno> {
        let mut pool = self.pool.lock();
        let all = pool.cpus();
        let unit = pool.add_unit(key(domain.id, vcpu.id), all, all).map_err(errno)?;
        vcpu.sched.unit.call_once(|| unit);
        Ok(())
    }

    /// Removes a vCPU that no pCPU holds.
    pub(crate) fn remove_vcpu(&self, hv: &Hypervisor, vcpu: &Vcpu) {
        let Some(unit) = vcpu.sched.unit() else { return };
        let removed = self.pool.lock().remove_unit(unit);
        if let Ok(Removal::Done(Some(cpu))) = removed {
            hv.raise(pcpu_id(cpu), Work::RESCHEDULE);
        }
        debug_assert!(!matches!(removed, Ok(Removal::Pending(_))), "vCPU removed while it runs");
    }

    /// Tells the scheduler what the vCPU's state asks for. Callers change the state first; whoever
    /// comes last tells the truth.
    pub fn update(&self, hv: &Hypervisor, vcpu: &Vcpu) {
        let Some(unit) = vcpu.sched.unit() else { return };
        let now = hv.machine.now_ns();
        let kick = {
            let mut pool = self.pool.lock();
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
        };
        if let Some(cpu) = kick {
            hv.raise(pcpu_id(cpu), Work::RESCHEDULE);
        }
    }

    /// The running vCPU lets others run; true when there may be any.
    pub fn yield_now(&self, pcpu: PcpuId) -> bool {
        cpu_id(pcpu).is_some_and(|cpu| self.pool.lock().yield_now(cpu))
    }

    /// Whether a pCPU has chosen the vCPU, and has not put it away since.
    pub(crate) fn is_held(&self, vcpu: &Vcpu) -> bool {
        vcpu.sched.unit().is_some_and(|unit| self.pool.lock().on_cpu(unit).is_some())
    }

    /// A vCPU's place, affinities and run time.
    pub fn info(&self, hv: &Hypervisor, vcpu: &Vcpu) -> Option<UnitInfo> {
        let now = hv.machine.now_ns();
        self.pool.lock().unit_info(vcpu.sched.unit()?, now)
    }
}

fn kick_all(hv: &Hypervisor, mut kick: CpuMask) {
    while let Some(cpu) = kick.first() {
        kick.remove(cpu);
        hv.raise(pcpu_id(cpu), Work::RESCHEDULE);
    }
}

/// The runstate of a vCPU that no pCPU holds.
fn resting_state(vcpu: &Vcpu) -> u32 {
    if vcpu.is_runnable() {
        RUNSTATE_runnable
    } else if vcpu.is_blocked() && vcpu.is_up() && !vcpu.is_paused() {
        RUNSTATE_blocked
    } else {
        RUNSTATE_offline
    }
}

impl Hypervisor {
    /// Does this pCPU's work before it enters a guest. Afterwards `local.current` says whether there
    /// is one to enter; `regs` are its registers.
    pub fn do_work(&self, local: &mut Local, regs: &mut Regs) {
        let Some(pcpu) = self.pcpu(local.id) else { return };
        while pcpu.has_work() {
            let work = pcpu.take_work();
            if work.contains(Work::REAP) {
                self.reap();
            }
            if work.contains(Work::DEBUG_KEY) {
                self.run_debug_keys();
            }
            if work.contains(Work::RESCHEDULE) {
                self.reschedule(local, regs);
            }
        }
    }

    /// Asks the scheduler what this pCPU runs, and switches.
    fn reschedule(&self, local: &mut Local, regs: &mut Regs) {
        let (Some(pcpu), Some(cpu)) = (self.pcpu(local.id), cpu_id(local.id)) else { return };
        let now = self.machine.now_ns();
        let decision = self.pools.pool.lock().schedule(cpu, now);
        kick_all(self, decision.kick);
        if decision.switch {
            if local.current.is_some() {
                self.switch_out(local, regs, now);
                let kick = self.pools.pool.lock().switched_out(cpu, now);
                kick_all(self, kick);
            }
            if let Some((_, key)) = decision.next {
                self.switch_in(local, regs, key, now);
            }
            pcpu.set_idle(now, local.current.is_none());
        }
        pcpu.set_slice_end(self, decision.deadline);
    }

    /// Puts the loaded vCPU away.
    fn switch_out(&self, local: &mut Local, regs: &Regs, now: u64) {
        let Some(Current { domain, vcpu }) = local.current.take() else { return };
        {
            let mut context = vcpu.context.lock();
            context.regs_mut().clone_from(regs);
            self.machine.save(&mut context);
            domain.guest.switched_out(self, &domain, &vcpu, &mut context);
        }
        vcpu.set_pcpu(None);
        vcpu.runstate.change(self, resting_state(&vcpu), now);
    }

    /// Loads a vCPU.
    fn switch_in(&self, local: &mut Local, regs: &mut Regs, key: UnitKey, now: u64) {
        let found = Domid::new(key.domid).and_then(|id| self.domains.get(id)).and_then(|domain| {
            let vcpu = domain.vcpu(usize::from(key.vcpu))?.clone();
            Some(Current { domain, vcpu })
        });
        // A vCPU leaves its pool before its domain leaves the table.
        let Some(current) = found else { return };
        current.vcpu.set_pcpu(Some(local.id));
        {
            let mut context = current.vcpu.context.lock();
            self.machine.load(&context);
            self.machine.set_stage2(current.domain.root);
            current.domain.guest.switching_in(self, &current.vcpu, &mut context);
            regs.clone_from(context.regs());
        }
        current.vcpu.runstate.change(self, RUNSTATE_running, now);
        local.current = Some(current);
    }

    /// This pCPU's timer interrupt.
    pub fn timer_interrupt(&self, local: &Local) {
        let Some(pcpu) = self.pcpu(local.id) else { return };
        let now = self.machine.now_ns();
        for _ in 0..EXPIRIES {
            let expired = pcpu.timers.lock().pop_expired(now);
            let Some(expired) = expired else { break };
            let Some(domain) = self.domains.get(expired.domid) else { continue };
            let vcpu = domain.vcpu(usize::from(expired.vcpu));
            match (expired.kind, vcpu) {
                (TimerKind::Guest, Some(vcpu)) => {
                    if domain.guest.timer_expired(self, vcpu) {
                        self.kick(vcpu);
                    }
                }
                (TimerKind::Poll, Some(vcpu)) => {
                    domain.events.poll_end(vcpu);
                    self.kick(vcpu);
                }
                (TimerKind::Watchdog(_), _) => domain.watchdog_expired(self),
                (_, None) => {}
            }
        }
        if pcpu.slice_over(now) {
            pcpu.raise(Work::RESCHEDULE);
            // The scheduler sets the next one; until then the timer must not fire for this one.
            pcpu.set_slice_end(self, None);
        } else {
            pcpu.arm_timer(self);
        }
    }
}
