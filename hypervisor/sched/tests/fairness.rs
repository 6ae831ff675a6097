//! Shares, caps, affinity and latency over simulated seconds.

mod sim;

use sched::{CpuMask, SchedKind};
use sim::{Load, MS, SEC, Sim, US, assert_near, cpu, ideal_shares, mask};

const C2: SchedKind = SchedKind::Credit2;
const ALL: CpuMask = CpuMask::ALL;

fn hogs(cpus: usize, weights: &[u16]) -> Sim {
    let mut sim = Sim::new(C2, cpus, 42);
    sim.check_ratelimit = true;
    for (domid, &weight) in (1..).zip(weights) {
        sim.add_simple(domid, weight, Load::Hog);
    }
    sim
}

fn assert_shares(cpus: usize, weights: &[u16]) {
    // Long enough for the lightest to have many turns.
    let span = 50 * SEC;
    let mut sim = hogs(cpus, weights);
    sim.run(2 * SEC);
    let got = sim.measure_span(span);
    for (i, wanted) in ideal_shares(weights, cpus, span).into_iter().enumerate() {
        assert_near(got[i], wanted, 5.0, &format!("weights {weights:?} on {cpus}, unit {i}"));
    }
}

#[test]
fn equal_weights_share_one_cpu_equally() {
    assert_shares(1, &[256; 5]);
}

#[test]
fn weights_set_shares_of_one_cpu() {
    assert_shares(1, &[256, 512, 1024]);
    assert_shares(1, &[100, 65_535, 20_000]);
    assert_shares(1, &[1, 100]);
}

#[test]
fn weights_set_shares_of_several_cpus() {
    assert_shares(2, &[256; 3]);
    assert_shares(2, &[256, 512, 512, 256]);
    assert_shares(4, &[100, 200, 300, 400, 500, 600, 700]);
    // One that could use more than a whole pCPU leaves the rest to the others.
    assert_shares(2, &[2_000, 100, 300]);
}

#[test]
fn fewer_units_than_cpus_run_undisturbed_without_timers() {
    let mut sim = hogs(4, &[256, 1024, 16]);
    sim.run(SEC);
    let got = sim.measure_span(SEC);
    assert!(got.iter().all(|&ran| ran == SEC));
    assert_eq!(sim.schedules, 0);
}

#[test]
fn weight_change_takes_effect_while_running() {
    let mut sim = hogs(1, &[256, 256]);
    sim.run(SEC);
    sim.set_params(1, 768, 0);
    sim.run(SEC);
    let got = sim.measure_span(10 * SEC);
    assert_near(got[0], 7.5 * SEC as f64, 5.0, "raised weight");
}

#[test]
fn cap_limits_a_lone_domain_and_lets_it_have_that_much() {
    for cap in [1, 10, 25, 50, 99] {
        let mut sim = hogs(2, &[256]);
        sim.check_ratelimit = false;
        sim.set_params(1, 0, cap);
        sim.run(SEC);
        let got = sim.measure_span(10 * SEC);
        assert_near(got[0], f64::from(cap) * SEC as f64 / 10.0, 5.0, &format!("cap {cap}"));
    }
}

#[test]
fn cap_holds_for_all_vcpus_of_a_domain_together() {
    for (vcpus, cap) in [(2, 50), (4, 100), (4, 150), (4, 30), (3, 250)] {
        let mut sim = Sim::new(C2, 4, 7);
        sim.add_domain(1, 256);
        for vcpu in 0..vcpus {
            sim.add_unit(1, vcpu, ALL, ALL, Load::Hog);
        }
        sim.set_params(1, 0, cap);
        sim.run(SEC);
        let got: u64 = sim.measure_span(10 * SEC).iter().sum();
        assert_near(got, f64::from(cap) * SEC as f64 / 10.0, 5.0, &format!("{vcpus} vCPUs, cap {cap}"));
    }
}

#[test]
fn capped_domain_leaves_the_rest_to_others_and_lifting_the_cap_gives_it_back() {
    let mut sim = hogs(1, &[256, 256]);
    sim.check_ratelimit = false;
    sim.set_params(1, 0, 20);
    sim.run(SEC);
    let got = sim.measure_span(10 * SEC);
    assert_near(got[0], 2.0 * SEC as f64, 5.0, "capped");
    assert_near(got[1], 8.0 * SEC as f64, 5.0, "other");
    sim.set_params(1, 0, 0);
    sim.run(SEC);
    let got = sim.measure_span(10 * SEC);
    assert_near(got[0], 5.0 * SEC as f64, 5.0, "uncapped");
}

#[test]
fn cap_holds_for_one_that_sleeps_and_wakes() {
    let mut sim = Sim::new(C2, 2, 3);
    sim.add_simple(1, 256, Load::Periodic { run: 300 * US, sleep: 100 * US });
    sim.set_params(1, 0, 40);
    sim.run(SEC);
    let got = sim.measure_span(10 * SEC);
    assert_near(got[0], 4.0 * SEC as f64, 5.0, "capped sleeper");
}

