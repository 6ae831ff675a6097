//! Acts with grants.

use super::{Duel, With};
use crate::testkit::words::{domid, gfn, peer};
use crate::testkit::{ARGS, LISTS, World};
use alloc::vec::Vec;
use hal::Gaddr;
use xen_abi::Plain;
use xen_abi::grant_table::*;
use xen_abi::xen::{__HYPERVISOR_grant_table_op, DOMID_SELF};
use zerocopy::FromZeros as _;

/// Entries of its table that each domain uses.
const ENTRIES: u32 = 8;

impl Duel {
    /// Issues an operation with a list; what the core made of the first element.
    fn grant_list<T: Plain>(&mut self, id: u16, cmd: u32, ops: &[T]) -> Option<T> {
        let list = self.list(id, 0, ops);
        self.call(id, __HYPERVISOR_grant_table_op, [cmd.into(), list, ops.len() as u64, 0, 0])?.ok()?;
        self.take(id, Gaddr(list))
    }

    /// The caller writes an entry.
    pub(super) fn grant(&mut self, id: u16, with: With) {
        let [a, b, c, d, e, ..] = with;
        let flags = match b {
            0..120 => GTF_permit_access,
            120..190 => GTF_permit_access | GTF_readonly,
            190..210 => 0,
            _ => u16::from(a) | u16::from(c) << 8,
        };
        let frame = if d < 220 { self.pick_gfn(id, d, 0) } else { gfn(a).0 };
        let entry = GrantEntryV1 { flags, domid: peer(c), frame: frame as u32 };
        self.put(id, World::grant_at(u32::from(e) % ENTRIES), &entry);
    }

    /// An entry that is for the caller, or any.
    fn pick(&mut self, id: u16, n: u8) -> (u16, u32) {
        let mut granted = Vec::new();
        for owner in 0..3 {
            for gref in 0..ENTRIES {
                let mut entry = GrantEntryV1::new_zeroed();
                let bytes = zerocopy::IntoBytes::as_mut_bytes(&mut entry);
                if self.model.guest_load(owner, World::grant_at(gref).0, bytes)
                    && entry.domid == id
                    && entry.flags & GTF_permit_access != 0
                {
                    granted.push((owner, gref));
                }
            }
        }
        match granted.get(usize::from(n) % granted.len().max(1)).filter(|_| n > 10) {
            Some(entry) => *entry,
            None => (
                if n > 2 { peer(n) } else { domid(n * 80) },
                [u32::from(n), 511, 512, u32::MAX][usize::from(n) % 4],
            ),
        }
    }

    pub(super) fn map(&mut self, id: u16, with: With) {
        let [a, b, c, d, e, f, g, ..] = with;
        // More than a batch lets interrupts in.
        let count = if g < 40 { 33 + u64::from(g) } else { u64::from(g % 3) };
        let (dom, ref_) = self.pick(id, b);
        let map = |n: u64| {
            let mut map = GnttabMapGrantRef::new_zeroed();
            let odd = if f < 8 { u32::from(e) } else { 0 };
            map.flags = (GNTMAP_host_map | if c % 2 == 0 { GNTMAP_readonly } else { 0 }) ^ odd;
            (map.dom, map.ref_) = (dom, ref_);
            let place = if d < 220 { 0x91000 + u64::from(a) + n } else { gfn(a).0.wrapping_add(n) };
            // What is mapped at address 0 cannot be unmapped: there, that means no address.
            map.host_addr = if place << 12 == 0 { LISTS.0 } else { place << 12 | u64::from(e) };
            map
        };
        let ops: Vec<_> = (0..count).map(map).collect();
        if self.grant_list(id, GNTTABOP_map_grant_ref, &ops).is_some_and(|op| op.status == GNTST_okay)
            && count > 0
        {
            self.note(if count > 32 { "many grants mapped" } else { "grant mapped" });
        }
    }

