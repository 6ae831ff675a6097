//! `memory.h`: reservations, the physical map, resources.

use crate::GuestHandle;
use crate::physdev::PhysdevPciDevice;

abi_consts! { CONSTS, Both;
    /// Adds pages; a PV guest learns their machine frames.
    pub const XENMEM_increase_reservation: u32 = 0;
    /// Gives pages back.
    pub const XENMEM_decrease_reservation: u32 = 1;
    /// Returns the last machine frame.
    pub const XENMEM_maximum_ram_page: u32 = 2;
    /// Returns a domain's pages.
    pub const XENMEM_current_reservation: u32 = 3;
    /// Returns a domain's limit in pages.
    pub const XENMEM_maximum_reservation: u32 = 4;
    /// Lists the frames of the machine-to-physical table (x86).
    pub const XENMEM_machphys_mfn_list: u32 = 5;
    /// Adds pages at given guest frames.
    pub const XENMEM_populate_physmap: u32 = 6;
    /// Puts something at a guest frame.
    pub const XENMEM_add_to_physmap: u32 = 7;
    /// The guest's memory map (x86).
    pub const XENMEM_memory_map: u32 = 9;
    /// The host's memory map (x86).
    pub const XENMEM_machine_memory_map: u32 = 10;
    /// Swaps pages for others with wanted properties.
    pub const XENMEM_exchange: u32 = 11;
    /// Where PV guests see the machine-to-physical table (x86).
    pub const XENMEM_machphys_mapping: u32 = 12;
    /// Sets a domain's memory map (x86).
    pub const XENMEM_set_memory_map: u32 = 13;
    /// Returns a domain's largest guest frame.
    pub const XENMEM_maximum_gpfn: u32 = 14;
    /// Empties a guest frame.
    pub const XENMEM_remove_from_physmap: u32 = 15;
    /// Sets a populate-on-demand target.
    pub const XENMEM_set_pod_target: u32 = 16;
    /// Reads the populate-on-demand state.
    pub const XENMEM_get_pod_target: u32 = 17;
    /// Returns pages saved by sharing.
    pub const XENMEM_get_sharing_freed_pages: u32 = 18;
    /// Returns pages that are shared.
    pub const XENMEM_get_sharing_shared_pages: u32 = 19;
    /// Memory paging.
    pub const XENMEM_paging_op: u32 = 20;
    /// Memory access rights.
    pub const XENMEM_access_op: u32 = 21;
    /// Memory sharing.
    pub const XENMEM_sharing_op: u32 = 22;
    /// Puts many things at guest frames, with an error for each.
    pub const XENMEM_add_to_physmap_batch: u32 = 23;
    /// Claims pages before a domain is built.
    pub const XENMEM_claim_pages: u32 = 24;
    /// As `machphys_mfn_list`, for 32-bit guests (x86).
    pub const XENMEM_machphys_compat_mfn_list: u32 = 25;
    /// The guest's NUMA layout.
    pub const XENMEM_get_vnumainfo: u32 = 26;
    /// Ranges that devices need for themselves.
    pub const XENMEM_reserved_device_memory_map: u32 = 27;
    /// Maps frames that belong to a domain but not to its physical map.
    pub const XENMEM_acquire_resource: u32 = 28;

    /// `mem_flags`: populate on demand.
    pub const XENMEMF_populate_on_demand: u32 = 1 << 16;
    /// `mem_flags`: only this node.
    pub const XENMEMF_exact_node_request: u32 = 1 << 17;
    /// `mem_flags`: the node is a virtual one.
    pub const XENMEMF_vnode: u32 = 1 << 18;

    /// Space: the shared information page.
    pub const XENMAPSPACE_shared_info: u32 = 0;
    /// Space: a frame of the grant table.
    pub const XENMAPSPACE_grant_table: u32 = 1;
    /// Space: a guest frame of the domain.
    pub const XENMAPSPACE_gmfn: u32 = 2;
    /// Space: a range of guest frames; not for the batch form.
    pub const XENMAPSPACE_gmfn_range: u32 = 3;
    /// Space: a guest frame of another domain; only for the batch form.
    pub const XENMAPSPACE_gmfn_foreign: u32 = 4;
    /// Space: a frame of device memory (arm).
    pub const XENMAPSPACE_dev_mmio: u32 = 5;
    /// Index bit that selects grant status frames.
    pub const XENMAPIDX_grant_table_status: u64 = 0x8000_0000;

    /// `paging_op`: nominate for eviction.
    pub const XENMEM_paging_op_nominate: u32 = 0;
    /// `paging_op`: evict.
    pub const XENMEM_paging_op_evict: u32 = 1;
    /// `paging_op`: bring back.
    pub const XENMEM_paging_op_prep: u32 = 2;

    /// `access_op`: set the rights of a range.
    pub const XENMEM_access_op_set_access: u32 = 0;
    /// `access_op`: read the rights of a frame.
    pub const XENMEM_access_op_get_access: u32 = 1;
    /// `access_op`: set the rights of a list.
    pub const XENMEM_access_op_set_access_multi: u32 = 4;
    /// Access: none.
    pub const XENMEM_access_n: u32 = 0;
    /// Access: read.
    pub const XENMEM_access_r: u32 = 1;
    /// Access: write.
    pub const XENMEM_access_w: u32 = 2;
    /// Access: read and write.
    pub const XENMEM_access_rw: u32 = 3;
    /// Access: execute.
    pub const XENMEM_access_x: u32 = 4;
    /// Access: read and execute.
    pub const XENMEM_access_rx: u32 = 5;
    /// Access: write and execute.
    pub const XENMEM_access_wx: u32 = 6;
    /// Access: all.
    pub const XENMEM_access_rwx: u32 = 7;
    /// Access: read and execute, becomes read and write at the first write.
    pub const XENMEM_access_rx2rw: u32 = 8;
    /// Access: none, becomes all at the first use, with an event.
    pub const XENMEM_access_n2rwx: u32 = 9;
    /// Access: the domain's default.
    pub const XENMEM_access_default: u32 = 10;

    /// `sharing_op`: nominate a frame.
    pub const XENMEM_sharing_op_nominate_gfn: u32 = 0;
    /// `sharing_op`: nominate a grant.
    pub const XENMEM_sharing_op_nominate_gref: u32 = 1;
    /// `sharing_op`: share two nominated pages.
    pub const XENMEM_sharing_op_share: u32 = 2;
    /// `sharing_op`: print about a guest frame.
    pub const XENMEM_sharing_op_debug_gfn: u32 = 3;
    /// `sharing_op`: print about a machine frame.
    pub const XENMEM_sharing_op_debug_mfn: u32 = 4;
    /// `sharing_op`: print about a grant.
    pub const XENMEM_sharing_op_debug_gref: u32 = 5;
    /// `sharing_op`: fill a hole with a nominated page.
    pub const XENMEM_sharing_op_add_physmap: u32 = 6;
    /// `sharing_op`: check the books.
    pub const XENMEM_sharing_op_audit: u32 = 7;
    /// `sharing_op`: share a range.
    pub const XENMEM_sharing_op_range_share: u32 = 8;
    /// `sharing_op`: fork a domain.
    pub const XENMEM_sharing_op_fork: u32 = 9;
    /// `sharing_op`: reset a fork.
    pub const XENMEM_sharing_op_fork_reset: u32 = 10;
    /// `sharing_op` error: the source's handle is no longer valid.
    pub const XENMEM_SHARING_OP_S_HANDLE_INVALID: i32 = -10;
    /// `sharing_op` error: the client's handle is no longer valid.
    pub const XENMEM_SHARING_OP_C_HANDLE_INVALID: i32 = -9;
    /// `sharing_op`: the field holds a grant.
    pub const XENMEM_SHARING_OP_FIELD_IS_GREF_FLAG: u64 = 1 << 62;
    /// Fork: may have devices.
    pub const XENMEM_FORK_WITH_IOMMU_ALLOWED: u16 = 1 << 0;
    /// Fork: no interrupts.
    pub const XENMEM_FORK_BLOCK_INTERRUPTS: u16 = 1 << 1;
    /// Fork reset: vCPU state.
    pub const XENMEM_FORK_RESET_STATE: u16 = 1 << 2;
    /// Fork reset: memory.
    pub const XENMEM_FORK_RESET_MEMORY: u16 = 1 << 3;

    /// `reserved_device_memory_map`: ranges of all devices.
    pub const XENMEM_RDM_ALL: u32 = 1;

    /// Resource: frames of an ioreq server.
    pub const XENMEM_resource_ioreq_server: u32 = 0;
    /// Resource: frames of the grant table.
    pub const XENMEM_resource_grant_table: u32 = 1;
    /// Resource: trace buffer of a vCPU.
    pub const XENMEM_resource_vmtrace_buf: u32 = 2;
    /// Id of the grant table resource: shared entries.
    pub const XENMEM_resource_grant_table_id_shared: u32 = 0;
    /// Id of the grant table resource: status entries.
    pub const XENMEM_resource_grant_table_id_status: u32 = 1;
    /// Frame of the ioreq server resource: the buffered ring; the synchronous pages follow.
    pub const XENMEM_resource_ioreq_server_frame_bufioreq: u64 = 0;
}

