//! Event channels: the upcall interrupt, and software-generated interrupts.

use crate::testkit::*;
use alloc::sync::Arc;
use alloc::vec::Vec;
use arch_fake::{Config, Event, Op};
use hal::Gaddr;
use hv_core::{Domain, Vcpu};
use machine::Abi;
use xen_abi::Arch as _;
use xen_abi::arch_arm::GUEST_EVTCHN_PPI;
use xen_abi::event_channel::*;
use xen_abi::vcpu::{VCPUOP_register_vcpu_info, VcpuRegisterVcpuInfo};
use xen_abi::xen::{__HYPERVISOR_event_channel_op, __HYPERVISOR_vcpu_op};

/// A guest whose vCPU 0 has its shared page and interrupt controller in use.
fn guest(world: &mut World, vcpus: usize) -> Arc<Domain> {
    let domain = world.domain(1, vcpus);
    let first = domain.vcpu(0).unwrap();
    world.map_shared(first);
    world.open_gic(first);
    domain
}

/// A port of `caller`'s domain that interrupts vCPU `to`.
fn bind_ipi(world: &mut World, caller: &Vcpu, to: u32) -> u32 {
    let op = EvtchnBindIpi { vcpu: to, port: 0 };
    world.op(caller, __HYPERVISOR_event_channel_op, EVTCHNOP_bind_ipi, &op).port
}

fn send(world: &mut World, caller: &Vcpu, port: u32) {
    world.op(caller, __HYPERVISOR_event_channel_op, EVTCHNOP_send, &EvtchnSend { port });
}

/// Clears what is pending in shared memory, as a guest's handler does before it looks at ports:
/// evtchn_upcall_pending and evtchn_pending_sel of a vCPU, and all of evtchn_pending.
fn consume(world: &World, domain: &Domain, info: Gaddr) {
    let (machine, root) = (world.machine(), domain.root);
    let mut pending = [0];
    machine.guest_read(root, info.plus(Abi::VCPU_INFO_UPCALL_PENDING as u64), &mut pending).unwrap();
    assert_eq!(pending, [1]);
    machine.guest_write(root, info.plus(Abi::VCPU_INFO_UPCALL_PENDING as u64), &[0]).unwrap();
    machine.guest_write(root, info.plus(Abi::VCPU_INFO_PENDING_SEL as u64), &[0; 8]).unwrap();
    machine.guest_write(root, SHARED.plus(Abi::SHARED_INFO_EVTCHN_PENDING as u64), &[0; 512]).unwrap();
}

#[test]
fn event_interrupts_once_when_it_is_consumed() {
    let mut world = World::new();
    let domain = guest(&mut world, 1);
    let vcpu = domain.vcpu(0).unwrap();
    let port = bind_ipi(&mut world, vcpu, 0);
    for _ in 0..3 {
        send(&mut world, vcpu, port);
        assert_eq!(world.ack(vcpu), Some(GUEST_EVTCHN_PPI));
        consume(&world, &domain, SHARED);
        world.eoi(vcpu, GUEST_EVTCHN_PPI);
        assert_eq!(world.ack(vcpu), None);
    }
}

#[test]
fn event_that_is_not_consumed_interrupts_again() {
    let mut world = World::new();
    let domain = guest(&mut world, 1);
    let vcpu = domain.vcpu(0).unwrap();
    let port = bind_ipi(&mut world, vcpu, 0);
    send(&mut world, vcpu, port);
    for _ in 0..3 {
        assert_eq!(world.ack(vcpu), Some(GUEST_EVTCHN_PPI));
        world.eoi(vcpu, GUEST_EVTCHN_PPI);
        // Anything that makes the hypervisor look.
        world.wfi(vcpu);
    }
    assert_eq!(world.ack(vcpu), Some(GUEST_EVTCHN_PPI));
    consume(&world, &domain, SHARED);
    world.eoi(vcpu, GUEST_EVTCHN_PPI);
    world.wfi(vcpu);
    world.settle();
    assert!(vcpu.is_blocked());
}

#[test]
fn event_that_comes_while_the_last_is_in_work_interrupts_afterwards() {
    let mut world = World::new();
    let domain = guest(&mut world, 1);
    let vcpu = domain.vcpu(0).unwrap();
    let port = bind_ipi(&mut world, vcpu, 0);
    send(&mut world, vcpu, port);
    assert_eq!(world.ack(vcpu), Some(GUEST_EVTCHN_PPI));
    consume(&world, &domain, SHARED);
    send(&mut world, vcpu, port);
    assert_eq!(world.ack(vcpu), None, "it is active");
    world.eoi(vcpu, GUEST_EVTCHN_PPI);
    assert_eq!(world.ack(vcpu), Some(GUEST_EVTCHN_PPI));
    consume(&world, &domain, SHARED);
    world.eoi(vcpu, GUEST_EVTCHN_PPI);
    assert_eq!(world.ack(vcpu), None);
}

