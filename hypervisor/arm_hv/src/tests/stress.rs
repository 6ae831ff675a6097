//! pCPUs that are threads: guests that pass an interrupt on and wait, so that a wake-up that is lost
//! stops them, which the fake machine notices.

use crate::guest::{ArmGuest, enter_at};
use crate::testkit::*;
use crate::trap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use arch_fake::{Config, Idle, MachineEnd, Op, Trap, catch_end};
use arm_vm::exit::AccessSize;
use arm_vm::vgic::SgiKind;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use hal::{MachineOps as _, PcpuId};
use hv_core::{Domain, Hypervisor, Local};
use machine::Regs;
use std::time::Instant;

/// The interrupt that goes round.
const TOKEN: u32 = 1;
const VIRTUAL_TIMER: u32 = 27;
const WFI: u64 = 0x01 << 26 | 1 << 25;

/// How far a domain's interrupt has come.
struct Ring {
    domain: Arc<Domain>,
    hops: AtomicU64,
}

/// What the threads share.
struct Run {
    hv: &'static Hypervisor,
    rings: Vec<Ring>,
    /// Hops after which a ring has done enough.
    goal: u64,
    /// All rings have, or a pCPU has failed.
    done: AtomicBool,
    /// The pCPUs are to end; set once nothing waits for them any more.
    stop: Arc<AtomicBool>,
}

impl Run {
    /// A pCPU: runs guests until all is done.
    fn pcpu(&self, cpu: PcpuId) {
        let (hv, mut local, mut regs) = (self.hv, Local::new(cpu), Regs::default());
        hv.machine.on_cpu(cpu);
        hv.raise(cpu, hv_core::Work::RESCHEDULE);
        let mut steps = u64::from(cpu.0);
        let ended = catch_end(|| {
            trap::leave(hv, &mut local, &mut regs);
            while !self.stop.load(Ordering::SeqCst) {
                steps += 1;
                self.step(cpu, &mut local, &mut regs, steps);
            }
        });
        assert!(matches!(ended, Ok(()) | Err(MachineEnd::PowerOff)), "{ended:?}");
    }

    /// The guest on a pCPU does one thing.
    fn step(&self, cpu: PcpuId, local: &mut Local, regs: &mut Regs, steps: u64) {
        let (hv, machine) = (self.hv, self.hv.machine);
        if machine.interrupt_waits(cpu) {
            trap::interrupted(hv, local, regs);
            return;
        }
        let current = local.current.as_ref().expect("the pCPU entered a guest");
        let (id, vcpus) = (current.vcpu.id, current.domain.max_vcpus);
        let ring = self.rings.iter().find(|ring| ring.domain.id == current.domain.id);
        match machine.guest_ack(cpu) {
            Some(VIRTUAL_TIMER) => {
                machine.with_loaded(cpu, |regs| regs.sys.cntv_ctl_el0 = 0);
                machine.guest_eoi(cpu, VIRTUAL_TIMER);
            }
            Some(TOKEN) => {
                let ring = ring.expect("only rings have the interrupt");
                machine.guest_eoi(cpu, TOKEN);
                ring.hops.fetch_add(1, Ordering::SeqCst);
                if self.rings.iter().all(|ring| ring.hops.load(Ordering::SeqCst) >= self.goal) {
                    self.done.store(true, Ordering::SeqCst);
                }
                // ICC_SGI1R_EL1 from x8.
                regs.x[8] = u64::from(TOKEN) << 24 | 1 << ((id + 1) % vcpus);
                let esr = 0x18 << 26 | 1 << 25 | 3 << 20 | 5 << 17 | 12 << 10 | 8 << 5 | 11 << 1;
                machine.set_trap(cpu, Trap { esr, ..Trap::default() });
                trap::synchronous(hv, local, regs);
            }
            Some(other) => panic!("interrupt {other}"),
            None => {
                // Some wait with a timer, which may be due before they wait.
                if steps.is_multiple_of(3) {
                    let now = machine.ticks();
                    machine.with_loaded(cpu, |regs| {
                        regs.sys.cntv_cval_el0 = now - regs.sys.cntvoff_el2 + steps % 50;
                        regs.sys.cntv_ctl_el0 = 1;
                    });
                }
                machine.set_trap(cpu, Trap { esr: WFI, ..Trap::default() });
                trap::synchronous(hv, local, regs);
            }
        }
    }

