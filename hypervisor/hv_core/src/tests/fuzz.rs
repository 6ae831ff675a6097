//! Random hypercalls: nothing panics, the books stay right, and everything comes back at the end.
//!
//! `XENOXIDE_FUZZ_CALLS` sets how many calls are issued in all.

use crate::testkit::{Act, Fuzzer, acts, memory_acts};
use alloc::collections::BTreeMap;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, TestRunner};

/// Calls of one case.
const CASE: usize = 200;

/// How many calls are issued unless the environment says otherwise.
const CALLS: usize = 4000;

pub(super) fn calls() -> usize {
    let asked = std::env::var("XENOXIDE_FUZZ_CALLS").ok().and_then(|n| n.parse().ok());
    asked.unwrap_or(CALLS)
}

fn runner(cases: usize) -> TestRunner {
    let config =
        Config { cases: cases as u32, max_shrink_iters: 300, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
}

/// Does the acts and checks after every `step` of them.
fn run(acts: &[Act], step: usize) {
    let mut fuzzer = Fuzzer::new();
    for part in acts.chunks(step) {
        part.iter().for_each(|act| fuzzer.act(act));
        fuzzer.check();
    }
    fuzzer.finish();
}

#[test]
fn random_changes_of_memory_keep_every_count_right() {
    let acts = memory_acts(40);
    let result = runner(calls() / 400 + 1).run(&acts, |acts| {
        run(&acts, 1);
        Ok(())
    });
    result.unwrap();
}

#[test]
fn random_hypercalls_harm_nothing() {
    let acts = acts(CASE);
    let result = runner(calls() / CASE + 1).run(&acts, |acts| {
        run(&acts, 40);
        Ok(())
    });
    result.unwrap();
}

#[test]
fn random_acts_reach_what_they_are_for() {
    let mut runner = TestRunner::deterministic();
    let mut done = BTreeMap::new();
    for _ in 0..16 {
        let mut fuzzer = Fuzzer::new();
        let acts = acts(2 * CASE).new_tree(&mut runner).unwrap().current();
        acts.iter().for_each(|act| fuzzer.act(act));
        for (what, count) in fuzzer.done() {
            *done.entry(*what).or_insert(0) += count;
        }
        fuzzer.finish();
    }
    let all = [
        "extent populated",
        "extent given back",
        "foreign page mapped",
        "resource mapped",
        "grant mapped",
        "grant unmapped",
        "copy of frames",
        "copy by grant",
        "domain destroyed",
        "domain created",
        "cpupools changed",
        "memory claimed",
        "registers mapped",
        "event channel bound",
        "vcpu_info placed",
        "FIFO control block",
    ];
    for what in all {
        assert!(done.contains_key(what), "never: {what}; done: {done:?}");
    }
    println!("{done:?}");
}