#[test]
fn event_wakes_a_vcpu_and_interrupts_it_on_another_pcpu() {
    let mut world = World::new();
    let domain = guest(&mut world, 2);
    let first = domain.vcpu(0).unwrap();
    let second = world.start(&domain, 1);
    world.open_gic(&second);
    let info = VcpuRegisterVcpuInfo { mfn: SPARE.frame().0, offset: 0, rsvd: 0 };
    world.op_with(&second, __HYPERVISOR_vcpu_op, |at| [VCPUOP_register_vcpu_info.into(), 1, at, 0, 0], &info);
    // Whatever was pending before is announced.
    assert_eq!(world.drain(&second), [GUEST_EVTCHN_PPI]);
    consume(&world, &domain, SPARE);
    let port = bind_ipi(&mut world, first, 1);
    // Running, then waiting.
    for wait in [false, true] {
        if wait {
            world.wfi(&second);
            world.settle();
            assert!(second.is_blocked());
        }
        send(&mut world, first, port);
        assert_eq!(world.ack(&second), Some(GUEST_EVTCHN_PPI));
        consume(&world, &domain, SPARE);
        world.eoi(&second, GUEST_EVTCHN_PPI);
        assert_eq!((world.ack(&second), world.ack(first)), (None, None));
    }
}

#[test]
fn sgis_reach_those_that_are_named_on_both_versions() {
    for mut world in [World::new(), World::v2()] {
        let domain = world.domain(1, 3);
        let vcpus = [domain.vcpu(0).unwrap().clone(), world.start(&domain, 1)];
        for vcpu in &vcpus {
            world.open_gic(vcpu);
        }
        world.sgi(&vcpus[0], 5, 0b10);
        world.sgi(&vcpus[1], 6, 0b11);
        // With version 2 the sender is told, in bits 12:10.
        let from = |vcpu: u32, intid: u32| if world.is_v2() { vcpu << 10 | intid } else { intid };
        let (five, six) = (from(0, 5), from(1, 6));
        assert_eq!(world.drain(&vcpus[0]), [six]);
        let mut second = world.drain(&vcpus[1]);
        second.sort_unstable();
        let mut wanted = [five, six];
        wanted.sort_unstable();
        assert_eq!(second, wanted);
    }
}

#[test]
fn same_sgi_from_two_senders_comes_twice_on_version_2() {
    let mut world = World::v2();
    let domain = world.domain(1, 2);
    let vcpus = [domain.vcpu(0).unwrap().clone(), world.start(&domain, 1)];
    for vcpu in &vcpus {
        world.open_gic(vcpu);
    }
    world.sgi(&vcpus[0], 5, 0b01);
    world.sgi(&vcpus[1], 5, 0b01);
    let mut taken = world.drain(&vcpus[0]);
    taken.sort_unstable();
    assert_eq!(taken, [5, 1 << 10 | 5]);
}

#[test]
fn more_interrupts_than_list_registers_all_come() {
    let mut world = World::with(Config { list_registers: 2, ..Config::hostile() });
    let vcpu = world.domain(1, 1).vcpu(0).unwrap().clone();
    world.open_gic(&vcpu);
    for intid in 0..12 {
        world.sgi(&vcpu, intid, 1);
    }
    let mut taken = world.drain(&vcpu);
    taken.sort_unstable();
    assert_eq!(taken, (0..12).collect::<Vec<_>>());
}

#[test]
fn maintenance_interrupt_is_served_once() {
    let mut world = World::with(Config { list_registers: 1, ..Config::hostile() });
    let vcpu = world.domain(1, 1).vcpu(0).unwrap().clone();
    world.open_gic(&vcpu);
    world.sgi(&vcpu, 1, 1);
    world.sgi(&vcpu, 2, 1);
    let iar = world.ack(&vcpu).unwrap();
    world.settle();
    world.machine().take_log();
    world.eoi(&vcpu, iar);
    let served = |event: &Event| event.op == Op::IrqDeactivate { irq: 25 };
    assert_eq!(world.machine().take_log().iter().filter(|e| served(e)).count(), 1);
    assert_eq!(world.drain(&vcpu).len(), 1);
}
