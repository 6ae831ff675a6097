//! The null scheduler through its pool.

use crate::{CpuId, CpuMask, DomainParams, Error, Pool, Removal, SchedKind, UnitId, UnitKey, UnitState};

fn cpu(n: usize) -> CpuId {
    CpuId::new(n).unwrap()
}

fn mask(cpus: &[usize]) -> CpuMask {
    cpus.iter().fold(CpuMask::EMPTY, |mask, &n| mask.or(cpu(n).into()))
}

fn pool(cpus: usize) -> Pool {
    let mut pool = Pool::new(SchedKind::Null, 0, CpuMask::first_n(cpus), 0).unwrap();
    pool.add_domain(1, 0).unwrap();
    pool
}

fn add(pool: &mut Pool, vcpu: u16, hard: CpuMask, soft: CpuMask) -> UnitId {
    pool.add_unit(UnitKey { domid: 1, vcpu }, hard, soft).unwrap()
}

fn decide(pool: &mut Pool, n: usize) -> Option<UnitId> {
    let decision = pool.schedule(cpu(n), 0);
    assert_eq!(decision.deadline, None);
    pool.switched_out(cpu(n), 0);
    decision.next.map(|(unit, _)| unit)
}

#[test]
fn unit_keeps_its_pcpu_while_it_sleeps() {
    let mut pool = pool(1);
    let owner = add(&mut pool, 0, CpuMask::ALL, CpuMask::ALL);
    let waiter = add(&mut pool, 1, CpuMask::ALL, CpuMask::ALL);
    assert_eq!(pool.wake(owner, 0), Some(cpu(0)));
    assert_eq!(pool.wake(waiter, 0), None);
    assert_eq!(decide(&mut pool, 0), Some(owner));
    assert_eq!(pool.sleep(owner), Some(cpu(0)));
    assert_eq!(decide(&mut pool, 0), None);
    assert_eq!(pool.wake(owner, 0), Some(cpu(0)));
    assert_eq!(decide(&mut pool, 0), Some(owner));
    assert!(!pool.yield_now(cpu(0)));
}

#[test]
fn pcpu_of_a_unit_that_goes_offline_or_away_passes_to_the_next_in_line() {
    let mut pool = pool(1);
    let units: Vec<_> = (0..4).map(|n| add(&mut pool, n, CpuMask::ALL, CpuMask::ALL)).collect();
    for &unit in &units {
        pool.wake(unit, 0);
    }
    assert_eq!(decide(&mut pool, 0), Some(units[0]));
    assert_eq!(pool.offline(units[0]), Some(cpu(0)));
    assert_eq!(decide(&mut pool, 0), Some(units[1]));
    // One that leaves the line is skipped.
    assert_eq!(pool.sleep(units[2]), None);
    assert_eq!(pool.remove_unit(units[1]), Ok(Removal::Pending(cpu(0))));
    assert_eq!(decide(&mut pool, 0), Some(units[3]));
    // The line was left for good: back online it queues again.
    assert_eq!(pool.wake(units[0], 0), None);
    assert_eq!(pool.unit_info(units[0], 0).unwrap().state, UnitState::Waiting);
    // An owner that sleeps leaves its pCPU to be taken at once.
    pool.sleep(units[3]);
    decide(&mut pool, 0);
    assert_eq!(pool.remove_unit(units[3]), Ok(Removal::Done(Some(cpu(0)))));
    assert_eq!(decide(&mut pool, 0), Some(units[0]));
}

#[test]
fn choice_of_pcpu_follows_soft_then_hard_affinity() {
    let mut pool = pool(4);
    let prefers = add(&mut pool, 0, CpuMask::ALL, mask(&[2]));
    assert_eq!(pool.wake(prefers, 0), Some(cpu(2)));
    let pinned = add(&mut pool, 1, mask(&[3]), CpuMask::ALL);
    assert_eq!(pool.wake(pinned, 0), Some(cpu(3)));
    let unlucky = add(&mut pool, 2, mask(&[2, 3]), CpuMask::ALL);
    assert_eq!(pool.wake(unlucky, 0), None);
    let crowded_out = add(&mut pool, 3, CpuMask::ALL, mask(&[2]));
    assert_eq!(pool.wake(crowded_out, 0), Some(cpu(0)));
    // A pCPU that becomes free goes to one that prefers it before one that merely may use it.
    let other = add(&mut pool, 4, CpuMask::ALL, mask(&[1]));
    assert_eq!(pool.wake(other, 0), Some(cpu(1)));
    let late = add(&mut pool, 5, CpuMask::ALL, mask(&[1]));
    let later = add(&mut pool, 6, CpuMask::ALL, mask(&[0]));
    assert_eq!((pool.wake(late, 0), pool.wake(later, 0)), (None, None));
    assert_eq!(pool.offline(crowded_out), Some(cpu(0)));
    assert_eq!(decide(&mut pool, 0), Some(later));
}

#[test]
fn unit_that_changes_pcpus_waits_until_its_context_is_saved() {
    let mut pool = pool(2);
    let unit = add(&mut pool, 0, CpuMask::ALL, CpuMask::ALL);
    pool.wake(unit, 0);
    assert_eq!(decide(&mut pool, 0), Some(unit));
    assert_eq!(pool.set_affinity(unit, mask(&[1]), CpuMask::ALL, 0), Ok(mask(&[0])));
    assert_eq!(decide(&mut pool, 1), None, "its context is still on pCPU 0");
    assert_eq!(pool.schedule(cpu(0), 0).next, None);
    assert_eq!(decide(&mut pool, 1), None, "and is being saved");
    assert_eq!(pool.switched_out(cpu(0), 0), mask(&[1]));
    assert_eq!(decide(&mut pool, 1), Some(unit));
}

#[test]
fn affinity_change_frees_a_pcpu_for_one_that_waits() {
    let mut pool = pool(2);
    let mover = add(&mut pool, 0, mask(&[0]), CpuMask::ALL);
    let waiter = add(&mut pool, 1, mask(&[0]), CpuMask::ALL);
    pool.wake(mover, 0);
    pool.wake(waiter, 0);
    assert_eq!(pool.set_affinity(mover, mask(&[1]), CpuMask::ALL, 0), Ok(mask(&[0, 1])));
    assert_eq!(decide(&mut pool, 0), Some(waiter));
    assert_eq!(decide(&mut pool, 1), Some(mover));
}

#[test]
fn there_are_no_parameters() {
    let mut pool = pool(1);
    assert_eq!(pool.domain_params(1), Err(Error::NoParameters));
    assert_eq!(pool.set_domain_params(1, DomainParams::DEFAULT, 0), Err(Error::NoParameters));
    assert_eq!(pool.ratelimit_us(), Err(Error::NoParameters));
    assert_eq!(pool.set_ratelimit_us(0), Err(Error::NoParameters));
    assert_eq!(pool.set_cap_period_ms(10), Err(Error::NoParameters));
    assert_eq!(pool.domain_params(5), Err(Error::NotFound));
    let mut text = String::new();
    pool.dump(&mut text, 0).unwrap();
    assert!(text.contains("scheduler null") && text.contains("free cpus 0"), "{text}");
}
