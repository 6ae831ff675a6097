//! The contract, one behaviour at a time, mostly under credit2.

use super::*;
use crate::Removal;

const MS: u64 = 1_000_000;
const US: u64 = 1_000;

fn cpu(n: usize) -> CpuId {
    CpuId::new(n).unwrap()
}

fn mask(cpus: &[usize]) -> CpuMask {
    cpus.iter().fold(CpuMask::EMPTY, |mask, &n| mask.or(cpu(n).into()))
}

/// A pool with two domains whose pCPUs all idle.
fn idle_pool(cpus: usize) -> Pool {
    let mut pool = Pool::new(SchedKind::Credit2, 0, CpuMask::first_n(cpus), 0).unwrap();
    pool.add_domain(1, 0).unwrap();
    pool.add_domain(2, 0).unwrap();
    for n in 0..cpus {
        assert_eq!(pool.schedule(cpu(n), 0).next, None);
    }
    pool
}

fn add(pool: &mut Pool, domid: u16, vcpu: u16, hard: CpuMask) -> UnitId {
    pool.add_unit(UnitKey { domid, vcpu }, hard, CpuMask::ALL).unwrap()
}

/// Schedules and switches at once. Returns the unit and the deadline.
fn decide(pool: &mut Pool, n: usize, now: u64) -> (Option<UnitId>, Option<u64>) {
    let decision = pool.schedule(cpu(n), now);
    pool.switched_out(cpu(n), now);
    (decision.next.map(|(unit, _)| unit), decision.deadline)
}

/// Adds a unit that runs on this pCPU from `now` on.
fn add_running(pool: &mut Pool, domid: u16, vcpu: u16, n: usize, now: u64) -> UnitId {
    let unit = add(pool, domid, vcpu, CpuMask::ALL);
    pool.set_affinity(unit, mask(&[n]), CpuMask::ALL, now).unwrap();
    assert_eq!(pool.wake(unit, now), Some(cpu(n)));
    assert_eq!(decide(pool, n, now).0, Some(unit));
    pool.set_affinity(unit, CpuMask::ALL, CpuMask::ALL, now).unwrap();
    unit
}

#[test]
fn scheduler_numbers_and_names_are_those_of_the_abi() {
    for (kind, id, name) in [(SchedKind::Credit2, 6, "credit2"), (SchedKind::Null, 9, "null")] {
        assert_eq!((kind.abi_id(), kind.name()), (id, name));
        assert_eq!(SchedKind::from_abi_id(id), Some(kind));
        assert_eq!(SchedKind::from_name(name), Some(kind));
    }
    assert_eq!(SchedKind::from_abi_id(5), None);
    assert_eq!(SchedKind::from_name("credit"), None);
}

#[test]
fn wake_on_an_idle_machine_kicks_the_pcpu_used_last_and_only_once() {
    let mut pool = idle_pool(4);
    let unit = add(&mut pool, 1, 2, CpuMask::ALL);
    assert_eq!(pool.wake(unit, 10), Some(cpu(2)));
    assert_eq!(pool.wake(unit, 10), None);
    assert_eq!(decide(&mut pool, 2, 20), (Some(unit), None));
    assert_eq!(pool.on_cpu(unit), Some(cpu(2)));
    assert_eq!(pool.current(cpu(2)), Some((unit, UnitKey { domid: 1, vcpu: 2 })));
    // Running is not woken.
    assert_eq!(pool.wake(unit, 30), None);
}

#[test]
fn two_wakes_kick_two_idle_pcpus() {
    let mut pool = idle_pool(3);
    let a = add(&mut pool, 1, 0, CpuMask::ALL);
    let b = add(&mut pool, 1, 3, CpuMask::ALL);
    assert_eq!(pool.wake(a, 0), Some(cpu(0)));
    assert_eq!(pool.wake(b, 0), Some(cpu(1)));
}

