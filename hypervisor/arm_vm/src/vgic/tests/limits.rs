//! More interrupts than list registers, and interrupts that are active in none.

use super::*;

#[test]
fn all_of_many_interrupts_are_presented_most_urgent_first() {
    for version in BOTH {
        for nr_lrs in [1, 2, 4] {
            let mut rig = Rig::enabled(version, 1, nr_lrs);
            let mut expected = vec![];
            for intid in 40..80 {
                rig.make_edge(intid);
                let priority = (0xf0 - (intid % 10) * 0x10) as u8;
                rig.set_priority(intid, priority);
                expected.push((priority, intid));
                rig.spi(intid, true);
            }
            expected.sort();
            let expected: Vec<_> = expected.into_iter().map(|(_, intid)| intid).collect();
            assert_eq!(rig.take_all(0), expected, "{version:?} {nr_lrs}");
            assert_eq!(rig.cpus[0].ci.hcr, hcr::EN);
        }
    }
}

#[test]
fn overflow_asks_for_maintenance_when_nothing_is_pending_any_more() {
    let mut rig = Rig::enabled(Version::V3, 1, 2);
    for intid in 40..43 {
        rig.make_edge(intid);
        rig.spi(intid, true);
    }
    rig.enter(0);
    assert_ne!(rig.cpus[0].ci.hcr & hcr::NPIE, 0);
    assert!(!rig.cpus[0].maintenance());
    for _ in 0..2 {
        let (intid, _) = rig.cpus[0].acknowledge().unwrap();
        rig.cpus[0].end(intid);
    }
    assert!(rig.cpus[0].maintenance());
    rig.enter(0);
    assert_eq!(rig.cpus[0].acknowledge(), Some((42, 0)));
    assert_eq!(rig.cpus[0].ci.hcr & hcr::NPIE, 0);
}

#[test]
fn urgent_newcomer_takes_the_register_of_the_least_urgent() {
    let mut rig = Rig::enabled(Version::V3, 1, 2);
    for intid in 40..43 {
        rig.make_edge(intid);
        rig.set_priority(intid, 0x80 - (intid as u8 - 40) * 0x20);
    }
    rig.spi(40, true);
    rig.spi(41, true);
    rig.enter(0);
    rig.spi(42, true);
    rig.enter(0);
    assert!(rig.cpus[0].find(42).is_some() && rig.cpus[0].find(41).is_some());
    assert_eq!(rig.cpus[0].find(40), None);
    assert_eq!(rig.take_all(0), [42, 41, 40]);
}

#[test]
fn deeply_nested_interrupts_are_ended_though_they_have_no_register() {
    for version in BOTH {
        let mut rig = Rig::enabled(version, 1, 2);
        let mut stack = vec![];
        for (depth, intid) in (40..48).enumerate() {
            rig.vgic.assign_hw(intid, intid as u16 + 100).unwrap();
            rig.set_priority(intid, 0xf0 - depth as u8 * 0x10);
            rig.vgic.inject_hw(intid);
            rig.enter(0);
            assert_eq!(rig.cpus[0].acknowledge(), Some((intid, 0)), "the more urgent one preempts");
            stack.push(intid);
        }
        while let Some(intid) = stack.pop() {
            rig.cpus[0].end(intid);
            rig.enter(0);
        }
        rig.sync(0);
        assert_eq!(rig.cpus[0].registers().count(), 0);
        assert_eq!(rig.read(0, Region::Dist, 0x304), 0, "nothing is active");
        let mut deactivated = rig.cpus[0].guest_deactivated.clone();
        deactivated.extend(&rig.cpus[0].model_deactivated);
        deactivated.sort();
        assert_eq!(deactivated, (140..148).collect::<Vec<_>>());
    }
}

#[test]
fn several_ends_counted_at_once_are_all_honoured() {
    let mut rig = Rig::enabled(Version::V3, 1, 1);
    for intid in 16..24u32 {
        rig.vgic.write(0, Region::Redist { vcpu: 0 }, 0x1_0400 + intid, AccessSize::Byte, 0xe0).unwrap();
    }
    rig.write(0, Region::Redist { vcpu: 0 }, 0x1_0300, 0x00ff_0000);
    rig.enter(0);
    assert_eq!(rig.read(0, Region::Redist { vcpu: 0 }, 0x1_0300), 0x00ff_0000);
    rig.cpus[0].ci.eoi_count = 20;
    rig.refresh(0);
    // The one that had a register was not among them.
    assert_eq!(rig.read(0, Region::Redist { vcpu: 0 }, 0x1_0300).count_ones(), 1);
}

#[test]
fn level_interrupts_beyond_the_registers_are_not_lost() {
    let mut rig = Rig::enabled(Version::V2, 1, 2);
    for intid in 40..46 {
        rig.spi(intid, true);
    }
    let mut seen = BTreeSet::new();
    for _ in 0..100 {
        rig.enter(0);
        let Some((intid, _)) = rig.cpus[0].acknowledge() else { break };
        seen.insert(intid);
        rig.spi(intid, false);
        rig.enter(0);
        rig.cpus[0].end(intid);
    }
    assert_eq!(seen, (40..46).collect());
}

