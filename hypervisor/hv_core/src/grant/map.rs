//! Mapping and unmapping of grants.

use super::GrantError;
use super::maptrack::Mapping;
use super::peer::Peers;
use crate::Hypervisor;
use crate::domain::Domain;
use crate::hypercall::Call;
use crate::memory::{Fault, GuestWindow};
use core::mem::offset_of;
use hal::{Domid, Gaddr, Gfn};
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
    // A translated domain maps at its guest frames, and nothing for devices.
    if op.flags & !GNTMAP_readonly != GNTMAP_host_map {
        let nothing = op.flags & (GNTMAP_host_map | GNTMAP_device_map) == 0;
        return Err(GrantError(if nothing { GNTST_bad_gntref } else { GNTST_general_error }));
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
        owner.grants.table.lock().unpin(op.ref_, !read_only);
        domain.grants.maptrack.lock().release(handle);
        return Err(GrantError(GNTST_general_error));
    }
    let flags = (op.flags & GNTMAP_readonly) as u16;
    let mapping = Mapping { owner: owner.id, gref: op.ref_, flags, gfn, page };
    domain.grants.maptrack.lock().set(handle, mapping);
    op.dev_bus_addr = mfn.addr().0;
    op.handle = handle;
    Ok(())
}

/// GNTTABOP_unmap_grant_ref: ends the mapping that the operation at `at` names. Its status is written when no
/// translation of the page is left.
#[inline]
pub(super) fn unmap_one(
    call: &Call<'_>,
    peers: &mut Peers<'_>,
    window: &mut GuestWindow<'_>,
    at: u64,
) -> Result<(), Fault> {
    let op: GnttabUnmapGrantRef = window.read(at)?;
    let ended = call.domain.grants.maptrack.lock().end(op.handle, place(&op));
    let status = match ended {
        Ok(mapping) => {
            if let Some(mapping) = mapping {
                call.domain.remove_grant(call.hv, mapping.gfn, mapping.page.mfn());
                give_up(call.hv, peers, mapping);
            }
            GNTST_okay
        }
        Err(GrantError(status)) => status,
    };
    window.write_field(at, offset_of!(GnttabUnmapGrantRef, status), &status)
}

/// The same for the operations from `at` on, at most `left`: several mappings are ended together. Returns their number.
#[inline(never)]
pub(super) fn unmap_several(
    call: &Call<'_>,
    peers: &mut Peers<'_>,
    window: &mut GuestWindow<'_>,
    at: u64,
    left: u64,
) -> Result<u64, Fault> {
    const SIZE: u64 = size_of::<GnttabUnmapGrantRef>() as u64;
    let (mut ended, mut statuses) = (Ended::NONE, [GNTST_okay; TOGETHER]);
    let (mut read, mut next) = (0, Some(at));
    {
        let mut maptrack = call.domain.grants.maptrack.lock();
        for status in statuses.iter_mut().take(left.min(TOGETHER as u64) as usize) {
            let Some(Ok(op)) = next.map(|at| window.read::<GnttabUnmapGrantRef>(at)) else { break };
            match maptrack.end(op.handle, place(&op)) {
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

/// Where an operation says that the page is mapped.
#[inline]
fn place(op: &GnttabUnmapGrantRef) -> Option<Gfn> {
    (op.host_addr != 0).then(|| Gaddr(op.host_addr).frame())
}

/// Gives up the grant and the page of a mapping whose translations are gone.
#[inline(always)]
fn give_up(hv: &Hypervisor, peers: &mut Peers<'_>, mapping: Mapping) {
    if let Some(owner) = peers.get(mapping.owner) {
        owner.grants.table.lock().unpin(mapping.gref, !mapping.is_read_only());
    }
    mapping.page.release(hv);
}

/// Mappings that were taken out of the maptrack table, to be ended together.
pub(super) struct Ended {
    count: usize,
    mappings: [Option<Mapping>; TOGETHER],
}

impl Ended {
    /// No mapping.
    pub(super) const NONE: Self = Self { count: 0, mappings: [const { None }; TOGETHER] };

    /// Whether there is no room for another.
    pub(super) fn is_full(&self) -> bool {
        self.count == TOGETHER
    }

    /// Adds one, if there is one; the caller looks for room.
    #[inline]
    pub(super) fn add(&mut self, mapping: Option<Mapping>) {
        if let (Some(mapping), Some(slot)) = (mapping, self.mappings.get_mut(self.count)) {
            *slot = Some(mapping);
            self.count += 1;
        }
    }

    /// Takes the mappings, which `domain` made, out of its map, and then gives up the pages and the grants.
    pub(super) fn complete(&mut self, hv: &Hypervisor, domain: &Domain, peers: &mut Peers<'_>) {
        let mappings = self.mappings.get_mut(..self.count).unwrap_or_default();
        self.count = 0;
        domain.remove_grants(hv, mappings.iter().flatten().map(|m| (m.gfn, m.page.mfn())));
        for mapping in mappings.iter_mut().filter_map(Option::take) {
            give_up(hv, peers, mapping);
        }
    }
}
