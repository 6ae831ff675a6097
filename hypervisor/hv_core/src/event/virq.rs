//! Virtual interrupts: what the hypervisor tells a domain (`xen.h`, VIRQ_*).
//!
//! Some belong to a vCPU. The others are global: a domain binds one of those for vCPU 0, and the
//! machine's own (a domain died, the console has input) go to one domain each, dom0 unless the
//! tools chose another. An interrupt that is not bound is lost.

use super::deliver;
use crate::Hypervisor;
use crate::domain::{Domain, Vcpu};
use core::sync::atomic::{AtomicU16, Ordering};
use hal::Domid;
use xen_abi::Errno;
use xen_abi::xen::{NR_VIRQS, virq_is_per_vcpu};

/// Whether a virtual interrupt is one per domain; those with a meaning per CPU are.
pub(super) fn is_global(virq: u32) -> bool {
    virq_is_per_vcpu(virq) != Some(true)
}

/// The domains that get the machine's virtual interrupts.
#[derive(Debug)]
pub struct VirqHandlers([AtomicU16; NR_VIRQS as usize]);

impl Default for VirqHandlers {
    /// All go to dom0.
    fn default() -> Self {
        Self([const { AtomicU16::new(Domid::DOM0.raw()) }; NR_VIRQS as usize])
    }
}

impl VirqHandlers {
    fn get(&self, virq: u32) -> Option<Domid> {
        Domid::new(self.0.get(virq as usize)?.load(Ordering::Relaxed))
    }

    /// XEN_DOMCTL_set_virq_handler: chooses the domain that gets a global virtual interrupt.
    ///
    /// # Errors
    /// EINVAL for one that does not exist or belongs to a vCPU.
    pub fn set(&self, virq: u32, domid: Domid) -> Result<(), Errno> {
        let slot = self.0.get(virq as usize).filter(|_| is_global(virq)).ok_or(Errno::EINVAL)?;
        slot.store(domid.raw(), Ordering::Relaxed);
        Ok(())
    }

    /// A domain goes: dom0 gets what it handled.
    pub(super) fn remove(&self, domid: Domid) {
        for slot in &self.0 {
            let _ =
                slot.compare_exchange(domid.raw(), Domid::DOM0.raw(), Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

impl Hypervisor {
    /// Raises a virtual interrupt of a vCPU.
    pub fn send_vcpu_virq(&self, domain: &Domain, vcpu: &Vcpu, virq: u32) {
        debug_assert!(!is_global(virq));
        self.raise_virq(domain, vcpu, virq);
    }

    /// Raises a global virtual interrupt in a domain.
    pub fn send_domain_virq(&self, domain: &Domain, virq: u32) {
        debug_assert!(is_global(virq));
        if let Some(vcpu) = domain.vcpu(0) {
            self.raise_virq(domain, vcpu, virq);
        }
    }

    /// Raises a global virtual interrupt of the machine, in the domain that handles it.
    pub fn send_global_virq(&self, virq: u32) {
        if let Some(domain) = self.virq_handlers.get(virq).and_then(|domid| self.domains.get(domid)) {
            self.send_domain_virq(&domain, virq);
        }
    }

    /// Raises what is bound to `virq` on `vcpu`.
    fn raise_virq(&self, domain: &Domain, vcpu: &Vcpu, virq: u32) {
        let Some(bound) = vcpu.events.virqs.get(virq as usize) else { return };
        // Most are not bound: look before taking the lock.
        if bound.load(Ordering::Relaxed) == 0 {
            return;
        }
        let ports = domain.events.ports.lock();
        let port = bound.load(Ordering::Relaxed);
        let line = domain.events.guest_line(&ports, port);
        let notice = line.and_then(|line| deliver::raise(self, domain, port, line));
        drop(ports);
        if let Some(notice) = notice {
            deliver::notify(self, domain, port, notice);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xen_abi::xen::{VIRQ_ARCH_0, VIRQ_CONSOLE, VIRQ_DEBUG, VIRQ_TIMER};

    #[test]
    fn arch_virqs_are_global_and_timers_are_not() {
        assert!(is_global(VIRQ_ARCH_0));
        assert!(is_global(VIRQ_CONSOLE));
        assert!(!is_global(VIRQ_TIMER));
    }

    #[test]
    fn handler_is_dom0_until_chosen_and_after_the_chosen_domain_goes() {
        let handlers = VirqHandlers::default();
        let other = Domid::new(5).unwrap();
        assert_eq!(handlers.get(VIRQ_CONSOLE), Some(Domid::DOM0));
        assert_eq!(handlers.set(VIRQ_CONSOLE, other), Ok(()));
        assert_eq!(handlers.get(VIRQ_CONSOLE), Some(other));
        handlers.remove(other);
        assert_eq!(handlers.get(VIRQ_CONSOLE), Some(Domid::DOM0));
    }

    #[test]
    fn handler_of_a_vcpus_or_unknown_virq_is_refused() {
        let handlers = VirqHandlers::default();
        assert_eq!(handlers.set(VIRQ_DEBUG, Domid::DOM0), Err(Errno::EINVAL));
        assert_eq!(handlers.set(NR_VIRQS, Domid::DOM0), Err(Errno::EINVAL));
    }
}
