//! The switch from one vCPU to another.
//!
//! The crate `sched` decides, [`Pools`](crate::pools::Pools) tells it what vCPUs want, and this module
//! carries its decisions out.

use crate::Hypervisor;
use crate::domain::Vcpu;
use crate::pcpu::{Current, Local, Work};
use crate::timer::TimerKind;
use hal::{Domid, MachineOps as _, PcpuId, VcpuContext as _};
use machine::Regs;
use sched::{CpuId, CpuMask, Decision, UnitKey};
use xen_abi::vcpu::{RUNSTATE_blocked, RUNSTATE_offline, RUNSTATE_runnable, RUNSTATE_running};

/// Timers that one interrupt handles at most; the rest comes with the next, at once.
const EXPIRIES: usize = 32;
/// What a pCPU does that is in no pool: it has left the last one idle, and stays so.
const NO_POOL: Decision = Decision { next: None, deadline: None, switch: false, kick: CpuMask::EMPTY };

fn cpu_id(pcpu: PcpuId) -> Option<CpuId> {
    CpuId::new(pcpu.index())
}

pub(crate) fn pcpu_id(cpu: CpuId) -> PcpuId {
    PcpuId(cpu.index() as u32)
}

fn kick_all(hv: &Hypervisor, mut kick: CpuMask) {
    while let Some(cpu) = kick.first() {
        kick.remove(cpu);
        hv.raise(pcpu_id(cpu), Work::RESCHEDULE);
    }
}

/// The runstate of a vCPU that no pCPU holds.
pub(crate) fn resting_state(vcpu: &Vcpu) -> u32 {
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
        let decision = self.pools.of_cpu(cpu, |pool| pool.schedule(cpu, now)).unwrap_or(NO_POOL);
        kick_all(self, decision.kick);
        if decision.switch {
            if local.current.is_some() {
                self.switch_out(local, regs, now);
                let kick = self.pools.of_cpu(cpu, |pool| pool.switched_out(cpu, now));
                kick_all(self, kick.unwrap_or(CpuMask::EMPTY));
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
