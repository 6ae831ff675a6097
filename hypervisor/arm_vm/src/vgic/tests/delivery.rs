//! Levels, edges, sampled lines, software-generated and hardware-backed interrupts.

use super::*;

#[test]
fn entry_with_nothing_pending_needs_no_refresh() {
    let rig = Rig::enabled(Version::V3, 2, 4);
    assert!(!rig.vgic.has_work(0) && !rig.vgic.has_work(1));
    assert!(!rig.vgic.has_work(2), "no such vCPU");
}

#[test]
fn level_interrupt_is_presented_again_until_the_line_falls() {
    for version in BOTH {
        let mut rig = Rig::enabled(version, 1, 4);
        assert_eq!(rig.ppi(0, PHYS_TIMER, true), VcpuSet::single(0));
        assert_eq!(rig.take(0), Some(PHYS_TIMER));
        rig.enter(0);
        assert!(rig.cpus[0].find(PHYS_TIMER).unwrap().pending, "still high");
        assert_eq!(rig.cpus[0].acknowledge(), Some((PHYS_TIMER, 0)));
        rig.ppi(0, PHYS_TIMER, false);
        rig.enter(0);
        assert_eq!(rig.cpus[0].find(PHYS_TIMER).unwrap().link, Link::Software { eoi: false, source: 0 });
        rig.cpus[0].end(PHYS_TIMER);
        assert!(!rig.cpus[0].maintenance(), "nobody needs to know");
        assert_eq!(rig.take(0), None);
    }
}

#[test]
fn shared_level_interrupt_is_presented_again_without_an_exit_in_between() {
    for version in BOTH {
        let mut rig = Rig::enabled(version, 1, 4);
        rig.spi(40, true);
        rig.enter(0);
        assert_eq!(rig.cpus[0].acknowledge(), Some((40, 0)));
        rig.cpus[0].end(40);
        assert!(rig.cpus[0].maintenance());
        rig.enter(0);
        assert!(rig.cpus[0].find(40).unwrap().pending);
    }
}

#[test]
fn level_that_falls_before_it_is_seen_is_taken_back() {
    let mut rig = Rig::enabled(Version::V3, 1, 4);
    rig.spi(40, true);
    rig.refresh(0);
    assert!(rig.cpus[0].find(40).is_some());
    assert_eq!(rig.spi(40, false), VcpuSet::single(0));
    rig.enter(0);
    assert_eq!(rig.cpus[0].find(40), None);
}

#[test]
fn unchanged_level_kicks_nobody() {
    let rig = Rig::enabled(Version::V3, 1, 4);
    rig.spi(40, true);
    assert!(rig.spi(40, true).is_empty());
    rig.spi(40, false);
    assert!(rig.spi(40, false).is_empty());
}

#[test]
fn edge_during_service_is_remembered_once() {
    for version in BOTH {
        let mut rig = Rig::enabled(version, 1, 4);
        rig.make_edge(41);
        rig.spi(41, true);
        rig.enter(0);
        assert_eq!(rig.cpus[0].acknowledge(), Some((41, 0)));
        for _ in 0..3 {
            rig.spi(41, false);
            rig.spi(41, true);
        }
        rig.enter(0);
        let lr = rig.cpus[0].find(41).unwrap();
        assert!(lr.pending && lr.active);
        rig.cpus[0].end(41);
        assert_eq!(rig.take_all(0), [41]);
    }
}

#[test]
fn edge_pulse_needs_no_level() {
    let mut rig = Rig::enabled(Version::V3, 1, 4);
    rig.vgic.pulse(Line::Spi { intid: 50 });
    rig.vgic.pulse(Line::Ppi { vcpu: 0, intid: 20 });
    assert_eq!(rig.take_all(0), [20, 50]);
}

