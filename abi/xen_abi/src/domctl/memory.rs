//! Domctl structures about memory.

use crate::GuestHandle;
use crate::xen::XenctlBitmap;

abi_consts! { MEMORY_CONSTS, Both;
    /// Shift of the kind of page table.
    pub const XEN_DOMCTL_PFINFO_LTAB_SHIFT: u32 = 28;
    /// Frame: no page table.
    pub const XEN_DOMCTL_PFINFO_NOTAB: u32 = 0;
    /// Frame: level 1.
    pub const XEN_DOMCTL_PFINFO_L1TAB: u32 = 1 << 28;
    /// Frame: level 2.
    pub const XEN_DOMCTL_PFINFO_L2TAB: u32 = 2 << 28;
    /// Frame: level 3.
    pub const XEN_DOMCTL_PFINFO_L3TAB: u32 = 3 << 28;
    /// Frame: level 4.
    pub const XEN_DOMCTL_PFINFO_L4TAB: u32 = 4 << 28;
    /// Frame: bits of the level.
    pub const XEN_DOMCTL_PFINFO_LTABTYPE_MASK: u32 = 7 << 28;
    /// Frame: pinned.
    pub const XEN_DOMCTL_PFINFO_LPINTAB: u32 = 1 << 31;
    /// Frame: not there.
    pub const XEN_DOMCTL_PFINFO_XTAB: u32 = 0xf << 28;
    /// Frame: allocated without contents.
    pub const XEN_DOMCTL_PFINFO_XALLOC: u32 = 0xe << 28;
    /// Frame: broken.
    pub const XEN_DOMCTL_PFINFO_BROKEN: u32 = 0xd << 28;
    /// Frame: all bits of the kind.
    pub const XEN_DOMCTL_PFINFO_LTAB_MASK: u32 = 0xf << 28;

    /// Shadow: off.
    pub const XEN_DOMCTL_SHADOW_OP_OFF: u32 = 0;
    /// Shadow: on, for tests.
    pub const XEN_DOMCTL_SHADOW_OP_ENABLE_TEST: u32 = 1;
    /// Shadow: log dirty pages.
    pub const XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY: u32 = 2;
    /// Shadow: read and clear the log.
    pub const XEN_DOMCTL_SHADOW_OP_CLEAN: u32 = 11;
    /// Shadow: read the log.
    pub const XEN_DOMCTL_SHADOW_OP_PEEK: u32 = 12;
    /// Shadow: memory for page tables.
    pub const XEN_DOMCTL_SHADOW_OP_GET_ALLOCATION: u32 = 30;
    /// Shadow: sets the memory for page tables.
    pub const XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION: u32 = 31;
    /// Shadow: on, with mode flags.
    pub const XEN_DOMCTL_SHADOW_OP_ENABLE: u32 = 32;
    /// Shadow mode: reference counts.
    pub const XEN_DOMCTL_SHADOW_ENABLE_REFCOUNT: u32 = 1 << 1;
    /// Shadow mode: log dirty pages.
    pub const XEN_DOMCTL_SHADOW_ENABLE_LOG_DIRTY: u32 = 1 << 2;
    /// Shadow mode: translate frames.
    pub const XEN_DOMCTL_SHADOW_ENABLE_TRANSLATE: u32 = 1 << 3;
    /// Shadow mode: outside the guest's address space.
    pub const XEN_DOMCTL_SHADOW_ENABLE_EXTERNAL: u32 = 1 << 4;
    /// Shadow log: with pages that the hypervisor maps.
    pub const XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL: u32 = 1 << 0;

    /// Memory sharing: on or off.
    pub const XEN_DOMCTL_MEM_SHARING_CONTROL: u32 = 0;

    /// Cache attribute: off.
    pub const XEN_DOMCTL_MEM_CACHEATTR_UC: u32 = 0;
    /// Cache attribute: writes combine.
    pub const XEN_DOMCTL_MEM_CACHEATTR_WC: u32 = 1;
    /// Cache attribute: write through.
    pub const XEN_DOMCTL_MEM_CACHEATTR_WT: u32 = 4;
    /// Cache attribute: write protect.
    pub const XEN_DOMCTL_MEM_CACHEATTR_WP: u32 = 5;
    /// Cache attribute: write back.
    pub const XEN_DOMCTL_MEM_CACHEATTR_WB: u32 = 6;
    /// Cache attribute: off, but can be overridden.
    pub const XEN_DOMCTL_MEM_CACHEATTR_UCM: u32 = 7;
    /// Cache attribute: no longer fixed.
    pub const XEN_DOMCTL_DELETE_MEM_CACHEATTR: u32 = !0;
}

