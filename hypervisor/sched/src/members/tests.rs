//! Domains, units and pCPUs coming and going.

use super::*;
use crate::{SchedKind, UnitState};

const MS: u64 = 1_000_000;

fn cpu(n: usize) -> CpuId {
    CpuId::new(n).unwrap()
}

fn mask(cpus: &[usize]) -> CpuMask {
    cpus.iter().fold(CpuMask::EMPTY, |mask, &n| mask.or(cpu(n).into()))
}

fn pool(kind: SchedKind, id: u32, cpus: &[usize]) -> Pool {
    let mut pool = Pool::new(kind, id, mask(cpus), 0).unwrap();
    for &n in cpus {
        pool.schedule(cpu(n), 0);
    }
    pool
}

fn add(pool: &mut Pool, domid: u16, vcpu: u16, hard: CpuMask) -> UnitId {
    pool.add_unit(UnitKey { domid, vcpu }, hard, CpuMask::ALL).unwrap()
}

fn decide(pool: &mut Pool, n: usize, now: u64) -> Option<UnitId> {
    let decision = pool.schedule(cpu(n), now);
    pool.switched_out(cpu(n), now);
    decision.next.map(|(unit, _)| unit)
}

#[test]
fn domains_and_units_are_there_once() {
    let mut pool = pool(SchedKind::Credit2, 0, &[0]);
    let key = UnitKey { domid: 1, vcpu: 0 };
    assert_eq!(pool.add_unit(key, CpuMask::ALL, CpuMask::ALL), Err(Error::NotFound));
    assert_eq!(pool.add_domain(1, 0), Ok(()));
    assert_eq!(pool.add_domain(1, 0), Err(Error::Exists));
    assert_eq!(pool.add_unit(key, mask(&[3]), CpuMask::ALL), Err(Error::Invalid));
    let unit = pool.add_unit(key, CpuMask::ALL, CpuMask::ALL).unwrap();
    assert_eq!(pool.add_unit(key, CpuMask::ALL, CpuMask::ALL), Err(Error::Exists));
    assert_eq!(pool.find_unit(key), Some(unit));
    assert_eq!(pool.remove_domain(1, 0), Err(Error::Busy));
    assert_eq!(pool.remove_domain(2, 0), Err(Error::NotFound));
    pool.remove_unit(unit).unwrap();
    assert_eq!(pool.remove_domain(1, 0), Ok(()));
    assert_eq!((pool.domain_count(), pool.find_unit(key)), (0, None));
}

#[test]
fn pool_without_pcpus_takes_no_domain() {
    let mut pool = pool(SchedKind::Credit2, 3, &[]);
    assert_eq!(pool.add_domain(1, 0), Err(Error::NoCpu));
    assert_eq!(pool.add_cpu(cpu(100), 0), Ok(mask(&[100])));
    assert_eq!(pool.add_cpu(cpu(100), 0), Err(Error::WrongCpu));
    assert_eq!(pool.add_domain(1, 0), Ok(()));
    assert_eq!((pool.id(), pool.cpus()), (3, mask(&[100])));
}

#[test]
fn last_pcpu_stays_while_there_are_domains() {
    let mut pool = pool(SchedKind::Credit2, 0, &[2]);
    pool.add_domain(1, 0).unwrap();
    assert_eq!(pool.remove_cpu(cpu(2), 0), Err(Error::Busy));
    pool.remove_domain(1, 0).unwrap();
    assert!(pool.remove_cpu(cpu(2), 0).unwrap().done);
    assert_eq!(pool.remove_cpu(cpu(2), 0), Err(Error::WrongCpu));
    assert_eq!(pool.remove_cpu(cpu(1), 0), Err(Error::WrongCpu), "never was in the pool");
    assert_eq!(pool.remove_cpu(cpu(9), 0), Err(Error::WrongCpu));
}

#[test]
fn pcpu_leaves_once_its_unit_has_moved_on() {
    for kind in [SchedKind::Credit2, SchedKind::Null] {
        let mut pool = pool(kind, 0, &[0, 1]);
        pool.add_domain(1, 0).unwrap();
        let unit = add(&mut pool, 1, 0, mask(&[0]));
        assert_eq!(pool.wake(unit, 0), Some(cpu(0)));
        assert_eq!(decide(&mut pool, 0, 0), Some(unit));

        let outcome = pool.remove_cpu(cpu(0), MS).unwrap();
        assert!(!outcome.done && outcome.kick.contains(cpu(0)));
        // It was pinned to that pCPU alone.
        assert_eq!(outcome.affinity_broken, 1);
        assert_eq!(pool.unit_info(unit, MS).unwrap().hard, CpuMask::ALL);
        assert!(!pool.remove_cpu(cpu(0), MS).unwrap().done, "still running there");

        assert_eq!(pool.schedule(cpu(0), MS).next, None);
        assert_eq!(pool.switched_out(cpu(0), MS), mask(&[1]));
        assert!(pool.remove_cpu(cpu(0), MS).unwrap().done);
        assert_eq!(decide(&mut pool, 1, MS), Some(unit));
        assert_eq!(decide(&mut pool, 0, MS), None, "a pCPU that left gets nothing");
    }
}

