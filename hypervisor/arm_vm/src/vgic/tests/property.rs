//! Whatever a guest writes and whenever interrupts come: no panic, no interrupt in two places, none lost.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Read { vcpu: usize, redist: Option<usize>, offset: u32, size: AccessSize },
    Write { vcpu: usize, redist: Option<usize>, offset: u32, size: AccessSize, value: u64 },
    Level { vcpu: usize, intid: u32, level: bool },
    Pulse { vcpu: usize, intid: u32 },
    Hw { vcpu: usize, intid: u32 },
    Sgi { vcpu: usize, kind: SgiKind, value: u64 },
    Sampled { vcpu: usize, levels: u32 },
    Refresh(usize),
    Sync(usize),
    Acknowledge(usize),
    End { vcpu: usize, intid: u32 },
    EndLast(usize),
    OffOn(usize),
    Wfi { vcpu: usize, vmcr: u64 },
}

const VCPUS: usize = 3;

fn size() -> impl Strategy<Value = AccessSize> {
    prop_oneof![
        1 => Just(AccessSize::Byte),
        1 => Just(AccessSize::Half),
        6 => Just(AccessSize::Word),
        1 => Just(AccessSize::Double),
    ]
}

/// Mostly offsets where something is, aligned or not.
fn offset() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => (0x80u32..0x400).prop_map(|o| o & !0x7f | (o & 3) << 2),
        2 => 0x400u32..0x460,
        2 => 0x800u32..0x860,
        1 => (0xc00u32..0xc18).prop_map(|o| o & !3),
        1 => 0xf00u32..0xf30,
        1 => (0x6000u32..0x6300).prop_map(|o| o & !7),
        1 => 0u32..0x10,
        1 => 0u32..0x1_0000,
    ]
}

fn redist() -> impl Strategy<Value = (Option<usize>, u32)> {
    prop_oneof![
        offset().prop_map(|offset| (None, offset)),
        (0..VCPUS, offset()).prop_map(|(vcpu, offset)| (Some(vcpu), 0x1_0000 | offset)),
        (0..VCPUS, 0u32..0x2_0000).prop_map(|(vcpu, offset)| (Some(vcpu), offset)),
    ]
}

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), (0u32..32).prop_map(|n| 1 << n), Just(u64::MAX), 0u64..4]
}

fn step() -> impl Strategy<Value = Step> {
    let vcpu = 0..VCPUS;
    let kind = prop_oneof![Just(SgiKind::Sgi1r), Just(SgiKind::Asgi1r), Just(SgiKind::Sgi0r)];
    prop_oneof![
        1 => (vcpu.clone(), redist(), size())
            .prop_map(|(vcpu, (redist, offset), size)| Step::Read { vcpu, redist, offset, size }),
        4 => (vcpu.clone(), redist(), size(), value())
            .prop_map(|(vcpu, (redist, offset), size, value)| Step::Write { vcpu, redist, offset, size, value }),
        3 => (vcpu.clone(), 16u32..100, any::<bool>())
            .prop_map(|(vcpu, intid, level)| Step::Level { vcpu, intid, level }),
        3 => (vcpu.clone(), 16u32..100).prop_map(|(vcpu, intid)| Step::Pulse { vcpu, intid }),
        3 => (vcpu.clone(), prop_oneof![Just(TIMER), 40u32..48]).prop_map(|(vcpu, intid)| Step::Hw { vcpu, intid }),
        2 => (vcpu.clone(), kind, any::<u64>()).prop_map(|(vcpu, kind, value)| {
            // Mostly to vCPUs that exist.
            let value = if value & (1 << 63) == 0 { value & 0x0100_0f00_0007 | value & (1 << 40) } else { value };
            Step::Sgi { vcpu, kind, value }
        }),
        1 => (vcpu.clone(), any::<u32>()).prop_map(|(vcpu, levels)| Step::Sampled { vcpu, levels }),
        4 => vcpu.clone().prop_map(Step::Refresh),
        1 => vcpu.clone().prop_map(Step::Sync),
        5 => vcpu.clone().prop_map(Step::Acknowledge),
        1 => (vcpu.clone(), 0u32..100).prop_map(|(vcpu, intid)| Step::End { vcpu, intid }),
        4 => vcpu.clone().prop_map(Step::EndLast),
        1 => vcpu.clone().prop_map(Step::OffOn),
        1 => (vcpu, any::<u64>()).prop_map(|(vcpu, vmcr)| Step::Wfi { vcpu, vmcr }),
    ]
}

