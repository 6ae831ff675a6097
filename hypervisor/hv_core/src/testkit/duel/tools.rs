//! Acts of the tools, and domains that are made anew.

use super::{Duel, MAX_PAGES, With};
use crate::testkit::words::{domid, peer};
use crate::testkit::{ARGS, GUEST_PAGES, GUEST_RAM, LISTS, World};
use alloc::vec::Vec;
use xen_abi::domctl::v4_17::arm64::CreateDomain;
use xen_abi::domctl::*;
use xen_abi::hvm::hvm_op::{HVMOP_get_param, HVMOP_set_param, HvmParam};
use xen_abi::memory::XENMEM_populate_physmap;
use xen_abi::xen::*;
use xen_abi::{Errno, GuestHandle, Plain};
use zerocopy::FromZeros;

impl Duel {
    fn domctl<T: Plain>(
        &mut self,
        id: u16,
        cmd: u32,
        domain: u16,
        payload: &T,
    ) -> Option<Result<u64, Errno>> {
        let mut op = Domctl::new_zeroed();
        (op.cmd, op.interface_version, op.domain) = (cmd, XEN_DOMCTL_INTERFACE_VERSION, domain);
        op.write_payload(payload);
        self.put(id, ARGS, &op);
        self.call_whole(id, __HYPERVISOR_domctl, [ARGS.0, 0, 0, 0, 0])
    }

    pub(super) fn tools(&mut self, id: u16, with: With) {
        let [a, b, c, d, e, ..] = with;
        // Mostly by whom it is for.
        let id = if e < 230 && self.caller(0).is_some() { 0 } else { id };
        let target = if d < 240 { 1 + u16::from(b % 2) } else { domid(d) };
        let (cmd, what) = match a % 16 {
            0 if e < 90 => (XEN_DOMCTL_destroydomain, "domain destroyed"),
            0..3 => (XEN_DOMCTL_pausedomain, "domain paused"),
            3 | 4 => (XEN_DOMCTL_unpausedomain, "domain unpaused"),
            5 => (XEN_DOMCTL_resumedomain, "domain resumed"),
            6 => {
                // More than the machine can give to all would make the allocator's state matter.
                let pages = [u64::from(c), MAX_PAGES, MAX_PAGES, MAX_PAGES][usize::from(e % 4)];
                self.domctl(id, XEN_DOMCTL_max_mem, target, &MaxMem { max_memkb: pages * 4 });
                return;
            }
            7..10 => {
                let size = PagingMempool { size: u64::from(c % 80) << 12 | u64::from(d == 7) };
                // The pool of dom0 has no size.
                let target = if target == 0 || target == DOMID_SELF { 1 } else { target };
                match self.domctl(id, XEN_DOMCTL_set_paging_mempool_size, target, &size) {
                    Some(Ok(_)) => self.note("table pool set"),
                    Some(Err(Errno::EBUSY)) => self.note("table pool in use"),
                    _ => {}
                }
                return;
            }
            10 => {
                self.create(id, if c < 200 { target } else { 3 + u16::from(c % 2) }, c);
                return;
            }
            11 => {
                let max = MaxVcpus { max: u32::from(c % 4) };
                self.domctl(id, XEN_DOMCTL_max_vcpus, target, &max);
                return;
            }
            12 | 13 => {
                let context = VcpuContext { vcpu: u32::from(c % 3), _gap0: 0, ctxt: GuestHandle(0) };
                if self.domctl(id, XEN_DOMCTL_setvcpucontext, target, &context) == Some(Ok(0)) {
                    self.note("vCPU reset");
                }
                return;
            }
            14 => {
                self.domctl(
                    id,
                    XEN_DOMCTL_set_virq_handler,
                    target,
                    &SetVirqHandler { virq: u32::from(c % 26) },
                );
                return;
            }
            _ => {
                let mut op = Domctl::new_zeroed();
                (op.cmd, op.interface_version, op.domain) =
                    (XEN_DOMCTL_pausedomain, XEN_DOMCTL_INTERFACE_VERSION + u32::from(c % 2), target);
                self.put(id, ARGS, &op);
                self.call_whole(id, __HYPERVISOR_domctl, [ARGS.0, 0, 0, 0, 0]);
                return;
            }
        };
        if self.domctl(id, cmd, target, &0u64) == Some(Ok(0)) {
            self.note(what);
        }
    }

