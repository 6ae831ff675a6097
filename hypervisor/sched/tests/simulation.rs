//! Random machines, loads and administration; the simulator checks the contract at each step.

mod sim;

use proptest::prelude::*;
use sched::{CpuMask, DomainParams, SchedKind, UnitState};
use sim::{Load, MS, SEC, Sim, US, assert_near, ideal_shares};

#[derive(Clone, Copy, Debug)]
enum Op {
    Wait(u64),
    Add(u16, Load, u64, u64),
    Remove(usize),
    Pause(usize),
    Unpause(usize),
    Affinity(usize, u64, u64),
    Params(u16, u16, u16),
    Ratelimit(u32),
    Yield(usize),
    Spurious(usize),
    RemoveCpu(usize),
    AddCpu(usize),
}

const DOMAINS: u16 = 4;

fn load() -> impl Strategy<Value = Load> {
    prop_oneof![
        3 => Just(Load::Hog),
        2 => (1..5 * MS, 1..5 * MS).prop_map(|(run, sleep)| Load::Periodic { run, sleep }),
        3 => (1..3 * MS, 1..3 * MS).prop_map(|(run, sleep)| Load::Random { run, sleep }),
    ]
}

/// Masks as bits; often everything.
fn bits() -> impl Strategy<Value = u64> {
    prop_oneof![2 => Just(u64::MAX), 3 => 1_u64..256]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0..20 * MS).prop_map(Op::Wait),
        6 => (0..DOMAINS, load(), bits(), bits()).prop_map(|(dom, l, h, s)| Op::Add(dom, l, h, s)),
        2 => any::<usize>().prop_map(Op::Remove),
        3 => any::<usize>().prop_map(Op::Pause),
        3 => any::<usize>().prop_map(Op::Unpause),
        3 => (any::<usize>(), bits(), bits()).prop_map(|(u, h, s)| Op::Affinity(u, h, s)),
        2 => (0..DOMAINS, 16_u16..4096, 0_u16..200).prop_map(|(d, w, c)| Op::Params(d, w, c)),
        1 => prop_oneof![Just(0), 100_u32..20_000].prop_map(Op::Ratelimit),
        3 => (0_usize..8).prop_map(Op::Yield),
        2 => (0_usize..8).prop_map(Op::Spurious),
        1 => (0_usize..8).prop_map(Op::RemoveCpu),
        1 => (0_usize..8).prop_map(Op::AddCpu),
    ]
}

fn mask(bits: u64) -> CpuMask {
    CpuMask::from_words([bits, 0])
}

fn apply(sim: &mut Sim, op: Op, cpus: usize) {
    let units = sim.units.len();
    let pick = |n: usize| n.checked_rem(units);
    match op {
        Op::Wait(time) => sim.run(time),
        Op::Add(dom, load, hard, soft) => {
            let hard = mask(hard);
            if hard.and(sim.pool.cpus()) != CpuMask::EMPTY && units < 40 {
                sim.add_unit(dom, units as u16, hard, mask(soft), load);
            }
        }
        Op::Remove(n) => pick(n).into_iter().for_each(|unit| sim.remove(unit)),
        Op::Pause(n) => pick(n).into_iter().for_each(|unit| sim.pause(unit)),
        Op::Unpause(n) => pick(n).into_iter().for_each(|unit| sim.unpause(unit)),
        Op::Affinity(n, hard, soft) => {
            pick(n).into_iter().for_each(|unit| sim.set_affinity(unit, mask(hard), mask(soft)));
        }
        Op::Params(domid, weight, cap) => {
            let params = DomainParams { weight, cap };
            if let Ok(kick) = sim.pool.set_domain_params(domid, params, sim.now) {
                sim.kick(kick);
            }
        }
        Op::Ratelimit(us) => {
            let expected = sim.pool.kind() == SchedKind::Credit2;
            assert_eq!(sim.pool.set_ratelimit_us(us).is_ok(), expected);
        }
        Op::Yield(n) if n < cpus => {
            sim.yield_cpu(n);
        }
        // A pCPU may decide whenever it likes.
        Op::Spurious(n) if n < cpus => sim.kick(CpuMask::single(sim::cpu(n))),
        Op::RemoveCpu(n) if n < cpus => sim.remove_cpu(n),
        Op::AddCpu(n) if n < cpus => sim.add_cpu(n),
        Op::Yield(_) | Op::Spurious(_) | Op::RemoveCpu(_) | Op::AddCpu(_) => {}
    }
}

