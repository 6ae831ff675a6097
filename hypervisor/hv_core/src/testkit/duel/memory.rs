//! Acts upon memory.

use super::{Duel, MAX_PAGES, OTHERS, With};
use crate::testkit::words::{domid, gfn, order, peer};
use crate::testkit::{ARGS, GRANTS, GUEST_PAGES, GUEST_RAM, LISTS};
use alloc::vec::Vec;
use xen_abi::GuestHandle;
use xen_abi::memory::*;
use xen_abi::xen::*;
use zerocopy::FromZeros as _;

/// Guest frames from here on are for long lists.
const FAR: u64 = 0xa0000;

impl Duel {
    /// Issues an operation on extents; how many were done.
    pub(super) fn extents_of(&mut self, id: u16, domid: u16, cmd: u32, gfns: &[u64], order: u32) -> u64 {
        let extent_start = GuestHandle(self.list(id, 0, gfns));
        let nr_extents = gfns.len() as u64;
        let request = MemoryReservation {
            extent_start,
            nr_extents,
            extent_order: order,
            mem_flags: 0,
            domid,
            _gap0: [0; 3],
        };
        self.put(id, ARGS, &request);
        let done = self.call(id, __HYPERVISOR_memory_op, [cmd.into(), ARGS.0, 0, 0, 0]);
        done.and_then(Result::ok).unwrap_or(0)
    }

    pub(super) fn extents(&mut self, id: u16, with: With) {
        let [a, b, c, d, e, f, g, ..] = with;
        let domid = if g < 200 { DOMID_SELF } else { domid(e) };
        let order = order(d);
        let populate = f % 2 == 0;
        let cmd = if populate { XENMEM_populate_physmap } else { XENMEM_decrease_reservation };
        let gfns: Vec<u64> = match f % 16 {
            // Long enough for interrupts to come.
            0..2 => (0..64 + u64::from(a % 64)).map(|n| FAR + u64::from(b) * 64 + n).collect(),
            2..4 => [a, b, c].map(|n| gfn(n).0 & !((1 << order) - 1)).into(),
            // The arguments are not to go in the middle of the call.
            _ if order > 0 => [gfn(a).0].into(),
            _ => (0..f / 64).map(|n| self.pick_gfn(id, [a, b, c][usize::from(n)], d)).collect(),
        };
        let order = if gfns.len() > 3 { 0 } else { order };
        let gfns = if !populate && order > 0 { gfns[..gfns.len().min(1)].to_vec() } else { gfns };
        if self.extents_of(id, domid, cmd, &gfns, order) > 0 {
            self.note(match (populate, order) {
                (true, 9) => "block populated",
                (true, _) => "memory populated",
                (false, _) => "memory given back",
            });
        }
    }

    /// Puts a page that the hypervisor shares with the caller at a guest frame.
    pub(super) fn place_shared(&mut self, id: u16, space: u32, idx: u64, gpfn: u64) -> bool {
        let request = AddToPhysmap { domid: DOMID_SELF, size: 0, space, idx, gpfn };
        self.op(id, __HYPERVISOR_memory_op, XENMEM_add_to_physmap, &request)
    }

    pub(super) fn add_to_physmap(&mut self, id: u16, with: With) {
        let [a, b, c, d, e, f, ..] = with;
        let space = match a {
            0..120 => XENMAPSPACE_grant_table,
            120..240 => XENMAPSPACE_shared_info,
            _ => u32::from(b % 8),
        };
        let idx = if space == XENMAPSPACE_shared_info { u64::from(d == 0) } else { u64::from(d % 6) };
        let domid = if f < 200 { DOMID_SELF } else { domid(b) };
        let gpfn = if c < 200 { GRANTS.0 + 1 + u64::from(e % 6) } else { gfn(e).0 };
        let request = AddToPhysmap { domid, size: 0, space, idx, gpfn };
        if self.op(id, __HYPERVISOR_memory_op, XENMEM_add_to_physmap, &request) {
            self.note("shared page placed");
        }
    }

    pub(super) fn remove(&mut self, id: u16, with: With) {
        let [a, b, c, d, ..] = with;
        let gpfn = if d < 60 { self.pick_gfn(id, b, c) } else { gfn(b).0 };
        let request =
            RemoveFromPhysmap { domid: if a < 200 { DOMID_SELF } else { domid(a) }, _gap0: [0; 3], gpfn };
        if self.op(id, __HYPERVISOR_memory_op, XENMEM_remove_from_physmap, &request) {
            self.note("guest frame emptied");
        }
    }

