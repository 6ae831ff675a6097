//! Ports whose consumer is the hypervisor.

use super::*;
use crate::event::{alloc_for_hypervisor, close_for_hypervisor, notify_from_hypervisor};
use core::sync::atomic::AtomicU32;
use hal::Domid;

/// Calls, as vm_assist bits of the domain that the test does not use otherwise.
fn count(_: &Hypervisor, domain: &Arc<Domain>, port: u32) {
    calls(domain).fetch_add(1 << 16 | port, Ordering::SeqCst);
}

fn calls(domain: &Domain) -> &AtomicU32 {
    &domain.vm_assist
}

fn open(kit: &Kit) -> (u32, u32) {
    let inner = alloc_for_hypervisor(&kit.domu, Domid::DOM0, count).unwrap();
    let ours = kit.bind(&kit.dom0, 5, inner).unwrap();
    (ours, inner)
}

#[test]
fn event_calls_the_consumer_and_the_guest_sees_nothing() {
    let kit = Kit::new();
    let (ours, inner) = open(&kit);
    assert_eq!(calls(&kit.domu).load(Ordering::SeqCst), 0);
    kit.send(&kit.dom0, ours).unwrap();
    assert_eq!(calls(&kit.domu).load(Ordering::SeqCst), 1 << 16 | inner);
    assert_eq!(kit.pending(&kit.domu), 0);
    assert!(!kit.take_upcall(&kit.domu, 0));
}

#[test]
fn consumer_signals_its_peer() {
    let kit = Kit::new();
    let inner = alloc_for_hypervisor(&kit.domu, Domid::DOM0, count).unwrap();
    notify_from_hypervisor(kit.hv(), &kit.domu, inner);
    notify_from_hypervisor(kit.hv(), &kit.domu, 4000);
    let ours = kit.bind(&kit.dom0, 5, inner).unwrap();
    kit.take_events(&kit.dom0);
    notify_from_hypervisor(kit.hv(), &kit.domu, inner);
    assert_eq!(kit.take_events(&kit.dom0), 1 << ours);
}

#[test]
fn guest_has_no_hold_of_the_hypervisors_port() {
    let kit = Kit::new();
    let (_, inner) = open(&kit);
    assert_eq!(kit.send(&kit.domu, inner), Err(Errno::EINVAL));
    assert_eq!(kit.close(&kit.domu, inner), Err(Errno::EINVAL));
    assert_eq!(kit.bind_vcpu(&kit.domu, inner, 1), Err(Errno::EINVAL));
    assert_eq!(kit.status_of(&kit.domu, DOMID_SELF, inner).map(|_| ()), Err(Errno::EACCES));
    assert_eq!(kit.domu.events.is_port_pending(kit.hv(), inner), Err(Errno::EINVAL));
    assert_eq!(kit.unmask(&kit.domu, inner), Ok(()));
}

#[test]
fn reset_leaves_the_hypervisors_port() {
    let kit = Kit::new();
    let (ours, _) = open(&kit);
    let other = kit.alloc(&kit.domu, 0);
    kit.op(&kit.domu, EVTCHNOP_reset, EvtchnReset { dom: DOMID_SELF }).unwrap();
    assert_eq!(kit.status(&kit.domu, other).0, EVTCHNSTAT_closed);
    kit.send(&kit.dom0, ours).unwrap();
    assert_ne!(calls(&kit.domu).load(Ordering::SeqCst), 0);
}

#[test]
fn port_closed_by_the_hypervisor_is_an_ordinary_one_when_it_is_used_again() {
    let kit = Kit::new();
    let (ours, inner) = open(&kit);
    close_for_hypervisor(kit.hv(), &kit.domu, inner);
    assert_eq!(kit.status(&kit.dom0, ours).0, EVTCHNSTAT_unbound);
    assert_eq!(kit.bind_ipi(&kit.domu, 0), Ok(inner));
    kit.send(&kit.domu, inner).unwrap();
    assert_eq!(kit.take_events(&kit.domu), 1 << inner);
    kit.close(&kit.domu, inner).unwrap();
    close_for_hypervisor(kit.hv(), &kit.domu, inner);
}
