//! For tests: pCPUs that run vCPUs as the scheduler says.

use super::World;
use crate::domain::{Domain, Vcpu};
use crate::hypercall::serve;
use crate::{Hypervisor, Local, Work};
use alloc::sync::Arc;
use hal::PcpuId;
use machine::Regs;
use sched::{CpuId, CpuMask, Pool};

/// A pCPU: what its trap handler has.
pub struct Cpu {
    hv: &'static Hypervisor,
    /// Its own side.
    pub local: Local,
    /// The registers of the guest that it runs.
    pub regs: Regs,
}

impl Cpu {
    /// An idle pCPU.
    pub fn new(world: &World, id: u32) -> Self {
        Self { hv: world.hv, local: Local::new(PcpuId(id)), regs: Regs::default() }
    }

    /// Runs code on it.
    pub fn on<T>(&mut self, f: impl FnOnce(&'static Hypervisor, &mut Local, &mut Regs) -> T) -> T {
        let hv = self.hv;
        hv.machine.run_on(self.local.id, || f(hv, &mut self.local, &mut self.regs))
    }

    /// Does the work that waits, as before it enters a guest.
    pub fn work(&mut self) {
        self.on(|hv, local, regs| hv.do_work(local, regs));
    }

    /// Asks the scheduler what to run, and runs it.
    pub fn reschedule(&mut self) {
        self.hv.cpus[self.local.id.index()].raise(Work::RESCHEDULE);
        self.work();
    }

    /// Takes the interrupts that wait: pokes and the timer.
    pub fn interrupt(&mut self) {
        self.hv.machine.take_poke(self.local.id);
        if self.hv.machine.timer_due(self.local.id) {
            self.on(|hv, local, _| hv.timer_interrupt(local));
        }
        self.work();
    }

    /// The vCPU that it runs: numbers of domain and vCPU.
    pub fn runs(&self) -> Option<(u16, usize)> {
        self.local.current.as_ref().map(|current| (current.domain.id.raw(), current.vcpu.id))
    }

    /// Its guest issues a hypercall, again as often as it asks for that, and enters the guest again.
    pub fn hypercall(&mut self, number: u64, args: [u64; 5]) -> u64 {
        use hal::GuestRegs as _;
        self.regs.x[16] = number;
        self.regs.x[..5].copy_from_slice(&args);
        loop {
            let pc = self.regs.pc;
            self.on(|hv, local, regs| {
                let current = local.current.as_ref().expect("a guest runs");
                serve(hv, &current.domain, &current.vcpu, regs);
            });
            let again = self.regs.pc != pc;
            assert_eq!(self.regs.hypercall_number(), number);
            if !again {
                let result = self.regs.x[0];
                self.work();
                return result;
            }
            self.regs.pc = pc;
        }
    }
}

/// Ties a vCPU to a pCPU.
pub fn pin(world: &World, vcpu: &Arc<Vcpu>, cpu: u32) {
    let mut mask = CpuMask::EMPTY;
    mask.insert(CpuId::new(cpu as usize).unwrap());
    let set = |pool: &mut Pool, unit, now| ((), pool.set_affinity(unit, mask, mask, now).unwrap());
    world.hv.pools.with_vcpu(world.hv, vcpu, set).unwrap();
}

/// Ties all vCPUs of a domain to a pCPU.
pub fn pin_all(world: &World, domain: &Domain, cpu: u32) {
    for vcpu in domain.vcpus() {
        pin(world, vcpu, cpu);
    }
}