    /// Creates a domain without memory or vCPUs.
    fn create(&mut self, id: u16, wanted: u16, n: u8) -> bool {
        let mut common = World::config();
        common.max_vcpus = if n == 255 { 0 } else { 2 };
        common.max_grant_frames = if n % 16 == 1 { 65 } else { 4 };
        common.max_maptrack_frames = i32::from(n % 3);
        common.max_evtchn_port = if n % 8 == 3 { 20 } else { 1023 };
        let whole = CreateDomain { common, arch: FromZeros::new_zeroed() };
        let made = self.domctl(id, XEN_DOMCTL_createdomain, wanted, &whole) == Some(Ok(0));
        if made {
            self.note("domain created");
        }
        made
    }

    /// Makes a domain that is gone anew, as the tools do; of one that cannot go, makes others let go of its pages.
    pub(super) fn revive(&mut self, id: u16, with: With) {
        if self.caller(0).is_none() || id == 0 {
            return;
        }
        let [a, b, c, ..] = with;
        if self.model.domain(id).is_some_and(|domain| domain.dying) {
            for other in
                (0..3).filter(|other| *other != id && self.caller(*other).is_some()).collect::<Vec<_>>()
            {
                self.let_go(other);
            }
            return;
        }
        if self.model.domain(id).is_none() && !self.create(0, id, c) {
            return;
        }
        self.domctl(0, XEN_DOMCTL_max_mem, id, &MaxMem { max_memkb: MAX_PAGES * 4 });
        self.domctl(
            0,
            XEN_DOMCTL_set_paging_mempool_size,
            id,
            &PagingMempool { size: (3 + u64::from(a % 32)) << 12 },
        );
        let gfns: Vec<u64> = (0..GUEST_PAGES).map(|page| GUEST_RAM.0 + page).collect();
        self.extents_of(0, id, XENMEM_populate_physmap, &gfns, 0);
        if b > 20 {
            self.domctl(0, XEN_DOMCTL_max_vcpus, id, &MaxVcpus { max: 2 });
        }
        if self.caller(id).is_some() {
            self.domctl(0, XEN_DOMCTL_unpausedomain, id, &0u64);
            self.map_grant_table(id);
            self.note("domain revived");
        }
    }

    /// A domain unmaps and empties what it has of others.
    fn let_go(&mut self, id: u16) {
        use xen_abi::grant_table::{GNTTABOP_unmap_grant_ref, GnttabUnmapGrantRef};
        use xen_abi::memory::{RemoveFromPhysmap, XENMEM_remove_from_physmap};
        self.repair(id, [255; super::ACT - 2]);
        for (handle, gfn) in self.model.domain(id).map_or(Vec::new(), |domain| domain.handles()) {
            let mut op = GnttabUnmapGrantRef::new_zeroed();
            (op.handle, op.host_addr) = (handle, gfn << 12);
            self.op(id, __HYPERVISOR_grant_table_op, GNTTABOP_unmap_grant_ref, &op);
        }
        let mapped = self.model.domain(id).map_or(Vec::new(), |domain| domain.mapped());
        for (gpfn, _) in mapped.into_iter().filter(|(_, kind)| *kind == hv_spec::Kind::Foreign) {
            let op = RemoveFromPhysmap { domid: DOMID_SELF, _gap0: [0; 3], gpfn };
            self.op(id, __HYPERVISOR_memory_op, XENMEM_remove_from_physmap, &op);
        }
        self.note("a dead domain's pages let go");
    }

    /// Parameters of guests.
    pub(super) fn param(&mut self, id: u16, with: With) {
        let [a, b, c, d, ..] = with;
        let cmd = [HVMOP_get_param, HVMOP_set_param, 77][usize::from(d % 5 / 2)];
        let op = HvmParam {
            domid: if a < 200 { peer(a) } else { domid(a) },
            pad: 0,
            index: u32::from(b % 40),
            value: LISTS.0 + u64::from(c),
        };
        if self.op(id, __HYPERVISOR_hvm_op, cmd, &op) {
            self.note("parameter");
        }
    }
}
