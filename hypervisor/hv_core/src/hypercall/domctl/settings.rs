//! What the tools note about a domain: debugger, target, nodes, who hears of its suspension.

use super::{Done, other};
use crate::domain::{Domain, Vnuma};
use crate::hypercall::Call;
use crate::memory::GuestBytes;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use hal::Domid;
use xen_abi::domctl::{self, Domctl, SetDebugging, SetTarget, Subscribe};
use xen_abi::memory::Vmemrange;
use xen_abi::{Errno, GuestHandle};

/// Physical nodes that there are.
const PHYSICAL_NODES: u32 = 1;

/// XEN_DOMCTL_setdebugging: shown by getdomaininfo. No debug event of an arm64 guest comes to us.
pub(super) fn set_debugging(call: &Call<'_>, domain: &Arc<Domain>, op: &Domctl) -> Result<Done, Errno> {
    let request: SetDebugging = op.read_payload();
    other(call, domain)?.debugged.store(request.enable != 0, Ordering::Relaxed);
    Ok(Done::Plain)
}

/// XEN_DOMCTL_subscribe: the port is signalled when the domain has stopped to be saved.
pub(super) fn subscribe(domain: &Domain, op: &Domctl) -> Result<Done, Errno> {
    let request: Subscribe = op.read_payload();
    domain.suspend_port.store(request.port, Ordering::Relaxed);
    Ok(Done::Plain)
}

/// XEN_DOMCTL_set_target: the domain may manage another.
pub(super) fn set_target(call: &Call<'_>, domain: &Arc<Domain>, op: &Domctl) -> Result<Done, Errno> {
    let request: SetTarget = op.read_payload();
    let target = Domid::new(request.target).and_then(|id| call.hv.domains.get(id)).ok_or(Errno::ESRCH)?;
    if target.id == domain.id {
        return Err(Errno::EINVAL);
    }
    domain.set_target(&target)?;
    Ok(Done::Plain)
}

/// XEN_DOMCTL_setvnumainfo.
pub(super) fn set_vnuma(call: &Call<'_>, domain: &Domain, op: &Domctl) -> Result<Done, Errno> {
    let request: domctl::Vnuma = op.read_payload();
    if request.nr_vcpus as usize != domain.max_vcpus || request.pad != 0 {
        return Err(Errno::EINVAL);
    }
    let nodes = request.nr_vnodes;
    Vnuma::check_counts(nodes, request.nr_vmemranges)?;
    let vnuma = Vnuma {
        nodes,
        distances: read_list(call, request.vdistance, nodes * nodes)?,
        ranges: read_list::<Vmemrange>(call, request.vmemrange, request.nr_vmemranges)?,
        vcpus: read_list(call, request.vcpu_to_vnode, request.nr_vcpus)?,
    };
    if vnuma.vcpus.iter().any(|node| *node >= nodes) {
        return Err(Errno::E2BIG);
    }
    let physical: Vec<u32> = read_list(call, request.vnode_to_pnode, nodes)?;
    if physical.iter().any(|node| *node >= PHYSICAL_NODES) {
        return Err(Errno::E2BIG);
    }
    if vnuma.ranges.iter().any(|range| range.flags != 0) {
        return Err(Errno::EINVAL);
    }
    let old = {
        let mut slot = domain.vnuma.lock();
        // The teardown marks the domain first and then empties the slot.
        if domain.is_dying() { Some(vnuma) } else { slot.replace(vnuma) }
    };
    drop(old);
    Ok(Done::Plain)
}

/// A list of the caller's, whose length was checked.
fn read_list<T: GuestBytes>(call: &Call<'_>, at: GuestHandle, count: u32) -> Result<Vec<T>, Errno> {
    let mut list = Vec::new();
    list.try_reserve_exact(count as usize).map_err(|_| Errno::ENOMEM)?;
    for i in 0..u64::from(count) {
        list.push(call.guest().read_element(at.0, i)?);
    }
    Ok(list)
}
