//! What can be put at guest frames: shared pages, grant frames, pages of others.

use crate::domain::Domain;
use crate::memory::Kind;
use crate::testkit::{ARGS, GUEST_PAGES, GUEST_RAM, LISTS, World, check};
use alloc::sync::Arc;
use alloc::vec::Vec;
use arch_fake::Access;
use hal::{Gfn, MapAttr, Mfn, Stage2Format as _};
use machine::{Abi, Stage2};
use xen_abi::domctl::v4_17::DominfFlags;
use xen_abi::domctl::{Cacheflush, XEN_DOMCTL_cacheflush};
use xen_abi::event_channel::{EVTCHNOP_bind_virq, EvtchnBindVirq};
use xen_abi::memory::*;
use xen_abi::xen::*;
use xen_abi::{Arch as _, Errno, GuestHandle};
use zerocopy::FromZeros as _;

const HERE: Gfn = Gfn(0x300);

fn own(n: u64) -> Gfn {
    GUEST_RAM.plus(n)
}

fn kind(world: &World, domain: &Domain, gfn: Gfn) -> Option<Kind> {
    domain.lookup(world.hv, gfn).map(|entry| entry.kind)
}

/// Lets dom0 hear of dead domains; its port.
fn listen(world: &World) -> u32 {
    let op = EvtchnBindVirq { virq: VIRQ_DOM_EXC, vcpu: 0, port: 0 };
    world.op(&world.get(0), __HYPERVISOR_event_channel_op.into(), EVTCHNOP_bind_virq, &op).unwrap().port
}

/// Whether the port was pending; it is not afterwards. Dom0 has its shared page at [`HERE`].
fn heard(world: &World, port: u32) -> bool {
    let dom0 = world.get(0);
    let at = HERE.addr().plus(Abi::SHARED_INFO_EVTCHN_PENDING as u64);
    let pending: u64 = world.take(&dom0, at);
    world.put(&dom0, at, &(pending & !(1 << port)));
    pending >> port & 1 != 0
}

#[test]
fn shared_page_appears_where_the_guest_wants_it_in_place_of_its_memory() {
    let world = World::hostile();
    let domu = world.domain(5, 1);
    let before = (domu.tot_pages(), world.hv.frames.free_frames());
    world.add_to_physmap(&domu, DOMID_SELF, XENMAPSPACE_shared_info, 0, own(2)).unwrap();
    assert_eq!(kind(&world, &domu, own(2)), Some(Kind::Shared));
    assert_eq!((domu.tot_pages(), world.hv.frames.free_frames()), (before.0 - 1, before.1 + 1));
    check(&world, &[]);
    world.add_to_physmap(&domu, DOMID_SELF, XENMAPSPACE_shared_info, 0, HERE).unwrap();
    world.put(&domu, own(2).addr(), &77u64);
    assert_eq!(world.take::<u64>(&domu, HERE.addr()), 77, "it is the same page");
    assert_eq!(world.remove(&domu, own(2)), Ok(()));
    assert_eq!(world.take::<u64>(&domu, HERE.addr()), 77);
    assert_eq!(world.add_to_physmap(&domu, DOMID_SELF, XENMAPSPACE_shared_info, 1, HERE), Err(Errno::EINVAL));
    check(&world, &[]);
}

#[test]
fn grant_frames_appear_up_to_the_limit() {
    let world = World::hostile();
    let domu = world.domain(5, 1);
    for idx in [0, 3, 1] {
        world.add_to_physmap(&domu, DOMID_SELF, XENMAPSPACE_grant_table, idx, HERE.plus(idx)).unwrap();
    }
    for idx in [4, u64::MAX, XENMAPIDX_grant_table_status] {
        let answer = world.add_to_physmap(&domu, DOMID_SELF, XENMAPSPACE_grant_table, idx, HERE.plus(4));
        assert_eq!(answer, Err(Errno::EINVAL), "{idx:x}");
    }
    check(&world, &[]);
}