    /// Runs the pCPUs from `first` on until all is done; `beside` runs meanwhile, again and again, and
    /// says when it has run often enough.
    fn run(&self, first: u32, mut beside: impl FnMut() -> bool) {
        let machine = self.hv.machine;
        let stop = self.stop.clone();
        machine.set_hook(move |machine, event| {
            if event.op == Op::Idle && stop.load(Ordering::SeqCst) {
                machine.power_off();
            }
        });
        std::thread::scope(|scope| {
            let pcpus = (first..machine.nr_cpus()).map(PcpuId);
            let threads: Vec<_> = pcpus.map(|cpu| scope.spawn(move || self.pcpu(cpu))).collect();
            let ending = Ending(self);
            let patience = Instant::now() + Duration::from_secs(120);
            let mut enough = false;
            while !(threads.iter().any(|t| t.is_finished()) || enough && self.done.load(Ordering::SeqCst)) {
                assert!(Instant::now() < patience, "the interrupts do not go round any more");
                enough = beside();
                machine.advance(3_000);
                std::thread::sleep(Duration::from_micros(20));
            }
            drop(ending);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
        machine.clear_hook();
    }
}

/// Stops the pCPUs when dropped, also by a panic, which would else wait for them forever.
struct Ending<'a>(&'a Run);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::SeqCst);
        let machine = self.0.hv.machine;
        (0..machine.nr_cpus()).for_each(|cpu| machine.poke(PcpuId(cpu)));
    }
}

/// All vCPUs of new domains up, with their interrupt controllers open, an interrupt pending for the
/// first of each.
fn rings(world: &World, domains: u16, vcpus: usize) -> Vec<Ring> {
    let hv = world.hv;
    (1..=domains)
        .map(|id| {
            let domain = world.domain_down(id, vcpus);
            let guest = ArmGuest::of(&domain).unwrap();
            for vcpu in domain.vcpus() {
                let mut context = vcpu.context.lock();
                guest.start_vcpu(hv, &domain, vcpu.id, |offset| {
                    enter_at(vcpu.id, ENTRY, 0, offset, &mut context)
                });
                context.gic.vmcr = 0xf0 << 24 | 3;
                drop(context);
                open(world, guest, vcpu.id);
            }
            let kicks = guest.vgic.send_sgi(0, SgiKind::Sgi1r, u64::from(TOKEN) << 24 | 1);
            assert!(kicks.contains(0));
            for vcpu in domain.vcpus() {
                hv.bring_up(vcpu);
            }
            hv.unpause_domain(&domain).unwrap();
            Ring { domain, hops: AtomicU64::new(0) }
        })
        .collect()
}

/// Enables a vCPU's private interrupts, as its own accesses would.
fn open(world: &World, guest: &ArmGuest, vcpu: usize) {
    let vgic = &guest.vgic;
    let write = |at: u64, value: u64| {
        let (region, offset) = vgic.locate(at).unwrap();
        vgic.write(vcpu, region, offset, AccessSize::Word, value).unwrap();
    };
    let base = world.distributor();
    write(base, 3);
    let own = xen_abi::arch_arm::GUEST_GICV3_GICR0_BASE + vcpu as u64 * 0x2_0000;
    for n in (0..32).step_by(4) {
        write(own + 0x1_0400 + n, 0xa0a0_a0a0);
    }
    write(own + GICR_ISENABLER0, u32::MAX.into());
}

fn config(cpus: u32) -> Config {
    Config { cpus, idle: Idle::Block, clock_step_ns: 20, log: false, ..Config::hostile() }
}

#[test]
fn interrupts_go_round_among_more_vcpus_than_pcpus() {
    let world = World::unsettled(config(3));
    let rings = rings(&world, 3, 3);
    let run = Run { hv: world.hv, rings, goal: 300, done: AtomicBool::new(false), stop: Arc::default() };
    run.run(0, || true);
    for ring in &run.rings {
        assert!(ring.hops.load(Ordering::SeqCst) >= run.goal);
    }
    world.machine().assert_no_faults();
}

#[test]
fn domains_come_and_go_while_others_run() {
    let world = World::unsettled(config(3));
    let rings = rings(&world, 1, 3);
    for ring in &rings {
        for vcpu in ring.domain.vcpus() {
            world.pin_to(vcpu, 0b110);
        }
    }
    let hv = world.hv;
    let free = hv.frames.free_frames();
    let run = Run { hv, rings, goal: 300, done: AtomicBool::new(false), stop: Arc::default() };
    let mut made = 0;
    run.run(1, || {
        // This thread plays pCPU 0, which has no vCPU.
        let domain = world.domain_down(7, 2);
        let guest = ArmGuest::of(&domain).unwrap();
        for vcpu in domain.vcpus() {
            world.pin_to(vcpu, 0b110);
            let mut context = vcpu.context.lock();
            guest
                .start_vcpu(hv, &domain, vcpu.id, |offset| enter_at(vcpu.id, ENTRY, 0, offset, &mut context));
            drop(context);
            hv.bring_up(vcpu);
        }
        hv.unpause_domain(&domain).unwrap();
        std::thread::sleep(Duration::from_micros(200));
        let patience = Instant::now() + Duration::from_secs(30);
        while !hv.destroy_domain(&domain).unwrap() {
            assert!(Instant::now() < patience, "the domain never ends");
            std::thread::yield_now();
        }
        made += 1;
        made >= 20
    });
    assert_eq!(hv.frames.free_frames(), free);
    world.machine().assert_no_faults();
}
