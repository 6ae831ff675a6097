//! Channels whose local end is the hypervisor: a device that it emulates for a domain talks to the
//! device's backend through a port of that domain, which the domain itself can neither send on nor
//! close.

use super::channel::{self, By};
use super::deliver;
use super::table::State;
use crate::Hypervisor;
use crate::domain::Domain;
use alloc::sync::Arc;
use hal::Domid;
use xen_abi::Errno;

/// What an event on such a port calls, with the domain and the port. No lock is held.
pub type Consumer = fn(&Hypervisor, &Arc<Domain>, u32);

/// Makes a port of `domain` to which `remote` may bind; its events call `consumer`.
///
/// # Errors
/// EINVAL in a dying domain, ENOSPC without a free port, ENOMEM.
pub fn alloc_for_hypervisor(domain: &Domain, remote: Domid, consumer: Consumer) -> Result<u32, Errno> {
    let events = &domain.events;
    let mut ports = events.ports.lock();
    let port = events.free_port(domain, &mut ports)?;
    events.open(&mut ports, port, State::Unbound { remote: remote.raw() }, 0);
    if let Err(e) = ports.set_consumer(port, consumer) {
        ports.free(port);
        return Err(e);
    }
    if let Some(line) = events.lines.get(port) {
        line.set_hypervisors();
    }
    Ok(port)
}

/// Closes a port of [`alloc_for_hypervisor`]; the other end waits for a new peer.
pub fn close_for_hypervisor(hv: &Hypervisor, domain: &Domain, port: u32) {
    // A port that the domain's teardown has closed already is no error.
    let _ = channel::close_by(hv, domain, port, By::Hypervisor);
}

/// Signals the other end of a port of [`alloc_for_hypervisor`]; nothing happens while it has none.
pub fn notify_from_hypervisor(hv: &Hypervisor, domain: &Domain, port: u32) {
    let ports = domain.events.ports.lock();
    let Some(State::Interdomain { remote, port: remote_port }) = ports.get(port) else { return };
    let Some(line) = remote.events.lines.get(*remote_port) else { return };
    // Both ends cannot be the hypervisor's: only a guest binds to an unbound port.
    let Some(notice) = deliver::raise(hv, remote, *remote_port, line) else { return };
    let (remote, remote_port) = (Arc::clone(remote), *remote_port);
    drop(ports);
    deliver::notify(hv, &remote, remote_port, notice);
}