#[test]
fn unit_kicked_to_a_pcpu_that_takes_another_is_sent_elsewhere() {
    let mut pool = idle_pool(2);
    let floating = add_running(&mut pool, 1, 0, 0, 0);
    let pinned = add(&mut pool, 1, 1, mask(&[0]));
    pool.sleep(floating);
    decide(&mut pool, 0, 2 * MS);
    assert_eq!(pool.wake(floating, 2 * MS), Some(cpu(0)));
    assert_eq!(pool.wake(pinned, 2 * MS), None, "pCPU 0 is about to decide");
    // The pinned one has more credit.
    let decision = pool.schedule(cpu(0), 2 * MS);
    assert_eq!(decision.next.map(|(unit, _)| unit), Some(pinned));
    assert_eq!(decision.kick, mask(&[1]));
    assert_eq!(decide(&mut pool, 1, 2 * MS).0, Some(floating));
}

#[test]
fn unit_woken_while_its_context_is_saved_runs_only_afterwards() {
    let mut pool = idle_pool(2);
    let unit = add_running(&mut pool, 1, 0, 0, 0);
    assert_eq!(pool.sleep(unit), Some(cpu(0)));
    let decision = pool.schedule(cpu(0), MS);
    assert!(decision.switch && decision.next.is_none());
    assert_eq!(pool.unit_info(unit, MS).unwrap().state, UnitState::Leaving(cpu(0)));
    // Woken now: nobody is kicked, and no pCPU is given it.
    assert_eq!(pool.wake(unit, MS), None);
    assert_eq!(pool.schedule(cpu(1), MS).next, None);
    assert_eq!(pool.on_cpu(unit), Some(cpu(0)));
    // The context is saved: back where it was.
    assert_eq!(pool.switched_out(cpu(0), MS), mask(&[0]));
    assert_eq!(pool.on_cpu(unit), None);
    assert_eq!(decide(&mut pool, 0, MS).0, Some(unit));
}

#[test]
fn schedule_before_switched_out_repeats_the_decision_and_is_made_up_for() {
    let mut pool = idle_pool(1);
    let unit = add_running(&mut pool, 1, 0, 0, 0);
    pool.sleep(unit);
    assert_eq!(pool.schedule(cpu(0), MS).next, None);
    let other = add(&mut pool, 2, 0, CpuMask::ALL);
    assert_eq!(pool.wake(other, MS), Some(cpu(0)));
    let early = pool.schedule(cpu(0), MS);
    assert!(early.next.is_none() && !early.switch);
    assert_eq!(pool.switched_out(cpu(0), MS), mask(&[0]));
    assert_eq!(decide(&mut pool, 0, MS).0, Some(other));
    assert_eq!(pool.switched_out(cpu(0), MS), CpuMask::EMPTY);
}

#[test]
fn sleep_kicks_the_pcpu_of_a_running_unit_and_unqueues_a_waiting_one() {
    let mut pool = idle_pool(1);
    let runs = add_running(&mut pool, 1, 0, 0, 0);
    let waits = add(&mut pool, 1, 1, CpuMask::ALL);
    pool.wake(waits, 0);
    assert_eq!(pool.sleep(waits), None);
    assert_eq!(pool.sleep(runs), Some(cpu(0)));
    assert_eq!(decide(&mut pool, 0, MS), (None, None));
    assert_eq!(pool.unit_info(waits, MS).unwrap().state, UnitState::Blocked);
}

#[test]
fn pause_and_unpause_before_the_pcpu_notices_changes_nothing() {
    let mut pool = idle_pool(1);
    let unit = add_running(&mut pool, 1, 0, 0, 0);
    assert_eq!(pool.sleep(unit), Some(cpu(0)));
    assert_eq!(pool.wake(unit, 10), None);
    let decision = pool.schedule(cpu(0), 20);
    assert!(!decision.switch);
    assert_eq!(decision.next.map(|(unit, _)| unit), Some(unit));
}

#[test]
fn two_hogs_alternate_and_their_pcpu_has_a_deadline() {
    let mut pool = idle_pool(1);
    let a = add_running(&mut pool, 1, 0, 0, 0);
    let b = add(&mut pool, 2, 0, CpuMask::ALL);
    // The pCPU ran without a timer, so it must be told.
    assert_eq!(pool.wake(b, 100 * US), Some(cpu(0)));
    // The rate limit protects the first one until 1 ms.
    assert_eq!(decide(&mut pool, 0, 100 * US), (Some(a), Some(MS)));
    let (next, deadline) = decide(&mut pool, 0, MS);
    assert_eq!(next, Some(b));
    // The other is 1 ms ahead; one may be 1 ms past it.
    assert_eq!(deadline, Some(3 * MS));
    assert_eq!(decide(&mut pool, 0, 3 * MS).0, Some(a));
}