#[test]
fn sampled_line_costs_no_maintenance_and_loses_no_event() {
    let mut rig = Rig::enabled(Version::V3, 1, 4);
    rig.ppi(0, EVENT, true);
    rig.enter(0);
    assert_eq!(rig.cpus[0].acknowledge(), Some((EVENT, 0)));
    // The guest cleared its flag, and an event comes while the handler runs.
    rig.ppi(0, EVENT, true);
    rig.enter(0);
    rig.cpus[0].end(EVENT);
    assert!(!rig.cpus[0].maintenance());
    assert_eq!(rig.cpus[0].acknowledge(), Some((EVENT, 0)));
    rig.cpus[0].end(EVENT);
    assert_eq!(rig.take(0), None);
}

#[test]
fn sampled_line_found_high_after_deactivation_is_presented_again() {
    let mut rig = Rig::enabled(Version::V3, 1, 4);
    rig.ppi(0, EVENT, true);
    rig.cpus[0].levels = 1 << EVENT;
    assert_eq!(rig.take(0), Some(EVENT), "the guest leaves its flag set");
    rig.refresh(0);
    assert!(rig.cpus[0].find(EVENT).unwrap().pending);
    rig.cpus[0].levels = 0;
    assert_eq!(rig.take_all(0), [EVENT]);
}

#[test]
fn sampled_line_withdrawn_by_the_core_is_not_presented() {
    let mut rig = Rig::enabled(Version::V3, 1, 4);
    rig.ppi(0, EVENT, true);
    rig.ppi(0, EVENT, false);
    assert_eq!(rig.take(0), None);
    rig.ppi(0, EVENT, true);
    rig.enter(0);
    rig.ppi(0, EVENT, false);
    rig.enter(0);
    assert_eq!(rig.cpus[0].find(EVENT), None);
}

#[test]
fn repeated_post_kicks_once() {
    let rig = Rig::enabled(Version::V3, 2, 4);
    assert_eq!(rig.ppi(1, EVENT, true), VcpuSet::single(1));
    assert!(rig.ppi(1, EVENT, true).is_empty());
    assert!(rig.vgic.has_work(1) && !rig.vgic.has_work(0));
}

#[test]
fn disabled_interrupt_waits_and_comes_when_enabled() {
    let mut rig = Rig::enabled(Version::V3, 1, 4);
    rig.dist(0x184, 1 << 8);
    assert!(rig.spi(40, true).is_empty());
    assert_eq!(rig.take(0), None);
    assert_eq!(rig.dist(0x104, 1 << 8).kicks, VcpuSet::single(0));
    assert_eq!(rig.take(0), Some(40));
}

#[test]
fn interrupt_disabled_while_in_a_register_is_taken_out_and_kept() {
    let mut rig = Rig::enabled(Version::V3, 1, 4);
    rig.make_edge(40);
    rig.spi(40, true);
    rig.enter(0);
    assert_eq!(rig.dist(0x184, 1 << 8).kicks, VcpuSet::single(0));
    rig.enter(0);
    assert_eq!(rig.cpus[0].find(40), None);
    rig.dist(0x104, 1 << 8);
    assert_eq!(rig.take_all(0), [40]);
}

#[test]
fn distributor_switched_off_empties_registers_but_not_active_ones() {
    for version in BOTH {
        let mut rig = Rig::enabled(version, 2, 4);
        rig.spi(40, true);
        rig.spi(41, true);
        rig.enter(0);
        let (first, _) = rig.cpus[0].acknowledge().unwrap();
        assert_eq!(rig.dist(0, 0).kicks, VcpuSet::first(2));
        assert!(rig.dist(0, 0).kicks.is_empty(), "no change");
        rig.enter(0);
        assert_eq!(rig.cpus[0].registers().count(), 1);
        assert!(rig.cpus[0].find(first).unwrap().active);
        rig.cpus[0].end(first);
        assert_eq!(rig.take(0), None);
        rig.dist(0, 3);
        rig.spi(41, false);
        assert_eq!(rig.take(0), Some(40));
    }
}

