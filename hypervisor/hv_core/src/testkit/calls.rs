//! For tests: hypercalls as the guests and the tools issue them.

use super::{ARGS, GUEST_PAGES, GUEST_RAM, World};
use crate::domain::Domain;
use alloc::sync::Arc;
use alloc::vec::Vec;
use hal::{Gaddr, Gfn};
use xen_abi::domctl::v4_17::arm64::CreateDomain;
use xen_abi::domctl::v4_17::{
    CreateDomainCommon, GetDomainInfoCommon, XEN_DOMCTL_CDF_hap, XEN_DOMCTL_CDF_hvm,
};
use xen_abi::domctl::{
    Domctl, XEN_DOMCTL_INTERFACE_VERSION, XEN_DOMCTL_createdomain, XEN_DOMCTL_destroydomain,
    XEN_DOMCTL_getdomaininfo,
};
use xen_abi::grant_table::*;
use xen_abi::memory::*;
use xen_abi::sysctl::{Sysctl, XEN_SYSCTL_INTERFACE_VERSION};
use xen_abi::xen::*;
use xen_abi::{Errno, GuestHandle, Plain};
use zerocopy::{FromZeros, Immutable, IntoBytes};

/// Where lists go that structures in [`ARGS`] point to: eight pages of a test domain.
pub const LISTS: Gaddr = Gfn(GUEST_RAM.0 + GUEST_PAGES - 9).addr();
/// Where [`World::map_grants`] maps a domain's first page of grant entries.
pub const GRANTS: Gfn = Gfn(0x200);

/// An operation of memory_op that counts what it did.
#[derive(Clone, Copy)]
pub enum Extents {
    /// XENMEM_populate_physmap.
    Populate,
    /// XENMEM_decrease_reservation.
    Decrease,
}

impl World {
    /// Writes a list to [`LISTS`], from `offset` on; returns its handle.
    pub fn list<T: IntoBytes + Immutable>(&self, domain: &Domain, offset: u64, items: &[T]) -> GuestHandle {
        let at = LISTS.plus(offset);
        for (n, item) in items.iter().enumerate() {
            self.put(domain, at.plus((n * size_of::<T>()) as u64), item);
        }
        GuestHandle(at.0)
    }

    /// Issues a memory_op with a structure.
    pub fn memory_op<T: Plain>(&self, caller: &Arc<Domain>, cmd: u32, arg: &T) -> Result<u64, Errno> {
        self.put(caller, ARGS, arg);
        self.call(caller, __HYPERVISOR_memory_op.into(), [cmd.into(), ARGS.0, 0, 0, 0])
    }

    /// Populates extents, or gives them back; returns how many were done.
    pub fn extents(
        &self,
        caller: &Arc<Domain>,
        domid: u16,
        what: Extents,
        gfns: &[u64],
        order: u32,
    ) -> Result<u64, Errno> {
        let request = MemoryReservation {
            extent_start: self.list(caller, 0, gfns),
            nr_extents: gfns.len() as u64,
            extent_order: order,
            mem_flags: 0,
            domid,
            _gap0: [0; 3],
        };
        let cmd = match what {
            Extents::Populate => XENMEM_populate_physmap,
            Extents::Decrease => XENMEM_decrease_reservation,
        };
        self.memory_op(caller, cmd, &request)
    }

    /// Populates one extent of the caller's own.
    pub fn populate(&self, domain: &Arc<Domain>, gfn: u64, order: u32) -> bool {
        self.extents(domain, DOMID_SELF, Extents::Populate, &[gfn], order) == Ok(1)
    }

    /// Gives back one extent of the caller's own.
    pub fn decrease(&self, domain: &Arc<Domain>, gfn: u64, order: u32) -> bool {
        self.extents(domain, DOMID_SELF, Extents::Decrease, &[gfn], order) == Ok(1)
    }

    /// XENMEM_add_to_physmap.
    pub fn add_to_physmap(
        &self,
        caller: &Arc<Domain>,
        domid: u16,
        space: u32,
        idx: u64,
        gfn: Gfn,
    ) -> Result<(), Errno> {
        let request = AddToPhysmap { domid, size: 0, space, idx, gpfn: gfn.0 };
        self.memory_op(caller, XENMEM_add_to_physmap, &request).map(drop)
    }

