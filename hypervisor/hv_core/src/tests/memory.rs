//! Reservations: what a domain gets, gives back, and may not have.

use crate::domain::{Domain, DomainConfig};
use crate::hypercall::{Call, Flow, dispatch};
use crate::memory::{Kind, MAX_ORDER, Use};
use crate::testkit::{ARGS, Extents, GUEST_PAGES, GUEST_RAM, LISTS, World, check};
use alloc::sync::Arc;
use alloc::vec::Vec;
use hal::{Domid, Gaddr, Gfn, MachineOps as _, Mfn};
use xen_abi::Errno;
use xen_abi::domctl::*;
use xen_abi::memory::*;
use xen_abi::xen::*;
use zerocopy::FromZeros as _;

/// A guest frame where test domains have nothing, at the start of a 2 MiB block.
const FREE: u64 = 0x90000;

fn page(n: u64) -> u64 {
    GUEST_RAM.0 + n
}

fn reads(world: &World, domain: &Domain, gfn: u64) -> bool {
    world.hv.machine.guest_read(domain.root, Gfn(gfn).addr(), &mut [0; 8]).is_ok()
}

fn free_frames(world: &World) -> u64 {
    world.hv.frames.free_frames()
}

/// Takes all free frames but `leave` from the machine; they are to be given back.
fn take_frames(world: &World, leave: u64) -> Vec<(Mfn, u32)> {
    let mut taken = Vec::new();
    for order in (0..=MAX_ORDER).rev() {
        while free_frames(world) >= leave + (1 << order) {
            let Some(mfn) = world.hv.frames.alloc_private(order) else { break };
            taken.push((mfn, order));
        }
    }
    assert_eq!(free_frames(world), leave);
    taken
}

fn give_frames(world: &World, taken: Vec<(Mfn, u32)>) {
    for (mfn, order) in taken {
        world.hv.frames.free_private(mfn, order);
    }
}

#[test]
fn new_page_is_zero_and_clean_and_counts() {
    let world = World::hostile();
    let domu = world.domain(5, 1);
    let before = (domu.tot_pages(), free_frames(&world));
    assert!(world.populate(&domu, page(64), 0));
    assert_eq!(world.take::<[u8; 4096]>(&domu, Gfn(page(64)).addr()), [0; 4096]);
    assert!(!world.hv.machine.is_dirty(domu.lookup(world.hv, Gfn(page(64))).unwrap().mfn));
    assert_eq!((domu.tot_pages(), free_frames(&world)), (before.0 + 1, before.1 - 1));
    check(&world, &[]);
}

#[test]
fn populating_a_used_frame_replaces_its_page() {
    let world = World::hostile();
    let domu = world.domain(5, 1);
    let before = (domu.tot_pages(), free_frames(&world));
    world.put(&domu, Gfn(page(3)).addr(), &7u64);
    assert!(world.populate(&domu, page(3), 0));
    assert_eq!(world.take::<u64>(&domu, Gfn(page(3)).addr()), 0);
    assert_eq!((domu.tot_pages(), free_frames(&world)), before);
    check(&world, &[]);
}

#[test]
fn page_given_back_is_gone_and_free() {
    let world = World::hostile();
    let domu = world.domain(5, 1);
    assert!(reads(&world, &domu, page(3)));
    let before = (domu.tot_pages(), free_frames(&world));
    assert!(world.decrease(&domu, page(3), 0));
    assert!(!reads(&world, &domu, page(3)));
    assert_eq!((domu.tot_pages(), free_frames(&world)), (before.0 - 1, before.1 + 1));
    assert!(!world.decrease(&domu, page(3), 0), "it is not there any more");
    check(&world, &[]);
}

#[test]
fn list_stops_at_the_first_failure() {
    let world = World::hostile();
    let domu = world.domain(5, 1);
    let list = [page(10), 0x99_9999, page(11)];
    assert_eq!(world.extents(&domu, DOMID_SELF, Extents::Decrease, &list, 0), Ok(1));
    assert!(!reads(&world, &domu, page(10)) && reads(&world, &domu, page(11)));
    let list = [page(10), 1 << 28, page(64)];
    assert_eq!(world.extents(&domu, DOMID_SELF, Extents::Populate, &list, 0), Ok(1));
    assert!(reads(&world, &domu, page(10)) && !reads(&world, &domu, page(64)));
    check(&world, &[]);
}