abi_structs! { MEMORY_STRUCTS, Both;
    /// `XEN_DOMCTL_max_mem`.
    #[c = "struct xen_domctl_max_mem"]
    pub struct MaxMem {
        /// IN: KiB.
        pub max_memkb: u64,
    }

    /// `XEN_DOMCTL_get_paging_mempool_size` and `XEN_DOMCTL_set_paging_mempool_size`.
    #[c = "struct xen_domctl_paging_mempool"]
    pub struct PagingMempool {
        /// IN or OUT: bytes, a multiple of the page size.
        pub size: u64,
    }

    /// `XEN_DOMCTL_cacheflush`.
    #[c = "struct xen_domctl_cacheflush"]
    pub struct Cacheflush {
        /// IN: first guest frame.
        pub start_pfn: u64,
        /// IN: frames.
        pub nr_pfns: u64,
    }

    /// `XEN_DOMCTL_setnodeaffinity` and `XEN_DOMCTL_getnodeaffinity`.
    #[c = "struct xen_domctl_nodeaffinity"]
    pub struct NodeAffinity {
        /// Bit per node.
        pub nodemap: XenctlBitmap,
    }

    /// `XEN_DOMCTL_getpageframeinfo3`.
    #[c = "struct xen_domctl_getpageframeinfo3"]
    pub struct GetPageFrameInfo3 {
        /// IN: frames.
        pub num: u64,
        /// IN: frames; OUT: `XEN_DOMCTL_PFINFO_*`. Array of `u64`.
        pub array: GuestHandle,
    }

    /// Counters of the dirty log.
    #[c = "struct xen_domctl_shadow_op_stats"]
    pub struct ShadowOpStats {
        /// Faults.
        pub fault_count: u32,
        /// Dirty pages.
        pub dirty_count: u32,
    }

    /// `XEN_DOMCTL_shadow_op`.
    #[c = "struct xen_domctl_shadow_op"]
    pub struct ShadowOp {
        /// IN: `XEN_DOMCTL_SHADOW_OP_*`.
        pub op: u32,
        /// IN: mode flags.
        pub mode: u32,
        /// IN or OUT: MiB for page tables.
        pub mb: u32,
        /// C padding.
        pub _gap0: u32,
        /// OUT: bit per dirty page.
        pub dirty_bitmap: GuestHandle,
        /// IN: bits wanted; OUT: bits written.
        pub pages: u64,
        /// OUT: counters.
        pub stats: ShadowOpStats,
    }

    /// `XEN_DOMCTL_iomem_permission`.
    #[c = "struct xen_domctl_iomem_permission"]
    pub struct IomemPermission {
        /// IN: first machine frame.
        pub first_mfn: u64,
        /// IN: frames.
        pub nr_mfns: u64,
        /// IN: 1 permits.
        pub allow_access: u8,
        /// C padding.
        pub _gap0: [u8; 7],
    }

    /// `XEN_DOMCTL_memory_mapping`.
    #[c = "struct xen_domctl_memory_mapping"]
    pub struct MemoryMapping {
        /// IN: first guest frame.
        pub first_gfn: u64,
        /// IN: first machine frame.
        pub first_mfn: u64,
        /// IN: frames.
        pub nr_mfns: u64,
        /// IN: `DPCI_ADD_MAPPING` or `DPCI_REMOVE_MAPPING`.
        pub add_mapping: u32,
        /// IN: 0.
        pub padding: u32,
    }

    /// `XEN_DOMCTL_setvnumainfo`.
    #[c = "struct xen_domctl_vnuma"]
    pub struct Vnuma {
        /// IN: virtual nodes.
        pub nr_vnodes: u32,
        /// IN: memory ranges.
        pub nr_vmemranges: u32,
        /// IN: vCPUs.
        pub nr_vcpus: u32,
        /// Unused.
        pub pad: u32,
        /// IN: square array of distances (`u32`).
        pub vdistance: GuestHandle,
        /// IN: node of each vCPU (`u32`).
        pub vcpu_to_vnode: GuestHandle,
        /// IN: physical node of each node (`u32`).
        pub vnode_to_pnode: GuestHandle,
        /// IN: array of [`crate::memory::Vmemrange`].
        pub vmemrange: GuestHandle,
    }

    /// `XEN_DOMCTL_set_access_required`.
    #[c = "struct xen_domctl_set_access_required"]
    pub struct SetAccessRequired {
        /// IN: 1 when a listener must be there.
        pub access_required: u8,
    }

    /// `XEN_DOMCTL_audit_p2m`.
    #[c = "struct xen_domctl_audit_p2m"]
    pub struct AuditP2m {
        /// OUT: pages outside the p2m.
        pub orphans: u64,
        /// OUT: wrong machine-to-physical entries.
        pub m2p_bad: u64,
        /// OUT: wrong p2m entries.
        pub p2m_bad: u64,
    }

    /// `XEN_DOMCTL_set_broken_page_p2m`.
    #[c = "struct xen_domctl_set_broken_page_p2m"]
    pub struct SetBrokenPageP2m {
        /// IN: guest frame.
        pub pfn: u64,
    }

    /// `XEN_DOMCTL_mem_sharing_op`.
    #[c = "struct xen_domctl_mem_sharing_op"]
    pub struct MemSharingOp {
        /// IN: `XEN_DOMCTL_MEM_SHARING_CONTROL`.
        pub op: u8,
        /// IN: 1 switches on.
        pub u: u8,
    }
}