    /// XENMEM_add_to_physmap_batch into the caller: the result, and the error of each entry.
    pub fn batch(
        &self,
        caller: &Arc<Domain>,
        space: u32,
        foreign: u16,
        pairs: &[(u64, Gfn)],
    ) -> (Result<(), Errno>, Vec<i32>) {
        let idxs: Vec<u64> = pairs.iter().map(|p| p.0).collect();
        let gfns: Vec<u64> = pairs.iter().map(|p| p.1.0).collect();
        let request = AddToPhysmapBatch {
            domid: DOMID_SELF,
            space: space as u16,
            size: pairs.len() as u16,
            u: foreign,
            idxs: self.list(caller, 0, &idxs),
            gpfns: self.list(caller, 0x2000, &gfns),
            errs: self.list(caller, 0x4000, &pairs.iter().map(|_| 77i32).collect::<Vec<_>>()),
        };
        let result = self.memory_op(caller, XENMEM_add_to_physmap_batch, &request).map(drop);
        let errors = (0..pairs.len()).map(|n| self.take(caller, LISTS.plus(0x4000 + 4 * n as u64))).collect();
        (result, errors)
    }

    /// Maps one page of another domain into the caller; the error of the entry.
    pub fn map_foreign(&self, caller: &Arc<Domain>, owner: u16, theirs: Gfn, at: Gfn) -> i32 {
        let (result, errors) = self.batch(caller, XENMAPSPACE_gmfn_foreign, owner, &[(theirs.0, at)]);
        assert_eq!(result, Ok(()));
        errors[0]
    }

    /// XENMEM_remove_from_physmap of the caller's own.
    pub fn remove(&self, caller: &Arc<Domain>, gfn: Gfn) -> Result<(), Errno> {
        let request = RemoveFromPhysmap { domid: DOMID_SELF, _gap0: [0; 3], gpfn: gfn.0 };
        self.memory_op(caller, XENMEM_remove_from_physmap, &request).map(drop)
    }

    /// XENMEM_acquire_resource of grant frames of `owner`.
    pub fn acquire(&self, caller: &Arc<Domain>, owner: u16, frame: u64, gfns: &[u64]) -> Result<(), Errno> {
        let mut request = MemAcquireResource::new_zeroed();
        request.domid = owner;
        request.type_ = XENMEM_resource_grant_table as u16;
        request.nr_frames = gfns.len() as u32;
        request.frame = frame;
        request.frame_list = self.list(caller, 0, gfns);
        self.memory_op(caller, XENMEM_acquire_resource, &request).map(drop)
    }

    /// Issues a domctl; the payload as the hypervisor left it.
    pub fn domctl<T: Plain>(
        &self,
        caller: &Arc<Domain>,
        cmd: u32,
        domid: u16,
        payload: &T,
    ) -> Result<T, Errno> {
        self.domctl_op(caller, cmd, domid, payload).map(|op| op.read_payload())
    }

    /// Issues a domctl; the whole structure as the hypervisor left it.
    pub fn domctl_op<T: Plain>(
        &self,
        caller: &Arc<Domain>,
        cmd: u32,
        domid: u16,
        payload: &T,
    ) -> Result<Domctl, Errno> {
        let mut op = Domctl::new_zeroed();
        op.cmd = cmd;
        op.interface_version = XEN_DOMCTL_INTERFACE_VERSION;
        op.domain = domid;
        op.write_payload(payload);
        self.put(caller, ARGS, &op);
        self.call(caller, __HYPERVISOR_domctl.into(), [ARGS.0, 0, 0, 0, 0])?;
        Ok(self.take(caller, ARGS))
    }

    /// Issues a sysctl; the payload as the hypervisor left it.
    pub fn sysctl<T: Plain>(&self, caller: &Arc<Domain>, cmd: u32, payload: &T) -> Result<T, Errno> {
        let mut op = Sysctl::new_zeroed();
        op.cmd = cmd;
        op.interface_version = XEN_SYSCTL_INTERFACE_VERSION;
        op.write_payload(payload);
        self.put(caller, ARGS, &op);
        self.call(caller, __HYPERVISOR_sysctl.into(), [ARGS.0, 0, 0, 0, 0])?;
        Ok(self.take::<Sysctl>(caller, ARGS).read_payload())
    }

