//! The core against the executable specification, with random acts. `XENOXIDE_FUZZ_CALLS` sets how many calls are issued.

use super::fuzz::calls;
use crate::domain::{Domain, ShutdownReason};
use crate::event::alloc_unbound;
use crate::testkit::{ACT, Duel, GUEST_RAM, World};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use std::panic::{AssertUnwindSafe, catch_unwind};

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
        "arguments changed while they were read",
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

/// Changes something behind the model's back, and says whether that is found.
fn is_found(change: impl FnOnce(&World, &Arc<Domain>)) -> bool {
    let mut duel = Duel::new();
    duel.check();
    change(&duel.world, &duel.world.get(1));
    let seen = catch_unwind(AssertUnwindSafe(|| duel.check())).is_err();
    // What was changed does no more harm than that.
    core::mem::forget(duel);
    seen
}

#[test]
fn argument_that_is_read_twice_is_found() {
    for times in [1, 2] {
        let mut duel = Duel::new();
        let seen = catch_unwind(AssertUnwindSafe(|| duel.call_that_reads(times)));
        let said = seen.err().and_then(|panic| panic.downcast_ref::<String>().cloned());
        assert_eq!(said.is_some_and(|said| said.contains("was read again")), times == 2, "{times} times");
        core::mem::forget(duel);
    }
}

#[test]
fn difference_of_any_kind_is_found() {
    let shared =
        |world: &World, d: &Arc<Domain>| d.events.shared_info_page(world.hv, d.id).unwrap().mfn().addr();
    assert!(!is_found(|_, _| ()), "there is no difference");
    assert!(is_found(|w, d| d.clear_gfn(w.hv, GUEST_RAM).unwrap()), "a page less");
    assert!(is_found(|w, d| d.populate(w.hv, GUEST_RAM.plus(0x1000), 0).unwrap()), "a page more");
    assert!(is_found(|w, d| d.populate(w.hv, GUEST_RAM, 0).unwrap()), "another page in its place");
    assert!(is_found(|w, d| core::mem::forget(d.guest_page(w.hv, GUEST_RAM))), "a reference more");
    assert!(is_found(|w, d| w.put(d, GUEST_RAM.addr(), &1u8)), "a byte of memory");
    assert!(is_found(|w, d| w.hv.machine.put(shared(w, d).plus(0x900), &[1])), "a bit of an event");
    assert!(is_found(|_, d| d.set_max_pages(7)), "another limit");
    assert!(is_found(|_, d| assert!(alloc_unbound(d, 2).is_ok())), "a port more");
    assert!(is_found(|w, d| w.hv.pause_domain(d).unwrap()), "a pause more");
    assert!(is_found(|w, d| assert!(d.memory.lock().pool.grow(w.hv))), "a table more");
    assert!(is_found(|w, d| w.hv.shut_down(d, ShutdownReason::POWEROFF)), "an end");
    assert!(is_found(|_, d| World::guest(d).upcalls.store(2, Ordering::SeqCst)), "an upcall");
    assert!(
        is_found(|w, d| assert!(w.hv.frames.alloc_table(w.hv.machine, d.id).is_some())),
        "a frame that nobody has"
    );
    let grant = |w: &World, d: &Arc<Domain>| {
        w.grant(d, 1, xen_abi::grant_table::GTF_permit_access, 2, GUEST_RAM);
        w.map_ok(&w.get(2), 1, 1, GUEST_RAM.plus(0x2000));
    };
    assert!(is_found(grant), "a grant that is mapped");
}
