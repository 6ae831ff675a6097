//! The core against the executable specification, with random acts. `XENOXIDE_FUZZ_CALLS` sets how many calls are issued.

use super::fuzz::calls;
use crate::testkit::{ACT, Duel};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};

/// Acts of one case.
const ACTS: usize = 150;

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<[u8; ACT]>(), 1..=ACTS).prop_map(|acts| acts.concat())
}

#[test]
fn core_does_what_the_specification_says() {
    let cases = (calls() / ACTS + 1) as u32;
    let config = Config { cases, max_shrink_iters: 400, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&bytes(), |bytes| {
        let mut duel = Duel::new();
        duel.run(&bytes);
        duel.finish();
        Ok(())
    });
    result.unwrap();
}

#[test]
fn random_acts_of_a_duel_reach_what_they_are_for() {
    let mut runner = TestRunner::deterministic();
    let mut done = BTreeMap::new();
    let mut world = None;
    for _ in 0..60 {
        let mut duel = world.map_or_else(Duel::new, Duel::within);
        duel.run(&bytes().new_tree(&mut runner).unwrap().current());
        for (what, count) in duel.done() {
            *done.entry(*what).or_insert(0) += count;
        }
        world = Some(duel.finish());
    }
    let all = [
        "2-level bits changed",
        "FIFO interface set up",
        "IPI bound",
        "act in the middle of a call",
        "block populated",
        "copy by grant",
        "copy of frames",
        "domain destroyed",
        "domain revived",
        "event channel bound",
        "event sent",
        "event taken off a queue",
        "foreign page mapped",
        "grant mapped",
        "grant unmapped",
        "grants swapped",
        "guest frame emptied",
        "many grants mapped",
        "memory given back",
        "memory populated",
        "multicall",
        "polled",
        "port closed",
        "resource acquired",
        "shared page placed",
        "table pool set",
        "vCPU reset",
        "virtual interrupt bound",
    ];
    for what in all {
        assert!(done.contains_key(what), "never: {what}; done: {done:?}");
    }
}
