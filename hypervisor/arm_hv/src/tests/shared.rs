//! Shared physical interrupts: the hypervisor's own, a domain's, and nobody's.

use crate::testkit::*;
use alloc::sync::Arc;
use arm_regs::ArmOps as _;
use hal::MachineOps as _;
use hv_core::Domain;

/// A line that dom0 owns.
const LINE: u32 = 40;

/// Dom0 with the line enabled and its interrupt controllers in use.
fn dom0(world: &mut World, vcpus: usize) -> Arc<Domain> {
    let domain = world.dom0(vcpus, &[LINE]);
    let first = domain.vcpu(0).unwrap();
    world.open_gic(first);
    for id in 1..vcpus {
        let vcpu = world.start(&domain, id);
        world.open_gic(&vcpu);
    }
    route(world, &domain, 0);
    let distributor = world.distributor();
    world.store(first, distributor + 0x400 + u64::from(LINE), 0xa0a0_a0a0);
    assert!(!world.machine().irq_line(LINE).enabled);
    world.store(first, distributor + GICD_ISENABLER + 4, 1 << (LINE - 32));
    domain
}

/// The guest sends the line to a vCPU.
fn route(world: &mut World, domain: &Domain, to: u64) {
    let first = domain.vcpu(0).unwrap();
    let distributor = world.distributor();
    if world.is_v2() {
        world.mmio(first, distributor + GICD_ITARGETSR + u64::from(LINE), 0, Some(1 << to)).unwrap();
    } else {
        world.mmio(first, distributor + GICD_IROUTER + u64::from(LINE) * 8, 3, Some(to)).unwrap();
    }
}

#[test]
fn level_line_interrupts_until_the_device_is_served() {
    for mut world in [World::new(), World::v2()] {
        let domain = dom0(&mut world, 1);
        let vcpu = domain.vcpu(0).unwrap();
        let line = world.machine().irq_line(LINE);
        assert_eq!((line.enabled, line.cpu), (true, world.cpu_of(vcpu)));
        world.machine().hold_irq(LINE, true);
        assert_eq!(world.ack(vcpu), Some(LINE));
        assert!(world.machine().irq_line(LINE).active);
        // Not served yet: it comes again, through the hardware.
        world.eoi(vcpu, LINE);
        assert_eq!(world.ack(vcpu), Some(LINE));
        world.machine().hold_irq(LINE, false);
        world.eoi(vcpu, LINE);
        assert_eq!(world.ack(vcpu), None);
        assert_eq!(world.machine().active_irqs(), []);
    }
}

#[test]
fn line_goes_to_the_vcpu_that_dom0_routes_it_to() {
    let mut world = World::new();
    let domain = dom0(&mut world, 2);
    let (first, second) = (domain.vcpu(0).unwrap(), domain.vcpu(1).unwrap());
    route(&mut world, &domain, 1);
    assert_eq!(world.machine().irq_line(LINE).cpu, world.cpu_of(second));
    world.machine().raise_irq(LINE);
    world.settle();
    assert_eq!(world.ack(first), None);
    assert_eq!(world.drain(second), [LINE]);
}

#[test]
fn line_wakes_dom0_from_the_idle_loop_and_beside_another_domain() {
    let mut world = World::cpus(1);
    let domain = dom0(&mut world, 1);
    let vcpu = domain.vcpu(0).unwrap();
    world.wfi(vcpu);
    assert_eq!(world.running(0), None);
    world.machine().raise_irq(LINE);
    assert_eq!(world.drain(vcpu), [LINE]);
    world.wfi(vcpu);
    let other = world.domain(1, 1);
    assert_eq!(world.running(0), Some((1, 0)));
    world.machine().raise_irq(LINE);
    world.settle();
    for _ in 0..1000 {
        if vcpu.pcpu().is_some() {
            break;
        }
        world.advance(1_000_000);
    }
    assert_eq!(world.drain(vcpu), [LINE]);
    assert_eq!(world.machine().active_irqs(), []);
    drop(other);
}