#[test]
fn groups_are_enabled_one_by_one() {
    for version in BOTH {
        let mut rig = Rig::enabled(version, 1, 4);
        rig.dist(0x84, 1 << 8);
        rig.dist(0, 2);
        rig.vgic.pulse(Line::Spi { intid: 40 });
        rig.vgic.pulse(Line::Spi { intid: 41 });
        rig.enter(0);
        assert!(rig.cpus[0].find(40).unwrap().group1);
        assert_eq!(rig.cpus[0].find(41), None);
        rig.dist(0, 3);
        rig.enter(0);
        assert!(!rig.cpus[0].find(41).unwrap().group1);
    }
}

#[test]
fn version_3_sgi_reaches_the_vcpus_named() {
    let mut rig = Rig::enabled(Version::V3, 20, 4);
    // vCPUs 17 and 18 are 0.0.1.1 and 0.0.1.2.
    let value = (5 << 24) | (1 << 16) | 0b1110;
    let kicks = rig.vgic.send_sgi(0, SgiKind::Sgi1r, value);
    assert_eq!(kicks.collect::<Vec<_>>(), [17, 18, 19]);
    assert_eq!(rig.take_all(17), [5]);
    assert_eq!(rig.take_all(0), []);
    let kicks = rig.vgic.send_sgi(3, SgiKind::Sgi1r, (1 << 40) | (6 << 24));
    assert_eq!(kicks.len(), 19);
    assert!(!kicks.contains(3));
}

#[test]
fn version_3_sgi_to_affinities_nobody_has_goes_nowhere() {
    let rig = Rig::enabled(Version::V3, 4, 4);
    for value in [1 | (2 << 16), 1 | (1 << 32), 1 | (1 << 48), 1 | (1 << 44), 0xfff0] {
        assert!(rig.vgic.send_sgi(0, SgiKind::Sgi1r, value).is_empty(), "{value:#x}");
    }
}

#[test]
fn version_3_group_0_registers_send_group_0_only() {
    let rig = Rig::enabled(Version::V3, 2, 4);
    assert!(rig.vgic.send_sgi(0, SgiKind::Sgi0r, 0b10).is_empty());
    rig.write(0, Region::Redist { vcpu: 1 }, 0x1_0080, 0xffff_fffe);
    assert_eq!(rig.vgic.send_sgi(0, SgiKind::Sgi0r, 0b10), VcpuSet::single(1));
    assert!(rig.vgic.send_sgi(0, SgiKind::Asgi1r, 0b10 | (1 << 24)).is_empty());
    assert_eq!(rig.vgic.send_sgi(0, SgiKind::Sgi1r, 0b10 | (1 << 24)), VcpuSet::single(1));
}

#[test]
fn version_2_sgi_shows_every_sender() {
    let mut rig = Rig::enabled(Version::V2, 4, 4);
    for sender in [3, 1] {
        assert_eq!(rig.write(sender, Region::Dist, 0xf00, (1 << 16) | 7).kicks.contains(0), sender == 3);
    }
    rig.enter(0);
    assert_eq!(rig.cpus[0].registers().count(), 1);
    assert_eq!(rig.read(0, Region::Dist, 0xf14), 0b1010 << 24, "both senders are pending");
    assert_eq!(rig.cpus[0].acknowledge(), Some((7, 1)));
    rig.cpus[0].end(7);
    assert!(rig.cpus[0].maintenance(), "the other one waits");
    rig.enter(0);
    assert_eq!(rig.cpus[0].acknowledge(), Some((7, 3)));
    rig.cpus[0].end(7);
    assert!(!rig.cpus[0].maintenance());
}

#[test]
fn version_2_sgi_sent_again_during_service_is_pending_and_active() {
    let mut rig = Rig::enabled(Version::V2, 2, 4);
    let send = |rig: &Rig, vcpu| rig.write(vcpu, Region::Dist, 0xf00, (1 << 16) | 2);
    send(&rig, 1);
    rig.enter(0);
    assert_eq!(rig.cpus[0].acknowledge(), Some((2, 1)));
    send(&rig, 1);
    rig.enter(0);
    let lr = rig.cpus[0].find(2).unwrap();
    assert!(lr.pending && lr.active);
    assert_eq!(lr.link, Link::Software { eoi: false, source: 1 });
    send(&rig, 0);
    rig.enter(0);
    assert_eq!(rig.cpus[0].find(2).unwrap().link, Link::Software { eoi: true, source: 1 });
    rig.cpus[0].end(2);
    assert_eq!(rig.take_all(0), [2, 2]);
}