#[test]
fn unused_cap_is_not_saved_up() {
    let mut sim = hogs(1, &[256]);
    sim.check_ratelimit = false;
    sim.set_params(1, 0, 50);
    sim.pause(0);
    sim.run(SEC);
    sim.unpause(0);
    assert_near(sim.measure_span(100 * MS)[0], 50.0 * MS as f64, 5.0, "after a pause");
}

#[test]
fn frequent_sleeper_gets_its_part_but_starves_nobody() {
    let mut sim = hogs(1, &[256]);
    // With a rate limit the hog would be protected for that long each time.
    sim.pool.set_ratelimit_us(0).unwrap();
    let sleeper = sim.add_simple(9, 256, Load::Periodic { run: 200 * US, sleep: 50 * US });
    sim.run(SEC);
    let got = sim.measure_span(10 * SEC);
    // It asks for 80 %; half is its share.
    assert_near(got[0], 5.0 * SEC as f64, 5.0, "hog");
    assert_near(got[sleeper], 5.0 * SEC as f64, 5.0, "sleeper");
}

#[test]
fn light_sleeper_among_hogs_is_served_at_once() {
    let mut sim = hogs(2, &[256; 6]);
    let sleeper = sim.add_simple(9, 256, Load::Periodic { run: 100 * US, sleep: 5 * MS });
    sim.run(SEC);
    let got = sim.measure_span(10 * SEC);
    // 100 us in each 5.1 ms, delayed a little; the rate limit is what it waits for.
    assert!(got[sleeper] > 150 * MS, "got {}", got[sleeper]);
    assert!(sim.units[sleeper].longest_wait <= 2 * MS, "waited {}", sim.units[sleeper].longest_wait);
}

#[test]
fn many_sleepers_do_not_starve_a_hog() {
    let mut sim = hogs(2, &[256]);
    for domid in 10..40 {
        sim.add_simple(domid, 256, Load::Random { run: MS, sleep: MS });
    }
    sim.run(SEC);
    let got = sim.measure_span(10 * SEC);
    // 31 want two pCPUs; the hog is due 2/31 of the span.
    assert!(got[0] as f64 > 20.0 / 31.0 * 0.95 * SEC as f64, "hog got {}", got[0]);
    assert!(sim.units[0].longest_wait < 200 * MS, "hog waited {}", sim.units[0].longest_wait);
}

#[test]
fn hard_affinity_confines_shares_to_a_cpu() {
    // Two on pCPU 1 with weights 1:2; a busy floating one prefers to stay away from them.
    let mut sim = Sim::new(C2, 2, 5);
    for (domid, weight) in [(1, 256), (2, 512)] {
        sim.add_domain(domid, weight);
        sim.add_unit(domid, 0, mask(&[1]), ALL, Load::Hog);
    }
    sim.add_simple(3, 256, Load::Hog);
    sim.run(2 * SEC);
    let got = sim.measure_span(10 * SEC);
    assert_near(got[0], 10.0 / 3.0 * SEC as f64, 5.0, "weight 256");
    assert_near(got[1], 20.0 / 3.0 * SEC as f64, 5.0, "weight 512");
    assert_near(got[2], 10.0 * SEC as f64, 5.0, "floating");
}

#[test]
fn weights_hold_on_a_cpu_that_is_less_contended_than_another() {
    // pCPU 0 is shared by six, pCPU 1 by two with weights 1:3.
    let mut sim = Sim::new(C2, 2, 5);
    for domid in 1..7 {
        sim.add_domain(domid, 256);
        sim.add_unit(domid, 0, mask(&[0]), ALL, Load::Hog);
    }
    for (domid, weight) in [(7, 256), (8, 768)] {
        sim.add_domain(domid, weight);
        sim.add_unit(domid, 0, mask(&[1]), ALL, Load::Hog);
    }
    sim.run(2 * SEC);
    let got = sim.measure_span(10 * SEC);
    for ran in &got[..6] {
        assert_near(*ran, 10.0 / 6.0 * SEC as f64, 5.0, "crowded");
    }
    assert_near(got[6], 2.5 * SEC as f64, 5.0, "weight 256");
    assert_near(got[7], 7.5 * SEC as f64, 5.0, "weight 768");
}

#[test]
fn pinned_unit_competes_fairly_with_floating_ones() {
    let mut sim = Sim::new(C2, 2, 5);
    sim.add_domain(1, 256);
    sim.add_unit(1, 0, mask(&[0]), ALL, Load::Hog);
    for domid in 2..5 {
        sim.add_simple(domid, 256, Load::Hog);
    }
    sim.run(2 * SEC);
    for ran in sim.measure_span(10 * SEC) {
        assert_near(ran, 5.0 * SEC as f64, 5.0, "each of four on two pCPUs");
    }
}