#[test]
fn line_in_work_follows_dom0_to_another_pcpu() {
    let mut world = World::new();
    let domain = dom0(&mut world, 1);
    let vcpu = domain.vcpu(0).unwrap();
    let from = world.cpu_of(vcpu);
    world.machine().hold_irq(LINE, true);
    assert_eq!(world.ack(vcpu), Some(LINE));
    world.pin(vcpu, 1 - from.0);
    assert_ne!(world.cpu_of(vcpu), from);
    world.machine().hold_irq(LINE, false);
    world.eoi(vcpu, LINE);
    assert_eq!(world.machine().active_irqs(), []);
    world.machine().raise_irq(LINE);
    assert_eq!(world.drain(vcpu), [LINE]);
}

#[test]
fn line_that_dom0_disables_is_quiet_and_comes_when_it_is_enabled() {
    let mut world = World::new();
    let domain = dom0(&mut world, 1);
    let vcpu = domain.vcpu(0).unwrap();
    let distributor = world.distributor();
    world.store(vcpu, distributor + GICD_ICENABLER + 4, 1 << (LINE - 32));
    assert!(!world.machine().irq_line(LINE).enabled);
    world.machine().hold_irq(LINE, true);
    assert_eq!(world.ack(vcpu), None);
    world.store(vcpu, distributor + GICD_ISENABLER + 4, 1 << (LINE - 32));
    assert_eq!(world.ack(vcpu), Some(LINE));
    world.machine().hold_irq(LINE, false);
    world.eoi(vcpu, LINE);
    assert_eq!(world.machine().active_irqs(), []);
}

#[test]
fn line_disabled_while_it_is_pending_in_a_list_register_is_given_back() {
    let mut world = World::new();
    let domain = dom0(&mut world, 1);
    let vcpu = domain.vcpu(0).unwrap();
    let distributor = world.distributor();
    world.machine().hold_irq(LINE, true);
    world.settle();
    assert!(world.machine().irq_line(LINE).active);
    world.store(vcpu, distributor + GICD_ICENABLER + 4, 1 << (LINE - 32));
    assert_eq!(world.ack(vcpu), None);
    world.machine().hold_irq(LINE, false);
    world.store(vcpu, distributor + GICD_ISENABLER + 4, 1 << (LINE - 32));
    // The interrupt was latched when it came; once it has been taken all is at rest.
    world.drain(vcpu);
    assert_eq!(world.machine().active_irqs(), []);
    world.machine().hold_irq(LINE, true);
    assert_eq!(world.ack(vcpu), Some(LINE));
}

#[test]
fn trigger_is_set_before_a_line_is_enabled() {
    let mut world = World::new();
    let domain = world.dom0(1, &[LINE]);
    let vcpu = domain.vcpu(0).unwrap();
    let distributor = world.distributor();
    // GICD_ICFGR: edge.
    world.store(vcpu, distributor + 0xc00 + u64::from(LINE) / 16 * 4, 2 << (LINE % 16 * 2));
    world.store(vcpu, distributor + GICD_ISENABLER + 4, 1 << (LINE - 32));
    let line = world.machine().irq_line(LINE);
    assert_eq!((line.config, line.enabled), (hal::IrqConfig::Edge, true));
}

#[test]
fn line_that_nobody_owns_is_disabled() {
    let mut world = World::new();
    let domain = dom0(&mut world, 1);
    world.machine().irq_enable(50);
    world.machine().hold_irq(50, true);
    world.settle();
    let line = world.machine().irq_line(50);
    assert!(!line.enabled && !line.active);
    assert_eq!(world.ack(domain.vcpu(0).unwrap()), None);
}

#[test]
fn console_takes_what_was_typed_and_belongs_to_no_domain() {
    let mut world = World::new();
    let domain = dom0(&mut world, 1);
    let machine = world.machine();
    machine.irq_enable(CONSOLE);
    machine.type_console(b"ls\n");
    machine.raise_irq(CONSOLE);
    world.settle();
    assert_eq!((machine.console_read(), machine.active_irqs().len()), (None, 0));
    let platform = crate::ArmPlatform::of(world.hv).unwrap();
    assert!(!platform.give(CONSOLE, domain.id) && platform.owner(CONSOLE).is_none());
    assert!(!platform.give(5, domain.id) && !platform.give(5000, domain.id));
}