#[test]
fn version_2_sgi_filters_choose_targets() {
    let rig = Rig::enabled(Version::V2, 3, 4);
    assert_eq!(rig.write(1, Region::Dist, 0xf00, (1 << 24) | 4).kicks.collect::<Vec<_>>(), [0, 2]);
    assert_eq!(rig.write(1, Region::Dist, 0xf00, (2 << 24) | 5).kicks, VcpuSet::single(1));
    assert!(rig.write(1, Region::Dist, 0xf00, (3 << 24) | 6).kicks.is_empty());
    assert!(rig.write(1, Region::Dist, 0xf00, (0xf8 << 16) | 6).kicks.is_empty());
}

#[test]
fn hardware_interrupt_is_deactivated_by_the_guest() {
    for version in BOTH {
        let mut rig = Rig::enabled(version, 1, 4);
        rig.vgic.assign_hw(45, 145).unwrap();
        assert_eq!(rig.vgic.inject_hw(45), VcpuSet::single(0));
        rig.enter(0);
        assert_eq!(rig.cpus[0].find(45).unwrap().link, Link::Hardware { phys: 145 });
        assert_eq!(rig.take(0), Some(45));
        assert_eq!(rig.cpus[0].guest_deactivated, [145]);
        // It fires again before the model has seen the end of the first.
        rig.vgic.inject_hw(45);
        rig.enter(0);
        assert_eq!(rig.cpus[0].find(45).unwrap().link, Link::Hardware { phys: 145 });
        assert!(rig.cpus[0].model_deactivated.is_empty());
    }
}

#[test]
fn timer_interrupt_is_linked_and_its_active_state_moves_with_the_vcpu() {
    let mut rig = Rig::enabled(Version::V3, 1, 4);
    assert_eq!(rig.vgic.hw_ppis_in_flight(0), 0);
    rig.vgic.inject_hw_ppi(0, TIMER);
    rig.cpus[0].levels = 1 << TIMER;
    assert_eq!(rig.vgic.hw_ppis_in_flight(0), 1 << TIMER);
    rig.enter(0);
    assert_eq!(rig.cpus[0].find(TIMER).unwrap().link, Link::Hardware { phys: 27 });
    rig.cpus[0].acknowledge();
    rig.refresh(0);
    assert_eq!(rig.vgic.hw_ppis_in_flight(0), 1 << TIMER);
    assert!(rig.vgic.inject_hw_ppi_if_idle(0, TIMER).is_empty());
    rig.cpus[0].end(TIMER);
    rig.refresh(0);
    assert_eq!(rig.vgic.hw_ppis_in_flight(0), 0);
    assert_eq!(rig.vgic.inject_hw_ppi_if_idle(0, TIMER), VcpuSet::single(0));
}

#[test]
fn timer_reprogrammed_before_its_interrupt_was_seen_is_forgotten() {
    let mut rig = Rig::enabled(Version::V3, 1, 4);
    rig.cpus[0].levels = 1 << TIMER;
    rig.vgic.inject_hw_ppi(0, TIMER);
    rig.enter(0);
    rig.cpus[0].levels = 0;
    rig.refresh(0);
    assert_eq!(rig.cpus[0].find(TIMER), None);
    assert_eq!(rig.cpus[0].model_deactivated, [27]);
    assert_eq!(rig.vgic.hw_ppis_in_flight(0), 0);
}

