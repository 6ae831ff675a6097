//! Grants: entries for one another, and maps, unmaps and copies that mostly fit them.

use super::Fuzzer;
use crate::domain::Domain;
use crate::testkit::words::{gfn, peer};
use crate::testkit::{ARGS, GRANTS, GUEST_PAGES, GUEST_RAM, LISTS, World};
use alloc::sync::Arc;
use alloc::vec::Vec;
use hal::{Domid, Gfn};
use xen_abi::grant_table::*;
use xen_abi::memory::{AddToPhysmap, XENMAPSPACE_grant_table, XENMEM_add_to_physmap};
use xen_abi::xen::{__HYPERVISOR_grant_table_op, __HYPERVISOR_memory_op, DOMID_SELF};
use zerocopy::FromZeros;

/// How many entries of its table each domain uses.
const ENTRIES: u32 = 8;

impl Fuzzer {
    /// Writes an entry.
    pub(super) fn grant(&self, caller: &Domain, with: [u8; 8]) {
        let [a, b, c, d, e, ..] = with;
        let flags = match b {
            0..120 => GTF_permit_access,
            120..200 => GTF_permit_access | GTF_readonly,
            200..220 => 0,
            _ => u16::from(a),
        };
        let frame = if d < 200 { GUEST_RAM.plus(u64::from(d) % 24) } else { gfn(a) };
        let entry = GrantEntryV1 { flags, domid: peer(c), frame: frame.0 as u32 };
        self.put(caller, World::grant_at(u32::from(e) % ENTRIES), &entry);
    }

    /// Puts back what earlier acts took from the caller's memory, so that later ones have any.
    pub(super) fn repair(&self, caller: &Arc<Domain>) {
        for page in (0..24).chain(GUEST_PAGES - 9..GUEST_PAGES) {
            let _ = caller.populate(self.world.hv, GUEST_RAM.plus(page), 0);
        }
        let table = AddToPhysmap {
            domid: DOMID_SELF,
            size: 0,
            space: XENMAPSPACE_grant_table,
            idx: 0,
            gpfn: GRANTS.0,
        };
        self.op(caller, __HYPERVISOR_memory_op, XENMEM_add_to_physmap, &table);
    }

    /// The entries of other domains that are for the caller.
    fn granted(&self, caller: &Domain) -> Vec<(u16, u32)> {
        let mut found = Vec::new();
        for owner in 0..3 {
            let Some(owner) = Domid::new(owner).and_then(|id| self.world.hv.domains.get(id)) else {
                continue;
            };
            for gref in 0..ENTRIES {
                let mut entry = GrantEntryV1::new_zeroed();
                if !owner.is_dying()
                    && self.read(&owner, World::grant_at(gref), &mut entry)
                    && entry.domid == caller.id.raw()
                    && entry.flags & GTF_permit_access != 0
                {
                    found.push((owner.id.raw(), gref));
                }
            }
        }
        found
    }

    /// One of the entries for the caller, or any.
    fn pick(&self, caller: &Domain, n: u8) -> (u16, u32) {
        let granted = self.granted(caller);
        match granted.get(usize::from(n) % granted.len().max(1)).filter(|_| n > 10) {
            Some(entry) => *entry,
            None => (peer(n), u32::from(n) % ENTRIES),
        }
    }

    /// The result of an operation on one element, if it can be read.
    fn status<T: FromZeros + zerocopy::IntoBytes + zerocopy::FromBytes>(&self, caller: &Domain) -> Option<T> {
        let mut done = T::new_zeroed();
        self.read(caller, ARGS, &mut done).then_some(done)
    }

    /// Maps a grant.
    pub(super) fn map(&mut self, caller: &Arc<Domain>, with: [u8; 8]) {
        let [a, b, c, d, e, f, ..] = with;
        let mut map = GnttabMapGrantRef::new_zeroed();
        let odd = if f == 0 { u32::from(e) } else { 0 };
        map.flags = GNTMAP_host_map | if c % 2 == 0 { GNTMAP_readonly } else { 0 } | odd;
        (map.dom, map.ref_) = self.pick(caller, b);
        let place = if d < 200 { Gfn(0x90000 + u64::from(a)) } else { gfn(a) };
        // What is mapped at address 0 cannot be unmapped: there, that means no address.
        map.host_addr = if place == Gfn(0) { LISTS.0 } else { place.addr().0 };
        if self.op(caller, __HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, &map)
            && self.status::<GnttabMapGrantRef>(caller).is_some_and(|done| done.status == GNTST_okay)
        {
            self.note("grant mapped");
        }
    }

    /// Unmaps one of the mappings, mostly at its place.
    pub(super) fn unmap(&mut self, caller: &Arc<Domain>, with: [u8; 8]) {
        let [a, b, c, d, ..] = with;
        let mappings = caller.grants.inspect(usize::MAX).mappings;
        let mut unmap = GnttabUnmapGrantRef::new_zeroed();
        (unmap.handle, unmap.host_addr) = (u32::from(b), gfn(c).addr().0);
        if let Some(m) = mappings.get(usize::from(a) % mappings.len().max(1)).filter(|_| d > 20) {
            (unmap.handle, unmap.host_addr) = (m.handle, m.gfn.addr().0);
        }
        if self.op(caller, __HYPERVISOR_grant_table_op, GNTTABOP_unmap_grant_ref, &unmap)
            && self.status::<GnttabUnmapGrantRef>(caller).is_some_and(|done| done.status == GNTST_okay)
        {
            self.note("grant unmapped");
        }
    }

    /// Copies by grants and frames.
    pub(super) fn copy(&mut self, caller: &Arc<Domain>, with: [u8; 8]) {
        let [a, b, c, d, e, f, ..] = with;
        let mut copy = GnttabCopy::new_zeroed();
        copy.flags = u16::from(a % 4);
        copy.len = if b < 240 { u16::from(b) * 8 } else { u16::from(b) * 17 };
        let grant = self.pick(caller, e);
        for (side, flag, n) in [(&mut copy.source, 1, c), (&mut copy.dest, 2, d)] {
            let frame = if n < 200 { GUEST_RAM.plus(u64::from(n) % 24) } else { gfn(n) };
            (side.domid, side.u) =
                if a & flag != 0 { (grant.0, grant.1.into()) } else { (DOMID_SELF, frame.0) };
            side.offset = u16::from(f) * 8;
        }
        if self.op(caller, __HYPERVISOR_grant_table_op, GNTTABOP_copy, &copy)
            && self.status::<GnttabCopy>(caller).is_some_and(|done| done.status == GNTST_okay)
        {
            self.note(if copy.flags == 0 { "copy of frames" } else { "copy by grant" });
        }
    }
}
