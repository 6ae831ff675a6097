//! A guest's virtual timer, which the hardware watches while the guest runs, and its physical timer,
//! which is emulated.

use crate::testkit::*;
use alloc::sync::Arc;
use arch_fake::{Event, Op};
use hal::{MachineOps as _, PcpuId};
use hv_core::Vcpu;

const VIRTUAL: u32 = 27;
const PHYSICAL: u32 = 30;
/// 10 microseconds.
const TICKS: u64 = 625;
const NS: u64 = TICKS * 16;

fn guest(world: &mut World, id: u16) -> Arc<Vcpu> {
    let vcpu = world.domain(id, 1).vcpu(0).unwrap().clone();
    world.open_gic(&vcpu);
    vcpu
}

/// The guest handles its virtual timer: stops it and ends the interrupt.
#[track_caller]
fn handle_virtual(world: &mut World, vcpu: &Vcpu) {
    assert_eq!(world.ack(vcpu), Some(VIRTUAL));
    world.loaded(vcpu, |regs| {
        assert!(regs.sys.cntv_ctl_el0 & 1 != 0);
        regs.sys.cntv_ctl_el0 = 0;
    });
    world.eoi(vcpu, VIRTUAL);
    assert_eq!(world.ack(vcpu), None);
}

#[test]
fn virtual_timer_interrupts_the_running_guest_once() {
    let mut world = World::new();
    let vcpu = guest(&mut world, 1);
    for _ in 0..3 {
        world.set_virtual_timer(&vcpu, TICKS);
        world.advance(NS - 1);
        assert_eq!(world.ack(&vcpu), None);
        world.advance(1);
        let cpu = world.cpu_of(&vcpu);
        assert!(world.machine().run_on(cpu, || world.machine().irq_line(VIRTUAL).active));
        handle_virtual(&mut world, &vcpu);
        assert_eq!(world.machine().active_irqs(), []);
    }
}

#[test]
fn virtual_timer_that_stays_due_interrupts_again() {
    let mut world = World::new();
    let vcpu = guest(&mut world, 1);
    world.set_virtual_timer(&vcpu, TICKS);
    world.advance(NS);
    assert_eq!(world.ack(&vcpu), Some(VIRTUAL));
    world.eoi(&vcpu, VIRTUAL);
    handle_virtual(&mut world, &vcpu);
}

#[test]
fn virtual_timer_wakes_a_guest_that_waits() {
    let mut world = World::new();
    let vcpu = guest(&mut world, 1);
    world.set_virtual_timer(&vcpu, TICKS);
    world.wfi(&vcpu);
    assert!(vcpu.is_blocked() && vcpu.timer.is_running());
    world.advance(NS - 1);
    assert!(vcpu.is_blocked());
    world.advance(1);
    assert!(!vcpu.is_blocked());
    handle_virtual(&mut world, &vcpu);
}

#[test]
fn virtual_timer_that_is_due_when_the_guest_begins_to_wait_ends_the_wait() {
    let mut world = World::new();
    let vcpu = guest(&mut world, 1);
    world.set_virtual_timer(&vcpu, TICKS);
    // The interrupt is pending in the hardware when the WFI traps; nobody has taken it.
    world.machine().advance(NS);
    world.wfi(&vcpu);
    world.settle();
    assert!(!vcpu.is_blocked());
    handle_virtual(&mut world, &vcpu);
}

#[test]
fn virtual_timer_is_due_while_another_vcpu_has_the_pcpu() {
    let mut world = World::cpus(1);
    let one = guest(&mut world, 1);
    world.set_virtual_timer(&one, TICKS);
    world.wfi(&one);
    let other = guest(&mut world, 2);
    assert_eq!(world.running(0), Some((2, 0)));
    world.advance(NS);
    // The other gets nothing of it, now or later.
    for _ in 0..1000 {
        if one.pcpu().is_some() {
            break;
        }
        assert_eq!(world.ack(&other), None);
        world.advance(1_000_000);
    }
    handle_virtual(&mut world, &one);
    assert_eq!(world.machine().active_irqs(), []);
}

#[test]
fn virtual_timer_in_work_does_not_hold_up_the_next_guests() {
    let mut world = World::cpus(1);
    let one = guest(&mut world, 1);
    world.set_virtual_timer(&one, TICKS);
    world.advance(NS);
    assert_eq!(world.ack(&one), Some(VIRTUAL));
    // The handler is preempted for the other guest, whose timer comes through.
    let other = guest_beside(&mut world, &one);
    assert_eq!(world.machine().active_irqs(), []);
    world.set_virtual_timer(&other, TICKS);
    world.advance(NS);
    handle_virtual(&mut world, &other);
    world.wfi(&other);
    assert_eq!(world.running(0), Some((1, 0)));
    assert_eq!(world.machine().active_irqs(), [(Some(PcpuId(0)), VIRTUAL)]);
    world.loaded(&one, |regs| regs.sys.cntv_ctl_el0 = 0);
    world.eoi(&one, VIRTUAL);
    assert_eq!((world.ack(&one), world.machine().active_irqs().len()), (None, 0));
}

