//! vCPUs that go offline and come back, and links to physical interrupts.

use super::*;

#[test]
fn pending_interrupts_of_an_offline_vcpu_are_kept_for_whom_they_are() {
    let mut rig = Rig::enabled(Version::V2, 2, 4);
    let to_both = |rig: &Rig| rig.vgic.write(0, Region::Dist, 0x800 + 40, AccessSize::Byte, 3).unwrap();
    to_both(&rig);
    rig.vgic.assign_hw(40, 140).unwrap();
    rig.vgic.inject_hw(40);
    rig.spi(41, true);
    rig.enter(0);
    assert_eq!(rig.cpus[0].registers().count(), 2);
    let mut batches = vec![];
    rig.cpus[0].read_back();
    let kicks = rig.vgic.vcpu_off(0, &mut rig.cpus[0].ci, &mut |batch| batches.push(batch));
    assert_eq!(kicks, VcpuSet::single(1));
    rig.cpus[0].write();
    assert_eq!(rig.cpus[0].ci.used, 0);
    let actions: Vec<_> = batches.iter().flat_map(|batch| rig.vgic.hw_actions(*batch)).collect();
    assert_eq!(actions, [HwAction::Route { phys: 140, vcpu: Some(1) }]);
    assert_eq!(rig.take_all(1), [40]);
    rig.cpus[0] = Cpu::new(Version::V2, 4);
    rig.vgic.vcpu_on(0, &mut |_| {});
    assert_eq!(rig.take(0), Some(41), "that one was for vCPU 0 alone");
}

#[test]
fn private_interrupts_start_from_reset_but_lines_keep_their_level() {
    let mut rig = Rig::enabled(Version::V3, 2, 4);
    let own = Region::Redist { vcpu: 1 };
    rig.ppi(1, PHYS_TIMER, true);
    rig.ppi(1, EVENT, true);
    rig.vgic.inject_hw_ppi(1, TIMER);
    rig.enter(1);
    rig.cpus[1].acknowledge();
    rig.cpus[1].read_back();
    rig.vgic.vcpu_off(1, &mut rig.cpus[1].ci, &mut |_| {});
    rig.cpus[1] = Cpu::new(Version::V3, 4);
    rig.vgic.vcpu_on(1, &mut |_| {});
    assert_eq!(rig.vgic.hw_ppis_in_flight(1), 0);
    assert_eq!(rig.read(1, own, 0x1_0100), 0xffff, "only software-generated interrupts are enabled");
    assert_eq!(rig.read(1, own, 0x1_0300), 0);
    assert_eq!(rig.read(1, own, 0x1_0200), 1 << PHYS_TIMER);
    assert_eq!(rig.take(1), None);
}

#[test]
fn enabling_a_linked_interrupt_configures_the_physical_one() {
    let rig = Rig::new(Version::V3, 2, 4);
    assert_eq!(rig.vgic.assign_hw(40, 140).unwrap().hw, None, "not enabled yet");
    rig.route(40, 1);
    rig.dist(0xc08, 2 << 16);
    let effects = rig.dist(0x104, (1 << 8) | (1 << 9));
    let actions: Vec<_> = rig.vgic.hw_actions(effects.hw.unwrap()).collect();
    assert_eq!(actions, [HwAction::Enable { phys: 140, edge: true, vcpu: Some(1) }]);
    assert_eq!(rig.dist(0x104, 1 << 8).hw, None, "no change");
    let effects = rig.dist(0xc08, 0);
    let actions: Vec<_> = rig.vgic.hw_actions(effects.hw.unwrap()).collect();
    assert_eq!(actions, [HwAction::Configure { phys: 140, edge: false }]);
    let actions: Vec<_> = rig.vgic.hw_actions(rig.route(40, 0).hw.unwrap()).collect();
    assert_eq!(actions, [HwAction::Route { phys: 140, vcpu: Some(0) }]);
    let effects = rig.dist(0x184, 1 << 8);
    // Enabled again before the core got to it: the later state counts.
    rig.dist(0x104, 1 << 8);
    let actions: Vec<_> = rig.vgic.hw_actions(effects.hw.unwrap()).collect();
    assert_eq!(actions, [HwAction::Enable { phys: 140, edge: false, vcpu: Some(0) }]);
    let effects = rig.dist(0x184, 1 << 8);
    assert_eq!(rig.vgic.hw_actions(effects.hw.unwrap()).next(), Some(HwAction::Disable { phys: 140 }));
}

#[test]
fn linking_an_enabled_interrupt_asks_to_enable_it() {
    let rig = Rig::enabled(Version::V3, 1, 4);
    let effects = rig.vgic.assign_hw(40, 140).unwrap();
    let actions: Vec<_> = rig.vgic.hw_actions(effects.hw.unwrap()).collect();
    assert_eq!(actions, [HwAction::Enable { phys: 140, edge: false, vcpu: Some(0) }]);
    assert_eq!(rig.vgic.assign_hw(40, 141), Err(AssignError::State));
    assert_eq!(rig.vgic.assign_hw(31, 31), Err(AssignError::NotSpi));
    assert_eq!(rig.vgic.assign_hw(96, 96), Err(AssignError::NotSpi));
}

#[test]
fn unlinking_reports_what_is_still_active() {
    let mut rig = Rig::enabled(Version::V3, 1, 4);
    rig.vgic.assign_hw(40, 140).unwrap();
    rig.vgic.inject_hw(40);
    rig.enter(0);
    assert_eq!(rig.vgic.unassign_hw(40), Err(AssignError::InUse { vcpu: 0 }));
    rig.cpus[0].read_back();
    rig.vgic.vcpu_off(0, &mut rig.cpus[0].ci, &mut |_| {});
    assert_eq!(rig.vgic.unassign_hw(40), Ok((140, true)));
    assert_eq!(rig.vgic.unassign_hw(40), Err(AssignError::State));
    rig.vgic.assign_hw(41, 141).unwrap();
    assert_eq!(rig.vgic.unassign_hw(41), Ok((141, false)));
}

#[test]
fn guest_that_gives_up_a_hardware_interrupt_has_it_deactivated() {
    let mut rig = Rig::enabled(Version::V3, 1, 4);
    rig.vgic.assign_hw(40, 140).unwrap();
    rig.dist(0x184, 1 << 8);
    rig.vgic.inject_hw(40);
    let effects = rig.dist(0x284, 1 << 8);
    let actions: Vec<_> = rig.vgic.hw_actions(effects.hw.unwrap()).collect();
    assert_eq!(actions, [HwAction::Deactivate { phys: 140 }], "it waited outside the registers");
    rig.dist(0x104, 1 << 8);
    rig.vgic.inject_hw(40);
    rig.enter(0);
    assert_eq!(rig.dist(0x284, 1 << 8).hw, None);
    rig.enter(0);
    assert_eq!(rig.cpus[0].model_deactivated, [140], "it was in a register");
    rig.vgic.inject_hw(40);
    rig.enter(0);
    rig.cpus[0].acknowledge();
    rig.dist(0x384, 1 << 8);
    rig.enter(0);
    assert_eq!(rig.cpus[0].model_deactivated, [140, 140], "it was being served");
    assert_eq!(rig.cpus[0].find(40), None);
    let own = Region::Redist { vcpu: 0 };
    rig.write(0, own, 0x1_0180, 1 << TIMER);
    rig.vgic.inject_hw_ppi(0, TIMER);
    rig.write(0, own, 0x1_0280, 1 << TIMER);
    rig.enter(0);
    assert_eq!(rig.cpus[0].model_deactivated, [140, 140, 27], "a private one is left to its vCPU");
}
