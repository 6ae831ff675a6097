//! Domains that end while something is under way.

use crate::testkit::*;
use hal::PcpuId;

/// Everything that a domain took is free again, and nothing of it is left on the pCPUs.
fn destroy_and_check(world: &mut World, domain: &alloc::sync::Arc<hv_core::Domain>, free: u64) {
    world.destroy(domain);
    world.advance(10_000_000);
    let machine = world.machine();
    assert_eq!(world.hv.frames.free_frames(), free);
    assert_eq!(machine.active_irqs(), []);
    for cpu in [PcpuId(0), PcpuId(1)] {
        assert_eq!((machine.guest_interrupted(cpu), world.running(cpu.0)), (false, None));
    }
    assert_eq!(machine.all_stale_entries(), []);
}

#[test]
fn domain_destroyed_in_the_middle_of_its_timer_leaves_nothing() {
    let mut world = World::new();
    let free = world.hv.frames.free_frames();
    // Pending in hardware, pending in a list register, active.
    for stage in 0..3 {
        let domain = world.domain(1, 1);
        let vcpu = domain.vcpu(0).unwrap();
        world.open_gic(vcpu);
        world.set_virtual_timer(vcpu, 100);
        world.machine().advance(1600);
        if stage > 0 {
            world.settle();
        }
        if stage > 1 {
            assert_eq!(world.ack(vcpu), Some(27));
        }
        destroy_and_check(&mut world, &domain, free);
    }
}

#[test]
fn domain_destroyed_while_its_vcpus_wait_and_run_leaves_nothing() {
    let mut world = World::new();
    let free = world.hv.frames.free_frames();
    for _ in 0..3 {
        let domain = world.domain(1, 3);
        world.start(&domain, 1);
        let first = domain.vcpu(0).unwrap();
        world.open_gic(first);
        world.set_virtual_timer(first, 1000);
        world.sgi(first, 3, 0b111);
        world.wfi(domain.vcpu(1).unwrap());
        destroy_and_check(&mut world, &domain, free);
    }
}

#[test]
fn next_domain_with_the_same_tag_sees_nothing_of_the_last() {
    let mut world = World::with(arch_fake::Config { tags: 2, ..arch_fake::Config::hostile() });
    let free = world.hv.frames.free_frames();
    for _ in 0..4 {
        let domain = world.domain(1, 1);
        let vcpu = domain.vcpu(0).unwrap();
        world.loaded(vcpu, |regs| {
            assert_eq!(regs.sys.ttbr0_el1, 0);
            regs.sys.ttbr0_el1 = 7;
        });
        destroy_and_check(&mut world, &domain, free);
    }
}

#[test]
fn shut_down_domain_can_be_destroyed() {
    let mut world = World::new();
    let free = world.hv.frames.free_frames();
    let domain = world.domain(1, 1);
    let vcpu = domain.vcpu(0).unwrap();
    world.regs(vcpu).x[0] = SYSTEM_OFF;
    world.hvc(vcpu, 0);
    world.settle();
    destroy_and_check(&mut world, &domain, free);
}
