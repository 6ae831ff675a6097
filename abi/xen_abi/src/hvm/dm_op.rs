//! `hvm/dm_op.h`: what a device model may ask about the domain it serves.
//!
//! The call passes an array of [`DmOpBuf`]; the first buffer holds a [`DmOp`].

use crate::GuestHandle;

abi_consts! { CONSTS, Both;
    /// Creates an ioreq server.
    pub const XEN_DMOP_create_ioreq_server: u32 = 1;
    /// Describes an ioreq server.
    pub const XEN_DMOP_get_ioreq_server_info: u32 = 2;
    /// Gives an ioreq server a range.
    pub const XEN_DMOP_map_io_range_to_ioreq_server: u32 = 3;
    /// Takes a range back.
    pub const XEN_DMOP_unmap_io_range_from_ioreq_server: u32 = 4;
    /// Switches an ioreq server on or off.
    pub const XEN_DMOP_set_ioreq_server_state: u32 = 5;
    /// Destroys an ioreq server.
    pub const XEN_DMOP_destroy_ioreq_server: u32 = 6;
    /// Tracks writes to video memory (x86).
    pub const XEN_DMOP_track_dirty_vram: u32 = 7;
    /// Sets a PCI interrupt pin (x86).
    pub const XEN_DMOP_set_pci_intx_level: u32 = 8;
    /// Sets an ISA interrupt line (x86).
    pub const XEN_DMOP_set_isa_irq_level: u32 = 9;
    /// Routes a PCI interrupt link (x86).
    pub const XEN_DMOP_set_pci_link_route: u32 = 10;
    /// Reports written pages.
    pub const XEN_DMOP_modified_memory: u32 = 11;
    /// Sets the type of guest frames.
    pub const XEN_DMOP_set_mem_type: u32 = 12;
    /// Injects an exception or interrupt (x86).
    pub const XEN_DMOP_inject_event: u32 = 13;
    /// Injects an MSI (x86).
    pub const XEN_DMOP_inject_msi: u32 = 14;
    /// Sends accesses to a memory type to an ioreq server.
    pub const XEN_DMOP_map_mem_type_to_ioreq_server: u32 = 15;
    /// Shuts the domain down.
    pub const XEN_DMOP_remote_shutdown: u32 = 16;
    /// Moves guest frames.
    pub const XEN_DMOP_relocate_memory: u32 = 17;
    /// Fixes a cache attribute (x86).
    pub const XEN_DMOP_pin_memory_cacheattr: u32 = 18;
    /// Sets a shared peripheral interrupt (arm).
    pub const XEN_DMOP_set_irq_level: u32 = 19;
    /// Number of vCPUs.
    pub const XEN_DMOP_nr_vcpus: u32 = 20;

    /// Server information: without frame numbers.
    pub const XEN_DMOP_no_gfns: u16 = 1;
    /// Range: I/O ports.
    pub const XEN_DMOP_IO_RANGE_PORT: u32 = 0;
    /// Range: memory.
    pub const XEN_DMOP_IO_RANGE_MEMORY: u32 = 1;
    /// Range: PCI functions.
    pub const XEN_DMOP_IO_RANGE_PCI: u32 = 2;
    /// Event: external interrupt.
    pub const XEN_DMOP_EVENT_ext_int: u8 = 0;
    /// Event: NMI.
    pub const XEN_DMOP_EVENT_nmi: u8 = 2;
    /// Event: exception.
    pub const XEN_DMOP_EVENT_hw_exc: u8 = 3;
    /// Event: INT n.
    pub const XEN_DMOP_EVENT_sw_int: u8 = 4;
    /// Event: INT1.
    pub const XEN_DMOP_EVENT_pri_sw_exc: u8 = 5;
    /// Event: INT3 or INTO.
    pub const XEN_DMOP_EVENT_sw_exc: u8 = 6;
    /// Accesses: read.
    pub const XEN_DMOP_IOREQ_MEM_ACCESS_READ: u32 = 1 << 0;
    /// Accesses: write.
    pub const XEN_DMOP_IOREQ_MEM_ACCESS_WRITE: u32 = 1 << 1;
    /// Cache: off.
    pub const XEN_DMOP_MEM_CACHEATTR_UC: u32 = 0;
    /// Cache: writes combine.
    pub const XEN_DMOP_MEM_CACHEATTR_WC: u32 = 1;
    /// Cache: write through.
    pub const XEN_DMOP_MEM_CACHEATTR_WT: u32 = 4;
    /// Cache: write protect.
    pub const XEN_DMOP_MEM_CACHEATTR_WP: u32 = 5;
    /// Cache: write back.
    pub const XEN_DMOP_MEM_CACHEATTR_WB: u32 = 6;
    /// Cache: off, but can be overridden.
    pub const XEN_DMOP_MEM_CACHEATTR_UCM: u32 = 7;
    /// Cache: no longer fixed.
    pub const XEN_DMOP_DELETE_MEM_CACHEATTR: u32 = !0;
}

