//! Closing all of a domain's ports: for a reset, and for good.

use super::channel::{By, close, close_by};
use super::{DomainEvents, NO_FRAME};
use crate::Hypervisor;
use crate::domain::Domain;
use core::sync::atomic::Ordering;
use xen_abi::Errno;

/// Ports that one call of EVTCHNOP_reset looks at.
const RESET_STEP: u32 = 128;

/// EVTCHNOP_reset: closes the guest's ports and goes back to the 2-level interface, a step a call:
/// false when there is more, and the caller comes back with `resuming`.
///
/// # Errors
/// EBUSY when a reset is under way (or, resuming, when none is), EAGAIN when ports were opened
/// meanwhile.
pub(crate) fn reset(hv: &Hypervisor, domain: &Domain, resuming: bool) -> Result<bool, Errno> {
    let events = &domain.events;
    let first = {
        let mut ports = events.ports.lock();
        match (resuming, ports.reset_at) {
            (false, 0) => {
                ports.reset_at = 1;
                1
            }
            (false, _) | (true, 0) => return Err(Errno::EBUSY),
            (true, at) => at,
        }
    };
    let end = first.saturating_add(RESET_STEP);
    for port in first..end {
        let ports = events.ports.lock();
        let (open, done) =
            (events.guest_line(&ports, port).is_some(), port >= ports.len() || ports.guest_open == 0);
        drop(ports);
        if done {
            return finish(hv, events).map(|()| true);
        }
        if open {
            // Who closes it first does not matter.
            let _ = close(hv, domain, port);
        }
    }
    events.ports.lock().reset_at = end;
    Ok(false)
}

fn finish(hv: &Hypervisor, events: &DomainEvents) -> Result<(), Errno> {
    let mut ports = events.ports.lock();
    ports.reset_at = 0;
    if ports.guest_open != 0 {
        return Err(Errno::EAGAIN);
    }
    events.leave_fifo(hv);
    Ok(())
}

impl DomainEvents {
    /// Closes all ports of a dying domain and then gives back its pages; closes at most about
    /// `budget` ports a call. True when all is done.
    pub fn teardown(&self, hv: &Hypervisor, domain: &Domain, budget: u64) -> bool {
        let mut left = budget;
        loop {
            let last = self.ports.lock().shrink_to_open(&mut left);
            match last {
                Some(_) if left == 0 => return false,
                Some(port) => {
                    left = left.saturating_sub(1);
                    // Who closes it first does not matter.
                    let _ = close_by(hv, domain, port, By::Hypervisor);
                }
                None if self.ports.lock().len() != 0 => return false,
                None => break,
            }
        }
        hv.virq_handlers.remove(domain.id);
        self.leave_fifo(hv);
        for vcpu in domain.vcpus() {
            vcpu.events.release(hv);
        }
        let page = self.ports.lock().shared.take();
        if let Some(page) = page {
            self.shared.store(NO_FRAME, Ordering::Release);
            page.release(hv);
        }
        true
    }
}
