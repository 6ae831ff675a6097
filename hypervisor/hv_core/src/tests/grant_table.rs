//! The grant operations that neither map nor copy.

use crate::domain::Domain;
use crate::testkit::{ARGS, GRANTS, GUEST_RAM, LISTS, World, check};
use alloc::sync::Arc;
use arch_fake::Op;
use hal::{Gfn, Mfn};
use xen_abi::Errno;
use xen_abi::grant_table::*;
use xen_abi::xen::*;
use zerocopy::FromZeros as _;

const PERMIT: u16 = GTF_permit_access;

fn own(n: u64) -> Gfn {
    GUEST_RAM.plus(n)
}

fn setup() -> (World, Arc<Domain>, Arc<Domain>) {
    let world = World::hostile();
    let (dom0, domu) = (world.get(0), world.domain(5, 1));
    world.map_grants(&dom0);
    world.map_grants(&domu);
    world.hv.machine.take_log();
    (world, dom0, domu)
}

#[test]
fn size_of_a_table_is_told_to_those_who_may_know() {
    let (world, dom0, domu) = setup();
    let ask = |caller: &Arc<Domain>, dom: u16| {
        let mut op = GnttabQuerySize::new_zeroed();
        (op.dom, op.status) = (dom, 99);
        let op = world.grant_op(caller, GNTTABOP_query_size, &op).unwrap();
        (op.status, op.nr_frames, op.max_nr_frames)
    };
    assert_eq!(ask(&domu, DOMID_SELF), (GNTST_okay, 1, 4));
    assert_eq!(ask(&dom0, 5), (GNTST_okay, 1, 4));
    assert_eq!(ask(&domu, 0).0, GNTST_permission_denied);
    assert_eq!(ask(&dom0, 99).0, GNTST_bad_domain);
    world.add_to_physmap(&domu, DOMID_SELF, 1, 2, GRANTS.plus(9)).unwrap();
    assert_eq!(ask(&domu, 5), (GNTST_okay, 3, 4));
    let args = [GNTTABOP_query_size.into(), ARGS.0, 2, 0, 0];
    assert_eq!(world.call(&domu, __HYPERVISOR_grant_table_op.into(), args), Err(Errno::EINVAL));
}

#[test]
fn version_1_is_the_only_one() {
    let (world, dom0, domu) = setup();
    let set = |version: u32| world.grant_op(&domu, GNTTABOP_set_version, &GnttabSetVersion { version });
    assert_eq!(set(1).map(|op| op.version), Ok(1));
    assert_eq!(set(2), Err(Errno::ENOSYS));
    assert_eq!(world.take::<u32>(&domu, ARGS), 1, "the version that is in use");
    assert_eq!(set(0), Err(Errno::EINVAL));
    assert_eq!(set(3), Err(Errno::EINVAL));
    let get = |caller: &Arc<Domain>, dom: u16| {
        let op = GnttabGetVersion { dom, pad: 0, version: 9 };
        world.grant_op(caller, GNTTABOP_get_version, &op).map(|op| op.version)
    };
    assert_eq!(get(&domu, DOMID_SELF), Ok(1));
    assert_eq!(get(&dom0, 5), Ok(1));
    assert_eq!(get(&domu, 0), Err(Errno::EPERM));
    assert_eq!(get(&dom0, 99), Err(Errno::ESRCH));
}

#[test]
fn entries_are_swapped_unless_one_is_in_use() {
    let (world, dom0, domu) = setup();
    world.grant(&domu, 9, PERMIT, 0, own(4));
    world.grant(&domu, 10, PERMIT | GTF_readonly, 7, own(5));
    let swap = |ref_a: u32, ref_b: u32| {
        let op = GnttabSwapGrantRef { ref_a, ref_b, status: 99, _gap0: 0 };
        world.grant_op(&domu, GNTTABOP_swap_grant_ref, &op).unwrap().status
    };
    let entry = |gref| world.take::<GrantEntryV1>(&domu, World::grant_at(gref));
    let (nine, ten) = (entry(9), entry(10));
    assert_eq!((swap(9, 10), entry(9), entry(10)), (GNTST_okay, ten, nine));
    assert_eq!((swap(9, 9), entry(9)), (GNTST_okay, ten));
    let handle = world.map_ok(&dom0, 5, 10, Gfn(0x300));
    assert_eq!(swap(9, 10), GNTST_eagain);
    assert_eq!(swap(10, 11), GNTST_eagain);
    assert_eq!(swap(10, 10), GNTST_okay, "one entry: there is nothing to do");
    assert_eq!(entry(9), ten);
    assert_eq!(world.unmap(&dom0, handle, Gfn(0x300)), GNTST_okay);
    assert_eq!((swap(9, 10), entry(9)), (GNTST_okay, nine));
    assert_eq!((swap(512, 9), swap(9, u32::MAX)), (GNTST_bad_gntref, GNTST_bad_gntref));
    check(&world, &[]);
}

