//! Opening, closing and using channels.

use super::deliver::{self, Notice};
use super::table::{Line, State};
use super::virq::is_global;
use super::{Pair, Ports};
use crate::Hypervisor;
use crate::domain::Domain;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use hal::Domid;
use xen_abi::Errno;
use xen_abi::event_channel::{
    EVTCHN_FIFO_PRIORITY_MIN, EVTCHNSTAT_closed, EVTCHNSTAT_interdomain, EVTCHNSTAT_ipi, EVTCHNSTAT_unbound,
    EVTCHNSTAT_virq, EvtchnStatus, EvtchnStatusInterdomain, EvtchnStatusUnbound,
};
use xen_abi::xen::NR_VIRQS;

/// Who closes a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum By {
    /// The guest, which may not close the hypervisor's ports.
    Guest,
    /// The hypervisor: a teardown, or a consumer that goes.
    Hypervisor,
}

/// EVTCHNOP_send: signals the other end of a port.
///
/// # Errors
/// EINVAL for a port that is closed, bound to a virtual interrupt, or the hypervisor's.
#[inline]
pub fn send(hv: &Hypervisor, domain: &Domain, port: u32) -> Result<(), Errno> {
    let ports = domain.events.ports.lock();
    if ports.is_hypervisors(port) {
        return Err(Errno::EINVAL);
    }
    match ports.get(port) {
        Some(State::Interdomain { remote, port: remote_port }) => {
            let remote_port = *remote_port;
            let Some(remote_line) = remote.events.lines.get(remote_port) else { return Ok(()) };
            if remote_line.is_hypervisors() {
                let remote = Arc::clone(remote);
                drop(ports);
                call_consumer(hv, &remote, remote_port);
            } else if let Some(notice) = deliver::raise_in_line(hv, remote, remote_port, remote_line) {
                if core::ptr::eq(Arc::as_ptr(remote), domain) {
                    drop(ports);
                    deliver::notify(hv, domain, remote_port, notice);
                    return Ok(());
                }
                let remote = Arc::clone(remote);
                drop(ports);
                deliver::notify(hv, &remote, remote_port, notice);
            }
            Ok(())
        }
        Some(State::Ipi) => {
            let line = domain.events.lines.get(port);
            let notice = line.and_then(|line| deliver::raise(hv, domain, port, line));
            drop(ports);
            settle(hv, domain, port, notice);
            Ok(())
        }
        // Nobody is there yet: the event is dropped.
        Some(State::Unbound { .. }) => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}

/// Does what a notice asks for, if there is one.
fn settle(hv: &Hypervisor, domain: &Domain, port: u32, notice: Option<Notice>) {
    if let Some(notice) = notice {
        deliver::notify(hv, domain, port, notice);
    }
}

#[inline(never)]
fn call_consumer(hv: &Hypervisor, domain: &Arc<Domain>, port: u32) {
    let consumer = domain.events.ports.lock().consumer(port);
    if let Some(consumer) = consumer {
        consumer(hv, domain, port);
    }
}

/// EVTCHNOP_alloc_unbound: makes a port of `domain` to which the domain numbered `remote` may bind.
///
/// # Errors
/// EINVAL in a dying domain, ENOSPC without a free port, ENOMEM.
pub fn alloc_unbound(domain: &Domain, remote: u16) -> Result<u32, Errno> {
    let events = &domain.events;
    let mut ports = events.ports.lock();
    let port = match events.next_port(domain, &ports) {
        Some(port) => port,
        None => events.free_port(domain, &mut ports)?,
    };
    events.open(&mut ports, port, State::Unbound { remote }, 0);
    Ok(port)
}

/// EVTCHNOP_bind_interdomain: connects a new port of `domain` to a port of `remote` that waits for
/// it. The new port starts pending, since the other side may have sent before.
///
/// # Errors
/// As [`alloc_unbound`], and EINVAL when the other port does not wait for this domain.
pub fn bind_interdomain(
    hv: &Hypervisor,
    domain: &Arc<Domain>,
    remote: &Arc<Domain>,
    remote_port: u32,
) -> Result<u32, Errno> {
    let events = &domain.events;
    let mut pair = Pair::lock(domain, remote);
    let port = events.free_port(domain, &mut pair.local)?;
    match pair.remote().get(remote_port) {
        Some(State::Unbound { remote: waits_for }) if *waits_for == domain.id.raw() => {}
        _ => return Err(Errno::EINVAL),
    }
    let there = State::Interdomain { remote: Arc::clone(remote), port: remote_port };
    events.open(&mut pair.local, port, there, 0);
    pair.remote().rebind(remote_port, State::Interdomain { remote: Arc::clone(domain), port });
    let notice = events.lines.get(port).and_then(|line| deliver::raise(hv, domain, port, line));
    drop(pair);
    settle(hv, domain, port, notice);
    Ok(port)
}

/// EVTCHNOP_bind_virq: makes a port for a virtual interrupt of vCPU `vcpu`.
///
/// # Errors
/// EINVAL for no virtual interrupt, or a global one on another vCPU than 0; ENOENT without that
/// vCPU; EEXIST when it is bound; and as [`alloc_unbound`].
pub(super) fn bind_virq(domain: &Domain, virq: u32, vcpu: u32) -> Result<u32, Errno> {
    if virq >= NR_VIRQS || (is_global(virq) && vcpu != 0) {
        return Err(Errno::EINVAL);
    }
    let events = &domain.events;
    let bound = domain.vcpu(vcpu as usize).ok_or(Errno::ENOENT)?.events.virqs.get(virq as usize);
    let bound = bound.ok_or(Errno::EINVAL)?;
    let mut ports = events.ports.lock();
    if bound.load(Ordering::Relaxed) != 0 {
        return Err(Errno::EEXIST);
    }
    let port = events.free_port(domain, &mut ports)?;
    events.open(&mut ports, port, State::Virq(virq as u8), vcpu as u16);
    bound.store(port, Ordering::Relaxed);
    Ok(port)
}

/// EVTCHNOP_bind_ipi: makes a port that signals vCPU `vcpu`.
///
/// # Errors
/// ENOENT without that vCPU, and as [`alloc_unbound`].
pub(super) fn bind_ipi(domain: &Domain, vcpu: u32) -> Result<u32, Errno> {
    domain.vcpu(vcpu as usize).ok_or(Errno::ENOENT)?;
    let mut ports = domain.events.ports.lock();
    let port = domain.events.free_port(domain, &mut ports)?;
    domain.events.open(&mut ports, port, State::Ipi, vcpu as u16);
    Ok(port)
}

/// EVTCHNOP_close: closes a port of the guest. A connected peer waits for this domain again.
///
/// # Errors
/// EINVAL for a port that is closed or the hypervisor's.
pub fn close(hv: &Hypervisor, domain: &Domain, port: u32) -> Result<(), Errno> {
    close_by(hv, domain, port, By::Guest)
}

/// Closes a port.
pub(super) fn close_by(hv: &Hypervisor, domain: &Domain, port: u32, by: By) -> Result<(), Errno> {
    let mut ports = domain.events.ports.lock();
    if let Some(State::Interdomain { remote, .. }) = ports.get(port) {
        let remote = Arc::clone(remote);
        drop(ports);
        return close_connected(hv, domain, &remote, port, by);
    }
    close_alone(hv, domain, &mut ports, port, by)
}

/// Closes a port that was connected to one of `peer`. The peer outlives the locks.
#[inline(never)]
fn close_connected(
    hv: &Hypervisor,
    domain: &Domain,
    peer: &Arc<Domain>,
    port: u32,
    by: By,
) -> Result<(), Errno> {
    let mut pair = Pair::lock(domain, peer);
    // Between the locks the port may have changed.
    let Some(State::Interdomain { remote, port: remote_port }) = pair.local.get(port) else {
        return close_alone(hv, domain, &mut pair.local, port, by);
    };
    let line = domain.events.lines.get(port).ok_or(Errno::EINVAL)?;
    // One that was closed and bound to another domain is as if it had been seen closed.
    if !Arc::ptr_eq(remote, peer) || (by == By::Guest && line.is_hypervisors()) {
        return Err(Errno::EINVAL);
    }
    let remote_port = *remote_port;
    pair.remote().rebind(remote_port, State::Unbound { remote: domain.id.raw() });
    free(hv, domain, &mut pair.local, port, line);
    Ok(())
}

/// Closes a port that is not connected.
#[inline]
fn close_alone(hv: &Hypervisor, domain: &Domain, ports: &mut Ports, port: u32, by: By) -> Result<(), Errno> {
    let line = domain.events.lines.get(port).ok_or(Errno::EINVAL)?;
    if by == By::Guest && line.is_hypervisors() {
        return Err(Errno::EINVAL);
    }
    match ports.get(port) {
        Some(State::Unbound { .. } | State::Ipi) => {}
        Some(State::Virq(virq)) => {
            let vcpu = if is_global(u32::from(*virq)) { 0 } else { usize::from(line.vcpu()) };
            if let Some(bound) = domain.vcpu(vcpu).and_then(|v| v.events.virqs.get(usize::from(*virq))) {
                bound.store(0, Ordering::Relaxed);
            }
        }
        Some(State::Free | State::Reserved | State::Interdomain { .. }) | None => return Err(Errno::EINVAL),
    }
    free(hv, domain, ports, port, line);
    Ok(())
}

/// Withdraws what is pending on a port of the guest, and frees it.
#[inline]
fn free(hv: &Hypervisor, domain: &Domain, ports: &mut Ports, port: u32, line: &Line) {
    if !line.is_hypervisors() {
        domain.events.clear_pending(hv, port);
    }
    line.reset(0);
    drop(ports.free(port));
}

/// EVTCHNOP_status: describes a port.
///
/// # Errors
/// EINVAL where the table does not reach, EACCES for the hypervisor's ports.
pub(super) fn status(domain: &Domain, port: u32, status: &mut EvtchnStatus) -> Result<(), Errno> {
    let ports = domain.events.ports.lock();
    let (Some(state), Some(line)) = (ports.get(port), domain.events.lines.get(port)) else {
        return Err(Errno::EINVAL);
    };
    if line.is_hypervisors() {
        return Err(Errno::EACCES);
    }
    status.status = match state {
        State::Free | State::Reserved => EVTCHNSTAT_closed,
        State::Unbound { remote } => {
            status.write_payload(&EvtchnStatusUnbound { dom: *remote });
            EVTCHNSTAT_unbound
        }
        State::Interdomain { remote, port } => {
            let peer = EvtchnStatusInterdomain { dom: remote.id.raw(), _gap0: 0, port: *port };
            status.write_payload(&peer);
            EVTCHNSTAT_interdomain
        }
        State::Virq(virq) => {
            status.write_payload(&u32::from(*virq));
            EVTCHNSTAT_virq
        }
        State::Ipi => EVTCHNSTAT_ipi,
    };
    status.vcpu = line.vcpu().into();
    Ok(())
}

/// EVTCHNOP_bind_vcpu: chooses the vCPU that a port notifies.
///
/// # Errors
/// ENOENT without that vCPU; EINVAL for a port that is closed, the hypervisor's, or belongs to a
/// vCPU.
pub(super) fn bind_vcpu(domain: &Domain, port: u32, vcpu: u32) -> Result<(), Errno> {
    domain.vcpu(vcpu as usize).ok_or(Errno::ENOENT)?;
    let ports = domain.events.ports.lock();
    let line = domain.events.guest_line(&ports, port).ok_or(Errno::EINVAL)?;
    match ports.get(port) {
        Some(State::Virq(virq)) if is_global(u32::from(*virq)) => {}
        Some(State::Unbound { .. } | State::Interdomain { .. }) => {}
        _ => return Err(Errno::EINVAL),
    }
    line.set_vcpu(vcpu as u16);
    Ok(())
}

/// EVTCHNOP_unmask: unmasks a port; one that is pending is delivered. Nothing happens to a closed
/// port.
///
/// # Errors
/// EINVAL where the table does not reach.
pub(super) fn unmask(hv: &Hypervisor, domain: &Domain, port: u32) -> Result<(), Errno> {
    let ports = domain.events.ports.lock();
    ports.get(port).ok_or(Errno::EINVAL)?;
    let line = domain.events.guest_line(&ports, port);
    let notice = line.and_then(|line| deliver::unmask(hv, domain, port, line));
    drop(ports);
    settle(hv, domain, port, notice);
    Ok(())
}

/// EVTCHNOP_set_priority: chooses the FIFO priority of a port's next events.
///
/// # Errors
/// EINVAL where the table does not reach and for a priority out of range, ENOSYS with the 2-level
/// interface, EACCES for a port that is closed or the hypervisor's.
pub(super) fn set_priority(domain: &Domain, port: u32, priority: u32) -> Result<(), Errno> {
    let ports = domain.events.ports.lock();
    ports.get(port).ok_or(Errno::EINVAL)?;
    if !domain.events.is_fifo() {
        return Err(Errno::ENOSYS);
    }
    let line = domain.events.guest_line(&ports, port).ok_or(Errno::EACCES)?;
    if priority > EVTCHN_FIFO_PRIORITY_MIN {
        return Err(Errno::EINVAL);
    }
    line.set_priority(priority as u8);
    Ok(())
}

/// The number that a `remote_dom` names: DOMID_SELF is the caller. It need not exist.
pub(super) fn named_domain(remote: u16, caller: Domid) -> u16 {
    if remote == xen_abi::xen::DOMID_SELF { caller.raw() } else { remote }
}