#[test]
fn pcpu_that_is_leaving_may_come_back() {
    for kind in [SchedKind::Credit2, SchedKind::Null] {
        let mut pool = pool(kind, 0, &[0, 1]);
        pool.add_domain(1, 0).unwrap();
        let unit = add(&mut pool, 1, 0, CpuMask::ALL);
        pool.wake(unit, 0);
        decide(&mut pool, 0, 0);
        assert!(!pool.remove_cpu(cpu(0), MS).unwrap().done);
        assert!(pool.add_cpu(cpu(0), MS).unwrap().contains(cpu(0)));
        assert_eq!(pool.cpus(), mask(&[0, 1]));
        for n in [0, 1, 0, 1] {
            decide(&mut pool, n, 2 * MS);
        }
        assert!(pool.on_cpu(unit).is_some());
    }
}

#[test]
fn waiting_unit_takes_a_pcpu_that_joins() {
    for kind in [SchedKind::Credit2, SchedKind::Null] {
        let mut pool = pool(kind, 0, &[0]);
        pool.add_domain(1, 0).unwrap();
        let units = [0, 1].map(|vcpu| add(&mut pool, 1, vcpu, CpuMask::ALL));
        for unit in units {
            pool.wake(unit, 0);
        }
        assert_eq!(decide(&mut pool, 0, 0), Some(units[0]));
        assert_eq!(pool.add_cpu(cpu(1), 0), Ok(mask(&[1])));
        assert_eq!(decide(&mut pool, 1, 0), Some(units[1]));
    }
}

#[test]
fn waiting_unit_set_free_by_a_leaving_pcpu_goes_to_an_idle_one() {
    let mut pool = pool(SchedKind::Credit2, 0, &[0, 1]);
    pool.add_domain(1, 0).unwrap();
    let runs = add(&mut pool, 1, 0, mask(&[0]));
    let waits = add(&mut pool, 1, 1, mask(&[0]));
    pool.wake(runs, 0);
    decide(&mut pool, 0, 0);
    assert_eq!(pool.wake(waits, 0), Some(cpu(0)));
    let outcome = pool.remove_cpu(cpu(0), 0).unwrap();
    assert_eq!((outcome.kick, outcome.affinity_broken), (mask(&[0, 1]), 2));
    assert_eq!(decide(&mut pool, 1, 0), Some(waits));
}

#[test]
fn refill_timer_moves_when_its_pcpu_leaves() {
    let mut pool = pool(SchedKind::Credit2, 0, &[0, 1]);
    pool.add_domain(1, 0).unwrap();
    let unit = add(&mut pool, 1, 0, CpuMask::ALL);
    pool.set_domain_params(1, DomainParams { weight: 0, cap: 10 }, 0).unwrap();
    pool.wake(unit, 0);
    decide(&mut pool, 0, 0);
    assert_eq!(decide(&mut pool, 0, 2 * MS), None, "the cap is used up");
    let outcome = pool.remove_cpu(cpu(0), 2 * MS).unwrap();
    assert_eq!((outcome.done, outcome.kick), (true, mask(&[1])));
    assert_eq!(pool.schedule(cpu(0), 2 * MS).deadline, None);
    assert_eq!(pool.schedule(cpu(1), 2 * MS).deadline, Some(10 * MS));
}

#[test]
fn domain_moves_to_another_pool_with_its_run_time_and_default_parameters() {
    for kind in [SchedKind::Credit2, SchedKind::Null] {
        let mut from = pool(SchedKind::Credit2, 0, &[0, 1]);
        let mut to = pool(kind, 1, &[2, 3]);
        from.add_domain(1, 0).unwrap();
        let old = [0, 1].map(|vcpu| add(&mut from, 1, vcpu, mask(&[usize::from(vcpu)])));
        from.set_domain_params(1, DomainParams { weight: 900, cap: 50 }, 0).unwrap();
        from.wake(old[0], 0);
        decide(&mut from, 0, 0);

        let mut new = Vec::new();
        let busy = from.move_domain(&mut to, 1, MS, &mut |_, _| panic!("moved"));
        assert_eq!(busy, Err(Error::Busy));
        assert_eq!((from.domain_count(), to.domain_count()), (1, 0));

        from.sleep(old[0]);
        decide(&mut from, 0, 2 * MS);
        from.wake(old[0], 2 * MS);
        let kicks = from.move_domain(&mut to, 1, 3 * MS, &mut |key, unit| new.push((key, unit)));
        let kicks = kicks.unwrap();
        assert_eq!((kicks.left, kicks.joined), (CpuMask::EMPTY, mask(&[2])));
        assert_eq!(new.iter().map(|(key, _)| key.vcpu).collect::<Vec<_>>(), [0, 1]);
        assert!(old.iter().all(|unit| !from.contains(*unit) && !to.contains(*unit)));
        assert_eq!((from.domain_count(), to.domain_count()), (0, 1));
        assert_eq!(from.move_domain(&mut to, 1, 3 * MS, &mut |_, _| ()), Err(Error::NotFound));

        let info = to.unit_info(new[0].1, 3 * MS).unwrap();
        assert_eq!((info.runtime_ns, info.hard), (2 * MS, CpuMask::ALL));
        assert_eq!(info.state, UnitState::Waiting);
        assert_eq!(decide(&mut to, 2, 3 * MS), Some(new[0].1));
        assert!(!to.unit_info(new[1].1, 3 * MS).unwrap().runnable);
        if kind == SchedKind::Credit2 {
            assert_eq!(to.domain_params(1), Ok(DomainParams::DEFAULT));
        }
    }
}

