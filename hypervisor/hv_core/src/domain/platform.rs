//! What the core asks of the code that knows this kind of machine.

use super::guest_kind::GuestKind;
use super::state::{Domain, DomainConfig};
use crate::Hypervisor;
use alloc::boxed::Box;
use core::any::Any;
use xen_abi::Errno;

/// The machine-specific side of the hypervisor as a whole. One implementation is linked in.
pub trait Platform: Send + Sync {
    /// Makes the guest-kind state of a new domain from the ABI's arch_domainconfig.
    ///
    /// # Errors
    /// EINVAL for a configuration that cannot be had, ENOMEM.
    fn new_guest(
        &self,
        hv: &Hypervisor,
        config: &DomainConfig,
        arch: &[u8],
    ) -> Result<Box<dyn GuestKind>, Errno>;

    /// For the machine-specific code itself.
    fn as_any(&self) -> &dyn Any;

    /// Completes a new domain: maps what only this kind of machine gives it.
    ///
    /// # Errors
    /// ENOMEM.
    fn finish_guest(&self, hv: &Hypervisor, domain: &Domain) -> Result<(), Errno>;

    /// Checks the flags of XEN_DOMCTL_createdomain.
    ///
    /// # Errors
    /// EINVAL for a combination that this machine cannot have.
    fn check_create_flags(&self, flags: u32) -> Result<(), Errno>;

    /// The capability bits of XEN_SYSCTL_physinfo, without grant table versions.
    fn capabilities(&self) -> u32;

    /// The guest types that can be built, as XENVER_capabilities lists them.
    fn guest_types(&self) -> &'static str;

    /// Interrupts that there can be are numbered below this.
    fn irq_count(&self, hv: &Hypervisor) -> u32;

    /// A pCPU's kHz for XEN_SYSCTL_physinfo.
    fn cpu_khz(&self, hv: &Hypervisor) -> u32;

    /// Core and socket of a pCPU for XEN_SYSCTL_cputopoinfo.
    fn topology(&self, pcpu: usize) -> (u32, u32);

    /// XENFEAT bits of submap 0 that the kind of guest implies.
    fn features(&self, privileged: bool, direct_mapped: bool) -> u32;

    /// The PPI or vector for event channel upcalls of a new domain, as HVM_PARAM_CALLBACK_IRQ holds
    /// it.
    fn callback_irq(&self, privileged: bool) -> u64;
}