fn exercise(kind: SchedKind, cpus: usize, seed: u64, start: u64, ops: &[Op]) -> Sim {
    let mut sim = Sim::starting_at(kind, cpus, seed, start);
    sim.check_ratelimit = kind == SchedKind::Credit2;
    for domid in 0..DOMAINS {
        sim.pool.add_domain(domid, sim.now).unwrap();
    }
    for &op in ops {
        apply(&mut sim, op, cpus);
    }
    sim
}

/// Removes everything and checks that nothing is left behind.
fn tear_down(sim: &mut Sim) {
    for unit in 0..sim.units.len() {
        sim.remove(unit);
    }
    sim.run(MS);
    for unit in &sim.units {
        assert!(!sim.pool.contains(unit.id));
        assert_eq!(sim.pool.wake(unit.id, sim.now), None, "void handle has no effect");
    }
    for domid in 0..DOMAINS {
        sim.pool.remove_domain(domid, sim.now).unwrap();
    }
    assert_eq!(sim.pool.domain_count(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn credit2_keeps_its_contract_whatever_happens(
        cpus in 1_usize..6, seed: u64, ops in prop::collection::vec(op(), 1..120)
    ) {
        let mut sim = exercise(SchedKind::Credit2, cpus, seed, 1_000, &ops);
        // Afterwards everyone who wants to run does so within a bounded time.
        for unit in 0..sim.units.len() {
            sim.unpause(unit);
        }
        sim.run(100 * MS);
        sim.reset_measures();
        let before: Vec<u64> = sim.units.iter().map(|unit| unit.ran).collect();
        sim.run(8 * SEC);
        for (unit, before) in sim.units.iter().zip(before) {
            let capped = sim.pool.domain_params(unit.key.domid).unwrap().cap != 0;
            if unit.alive && !capped {
                assert!(unit.ran > before, "{unit:?} starves");
                assert!(unit.longest_wait < 4 * SEC, "{unit:?} waits long");
            }
        }
        tear_down(&mut sim);
    }

    #[test]
    fn null_keeps_its_contract_whatever_happens(
        cpus in 1_usize..6, seed: u64, ops in prop::collection::vec(op(), 1..120)
    ) {
        let mut sim = exercise(SchedKind::Null, cpus, seed, 1_000, &ops);
        for unit in 0..sim.units.len() {
            sim.unpause(unit);
            sim.set_affinity(unit, CpuMask::ALL, CpuMask::ALL);
            sim.units[unit].load = Load::Hog;
        }
        // Everyone wakes at last and never sleeps again; as many run as there are pCPUs.
        sim.run(50 * MS);
        let alive = sim.units.iter().filter(|unit| unit.alive).count();
        let running = (0..cpus).filter(|&n| sim.running(n).is_some()).count();
        prop_assert_eq!(running, alive.min(sim.pool.cpus().count() as usize));
        tear_down(&mut sim);
    }

    #[test]
    fn the_end_of_time_is_survived(seed: u64, ops in prop::collection::vec(op(), 1..60)) {
        for kind in [SchedKind::Credit2, SchedKind::Null] {
            let mut sim = exercise(kind, 3, seed, u64::MAX - 30 * MS, &ops);
            sim.now = u64::MAX;
            for n in 0..3 {
                sim.pool.schedule(sim::cpu(n), u64::MAX);
                sim.pool.switched_out(sim::cpu(n), u64::MAX);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn shares_follow_weights(
        cpus in 1_usize..5, seed: u64, weights in prop::collection::vec(64_u16..2048, 1..12)
    ) {
        let mut sim = Sim::new(SchedKind::Credit2, cpus, seed);
        sim.check_ratelimit = true;
        for (domid, &weight) in (1..).zip(&weights) {
            sim.add_simple(domid, weight, Load::Hog);
        }
        sim.run(SEC);
        let got = sim.measure_span(20 * SEC);
        for (i, wanted) in ideal_shares(&weights, cpus, 20 * SEC).into_iter().enumerate() {
            assert_near(got[i], wanted, 5.0, &format!("{weights:?} on {cpus}: unit {i}"));
        }
    }

    #[test]
    fn caps_hold_among_others(
        cpus in 1_usize..4, seed: u64, vcpus in 1_u16..5, cap in 5_u16..150, others in 0_u16..5
    ) {
        let cap = cap.min(vcpus * 100);
        let mut sim = Sim::new(SchedKind::Credit2, cpus, seed);
        // A refilled domain waits for the others' rate limit, and loses what it cannot use.
        sim.pool.set_ratelimit_us(100).unwrap();
        // The capped domain's weight is high, so that mostly the cap is what limits it.
        let mut weights = vec![65_535; usize::from(vcpus)];
        weights.extend(vec![1_000; usize::from(others)]);
        sim.add_domain(1, 65_535);
        for vcpu in 0..vcpus {
            sim.add_unit(1, vcpu, CpuMask::ALL, CpuMask::ALL, Load::Hog);
        }
        sim.set_params(1, 0, cap);
        for domid in 2..2 + others {
            sim.add_simple(domid, 1_000, Load::Hog);
        }
        sim.run(SEC);
        let got = sim.measure_span(10 * SEC);
        let capped: u64 = got[..usize::from(vcpus)].iter().sum();
        let by_weight: f64 = ideal_shares(&weights, cpus, 10 * SEC)[..usize::from(vcpus)].iter().sum();
        let by_cap = f64::from(cap) / 10.0 * SEC as f64;
        assert_near(capped, by_cap.min(by_weight), 5.0, "capped domain");
        if usize::from(others) >= cpus {
            let total: u64 = got.iter().sum();
            assert_near(total, cpus as f64 * 10.0 * SEC as f64, 0.1, "all together");
        }
    }

    #[test]
    fn sleepers_do_not_take_more_than_their_share_from_a_hog(
        seed: u64, run in 50 * US..5 * MS, sleep in US..2 * MS, sleepers in 1_u16..6
    ) {
        let mut sim = Sim::new(SchedKind::Credit2, 1, seed);
        let hog = sim.add_simple(1, 256, Load::Hog);
        for domid in 2..2 + sleepers {
            sim.add_simple(domid, 256, Load::Random { run, sleep });
        }
        sim.run(SEC);
        let got = sim.measure_span(10 * SEC);
        let fair = 10.0 * SEC as f64 / f64::from(sleepers + 1);
        prop_assert!(got[hog] as f64 >= fair * 0.95, "hog got {} of {fair}", got[hog]);
    }
}

#[test]
fn unit_states_are_told_apart() {
    let mut sim = Sim::new(SchedKind::Credit2, 1, 1);
    let runner = sim.add_simple(1, 256, Load::Hog);
    let waiter = sim.add_simple(2, 256, Load::Hog);
    sim.run(MS / 2);
    let state = |sim: &Sim, unit: usize| sim.pool.unit_info(sim.units[unit].id, sim.now).unwrap().state;
    assert_eq!(state(&sim, runner), UnitState::Running(sim::cpu(0)));
    assert_eq!(state(&sim, waiter), UnitState::Waiting);
    sim.pause(waiter);
    assert_eq!(state(&sim, waiter), UnitState::Blocked);
}
