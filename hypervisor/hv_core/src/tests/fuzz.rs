//! Random hypercalls: nothing panics, the books stay right, and everything comes back at the end.
//!
//! `XENOXIDE_FUZZ_CALLS` sets how many calls are issued in all.

use crate::testkit::{Act, Fuzzer, acts, memory_acts};
use proptest::test_runner::{Config, TestRunner};

/// Calls of one case.
const CASE: usize = 200;

/// How many calls are issued unless the environment says otherwise.
const CALLS: usize = 6000;

fn calls() -> usize {
    let asked = std::env::var("XENOXIDE_FUZZ_CALLS").ok().and_then(|n| n.parse().ok());
    asked.unwrap_or(CALLS)
}

fn runner(cases: usize) -> TestRunner {
    let config = Config { cases: cases as u32, max_shrink_iters: 3000, failure_persistence: None, ..Config::default() };
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