#[test]
fn operations_for_other_kinds_of_domains_answer_as_xen() {
    let (world, dom0, domu) = setup();
    world.grant(&domu, 9, PERMIT, 0, own(4));
    let handle = world.map_ok(&dom0, 5, 9, Gfn(0x300));
    let mut transfer = GnttabTransfer::new_zeroed();
    (transfer.mfn, transfer.domid, transfer.ref_) = (own(3).0, 5, 1);
    assert_eq!(world.grant_op(&dom0, GNTTABOP_transfer, &transfer).unwrap().status, GNTST_general_error);
    let mut replace = GnttabUnmapAndReplace::new_zeroed();
    (replace.host_addr, replace.handle) = (Gfn(0x300).addr().0, handle);
    replace.new_addr = own(3).addr().0;
    assert_eq!(
        world.grant_op(&dom0, GNTTABOP_unmap_and_replace, &replace).unwrap().status,
        GNTST_general_error
    );
    let mut frames = GnttabGetStatusFrames::new_zeroed();
    (frames.nr_frames, frames.dom) = (1, DOMID_SELF);
    assert_eq!(
        world.grant_op(&dom0, GNTTABOP_get_status_frames, &frames).unwrap().status,
        GNTST_general_error
    );
    check(&world, &[]);
    assert_eq!(world.unmap(&dom0, handle, Gfn(0x300)), GNTST_okay);
}

/// A flush of bytes 16..32 of a frame.
fn flush_of(mfn: Mfn) -> GnttabCacheFlush {
    GnttabCacheFlush { a: mfn.addr().0, offset: 16, length: 16, op: GNTTAB_CACHE_CLEAN | GNTTAB_CACHE_INVAL }
}

fn flush(world: &World, caller: &Arc<Domain>, op: GnttabCacheFlush) -> Result<(), Errno> {
    world.grant_op(caller, GNTTABOP_cache_flush, &op).map(drop)
}

fn mfn(world: &World, domain: &Domain, gfn: Gfn) -> Mfn {
    domain.lookup(world.hv, gfn).unwrap().mfn
}

/// Whether the frame was cleaned since the last look.
fn cleaned(world: &World, mfn: Mfn) -> bool {
    world.hv.machine.take_log().iter().any(|event| event.op == Op::CleanFrames { mfn, count: 1 })
}

#[test]
fn caches_of_own_and_mapped_pages_can_be_flushed() {
    let (world, dom0, domu) = setup();
    let page = mfn(&world, &domu, own(4));
    assert_eq!(flush(&world, &domu, flush_of(page)), Ok(()));
    assert!(cleaned(&world, page) && !world.hv.machine.is_dirty(page));
    assert_eq!(flush(&world, &dom0, flush_of(page)), Err(Errno::EPERM));
    assert!(!cleaned(&world, page));

    world.grant(&domu, 9, PERMIT, 0, own(4));
    let handle = world.map_ok(&dom0, 5, 9, Gfn(0x300));
    assert_eq!(flush(&world, &dom0, flush_of(page)), Ok(()));
    assert!(cleaned(&world, page));
    assert_eq!(world.unmap(&dom0, handle, Gfn(0x300)), GNTST_okay);
    assert_eq!(flush(&world, &dom0, flush_of(page)), Err(Errno::EPERM));
}