#[test]
fn timer_reprogrammed_while_its_interrupt_was_disabled_is_forgotten() {
    let mut rig = Rig::enabled(Version::V3, 1, 4);
    let private = Region::Redist { vcpu: 0 };
    rig.write(0, private, 0x1_0180, 1 << TIMER);
    rig.cpus[0].levels = 1 << TIMER;
    rig.vgic.inject_hw_ppi(0, TIMER);
    rig.enter(0);
    assert_eq!(rig.cpus[0].find(TIMER), None);
    // Its line falls, and only then it is enabled.
    rig.cpus[0].levels = 0;
    rig.write(0, private, 0x1_0100, 1 << TIMER);
    rig.enter(0);
    assert_eq!(rig.cpus[0].find(TIMER), None);
    assert_eq!(rig.cpus[0].model_deactivated, [27]);
    assert_eq!(rig.vgic.hw_ppis_in_flight(0), 0);
    // One whose line is still high is delivered.
    rig.write(0, private, 0x1_0180, 1 << TIMER);
    rig.cpus[0].levels = 1 << TIMER;
    rig.vgic.inject_hw_ppi(0, TIMER);
    rig.enter(0);
    rig.write(0, private, 0x1_0100, 1 << TIMER);
    rig.enter(0);
    assert_eq!(rig.cpus[0].find(TIMER).unwrap().link, Link::Hardware { phys: 27 });
}

#[test]
fn software_pending_state_of_a_hardware_interrupt_is_not_linked() {
    let mut rig = Rig::enabled(Version::V3, 1, 4);
    rig.vgic.assign_hw(45, 145).unwrap();
    rig.dist(0x204, 1 << 13);
    rig.enter(0);
    assert_eq!(rig.cpus[0].find(45).unwrap().link, Link::Software { eoi: false, source: 0 });
    // Not acknowledged yet when the real one comes: the register becomes linked.
    rig.vgic.inject_hw(45);
    rig.enter(0);
    assert_eq!(rig.cpus[0].find(45).unwrap().link, Link::Hardware { phys: 145 });
    assert_eq!(rig.take_all(0), [45]);
}

#[test]
fn real_interrupt_behind_an_active_software_one_follows_it() {
    let mut rig = Rig::enabled(Version::V3, 1, 4);
    rig.vgic.assign_hw(45, 145).unwrap();
    rig.dist(0x204, 1 << 13);
    rig.enter(0);
    rig.cpus[0].acknowledge();
    rig.vgic.inject_hw(45);
    rig.enter(0);
    let lr = rig.cpus[0].find(45).unwrap();
    assert!(lr.active && !lr.pending);
    rig.cpus[0].end(45);
    assert!(rig.cpus[0].maintenance());
    assert_eq!(rig.take(0), Some(45));
    assert_eq!(rig.cpus[0].guest_deactivated, [145]);
}

#[test]
fn retargeted_interrupt_moves_to_the_other_vcpu() {
    for version in BOTH {
        let mut rig = Rig::enabled(version, 2, 4);
        rig.vgic.assign_hw(40, 40).unwrap();
        rig.vgic.inject_hw(40);
        rig.enter(0);
        assert_eq!(rig.route(40, 1).kicks, VcpuSet::single(0), "the holder has to let go");
        assert_eq!(rig.refresh(0), VcpuSet::single(1));
        assert_eq!(rig.cpus[0].find(40), None);
        assert_eq!(rig.take(1), Some(40));
        assert_eq!(rig.cpus[1].guest_deactivated, [40]);
    }
}

#[test]
fn acknowledged_interrupt_stays_where_it_is_when_retargeted() {
    let mut rig = Rig::enabled(Version::V3, 2, 4);
    rig.make_edge(40);
    rig.vgic.pulse(Line::Spi { intid: 40 });
    rig.enter(0);
    rig.cpus[0].acknowledge();
    rig.sync(0);
    rig.route(40, 1);
    rig.vgic.pulse(Line::Spi { intid: 40 });
    rig.enter(0);
    rig.enter(1);
    assert_eq!(rig.cpus[1].find(40), None, "not before the first is ended");
    rig.cpus[0].end(40);
    assert!(rig.cpus[0].maintenance(), "vCPU 1 waits for it");
    rig.enter(0);
    assert_eq!(rig.take_all(1), [40]);
}

