//! SCHEDOP_poll: a vCPU waits for one of some ports to become pending, masked or not.
//!
//! The vCPU marks itself as blocked and as polling and then looks at the ports; who makes a port
//! pending sets the bit and then looks for pollers. So one of both sees the other.

use super::DomainEvents;
use crate::Hypervisor;
use crate::domain::{Domain, Vcpu};
use core::sync::atomic::{Ordering, fence};
use xen_abi::Errno;

/// [`VcpuEvents::polling`](super::VcpuEvents): the vCPU does not poll.
const NONE: u32 = 0;
/// Any port ends the wait. No port has this number.
const ANY: u32 = u32::MAX;

impl DomainEvents {
    /// The calling vCPU, which has been marked as blocked, starts to wait. Until it has looked at
    /// its ports by [`poll_port`](Self::poll_port), any port of the domain ends the wait.
    pub fn poll_begin(&self, vcpu: &Vcpu) {
        self.poll_end(vcpu);
        self.pollers.fetch_add(1, Ordering::SeqCst);
        vcpu.events.polling.store(ANY, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// Whether there is nothing to wait for: `port` is pending, or the wait has been ended already.
    /// If it is the `only` port, no other ends the wait from now on.
    ///
    /// # Errors
    /// EINVAL for a port that the guest has not bound.
    pub fn poll_port(&self, hv: &Hypervisor, vcpu: &Vcpu, port: u32, only: bool) -> Result<bool, Errno> {
        if self.is_port_pending(hv, port)? {
            return Ok(true);
        }
        let next = if only { port } else { ANY };
        Ok(vcpu.events.polling.compare_exchange(ANY, next, Ordering::SeqCst, Ordering::SeqCst).is_err())
    }

    /// The wait is over: there was nothing to wait for, or the time is up.
    #[inline]
    pub fn poll_end(&self, vcpu: &Vcpu) {
        let polling = &vcpu.events.polling;
        if polling.load(Ordering::Relaxed) != NONE && polling.swap(NONE, Ordering::SeqCst) != NONE {
            self.pollers.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Wakes the vCPUs that wait for `port`, or all that poll. Those that something else woke are
    /// struck off.
    #[inline(never)]
    pub(super) fn wake_pollers(&self, hv: &Hypervisor, domain: &Domain, port: Option<u32>) {
        for vcpu in domain.vcpus() {
            let waits = vcpu.events.polling.load(Ordering::SeqCst);
            if waits == NONE {
                continue;
            }
            if waits == ANY || port.is_none_or(|p| p == waits) {
                self.poll_end(vcpu);
                hv.kick(vcpu);
            } else if !vcpu.is_blocked() {
                self.poll_end(vcpu);
            }
        }
    }

    /// Whether the vCPU polls, for the debug key.
    pub(super) fn is_polling(vcpu: &Vcpu) -> bool {
        vcpu.events.polling.load(Ordering::Relaxed) != NONE
    }
}