#[test]
fn only_what_is_memory_can_be_given_back() {
    let world = World::hostile();
    let domu = world.domain(5, 1);
    world.add_to_physmap(&domu, DOMID_SELF, XENMAPSPACE_shared_info, 0, Gfn(0x100)).unwrap();
    assert!(!world.decrease(&domu, 0x100, 0));
    assert!(reads(&world, &domu, 0x100));
    check(&world, &[]);
}

#[test]
fn limit_of_the_domain_holds_and_can_be_raised() {
    let world = World::hostile();
    let (dom0, domu) = (world.get(0), world.domain(5, 1));
    let set =
        |pages: u64| world.domctl(&dom0, XEN_DOMCTL_max_mem, 5, &MaxMem { max_memkb: pages * 4 }).unwrap();
    set(GUEST_PAGES + 1);
    let list = [page(70), page(71)];
    assert_eq!(world.extents(&dom0, 5, Extents::Populate, &list, 0), Ok(1));
    let free = free_frames(&world);
    assert!(!world.populate(&domu, page(71), 0));
    assert_eq!((free_frames(&world), u64::from(domu.tot_pages())), (free, GUEST_PAGES + 1));
    set(10);
    assert!(!world.populate(&domu, page(71), 0));
    assert!(world.decrease(&domu, page(70), 0), "what is above the limit stays until it is given up");
    set(GUEST_PAGES + 1);
    assert!(world.populate(&domu, page(71), 0));
    set(u64::MAX / 4);
    assert!(world.populate(&domu, page(72), 0));
    check(&world, &[]);
}

#[test]
fn numbers_that_can_be_asked_for() {
    let world = World::hostile();
    let (dom0, domu) = (world.get(0), world.domain(5, 1));
    let ask = |caller: &Arc<Domain>, cmd, domid| world.memory_op(caller, cmd, &MemoryDomain { domid });
    assert_eq!(ask(&dom0, XENMEM_current_reservation, 5), Ok(GUEST_PAGES));
    domu.set_max_pages(100);
    assert_eq!(ask(&domu, XENMEM_maximum_reservation, DOMID_SELF), Ok(100));
    assert_eq!(ask(&domu, XENMEM_maximum_gpfn, 5), Ok(page(GUEST_PAGES - 1)));
    assert!(world.populate(&domu, FREE, 0));
    assert_eq!(ask(&domu, XENMEM_maximum_gpfn, 5), Ok(FREE));
    assert_eq!(ask(&dom0, XENMEM_current_reservation, 77), Err(Errno::ESRCH));
    assert_eq!(ask(&domu, XENMEM_current_reservation, 0), Err(Errno::EPERM));
    let mut pod = PodTarget::new_zeroed();
    pod.domid = 5;
    pod.pod_entries = 9;
    world.memory_op(&dom0, XENMEM_set_pod_target, &pod).unwrap();
    let answer: PodTarget = world.take(&dom0, ARGS);
    assert_eq!((answer.tot_pages, answer.pod_entries, answer.pod_cache_pages), (GUEST_PAGES + 1, 0, 0));
    assert_eq!(world.memory_op(&domu, XENMEM_get_pod_target, &pod), Err(Errno::EPERM));
}

#[test]
fn machine_without_memory_leaks_nothing() {
    let world = World::hostile();
    let domu = world.domain(5, 1);
    let taken = take_frames(&world, 3);
    let list: Vec<u64> = (64..70).map(page).collect();
    assert_eq!(world.extents(&domu, DOMID_SELF, Extents::Populate, &list, 0), Ok(3));
    assert_eq!(world.extents(&domu, DOMID_SELF, Extents::Populate, &[FREE], 9), Ok(0));
    assert_eq!(u64::from(domu.tot_pages()), GUEST_PAGES + 3);
    give_frames(&world, taken);
    check(&world, &[]);
}