/// Width in address bits that `mem_flags` asks for; 0 is any.
#[doc(alias = "XENMEMF_get_address_bits")]
#[inline]
pub const fn memf_address_bits(mem_flags: u32) -> u32 {
    mem_flags & 0xff
}

/// Node that `mem_flags` asks for, or `None` for any.
#[doc(alias = "XENMEMF_get_node")]
#[inline]
pub const fn memf_node(mem_flags: u32) -> Option<u32> {
    ((mem_flags >> 8) & 0xff).checked_sub(1)
}

/// The part of `mem_flags` that asks for a node; node 255 cannot be expressed and means any.
#[doc(alias = "XENMEMF_node")]
#[inline]
pub const fn memf_from_node(node: u8) -> u32 {
    (node.wrapping_add(1) as u32) << 8
}

/// Index of the `n`th synchronous page in the ioreq server resource.
#[doc(alias = "XENMEM_resource_ioreq_server_frame_ioreq")]
#[inline]
pub const fn ioreq_server_frame_ioreq(n: u32) -> u64 {
    1 + n as u64
}

abi_structs! { STRUCTS, Both;
    /// Extents of a domain's memory.
    #[c = "struct xen_memory_reservation"]
    pub struct MemoryReservation {
        /// IN, OUT: array of frames (`u64`), the first of each extent.
        pub extent_start: GuestHandle,
        /// IN: number of extents.
        pub nr_extents: u64,
        /// IN: pages per extent, as a power of two.
        pub extent_order: u32,
        /// IN: `XENMEMF_*`.
        pub mem_flags: u32,
        /// IN: the domain.
        pub domid: u16,
        /// C padding.
        pub _gap0: [u16; 3],
    }

    /// `XENMEM_exchange`.
    #[c = "struct xen_memory_exchange"]
    pub struct MemoryExchange {
        /// IN: extents given.
        #[c = "in"]
        pub input: MemoryReservation,
        /// IN, OUT: extents wanted and got.
        #[c = "out"]
        pub output: MemoryReservation,
        /// IN: 0; OUT: input extents exchanged.
        pub nr_exchanged: u64,
    }

    /// Names a domain.
    #[c = "struct xen_memory_domain"]
    pub struct MemoryDomain {
        /// The domain.
        pub domid: u16,
    }

    /// `XENMEM_machphys_mfn_list`.
    #[c = "struct xen_machphys_mfn_list"]
    pub struct MachphysMfnList {
        /// IN: room in the array.
        pub max_extents: u32,
        /// C padding.
        pub _gap0: u32,
        /// IN: array of frames (`u64`).
        pub extent_start: GuestHandle,
        /// OUT: entries written.
        pub nr_extents: u32,
        /// C padding.
        pub _gap1: u32,
    }

    /// `XENMEM_machphys_mapping`.
    #[c = "struct xen_machphys_mapping"]
    pub struct MachphysMapping {
        /// OUT: first address.
        pub v_start: u64,
        /// OUT: address after the last.
        pub v_end: u64,
        /// OUT: largest machine frame in it.
        pub max_mfn: u64,
    }

    /// `XENMEM_add_to_physmap`.
    #[c = "struct xen_add_to_physmap"]
    pub struct AddToPhysmap {
        /// IN: the domain whose map changes.
        pub domid: u16,
        /// IN: number of pages, for a range.
        pub size: u16,
        /// IN: `XENMAPSPACE_*`.
        pub space: u32,
        /// IN: which frame of the space.
        pub idx: u64,
        /// IN: guest frame at which it appears.
        pub gpfn: u64,
    }

    /// `XENMEM_add_to_physmap_batch`.
    #[c = "struct xen_add_to_physmap_batch"]
    pub struct AddToPhysmapBatch {
        /// IN: the domain whose map changes.
        pub domid: u16,
        /// IN: `XENMAPSPACE_*`.
        pub space: u16,
        /// IN: number of entries.
        pub size: u16,
        /// IN: owner of the foreign frames for `XENMAPSPACE_gmfn_foreign`; otherwise 0.
        pub u: u16,
        /// IN: array of frames of the space (`u64`).
        pub idxs: GuestHandle,
        /// IN: array of guest frames (`u64`).
        pub gpfns: GuestHandle,
        /// OUT: array of errors (`i32`).
        pub errs: GuestHandle,
    }

    /// `XENMEM_remove_from_physmap`.
    #[c = "struct xen_remove_from_physmap"]
    pub struct RemoveFromPhysmap {
        /// IN: the domain.
        pub domid: u16,
        /// C padding.
        pub _gap0: [u16; 3],
        /// IN: guest frame to empty.
        pub gpfn: u64,
    }

    /// A memory map in the caller's buffer.
    #[c = "struct xen_memory_map"]
    pub struct MemoryMap {
        /// IN: room in entries; OUT: entries.
        pub nr_entries: u32,
        /// C padding.
        pub _gap0: u32,
        /// IN: array of 20-byte E820 entries.
        pub buffer: GuestHandle,
    }

    /// `XENMEM_set_memory_map`.
    #[c = "struct xen_foreign_memory_map"]
    pub struct ForeignMemoryMap {
        /// IN: the domain.
        pub domid: u16,
        /// C padding.
        pub _gap0: [u16; 3],
        /// IN: its map.
        pub map: MemoryMap,
    }

    /// `XENMEM_set_pod_target` and `XENMEM_get_pod_target`.
    #[c = "struct xen_pod_target"]
    pub struct PodTarget {
        /// IN: pages to aim for.
        pub target_pages: u64,
        /// OUT: pages allocated.
        pub tot_pages: u64,
        /// OUT: pages in the cache.
        pub pod_cache_pages: u64,
        /// OUT: entries to fill on demand.
        pub pod_entries: u64,
        /// IN: the domain.
        pub domid: u16,
        /// C padding.
        pub _gap0: [u16; 3],
    }

    /// `XENMEM_paging_op`.
    #[c = "struct xen_mem_paging_op"]
    pub struct MemPagingOp {
        /// IN: `XENMEM_paging_op_*`.
        pub op: u8,
        /// C padding.
        pub _gap0: u8,
        /// IN: the domain.
        pub domain: u16,
        /// C padding.
        pub _gap1: u32,
        /// IN: contents of the page to bring back.
        pub buffer: GuestHandle,
        /// IN: the guest frame.
        pub gfn: u64,
    }

    /// `XENMEM_access_op`.
    #[c = "struct xen_mem_access_op"]
    pub struct MemAccessOp {
        /// IN: `XENMEM_access_op_*`.
        pub op: u8,
        /// IN, OUT: `XENMEM_access_*`.
        pub access: u8,
        /// IN: the domain.
        pub domid: u16,
        /// IN: number of frames.
        pub nr: u32,
        /// IN: first frame; all ones means the default.
        pub pfn: u64,
        /// IN: array of frames (`u64`).
        pub pfn_list: GuestHandle,
        /// IN: array of rights (`u8`).
        pub access_list: GuestHandle,
    }

    /// `XENMEM_sharing_op`.
    #[c = "struct xen_mem_sharing_op"]
    pub struct MemSharingOp {
        /// IN: `XENMEM_sharing_op_*`.
        pub op: u8,
        /// C padding.
        pub _gap0: u8,
        /// IN: the domain.
        pub domain: u16,
        /// C padding.
        pub _gap1: u32,
        /// IN, OUT: [`MemSharingNominate`], [`MemSharingShare`], [`MemSharingRange`], [`MemSharingFork`], or
        /// a `u64` with the frame or grant to print about.
        pub u: [u64; 5],
    }

    /// Nominate in [`MemSharingOp`].
    #[c = "struct mem_sharing_op_nominate"]
    pub struct MemSharingNominate {
        /// IN: guest frame or grant (low half).
        pub u: u64,
        /// OUT: handle.
        pub handle: u64,
    }

    /// Share or fill in [`MemSharingOp`].
    #[c = "struct mem_sharing_op_share"]
    pub struct MemSharingShare {
        /// IN: guest frame of the source.
        pub source_gfn: u64,
        /// IN: its handle.
        pub source_handle: u64,
        /// IN: guest frame of the client.
        pub client_gfn: u64,
        /// IN: its handle.
        pub client_handle: u64,
        /// IN: the client.
        pub client_domain: u16,
        /// C padding.
        pub _gap0: [u16; 3],
    }

    /// Range in [`MemSharingOp`].
    #[c = "struct mem_sharing_op_range"]
    pub struct MemSharingRange {
        /// IN: first guest frame.
        pub first_gfn: u64,
        /// IN: last guest frame.
        pub last_gfn: u64,
        /// 0; used to continue.
        pub opaque: u64,
        /// IN: the client.
        pub client_domain: u16,
        /// 0.
        pub _pad: [u16; 3],
    }

    /// Fork in [`MemSharingOp`].
    #[c = "struct mem_sharing_op_fork"]
    pub struct MemSharingFork {
        /// IN: the parent.
        pub parent_domain: u16,
        /// IN: `XENMEM_FORK_*`.
        pub flags: u16,
        /// 0.
        pub pad: u32,
    }

    /// A range that a device needs at its machine address.
    #[c = "struct xen_reserved_device_memory"]
    pub struct ReservedDeviceMemory {
        /// First frame.
        pub start_pfn: u64,
        /// Number of frames.
        pub nr_pages: u64,
    }

    /// `XENMEM_reserved_device_memory_map`.
    #[c = "struct xen_reserved_device_memory_map"]
    pub struct ReservedDeviceMemoryMap {
        /// IN: `XENMEM_RDM_*`.
        pub flags: u32,
        /// IN: room; OUT: entries needed.
        pub nr_entries: u32,
        /// OUT: array of [`ReservedDeviceMemory`].
        pub buffer: GuestHandle,
        /// IN: the device.
        pub dev: PhysdevPciDevice,
        /// C padding.
        pub _gap0: u32,
    }

    /// `XENMEM_acquire_resource`.
    #[c = "struct xen_mem_acquire_resource"]
    pub struct MemAcquireResource {
        /// IN: owner of the resource.
        pub domid: u16,
        /// IN: `XENMEM_resource_*`.
        #[c = "type"]
        pub type_: u16,
        /// IN: which one, by type.
        pub id: u32,
        /// IN: frames to map; OUT: the size, when this is 0 and `frame_list` null.
        pub nr_frames: u32,
        /// IN: 0.
        pub pad: u32,
        /// IN: first frame of the resource.
        pub frame: u64,
        /// IN: guest frames to fill (translated caller); OUT: machine frames (PV caller). Array of `u64`.
        pub frame_list: GuestHandle,
    }

    /// Memory of a virtual NUMA node.
    #[c = "struct xen_vmemrange"]
    pub struct Vmemrange {
        /// First byte.
        pub start: u64,
        /// Byte after the last.
        pub end: u64,
        /// Unused.
        pub flags: u32,
        /// Virtual node.
        pub nid: u32,
    }

    /// `XENMEM_get_vnumainfo`.
    #[c = "struct xen_vnuma_topology_info"]
    pub struct VnumaTopologyInfo {
        /// IN: the domain.
        pub domid: u16,
        /// Unused.
        pub pad: u16,
        /// IN: room; OUT: virtual nodes.
        pub nr_vnodes: u32,
        /// IN: room; OUT: vCPUs.
        pub nr_vcpus: u32,
        /// IN: room; OUT: ranges.
        pub nr_vmemranges: u32,
        /// OUT: square array of distances (`u32`).
        pub vdistance: GuestHandle,
        /// OUT: node of each vCPU (`u32`).
        pub vcpu_to_vnode: GuestHandle,
        /// OUT: array of [`Vmemrange`].
        pub vmemrange: GuestHandle,
    }
}

abi_payload! {
    MemSharingOp.u: [u64; 5];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_survives_the_flag_word() {
        assert_eq!(memf_node(0), None);
        assert_eq!(memf_node(memf_from_node(0) | XENMEMF_exact_node_request | 36), Some(0));
        assert_eq!(memf_node(memf_from_node(254)), Some(254));
        assert_eq!(memf_node(memf_from_node(255)), None);
    }

    #[test]
    fn address_bits_are_the_low_byte() {
        assert_eq!(memf_address_bits(memf_from_node(3) | 36), 36);
    }
}
