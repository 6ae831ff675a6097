//! Windows onto a guest's memory, and the calls that use them.

use crate::domain::Domain;
use crate::memory::{Fault, GuestWindow};
use crate::testkit::{ARGS, GUEST_PAGES, GUEST_RAM, LISTS, World, check};
use alloc::sync::Arc;
use hal::{Gaddr, Gfn, MachineOps as _, Mfn, PAGE_SIZE};
use xen_abi::Errno;
use xen_abi::event_channel::*;
use xen_abi::memory::{MemoryReservation, XENMEM_decrease_reservation};
use xen_abi::xen::*;
use zerocopy::FromZeros as _;

const LAST: Gfn = Gfn(GUEST_RAM.0 + GUEST_PAGES - 1);

fn window<'a>(world: &World, domain: &'a Arc<Domain>) -> GuestWindow<'a> {
    world.hv.machine.set_stage2(domain.root);
    GuestWindow::new(domain.guest_memory(world.hv))
}

fn frame_of(world: &World, domain: &Domain, gfn: Gfn) -> Mfn {
    domain.guest_page(world.hv, gfn).unwrap().mfn()
}

#[test]
fn page_that_goes_while_a_window_is_on_it_stays_the_domains_until_the_window_goes() {
    let world = World::hostile();
    let domu = world.domain(5, 1);
    let (gfn, free) = (GUEST_RAM.plus(3), world.hv.frames.free_frames());
    let mfn = frame_of(&world, &domu, gfn);
    world.put(&domu, gfn.addr(), &7u64);
    let mut window = window(&world, &domu);
    assert_eq!(window.read::<u64>(gfn.addr().0), Ok(7));
    assert!(world.decrease(&domu, gfn.0, 0));
    world.hv.machine.set_stage2(domu.root);
    assert_eq!(world.hv.frames.owner(mfn), Some(domu.id));
    assert_eq!(world.hv.frames.references(mfn), 1);
    assert_eq!(window.write(gfn.addr().plus(8).0, &1u64), Ok(()));
    // Another page: the one before goes.
    assert!(window.read::<u64>(ARGS.0).is_ok());
    assert_eq!(world.hv.frames.owner(mfn), None);
    assert!(world.hv.frames.free_frames() > free);
    assert_eq!(window.read::<u64>(gfn.addr().0), Err(Fault));
    drop(window);
    check(&world, &[]);
}

#[test]
fn value_in_two_pages_is_read_and_written_whole() {
    let world = World::hostile();
    let domu = world.domain(5, 1);
    let at = LAST.addr().0 - 12;
    world.put(&domu, Gaddr(at), &[0x0102_0304_0506_0708u64, 9, 10]);
    let mut window = window(&world, &domu);
    assert_eq!(window.read::<[u64; 3]>(at), Ok([0x0102_0304_0506_0708, 9, 10]));
    assert_eq!(window.write(at + 8, &[3u64, 4]), Ok(()));
    assert_eq!(window.read::<[u64; 3]>(at), Ok([0x0102_0304_0506_0708, 3, 4]));
    // The second page is missing.
    let end = LAST.addr().0 + PAGE_SIZE as u64;
    assert_eq!(window.read::<u64>(end - 8).map(|_| ()), Ok(()));
    assert_eq!(window.read::<u64>(end - 4), Err(Fault));
    assert_eq!(window.write(end - 4, &1u64), Err(Fault));
    assert_eq!(window.read::<u64>(u64::MAX - 3), Err(Fault));
}

#[test]
fn list_that_gives_its_own_page_away_ends_after_it() {
    let world = World::hostile();
    let domu = world.domain(5, 1);
    let mut request = MemoryReservation::new_zeroed();
    request.extent_start = world.list(&domu, 0x1000, &[LAST.0 - 7]);
    (request.nr_extents, request.domid) = (1, DOMID_SELF);
    world.put(&domu, ARGS, &request);
    // The last two entries of one page and the first of the next.
    let list = LAST.addr().0 - 6 * PAGE_SIZE as u64 - 128;
    let version = MulticallEntry { op: 17, result: 5, args: [0; 6] };
    let args = [XENMEM_decrease_reservation.into(), ARGS.0, 0, 0, 0, 0];
    world.put(&domu, Gaddr(list), &MulticallEntry { op: 12, result: 5, args });
    world.put(&domu, Gaddr(list + 64), &version);
    world.put(&domu, Gaddr(list + 128), &version);
    assert_eq!(world.call(&domu, __HYPERVISOR_multicall.into(), [list, 3, 0, 0, 0]), Ok(0));
    assert_eq!(world.take::<MulticallEntry>(&domu, Gaddr(list + 128)).result, 0x40011);
    assert!(domu.guest_page(world.hv, Gfn(LAST.0 - 7)).is_none());
    check(&world, &[]);
}

#[test]
fn multicall_writes_nothing_but_results() {
    let world = World::hostile();
    let domu = world.domain(5, 1);
    let entry = MulticallEntry { op: 17, result: 5, args: [0, 0, 0, 0, 0, 77] };
    world.put(&domu, LISTS, &entry);
    // The guest changes the entry while the call runs.
    let frame = frame_of(&world, &domu, LISTS.frame());
    let at = frame.addr().plus(LISTS.0 % PAGE_SIZE as u64);
    let watch = world.hv.machine.mutate_on_read(at.plus(16), 48, |_, value| value + 1);
    assert_eq!(world.call(&domu, __HYPERVISOR_multicall.into(), [LISTS.0, 1, 0, 0, 0]), Ok(0));
    world.hv.machine.assert_read_once(watch);
    let after: MulticallEntry = world.take(&domu, LISTS);
    assert_eq!((after.op, after.result, after.args), (17, 0x40011, [1, 1, 1, 1, 1, 78]));
}

#[test]
fn port_that_cannot_be_told_is_not_made() {
    let world = World::hostile();
    let domu = world.domain(5, 1);
    let op = EvtchnAllocUnbound { dom: DOMID_SELF, remote_dom: 0, port: 0 };
    // The port would stand in a page that is not there.
    let at = LAST.addr().0 + PAGE_SIZE as u64 - 4;
    world.put(&domu, Gaddr(at), &[op.dom, op.remote_dom]);
    let alloc = [EVTCHNOP_alloc_unbound.into(), at, 0, 0, 0];
    assert_eq!(world.call(&domu, __HYPERVISOR_event_channel_op.into(), alloc), Err(Errno::EFAULT));
    let made: EvtchnAllocUnbound =
        world.op(&domu, __HYPERVISOR_event_channel_op.into(), EVTCHNOP_alloc_unbound, &op).unwrap();
    assert_eq!(made.port, 1);
}
