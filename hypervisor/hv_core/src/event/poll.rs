//! SCHEDOP_poll: a vCPU waits for one of some ports to become pending, masked or not.

use super::DomainEvents;
use super::poll_word::Waits;
use crate::Hypervisor;
use crate::domain::{Domain, Vcpu};
use xen_abi::Errno;

impl DomainEvents {
    /// The calling vCPU, which has been marked as blocked, starts to wait. Until it has looked at
    /// its ports by [`poll_port`](Self::poll_port), any port of the domain ends the wait.
    pub fn poll_begin(&self, vcpu: &Vcpu) {
        vcpu.events.polling.begin(&self.pollers);
    }

    /// Whether there is nothing to wait for: `port` is pending, or the wait has been ended already.
    /// If it is the `only` port, no other ends the wait from now on.
    ///
    /// # Errors
    /// EINVAL for a port that the guest has not bound.
    pub fn poll_port(&self, hv: &Hypervisor, vcpu: &Vcpu, port: u32, only: bool) -> Result<bool, Errno> {
        Ok(self.is_port_pending(hv, port)? || !vcpu.events.polling.go_on(only.then_some(port)))
    }

    /// The wait is over: there was nothing to wait for, or the time is up.
    #[inline]
    pub fn poll_end(&self, vcpu: &Vcpu) {
        vcpu.events.polling.end(&self.pollers);
    }

    /// Wakes the vCPUs that wait for `port`, or all that poll. Those that something else woke are
    /// struck off.
    #[inline(never)]
    pub(super) fn wake_pollers(&self, hv: &Hypervisor, domain: &Domain, port: Option<u32>) {
        for vcpu in domain.vcpus() {
            match vcpu.events.polling.waits_for(port) {
                Waits::ForIt => {
                    self.poll_end(vcpu);
                    hv.kick(vcpu);
                }
                Waits::ForAnother if !vcpu.is_blocked() => self.poll_end(vcpu),
                Waits::ForAnother | Waits::No => {}
            }
        }
    }

    /// Whether the vCPU polls, for the debug key.
    pub(super) fn is_polling(vcpu: &Vcpu) -> bool {
        vcpu.events.polling.polls()
    }
}