#[test]
fn flush_does_not_look_at_registers_that_are_not_its_arguments() {
    let (world, dom0, domu) = setup();
    world.grant(&domu, 9, PERMIT, 0, own(4));
    world.map_ok(&dom0, 5, 9, Gfn(0x300));
    let page = mfn(&world, &domu, own(4));
    world.put(&dom0, ARGS, &flush_of(page));
    for junk in [1, 300, 5000, u64::MAX] {
        let args = [GNTTABOP_cache_flush.into(), ARGS.0, 1, junk, junk];
        assert_eq!(world.call(&dom0, __HYPERVISOR_grant_table_op.into(), args), Ok(0), "{junk}");
        assert!(cleaned(&world, page));
    }
}

#[test]
fn flush_that_makes_no_sense_is_refused() {
    let (world, _, domu) = setup();
    let page = mfn(&world, &domu, own(4));
    let good = flush_of(page);
    let einval = Err(Errno::EINVAL);
    assert_eq!(flush(&world, &domu, GnttabCacheFlush { offset: 4090, length: 7, ..good }), einval);
    assert_eq!(flush(&world, &domu, GnttabCacheFlush { offset: 4096, length: 0, ..good }), einval);
    assert_eq!(flush(&world, &domu, GnttabCacheFlush { offset: 0, length: 4097, ..good }), einval);
    assert_eq!(flush(&world, &domu, GnttabCacheFlush { op: 4, ..good }), einval);
    let by_grant = GnttabCacheFlush { op: GNTTAB_CACHE_CLEAN | GNTTAB_CACHE_SOURCE_GREF, ..good };
    assert_eq!(flush(&world, &domu, by_grant), einval);
    for nowhere in [0, world.hv.frames.end().addr().0, u64::MAX] {
        assert_eq!(flush(&world, &domu, GnttabCacheFlush { a: nowhere, ..good }), einval, "{nowhere:x}");
    }
    assert!(!cleaned(&world, page));
    world.hv.machine.assert_no_faults();
}

#[test]
fn flush_of_nothing_says_that_the_call_exists() {
    let (world, _, domu) = setup();
    assert_eq!(flush(&world, &domu, GnttabCacheFlush::new_zeroed()), Ok(()));
    let page = mfn(&world, &domu, own(4));
    assert_eq!(flush(&world, &domu, GnttabCacheFlush { op: 0, ..flush_of(page) }), Ok(()));
    assert_eq!(flush(&world, &domu, GnttabCacheFlush { length: 0, ..flush_of(page) }), Ok(()));
    assert!(!cleaned(&world, page));
}

#[test]
fn tables_of_a_domain_are_not_its_to_flush() {
    let (world, _, domu) = setup();
    let root = domu.root.table;
    assert_eq!(flush(&world, &domu, flush_of(root)), Err(Errno::EPERM));
}

#[test]
fn list_of_flushes_is_done_in_order_up_to_a_bad_one() {
    let (world, dom0, domu) = setup();
    world.grant(&domu, 9, PERMIT, 0, own(4));
    world.map_ok(&dom0, 5, 9, Gfn(0x300));
    let pages = [mfn(&world, &dom0, own(1)), mfn(&world, &domu, own(4)), mfn(&world, &dom0, own(2))];
    world.list(&dom0, 0, &pages.map(flush_of));
    let call = |count| {
        let args = [GNTTABOP_cache_flush.into(), LISTS.0, count, 0xbad, 0xbad];
        world.call(&dom0, __HYPERVISOR_grant_table_op.into(), args)
    };
    assert_eq!(call(3), Ok(0));
    let log = world.hv.machine.take_log();
    for page in pages {
        assert!(log.iter().any(|e| e.op == Op::CleanFrames { mfn: page, count: 1 }), "{page:x}");
    }
    world.list(&dom0, 16, &[GnttabCacheFlush { op: 8, ..flush_of(pages[1]) }]);
    assert_eq!(call(3), Err(Errno::EINVAL));
    let log = world.hv.machine.take_log();
    assert!(log.iter().any(|e| e.op == Op::CleanFrames { mfn: pages[0], count: 1 }));
    assert!(!log.iter().any(|e| e.op == Op::CleanFrames { mfn: pages[2], count: 1 }));
    assert_eq!(call(0), Ok(0));
}