fn region(redist: Option<usize>) -> Region {
    redist.map_or(Region::Dist, |vcpu| Region::Redist { vcpu })
}

/// Physical interrupts 40 to 47 and the timers, which must stay active from delivery to deactivation.
#[derive(Default)]
struct Physical {
    active: BTreeSet<(Option<usize>, u16)>,
}

impl Physical {
    fn deactivate(&mut self, vcpu: usize, phys: u16) {
        let at = if phys < 32 { Some(vcpu) } else { None };
        self.active.remove(&(at, phys));
    }

    fn collect(&mut self, rig: &mut Rig) {
        for (vcpu, cpu) in rig.cpus.iter_mut().enumerate() {
            for phys in cpu.guest_deactivated.drain(..).chain(cpu.model_deactivated.drain(..)) {
                self.deactivate(vcpu, phys);
            }
        }
    }

    fn apply(&mut self, rig: &Rig, effects: Effects) {
        for action in effects.hw.into_iter().flat_map(|batch| rig.vgic.hw_actions(batch)) {
            if let HwAction::Deactivate { phys } = action {
                self.deactivate(0, phys);
            }
        }
    }
}

fn run(rig: &mut Rig, physical: &mut Physical, step: &Step) {
    match *step {
        Step::Read { vcpu, redist, offset, size } => {
            if rig.vgic.needs_sync(region(redist), offset) {
                rig.sync(vcpu);
            }
            rig.vgic.stale_owners(vcpu, region(redist), offset);
            let _ = rig.vgic.read(vcpu, region(redist), offset, size);
        }
        Step::Write { vcpu, redist, offset, size, value } => {
            if let Ok(effects) = rig.vgic.write(vcpu, region(redist), offset, size, value) {
                physical.apply(rig, effects);
            }
        }
        Step::Level { vcpu, intid, level } => {
            if intid < 32 && intid != TIMER {
                rig.ppi(vcpu, intid, level);
            } else {
                rig.spi(intid, level);
            }
        }
        Step::Pulse { vcpu, intid } => {
            if intid < 32 && intid != TIMER {
                rig.vgic.pulse(Line::Ppi { vcpu, intid });
            } else {
                rig.vgic.pulse(Line::Spi { intid });
            }
        }
        Step::Hw { vcpu, intid } => {
            // The physical interrupt comes only when it is not active.
            if intid == TIMER {
                if physical.active.insert((Some(vcpu), 27)) {
                    rig.timer(vcpu);
                }
            } else if physical.active.insert((None, intid as u16)) {
                rig.vgic.inject_hw(intid);
            }
        }
        Step::Sgi { vcpu, kind, value } => match rig.vgic.version() {
            Version::V3 => drop(rig.vgic.send_sgi(vcpu, kind, value)),
            Version::V2 => drop(rig.write(vcpu, Region::Dist, 0xf00, value as u32 & 0x0307_000f)),
        },
        Step::Sampled { vcpu, levels } => rig.cpus[vcpu].levels = levels,
        Step::Refresh(vcpu) => drop(rig.refresh(vcpu)),
        Step::Sync(vcpu) => rig.sync(vcpu),
        Step::Acknowledge(vcpu) => {
            rig.enter(vcpu);
            rig.cpus[vcpu].acknowledge();
        }
        Step::End { vcpu, intid } => {
            rig.enter(vcpu);
            rig.cpus[vcpu].end(intid);
        }
        Step::EndLast(vcpu) => {
            rig.enter(vcpu);
            if let Some((intid, _)) = rig.cpus[vcpu].running.last().copied() {
                rig.cpus[vcpu].end(intid);
            }
        }
        Step::OffOn(vcpu) => {
            rig.cpus[vcpu].read_back();
            rig.vgic.vcpu_off(vcpu, &mut rig.cpus[vcpu].ci, &mut |_| {});
            rig.cpus[vcpu].write();
            let nr_lrs = rig.cpus[vcpu].ci.nr_lrs();
            physical.collect(rig);
            rig.cpus[vcpu] = Cpu::new(rig.vgic.version(), nr_lrs);
            rig.vgic.vcpu_on(vcpu, &mut |_| {});
            // What the CPU does when it is switched away from the vCPU.
            physical.active.remove(&(Some(vcpu), 27));
        }
        Step::Wfi { vcpu, vmcr } => {
            rig.refresh(vcpu);
            let with_view = rig.vgic.pending_unmasked(vcpu, Some(CpuView::from_vmcr(vmcr)));
            assert!(!with_view || rig.vgic.pending_unmasked(vcpu, None));
        }
    }
    physical.collect(rig);
}

