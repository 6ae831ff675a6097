//! Mapping and unmapping of grants.

use super::GrantError;
use super::maptrack::Mapping;
use super::peer::Peers;
use crate::Hypervisor;
use crate::domain::Domain;
use crate::hypercall::Call;
use crate::memory::{Fault, GuestWindow};
use core::mem::offset_of;
use hal::{Domid, Gaddr};
use xen_abi::grant_table::*;

/// Mappings that are ended with one flush of the TLBs.
pub(super) const TOGETHER: usize = 16;

/// GNTTABOP_map_grant_ref: maps one grant and fills in handle, bus address and status.
#[inline]
pub(super) fn map(call: &Call<'_>, peers: &mut Peers<'_>, op: &mut GnttabMapGrantRef) {
    op.status = match try_map(call, peers, op) {
        Ok(()) => GNTST_okay,
        Err(GrantError(status)) => status,
    };
}

#[inline]
fn try_map(call: &Call<'_>, peers: &mut Peers<'_>, op: &mut GnttabMapGrantRef) -> Result<(), GrantError> {
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
    let owner = Domid::new(op.dom).and_then(|id| peers.get(id)).ok_or(GrantError(GNTST_bad_domain))?;
    let handle = domain.grants.maptrack.lock().reserve()?;
    let pinned = owner.grants.table.lock().pin(hv, owner, op.ref_, domain.id, !read_only);
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

/// GNTTABOP_unmap_grant_ref: ends the mappings that the operations from `at` on name, at most `left` and `N`;
/// returns their number. Each status is written when no translation of the page is left.
#[inline]
pub(super) fn unmap<const N: usize>(
    call: &Call<'_>,
    peers: &mut Peers<'_>,
    window: &mut GuestWindow<'_>,
    at: u64,
    left: u64,
) -> Result<u64, Fault> {
    const SIZE: u64 = size_of::<GnttabUnmapGrantRef>() as u64;
    let (mut ended, mut statuses) = (Ended::<N>::NONE, [GNTST_okay; N]);
    let (mut read, mut next) = (0, Some(at));
    {
        let mut maptrack = call.domain.grants.maptrack.lock();
        for status in statuses.iter_mut().take(left.min(N as u64) as usize) {
            let Some(Ok(op)) = next.map(|at| window.read::<GnttabUnmapGrantRef>(at)) else { break };
            let named = (op.host_addr != 0).then(|| Gaddr(op.host_addr).frame());
            match maptrack.end(op.handle, named) {
                Ok(mapping) => ended.add(mapping),
                Err(GrantError(e)) => *status = e,
            }
            read += 1;
            next = next.and_then(|at| at.checked_add(SIZE));
        }
    }
    ended.complete(call.hv, call.domain, peers);
    let field = offset_of!(GnttabUnmapGrantRef, status);
    for (n, status) in (0..read).zip(&statuses) {
        window.write_field(at + n * SIZE, field, status)?;
    }
    // The first that cannot be read is the call's end, when it comes to it.
    if read == 0 { Err(Fault) } else { Ok(read) }
}

/// Mappings that were taken out of the maptrack table, to be ended together.
pub(super) struct Ended<const N: usize> {
    count: usize,
    mappings: [Option<Mapping>; N],
}

impl<const N: usize> Ended<N> {
    /// No mapping.
    pub(super) const NONE: Self = Self { count: 0, mappings: [const { None }; N] };

    /// Adds one, if there is one; the caller counts to `N`.
    #[inline]
    pub(super) fn add(&mut self, mapping: Option<Mapping>) {
        if let (Some(mapping), Some(slot)) = (mapping, self.mappings.get_mut(self.count)) {
            *slot = Some(mapping);
            self.count += 1;
        }
    }

    /// Takes the mappings, which `domain` made, out of its map, and then gives up the pages and the grants.
    #[inline]
    pub(super) fn complete(&mut self, hv: &Hypervisor, domain: &Domain, peers: &mut Peers<'_>) {
        let mappings = self.mappings.get_mut(..self.count).unwrap_or_default();
        self.count = 0;
        domain.remove_grants::<N>(hv, mappings.iter().flatten().map(|m| (m.gfn, m.page.mfn())));
        for mapping in mappings {
            let Some(Mapping { owner, gref, read_only, page, .. }) = mapping.take() else { continue };
            if let Some(owner) = peers.get(owner) {
                owner.grants.table.lock().unpin(hv, gref, !read_only);
            }
            page.release(hv);
        }
    }
}