#[test]
fn empty_table_pool_leaks_nothing_and_can_be_filled() {
    let world = World::hostile();
    let (dom0, domu) = (world.get(0), world.domain(5, 1));
    let pool = |pages: u64| {
        let size = PagingMempool { size: pages << 12 };
        world.domctl(&dom0, XEN_DOMCTL_set_paging_mempool_size, 5, &size).map(drop)
    };
    // Each of these needs tables of its own.
    let list: Vec<u64> = (3..43).map(|n| n << 18).collect();
    let free = free_frames(&world);
    let done = world.extents(&domu, DOMID_SELF, Extents::Populate, &list, 0).unwrap();
    assert!(done > 0 && done < list.len() as u64, "{done}");
    assert_eq!(free_frames(&world), free - done);
    check(&world, &[]);
    pool(100).unwrap();
    let rest = &list[done as usize..];
    assert_eq!(world.extents(&domu, DOMID_SELF, Extents::Populate, rest, 0), Ok(rest.len() as u64));
    check(&world, &[]);
    assert_eq!(pool(10), Err(Errno::EBUSY), "the tables are in use");
    assert_eq!(world.extents(&domu, DOMID_SELF, Extents::Decrease, &list, 0), Ok(list.len() as u64));
    pool(10).unwrap();
    check(&world, &[]);
}

#[test]
fn block_is_one_entry_until_a_page_of_it_is_given_back() {
    let world = World::hostile();
    let domu = world.domain(5, 1);
    let before = (domu.tot_pages(), free_frames(&world));
    assert!(world.populate(&domu, FREE, 9));
    let level = |gfn| domu.lookup(world.hv, Gfn(gfn)).map(|entry| (entry.kind, entry.level));
    assert_eq!(level(FREE + 77), Some((Kind::Ram, 1)));
    assert_eq!((domu.tot_pages(), free_frames(&world)), (before.0 + 512, before.1 - 512));
    world.put(&domu, Gfn(FREE + 78).addr(), &5u64);
    check(&world, &[]);

    assert!(world.decrease(&domu, FREE + 77, 0));
    assert_eq!((level(FREE + 77), level(FREE + 78)), (None, Some((Kind::Ram, 0))));
    assert_eq!(world.take::<u64>(&domu, Gfn(FREE + 78).addr()), 5);
    assert_eq!((domu.tot_pages(), free_frames(&world)), (before.0 + 511, before.1 - 511));
    check(&world, &[]);

    assert!(!world.decrease(&domu, FREE, 9), "one page is missing");
    assert_eq!(domu.tot_pages(), before.0 + 511 - 77, "those before it are gone");
    for n in 78..512 {
        assert!(world.decrease(&domu, FREE + n, 0));
    }
    assert_eq!((domu.tot_pages(), free_frames(&world)), before);
    check(&world, &[]);
    assert!(world.populate(&domu, FREE, 9), "a block can stand where pages were");
    assert_eq!(level(FREE), Some((Kind::Ram, 1)));
    assert!(world.decrease(&domu, FREE, 9));
    assert_eq!((domu.tot_pages(), free_frames(&world)), before);
    check(&world, &[]);
}

#[test]
fn block_that_does_not_fit_is_not_made() {
    let world = World::hostile();
    let domu = world.domain(5, 1);
    let free = free_frames(&world);
    for (gfn, order) in
        [(FREE + 1, 9), (FREE, 10), (FREE, 64), (GUEST_RAM.0, 9), (1 << 28, 9), (u64::MAX - 511, 9)]
    {
        assert!(!world.populate(&domu, gfn, order), "{gfn:x} {order}");
    }
    assert!(!world.populate(&domu, u64::MAX, 0));
    assert_eq!((free_frames(&world), u64::from(domu.tot_pages())), (free, GUEST_PAGES));
    check(&world, &[]);
}

#[test]
fn small_blocks_are_pages() {
    let world = World::hostile();
    let domu = world.domain(5, 1);
    let before = (domu.tot_pages(), free_frames(&world));
    let list = [FREE, FREE + 8, FREE + 24];
    assert_eq!(world.extents(&domu, DOMID_SELF, Extents::Populate, &list, 3), Ok(3));
    assert_eq!(domu.tot_pages(), before.0 + 24);
    assert!(!world.populate(&domu, FREE + 16, 4), "8 of these 16 are there");
    assert!(!reads(&world, &domu, FREE + 16));
    check(&world, &[]);
    assert_eq!(world.extents(&domu, DOMID_SELF, Extents::Decrease, &list, 3), Ok(3));
    assert_eq!((domu.tot_pages(), free_frames(&world)), before);
    check(&world, &[]);
}

