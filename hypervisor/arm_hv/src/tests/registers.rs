//! Emulated registers: distributor, redistributors, identification.

use crate::testkit::*;
use xen_abi::arch_arm::{GUEST_GICC_BASE, GUEST_GICD_BASE, GUEST_GICV3_GICD_BASE, GUEST_GICV3_GICR0_BASE};

/// ID_AA64PFR0_EL1 and ID_AA64MMFR0_EL1.
const PFR0: [u64; 5] = [3, 0, 0, 4, 0];
const MMFR0: [u64; 5] = [3, 0, 0, 7, 0];

#[test]
fn version_3_has_a_distributor_and_a_redistributor_for_each_vcpu() {
    let mut world = World::new();
    let vcpu = world.domain(1, 3).vcpu(0).unwrap().clone();
    // GICD_TYPER: 64 lines; GICD_PIDR2: version 3.
    assert_eq!(world.load(&vcpu, GUEST_GICV3_GICD_BASE + 4) & 31, 1);
    assert_eq!(world.load(&vcpu, GUEST_GICV3_GICD_BASE + 0xffe8) >> 4 & 15, 3);
    for n in 0..3 {
        // GICR_TYPER: affinity in the high half, bit 4 for the last.
        let typer = world.mmio(&vcpu, GUEST_GICV3_GICR0_BASE + n * 0x2_0000 + 8, 3, None).unwrap();
        assert_eq!((typer >> 32, typer >> 4 & 1), (n, u64::from(n == 2)));
    }
    world.mmio(&vcpu, GUEST_GICV3_GICR0_BASE + 3 * 0x2_0000 + 8, 3, None).unwrap_err();
}

#[test]
fn stores_are_kept_and_loads_fill_the_register() {
    let mut world = World::new();
    let vcpu = world.domain(1, 1).vcpu(0).unwrap().clone();
    let priorities = GUEST_GICV3_GICD_BASE + 0x400 + 40;
    world.store(&vcpu, priorities, 0x8040_2010);
    world.mmio(&vcpu, priorities + 1, 0, Some(0xfff8)).unwrap();
    assert_eq!(world.load(&vcpu, priorities), 0x8040_f810);
    assert_eq!(world.mmio(&vcpu, priorities + 3, 0, None), Ok(0x80));
    let set = GUEST_GICV3_GICD_BASE + GICD_ISENABLER + 4;
    world.store(&vcpu, set, 0b101);
    world.store(&vcpu, GUEST_GICV3_GICD_BASE + GICD_ICENABLER + 4, 0b001);
    assert_eq!(world.load(&vcpu, set), 0b100);
}

#[test]
fn one_vcpu_can_enable_anothers_interrupts() {
    let mut world = World::new();
    let domain = world.domain(1, 2);
    let first = domain.vcpu(0).unwrap();
    let second = world.start(&domain, 1);
    world.open_gic(first);
    world.open_gic(&second);
    let enable = world.redistributor(&second) + GICR_ISENABLER0;
    world.store(first, enable + 0x80, 1 << 7);
    world.sgi(first, 7, 2);
    assert_eq!(world.ack(&second), None);
    world.store(first, enable, 1 << 7);
    assert_eq!(world.drain(&second), [7]);
}

#[test]
fn state_in_list_registers_shows_in_the_registers() {
    let mut world = World::new();
    let vcpu = world.domain(1, 1).vcpu(0).unwrap().clone();
    world.open_gic(&vcpu);
    let base = world.redistributor(&vcpu) + 0x1_0000;
    world.sgi(&vcpu, 3, 1);
    let [pending, active] = [base + 0x200, base + 0x300];
    assert_eq!((world.load(&vcpu, pending), world.load(&vcpu, active)), (1 << 3, 0));
    let iar = world.ack(&vcpu).unwrap();
    assert_eq!((world.load(&vcpu, pending), world.load(&vcpu, active)), (0, 1 << 3));
    world.eoi(&vcpu, iar);
    assert_eq!((world.load(&vcpu, pending), world.load(&vcpu, active)), (0, 0));
}