/// The guest comes to its senses: everything enabled, routed to vCPU 0, nothing active, and serves what comes.
fn settle(rig: &mut Rig, physical: &mut Physical) {
    rig.dist(0, 3);
    for vcpu in 0..VCPUS {
        rig.cpus[vcpu].levels = 0;
        let (region, base) = match rig.vgic.version() {
            Version::V2 => (Region::Dist, 0),
            Version::V3 => (Region::Redist { vcpu }, 0x1_0000),
        };
        rig.write(vcpu, region, base + 0x380, u32::MAX);
        rig.write(vcpu, region, base + 0x100, u32::MAX);
        for intid in 16..32 {
            if intid != TIMER {
                rig.ppi(vcpu, intid, false);
            }
        }
    }
    for index in 1..3 {
        let effects = rig.dist(0x380 + 4 * index, u32::MAX);
        physical.apply(rig, effects);
        rig.dist(0x100 + 4 * index, u32::MAX);
    }
    for intid in 32..96 {
        rig.spi(intid, false);
        rig.route(intid, 0);
    }
    for _ in 0..2 {
        for vcpu in (0..VCPUS).rev() {
            rig.cpus[vcpu].running.clear();
            rig.cpus[vcpu].ci.eoi_count = 0;
            rig.refresh(vcpu);
        }
    }
    physical.collect(rig);
}

/// A guest that has enabled everything, with physical interrupts of its own.
fn prepared(version: Version, nr_lrs: usize) -> Rig {
    let rig = Rig::enabled(version, VCPUS, nr_lrs);
    for intid in 40..48 {
        rig.vgic.assign_hw(intid, intid as u16).unwrap();
    }
    rig
}

/// Whether the short ways were taken, they do what a refresh does.
fn short_ways_equal_the_refresh(version: Version, nr_lrs: usize, steps: &[Step]) {
    let (mut short, mut long) = (prepared(version, nr_lrs), prepared(version, nr_lrs));
    long.short = false;
    let (mut physical, mut other) = (Physical::default(), Physical::default());
    for step in steps {
        run(&mut short, &mut physical, step);
        run(&mut long, &mut other, step);
        assert_eq!(format!("{:?}", short.vgic), format!("{:?}", long.vgic), "{step:?}");
        for (one, two) in short.cpus.iter().zip(&long.cpus) {
            assert_eq!((one.hw, &one.ci), (two.hw, &two.ci), "{step:?}");
        }
        assert_eq!(physical.active, other.active, "{step:?}");
    }
}

/// Steps with private interrupts alone, one of which often is all there is.
fn private_step() -> impl Strategy<Value = Step> {
    let vcpu = 0..2usize;
    prop_oneof![
        4 => vcpu.clone().prop_map(|vcpu| Step::Hw { vcpu, intid: TIMER }),
        4 => vcpu.clone().prop_map(|vcpu| Step::Level { vcpu, intid: EVENT, level: true }),
        2 => (vcpu.clone(), 0u64..4).prop_map(|(vcpu, sgi)| {
            Step::Sgi { vcpu, kind: SgiKind::Sgi1r, value: sgi << 24 | 1 << (vcpu & 1) }
        }),
        1 => (vcpu.clone(), any::<bool>())
            .prop_map(|(vcpu, level)| Step::Level { vcpu, intid: PHYS_TIMER, level }),
        1 => (vcpu.clone(), any::<bool>())
            .prop_map(|(vcpu, level)| Step::Sampled { vcpu, levels: u32::from(level) << EVENT }),
        12 => vcpu.clone().prop_map(Step::Acknowledge),
        12 => vcpu.clone().prop_map(Step::EndLast),
        1 => vcpu.clone().prop_map(Step::Sync),
        1 => (vcpu, 0x80u32..0x400, value()).prop_map(|(vcpu, offset, value)| Step::Write {
            vcpu,
            redist: Some(vcpu),
            offset: 0x1_0000 | offset & !0x7f,
            size: AccessSize::Word,
            value,
        }),
    ]
}