#[test]
fn interrupt_to_any_vcpu_goes_to_one_that_is_online() {
    let mut rig = Rig::enabled(Version::V3, 3, 4);
    rig.vgic.write(0, Region::Dist, 0x6000 + 8 * 40, AccessSize::Double, 1 << 31).unwrap();
    rig.vgic.pulse(Line::Spi { intid: 40 });
    assert_eq!(rig.take(0), Some(40));
    let ci = &mut rig.cpus[0].ci;
    rig.vgic.vcpu_off(0, ci, &mut |_| {});
    assert_eq!(rig.vgic.pulse(Line::Spi { intid: 40 }), VcpuSet::single(1));
    assert_eq!(rig.take(1), Some(40));
}

#[test]
fn priority_decides_what_comes_first() {
    for version in BOTH {
        let mut rig = Rig::enabled(version, 1, 4);
        for (intid, priority) in [(40, 0x80), (41, 0x10), (42, 0x40)] {
            rig.set_priority(intid, priority);
            rig.vgic.pulse(Line::Spi { intid });
        }
        rig.enter(0);
        rig.set_priority(40, 0x08);
        assert_eq!(rig.take_all(0), [40, 41, 42], "also when it changes in the register");
    }
}

#[test]
fn wait_for_interrupt_ends_for_what_the_guest_lets_through() {
    let mut rig = Rig::enabled(Version::V3, 2, 4);
    let open = CpuView { group0: true, group1: true, priority_mask: 0xf0 };
    assert!(!rig.vgic.pending_unmasked(0, None));
    rig.ppi(0, EVENT, true);
    assert!(rig.vgic.pending_unmasked(0, None), "posted, not refreshed");
    rig.enter(0);
    assert!(rig.vgic.pending_unmasked(0, Some(open)), "in a register");
    assert!(!rig.vgic.pending_unmasked(0, Some(CpuView { group1: false, ..open })));
    assert!(!rig.vgic.pending_unmasked(0, Some(CpuView { priority_mask: 0xa0, ..open })));
    rig.cpus[0].acknowledge();
    rig.refresh(0);
    assert!(!rig.vgic.pending_unmasked(0, None), "being served");
    rig.route(40, 1);
    rig.spi(40, true);
    assert!(rig.vgic.pending_unmasked(1, Some(open)) && !rig.vgic.pending_unmasked(0, None));
    rig.enter(1);
    assert!(rig.vgic.pending_unmasked(1, Some(open)));
    assert!(!rig.vgic.pending_unmasked(9, None), "no such vCPU");
}

#[test]
fn one_interrupt_after_the_other_goes_the_short_way() {
    for version in BOTH {
        let mut rig = Rig::enabled(version, 1, 4);
        for _ in 0..3 {
            assert!(rig.present(0, |vgic, vcpu, ci, first, level| {
                vgic.inject_hw_ppi_now(vcpu, TIMER, ci, first, level)
            }));
            assert!(!rig.vgic.has_work(0));
            assert_eq!(rig.take_all(0), [TIMER]);
            rig.ppi(0, EVENT, true);
            assert!(rig.present(0, Vgic::refresh_single));
            assert!(!rig.vgic.has_work(0));
            assert_eq!(rig.take_all(0), [EVENT]);
        }
    }
}

#[test]
fn short_way_is_not_for_what_needs_a_look_at_more() {
    for version in BOTH {
        let mut rig = Rig::enabled(version, 1, 4);
        let short = |rig: &mut Rig| rig.present(0, Vgic::refresh_single);
        assert!(!short(&mut rig), "nothing was posted");
        rig.ppi(0, EVENT, true);
        rig.vgic.inject_hw_ppi(0, TIMER);
        assert!(!short(&mut rig), "two at once");
        assert_eq!(rig.take_all(0), [TIMER, EVENT]);

        rig.ppi(0, EVENT, true);
        rig.vgic.pulse(Line::Spi { intid: 40 });
        assert!(!short(&mut rig), "an SPI waits, too");
        assert_eq!(rig.take_all(0), [EVENT, 40]);
    }
}