#[test]
fn other_spaces_are_not_there() {
    let world = World::hostile();
    let domu = world.domain(5, 1);
    let mut errors = Vec::new();
    for space in [XENMAPSPACE_gmfn, XENMAPSPACE_gmfn_range, XENMAPSPACE_gmfn_foreign, XENMAPSPACE_dev_mmio, 6]
    {
        errors.push(world.add_to_physmap(&domu, DOMID_SELF, space, own(1).0, HERE).unwrap_err());
    }
    assert_eq!(errors, [Errno::ENOSYS, Errno::ENOSYS, Errno::ENOSYS, Errno::EACCES, Errno::ENOSYS]);
    let pair = [(own(1).0, HERE)];
    assert_eq!(world.batch(&domu, XENMAPSPACE_gmfn, 0, &pair), (Ok(()), vec![-(Errno::ENOSYS as i32)]));
    assert_eq!(world.batch(&domu, XENMAPSPACE_gmfn_range, 0, &pair).0, Err(Errno::EOPNOTSUPP));
    assert_eq!(world.batch(&domu, XENMAPSPACE_dev_mmio, 0, &pair).0, Err(Errno::EACCES));
    check(&world, &[]);
}

#[test]
fn frame_out_of_range_is_refused_and_nothing_is_lost() {
    let world = World::hostile();
    let (dom0, domu) = (world.get(0), world.domain(5, 1));
    for gfn in [Gfn(1 << 28), Gfn(u64::MAX)] {
        assert_eq!(
            world.add_to_physmap(&domu, DOMID_SELF, XENMAPSPACE_shared_info, 0, gfn),
            Err(Errno::EINVAL)
        );
        assert_eq!(world.remove(&domu, gfn), Err(Errno::ENOENT));
    }
    assert_eq!(world.map_foreign(&dom0, 5, own(1), Gfn(1 << 28)), -(Errno::EINVAL as i32));
    check(&world, &[]);
}

#[test]
fn frame_can_be_emptied_once() {
    let world = World::hostile();
    let domu = world.domain(5, 1);
    world.add_to_physmap(&domu, DOMID_SELF, XENMAPSPACE_shared_info, 0, HERE).unwrap();
    assert_eq!(world.remove(&domu, HERE), Ok(()));
    assert_eq!(world.remove(&domu, HERE), Err(Errno::ENOENT));
    assert!(world.hv.machine.guest_read(domu.root, HERE.addr(), &mut [0]).is_err());
    let free = world.hv.frames.free_frames();
    assert_eq!(world.remove(&domu, own(3)), Ok(()));
    assert_eq!((world.hv.frames.free_frames(), u64::from(domu.tot_pages())), (free + 1, GUEST_PAGES - 1));
    check(&world, &[]);
}

#[test]
fn each_entry_of_a_batch_has_an_error_of_its_own() {
    let world = World::hostile();
    let dom0 = world.get(0);
    world.domain(5, 1);
    let pairs =
        [(own(0).0, HERE), (0x5555, HERE.plus(1)), (own(2).0, Gfn(u64::MAX >> 12)), (own(3).0, HERE.plus(3))];
    let einval = -(Errno::EINVAL as i32);
    assert_eq!(world.batch(&dom0, XENMAPSPACE_gmfn_foreign, 5, &pairs), (Ok(()), vec![0, einval, einval, 0]));
    check(&world, &[]);
    for (owner, error) in [(77, Errno::ESRCH), (0, Errno::EINVAL), (DOMID_SELF, Errno::EINVAL)] {
        let answer = world.batch(&dom0, XENMAPSPACE_gmfn_foreign, owner, &pairs[..1]);
        assert_eq!(answer, (Ok(()), vec![-(error as i32)]), "{owner}");
    }
    assert_eq!(world.batch(&dom0, XENMAPSPACE_gmfn_foreign, 5, &[]), (Ok(()), vec![]));
    check(&world, &[]);
}

