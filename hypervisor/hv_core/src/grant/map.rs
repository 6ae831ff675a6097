//! Mapping and unmapping of grants.

use super::GrantError;
use super::maptrack::Mapping;
use crate::Hypervisor;
use crate::domain::Domain;
use crate::hypercall::Call;
use hal::Gaddr;
use xen_abi::Errno;
use xen_abi::grant_table::*;

/// GNTTABOP_map_grant_ref: maps one grant and fills in handle, bus address and status.
#[inline]
pub(super) fn map(call: &Call<'_>, op: &mut GnttabMapGrantRef) {
    op.status = match try_map(call, op) {
        Ok(()) => GNTST_okay,
        Err(GrantError(status)) => status,
    };
}

#[inline]
fn try_map(call: &Call<'_>, op: &mut GnttabMapGrantRef) -> Result<(), GrantError> {
    let (hv, domain) = (call.hv, call.domain);
    let general = GrantError(GNTST_general_error);
    if op.flags & (GNTMAP_host_map | GNTMAP_device_map) == 0
        || op.flags & (GNTMAP_application_map | GNTMAP_contains_pte) != 0
    {
        return Err(general);
    }
    let read_only = op.flags & GNTMAP_readonly != 0;
    let host = op.flags & GNTMAP_host_map != 0;
    let addr = Gaddr(op.host_addr);
    if host && addr.page_offset() != 0 {
        return Err(general);
    }
    let owner = call.any_domain(op.dom).map_err(|_| GrantError(GNTST_bad_domain))?;
    let handle = domain.grants.maptrack.lock().reserve()?;
    let pinned = owner.grants.table.lock().pin(hv, &owner, op.ref_, domain.id, !read_only);
    let page = match pinned {
        Ok(page) => page.keep(),
        Err(e) => {
            domain.grants.maptrack.lock().release(handle);
            return Err(e);
        }
    };
    let mfn = page.mfn();
    if host && let Err(e) = domain.place_grant(hv, addr.frame(), mfn, read_only) {
        page.release(hv);
        owner.grants.table.lock().unpin(hv, op.ref_, !read_only);
        domain.grants.maptrack.lock().release(handle);
        return Err(if e == Errno::ENOMEM { GrantError(GNTST_no_device_space) } else { general });
    }
    let mapping = Mapping {
        owner: owner.id,
        gref: op.ref_,
        read_only,
        gfn: host.then(|| addr.frame()),
        device: op.flags & GNTMAP_device_map != 0,
        page,
    };
    domain.grants.maptrack.lock().set(handle, mapping);
    op.dev_bus_addr = mfn.addr().0;
    op.handle = handle;
    Ok(())
}

/// GNTTABOP_unmap_grant_ref: ends the sides of a mapping that the addresses name.
#[inline]
pub(super) fn unmap(call: &Call<'_>, op: &mut GnttabUnmapGrantRef) {
    op.status = match try_unmap(call, op) {
        Ok(()) => GNTST_okay,
        Err(GrantError(status)) => status,
    };
}

#[inline]
fn try_unmap(call: &Call<'_>, op: &GnttabUnmapGrantRef) -> Result<(), GrantError> {
    let host = match op.host_addr {
        0 => None,
        addr if Gaddr(addr).page_offset() == 0 => Some(Gaddr(addr).frame()),
        _ => return Err(GrantError(GNTST_bad_virt_addr)),
    };
    let ended = call.domain.grants.maptrack.lock().end(op.handle, host, op.dev_bus_addr != 0)?;
    if let Some((gfn, mfn)) = ended.unmap {
        call.domain.remove_grant(call.hv, gfn, mfn);
    }
    if let Some(mapping) = ended.mapping {
        give_up(call.hv, mapping);
    }
    Ok(())
}

/// Ends a mapping of a dying domain, both sides.
pub(super) fn end_mapping(hv: &Hypervisor, domain: &Domain, mapping: Mapping) {
    if let Some(gfn) = mapping.gfn {
        domain.remove_grant(hv, gfn, mapping.page.mfn());
    }
    give_up(hv, mapping);
}

/// Releases the page and the grant of a mapping that is mapped nowhere any more.
#[inline]
fn give_up(hv: &Hypervisor, mapping: Mapping) {
    let Mapping { owner, gref, read_only, page, .. } = mapping;
    if let Some(owner) = hv.domains.get(owner) {
        owner.grants.table.lock().unpin(hv, gref, !read_only);
    }
    page.release(hv);
}