fn steps_keep_the_invariants(version: Version, nr_lrs: usize, steps: &[Step]) {
    let (mut rig, mut physical) = (prepared(version, nr_lrs), Physical::default());
    for step in steps {
        run(&mut rig, &mut physical, step);
    }
    settle(&mut rig, &mut physical);
    for vcpu in 0..VCPUS {
        rig.take_all(vcpu);
        assert!(!rig.vgic.has_work(vcpu));
        rig.refresh(vcpu);
        assert!(!rig.vgic.pending_unmasked(vcpu, None), "vCPU {vcpu} has something left");
        assert_eq!(rig.cpus[vcpu].registers().count(), 0);
        assert_eq!(rig.cpus[vcpu].ci.hcr, hcr::EN);
        assert_eq!(rig.vgic.hw_ppis_in_flight(vcpu), 0);
    }
    physical.collect(&mut rig);
    assert!(physical.active.is_empty(), "physical interrupts never deactivated: {:?}", physical.active);

    // Now every interrupt works as on the first day.
    for intid in 32..96 {
        rig.vgic.pulse(Line::Spi { intid });
    }
    let taken: BTreeSet<_> = rig.take_all(0).into_iter().collect();
    assert_eq!(taken, (32..96).collect());
    for vcpu in 0..VCPUS {
        rig.cpus[vcpu].levels = 1 << TIMER;
        for intid in 16..32 {
            rig.vgic.pulse(Line::Ppi { vcpu, intid });
        }
        let taken: BTreeSet<_> = rig.take_all(vcpu).into_iter().collect();
        assert_eq!(taken, (16..32).collect());
    }
}

/// A level that goes up and stays there is presented sooner or later, however many others there are.
fn every_level_is_presented(version: Version, nr_lrs: usize, intids: &BTreeSet<u32>) {
    let mut rig = Rig::enabled(version, 1, nr_lrs);
    for &intid in intids {
        if intid < 32 {
            rig.ppi(0, intid, true)
        } else {
            rig.spi(intid, true)
        };
    }
    let mut seen = BTreeSet::new();
    for _ in 0..1000 {
        rig.enter(0);
        let Some((intid, _)) = rig.cpus[0].acknowledge() else { break };
        seen.insert(intid);
        if intid < 32 {
            rig.ppi(0, intid, false)
        } else {
            rig.spi(intid, false)
        };
        rig.cpus[0].end(intid);
    }
    assert_eq!(&seen, intids);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 384, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_or_doubled_with_version_2(nr_lrs in 1usize..6, steps in vec(step(), 1..120)) {
        steps_keep_the_invariants(Version::V2, nr_lrs, &steps);
    }

    #[test]
    fn nothing_is_lost_or_doubled_with_version_3(nr_lrs in 1usize..6, steps in vec(step(), 1..120)) {
        steps_keep_the_invariants(Version::V3, nr_lrs, &steps);
    }

    #[test]
    fn short_ways_equal_the_refresh_whatever_comes(nr_lrs in 1usize..6, steps in vec(step(), 1..120)) {
        for version in BOTH {
            short_ways_equal_the_refresh(version, nr_lrs, &steps);
        }
    }

    #[test]
    fn short_ways_equal_the_refresh_with_private_interrupts(nr_lrs in 1usize..6, steps in vec(private_step(), 1..120)) {
        for version in BOTH {
            short_ways_equal_the_refresh(version, nr_lrs, &steps);
        }
    }

    #[test]
    fn every_high_level_is_presented(nr_lrs in 1usize..5, intids in proptest::collection::btree_set(
        prop_oneof![20u32..26, 32u32..96], 1..30,
    )) {
        for version in BOTH {
            every_level_is_presented(version, nr_lrs, &intids);
        }
    }
}