    /// Pages of others, for the tools.
    pub(super) fn foreign(&mut self, id: u16, with: With) {
        let [a, b, c, d, e, f, g, h, ..] = with;
        let owner = OTHERS[usize::from(e % 2)];
        // Long lists let interrupts in.
        let count = if h < 20 { 80 } else { u64::from(f % 3) };
        let idxs: Vec<u64> = (0..count)
            .map(|n| if n < 2 { self.pick_gfn(owner, [a, b][n as usize], d) } else { 0x80000 + n % 24 })
            .collect();
        let gfns: Vec<u64> = (0..count).map(|n| 0x90000 + u64::from(c) + n).collect();
        let request = AddToPhysmapBatch {
            domid: if g < 240 { DOMID_SELF } else { domid(g) },
            space: if g < 220 { XENMAPSPACE_gmfn_foreign as u16 } else { u16::from(g % 6) },
            size: count as u16,
            u: if h < 230 { owner } else { domid(h) },
            idxs: GuestHandle(self.list(id, 0, &idxs)),
            gpfns: GuestHandle(self.list(id, 0x1000, &gfns)),
            errs: GuestHandle(LISTS.0 + 0x2000),
        };
        if self.op(id, __HYPERVISOR_memory_op, XENMEM_add_to_physmap_batch, &request) && count > 0 {
            let error = self.take::<i32>(id, LISTS.plus(0x2000));
            self.note(if error == Some(0) { "foreign page mapped" } else { "foreign page refused" });
        }
    }

    pub(super) fn acquire(&mut self, id: u16, with: With) {
        let [a, b, c, d, e, f, ..] = with;
        let mut request = MemAcquireResource::new_zeroed();
        request.domid = if a < 200 { peer(a) } else { domid(a) };
        request.type_ = XENMEM_resource_grant_table as u16;
        (request.frame, request.nr_frames) = (u64::from(b % 5), u32::from(c % 4));
        let gfns = [d, e, f].map(|n| 0x90000 + u64::from(n));
        request.frame_list = GuestHandle(if c < 250 { self.list(id, 0, &gfns) } else { 0 });
        if self.op(id, __HYPERVISOR_memory_op, XENMEM_acquire_resource, &request) {
            self.note("resource acquired");
        }
    }

    pub(super) fn query(&mut self, id: u16, with: With) {
        let [a, b, c, ..] = with;
        let cmd =
            [XENMEM_current_reservation, XENMEM_maximum_reservation, XENMEM_maximum_gpfn][usize::from(a % 3)];
        let domid = if c < 200 { peer(b) } else { domid(b) };
        self.op(id, __HYPERVISOR_memory_op, cmd, &MemoryDomain { domid });
    }

    /// Puts back what earlier acts took from the caller, so that later ones have any; sometimes in larger pieces.
    pub(super) fn repair(&mut self, id: u16, with: With) {
        let [a, b, ..] = with;
        let have = self.model.domain(id).map_or(Vec::new(), |domain| domain.memory(usize::MAX));
        let all = GUEST_RAM.0..GUEST_RAM.0 + GUEST_PAGES;
        let (places, missing): (Vec<u64>, Vec<u64>) =
            all.filter(|gfn| have.binary_search(gfn).is_err()).partition(|gfn| *gfn >= LISTS.frame().0);
        // Without a place for arguments a domain can do nothing about it.
        places.into_iter().for_each(|gfn| self.give(id, gfn));
        self.extents_of(id, DOMID_SELF, XENMEM_populate_physmap, &missing, 0);
        if a < 40 {
            self.extents_of(id, DOMID_SELF, XENMEM_populate_physmap, &[0x90000 + u64::from(b % 8) * 512], 9);
        }
        if have.len() as u64 > MAX_PAGES / 2 {
            let far: Vec<u64> = have.into_iter().filter(|gfn| *gfn >= 0x90000).take(200).collect();
            self.extents_of(id, DOMID_SELF, XENMEM_decrease_reservation, &far, 0);
        }
        self.map_grant_table(id);
    }

    /// Gives a domain a page past all calls.
    fn give(&mut self, id: u16, gfn: u64) {
        let there = self.model.populate(id, gfn, 0);
        let done = self.world.get(id).populate(self.world.hv, hal::Gfn(gfn), 0);
        assert_eq!(done, there, "d{id} is given {gfn:x}");
        self.look(false);
    }
}
