//! `physdev.h`: physical interrupts and PCI devices.

use crate::GuestHandle;

abi_consts! { CONSTS, Both;
    /// Obsolete.
    pub const PHYSDEVOP_IRQ_UNMASK_NOTIFY: u32 = 4;
    /// Whether an interrupt needs an end-of-interrupt call.
    pub const PHYSDEVOP_irq_status_query: u32 = 5;
    /// I/O privilege level (x86 PV).
    pub const PHYSDEVOP_set_iopl: u32 = 6;
    /// I/O port bitmap (x86 PV).
    pub const PHYSDEVOP_set_iobitmap: u32 = 7;
    /// Reads an I/O APIC register (x86).
    pub const PHYSDEVOP_apic_read: u32 = 8;
    /// Writes an I/O APIC register (x86).
    pub const PHYSDEVOP_apic_write: u32 = 9;
    /// Allocates a vector (x86).
    pub const PHYSDEVOP_alloc_irq_vector: u32 = 10;
    /// Frees a vector (x86).
    pub const PHYSDEVOP_free_irq_vector: u32 = 11;
    /// End of interrupt.
    pub const PHYSDEVOP_eoi: u32 = 12;
    /// Gives a domain a physical interrupt.
    pub const PHYSDEVOP_map_pirq: u32 = 13;
    /// Takes it back.
    pub const PHYSDEVOP_unmap_pirq: u32 = 14;
    /// Reports a PCI device; oldest form.
    pub const PHYSDEVOP_manage_pci_add: u32 = 15;
    /// Reports that a PCI device is gone; oldest form.
    pub const PHYSDEVOP_manage_pci_remove: u32 = 16;
    /// Registers the end-of-interrupt page, with automatic unmask.
    pub const PHYSDEVOP_pirq_eoi_gmfn_v1: u32 = 17;
    /// Restores MSI state; old form.
    pub const PHYSDEVOP_restore_msi: u32 = 19;
    /// Reports a PCI device; old form.
    pub const PHYSDEVOP_manage_pci_add_ext: u32 = 20;
    /// Trigger and polarity of an interrupt line.
    pub const PHYSDEVOP_setup_gsi: u32 = 21;
    /// Finds an unused pirq.
    pub const PHYSDEVOP_get_free_pirq: u32 = 23;
    /// Reports a PCI configuration window.
    pub const PHYSDEVOP_pci_mmcfg_reserved: u32 = 24;
    /// Reports a PCI device.
    pub const PHYSDEVOP_pci_device_add: u32 = 25;
    /// Reports that a PCI device is gone.
    pub const PHYSDEVOP_pci_device_remove: u32 = 26;
    /// Restores MSI state.
    pub const PHYSDEVOP_restore_msi_ext: u32 = 27;
    /// Registers the end-of-interrupt page.
    pub const PHYSDEVOP_pirq_eoi_gmfn_v2: u32 = 28;
    /// USB debug port.
    pub const PHYSDEVOP_dbgp_op: u32 = 29;
    /// Fixes an MSI-X device's resources.
    pub const PHYSDEVOP_prepare_msix: u32 = 30;
    /// Lets them change again.
    pub const PHYSDEVOP_release_msix: u32 = 31;

    /// Interrupt status: needs an end-of-interrupt call.
    pub const XENIRQSTAT_needs_eoi: u32 = 1;
    /// Interrupt status: shared by guests.
    pub const XENIRQSTAT_shared: u32 = 2;

    /// Kind of pirq: MSI.
    pub const MAP_PIRQ_TYPE_MSI: u32 = 0;
    /// Kind of pirq: interrupt line.
    pub const MAP_PIRQ_TYPE_GSI: u32 = 1;
    /// Kind of pirq: unknown.
    pub const MAP_PIRQ_TYPE_UNKNOWN: u32 = 2;
    /// Kind of pirq: MSI of a PCI segment.
    pub const MAP_PIRQ_TYPE_MSI_SEG: u32 = 3;
    /// Kind of pirq: several MSI vectors.
    pub const MAP_PIRQ_TYPE_MULTI_MSI: u32 = 4;

    /// Configuration window: reserved in the memory map.
    pub const XEN_PCI_MMCFG_RESERVED: u32 = 1;
    /// PCI device: extended function.
    pub const XEN_PCI_DEV_EXTFN: u32 = 1;
    /// PCI device: virtual function.
    pub const XEN_PCI_DEV_VIRTFN: u32 = 2;
    /// PCI device: node is given.
    pub const XEN_PCI_DEV_PXM: u32 = 4;
    /// Debug port: about to be reset.
    pub const PHYSDEVOP_DBGP_RESET_PREPARE: u32 = 1;
    /// Debug port: reset.
    pub const PHYSDEVOP_DBGP_RESET_DONE: u32 = 2;
    /// Debug port: unknown bus.
    pub const PHYSDEVOP_DBGP_BUS_UNKNOWN: u32 = 0;
    /// Debug port: PCI.
    pub const PHYSDEVOP_DBGP_BUS_PCI: u32 = 1;
}

