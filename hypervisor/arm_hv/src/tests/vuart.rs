//! A guest's serial port, with dom0 at the other end of its ring.

use crate::testkit::*;
use alloc::sync::Arc;
use hal::{Domid, Gaddr};
use hv_core::Domain;
use machine::Abi;
use xen_abi::Arch as _;
use xen_abi::Errno;
use xen_abi::arch_arm::{GUEST_PL011_BASE, GUEST_VPL011_SPI};
use xen_abi::event_channel::*;
use xen_abi::xen::__HYPERVISOR_event_channel_op;

/// Registers: data, flags, interrupt mask.
const DR: u64 = GUEST_PL011_BASE;
const FR: u64 = GUEST_PL011_BASE + 0x18;
const IMSC: u64 = GUEST_PL011_BASE + 0x38;
/// Flag: nothing received.
const RXFE: u64 = 0x10;
/// Interrupt: something received and not read.
const RX_TIMEOUT: u64 = 0x40;
/// The ring's halves and indices (io/console.h).
const RING: Gaddr = SPARE;
const OUT: u64 = 1024;
const IN_PROD: u64 = 3076;
const OUT_PROD: u64 = 3084;

/// Dom0, a guest with the port, and dom0's end of its channel.
fn set_up(world: &mut World) -> (Arc<Domain>, Arc<Domain>, u32) {
    let dom0 = world.dom0(1, &[]);
    let daemon = dom0.vcpu(0).unwrap();
    world.map_shared(daemon);
    world.open_gic(daemon);
    let domain = world.domain(1, 1);
    let vcpu = domain.vcpu(0).unwrap();
    world.open_gic(vcpu);
    world.machine().guest_write(domain.root, RING, &[0; 4096]).unwrap();
    let port = domain.guest.create_vuart(world.hv, &domain, RING.frame(), Domid::DOM0).unwrap();
    let bind = EvtchnBindInterdomain { remote_dom: 1, _gap0: 0, remote_port: port, local_port: 0 };
    let bound = world.op(daemon, __HYPERVISOR_event_channel_op, EVTCHNOP_bind_interdomain, &bind);
    // Binding announces itself.
    consume(world, &dom0);
    (dom0, domain, bound.local_port)
}

/// Dom0 takes its event interrupt, if there is one, and clears what is pending.
fn consume(world: &mut World, dom0: &Domain) -> bool {
    let events = world.drain(dom0.vcpu(0).unwrap());
    for (offset, len) in [
        (Abi::VCPU_INFO_UPCALL_PENDING, 1),
        (Abi::VCPU_INFO_PENDING_SEL, 8),
        (Abi::SHARED_INFO_EVTCHN_PENDING, 512),
    ] {
        let at = SHARED.plus(offset as u64);
        world.machine().guest_write(dom0.root, at, &[0; 512][..len]).unwrap();
    }
    events.contains(&DOM0_EVENT_PPI)
}

#[test]
fn what_the_guest_sends_is_in_the_ring_and_dom0_hears_of_it() {
    let mut world = World::new();
    let (dom0, domain, _) = set_up(&mut world);
    let vcpu = domain.vcpu(0).unwrap();
    for byte in *b"hi" {
        world.mmio(vcpu, DR, 0, Some(byte.into())).unwrap();
    }
    assert!(consume(&mut world, &dom0));
    let (mut bytes, mut prod) = ([0; 2], [0; 4]);
    world.machine().guest_read(domain.root, RING.plus(OUT), &mut bytes).unwrap();
    world.machine().guest_read(domain.root, RING.plus(OUT_PROD), &mut prod).unwrap();
    assert_eq!((&bytes, u32::from_le_bytes(prod)), (b"hi", 2));
}

#[test]
fn what_dom0_sends_interrupts_the_guest_until_it_is_read() {
    let mut world = World::new();
    let (dom0, domain, port) = set_up(&mut world);
    let vcpu = domain.vcpu(0).unwrap();
    let distributor = world.distributor();
    world.store(vcpu, distributor + 0x400 + 32, 0xa0a0_a0a0);
    world.store(vcpu, distributor + GICD_ISENABLER + 4, 1);
    world.store(vcpu, IMSC, RX_TIMEOUT);
    assert_eq!(world.load(vcpu, FR) & RXFE, RXFE);
    world.wfi(vcpu);
    world.settle();
    assert!(vcpu.is_blocked());

    world.machine().guest_write(domain.root, RING, b"x").unwrap();
    world.machine().guest_write(domain.root, RING.plus(IN_PROD), &1u32.to_le_bytes()).unwrap();
    let daemon = dom0.vcpu(0).unwrap();
    world.op(daemon, __HYPERVISOR_event_channel_op, EVTCHNOP_send, &EvtchnSend { port });
    assert_eq!(world.ack(vcpu), Some(GUEST_VPL011_SPI));
    world.eoi(vcpu, GUEST_VPL011_SPI);
    assert_eq!(world.ack(vcpu), Some(GUEST_VPL011_SPI), "it is a level");
    assert_eq!(world.mmio(vcpu, DR, 0, None), Ok(b'x'.into()));
    world.eoi(vcpu, GUEST_VPL011_SPI);
    assert_eq!((world.ack(vcpu), world.load(vcpu, FR) & RXFE), (None, RXFE));
    assert!(consume(&mut world, &dom0), "dom0 hears that there is room");
}

#[test]
fn domain_without_the_port_has_nothing_there() {
    let mut world = World::new();
    let domain = world.domain(1, 1);
    world.mmio(domain.vcpu(0).unwrap(), FR, 2, None).unwrap_err();
}

#[test]
fn port_is_made_once_and_goes_with_its_domain() {
    let mut world = World::new();
    world.dom0(1, &[]);
    let free = world.hv.frames.free_frames();
    let domain = world.domain(1, 1);
    let create = |gfn| domain.guest.create_vuart(world.hv, &domain, gfn, Domid::DOM0);
    assert_eq!(create(hal::Gfn(5)), Err(Errno::EINVAL));
    create(RING.frame()).unwrap();
    assert_eq!(create(RING.frame()), Err(Errno::EINVAL));
    world.destroy(&domain);
    assert_eq!(world.hv.frames.free_frames(), free);
}
