//! Devices of the machine for a domain: registers and interrupts.
//!
//! Who gives must have: the caller's own rights are looked at first. Dom0 has those to the devices in
//! its device tree, and to those that the tree sets apart for guests.

use super::Done;
use crate::domain::Domain;
use crate::hypercall::Call;
use hal::{Gfn, Mfn, PAGE_SHIFT};
use xen_abi::Errno;
use xen_abi::domctl::{BindPtIrq, Domctl, IomemPermission, IrqPermission, MemoryMapping, PT_IRQ_TYPE_SPI};

/// Frames that one request maps at most, as in Xen.
const MAX_MAPPED: u64 = 64;
/// Bits of a physical address at most.
const PHYS_BITS: u32 = 48;

/// The last of `count` numbers from `first` on; `None` when there is none, or they wrap.
fn last(first: u64, count: u64) -> Option<u64> {
    first.checked_add(count.checked_sub(1)?)
}

/// XEN_DOMCTL_iomem_permission.
pub(super) fn iomem_permission(call: &Call<'_>, domain: &Domain, op: &Domctl) -> Result<Done, Errno> {
    let request: IomemPermission = op.read_payload();
    let first = request.first_mfn;
    let last = last(first, request.nr_mfns).ok_or(Errno::EINVAL)?;
    if !call.domain.access.lock().iomem.contains(first, last) {
        return Err(Errno::EPERM);
    }
    let mut access = domain.access.lock();
    if request.allow_access != 0 {
        access.iomem.insert(first, last)?;
    } else {
        access.iomem.remove(first, last)?;
    }
    Ok(Done::Plain)
}

/// XEN_DOMCTL_irq_permission.
pub(super) fn irq_permission(call: &Call<'_>, domain: &Domain, op: &Domctl) -> Result<Done, Errno> {
    let request: IrqPermission = op.read_payload();
    if request.pirq >= call.hv.platform.irq_count(call.hv) {
        return Err(Errno::EINVAL);
    }
    let irq = u64::from(request.pirq);
    if !call.domain.access.lock().irqs.contains(irq, irq) {
        return Err(Errno::EPERM);
    }
    let mut access = domain.access.lock();
    if request.allow_access != 0 {
        access.irqs.insert(irq, irq)?;
    } else {
        access.irqs.remove(irq, irq)?;
    }
    Ok(Done::Plain)
}

/// XEN_DOMCTL_memory_mapping: registers of a device in the domain's map, or out of it.
pub(super) fn memory_mapping(call: &Call<'_>, domain: &Domain, op: &Domctl) -> Result<Done, Errno> {
    let request: MemoryMapping = op.read_payload();
    let (gfn, mfn, count) = (request.first_gfn, request.first_mfn, request.nr_mfns);
    let (Some(last), Some(_)) = (last(mfn, count), last(gfn, count)) else { return Err(Errno::EINVAL) };
    if last >> (PHYS_BITS - PAGE_SHIFT) != 0 {
        return Err(Errno::EINVAL);
    }
    if count > MAX_MAPPED {
        return Err(Errno::E2BIG);
    }
    let may = |domain: &Domain| domain.access.lock().iomem.contains(mfn, last);
    if !may(call.domain) || !may(domain) {
        return Err(Errno::EPERM);
    }
    if request.add_mapping != 0 {
        domain.map_registers(call.hv, Gfn(gfn), Mfn(mfn), count)?;
    } else {
        domain.unmap_registers(call.hv, Gfn(gfn), Mfn(mfn), count)?;
    }
    Ok(Done::Plain)
}

/// The interrupt that a request binds: a shared one, under its own number.
fn spi(call: &Call<'_>, op: &Domctl) -> Result<u32, Errno> {
    let request: BindPtIrq = op.read_payload();
    if request.irq_type != PT_IRQ_TYPE_SPI {
        return Err(Errno::EOPNOTSUPP);
    }
    // The guest's number is the low half-word of the union.
    let irq = u32::from(request.u[0] as u16);
    if irq != request.machine_irq {
        return Err(Errno::EINVAL);
    }
    let may = call.domain.access.lock().irqs.contains(irq.into(), irq.into());
    if may { Ok(irq) } else { Err(Errno::EPERM) }
}

/// XEN_DOMCTL_bind_pt_irq: an interrupt of the machine becomes one of the domain's.
pub(super) fn bind_irq(call: &Call<'_>, domain: &Domain, op: &Domctl) -> Result<Done, Errno> {
    let irq = spi(call, op)?;
    // What the interrupt has become cannot be brought in step with a guest that runs.
    if domain.has_started() || domain.is_dying() {
        return Err(Errno::EBUSY);
    }
    domain.guest.bind_irq(call.hv, domain, irq)?;
    Ok(Done::Plain)
}

/// XEN_DOMCTL_unbind_pt_irq: an interrupt is the domain's until it dies, and then goes by itself.
pub(super) fn unbind_irq(call: &Call<'_>, domain: &Domain, op: &Domctl) -> Result<Done, Errno> {
    let irq = spi(call, op)?;
    Err(if domain.guest.has_irq(call.hv, domain, irq) { Errno::EBUSY } else { Errno::EINVAL })
}