#[test]
fn soft_affinity_is_kept_when_there_is_room() {
    let mut sim = Sim::new(C2, 4, 9);
    for n in 0..4_u16 {
        sim.add_domain(n + 1, 256);
        let load = Load::Random { run: 3 * MS, sleep: 3 * MS };
        sim.add_unit(n + 1, 0, ALL, mask(&[usize::from(n)]), load);
    }
    sim.run(SEC);
    sim.measure_span(5 * SEC);
    for (n, unit) in sim.units.iter().enumerate() {
        let total: u64 = unit.ran_on.iter().sum();
        assert_near(unit.ran_on[n], total as f64, 5.0, "time inside soft affinity");
    }
}

#[test]
fn soft_affinity_gives_way_to_an_idle_cpu() {
    let mut sim = Sim::new(C2, 2, 9);
    for domid in 1..3 {
        sim.add_domain(domid, 256);
        sim.add_unit(domid, 0, ALL, mask(&[0]), Load::Hog);
    }
    sim.run(SEC);
    for ran in sim.measure_span(SEC) {
        assert_eq!(ran, SEC);
    }
}

#[test]
fn unit_astray_returns_when_its_cpu_falls_idle() {
    let mut sim = Sim::new(C2, 2, 9);
    sim.add_domain(1, 256);
    sim.add_unit(1, 0, mask(&[0]), ALL, Load::Hog);
    sim.run(5 * MS);
    sim.add_domain(2, 256);
    let astray = sim.add_unit(2, 0, ALL, mask(&[0]), Load::Hog);
    sim.run(5 * MS);
    assert_eq!(sim.running(1), Some(astray));
    sim.pause(0);
    sim.run(5 * MS);
    assert_eq!(sim.running(0), Some(astray));
    assert_eq!(sim.running(1), None);
}

#[test]
fn soft_affinity_is_preferred_under_contention() {
    let mut sim = Sim::new(C2, 2, 9);
    for n in 0..6_u16 {
        sim.add_domain(n + 1, 256);
        sim.add_unit(n + 1, 0, ALL, mask(&[usize::from(n % 2)]), Load::Hog);
    }
    sim.run(SEC);
    let got = sim.measure_span(10 * SEC);
    for (n, unit) in sim.units.iter().enumerate() {
        assert_near(got[n], 10.0 / 3.0 * SEC as f64, 5.0, "share");
        assert_near(unit.ran_on[n % 2], got[n] as f64, 10.0, "time inside soft affinity");
    }
}

#[test]
fn domain_that_ran_alone_for_long_is_not_punished_when_another_comes() {
    let mut sim = hogs(1, &[256]);
    sim.run(100 * SEC);
    sim.add_simple(2, 256, Load::Hog);
    sim.reset_measures();
    sim.run(SEC);
    assert!(sim.units[0].longest_wait <= 25 * MS, "waited {}", sim.units[0].longest_wait);
    assert!(sim.units[1].longest_wait <= 2 * MS, "waited {}", sim.units[1].longest_wait);
}

#[test]
fn long_sleeper_does_not_hog_when_it_wakes() {
    let mut sim = hogs(1, &[256, 256, 256]);
    sim.run(SEC);
    sim.pause(2);
    sim.run(60 * SEC);
    sim.unpause(2);
    sim.reset_measures();
    sim.run(SEC);
    for unit in &sim.units {
        assert!(unit.longest_wait <= 30 * MS, "{:?} waited {}", unit.key, unit.longest_wait);
    }
}

#[test]
fn yielding_lets_the_other_run_and_costs_no_share() {
    let mut sim = hogs(1, &[256, 256]);
    sim.run(SEC);
    let before = [sim.units[0].ran, sim.units[1].ran];
    for _ in 0..2_000 {
        if sim.running(0) == Some(0) && sim.yield_cpu(0) {
            assert_eq!(sim.running(0), Some(1));
        }
        sim.run(MS);
    }
    let other = sim.units[1].ran - before[1];
    let yielder = sim.units[0].ran - before[0];
    assert!(yielder > 0 && other >= yielder, "yielder {yielder}, other {other}");
    assert_eq!(sim.pool.cpus().first(), Some(cpu(0)));
}

#[test]
fn rate_limit_bounds_switches() {
    let switches = |us: u32| {
        let mut sim = hogs(1, &[256; 4]);
        sim.pool.set_ratelimit_us(us).unwrap();
        sim.run(SEC);
        sim.reset_measures();
        sim.run(SEC);
        sim.units.iter().map(|unit| unit.turns).sum::<u64>()
    };
    assert!(switches(1_000) <= 1_000);
    assert!(switches(20_000) <= 50);
    assert!(switches(0) <= 2_000);
}

#[test]
fn null_runs_each_on_its_own_cpu_and_the_rest_waits() {
    let mut sim = Sim::new(SchedKind::Null, 2, 1);
    for domid in 1..4 {
        sim.add_simple(domid, 256, Load::Hog);
    }
    sim.run(SEC);
    let ran: Vec<u64> = sim.measure_span(SEC);
    assert_eq!(ran, [SEC, SEC, 0]);
    assert_eq!(sim.schedules, 0);
    sim.remove(0);
    sim.run(MS);
    assert_eq!(sim.measure_span(SEC)[2], SEC);
}