    /// A configuration that a domain can be created with.
    pub fn config() -> CreateDomainCommon {
        let mut config = CreateDomainCommon::new_zeroed();
        (config.flags, config.max_vcpus, config.grant_opts) = (XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap, 2, 1);
        (config.max_evtchn_port, config.max_grant_frames, config.max_maptrack_frames) = (1023, -1, -1);
        config
    }

    /// XEN_DOMCTL_createdomain: the new number.
    pub fn create(&self, domid: u16, config: CreateDomainCommon) -> Result<u16, Errno> {
        let whole = CreateDomain { common: config, arch: FromZeros::new_zeroed() };
        self.domctl_op(&self.get(0), XEN_DOMCTL_createdomain, domid, &whole).map(|op| op.domain)
    }

    /// What XEN_DOMCTL_getdomaininfo tells dom0.
    pub fn info(&self, domid: u16) -> Result<GetDomainInfoCommon, Errno> {
        let nothing = GetDomainInfoCommon::new_zeroed();
        self.domctl(&self.get(0), XEN_DOMCTL_getdomaininfo, domid, &nothing)
    }

    /// Destroys a domain by domctl; it may stay until pages of it are let go.
    pub fn kill(&self, domid: u16) -> Result<(), Errno> {
        self.domctl(&self.get(0), XEN_DOMCTL_destroydomain, domid, &0u64).map(drop)
    }

    /// Makes a domain map its first page of grant entries, at [`GRANTS`].
    pub fn map_grants(&self, domain: &Arc<Domain>) {
        self.add_to_physmap(domain, DOMID_SELF, XENMAPSPACE_grant_table, 0, GRANTS).unwrap();
    }

    /// Where an entry stands in the page of [`World::map_grants`].
    pub fn grant_at(gref: u32) -> Gaddr {
        GRANTS.addr().plus(u64::from(gref) * size_of::<GrantEntryV1>() as u64)
    }

    /// Makes a grant entry as the granting guest does.
    pub fn grant(&self, domain: &Domain, gref: u32, flags: u16, to: u16, frame: Gfn) {
        self.put(domain, Self::grant_at(gref), &GrantEntryV1 { flags, domid: to, frame: frame.0 as u32 });
    }

    /// The flags of a grant entry.
    pub fn grant_flags(&self, domain: &Domain, gref: u32) -> u16 {
        self.take(domain, Self::grant_at(gref))
    }

    /// Issues a grant_table_op with one element.
    pub fn grant_op<T: Plain>(&self, caller: &Arc<Domain>, cmd: u32, arg: &T) -> Result<T, Errno> {
        self.op(caller, __HYPERVISOR_grant_table_op.into(), cmd, arg)
    }

    /// Maps a grant; the operation as the hypervisor left it.
    pub fn map(&self, caller: &Arc<Domain>, owner: u16, gref: u32, flags: u32, at: Gfn) -> GnttabMapGrantRef {
        let mut op = GnttabMapGrantRef::new_zeroed();
        (op.host_addr, op.flags, op.ref_, op.dom) = (at.addr().0, flags, gref, owner);
        self.grant_op(caller, GNTTABOP_map_grant_ref, &op).unwrap()
    }

    /// Maps a grant for reading and writing; its handle.
    pub fn map_ok(&self, caller: &Arc<Domain>, owner: u16, gref: u32, at: Gfn) -> u32 {
        let op = self.map(caller, owner, gref, GNTMAP_host_map, at);
        assert_eq!(op.status, GNTST_okay);
        op.handle
    }

    /// Unmaps a grant; the status.
    pub fn unmap(&self, caller: &Arc<Domain>, handle: u32, at: Gfn) -> i16 {
        let mut op = GnttabUnmapGrantRef::new_zeroed();
        (op.host_addr, op.handle) = (at.addr().0, handle);
        self.grant_op(caller, GNTTABOP_unmap_grant_ref, &op).unwrap().status
    }
}