#[test]
fn long_batch_is_done_whole() {
    let world = World::hostile();
    let dom0 = world.get(0);
    world.domain(5, 1);
    let pairs: Vec<_> = (0..200).map(|n| (own(n % GUEST_PAGES).0, HERE.plus(n))).collect();
    assert_eq!(world.batch(&dom0, XENMAPSPACE_gmfn_foreign, 5, &pairs), (Ok(()), vec![0; 200]));
    assert_eq!(kind(&world, &dom0, HERE.plus(199)), Some(Kind::Foreign));
    check(&world, &[]);
    // A guest that sets the progress itself gets no further than the list.
    for start in [200u64, 201, 0xffff] {
        let args = [u64::from(XENMEM_add_to_physmap_batch) | start << 6, ARGS.0, 0, 0, 0];
        assert_eq!(world.call(&dom0, __HYPERVISOR_memory_op.into(), args), Err(Errno::EILSEQ), "{start}");
    }
}

#[test]
fn batch_with_bad_lists_faults() {
    let world = World::hostile();
    let (dom0, _) = (world.get(0), world.domain(5, 1));
    let good = AddToPhysmapBatch {
        domid: DOMID_SELF,
        space: XENMAPSPACE_gmfn_foreign as u16,
        size: 2,
        u: 5,
        idxs: world.list(&dom0, 0, &[own(0).0, own(1).0]),
        gpfns: world.list(&dom0, 64, &[HERE.0, HERE.0 + 1]),
        errs: GuestHandle(LISTS.0 + 128),
    };
    let bad = GuestHandle(0x7000_0000_0000);
    for request in [
        AddToPhysmapBatch { idxs: bad, ..good },
        AddToPhysmapBatch { gpfns: bad, ..good },
        AddToPhysmapBatch { errs: bad, ..good },
        AddToPhysmapBatch { idxs: GuestHandle(u64::MAX - 8), ..good },
    ] {
        assert_eq!(world.memory_op(&dom0, XENMEM_add_to_physmap_batch, &request), Err(Errno::EFAULT));
        check(&world, &[]);
    }
}

#[test]
fn pages_of_others_are_for_the_privileged() {
    let world = World::hostile();
    let domu = world.domain(5, 1);
    world.domain(6, 1);
    let eperm = -(Errno::EPERM as i32);
    assert_eq!(world.map_foreign(&domu, 6, own(0), HERE), eperm);
    assert_eq!(world.map_foreign(&domu, 0, own(0), HERE), eperm);
    let request = AddToPhysmap { domid: 6, size: 0, space: XENMAPSPACE_shared_info, idx: 0, gpfn: HERE.0 };
    assert_eq!(world.memory_op(&domu, XENMEM_add_to_physmap, &request), Err(Errno::EPERM));
    let request = RemoveFromPhysmap { domid: 6, _gap0: [0; 3], gpfn: own(0).0 };
    assert_eq!(world.memory_op(&domu, XENMEM_remove_from_physmap, &request), Err(Errno::EPERM));
    check(&world, &[]);
}

#[test]
fn foreign_page_is_shared_and_not_executable() {
    let world = World::hostile();
    let (dom0, domu) = (world.get(0), world.domain(5, 1));
    assert_eq!(world.map_foreign(&dom0, 5, own(4), HERE), 0);
    world.put(&dom0, HERE.addr(), &0x1234u64);
    assert_eq!(world.take::<u64>(&domu, own(4).addr()), 0x1234);
    assert!(world.hv.machine.guest_translate(dom0.root, HERE.addr(), Access::Fetch).is_err());
    assert_eq!(world.map_foreign(&dom0, 5, own(5), HERE), 0, "another takes its place");
    world.put(&dom0, HERE.addr(), &0u64);
    assert_eq!(world.take::<u64>(&domu, own(4).addr()), 0x1234);
    check(&world, &[]);
    assert_eq!(world.remove(&dom0, HERE), Ok(()));
    check(&world, &[]);
}