    pub(super) fn unmap(&mut self, id: u16, with: With) {
        let [a, b, c, d, e, ..] = with;
        let handles = self.model.domain(id).map_or(Vec::new(), |domain| domain.handles());
        let count = if e < 40 { 40 } else { usize::from(e % 4) };
        let unmap = |n: usize| {
            let mut op = GnttabUnmapGrantRef::new_zeroed();
            let known = handles.get((usize::from(a) + n) % handles.len().max(1)).filter(|_| d > 20);
            (op.handle, op.host_addr) = match known {
                Some((handle, gfn)) => (*handle, if d < 40 { 0 } else { *gfn << 12 }),
                None => (u32::from(b), gfn(c).0 << 12),
            };
            op
        };
        let ops: Vec<_> = (0..count).map(unmap).collect();
        let first = self.grant_list(id, GNTTABOP_unmap_grant_ref, &ops);
        if count > 0 && first.is_some_and(|op| op.status == GNTST_okay) {
            self.note("grant unmapped");
        }
    }

    pub(super) fn copy(&mut self, id: u16, with: With) {
        let [a, b, c, d, e, f, g, ..] = with;
        let grant = self.pick(id, e);
        let mut op = GnttabCopy::new_zeroed();
        op.flags = u16::from(a % 4);
        op.len = if b < 240 { u16::from(b) * 8 } else { u16::from(b) * 17 };
        for (side, flag, n) in [(&mut op.source, 1, c), (&mut op.dest, 2, d)] {
            let frame = self.pick_gfn(id, n, f);
            (side.domid, side.u) =
                if a & flag != 0 { (grant.0, grant.1.into()) } else { (DOMID_SELF, frame) };
            side.offset = u16::from(f) * 8;
        }
        if a > 250 {
            op.source.domid = peer(a);
        }
        let ops = alloc::vec![op; if g < 30 { 34 } else { usize::from(g % 3) }];
        if self.grant_list(id, GNTTABOP_copy, &ops).is_some_and(|op| op.status == GNTST_okay)
            && !ops.is_empty()
        {
            self.note(if op.flags == 0 { "copy of frames" } else { "copy by grant" });
        }
    }

    pub(super) fn other_grant_op(&mut self, id: u16, with: With) {
        let [a, b, c, ..] = with;
        let (x, y) = (u32::from(b % 10), u32::from(c % 10));
        match a % 8 {
            0..4 => {
                let x = if b > 250 { 600 } else { x };
                let op = GnttabSwapGrantRef { ref_a: x, ref_b: y, status: 0, _gap0: 0 };
                if self
                    .grant_list(id, GNTTABOP_swap_grant_ref, &[op])
                    .is_some_and(|op| op.status == GNTST_okay)
                {
                    self.note("grants swapped");
                }
            }
            4 => {
                let mut op = GnttabQuerySize::new_zeroed();
                op.dom = domid(b);
                self.op(id, __HYPERVISOR_grant_table_op, GNTTABOP_query_size, &op);
            }
            5 => {
                let op = GnttabGetVersion { dom: domid(b), pad: 0, version: 9 };
                self.op(id, __HYPERVISOR_grant_table_op, GNTTABOP_get_version, &op);
            }
            6 if b > 128 => {
                let mut op = GnttabSetupTable::new_zeroed();
                (op.dom, op.nr_frames) = (domid(c), u32::from(b % 6));
                op.frame_list = xen_abi::GuestHandle(LISTS.0 + 64);
                self.op(id, __HYPERVISOR_grant_table_op, GNTTABOP_setup_table, &op);
            }
            6 => {
                let op = GnttabSetVersion { version: u32::from(b % 4) };
                self.op(id, __HYPERVISOR_grant_table_op, GNTTABOP_set_version, &op);
            }
            _ => {
                let cmd = if b % 2 == 0 { GNTTABOP_transfer } else { GNTTABOP_unmap_and_replace };
                self.put(id, ARGS, &[0x55u8; 64]);
                self.call(id, __HYPERVISOR_grant_table_op, [cmd.into(), ARGS.0, u64::from(c % 3), 0, 0]);
            }
        }
    }
}
