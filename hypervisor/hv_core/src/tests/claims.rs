//! Memory that is kept back for a domain: XENMEM_claim_pages.

use crate::testkit::{Extents, FRAMES, GUEST_PAGES, LISTS, World, check};
use xen_abi::domctl::*;
use xen_abi::memory::*;
use xen_abi::sysctl::*;
use xen_abi::{Errno, GuestHandle};
use zerocopy::FromZeros as _;

fn request(domid: u16, pages: u64) -> MemoryReservation {
    let mut request = MemoryReservation::new_zeroed();
    (request.domid, request.nr_extents) = (domid, pages);
    request
}

fn claim(world: &World, domid: u16, pages: u64) -> Result<(), Errno> {
    world.memory_op(&world.get(0), XENMEM_claim_pages, &request(domid, pages)).map(drop)
}

/// Pages claimed by the domain, and by all.
fn outstanding(world: &World, domid: u16) -> (u64, u64) {
    let info = world.sysctl(&world.get(0), XEN_SYSCTL_physinfo, &Physinfo::new_zeroed()).unwrap();
    (world.info(domid).unwrap().outstanding_pages, info.outstanding_pages)
}

fn populate(world: &World, domid: u16, gfn: u64) -> bool {
    world.extents(&world.get(0), domid, Extents::Populate, &[gfn], 0) == Ok(1)
}

fn decrease(world: &World, domid: u16, gfn: u64) -> bool {
    world.extents(&world.get(0), domid, Extents::Decrease, &[gfn], 0) == Ok(1)
}

#[test]
fn claim_is_checked_and_given_up() {
    let world = World::hostile();
    let domu = world.domain(5, 1);
    assert_eq!(world.memory_op(&domu, XENMEM_claim_pages, &request(5, 100)).map(drop), Err(Errno::EPERM));
    assert_eq!(claim(&world, 6, 100), Err(Errno::EINVAL), "no such domain");
    assert_eq!(claim(&world, 0x7ff0, 100), Err(Errno::EINVAL), "nor DOMID_SELF");
    for bad in [
        MemoryReservation { extent_start: GuestHandle(LISTS.0), ..request(5, 100) },
        MemoryReservation { extent_order: 1, ..request(5, 100) },
        MemoryReservation { mem_flags: 1, ..request(5, 100) },
    ] {
        assert_eq!(world.memory_op(&world.get(0), XENMEM_claim_pages, &bad).map(drop), Err(Errno::EINVAL));
    }
    assert_eq!(claim(&world, 5, GUEST_PAGES), Err(Errno::EINVAL), "it has as many");
    world.domctl(&world.get(0), XEN_DOMCTL_max_mem, 5, &MaxMem { max_memkb: 4 * 100 }).unwrap();
    assert_eq!(claim(&world, 5, 101), Err(Errno::EINVAL), "it may not have as many");
    assert_eq!(claim(&world, 5, 100), Ok(()));
    assert_eq!(outstanding(&world, 5), (100 - GUEST_PAGES, 100 - GUEST_PAGES));
    assert_eq!(claim(&world, 5, 99), Err(Errno::EINVAL), "one at a time");
    assert_eq!(claim(&world, 5, 0), Ok(()));
    assert_eq!(outstanding(&world, 5), (0, 0));
    assert_eq!(claim(&world, 5, 0), Ok(()), "nothing to give up");
    world.domctl(&world.get(0), XEN_DOMCTL_max_mem, 5, &MaxMem { max_memkb: u64::MAX }).unwrap();
    assert_eq!(claim(&world, 5, FRAMES), Err(Errno::ENOMEM));
    assert_eq!(claim(&world, 5, u64::from(u32::MAX)), Err(Errno::ENOMEM));
    assert_eq!(claim(&world, 5, u64::MAX), Err(Errno::EINVAL));
    check(&world, &[]);
}

#[test]
fn claimed_memory_is_there_for_its_domain_alone() {
    let world = World::hostile();
    world.domain(5, 1);
    let other = world.domain(6, 1);
    let free = world.hv.frames.free_frames();
    assert_eq!(claim(&world, 5, GUEST_PAGES + free - 3), Ok(()));
    assert_eq!(claim(&world, 6, GUEST_PAGES + 4), Err(Errno::ENOMEM), "three are left");
    for gfn in 0..3 {
        assert!(populate(&world, 6, 0x1000 + gfn));
    }
    assert!(!populate(&world, 6, 0x1003));
    assert!(world.hv.frames.alloc_private(0).is_none());
    assert!(!other.memory.lock().pool.grow(world.hv));
    // Its owner still gets what was claimed.
    assert!(populate(&world, 5, 0x1000) && populate(&world, 5, 0x1001));
    assert_eq!(outstanding(&world, 5), (free - 5, free - 5));
    assert_eq!(outstanding(&world, 6), (0, free - 5));
    check(&world, &[]);
    // What it gives up before it is full stays its own.
    assert!(decrease(&world, 5, 0x1001));
    assert_eq!(outstanding(&world, 5), (free - 4, free - 4));
    assert!(!populate(&world, 6, 0x1003));
    assert!(decrease(&world, 6, 0x1002) && populate(&world, 6, 0x1003));
    assert_eq!(claim(&world, 5, 0), Ok(()));
    assert!(populate(&world, 6, 0x1004));
    check(&world, &[]);
}

#[test]
fn claim_ends_when_it_is_used_up_or_its_domain_dies() {
    let world = World::hostile();
    let domu = world.domain(5, 1);
    claim(&world, 5, GUEST_PAGES + 2).unwrap();
    assert!(populate(&world, 5, 0x1000) && populate(&world, 5, 0x1001) && populate(&world, 5, 0x1002));
    assert_eq!(outstanding(&world, 5), (0, 0));
    assert!(decrease(&world, 5, 0x1002));
    assert_eq!(outstanding(&world, 5), (0, 0));
    claim(&world, 5, GUEST_PAGES + 20).unwrap();
    assert_eq!(outstanding(&world, 5), (18, 18));
    world.hv.destroy_domain(&domu).unwrap();
    assert_eq!(outstanding(&world, 5), (0, 0));
    assert_eq!(claim(&world, 5, GUEST_PAGES + 20), Err(Errno::EINVAL), "it is dying");
    world.destroy(&domu);
    check(&world, &[]);
}

#[test]
fn block_larger_than_the_claim_takes_what_nobody_claims() {
    let world = World::hostile();
    world.domain(5, 1);
    claim(&world, 5, GUEST_PAGES + 4).unwrap();
    assert_eq!(world.extents(&world.get(0), 5, Extents::Populate, &[0x1000], 3), Ok(1));
    assert_eq!(outstanding(&world, 5), (0, 0));
    check(&world, &[]);
}
