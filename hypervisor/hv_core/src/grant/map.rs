//! Mapping and unmapping of grants.

use super::GrantError;
use super::maptrack::Mapping;
use crate::Hypervisor;
use crate::domain::Domain;
use crate::hypercall::Call;
use hal::Gaddr;
use xen_abi::grant_table::*;
use xen_abi::xen::DOMID_SELF;

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
    if op.flags & (GNTMAP_host_map | GNTMAP_device_map) == 0 {
        return Err(GrantError(GNTST_bad_gntref));
    }
    // A translated domain maps at its guest frames, and nothing for devices.
    if op.flags & !GNTMAP_readonly != GNTMAP_host_map {
        return Err(GrantError(GNTST_general_error));
    }
    let read_only = op.flags & GNTMAP_readonly != 0;
    let gfn = Gaddr(op.host_addr).frame();
    let owner = call.any_domain(op.dom).ok().filter(|_| op.dom != DOMID_SELF);
    let owner = owner.ok_or(GrantError(GNTST_bad_domain))?;
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
    if domain.place_grant(hv, gfn, mfn, read_only).is_err() {
        page.release(hv);
        owner.grants.table.lock().unpin(hv, op.ref_, !read_only);
        domain.grants.maptrack.lock().release(handle);
        return Err(GrantError(GNTST_general_error));
    }
    let mapping = Mapping { owner: owner.id, gref: op.ref_, read_only, gfn, page };
    domain.grants.maptrack.lock().set(handle, mapping);
    op.dev_bus_addr = mfn.addr().0;
    op.handle = handle;
    Ok(())
}

/// GNTTABOP_unmap_grant_ref: ends a mapping, if its address is named.
#[inline]
pub(super) fn unmap(call: &Call<'_>, op: &mut GnttabUnmapGrantRef) {
    op.status = match try_unmap(call, op) {
        Ok(()) => GNTST_okay,
        Err(GrantError(status)) => status,
    };
}

#[inline]
fn try_unmap(call: &Call<'_>, op: &GnttabUnmapGrantRef) -> Result<(), GrantError> {
    let named = (op.host_addr != 0).then(|| Gaddr(op.host_addr).frame());
    let ended = call.domain.grants.maptrack.lock().end(op.handle, named)?;
    if let Some(mapping) = ended {
        end_mapping(call.hv, call.domain, mapping);
    }
    Ok(())
}

/// Takes a mapping that `domain` made out of its map, and then gives up the page and the grant.
#[inline]
pub(super) fn end_mapping(hv: &Hypervisor, domain: &Domain, mapping: Mapping) {
    let Mapping { owner, gref, read_only, gfn, page } = mapping;
    domain.remove_grants(hv, [(gfn, page.mfn())]);
    if let Some(owner) = hv.domains.get(owner) {
        owner.grants.table.lock().unpin(hv, gref, !read_only);
    }
    page.release(hv);
}