#[test]
fn waking_unit_with_more_credit_preempts_once_the_rate_limit_allows() {
    let mut pool = idle_pool(1);
    let hog = add_running(&mut pool, 1, 0, 0, 0);
    let waker = add(&mut pool, 2, 0, CpuMask::ALL);
    assert_eq!(pool.wake(waker, 5 * MS), Some(cpu(0)));
    assert_eq!(decide(&mut pool, 0, 5 * MS).0, Some(waker));
    pool.sleep(waker);
    assert_eq!(decide(&mut pool, 0, 5 * MS + 50 * US).0, Some(hog));
    // Again, within 1 ms of the hog's switch-in.
    assert_eq!(pool.wake(waker, 5 * MS + 60 * US), Some(cpu(0)));
    let (next, deadline) = decide(&mut pool, 0, 5 * MS + 70 * US);
    assert_eq!((next, deadline), (Some(hog), Some(6 * MS + 50 * US)));
}

#[test]
fn waking_unit_preempts_one_of_two_that_alternate() {
    let mut pool = idle_pool(1);
    add_running(&mut pool, 1, 0, 0, 0);
    let b = add(&mut pool, 2, 0, CpuMask::ALL);
    let waker = add(&mut pool, 2, 1, CpuMask::ALL);
    pool.wake(b, 0);
    decide(&mut pool, 0, 0);
    assert_eq!(decide(&mut pool, 0, 4 * MS), (Some(b), Some(9 * MS)));
    // Within the rate limit the pCPU's timer, though set, would be late.
    assert_eq!(pool.wake(waker, 4 * MS + 500 * US), Some(cpu(0)));
    assert_eq!(decide(&mut pool, 0, 4 * MS + 500 * US), (Some(b), Some(5 * MS)));
    pool.sleep(waker);
    assert_eq!(decide(&mut pool, 0, 5 * MS), (Some(b), Some(9 * MS)));
    assert_eq!(pool.wake(waker, 6 * MS), Some(cpu(0)));
    assert_eq!(decide(&mut pool, 0, 6 * MS).0, Some(waker));
}

#[test]
fn idle_pcpu_that_decides_unasked_takes_a_unit_and_is_idle_no_more() {
    let mut pool = idle_pool(2);
    let a = add(&mut pool, 1, 0, CpuMask::ALL);
    let b = add(&mut pool, 1, 1, CpuMask::ALL);
    assert_eq!(pool.wake(a, 0), Some(cpu(0)));
    assert_eq!(decide(&mut pool, 1, 0).0, Some(a));
    // pCPU 0 finds nothing and is idle again; pCPU 1, where b ran last, is not.
    assert_eq!(decide(&mut pool, 0, 0).0, None);
    assert_eq!(pool.wake(b, 0), Some(cpu(0)));
}

#[test]
fn waking_unit_with_less_credit_waits_for_the_timer() {
    let mut pool = idle_pool(1);
    let a = add_running(&mut pool, 1, 0, 0, 0);
    pool.sleep(a);
    assert_eq!(decide(&mut pool, 0, 5 * MS).0, None);
    let b = add_running(&mut pool, 1, 1, 0, 6 * MS);
    let c = add(&mut pool, 2, 1, CpuMask::ALL);
    pool.wake(c, 6 * MS + US);
    assert!(decide(&mut pool, 0, 6 * MS + US).1.is_some());
    // It used 5 ms and b next to nothing; the pCPU has a timer, so no kick is needed.
    assert_eq!(pool.wake(a, 6 * MS + 2 * US), None);
    assert_eq!(pool.on_cpu(b), Some(cpu(0)));
}

#[test]
fn wakers_preempt_different_pcpus() {
    let mut pool = idle_pool(2);
    for n in 0..2 {
        add_running(&mut pool, 1, n as u16, n, 0);
    }
    // Both would rather have pCPU 0.
    for (vcpu, n) in [(0, 0), (2, 1)] {
        let unit = add(&mut pool, 2, vcpu, CpuMask::ALL);
        assert_eq!(pool.wake(unit, 5 * MS), Some(cpu(n)));
    }
}