/// Resets a PCI device. Not in 4.17; newer hypervisors and Linux 6.12 have it.
pub const PHYSDEVOP_pci_device_reset: u32 = 32;

abi_structs! { STRUCTS, Both;
    /// `PHYSDEVOP_eoi`.
    #[c = "struct physdev_eoi"]
    pub struct PhysdevEoi {
        /// IN: pirq.
        pub irq: u32,
    }

    /// `PHYSDEVOP_pirq_eoi_gmfn_v1` and `_v2`.
    #[c = "struct physdev_pirq_eoi_gmfn"]
    pub struct PhysdevPirqEoiGmfn {
        /// IN: frame of the page.
        pub gmfn: u64,
    }

    /// `PHYSDEVOP_irq_status_query`.
    #[c = "struct physdev_irq_status_query"]
    pub struct PhysdevIrqStatusQuery {
        /// IN: pirq.
        pub irq: u32,
        /// OUT: `XENIRQSTAT_*`.
        pub flags: u32,
    }

    /// `PHYSDEVOP_set_iopl`.
    #[c = "struct physdev_set_iopl"]
    pub struct PhysdevSetIopl {
        /// IN: level 0 to 3.
        pub iopl: u32,
    }

    /// `PHYSDEVOP_set_iobitmap`.
    #[c = "struct physdev_set_iobitmap"]
    pub struct PhysdevSetIobitmap {
        /// IN: the bits; set forbids.
        pub bitmap: GuestHandle,
        /// IN: number of ports.
        pub nr_ports: u32,
        /// C padding.
        pub _gap0: u32,
    }

    /// `PHYSDEVOP_apic_read` and `PHYSDEVOP_apic_write`.
    #[c = "struct physdev_apic"]
    pub struct PhysdevApic {
        /// IN: address of the I/O APIC.
        pub apic_physbase: u64,
        /// IN: register.
        pub reg: u32,
        /// IN or OUT: its value.
        pub value: u32,
    }

    /// `PHYSDEVOP_alloc_irq_vector` and `PHYSDEVOP_free_irq_vector`.
    #[c = "struct physdev_irq"]
    pub struct PhysdevIrq {
        /// IN: interrupt line.
        pub irq: u32,
        /// IN or OUT: vector.
        pub vector: u32,
    }

    /// `PHYSDEVOP_map_pirq`.
    #[c = "struct physdev_map_pirq"]
    pub struct PhysdevMapPirq {
        /// IN: domain that gets it.
        pub domid: u16,
        /// C padding.
        pub _gap0: u16,
        /// IN: `MAP_PIRQ_TYPE_*`.
        #[c = "type"]
        pub type_: u32,
        /// IN: interrupt line or -1.
        pub index: i32,
        /// IN: wanted pirq or -1; OUT: the pirq.
        pub pirq: i32,
        /// IN: PCI bus, with the segment in the high half.
        pub bus: i32,
        /// IN: PCI device and function.
        pub devfn: i32,
        /// IN: MSI-X entry or number of vectors; OUT: how many would do.
        pub entry_nr: i32,
        /// C padding.
        pub _gap1: u32,
        /// IN: MSI-X table.
        pub table_base: u64,
    }

    /// `PHYSDEVOP_unmap_pirq`.
    #[c = "struct physdev_unmap_pirq"]
    pub struct PhysdevUnmapPirq {
        /// IN: the domain.
        pub domid: u16,
        /// C padding.
        pub _gap0: u16,
        /// IN: pirq.
        pub pirq: i32,
    }

    /// `PHYSDEVOP_manage_pci_add` and `PHYSDEVOP_manage_pci_remove`.
    #[c = "struct physdev_manage_pci"]
    pub struct PhysdevManagePci {
        /// IN: bus.
        pub bus: u8,
        /// IN: device and function.
        pub devfn: u8,
    }

    /// `PHYSDEVOP_restore_msi`.
    #[c = "struct physdev_restore_msi"]
    pub struct PhysdevRestoreMsi {
        /// IN: bus.
        pub bus: u8,
        /// IN: device and function.
        pub devfn: u8,
    }

    /// `PHYSDEVOP_manage_pci_add_ext`.
    #[c = "struct physdev_manage_pci_ext"]
    pub struct PhysdevManagePciExt {
        /// IN: bus.
        pub bus: u8,
        /// IN: device and function.
        pub devfn: u8,
        /// C padding.
        pub _gap0: u16,
        /// IN: extended function.
        pub is_extfn: u32,
        /// IN: virtual function.
        pub is_virtfn: u32,
        /// IN: bus and function of the physical function.
        pub physfn: [u8; 2],
        /// C padding.
        pub _gap1: u16,
    }

    /// `PHYSDEVOP_setup_gsi`.
    #[c = "struct physdev_setup_gsi"]
    pub struct PhysdevSetupGsi {
        /// IN: interrupt line.
        pub gsi: i32,
        /// IN: 0 edge, 1 level.
        pub triggering: u8,
        /// IN: 0 high, 1 low.
        pub polarity: u8,
        /// C padding.
        pub _gap0: u16,
    }

    /// `PHYSDEVOP_get_free_pirq`.
    #[c = "struct physdev_get_free_pirq"]
    pub struct PhysdevGetFreePirq {
        /// IN: `MAP_PIRQ_TYPE_*`.
        #[c = "type"]
        pub type_: u32,
        /// OUT: pirq.
        pub pirq: u32,
    }

    /// `PHYSDEVOP_pci_mmcfg_reserved`.
    #[c = "struct physdev_pci_mmcfg_reserved"]
    pub struct PhysdevPciMmcfgReserved {
        /// IN: address of the window.
        pub address: u64,
        /// IN: PCI segment.
        pub segment: u16,
        /// IN: first bus.
        pub start_bus: u8,
        /// IN: last bus.
        pub end_bus: u8,
        /// IN: `XEN_PCI_MMCFG_RESERVED`.
        pub flags: u32,
    }

    /// `PHYSDEVOP_pci_device_add`; with `XEN_PCI_DEV_PXM` the node (`u32`) follows.
    #[c = "struct physdev_pci_device_add"]
    pub struct PhysdevPciDeviceAdd {
        /// IN: segment.
        pub seg: u16,
        /// IN: bus.
        pub bus: u8,
        /// IN: device and function.
        pub devfn: u8,
        /// IN: `XEN_PCI_DEV_*`.
        pub flags: u32,
        /// IN: bus and function of the physical function.
        pub physfn: [u8; 2],
        /// C padding.
        pub _gap0: u16,
    }

    /// `PHYSDEVOP_pci_device_remove`, `restore_msi_ext`, `prepare_msix` and `release_msix`.
    #[c = "struct physdev_pci_device"]
    pub struct PhysdevPciDevice {
        /// IN: segment.
        pub seg: u16,
        /// IN: bus.
        pub bus: u8,
        /// IN: device and function.
        pub devfn: u8,
    }

    /// `PHYSDEVOP_dbgp_op`.
    #[c = "struct physdev_dbgp_op"]
    pub struct PhysdevDbgpOp {
        /// IN: `PHYSDEVOP_DBGP_RESET_*`.
        pub op: u8,
        /// IN: `PHYSDEVOP_DBGP_BUS_*`.
        pub bus: u8,
        /// IN: the device.
        pub u: PhysdevPciDevice,
    }
}