#[test]
fn foreign_page_cannot_be_passed_on() {
    let world = World::hostile();
    let (dom0, _) = (world.get(0), world.domain(5, 1));
    let other = world.domain(6, 1);
    assert_eq!(world.map_foreign(&dom0, 5, own(4), HERE), 0);
    let pairs = world.list(&dom0, 0, &[HERE.0]);
    let mut request = AddToPhysmapBatch::new_zeroed();
    (request.domid, request.space, request.size, request.u) = (6, XENMAPSPACE_gmfn_foreign as u16, 1, 0);
    (request.idxs, request.gpfns, request.errs) = (pairs, pairs, GuestHandle(LISTS.0 + 64));
    world.memory_op(&dom0, XENMEM_add_to_physmap_batch, &request).unwrap();
    assert_eq!(world.take::<i32>(&dom0, LISTS.plus(64)), -(Errno::EINVAL as i32));
    assert_eq!(kind(&world, &other, HERE), None);
    check(&world, &[]);
}

#[test]
fn foreign_page_outlives_its_owners_wish_to_have_it_back() {
    let world = World::hostile();
    let (dom0, domu) = (world.get(0), world.domain(5, 1));
    world.put(&domu, own(4).addr(), &0x99u64);
    assert_eq!(world.map_foreign(&dom0, 5, own(4), HERE), 0);
    let free = world.hv.frames.free_frames();
    assert!(world.decrease(&domu, own(4).0, 0));
    assert_eq!((world.hv.frames.free_frames(), u64::from(domu.tot_pages())), (free, GUEST_PAGES));
    assert_eq!(world.take::<u64>(&dom0, HERE.addr()), 0x99);
    check(&world, &[]);
    assert_eq!(world.remove(&dom0, HERE), Ok(()));
    assert_eq!((world.hv.frames.free_frames(), u64::from(domu.tot_pages())), (free + 1, GUEST_PAGES - 1));
    check(&world, &[]);
}

#[test]
fn dead_domain_stays_until_its_last_page_is_let_go() {
    let world = World::hostile();
    let dom0 = world.get(0);
    world.add_to_physmap(&dom0, DOMID_SELF, XENMAPSPACE_shared_info, 0, HERE).unwrap();
    let port = listen(&world);
    let free = world.hv.frames.free_frames();
    let domu = world.domain(5, 2);
    world.put(&domu, own(4).addr(), &0x99u64);
    assert_eq!(world.map_foreign(&dom0, 5, own(4), HERE.plus(1)), 0);
    assert!(!heard(&world, port));

    world.kill(5).unwrap();
    assert!(heard(&world, port), "those who map its pages are told");
    let info = world.info(5).unwrap();
    assert!(DominfFlags::from_bits_retain(info.flags).contains(DominfFlags::DYING));
    assert_eq!((info.domain, info.tot_pages), (5, 1));
    assert_eq!(world.take::<u64>(&dom0, HERE.plus(1).addr()), 0x99);
    assert_eq!(world.hv.frames.free_frames(), free - 1);
    check(&world, &[]);
    assert_eq!(world.kill(5), Ok(()), "again: nothing is left to do");
    heard(&world, port);

    assert_eq!(world.remove(&dom0, HERE.plus(1)), Ok(()));
    assert!(world.reap());
    assert!(heard(&world, port), "it is gone");
    assert_eq!(world.info(5), Err(Errno::ESRCH));
    assert_eq!(world.hv.frames.free_frames(), free);
    check(&world, &[]);
}

#[test]
fn memory_of_a_dead_domain_cannot_be_looked_at() {
    let world = World::hostile();
    let dom0 = world.get(0);
    let next = world.domain(6, 1);
    world.domain(5, 1);
    assert_eq!(world.map_foreign(&dom0, 5, own(4), HERE), 0);
    world.kill(5).unwrap();
    // What were its tables is somebody's memory now.
    for n in 0..200 {
        assert!(world.populate(&next, 0x90000 + n, 0));
        let entry = Stage2::leaf(Mfn(0x40000), 2, MapAttr::RAM, Kind::Ram as u8);
        world.put(&next, Gfn(0x90000 + n).addr(), &[entry; 512]);
    }
    let flush = Cacheflush { start_pfn: 0, nr_pfns: 1 << 17 };
    assert_eq!(world.domctl(&dom0, XEN_DOMCTL_cacheflush, 5, &flush).map(drop), Ok(()));
    assert_eq!(world.map_foreign(&dom0, 5, own(5), HERE.plus(1)), -(Errno::EINVAL as i32));
    world.hv.machine.assert_no_faults();
    check(&world, &[]);
}

