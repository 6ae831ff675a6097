//! What a guest, or the tools for it, ask about nodes and about memory that devices need.

use crate::hypercall::{Call, DONE, Outcome};
use crate::memory::GuestBytes;
use alloc::vec::Vec;
use hal::Gfn;
use xen_abi::memory::*;
use xen_abi::{Errno, GuestHandle};

/// XENMEM_get_vnumainfo.
pub(super) fn vnuma_info(call: &Call<'_>, arg: u64) -> Outcome {
    let guest = call.guest();
    let mut request: VnumaTopologyInfo = guest.read(arg)?;
    if request.pad != 0 {
        return Err(Errno::EINVAL);
    }
    let domain = call.managed_domain(request.domid)?;
    let vcpus = domain.max_vcpus as u32;
    let (distances, ranges, of_vcpus) = {
        let slot = domain.vnuma.lock();
        let vnuma = slot.as_ref().ok_or(Errno::EOPNOTSUPP)?;
        let (nodes, ranges) = (vnuma.nodes, vnuma.ranges.len() as u32);
        let short = request.nr_vnodes < nodes || request.nr_vcpus < vcpus || request.nr_vmemranges < ranges;
        (request.nr_vnodes, request.nr_vcpus, request.nr_vmemranges) = (nodes, vcpus, ranges);
        if short {
            drop(slot);
            guest.write(arg, &request)?;
            return Err(Errno::ENOBUFS);
        }
        (copy(&vnuma.distances)?, copy(&vnuma.ranges)?, copy(&vnuma.vcpus)?)
    };
    write_list(call, request.vmemrange, &ranges)?;
    write_list(call, request.vdistance, &distances)?;
    write_list(call, request.vcpu_to_vnode, &of_vcpus)?;
    guest.write(arg, &request)?;
    DONE
}

fn copy<T: Copy>(list: &[T]) -> Result<Vec<T>, Errno> {
    let mut own = Vec::new();
    own.try_reserve_exact(list.len()).map_err(|_| Errno::ENOMEM)?;
    own.extend_from_slice(list);
    Ok(own)
}

fn write_list<T: GuestBytes>(call: &Call<'_>, at: GuestHandle, list: &[T]) -> Result<(), Errno> {
    for (i, item) in (0..).zip(list) {
        call.guest().write_element(at.0, i, item)?;
    }
    Ok(())
}

/// XENMEM_reserved_device_memory_map: without an IOMMU no memory is reserved for devices.
pub(super) fn reserved_for_devices(call: &Call<'_>, arg: u64) -> Outcome {
    let mut request: ReservedDeviceMemoryMap = call.guest().read(arg)?;
    if request.flags & !XENMEM_RDM_ALL != 0 {
        return Err(Errno::EINVAL);
    }
    request.nr_entries = 0;
    call.guest().write(arg, &request)?;
    DONE
}

/// XENMEM_exchange: the pages of a translated domain do not change owner. What is wrong with the
/// request is said first.
pub(super) fn exchange(call: &Call<'_>, arg: u64) -> Outcome {
    let guest = call.guest();
    let request: MemoryExchange = guest.read(arg)?;
    let (input, output) = (&request.input, &request.output);
    let (given, wanted) = (input.extent_order, output.extent_order);
    let most = if call.domain.privileged { PRIVILEGED_MAX_ORDER } else { MAX_ORDER };
    if given.max(wanted) > most {
        return Err(Errno::EPERM);
    }
    let pages = |list: &MemoryReservation| list.nr_extents.checked_mul(1 << list.extent_order);
    let matches = pages(input).is_some_and(|n| pages(output) == Some(n));
    if request.nr_exchanged > input.nr_extents || input.domid != output.domid || !matches {
        return Err(Errno::EINVAL);
    }
    if request.nr_exchanged == input.nr_extents {
        return DONE;
    }
    let domain = call.managed_domain(input.domid)?;
    // Whole chunks are exchanged: as many given extents as make one that is wanted.
    let chunk = wanted.saturating_sub(given);
    let first = request.nr_exchanged >> chunk << chunk;
    if first >> chunk == input.nr_extents >> chunk {
        return DONE;
    }
    let gfn: u64 = guest.read_element(input.extent_start.0, first)?;
    domain.lookup(call.hv, Gfn(gfn)).ok_or(Errno::EINVAL)?;
    Err(Errno::EOPNOTSUPP)
}

/// log2 of the pages that a domain may name at once (memop-max-order).
const MAX_ORDER: u32 = 9;
/// The same of dom0.
const PRIVILEGED_MAX_ORDER: u32 = 10;