/// Where the priorities of vCPU 0's private interrupts are.
fn priorities(version: Version) -> (Region, u32) {
    match version {
        Version::V2 => (Region::Dist, 0x400),
        Version::V3 => (Region::Redist { vcpu: 0 }, 0x1_0400),
    }
}

#[test]
fn interrupt_that_comes_alone_goes_the_shortest_way_from_the_second_time_on() {
    for version in BOTH {
        let mut rig = Rig::enabled(version, 2, 4);
        let comes = |rig: &mut Rig| {
            rig.ppi(0, EVENT, true);
            let again = rig.present(0, refresh_again);
            assert!(again || rig.present(0, Vgic::refresh_single));
            assert!(!rig.vgic.has_work(0) && rig.cpus[0].find(EVENT).unwrap().pending);
            again
        };
        let take = |rig: &mut Rig| {
            assert_eq!(rig.cpus[0].acknowledge(), Some((EVENT, 0)));
            rig.cpus[0].end(EVENT);
        };
        for time in 0..5 {
            assert_eq!(comes(&mut rig), time >= 1, "{time}");
            take(&mut rig);
        }

        // Whatever may have changed what it comes to is looked at.
        rig.dist(0, 1);
        rig.dist(0, 3);
        rig.enter(0);
        assert!(!comes(&mut rig), "the distributor's control was written");
        take(&mut rig);
        assert!(comes(&mut rig));
        take(&mut rig);
        let (region, offset) = priorities(version);
        rig.write(0, region, offset + EVENT / 4 * 4, 0x2020_2020);
        rig.enter(0);
        assert!(!comes(&mut rig), "its priority was written");
        assert_eq!(rig.cpus[0].find(EVENT).unwrap().priority, 0x20);
    }
}

#[test]
fn priority_written_while_an_interrupt_is_active_counts_from_its_next_time_on() {
    for (version, short) in BOTH.into_iter().flat_map(|version| [(version, false), (version, true)]) {
        let mut rig = Rig::enabled(version, 1, 4);
        rig.short = short;
        rig.ppi(0, EVENT, true);
        rig.enter(0);
        rig.cpus[0].acknowledge();
        let (region, offset) = priorities(version);
        rig.write(0, region, offset + EVENT / 4 * 4, 0x2020_2020);
        rig.enter(0);
        rig.cpus[0].end(EVENT);
        for _ in 0..3 {
            rig.ppi(0, EVENT, true);
            rig.enter(0);
            assert_eq!(rig.cpus[0].find(EVENT).unwrap().priority, 0x20, "{version:?} {short}");
            rig.cpus[0].acknowledge();
            rig.cpus[0].end(EVENT);
        }
    }
}

#[test]
fn shortest_way_waits_for_the_guest_and_for_nobody_else() {
    for version in BOTH {
        let mut rig = Rig::enabled(version, 1, 4);
        for _ in 0..3 {
            rig.timer(0);
            assert_eq!(rig.cpus[0].acknowledge(), Some((TIMER, 0)));
            rig.cpus[0].end(TIMER);
        }
        let timer = |rig: &mut Rig| {
            rig.present(0, |vgic, vcpu, _, first, _| vgic.inject_hw_ppi_again(vcpu, TIMER, first))
        };
        rig.ppi(0, EVENT, true);
        assert!(!timer(&mut rig), "something else is posted");
        assert_eq!(rig.take_all(0), [EVENT]);
        for _ in 0..2 {
            rig.timer(0);
            assert_eq!(rig.cpus[0].acknowledge(), Some((TIMER, 0)));
            rig.cpus[0].end(TIMER);
        }
        assert!(timer(&mut rig));
        assert!(!timer(&mut rig), "the guest has not seen the one before");
        rig.cpus[0].acknowledge();
        assert!(!timer(&mut rig), "nor ended it");
        rig.cpus[0].end(TIMER);
        assert!(timer(&mut rig));
        rig.vgic.pulse(Line::Spi { intid: 40 });
        rig.cpus[0].acknowledge();
        rig.cpus[0].end(TIMER);
        assert!(!timer(&mut rig), "an SPI waits");
    }
}
