//! A well-behaved guest, and a ledger of what it is owed: every edge is served, none is served more often than it came.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;

const VCPUS: usize = 3;
/// Edge-triggered SPIs; more than list registers.
const EDGES: std::ops::Range<u32> = 48..58;
/// SPIs with a physical interrupt.
const HW: std::ops::Range<u32> = 40..44;
const PPIS: std::ops::Range<u32> = 16..20;
const SGIS: std::ops::Range<u32> = 0..3;

#[derive(Clone, Debug)]
enum Step {
    Edge(u32),
    Hw(u32),
    Ppi { vcpu: usize, intid: u32 },
    Sgi { from: usize, to: usize, sgi: u32 },
    Route { intid: u32, vcpu: usize },
    Priority { intid: u32, priority: u8 },
    OffAndOn(u32),
    Refresh(usize),
    Sync(usize),
    Acknowledge(usize),
    End(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let vcpu = 0..VCPUS;
    let spi = || prop_oneof![EDGES, HW];
    prop_oneof![
        3 => EDGES.prop_map(Step::Edge),
        3 => HW.prop_map(Step::Hw),
        2 => (vcpu.clone(), PPIS).prop_map(|(vcpu, intid)| Step::Ppi { vcpu, intid }),
        3 => (vcpu.clone(), vcpu.clone(), SGIS).prop_map(|(from, to, sgi)| Step::Sgi { from, to, sgi }),
        1 => (spi(), vcpu.clone()).prop_map(|(intid, vcpu)| Step::Route { intid, vcpu }),
        1 => (spi(), 0u8..30).prop_map(|(intid, priority)| Step::Priority { intid, priority: priority << 3 }),
        1 => spi().prop_map(Step::OffAndOn),
        2 => vcpu.clone().prop_map(Step::Refresh),
        1 => vcpu.clone().prop_map(Step::Sync),
        6 => vcpu.clone().prop_map(Step::Acknowledge),
        6 => vcpu.prop_map(Step::End),
    ]
}

/// What an interrupt is served as: its number, the vCPU for private ones, and the sender where the guest sees it.
type Key = (u32, Option<usize>, Option<u8>);

#[derive(Default)]
struct Ledger {
    owed: BTreeSet<Key>,
    came: BTreeMap<Key, u32>,
    served: BTreeMap<Key, u32>,
    active: BTreeSet<u16>,
}

impl Ledger {
    fn raise(&mut self, key: Key) {
        self.owed.insert(key);
        *self.came.entry(key).or_default() += 1;
    }

    fn acknowledge(&mut self, rig: &mut Rig, vcpu: usize) -> bool {
        rig.enter(vcpu);
        let Some((intid, source)) = rig.cpus[vcpu].acknowledge() else { return false };
        let sender = (rig.vgic.version() == Version::V2 && intid < 16).then_some(source);
        let key = (intid, (intid < 32).then_some(vcpu), sender);
        self.owed.remove(&key);
        let served = self.served.entry(key).or_default();
        *served += 1;
        let came = self.came.get(&key).copied().unwrap_or(0);
        assert!(*served <= came, "{key:?} came {came} times and was served {served} times");
        true
    }

    /// Ends the interrupt acknowledged last.
    fn end(&mut self, rig: &mut Rig, vcpu: usize) {
        rig.enter(vcpu);
        if let Some((intid, _)) = rig.cpus[vcpu].running.last().copied() {
            rig.cpus[vcpu].end(intid);
        }
        rig.enter(vcpu);
        for cpu in &mut rig.cpus {
            for phys in cpu.guest_deactivated.drain(..).chain(cpu.model_deactivated.drain(..)) {
                assert!(self.active.remove(&phys), "{phys} deactivated twice");
            }
        }
    }
}

fn serve(version: Version, nr_lrs: usize, steps: &[Step]) {
    let mut rig = Rig::enabled(version, VCPUS, nr_lrs);
    let mut ledger = Ledger::default();
    for intid in EDGES {
        rig.make_edge(intid);
    }
    for intid in HW {
        rig.vgic.assign_hw(intid, intid as u16).unwrap();
    }
    for step in steps {
        match *step {
            Step::Edge(intid) => {
                ledger.raise((intid, None, None));
                rig.spi(intid, true);
                rig.spi(intid, false);
            }
            Step::Hw(intid) => {
                if ledger.active.insert(intid as u16) {
                    ledger.raise((intid, None, None));
                    rig.vgic.inject_hw(intid);
                }
            }
            Step::Ppi { vcpu, intid } => {
                ledger.raise((intid, Some(vcpu), None));
                rig.vgic.pulse(Line::Ppi { vcpu, intid });
            }
            Step::Sgi { from, to, sgi } => match version {
                Version::V2 => {
                    ledger.raise((sgi, Some(to), Some(from as u8)));
                    rig.write(from, Region::Dist, 0xf00, (1 << (16 + to)) | sgi);
                }
                Version::V3 => {
                    ledger.raise((sgi, Some(to), None));
                    rig.vgic.send_sgi(from, SgiKind::Sgi1r, (u64::from(sgi) << 24) | (1 << to));
                }
            },
            Step::Route { intid, vcpu } => drop(rig.route(intid, vcpu)),
            Step::Priority { intid, priority } => rig.set_priority(intid, priority),
            Step::OffAndOn(intid) => {
                rig.dist(0x180 + intid / 32 * 4, 1 << (intid % 32));
                rig.refresh_all();
                assert!(
                    rig.cpus.iter().all(|cpu| cpu.find(intid).is_none_or(|lr| !lr.pending)),
                    "disabled, but pending"
                );
                rig.dist(0x100 + intid / 32 * 4, 1 << (intid % 32));
            }
            Step::Refresh(vcpu) => drop(rig.refresh(vcpu)),
            Step::Sync(vcpu) => rig.sync(vcpu),
            Step::Acknowledge(vcpu) => drop(ledger.acknowledge(&mut rig, vcpu)),
            Step::End(vcpu) => ledger.end(&mut rig, vcpu),
        }
        rig.check();
    }
    // Finish what was begun, then serve the rest. Twice, since what one vCPU lets go another may have waited for.
    for _ in 0..2 {
        for vcpu in 0..VCPUS {
            while !rig.cpus[vcpu].running.is_empty() {
                ledger.end(&mut rig, vcpu);
            }
            rig.refresh(vcpu);
        }
        for vcpu in 0..VCPUS {
            while ledger.acknowledge(&mut rig, vcpu) {
                ledger.end(&mut rig, vcpu);
            }
        }
    }
    assert!(ledger.owed.is_empty(), "never served: {:?}", ledger.owed);
    assert!(ledger.active.is_empty(), "never deactivated: {:?}", ledger.active);
    for intid in HW {
        let key = (intid, None, None);
        assert_eq!(
            ledger.served.get(&key),
            ledger.came.get(&key),
            "physical interrupts are served one by one"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_edge_is_served_with_version_2(nr_lrs in 1usize..6, steps in vec(step(), 1..150)) {
        serve(Version::V2, nr_lrs, &steps);
    }

    #[test]
    fn every_edge_is_served_with_version_3(nr_lrs in 1usize..6, steps in vec(step(), 1..150)) {
        serve(Version::V3, nr_lrs, &steps);
    }
}
