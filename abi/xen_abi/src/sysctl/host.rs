//! Sysctl structures about the host: CPUs, memory, topology, domains, console.

use bitflags::bitflags;

use crate::GuestHandle;

abi_consts! { HOST_CONSTS, Both;
    /// Ability: translated guests.
    pub const XEN_SYSCTL_PHYSCAP_hvm: u32 = 1 << 0;
    /// Ability: PV guests.
    pub const XEN_SYSCTL_PHYSCAP_pv: u32 = 1 << 1;
    /// Ability: devices for guests.
    pub const XEN_SYSCTL_PHYSCAP_directio: u32 = 1 << 2;
    /// Ability: second-stage paging.
    pub const XEN_SYSCTL_PHYSCAP_hap: u32 = 1 << 3;
    /// Ability: shadow paging.
    pub const XEN_SYSCTL_PHYSCAP_shadow: u32 = 1 << 4;
    /// Ability: IOMMU shares page tables.
    pub const XEN_SYSCTL_PHYSCAP_iommu_hap_pt_share: u32 = 1 << 5;
    /// Ability: processor trace.
    pub const XEN_SYSCTL_PHYSCAP_vmtrace: u32 = 1 << 6;
    /// Ability: performance counters for guests.
    pub const XEN_SYSCTL_PHYSCAP_vpmu: u32 = 1 << 7;
    /// Ability: grant version 1.
    pub const XEN_SYSCTL_PHYSCAP_gnttab_v1: u32 = 1 << 8;
    /// Ability: grant version 2.
    pub const XEN_SYSCTL_PHYSCAP_gnttab_v2: u32 = 1 << 9;
    /// Largest ability.
    pub const XEN_SYSCTL_PHYSCAP_MAX: u32 = XEN_SYSCTL_PHYSCAP_gnttab_v2;

    /// No such core.
    pub const XEN_INVALID_CORE_ID: u32 = !0;
    /// No such socket.
    pub const XEN_INVALID_SOCKET_ID: u32 = !0;
    /// No such node.
    pub const XEN_INVALID_NODE_ID: u32 = !0;
    /// Size of a node that is not there.
    pub const XEN_INVALID_MEM_SZ: u32 = !0;
    /// Distance of a node that is not there.
    pub const XEN_INVALID_NODE_DIST: u32 = !0;
    /// Node of a device that is not there.
    pub const XEN_INVALID_DEV: u32 = !0 - 1;
}

bitflags! {
    /// What the host can do (`XEN_SYSCTL_PHYSCAP_*`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct PhyscapFlags: u32 {
        /// [`XEN_SYSCTL_PHYSCAP_hvm`].
        const HVM = XEN_SYSCTL_PHYSCAP_hvm;
        /// [`XEN_SYSCTL_PHYSCAP_pv`].
        const PV = XEN_SYSCTL_PHYSCAP_pv;
        /// [`XEN_SYSCTL_PHYSCAP_directio`].
        const DIRECTIO = XEN_SYSCTL_PHYSCAP_directio;
        /// [`XEN_SYSCTL_PHYSCAP_hap`].
        const HAP = XEN_SYSCTL_PHYSCAP_hap;
        /// [`XEN_SYSCTL_PHYSCAP_shadow`].
        const SHADOW = XEN_SYSCTL_PHYSCAP_shadow;
        /// [`XEN_SYSCTL_PHYSCAP_iommu_hap_pt_share`].
        const IOMMU_HAP_PT_SHARE = XEN_SYSCTL_PHYSCAP_iommu_hap_pt_share;
        /// [`XEN_SYSCTL_PHYSCAP_vmtrace`].
        const VMTRACE = XEN_SYSCTL_PHYSCAP_vmtrace;
        /// [`XEN_SYSCTL_PHYSCAP_vpmu`].
        const VPMU = XEN_SYSCTL_PHYSCAP_vpmu;
        /// [`XEN_SYSCTL_PHYSCAP_gnttab_v1`].
        const GNTTAB_V1 = XEN_SYSCTL_PHYSCAP_gnttab_v1;
        /// [`XEN_SYSCTL_PHYSCAP_gnttab_v2`].
        const GNTTAB_V2 = XEN_SYSCTL_PHYSCAP_gnttab_v2;
    }
}

