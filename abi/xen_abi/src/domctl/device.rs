//! Domctl structures about devices, interrupts and the virtual serial port.

use crate::GuestHandle;

abi_consts! { DEVICE_CONSTS, Both;
    /// Device: PCI.
    pub const XEN_DOMCTL_DEV_PCI: u32 = 0;
    /// Device: device tree node.
    pub const XEN_DOMCTL_DEV_DT: u32 = 1;
    /// Assign flag: reserved memory may conflict.
    pub const XEN_DOMCTL_DEV_RDM_RELAXED: u32 = 1;

    /// Interrupt: PCI pin.
    pub const PT_IRQ_TYPE_PCI: u32 = 0;
    /// Interrupt: ISA line.
    pub const PT_IRQ_TYPE_ISA: u32 = 1;
    /// Interrupt: MSI.
    pub const PT_IRQ_TYPE_MSI: u32 = 2;
    /// Interrupt: MSI shown as a pin.
    pub const PT_IRQ_TYPE_MSI_TRANSLATE: u32 = 3;
    /// Interrupt: shared peripheral (arm).
    pub const PT_IRQ_TYPE_SPI: u32 = 4;

    /// MSI flags: destination.
    pub const XEN_DOMCTL_VMSI_X86_DEST_ID_MASK: u32 = 0xff;
    /// MSI flags: redirection hint.
    pub const XEN_DOMCTL_VMSI_X86_RH_MASK: u32 = 0x100;
    /// MSI flags: destination mode.
    pub const XEN_DOMCTL_VMSI_X86_DM_MASK: u32 = 0x200;
    /// MSI flags: delivery mode.
    pub const XEN_DOMCTL_VMSI_X86_DELIV_MASK: u32 = 0x7000;
    /// MSI flags: trigger mode.
    pub const XEN_DOMCTL_VMSI_X86_TRIG_MASK: u32 = 0x8000;
    /// MSI flags: not masked.
    pub const XEN_DOMCTL_VMSI_X86_UNMASKED: u32 = 0x1_0000;

    /// Mapping: add.
    pub const DPCI_ADD_MAPPING: u32 = 1;
    /// Mapping: remove.
    pub const DPCI_REMOVE_MAPPING: u32 = 0;

    /// Virtual serial port: start.
    pub const XEN_DOMCTL_VUART_OP_INIT: u32 = 0;
    /// Virtual serial port: PL011.
    pub const XEN_DOMCTL_VUART_TYPE_VPL011: u32 = 0;
}

abi_structs! { DEVICE_STRUCTS, Both;
    /// `XEN_DOMCTL_irq_permission`.
    #[c = "struct xen_domctl_irq_permission"]
    pub struct IrqPermission {
        /// IN: pirq.
        pub pirq: u32,
        /// IN: 1 permits.
        pub allow_access: u8,
        /// Unused.
        pub pad: [u8; 3],
    }

    /// `XEN_DOMCTL_ioport_permission`.
    #[c = "struct xen_domctl_ioport_permission"]
    pub struct IoportPermission {
        /// IN: first port.
        pub first_port: u32,
        /// IN: ports.
        pub nr_ports: u32,
        /// IN: 1 permits.
        pub allow_access: u8,
        /// C padding.
        pub _gap0: [u8; 3],
    }

    /// `XEN_DOMCTL_ioport_mapping`.
    #[c = "struct xen_domctl_ioport_mapping"]
    pub struct IoportMapping {
        /// IN: first port of the guest.
        pub first_gport: u32,
        /// IN: first port of the machine.
        pub first_mport: u32,
        /// IN: ports.
        pub nr_ports: u32,
        /// IN: `DPCI_ADD_MAPPING` or `DPCI_REMOVE_MAPPING`.
        pub add_mapping: u32,
    }

    /// `XEN_DOMCTL_assign_device`, `test_assign_device` and `deassign_device`.
    #[c = "struct xen_domctl_assign_device"]
    pub struct AssignDevice {
        /// IN: `XEN_DOMCTL_DEV_*`.
        pub dev: u32,
        /// IN: `XEN_DOMCTL_DEV_RDM_RELAXED`.
        pub flags: u32,
        /// IN: a `u32` with segment, bus, device and function, or [`AssignDeviceDt`].
        pub u: [u64; 2],
    }

    /// Device tree node in [`AssignDevice`].
    #[c = "__typeof__(((struct xen_domctl_assign_device *)0)->u.dt)"]
    pub struct AssignDeviceDt {
        /// Length of the path.
        pub size: u32,
        /// C padding.
        pub _gap0: u32,
        /// Path of the node.
        pub path: GuestHandle,
    }

    /// `XEN_DOMCTL_get_device_group`.
    #[c = "struct xen_domctl_get_device_group"]
    pub struct GetDeviceGroup {
        /// IN: segment, bus, device and function.
        pub machine_sbdf: u32,
        /// IN: room in the array.
        pub max_sdevs: u32,
        /// OUT: devices in the group.
        pub num_sdevs: u32,
        /// C padding.
        pub _gap0: u32,
        /// OUT: array of devices (`u32`).
        pub sdev_array: GuestHandle,
    }

    /// `XEN_DOMCTL_bind_pt_irq` and `XEN_DOMCTL_unbind_pt_irq`.
    #[c = "struct xen_domctl_bind_pt_irq"]
    pub struct BindPtIrq {
        /// IN: the machine's interrupt; on arm the interrupt number.
        pub machine_irq: u32,
        /// IN: `PT_IRQ_TYPE_*`.
        pub irq_type: u32,
        /// IN: [`BindPtIrqSpi`], [`BindPtIrqMsi`], [`BindPtIrqPci`], or a `u8` with the ISA line.
        pub u: [u64; 2],
    }

    /// Shared peripheral interrupt in [`BindPtIrq`].
    #[c = "__typeof__(((struct xen_domctl_bind_pt_irq *)0)->u.spi)"]
    pub struct BindPtIrqSpi {
        /// The guest's interrupt number.
        pub spi: u16,
    }

    /// PCI pin in [`BindPtIrq`].
    #[c = "__typeof__(((struct xen_domctl_bind_pt_irq *)0)->u.pci)"]
    pub struct BindPtIrqPci {
        /// The guest's bus.
        pub bus: u8,
        /// The guest's device.
        pub device: u8,
        /// The guest's pin.
        pub intx: u8,
    }

    /// MSI in [`BindPtIrq`].
    #[c = "__typeof__(((struct xen_domctl_bind_pt_irq *)0)->u.msi)"]
    pub struct BindPtIrqMsi {
        /// The guest's vector.
        pub gvec: u8,
        /// C padding.
        pub _gap0: [u8; 3],
        /// `XEN_DOMCTL_VMSI_X86_*`.
        pub gflags: u32,
        /// MSI-X table of the guest.
        pub gtable: u64,
    }

    /// `XEN_DOMCTL_vuart_op`.
    #[c = "struct xen_domctl_vuart_op"]
    pub struct VuartOp {
        /// IN: `XEN_DOMCTL_VUART_OP_INIT`.
        pub cmd: u32,
        /// IN: `XEN_DOMCTL_VUART_TYPE_VPL011`.
        #[c = "type"]
        pub type_: u32,
        /// IN: guest frame of the ring.
        pub gfn: u64,
        /// IN: domain with the backend.
        pub console_domid: u16,
        /// IN: 0.
        pub pad: [u8; 2],
        /// OUT: port for the backend.
        pub evtchn: u32,
    }
}

abi_payload! {
    AssignDevice.u: [u64; 2];
    BindPtIrq.u: [u64; 2];
}
