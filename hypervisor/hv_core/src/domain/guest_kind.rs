//! What one kind of guest has beyond what all have.

use super::state::Domain;
use super::vcpu::Vcpu;
use crate::{Current, Hypervisor};
use core::any::Any;
use hal::{Domid, Gfn};
use machine::{Context, Regs};
use xen_abi::Errno;

/// The side of a domain that depends on the CPU it sees: interrupt controller, timers, power
/// calls. The crate for a guest kind implements it and reaches its own state by a downcast from
/// [`Any`].
///
/// No method blocks or calls back into the core while it holds a lock of its own.
pub trait GuestKind: Any + Send + Sync {
    /// Serves what the guest on this pCPU trapped for, the common hypercall excepted. Called by the
    /// trap entry; `cause` is what the CPU gives as the reason.
    fn trapped(&self, hv: &Hypervisor, current: &Current, regs: &mut Regs, cause: u64);

    /// Serves an interrupt of this pCPU's that serves the guest on it: of its timer, or of what the
    /// hardware does for its interrupts. Called by the interrupt entry.
    fn interrupted(&self, hv: &Hypervisor, current: &Current, irq: u32);

    /// Raises or drops the event channel upcall line of a vCPU. True when the vCPU has to look: the
    /// caller wakes it, or makes it leave the guest.
    fn set_upcall(&self, vcpu: usize, level: bool) -> bool;

    /// Whether an interrupt waits that the vCPU, which is loaded on this pCPU, would take.
    fn has_interrupt(&self, hv: &Hypervisor, domain: &Domain, vcpu: &Vcpu) -> bool;

    /// The registers of a vCPU that never ran.
    fn reset_context(&self, vcpu: usize, context: &mut Context);

    /// Loads the ABI's vcpu_guest_context (`bytes`, of [`context_size`](Self::context_size) bytes)
    /// into the registers; true when its flags ask for the vCPU to be brought up.
    ///
    /// # Errors
    /// EINVAL for a state that the guest kind cannot have.
    fn set_context(&self, vcpu: usize, bytes: &[u8], context: &mut Context) -> Result<bool, Errno>;

    /// Writes the registers as the ABI's vcpu_guest_context.
    fn get_context(&self, vcpu: usize, context: &Context, online: bool, bytes: &mut [u8]);

    /// The size of the ABI's vcpu_guest_context.
    fn context_size(&self) -> usize;

    /// Writes the ABI's arch_domainconfig as the domain got it.
    fn write_config(&self, bytes: &mut [u8]);

    /// Checks a value for HVM_PARAM_CALLBACK_IRQ and the like before it is stored.
    ///
    /// # Errors
    /// EINVAL for a value that the guest kind cannot honour.
    fn check_param(&self, index: u32, value: u64) -> Result<(), Errno>;

    /// The vCPU stops running on this pCPU: arranges timers for what it waits for.
    fn switched_out(&self, hv: &Hypervisor, domain: &Domain, vcpu: &Vcpu, context: &mut Context);

    /// The vCPU is about to run on this pCPU.
    fn switching_in(&self, hv: &Hypervisor, vcpu: &Vcpu, context: &mut Context);

    /// The last thing before the vCPU, which is loaded on this pCPU, enters the guest.
    fn before_entry(&self, hv: &Hypervisor, domain: &Domain, vcpu: &Vcpu);

    /// A timer that the guest kind started for the vCPU has expired. True when the vCPU has to look.
    fn timer_expired(&self, hv: &Hypervisor, vcpu: &Vcpu) -> bool;

    /// The vCPU went down (PSCI CPU_OFF, VCPUOP_down) or comes up: per-vCPU state starts afresh.
    fn vcpu_reset(&self, hv: &Hypervisor, domain: &Domain, vcpu: usize);

    /// XEN_DOMCTL_vuart_op: makes the guest's serial port, with its ring in the page at `gfn`. Returns
    /// the event channel port for the console daemon in `backend`.
    ///
    /// # Errors
    /// EOPNOTSUPP for a guest kind without one, EINVAL for a second one or a bad page.
    fn create_vuart(&self, hv: &Hypervisor, domain: &Domain, gfn: Gfn, backend: Domid) -> Result<u32, Errno> {
        let _ = (hv, domain, gfn, backend);
        Err(Errno::EOPNOTSUPP)
    }

    /// XEN_DOMCTL_bind_pt_irq: makes a shared interrupt of the machine one of the domain's, under the same
    /// number, until [`release`](Self::release). The domain has not run yet.
    ///
    /// # Errors
    /// EBUSY when it is somebody's, EINVAL for what is no shared interrupt; EOPNOTSUPP for a guest kind
    /// that gets none.
    fn bind_irq(&self, hv: &Hypervisor, domain: &Domain, irq: u32) -> Result<(), Errno> {
        let _ = (hv, domain, irq);
        Err(Errno::EOPNOTSUPP)
    }

    /// Whether an interrupt is bound to the domain.
    fn has_irq(&self, hv: &Hypervisor, domain: &Domain, irq: u32) -> bool {
        let _ = (hv, domain, irq);
        false
    }

    /// Gives up what the domain, whose number is `domid`, holds of the machine, and its pages that it
    /// keeps.
    fn release(&self, hv: &Hypervisor, domid: Domid);

    /// Writes state for a debug key.
    fn dump(&self, vcpu: usize, out: &mut dyn core::fmt::Write) -> core::fmt::Result;
}