/// Issues one call of a memory_op on extents, without its continuations.
fn once(world: &World, domain: &Arc<Domain>, cmd: u64) -> Flow {
    world.hv.machine.set_stage2(domain.root);
    let args = [cmd, ARGS.0, 0, 0, 0];
    let call = Call { hv: world.hv, domain, vcpu: domain.vcpu(0).unwrap(), args };
    dispatch(&call, __HYPERVISOR_memory_op.into()).unwrap()
}

#[test]
fn long_list_lets_interrupts_in_and_goes_on_where_it_was() {
    let world = World::hostile();
    let domu = world.domain(5, 1);
    let list: Vec<u64> = (0..150).map(|n| FREE + n).collect();
    let mut request = MemoryReservation::new_zeroed();
    request.extent_start = world.list(&domu, 0, &list);
    request.nr_extents = 150;
    request.domid = DOMID_SELF;
    world.put(&domu, ARGS, &request);
    let mut done = Vec::new();
    let mut cmd = u64::from(XENMEM_populate_physmap);
    while let Flow::Again(args) = once(&world, &domu, cmd) {
        done.push(u64::from(domu.tot_pages()) - GUEST_PAGES);
        assert_eq!(args, [u64::from(XENMEM_populate_physmap) | done.last().unwrap() << 6, ARGS.0, 0, 0, 0]);
        cmd = args[0];
    }
    assert!(done.len() >= 2 && done[0] <= 64, "{done:?}");
    assert_eq!(u64::from(domu.tot_pages()), GUEST_PAGES + 150);
    assert_eq!(once(&world, &domu, cmd | 150 << 6), Flow::Done(cmd >> 6 | 150), "nothing is left to do");
    check(&world, &[]);
}

#[test]
fn list_with_too_many_extents_does_nothing() {
    let world = World::hostile();
    let domu = world.domain(5, 1);
    let mut request = MemoryReservation::new_zeroed();
    (request.nr_extents, request.domid) = (u64::MAX, DOMID_SELF);
    request.extent_start.0 = LISTS.0;
    assert_eq!(world.memory_op(&domu, XENMEM_decrease_reservation, &request), Ok(0));
    request.nr_extents = 0;
    assert_eq!(world.memory_op(&domu, XENMEM_populate_physmap, &request), Ok(0));
    assert_eq!(u64::from(domu.tot_pages()), GUEST_PAGES);
}

#[test]
fn memory_of_a_dying_domain_does_not_change() {
    let world = World::hostile();
    let (dom0, domu) = (world.get(0), world.domain(5, 1));
    assert_eq!(world.map_foreign(&dom0, 5, GUEST_RAM, Gfn(0x300)), 0);
    world.kill(5).unwrap();
    let free = free_frames(&world);
    assert_eq!(world.extents(&dom0, 5, Extents::Populate, &[FREE], 0), Ok(0));
    assert_eq!(world.extents(&dom0, 5, Extents::Decrease, &[page(0)], 0), Ok(0));
    assert_eq!((free_frames(&world), domu.tot_pages()), (free, 1));
    check(&world, &[]);
}