#[test]
fn move_frees_a_pcpu_of_the_null_scheduler_for_one_that_waits() {
    let mut from = pool(SchedKind::Null, 0, &[0]);
    let mut to = pool(SchedKind::Credit2, 1, &[1]);
    for domid in [1, 2] {
        from.add_domain(domid, 0).unwrap();
    }
    let mover = add(&mut from, 1, 0, CpuMask::ALL);
    let waiter = add(&mut from, 2, 0, CpuMask::ALL);
    from.wake(mover, 0);
    from.wake(waiter, 0);
    from.sleep(mover);
    let kicks = from.move_domain(&mut to, 1, 0, &mut |_, _| ()).unwrap();
    assert_eq!(kicks.left, mask(&[0]));
    assert_eq!(decide(&mut from, 0, 0), Some(waiter));
}

#[test]
fn move_to_a_pool_that_cannot_take_it_changes_nothing() {
    let mut from = pool(SchedKind::Credit2, 0, &[0]);
    from.add_domain(1, 0).unwrap();
    let unit = add(&mut from, 1, 0, CpuMask::ALL);
    let mut empty = pool(SchedKind::Credit2, 1, &[]);
    assert_eq!(from.move_domain(&mut empty, 1, 0, &mut |_, _| ()), Err(Error::NoCpu));
    let mut same = pool(SchedKind::Credit2, 2, &[1]);
    same.add_domain(1, 0).unwrap();
    assert_eq!(from.move_domain(&mut same, 1, 0, &mut |_, _| ()), Err(Error::Exists));
    assert!(from.contains(unit));
    assert_eq!(from.wake(unit, 0), Some(cpu(0)));
}

#[test]
fn pinned_unit_stays_until_it_is_let_go() {
    let mut pool = pool(SchedKind::Credit2, 0, &[0, 1]);
    pool.add_domain(1, 0).unwrap();
    let unit = add(&mut pool, 1, 0, mask(&[0]));
    assert_eq!(pool.unpin(unit, 0), Err(Error::Invalid));
    assert_eq!(pool.pin(unit, cpu(2), 0), Err(Error::Invalid));
    pool.pin(unit, cpu(1), 0).unwrap();
    assert!(pool.has_pinned(cpu(1)) && !pool.has_pinned(cpu(0)));
    assert_eq!(pool.pin(unit, cpu(1), 0), Err(Error::Busy));
    assert_eq!(pool.set_affinity(unit, CpuMask::ALL, CpuMask::ALL, 0), Err(Error::Busy));
    assert_eq!(pool.remove_cpu(cpu(1), 0), Err(Error::Busy));
    let mut other = Pool::with_handles(SchedKind::Credit2, 9, 4, mask(&[3]), 0).unwrap();
    assert_eq!(pool.move_domain(&mut other, 1, 0, &mut |_, _| ()), Err(Error::Busy));
    pool.wake(unit, 0);
    assert_eq!(decide(&mut pool, 0, MS), None);
    assert_eq!(decide(&mut pool, 1, MS), Some(unit));
    // The pCPU of its affinity has left meanwhile.
    assert!(pool.remove_cpu(cpu(0), 2 * MS).unwrap().done);
    pool.unpin(unit, 2 * MS).unwrap();
    assert_eq!(pool.unit_info(unit, 2 * MS).unwrap().hard, CpuMask::ALL);
    pool.sleep(unit);
    decide(&mut pool, 1, 3 * MS);
    let mut handle = None;
    pool.move_domain(&mut other, 1, 4 * MS, &mut |_, unit| handle = Some(unit)).unwrap();
    let handle = handle.unwrap();
    assert_eq!((unit.pool(), handle.pool(), other.id()), (0, 4, 9));
    assert_eq!(UnitId::from_bits(handle.to_bits()), Some(handle));
    assert_eq!(UnitId::from_bits(0), None);
    // A unit that goes takes its pin with it.
    other.pin(handle, cpu(3), 4 * MS).unwrap();
    other.remove_unit(handle).unwrap();
    assert!(!other.has_pinned(cpu(3)));
}
