//! The fake host behaves as the devices do.

use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::*;
use crate::EventChannels;

const GUEST: Domid = match Domid::new(5) {
    Some(domid) => domid,
    None => panic!("5 is a domain"),
};

fn readable(fd: impl AsFd) -> bool {
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
}

#[test]
fn hypercall_reaches_the_closure_with_addresses_and_brings_back_what_it_wrote() {
    let xen = FakeXen::new(|call| {
        let inner: u64 = call.read(call.args[1])?;
        call.bytes_at_mut(inner)?.copy_from_slice(&[7; 4]);
        Ok(3)
    });
    let (mut outer, mut inner, fixed) = ([0u8; 8], [1u8; 4], [9u8; 2]);
    let mut call = Hypercall::new(17);
    let pointer = call.buffer(&mut outer);
    let target = call.buffer(&mut inner);
    call.input(&fixed);
    call.value(0, 42);
    call.address_of(1, pointer);
    call.link(pointer, 0, target);
    assert_eq!(xen.hypercall(&mut call), Ok(3));
    assert_eq!(inner, [7; 4]);
    let calls = xen.take_calls();
    assert_eq!(calls.len(), 1);
    assert_eq!((calls[0].number, calls[0].args), (17, [42, 1 << 32, 0, 0, 0]));
    assert_eq!(calls[0].buffers[1..], [vec![1; 4], vec![9; 2]], "as they were asked");
    assert!(xen.take_calls().is_empty());
}

#[test]
fn foreign_frames_are_mapped_in_the_order_asked_and_are_the_guests_memory() {
    let xen = FakeXen::default();
    xen.add_frames(GUEST, 0x40000, 2);
    xen.add_frames(GUEST, 0x9_0000_0000, 1);
    let mapped = xen.map_foreign(GUEST, &[0x9_0000_0000, 0x40001], Access::Write).unwrap();
    mapped.write(4090, b"across pages").unwrap();
    let mut bytes = [0; 6];
    xen.guest_memory(GUEST, 0x9_0000_0000, 1).unwrap().read(4090, &mut bytes).unwrap();
    assert_eq!(&bytes, b"across");
    xen.guest_memory(GUEST, 0x40000, 2).unwrap().read(4096, &mut bytes).unwrap();
    assert_eq!(&bytes, b" pages");
    assert_eq!(xen.live_mappings(), 1);
    drop(mapped);
    assert_eq!(xen.live_mappings(), 0);
}

#[test]
fn frame_that_is_not_there_fails_the_whole_mapping_by_its_number() {
    let xen = FakeXen::default();
    xen.add_frames(GUEST, 1, 2);
    let error = xen.map_foreign(GUEST, &[1, 2, 3], Access::Read).unwrap_err();
    assert_eq!(error, MapError::Frame { gfn: 3, errno: Errno::INVAL });
    assert!(matches!(xen.map_foreign(GUEST, &[], Access::Read), Err(MapError::Count { asked: 0, .. })));
    assert_eq!(xen.live_mappings(), 0);
}

#[test]
fn removed_frames_come_back_zeroed() {
    let xen = FakeXen::default();
    xen.add_frames(GUEST, 8, 1);
    xen.guest_memory(GUEST, 8, 1).unwrap().store_u8(0, 1).unwrap();
    xen.remove_frames(GUEST, 8, 1);
    assert!(xen.guest_memory(GUEST, 8, 1).is_err());
    xen.add_frames(GUEST, 8, 1);
    assert_eq!(xen.guest_memory(GUEST, 8, 1).unwrap().load_u8(0), Ok(0));
}

#[test]
fn grants_map_the_granted_frame_and_the_end_of_the_mapping_is_notified() {
    let xen = FakeXen::default();
    xen.add_frames(GUEST, 8, 1);
    assert!(xen.map(GUEST, &[1], Access::Write, None).is_err(), "nothing is granted yet");
    xen.grant(GUEST, 1, 8);
    let events = xen.event_channels();
    let port = events.bind_unbound(GUEST).unwrap();
    let notify = UnmapNotify { clear_byte: Some(3), send_event: Some(port) };
    let mapped = xen.map(GUEST, &[1], Access::Write, Some(notify)).unwrap();
    mapped.write(0, &[1; 8]).unwrap();
    assert_eq!(xen.take_notifications(port), 0);
    drop(mapped);
    assert_eq!(xen.guest_memory(GUEST, 8, 1).unwrap().load_u64(0), Ok(0x0101_0101_0001_0101));
    assert_eq!((xen.take_notifications(port), xen.live_mappings()), (1, 0));
}

#[test]
fn allocated_grants_can_be_mapped_by_their_references() {
    let xen = FakeXen::default();
    let pages = xen.allocate(GUEST, 2, true).unwrap();
    pages.memory.store_u32(4096, 77).unwrap();
    let mapped = xen.map(Domid::DOM0, &pages.refs, Access::Read, None).unwrap();
    assert_eq!((mapped.len(), mapped.load_u32(4096)), (8192, Ok(77)));
}

#[test]
fn port_fires_once_until_it_is_unmasked() {
    let xen = FakeXen::default();
    let events = xen.event_channels();
    let port = events.bind_virq(3).unwrap();
    assert_eq!(xen.virq_port(3), Some(port));
    assert!(!readable(&events));
    xen.signal(port);
    xen.signal(port);
    assert!(readable(&events));
    assert_eq!(events.pending(), Ok(vec![port]));
    assert!(!readable(&events));
    events.unmask(port).unwrap();
    assert_eq!(events.pending(), Ok(vec![port]), "the signal while it was masked");
    events.unmask(port).unwrap();
    assert_eq!(events.pending(), Ok(vec![]));
}

#[test]
fn connected_port_starts_pending_and_belongs_to_its_opener() {
    let xen = FakeXen::default();
    let (events, others) = (xen.event_channels(), xen.event_channels());
    assert_eq!(events.bind_interdomain(GUEST, 9), Err(Errno::INVAL), "nobody offered it");
    xen.offer_port(GUEST, 9);
    let port = events.bind_interdomain(GUEST, 9).unwrap();
    assert_eq!(xen.port_of(GUEST, 9), Some(port));
    assert_eq!(events.pending(), Ok(vec![port]));
    assert_eq!(others.notify(port), Err(Errno::NOTCONN));
    events.notify(port).unwrap();
    assert_eq!(xen.take_notifications(port), 1);
    drop(events);
    assert_eq!(xen.port_of(GUEST, 9), None);
}

#[test]
fn unbound_port_is_no_longer_pending() {
    let xen = FakeXen::default();
    let events = xen.event_channels();
    let port = events.bind_unbound(GUEST).unwrap();
    xen.signal(port);
    events.unbind(port).unwrap();
    assert_eq!(events.pending(), Ok(vec![]));
    assert_eq!(events.unbind(port), Err(Errno::NOTCONN));
}
