//! vCPUs that share pCPUs and move between them.

use crate::testkit::*;
use alloc::vec::Vec;
use hv_core::Vcpu;

#[test]
fn more_vcpus_than_pcpus_all_run_with_their_own_registers() {
    let mut world = World::new();
    let domains: Vec<_> = (1..=3).map(|id| world.domain(id, 2)).collect();
    for domain in &domains {
        start_somehow(&mut world, domain);
    }
    let vcpus: Vec<&Vcpu> = domains.iter().flat_map(|d| d.vcpus().map(|v| &**v)).collect();
    let value = |vcpu: &Vcpu| u64::from(vcpu.domid.raw()) << 8 | vcpu.id as u64;
    let mut seen = [0; 6];
    for _ in 0..600 {
        for (n, vcpu) in vcpus.iter().enumerate() {
            if vcpu.pcpu().is_none() {
                continue;
            }
            if seen[n] == 0 {
                world.regs(vcpu).x[20] = value(vcpu);
                world.loaded(vcpu, |regs| {
                    (regs.sys.tpidr_el1, regs.fp.q[31]) = (value(vcpu), value(vcpu).into())
                });
            }
            seen[n] += 1;
            assert_eq!(world.regs(vcpu).x[20], value(vcpu));
            let loaded = world.loaded(vcpu, |regs| (regs.sys.tpidr_el1, regs.fp.q[31]));
            assert_eq!(loaded, (value(vcpu), value(vcpu).into()));
        }
        world.advance(1_000_000);
    }
    assert!(seen.iter().all(|n| *n > 20), "{seen:?}");
}

/// Starts the second vCPU of a domain as soon as its first runs.
fn start_somehow(world: &mut World, domain: &alloc::sync::Arc<hv_core::Domain>) {
    for _ in 0..1000 {
        if domain.vcpu(0).unwrap().pcpu().is_some() {
            assert_eq!(world.psci(domain.vcpu(0).unwrap(), [CPU_ON, 1, ENTRY, 0]), 0);
            world.settle();
            return;
        }
        world.advance(1_000_000);
    }
    panic!("the vCPU never runs");
}

#[test]
fn interrupts_move_along_with_a_vcpu() {
    let mut world = World::new();
    let vcpu = world.domain(1, 1).vcpu(0).unwrap().clone();
    world.open_gic(&vcpu);
    let from = world.cpu_of(&vcpu);
    world.sgi(&vcpu, 1, 1);
    world.sgi(&vcpu, 2, 1);
    let active = world.ack(&vcpu).unwrap();
    world.pin(&vcpu, 1 - from.0);
    assert_ne!(world.cpu_of(&vcpu), from);
    assert_eq!(world.ack(&vcpu), None, "the other is no more urgent than the active one");
    world.eoi(&vcpu, active);
    assert_eq!(world.drain(&vcpu), [3 - active]);
    // Nothing of it stays behind.
    assert!(!world.machine().guest_interrupted(from));
}

#[test]
fn list_registers_are_empty_for_the_next_guest() {
    use arm_regs::ArmOps as _;
    let mut world = World::cpus(1);
    let one = world.domain(1, 1).vcpu(0).unwrap().clone();
    world.open_gic(&one);
    world.loaded(&one, |regs| regs.gic.vmcr &= !(0xff << 24));
    for intid in 0..6 {
        world.sgi(&one, intid, 1);
    }
    world.wfi(&one);
    assert_eq!(world.running(0), None);
    let machine = world.machine();
    assert!((0..machine.nr_lrs()).all(|n| machine.read_lr(n) == 0));
    let other = world.domain(2, 1).vcpu(0).unwrap().clone();
    world.open_gic(&other);
    assert_eq!(world.ack(&other), None);
}

#[test]
fn timer_in_work_moves_along_with_its_physical_interrupt() {
    let mut world = World::new();
    let vcpu = world.domain(1, 1).vcpu(0).unwrap().clone();
    world.open_gic(&vcpu);
    world.set_virtual_timer(&vcpu, 100);
    world.advance(1600);
    assert_eq!(world.ack(&vcpu), Some(27));
    let from = world.cpu_of(&vcpu);
    world.pin(&vcpu, 1 - from.0);
    let to = world.cpu_of(&vcpu);
    assert_eq!(world.machine().active_irqs(), [(Some(to), 27)]);
    world.loaded(&vcpu, |regs| regs.sys.cntv_ctl_el0 = 0);
    world.eoi(&vcpu, 27);
    assert_eq!((world.ack(&vcpu), world.machine().active_irqs().len()), (None, 0));
}

#[test]
fn paused_domain_stands_still_and_goes_on_where_it_was() {
    let mut world = World::new();
    let domain = world.domain(1, 1);
    let vcpu = domain.vcpu(0).unwrap();
    world.open_gic(vcpu);
    world.regs(vcpu).pc = ENTRY + 0x40;
    world.set_virtual_timer(vcpu, 100);
    world.hv.pause_vcpu(vcpu);
    world.settle();
    assert_eq!(vcpu.pcpu(), None);
    world.advance(1_000_000);
    assert_eq!(vcpu.pcpu(), None, "its timer does not wake it");
    world.hv.unpause_vcpu(vcpu);
    world.settle();
    assert_eq!(world.regs(vcpu).pc, ENTRY + 0x40);
    assert_eq!(world.ack(vcpu), Some(27));
}