#[test]
fn yield_with_nobody_waiting_needs_no_scheduling() {
    let mut pool = idle_pool(2);
    let unit = add_running(&mut pool, 1, 0, 0, 0);
    assert!(!pool.yield_now(cpu(0)));
    // Someone waits, but for the other pCPU: scheduling changes nothing.
    add_running(&mut pool, 1, 1, 1, 0);
    let other = add(&mut pool, 2, 0, mask(&[1]));
    pool.wake(other, 0);
    assert!(pool.yield_now(cpu(0)));
    assert_eq!(decide(&mut pool, 0, 10).0, Some(unit));
}

#[test]
fn yield_gives_way_despite_rate_limit_and_credit() {
    let mut pool = idle_pool(1);
    add_running(&mut pool, 1, 0, 0, 0);
    let other = add(&mut pool, 2, 0, CpuMask::ALL);
    pool.wake(other, 10 * US);
    assert!(pool.yield_now(cpu(0)));
    assert_eq!(decide(&mut pool, 0, 20 * US).0, Some(other));
}

#[test]
fn clock_readings_in_the_wrong_order_count_as_no_time() {
    let mut pool = idle_pool(1);
    let unit = add_running(&mut pool, 1, 0, 0, 5 * MS);
    decide(&mut pool, 0, 4 * MS);
    assert_eq!(pool.unit_info(unit, 4 * MS).unwrap().runtime_ns, 0);
    decide(&mut pool, 0, 7 * MS);
    assert_eq!(pool.unit_info(unit, 7 * MS).unwrap().runtime_ns, 2 * MS);
}

#[test]
fn run_time_and_idle_time_are_accounted() {
    let mut pool = idle_pool(1);
    let unit = add_running(&mut pool, 1, 0, 0, 3 * MS);
    assert_eq!(pool.unit_info(unit, 5 * MS).unwrap().runtime_ns, 2 * MS);
    pool.sleep(unit);
    decide(&mut pool, 0, 6 * MS);
    assert_eq!(pool.unit_info(unit, 9 * MS).unwrap().runtime_ns, 3 * MS);
    let info = pool.cpu_info(cpu(0), 10 * MS).unwrap();
    assert_eq!((info.running, info.idle_ns), (None, 7 * MS));
    assert_eq!(pool.cpu_info(cpu(9), 0), None);
}

#[test]
fn void_handles_have_no_effect() {
    let mut pool = idle_pool(1);
    let old = add(&mut pool, 1, 0, CpuMask::ALL);
    assert_eq!(pool.remove_unit(old), Ok(Removal::Done(None)));
    // The slot is used again.
    let new = add(&mut pool, 1, 0, CpuMask::ALL);
    assert_eq!(pool.wake(old, 0), None);
    assert_eq!(pool.unit_info(new, 0).unwrap().state, UnitState::Blocked);
    assert_eq!(pool.remove_unit(old), Err(Error::NotFound));
    assert_eq!(pool.set_affinity(old, CpuMask::ALL, CpuMask::ALL, 0), Err(Error::NotFound));
    assert!(pool.unit_info(old, 0).is_none() && !pool.contains(old) && pool.contains(new));

    let mut other = Pool::new(SchedKind::Credit2, 1, CpuMask::first_n(1), 0).unwrap();
    other.add_domain(1, 0).unwrap();
    let theirs = add(&mut other, 1, 0, CpuMask::ALL);
    assert!(!pool.contains(theirs) && other.contains(theirs));
}

#[test]
fn unit_removed_while_it_runs_goes_when_its_context_is_saved() {
    let mut pool = idle_pool(1);
    let unit = add_running(&mut pool, 1, 0, 0, 0);
    assert_eq!(pool.remove_unit(unit), Ok(Removal::Pending(cpu(0))));
    assert_eq!(pool.wake(unit, 10), None);
    assert_eq!(pool.remove_domain(1, 10), Err(Error::Busy));
    assert_eq!(pool.schedule(cpu(0), 20).next, None);
    assert!(pool.contains(unit));
    assert_eq!(pool.switched_out(cpu(0), 20), CpuMask::EMPTY);
    assert!(!pool.contains(unit));
    assert_eq!(pool.remove_domain(1, 30), Ok(()));
}