#[test]
fn virtual_timer_fires_again_after_its_guest_was_preempted() {
    let mut world = World::cpus(1);
    let one = guest(&mut world, 1);
    world.set_virtual_timer(&one, TICKS);
    world.advance(NS);
    assert_eq!(world.ack(&one), Some(VIRTUAL));
    // The handler sets the next deadline and ends the interrupt, of which the model hears nothing.
    world.set_virtual_timer(&one, 5000 * TICKS);
    world.eoi(&one, VIRTUAL);
    let other = guest_beside(&mut world, &one);
    for _ in 0..1000 {
        if one.pcpu().is_some() && world.machine().now_ns() > 5001 * NS {
            break;
        }
        world.advance(1_000_000);
    }
    handle_virtual(&mut world, &one);
    assert_eq!((other.pcpu(), world.machine().active_irqs()), (None, [].into()));
}

/// Adds a guest on the pCPU of one that runs there, and lets the time slice of that one pass.
fn guest_beside(world: &mut World, one: &Vcpu) -> Arc<Vcpu> {
    let other = world.domain(2, 1).vcpu(0).unwrap().clone();
    for _ in 0..1000 {
        if other.pcpu().is_some() {
            break;
        }
        world.advance(1_000_000);
    }
    assert!(one.pcpu().is_none());
    world.open_gic(&other);
    other
}

#[test]
fn counter_starts_at_zero_when_the_domain_is_made() {
    let mut world = World::new();
    world.machine().advance(16 * 1000);
    let domain = world.domain(1, 2);
    let second = world.start(&domain, 1);
    for vcpu in [domain.vcpu(0).unwrap(), &second] {
        assert_eq!(world.loaded(vcpu, |regs| regs.sys.cntvoff_el2), 1000);
    }
}

#[test]
fn physical_timer_is_a_level_that_the_guest_takes_back() {
    let mut world = World::new();
    let vcpu = guest(&mut world, 1);
    let now = world.machine().ticks();
    world.sysreg(&vcpu, CNTP_CVAL, Some(now + TICKS)).unwrap();
    world.sysreg(&vcpu, CNTP_CTL, Some(1)).unwrap();
    assert_eq!(world.sysreg(&vcpu, CNTP_CTL, None), Ok(1));
    world.advance(NS - 1);
    assert_eq!(world.ack(&vcpu), None);
    world.advance(1);
    assert_eq!(world.sysreg(&vcpu, CNTP_CTL, None), Ok(5));
    assert_eq!(world.ack(&vcpu), Some(PHYSICAL));
    // Still due when the guest ends the interrupt: it comes again.
    world.eoi(&vcpu, PHYSICAL);
    assert_eq!(world.ack(&vcpu), Some(PHYSICAL));
    world.sysreg(&vcpu, CNTP_CTL, Some(0)).unwrap();
    world.eoi(&vcpu, PHYSICAL);
    assert_eq!(world.ack(&vcpu), None);
}

#[test]
fn physical_timer_wakes_a_guest_and_follows_it() {
    let mut world = World::new();
    let vcpu = guest(&mut world, 1);
    let now = world.machine().ticks();
    world.sysreg(&vcpu, CNTP_CVAL, Some(now + TICKS)).unwrap();
    world.sysreg(&vcpu, CNTP_CTL, Some(1)).unwrap();
    world.set_virtual_timer(&vcpu, 2 * TICKS);
    world.wfi(&vcpu);
    world.advance(NS - 1);
    assert!(vcpu.is_blocked());
    world.advance(1);
    assert_eq!(world.ack(&vcpu), Some(PHYSICAL));
    world.sysreg(&vcpu, CNTP_CTL, Some(0)).unwrap();
    world.eoi(&vcpu, PHYSICAL);
    // The virtual one is still to come.
    world.wfi(&vcpu);
    assert!(vcpu.is_blocked());
    world.advance(NS);
    handle_virtual(&mut world, &vcpu);
}

#[test]
fn timer_that_the_guest_sets_back_does_not_wake_it() {
    let mut world = World::new();
    let vcpu = guest(&mut world, 1);
    let now = world.machine().ticks();
    world.sysreg(&vcpu, CNTP_CVAL, Some(now + TICKS)).unwrap();
    world.sysreg(&vcpu, CNTP_CTL, Some(1)).unwrap();
    world.sysreg(&vcpu, CNTP_CTL, Some(3)).unwrap();
    world.wfi(&vcpu);
    world.advance(10 * NS);
    assert!(vcpu.is_blocked());
}

#[test]
fn end_of_a_time_slice_is_one_interrupt() {
    let mut world = World::cpus(1);
    let one = world.domain(1, 1);
    let other = world.domain(2, 1);
    let before = world.running(0);
    world.machine().take_log();
    let mut served = 0;
    while world.running(0) == before {
        assert!(served < 1000, "no switch");
        let next = world.machine().timer_of(PcpuId(0)).unwrap();
        world.machine().advance(next - world.machine().now_ns());
        world.machine().take_log();
        world.interrupt(PcpuId(0));
        let log = world.machine().take_log();
        let count = log.iter().filter(|Event { op, .. }| *op == Op::IrqDeactivate { irq: 26 }).count();
        assert_eq!(count, 1, "the timer's interrupt is served once each time");
        served += 1;
    }
    drop((one, other));
}