#[test]
fn configuration_limits_are_exact() {
    let with = |version, nr_vcpus, nr_spis| Vgic::new(&Config { nr_spis, ..config(version, nr_vcpus) }).err();
    assert_eq!(with(Version::V2, 8, 960), None);
    assert_eq!(with(Version::V2, 9, 32), Some(ConfigError::Vcpus));
    assert_eq!(with(Version::V3, 128, 0), None);
    assert_eq!(with(Version::V3, 129, 0), Some(ConfigError::Vcpus));
    assert_eq!(with(Version::V3, 0, 32), Some(ConfigError::Vcpus));
    assert_eq!(with(Version::V3, 1, 961), Some(ConfigError::Spis));
    assert_eq!(with(Version::V3, 1, 992), Some(ConfigError::Spis));
    let bad = |change: fn(&mut Config<'static>)| {
        let mut config = config(Version::V3, 4);
        change(&mut config);
        Vgic::new(&config).err()
    };
    assert_eq!(bad(|c| c.redists = &[RedistRegion { base: 0, nr_vcpus: 3 }]), Some(ConfigError::Redists));
    assert_eq!(
        bad(|c| c.redists = &[RedistRegion { base: u64::MAX, nr_vcpus: 4 }]),
        Some(ConfigError::Redists)
    );
    assert_eq!(bad(|c| c.redists = &[RedistRegion { base: 0, nr_vcpus: 1 }; 5]), Some(ConfigError::Redists));
    assert_eq!(bad(|c| c.sampled_ppis = &[15]), Some(ConfigError::Ppi));
    assert_eq!(bad(|c| c.hw_ppis = &[HwPpi { intid: 32, phys: 27 }]), Some(ConfigError::Ppi));
}

#[test]
fn lines_and_vcpus_that_do_not_exist_are_ignored() {
    let mut rig = Rig::enabled(Version::V3, 1, 4);
    for line in [
        Line::Ppi { vcpu: 1, intid: 20 },
        Line::Ppi { vcpu: 0, intid: 32 },
        Line::Spi { intid: 31 },
        Line::Spi { intid: 96 },
        Line::Spi { intid: u32::MAX },
    ] {
        assert!(rig.vgic.set_level(line, true).is_empty());
        assert!(rig.vgic.pulse(line).is_empty());
    }
    assert!(rig.vgic.inject_hw(5).is_empty() && rig.vgic.inject_hw_ppi(0, 40).is_empty());
    assert!(rig.vgic.refresh(7, &mut CpuInterface::new(4), &mut |_| true).is_empty());
    assert_eq!(rig.take(0), None);
}

#[test]
fn full_size_controller_serves_its_last_interrupt() {
    let config = Config { nr_spis: MAX_SPIS, ..config(Version::V3, 1) };
    let mut rig =
        Rig { vgic: Vgic::new(&config).unwrap(), cpus: vec![Cpu::new(Version::V3, 4)], short: true };
    rig.vgic.vcpu_on(0, &mut |_| {});
    rig.dist(0, 2);
    rig.dist(0x100 + 4 * 30, 1 << 31);
    rig.vgic.pulse(Line::Spi { intid: 991 });
    assert_eq!(rig.take(0), Some(991));
    assert_eq!(rig.read(0, Region::Dist, 4) & 31, 30);
}

#[test]
fn version_2_sgi_pushed_out_while_active_keeps_its_sender() {
    let mut rig = Rig::enabled(Version::V2, 2, 1);
    // Interrupt 12 from vCPUs 0 and 1, interrupt 13 from vCPU 1.
    rig.dist(0xf2c, 0x0203);
    rig.enter(0);
    assert_eq!(rig.cpus[0].acknowledge(), Some((12, 0)));
    rig.enter(0);
    assert_eq!(rig.read(0, Region::Dist, 0xf2c), 0x0202, "the one being served is not pending");
    rig.cpus[0].end(12);
    assert_eq!(rig.take_all(0), [13, 12]);
}
#[test]
fn priority_changed_during_service_does_not_confuse_the_order_of_ends() {
    let mut rig = Rig::enabled(Version::V3, 1, 2);
    rig.vgic.assign_hw(41, 41).unwrap();
    for (intid, priority) in [(40, 0x80), (41, 0x40), (42, 0x00)] {
        rig.make_edge(intid);
        rig.set_priority(intid, priority);
        if intid == 41 {
            rig.vgic.inject_hw(41);
        } else {
            rig.spi(intid, true);
        }
        rig.enter(0);
        assert_eq!(rig.cpus[0].acknowledge(), Some((intid, 0)));
        rig.set_priority(41, 0xf0);
    }
    rig.enter(0);
    rig.cpus[0].end(42);
    rig.cpus[0].end(41);
    rig.refresh(0);
    assert_eq!(rig.read(0, Region::Dist, 0x304), 1 << 8, "40 is still being served");
}