abi_structs! { STRUCTS, Both;
    /// One buffer of the call.
    #[c = "struct xen_dm_op_buf"]
    pub struct DmOpBuf {
        /// Address.
        pub h: GuestHandle,
        /// Bytes.
        pub size: u64,
    }

    /// Contents of the first buffer.
    #[c = "struct xen_dm_op"]
    pub struct DmOp {
        /// `XEN_DMOP_*`.
        pub op: u32,
        /// 0.
        pub pad: u32,
        /// The operation's structure.
        pub u: [u64; 3],
    }

    /// `XEN_DMOP_create_ioreq_server`.
    #[c = "struct xen_dm_op_create_ioreq_server"]
    pub struct CreateIoreqServer {
        /// IN: `HVM_IOREQSRV_BUFIOREQ_*`.
        pub handle_bufioreq: u8,
        /// 0.
        pub pad: [u8; 3],
        /// OUT: the server.
        pub id: u16,
    }

    /// `XEN_DMOP_get_ioreq_server_info`.
    #[c = "struct xen_dm_op_get_ioreq_server_info"]
    pub struct GetIoreqServerInfo {
        /// IN: the server.
        pub id: u16,
        /// IN: `XEN_DMOP_no_gfns`.
        pub flags: u16,
        /// OUT: port of the buffered ring.
        pub bufioreq_port: u32,
        /// OUT: guest frame of the synchronous requests.
        pub ioreq_gfn: u64,
        /// OUT: guest frame of the buffered ring.
        pub bufioreq_gfn: u64,
    }

    /// `XEN_DMOP_map_io_range_to_ioreq_server` and `XEN_DMOP_unmap_io_range_from_ioreq_server`.
    #[c = "struct xen_dm_op_ioreq_server_range"]
    pub struct IoreqServerRange {
        /// IN: the server.
        pub id: u16,
        /// 0.
        pub pad: u16,
        /// IN: `XEN_DMOP_IO_RANGE_*`.
        #[c = "type"]
        pub type_: u32,
        /// IN: first port, address or PCI function.
        pub start: u64,
        /// IN: last of them.
        pub end: u64,
    }

    /// `XEN_DMOP_set_ioreq_server_state`.
    #[c = "struct xen_dm_op_set_ioreq_server_state"]
    pub struct SetIoreqServerState {
        /// IN: the server.
        pub id: u16,
        /// IN: 1 switches on.
        pub enabled: u8,
        /// 0.
        pub pad: u8,
    }

    /// `XEN_DMOP_destroy_ioreq_server`.
    #[c = "struct xen_dm_op_destroy_ioreq_server"]
    pub struct DestroyIoreqServer {
        /// IN: the server.
        pub id: u16,
        /// 0.
        pub pad: u16,
    }

    /// `XEN_DMOP_track_dirty_vram`; the bitmap is the second buffer.
    #[c = "struct xen_dm_op_track_dirty_vram"]
    pub struct TrackDirtyVram {
        /// IN: frames; 0 stops.
        pub nr: u32,
        /// 0.
        pub pad: u32,
        /// IN: first guest frame.
        pub first_pfn: u64,
    }

    /// `XEN_DMOP_set_pci_intx_level`.
    #[c = "struct xen_dm_op_set_pci_intx_level"]
    pub struct SetPciIntxLevel {
        /// IN: PCI segment.
        pub domain: u16,
        /// IN: bus.
        pub bus: u8,
        /// IN: device.
        pub device: u8,
        /// IN: pin.
        pub intx: u8,
        /// IN: 1 asserts.
        pub level: u8,
    }

    /// `XEN_DMOP_set_isa_irq_level`.
    #[c = "struct xen_dm_op_set_isa_irq_level"]
    pub struct SetIsaIrqLevel {
        /// IN: line 0 to 15.
        pub isa_irq: u8,
        /// IN: 1 asserts.
        pub level: u8,
    }

    /// `XEN_DMOP_set_pci_link_route`.
    #[c = "struct xen_dm_op_set_pci_link_route"]
    pub struct SetPciLinkRoute {
        /// IN: link 0 to 3.
        pub link: u8,
        /// IN: line 1 to 15, or 0 for none.
        pub isa_irq: u8,
    }

    /// `XEN_DMOP_modified_memory`; the extents are the second buffer.
    #[c = "struct xen_dm_op_modified_memory"]
    pub struct ModifiedMemory {
        /// IN: extents; OUT: one more than the extent at fault.
        pub nr_extents: u32,
        /// 0; used to continue.
        pub opaque: u32,
    }

    /// One extent of [`ModifiedMemory`].
    #[c = "struct xen_dm_op_modified_memory_extent"]
    pub struct ModifiedMemoryExtent {
        /// IN: frames.
        pub nr: u32,
        /// 0.
        pub pad: u32,
        /// IN: first guest frame.
        pub first_pfn: u64,
    }

    /// `XEN_DMOP_set_mem_type`.
    #[c = "struct xen_dm_op_set_mem_type"]
    pub struct SetMemType {
        /// IN: frames.
        pub nr: u32,
        /// IN: `HVMMEM_*`.
        pub mem_type: u16,
        /// 0.
        pub pad: u16,
        /// IN: first guest frame.
        pub first_pfn: u64,
    }

    /// `XEN_DMOP_inject_event`.
    #[c = "struct xen_dm_op_inject_event"]
    pub struct InjectEvent {
        /// IN: the vCPU.
        pub vcpuid: u32,
        /// IN: vector.
        pub vector: u8,
        /// IN: `XEN_DMOP_EVENT_*`.
        #[c = "type"]
        pub type_: u8,
        /// IN: length of the instruction.
        pub insn_len: u8,
        /// 0.
        pub pad0: u8,
        /// IN: error code, or all ones.
        pub error_code: u32,
        /// 0.
        pub pad1: u32,
        /// IN: fault address or debug bits.
        pub cr2: u64,
    }

    /// `XEN_DMOP_inject_msi`.
    #[c = "struct xen_dm_op_inject_msi"]
    pub struct InjectMsi {
        /// IN: data.
        pub data: u32,
        /// 0.
        pub pad: u32,
        /// IN: address.
        pub addr: u64,
    }

    /// `XEN_DMOP_map_mem_type_to_ioreq_server`.
    #[c = "struct xen_dm_op_map_mem_type_to_ioreq_server"]
    pub struct MapMemTypeToIoreqServer {
        /// IN: the server.
        pub id: u16,
        /// IN: `HVMMEM_*`.
        #[c = "type"]
        pub type_: u16,
        /// IN: `XEN_DMOP_IOREQ_MEM_ACCESS_*`; 0 undoes.
        pub flags: u32,
        /// 0; used to continue.
        pub opaque: u64,
    }

    /// `XEN_DMOP_remote_shutdown`.
    #[c = "struct xen_dm_op_remote_shutdown"]
    pub struct RemoteShutdown {
        /// IN: `SHUTDOWN_*`.
        pub reason: u32,
    }

    /// `XEN_DMOP_relocate_memory`.
    #[c = "struct xen_dm_op_relocate_memory"]
    pub struct RelocateMemory {
        /// IN: frames.
        pub size: u32,
        /// 0.
        pub pad: u32,
        /// IN: first guest frame.
        pub src_gfn: u64,
        /// IN: where it goes.
        pub dst_gfn: u64,
    }

    /// `XEN_DMOP_pin_memory_cacheattr`.
    #[c = "struct xen_dm_op_pin_memory_cacheattr"]
    pub struct PinMemoryCacheattr {
        /// IN: first guest frame.
        pub start: u64,
        /// IN: last guest frame.
        pub end: u64,
        /// IN: `XEN_DMOP_MEM_CACHEATTR_*`.
        #[c = "type"]
        pub type_: u32,
        /// 0.
        pub pad: u32,
    }

    /// `XEN_DMOP_set_irq_level`.
    #[c = "struct xen_dm_op_set_irq_level"]
    pub struct SetIrqLevel {
        /// IN: interrupt number.
        pub irq: u32,
        /// IN: 1 asserts.
        pub level: u8,
        /// 0.
        pub pad: [u8; 3],
    }

    /// `XEN_DMOP_nr_vcpus`.
    #[c = "struct xen_dm_op_nr_vcpus"]
    pub struct NrVcpus {
        /// OUT: vCPUs.
        pub vcpus: u32,
    }
}

abi_payload! {
    DmOp.u: [u64; 3];
}
