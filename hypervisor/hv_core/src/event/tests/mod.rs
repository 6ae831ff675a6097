//! Event channels through the hypercall, with guests of the fake machine.

mod binding;
mod consumer;
mod fifo;
mod life;
mod two_level;

use crate::Hypervisor;
use crate::domain::Domain;
use crate::testkit::{ARGS, GUEST_RAM, World};
use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use hal::{Gaddr, Gfn, MachineOps as _};
use machine::Abi;
use xen_abi::event_channel::*;
use xen_abi::memory::{AddToPhysmap, XENMAPSPACE_shared_info, XENMEM_add_to_physmap};
use xen_abi::xen::{__HYPERVISOR_event_channel_op, __HYPERVISOR_memory_op, DOMID_SELF};
use xen_abi::{Arch as _, Errno};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Where the test domains map their shared information page.
const SHARED: Gfn = Gfn(0x100);

/// What a test has: dom0 with one vCPU, and a domain with two that has mapped its shared page.
struct Kit {
    world: World,
    dom0: Arc<Domain>,
    domu: Arc<Domain>,
}

impl Kit {
    fn new() -> Self {
        let world = World::hostile();
        let (dom0, domu) = (world.get(0), world.domain(5, 2));
        let kit = Self { world, dom0, domu };
        kit.map_shared(&kit.dom0);
        kit.map_shared(&kit.domu);
        kit
    }

    fn hv(&self) -> &'static Hypervisor {
        self.world.hv
    }

    fn map_shared(&self, domain: &Arc<Domain>) {
        let op = AddToPhysmap {
            domid: DOMID_SELF,
            size: 0,
            space: XENMAPSPACE_shared_info,
            idx: 0,
            gpfn: SHARED.0,
        };
        self.world.op(domain, __HYPERVISOR_memory_op.into(), XENMEM_add_to_physmap, &op).unwrap();
    }

    /// Issues an EVTCHNOP_*.
    fn op<T: FromBytes + IntoBytes + Immutable>(
        &self,
        domain: &Arc<Domain>,
        cmd: u32,
        arg: T,
    ) -> Result<T, Errno> {
        self.world.op(domain, __HYPERVISOR_event_channel_op.into(), cmd, &arg)
    }

    fn alloc_in(&self, caller: &Arc<Domain>, dom: u16, remote_dom: u16) -> Result<u32, Errno> {
        self.op(caller, EVTCHNOP_alloc_unbound, EvtchnAllocUnbound { dom, remote_dom, port: 0 })
            .map(|op| op.port)
    }

    fn alloc(&self, domain: &Arc<Domain>, remote_dom: u16) -> u32 {
        self.alloc_in(domain, DOMID_SELF, remote_dom).unwrap()
    }

    fn bind(&self, domain: &Arc<Domain>, remote_dom: u16, remote_port: u32) -> Result<u32, Errno> {
        let op = EvtchnBindInterdomain { remote_dom, _gap0: 0, remote_port, local_port: 0 };
        self.op(domain, EVTCHNOP_bind_interdomain, op).map(|op| op.local_port)
    }

    /// A channel between dom0 and the other domain: dom0's port and the other's.
    fn channel(&self) -> (u32, u32) {
        let theirs = self.alloc(&self.domu, 0);
        let ours = self.bind(&self.dom0, 5, theirs).unwrap();
        (ours, theirs)
    }

    fn bind_virq(&self, domain: &Arc<Domain>, virq: u32, vcpu: u32) -> Result<u32, Errno> {
        self.op(domain, EVTCHNOP_bind_virq, EvtchnBindVirq { virq, vcpu, port: 0 }).map(|op| op.port)
    }

    fn bind_ipi(&self, domain: &Arc<Domain>, vcpu: u32) -> Result<u32, Errno> {
        self.op(domain, EVTCHNOP_bind_ipi, EvtchnBindIpi { vcpu, port: 0 }).map(|op| op.port)
    }

    fn bind_vcpu(&self, domain: &Arc<Domain>, port: u32, vcpu: u32) -> Result<(), Errno> {
        self.op(domain, EVTCHNOP_bind_vcpu, EvtchnBindVcpu { port, vcpu }).map(drop)
    }

    fn send(&self, domain: &Arc<Domain>, port: u32) -> Result<(), Errno> {
        self.op(domain, EVTCHNOP_send, EvtchnSend { port }).map(drop)
    }

    fn close(&self, domain: &Arc<Domain>, port: u32) -> Result<(), Errno> {
        self.op(domain, EVTCHNOP_close, EvtchnClose { port }).map(drop)
    }

    fn unmask(&self, domain: &Arc<Domain>, port: u32) -> Result<(), Errno> {
        self.op(domain, EVTCHNOP_unmask, EvtchnUnmask { port }).map(drop)
    }

    fn status_of(&self, caller: &Arc<Domain>, dom: u16, port: u32) -> Result<EvtchnStatus, Errno> {
        let op = EvtchnStatus { dom, _gap0: 0, port, status: 99, vcpu: 99, u: [0; 2] };
        self.op(caller, EVTCHNOP_status, op)
    }

    /// State and vCPU of a port.
    fn status(&self, domain: &Arc<Domain>, port: u32) -> (u32, u32) {
        let status = self.status_of(domain, DOMID_SELF, port).unwrap();
        (status.status, status.vcpu)
    }

    fn word(&self, domain: &Domain, offset: usize) -> u64 {
        self.world.take(domain, SHARED.addr().plus(offset as u64))
    }

    /// The pending ports below 64 of the 2-level interface, as a bit mask.
    fn pending(&self, domain: &Domain) -> u64 {
        self.word(domain, Abi::SHARED_INFO_EVTCHN_PENDING)
    }

    /// Masks ports below 64 as the guest does.
    fn set_mask(&self, domain: &Domain, mask: u64) {
        self.world.put(domain, SHARED.addr().plus(Abi::SHARED_INFO_EVTCHN_MASK as u64), &mask);
    }

    /// Takes all pending ports below 64 of vCPU 0 as the guest's upcall handler does; nothing when
    /// there was no upcall.
    fn take_events(&self, domain: &Domain) -> u64 {
        if !self.take_upcall(domain, 0) {
            return 0;
        }
        let at = |offset: usize| SHARED.addr().plus(offset as u64);
        self.world.put(domain, at(Abi::VCPU_INFO_UPCALL_PENDING), &0u8);
        self.world.put(domain, at(Abi::VCPU_INFO_PENDING_SEL), &0u64);
        let pending = self.pending(domain) & !self.word(domain, Abi::SHARED_INFO_EVTCHN_MASK);
        let left = self.pending(domain) & !pending;
        self.world.put(domain, at(Abi::SHARED_INFO_EVTCHN_PENDING), &left);
        pending
    }

    /// Destroys a domain as dom0's tools do.
    fn destroy(&self, domain: &Arc<Domain>) {
        self.hv().machine.set_stage2(self.dom0.root);
        self.world.destroy(domain);
    }

    /// Whether a vCPU's upcall line was raised since the last look.
    fn take_upcall(&self, domain: &Domain, vcpu: usize) -> bool {
        let upcalls = &World::guest(domain).upcalls;
        upcalls.fetch_and(!(1 << vcpu), Ordering::SeqCst) >> vcpu & 1 != 0
    }
}

/// A page of a test domain's memory that no test kit uses.
const fn page(n: u64) -> Gfn {
    GUEST_RAM.plus(n)
}