/// A domain whose guest frames are the machine's: 64 pages at the end of RAM.
fn direct_mapped(world: &World) -> (Arc<Domain>, u64) {
    let config = DomainConfig {
        id: Domid::new(9).unwrap(),
        handle: [9; 16],
        privileged: false,
        max_vcpus: 1,
        max_port: 1023,
        max_grant_frames: 4,
        max_maptrack_frames: 2,
        flags: 3,
        ssidref: 0,
        direct_mapped: true,
        cpupool: 0,
    };
    let domain = world.hv.create_domain(&config, &[]).unwrap();
    let first = world.hv.frames.end().0 - GUEST_PAGES;
    {
        let mut memory = domain.memory.lock();
        let memory = &mut *memory;
        for _ in 0..16 {
            assert!(memory.pool.grow(world.hv));
        }
        assert!(world.hv.frames.alloc_range(Mfn(first), GUEST_PAGES, domain.id, Use::Memory));
        memory
            .p2m
            .insert_range(world.hv, &mut memory.pool, Gfn(first), Mfn(first), GUEST_PAGES, Kind::Ram)
            .unwrap();
    }
    assert!(domain.charge(GUEST_PAGES as u32));
    world.hv.bring_up(domain.add_vcpu(world.hv, 0).unwrap());
    world.hv.unpause_domain(&domain).unwrap();
    (domain, first)
}

/// Populates or gives back one extent of a direct-mapped domain, by dom0.
fn change(world: &World, what: Extents, gfn: u64, order: u32) -> bool {
    world.extents(&world.get(0), 9, what, &[gfn], order) == Ok(1)
}

#[test]
fn direct_mapped_domain_keeps_its_frames_and_gets_them_back() {
    let world = World::hostile();
    let (domain, first) = direct_mapped(&world);
    let at = |n: u64| Gfn(first + n).addr();
    check(&world, &[]);
    world.put(&domain, at(8), &5u64);
    let free = free_frames(&world);
    assert!(change(&world, Extents::Decrease, first + 8, 3));
    assert!(!reads(&world, &domain, first + 8) && reads(&world, &domain, first + 7));
    assert_eq!((free_frames(&world), u64::from(domain.tot_pages())), (free, GUEST_PAGES));
    check(&world, &[]);
    assert!(!change(&world, Extents::Decrease, first + 8, 0));
    assert!(change(&world, Extents::Populate, first + 8, 3));
    assert_eq!(domain.lookup(world.hv, Gfn(first + 8)).map(|e| e.mfn), Some(Mfn(first + 8)));
    assert_eq!(world.take::<u64>(&domain, at(8)), 5);
    check(&world, &[]);
}

#[test]
fn direct_mapped_domain_gets_no_other_frames() {
    let world = World::hostile();
    let (domain, first) = direct_mapped(&world);
    let dom0_page = world.get(0).lookup(world.hv, GUEST_RAM).unwrap().mfn;
    for gfn in [FREE, dom0_page.0, domain.root.table.0, first + 3, u64::MAX] {
        assert!(!change(&world, Extents::Populate, gfn, 0), "{gfn:x}");
    }
    check(&world, &[]);
}

#[test]
fn direct_mapped_domain_can_put_other_pages_in_place_of_its_own() {
    let world = World::hostile();
    let (domain, first) = direct_mapped(&world);
    let (gfn, dom0) = (Gfn(first + 5), world.get(0));
    world.add_to_physmap(&dom0, 9, XENMAPSPACE_shared_info, 0, gfn).unwrap();
    check(&world, &[]);
    world.add_to_physmap(&dom0, 9, XENMAPSPACE_grant_table, 0, gfn).unwrap();
    check(&world, &[]);
    assert!(change(&world, Extents::Populate, gfn.0, 0));
    assert_eq!(domain.lookup(world.hv, gfn).map(|e| (e.kind, e.mfn)), Some((Kind::Ram, Mfn(gfn.0))));
    check(&world, &[]);
}

#[test]
fn sharing_is_not_there_and_saves_nothing() {
    let world = World::new();
    let dom0 = world.get(0);
    for cmd in [XENMEM_get_sharing_freed_pages, XENMEM_get_sharing_shared_pages] {
        assert_eq!(world.call(&dom0, __HYPERVISOR_memory_op.into(), [cmd.into(), 0, 0, 0, 0]), Ok(0));
    }
}

#[test]
fn frame_after_the_machines_last_is_told() {
    let world = World::new();
    let args = [XENMEM_maximum_ram_page.into(), 0, 0, 0, 0];
    let answer = world.call(&world.get(0), __HYPERVISOR_memory_op.into(), args);
    assert_eq!(answer, Ok(world.hv.frames.end().0));
}