abi_structs! { HOST_STRUCTS, Both;
    /// `XEN_SYSCTL_readconsole`.
    #[c = "struct xen_sysctl_readconsole"]
    pub struct Readconsole {
        /// IN: 1 empties the ring.
        pub clear: u8,
        /// IN: 1 starts at `index`.
        pub incremental: u8,
        /// Unused.
        pub pad0: u8,
        /// Unused.
        pub pad1: u8,
        /// IN: where to start; OUT: where the next read starts.
        pub index: u32,
        /// IN: buffer for the text.
        pub buffer: GuestHandle,
        /// IN: its size; OUT: bytes written.
        pub count: u32,
        /// C padding.
        pub _gap0: u32,
    }

    /// `XEN_SYSCTL_physinfo`.
    #[c = "struct xen_sysctl_physinfo"]
    pub struct Physinfo {
        /// Threads of a core.
        pub threads_per_core: u32,
        /// Cores of a socket.
        pub cores_per_socket: u32,
        /// CPUs online.
        pub nr_cpus: u32,
        /// Largest CPU id.
        pub max_cpu_id: u32,
        /// Nodes.
        pub nr_nodes: u32,
        /// Largest node id.
        pub max_node_id: u32,
        /// Clock of CPU or timer in kHz.
        pub cpu_khz: u32,
        /// `XEN_SYSCTL_PHYSCAP_*`.
        pub capabilities: u32,
        /// More of them, by CPU.
        pub arch_capabilities: u32,
        /// Unused.
        pub pad: u32,
        /// Pages of the host.
        pub total_pages: u64,
        /// Free pages.
        pub free_pages: u64,
        /// Free pages that must be scrubbed first.
        pub scrub_pages: u64,
        /// Claimed pages.
        pub outstanding_pages: u64,
        /// Largest machine frame.
        pub max_mfn: u64,
        /// CPU features (x86).
        pub hw_cap: [u32; 8],
    }

    /// `XEN_SYSCTL_getdomaininfolist`.
    #[c = "struct xen_sysctl_getdomaininfolist"]
    pub struct GetDomainInfoList {
        /// IN: first id.
        pub first_domain: u16,
        /// C padding.
        pub _gap0: u16,
        /// IN: room in the array.
        pub max_domains: u32,
        /// IN: array of the CPU's `GetDomainInfo`.
        pub buffer: GuestHandle,
        /// OUT: entries written.
        pub num_domains: u32,
        /// C padding.
        pub _gap1: u32,
    }

    /// `XEN_SYSCTL_debug_keys`.
    #[c = "struct xen_sysctl_debug_keys"]
    pub struct DebugKeys {
        /// IN: the keys.
        pub keys: GuestHandle,
        /// IN: how many.
        pub nr_keys: u32,
        /// C padding.
        pub _gap0: u32,
    }

    /// One CPU of [`GetCpuInfo`].
    #[c = "struct xen_sysctl_cpuinfo"]
    pub struct CpuInfo {
        /// Idle nanoseconds.
        pub idletime: u64,
    }

    /// `XEN_SYSCTL_getcpuinfo`.
    #[c = "struct xen_sysctl_getcpuinfo"]
    pub struct GetCpuInfo {
        /// IN: room in the array.
        pub max_cpus: u32,
        /// C padding.
        pub _gap0: u32,
        /// IN: array of [`CpuInfo`].
        pub info: GuestHandle,
        /// OUT: entries written.
        pub nr_cpus: u32,
        /// C padding.
        pub _gap1: u32,
    }

    /// `XEN_SYSCTL_availheap`.
    #[c = "struct xen_sysctl_availheap"]
    pub struct Availheap {
        /// IN: narrowest address width, or 0.
        pub min_bitwidth: u32,
        /// IN: widest address width, or 0.
        pub max_bitwidth: u32,
        /// IN: node, or -1 for all.
        pub node: i32,
        /// C padding.
        pub _gap0: u32,
        /// OUT: free bytes.
        pub avail_bytes: u64,
    }

    /// Place of a CPU.
    #[c = "struct xen_sysctl_cputopo"]
    pub struct CpuTopo {
        /// Core.
        pub core: u32,
        /// Socket.
        pub socket: u32,
        /// Node.
        pub node: u32,
    }

    /// `XEN_SYSCTL_cputopoinfo`.
    #[c = "struct xen_sysctl_cputopoinfo"]
    pub struct CpuTopoInfo {
        /// IN: room; OUT: CPUs.
        pub num_cpus: u32,
        /// C padding.
        pub _gap0: u32,
        /// IN: array of [`CpuTopo`]; null asks for the number.
        pub cputopo: GuestHandle,
    }

    /// Memory of a node.
    #[c = "struct xen_sysctl_meminfo"]
    pub struct MemInfo {
        /// Bytes.
        pub memsize: u64,
        /// Free bytes.
        pub memfree: u64,
    }

    /// `XEN_SYSCTL_numainfo`.
    #[c = "struct xen_sysctl_numainfo"]
    pub struct NumaInfo {
        /// IN: room; OUT: nodes.
        pub num_nodes: u32,
        /// C padding.
        pub _gap0: u32,
        /// IN: array of [`MemInfo`], or null.
        pub meminfo: GuestHandle,
        /// IN: square array of distances (`u32`), or null.
        pub distance: GuestHandle,
    }

    /// `XEN_SYSCTL_pcitopoinfo`.
    #[c = "struct xen_sysctl_pcitopoinfo"]
    pub struct PciTopoInfo {
        /// IN: devices; OUT: devices done.
        pub num_devs: u32,
        /// C padding.
        pub _gap0: u32,
        /// IN: array of [`crate::physdev::PhysdevPciDevice`].
        pub devs: GuestHandle,
        /// OUT: array of nodes (`u32`).
        pub nodes: GuestHandle,
    }
}