#[test]
fn running_unit_whose_affinity_excludes_its_pcpu_moves() {
    let mut pool = idle_pool(2);
    let unit = add_running(&mut pool, 1, 0, 0, 0);
    assert_eq!(pool.set_affinity(unit, mask(&[5]), CpuMask::ALL, 0), Err(Error::Invalid));
    assert_eq!(pool.set_affinity(unit, mask(&[1, 5]), CpuMask::ALL, 10), Ok(mask(&[0])));
    assert_eq!(pool.schedule(cpu(0), 20).next, None);
    assert_eq!(pool.switched_out(cpu(0), 20), mask(&[1]));
    assert_eq!(decide(&mut pool, 1, 30).0, Some(unit));
    assert_eq!(pool.unit_info(unit, 30).unwrap().hard, mask(&[1, 5]));
}

#[test]
fn waiting_unit_whose_affinity_admits_an_idle_pcpu_kicks_it() {
    let mut pool = idle_pool(2);
    add_running(&mut pool, 1, 0, 0, 0);
    let unit = add(&mut pool, 2, 0, mask(&[0]));
    pool.wake(unit, 10);
    assert_eq!(pool.set_affinity(unit, CpuMask::ALL, CpuMask::ALL, 20), Ok(mask(&[1])));
}

#[test]
fn wake_prefers_soft_affinity_to_the_last_pcpu() {
    let mut pool = idle_pool(4);
    let key = UnitKey { domid: 1, vcpu: 0 };
    let unit = pool.add_unit(key, CpuMask::ALL, mask(&[3])).unwrap();
    assert_eq!(pool.wake(unit, 0), Some(cpu(3)));
    // Soft affinity outside the pool, or outside hard affinity, counts as none.
    let unit = pool.add_unit(UnitKey { domid: 1, vcpu: 1 }, mask(&[1]), mask(&[9])).unwrap();
    assert_eq!(pool.wake(unit, 0), Some(cpu(1)));
}

#[test]
fn used_up_cap_leaves_the_pcpu_idle_until_the_refill() {
    let mut pool = idle_pool(1);
    let unit = add_running(&mut pool, 1, 0, 0, 0);
    let params = DomainParams { weight: 0, cap: 25 };
    assert_eq!(pool.set_domain_params(1, params, 0), Ok(mask(&[0])));
    assert_eq!(decide(&mut pool, 0, 0), (Some(unit), Some(2_500 * US)));
    // It ran half a millisecond too long, which the next period pays for.
    assert_eq!(decide(&mut pool, 0, 3 * MS), (None, Some(10 * MS)));
    assert_eq!(pool.unit_info(unit, 3 * MS).unwrap().state, UnitState::Capped);
    assert_eq!(decide(&mut pool, 0, 10 * MS), (Some(unit), Some(12 * MS)));
}

#[test]
fn budget_and_refill_follow_the_period() {
    let mut pool = idle_pool(1);
    assert_eq!(pool.set_cap_period_ms(0), Err(Error::Invalid));
    pool.set_cap_period_ms(20).unwrap();
    let unit = add_running(&mut pool, 1, 0, 0, 0);
    pool.set_domain_params(1, DomainParams { weight: 0, cap: 25 }, 0).unwrap();
    assert_eq!(decide(&mut pool, 0, 0), (Some(unit), Some(5 * MS)));
    assert_eq!(decide(&mut pool, 0, 5 * MS), (None, Some(20 * MS)));
    assert_eq!(decide(&mut pool, 0, 20 * MS), (Some(unit), Some(25 * MS)));
    // The longest that can be set, with the largest cap.
    pool.set_cap_period_ms(u32::MAX).unwrap();
    for vcpu in 1..=655 {
        add(&mut pool, 1, vcpu, CpuMask::ALL);
    }
    pool.set_domain_params(1, DomainParams { weight: 0, cap: u16::MAX }, 20 * MS).unwrap();
    assert_eq!(decide(&mut pool, 0, 20 * MS).0, Some(unit));
}

#[test]
fn overrun_is_kept_when_the_cap_changes() {
    let mut pool = idle_pool(1);
    let unit = add_running(&mut pool, 1, 0, 0, 0);
    pool.set_domain_params(1, DomainParams { weight: 0, cap: 20 }, 0).unwrap();
    decide(&mut pool, 0, 0);
    assert_eq!(decide(&mut pool, 0, 3 * MS), (None, Some(10 * MS)));
    // 1 ms too much so far; the new cap is worth 5 ms.
    pool.set_domain_params(1, DomainParams { weight: 0, cap: 50 }, 3 * MS).unwrap();
    assert_eq!(decide(&mut pool, 0, 3 * MS), (Some(unit), Some(7 * MS)));
}