#[test]
fn lists_may_cross_pages() {
    let world = World::hostile();
    let domu = world.domain(5, 1);
    let mut request = MemoryReservation::new_zeroed();
    request.extent_start = world.list(&domu, 0xffc, &[FREE, FREE + 1]);
    (request.nr_extents, request.domid) = (2, DOMID_SELF);
    assert_eq!(world.memory_op(&domu, XENMEM_populate_physmap, &request), Ok(2));
    // The structure itself, too.
    let at = Gaddr(LISTS.0 + 0x1fe8);
    request.extent_start = world.list(&domu, 0, &[FREE + 2]);
    request.nr_extents = 1;
    world.put(&domu, at, &request);
    let args = [XENMEM_populate_physmap.into(), at.0, 0, 0, 0];
    assert_eq!(world.call(&domu, __HYPERVISOR_memory_op.into(), args), Ok(1));
    assert!(reads(&world, &domu, FREE + 2));
}

#[test]
fn long_list_of_pages_stops_at_the_one_that_is_missing() {
    let world = World::hostile();
    let domu = world.domain(5, 1);
    let list: Vec<u64> = (0..40).map(|n| FREE + n * 3).collect();
    let call = |what, list: &[u64]| world.extents(&domu, DOMID_SELF, what, list, 0);
    let before = (domu.tot_pages(), free_frames(&world));
    assert_eq!(call(Extents::Populate, &list), Ok(40));
    assert_eq!(call(Extents::Decrease, &list[20..21]), Ok(1));
    check(&world, &[]);
    assert_eq!(call(Extents::Decrease, &list), Ok(20));
    assert!(!reads(&world, &domu, list[19]) && reads(&world, &domu, list[21]));
    assert_eq!(domu.tot_pages(), before.0 + 19);
    check(&world, &[]);
    assert_eq!(call(Extents::Decrease, &[list[21], list[21], list[22]]), Ok(1), "a page is there once");
    assert_eq!(call(Extents::Decrease, &list[22..]), Ok(18));
    assert_eq!((domu.tot_pages(), free_frames(&world)), before, "tables are back too");
    check(&world, &[]);
}

#[test]
fn lists_of_a_direct_mapped_domain_stop_at_the_first_that_cannot_be() {
    let world = World::hostile();
    let (domain, first) = direct_mapped(&world);
    let call = |what, list: &[u64]| world.extents(&world.get(0), 9, what, list, 0);
    let list: Vec<u64> = (0..40).map(|n| first + n).collect();
    assert_eq!(call(Extents::Decrease, &list), Ok(40));
    check(&world, &[]);
    assert_eq!(call(Extents::Populate, &[list[0], FREE, list[1]]), Ok(1), "no frame of its own");
    assert_eq!(call(Extents::Populate, &[list[1], list[1], list[2]]), Ok(1), "it is there");
    assert_eq!(call(Extents::Populate, &list[2..]), Ok(38));
    check(&world, &[]);
    assert!(list.iter().all(|&gfn| domain.lookup(world.hv, Gfn(gfn)).is_some_and(|e| e.mfn.0 == gfn)));
}

#[test]
fn walks_follow_the_tables_as_they_come_and_go() {
    let world = World::hostile();
    let domu = world.domain(5, 1);
    // More 2 MiB pieces than are remembered, and some that share a place in that memory.
    let places: Vec<u64> = (0..24).map(|n| FREE + n * 512 * 8).collect();
    let level = |gfn| domu.lookup(world.hv, Gfn(gfn)).map(|entry| entry.level);
    for round in 0..3 {
        for &gfn in &places {
            assert_eq!(level(gfn), None);
            let order = if (gfn / 512 + round) % 2 == 0 { 9 } else { 0 };
            assert!(world.populate(&domu, gfn, order));
            assert_eq!((level(gfn), level(gfn + 511).is_some()), (Some(order / 9), order == 9));
        }
        check(&world, &[]);
        for &gfn in &places {
            let order = if level(gfn) == Some(1) { 9 } else { 0 };
            assert_eq!(level(gfn + 1).is_some(), order == 9);
            assert!(world.decrease(&domu, gfn, order));
            assert!(places.iter().all(|&other| level(other).is_some() == (other > gfn)));
        }
        check(&world, &[]);
    }
}