#[test]
fn grant_frames_of_another_domain_can_be_mapped_by_the_tools() {
    let world = World::hostile();
    let (dom0, domu) = (world.get(0), world.domain(5, 1));
    let mut query = MemAcquireResource::new_zeroed();
    (query.domid, query.type_) = (5, XENMEM_resource_grant_table as u16);
    assert_eq!(world.memory_op(&dom0, XENMEM_acquire_resource, &query), Ok(0));
    assert_eq!(world.take::<MemAcquireResource>(&dom0, ARGS).nr_frames, 4);

    assert_eq!(world.acquire(&dom0, 5, 0, &[HERE.0, HERE.0 + 1]), Ok(()));
    check(&world, &[]);
    world.map_grants(&domu);
    world.put(&dom0, HERE.addr(), &0x1122_3344_5566_7788u64);
    assert_eq!(world.take::<u64>(&domu, World::grant_at(0)), 0x1122_3344_5566_7788);
    check(&world, &[]);
    for n in 0..2 {
        assert_eq!(world.remove(&dom0, HERE.plus(n)), Ok(()));
    }
    check(&world, &[]);
}

#[test]
fn resource_that_is_not_there_is_refused() {
    let world = World::hostile();
    let (dom0, domu) = (world.get(0), world.domain(5, 1));
    let errno = |r: Result<u64, Errno>| r.unwrap_err();
    let mut good = MemAcquireResource::new_zeroed();
    (good.domid, good.type_, good.nr_frames) = (5, XENMEM_resource_grant_table as u16, 1);
    good.frame_list = world.list(&dom0, 0, &[HERE.0]);
    let ask = |caller: &Arc<Domain>, request: MemAcquireResource| {
        world.memory_op(caller, XENMEM_acquire_resource, &request)
    };
    assert_eq!(errno(ask(&dom0, MemAcquireResource { pad: 1, ..good })), Errno::EINVAL);
    assert_eq!(errno(ask(&dom0, MemAcquireResource { domid: 77, ..good })), Errno::ESRCH);
    assert_eq!(errno(ask(&dom0, MemAcquireResource { domid: 0, ..good })), Errno::EPERM);
    assert_eq!(errno(ask(&dom0, MemAcquireResource { domid: DOMID_SELF, ..good })), Errno::EPERM);
    assert_eq!(errno(ask(&domu, MemAcquireResource { domid: 0, ..good })), Errno::EPERM);
    assert_eq!(errno(ask(&dom0, MemAcquireResource { type_: 7, ..good })), Errno::EOPNOTSUPP);
    assert_eq!(errno(ask(&dom0, MemAcquireResource { id: 1, ..good })), Errno::EINVAL);
    assert_eq!(errno(ask(&dom0, MemAcquireResource { nr_frames: 0, ..good })), Errno::EINVAL);
    assert_eq!(errno(ask(&dom0, MemAcquireResource { frame: 4, ..good })), Errno::EINVAL);
    assert_eq!(errno(ask(&dom0, MemAcquireResource { frame: u64::MAX, ..good })), Errno::EINVAL);
    let null = GuestHandle(0);
    assert_eq!(errno(ask(&dom0, MemAcquireResource { frame_list: null, ..good })), Errno::EINVAL);
    let bad = GuestHandle(0x7000_0000_0000);
    assert_eq!(errno(ask(&dom0, MemAcquireResource { frame_list: bad, ..good })), Errno::EFAULT);
    check(&world, &[]);
}
