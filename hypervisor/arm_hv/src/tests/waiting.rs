//! WFI, WFE and CPU_SUSPEND, and what ends them.

use crate::testkit::*;
use arch_fake::Trap;

#[test]
fn vcpu_that_waits_leaves_its_pcpu_until_an_interrupt_comes() {
    let mut world = World::new();
    let domain = world.domain(1, 2);
    let first = domain.vcpu(0).unwrap();
    let second = world.start(&domain, 1);
    world.open_gic(&second);
    let pc = world.regs(&second).pc;
    world.wfi(&second);
    world.settle();
    assert!(second.is_blocked() && second.pcpu().is_none());
    world.sgi(first, 1, 2);
    world.settle();
    assert!(!second.is_blocked());
    assert_eq!(world.regs(&second).pc, pc + 4);
    assert_eq!(world.drain(&second), [1]);
}

#[test]
fn wait_with_an_interrupt_pending_ends_at_once() {
    let mut world = World::new();
    let vcpu = world.domain(1, 1).vcpu(0).unwrap().clone();
    world.open_gic(&vcpu);
    world.sgi(&vcpu, 1, 1);
    world.wfi(&vcpu);
    assert!(!vcpu.is_blocked());
    assert_eq!(world.drain(&vcpu), [1]);
}

#[test]
fn interrupt_that_the_guest_masks_does_not_end_a_wait() {
    let mut world = World::new();
    let domain = world.domain(1, 2);
    let first = domain.vcpu(0).unwrap();
    let second = world.start(&domain, 1);
    world.open_gic(&second);
    world.loaded(&second, |regs| regs.gic.vmcr &= !(0xff << 24));
    world.sgi(first, 1, 2);
    world.settle();
    world.wfi(&second);
    world.settle();
    assert!(second.is_blocked());
}

#[test]
fn suspended_vcpu_is_woken_by_an_interrupt_that_its_interface_masks() {
    let mut world = World::new();
    let domain = world.domain(1, 2);
    let first = domain.vcpu(0).unwrap();
    let second = world.start(&domain, 1);
    world.open_gic(&second);
    world.loaded(&second, |regs| regs.gic.vmcr = 0);
    world.regs(&second).x[0] = CPU_SUSPEND;
    world.hvc(&second, 0);
    world.settle();
    assert!(second.is_blocked());
    world.sgi(first, 1, 2);
    world.settle();
    assert_eq!(world.regs(&second).x[0], 0);
    // Pending, it ends the next call at once.
    world.regs(&second).x[0] = CPU_SUSPEND;
    world.hvc(&second, 0);
    assert!(!second.is_blocked());
}

#[test]
fn wait_for_an_event_lets_others_run() {
    let mut world = World::cpus(1);
    let (one, other) = (world.domain(1, 1), world.domain(2, 1));
    let (one, other) = (one.vcpu(0).unwrap(), other.vcpu(0).unwrap());
    let mut turns = [0, 0];
    for _ in 0..6 {
        let (domid, _) = world.running(0).unwrap();
        turns[usize::from(domid) - 1] += 1;
        let vcpu = if domid == 1 { one } else { other };
        let pc = world.regs(vcpu).pc;
        world.advance(2_000_000);
        if vcpu.pcpu().is_some() {
            assert_eq!(world.regs(vcpu).pc, pc);
            world.exit(vcpu, Trap { esr: 0x01 << 26 | 1 << 25 | 1, ..Trap::default() });
        }
        world.settle();
    }
    assert!(turns[0] > 1 && turns[1] > 1, "{turns:?}");
    assert!(!one.is_blocked() && !other.is_blocked());
}