#[test]
fn pending_interrupt_can_be_taken_back_from_a_list_register() {
    let mut world = World::new();
    let vcpu = world.domain(1, 1).vcpu(0).unwrap().clone();
    world.open_gic(&vcpu);
    let base = world.redistributor(&vcpu) + 0x1_0000;
    world.sgi(&vcpu, 3, 1);
    world.settle();
    world.store(&vcpu, base + 0x280, 1 << 3);
    assert_eq!(world.ack(&vcpu), None);
    world.store(&vcpu, base + 0x200, 1 << 4);
    assert_eq!(world.drain(&vcpu), [4]);
}

#[test]
fn access_of_a_width_that_a_register_does_not_have_is_an_abort() {
    let mut world = World::new();
    let vcpu = world.domain(1, 1).vcpu(0).unwrap().clone();
    world.mmio(&vcpu, GUEST_GICV3_GICD_BASE + GICD_ISENABLER, 1, Some(1)).unwrap_err();
}

#[test]
fn version_2_guest_gets_the_hardwares_cpu_interface() {
    let mut world = World::v2();
    let domain = world.domain(1, 2);
    let vcpu = domain.vcpu(0).unwrap();
    // GICD_TYPER: 64 lines and two CPUs.
    assert_eq!(world.load(vcpu, GUEST_GICD_BASE + 4) & 0xff, 1 << 5 | 1);
    let machine = world.machine();
    for offset in [0, 0x1000] {
        let at = hal::Gaddr(GUEST_GICC_BASE + offset);
        let found = machine.guest_translate(domain.root, at, arch_fake::Access::Write).unwrap();
        assert_eq!(found, GICV.plus(offset));
    }
    world.open_gic(vcpu);
    world.sgi(vcpu, 2, 1);
    assert_eq!(world.drain(vcpu), [2]);
}

#[test]
fn identification_registers_hide_what_is_not_there() {
    for (mut world, gic) in [(World::new(), 1), (World::v2(), 0)] {
        let vcpu = world.domain(1, 1).vcpu(0).unwrap().clone();
        let pfr0 = world.sysreg(&vcpu, PFR0, None).unwrap();
        // EL0 in both states, EL1 in AArch64 only, no EL2 or EL3.
        assert_eq!((pfr0 & 0xffff, pfr0 >> 24 & 15), (0x12, gic));
        assert_eq!(world.sysreg(&vcpu, MMFR0, None), Ok(0x1124));
    }
}

#[test]
fn version_2_guest_has_no_sgi_register() {
    let mut world = World::v2();
    let vcpu = world.domain(1, 1).vcpu(0).unwrap().clone();
    world.sysreg(&vcpu, ICC_SGI1R, Some(1 << 24 | 1)).unwrap_err();
}

#[test]
fn set_and_way_maintenance_cleans_all_of_the_guests_memory() {
    use arch_fake::Op;
    let mut world = World::new();
    let domain = world.domain(1, 1);
    let vcpu = domain.vcpu(0).unwrap();
    let pc = world.regs(vcpu).pc;
    world.machine().take_log();
    let mut traps = 0;
    // DC CISW, until it is through.
    while world.sysreg(vcpu, [1, 0, 7, 14, 2], Some(0)).is_err() {
        assert_eq!(world.regs(vcpu).pc, pc, "it runs again");
        traps += 1;
        assert!(traps < 10_000);
    }
    let cleaned =
        world.machine().take_log().iter().filter(|e| matches!(e.op, Op::CleanFrames { .. })).count();
    assert_eq!(cleaned as u64, GUEST_PAGES);
    world.sysreg(vcpu, [1, 0, 7, 14, 2], Some(1 << 4)).unwrap();
    assert!(!world.machine().take_log().iter().any(|e| matches!(e.op, Op::CleanFrames { .. })));
}