#[test]
fn unit_that_wakes_with_its_cap_used_up_has_a_pcpu_set_a_timer() {
    let mut pool = idle_pool(2);
    let unit = add_running(&mut pool, 1, 0, 0, 0);
    pool.set_domain_params(1, DomainParams { weight: 0, cap: 25 }, 0).unwrap();
    decide(&mut pool, 0, 0);
    pool.sleep(unit);
    assert_eq!(decide(&mut pool, 0, 3 * MS), (None, None));
    assert_eq!(pool.wake(unit, 4 * MS), Some(cpu(0)));
    assert_eq!(decide(&mut pool, 0, 4 * MS), (None, Some(10 * MS)));
    // Sleeping while capped is fine too.
    assert_eq!(pool.sleep(unit), None);
    assert_eq!(decide(&mut pool, 0, 10 * MS), (None, None));
}

#[test]
fn lifting_a_cap_releases_who_waits_for_the_refill() {
    let mut pool = idle_pool(1);
    let unit = add_running(&mut pool, 1, 0, 0, 0);
    pool.set_domain_params(1, DomainParams { weight: 0, cap: 10 }, 0).unwrap();
    decide(&mut pool, 0, 0);
    assert_eq!(decide(&mut pool, 0, MS).0, None);
    let lifted = DomainParams { weight: 0, cap: 0 };
    assert_eq!(pool.set_domain_params(1, lifted, 2 * MS), Ok(mask(&[0])));
    assert_eq!(decide(&mut pool, 0, 2 * MS), (Some(unit), None));
}

#[test]
fn parameters_follow_the_rules_of_the_abi() {
    let mut pool = idle_pool(1);
    add(&mut pool, 1, 0, CpuMask::ALL);
    let set =
        |pool: &mut Pool, weight, cap| pool.set_domain_params(1, DomainParams { weight, cap }, 0).map(|_| ());
    assert_eq!(pool.domain_params(1), Ok(DomainParams { weight: 256, cap: 0 }));
    assert_eq!(set(&mut pool, 512, 100), Ok(()));
    assert_eq!(set(&mut pool, 0, 50), Ok(()));
    assert_eq!(pool.domain_params(1), Ok(DomainParams { weight: 512, cap: 50 }));
    // More than one vCPU could use, and nothing of it is applied.
    assert_eq!(set(&mut pool, 7, 101), Err(Error::Invalid));
    assert_eq!(pool.domain_params(1), Ok(DomainParams { weight: 512, cap: 50 }));
    assert_eq!(pool.domain_params(7), Err(Error::NotFound));

    assert_eq!(pool.ratelimit_us(), Ok(1_000));
    for (us, expected) in [
        (0, Ok(())),
        (99, Err(Error::Invalid)),
        (100, Ok(())),
        (500_000, Ok(())),
        (500_001, Err(Error::Invalid)),
    ] {
        assert_eq!(pool.set_ratelimit_us(us), expected);
    }
    assert_eq!(pool.ratelimit_us(), Ok(500_000));
}

#[test]
fn dump_shows_everything() {
    let mut pool = idle_pool(2);
    add_running(&mut pool, 1, 0, 0, 0);
    add_running(&mut pool, 1, 1, 1, 0);
    let waits = add(&mut pool, 2, 7, mask(&[1]));
    pool.wake(waits, MS);
    pool.set_domain_params(2, DomainParams { weight: 300, cap: 40 }, MS).unwrap();
    let mut text = String::new();
    pool.dump(&mut text, 2 * MS).unwrap();
    for part in [
        "Cpupool 0: scheduler credit2, cpus 0-1",
        "ratelimit 1000 us, max weight 300",
        "CPU0: idle 0 us, runs d1v0",
        "waiting: d2v7",
        "d2: units 1, weight 300, cap 40, budget 4000 us",
        "d2v7: Queued",
    ] {
        assert!(text.contains(part), "{part} is missing from\n{text}");
    }
}
