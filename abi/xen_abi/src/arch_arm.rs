//! `arch-arm.h` and the arm64 forms of the structures in `xen.h`: calling convention, guest memory map,
//! registers.
//!
//! A hypercall is `HVC #XEN_HYPERCALL_TAG`: number in x16, arguments in x0 to x4, result in x0.

use crate::xen::VcpuTimeInfo;

abi_consts! { CONSTS, Arm64;
    /// Immediate of the HVC instruction.
    pub const XEN_HYPERCALL_TAG: u32 = 0xea1;
    /// vCPUs with a `vcpu_info` in the shared information page.
    pub const XEN_LEGACY_MAX_VCPUS: u32 = 1;

    /// `VcpuGuestContext.flags`: the vCPU is online.
    pub const VGCF_online: u32 = 1;

    /// GIC version: as on the host.
    pub const XEN_DOMCTL_CONFIG_GIC_NATIVE: u8 = 0;
    /// GIC version 2.
    pub const XEN_DOMCTL_CONFIG_GIC_V2: u8 = 1;
    /// GIC version 3.
    pub const XEN_DOMCTL_CONFIG_GIC_V3: u8 = 2;
    /// No trusted execution environment.
    pub const XEN_DOMCTL_CONFIG_TEE_NONE: u16 = 0;
    /// OP-TEE.
    pub const XEN_DOMCTL_CONFIG_TEE_OPTEE: u16 = 1;

    /// PSR: Thumb state.
    pub const PSR_THUMB: u64 = 1 << 5;
    /// PSR: FIQ masked.
    pub const PSR_FIQ_MASK: u64 = 1 << 6;
    /// PSR: IRQ masked.
    pub const PSR_IRQ_MASK: u64 = 1 << 7;
    /// PSR: asynchronous abort masked.
    pub const PSR_ABT_MASK: u64 = 1 << 8;
    /// PSR: big endian (AArch32).
    pub const PSR_BIG_ENDIAN: u64 = 1 << 9;
    /// PSR: debug exceptions masked (AArch64).
    pub const PSR_DBG_MASK: u64 = 1 << 9;
    /// PSR: Thumb if-then state.
    pub const PSR_IT_MASK: u64 = 0x0600_fc00;
    /// PSR: Jazelle state.
    pub const PSR_JAZELLE: u64 = 1 << 24;
    /// PSR: zero flag.
    pub const PSR_Z: u64 = 1 << 30;
    /// AArch32 user mode.
    pub const PSR_MODE_USR: u64 = 0x10;
    /// AArch32 FIQ mode.
    pub const PSR_MODE_FIQ: u64 = 0x11;
    /// AArch32 IRQ mode.
    pub const PSR_MODE_IRQ: u64 = 0x12;
    /// AArch32 supervisor mode.
    pub const PSR_MODE_SVC: u64 = 0x13;
    /// AArch32 monitor mode.
    pub const PSR_MODE_MON: u64 = 0x16;
    /// AArch32 abort mode.
    pub const PSR_MODE_ABT: u64 = 0x17;
    /// AArch32 hypervisor mode.
    pub const PSR_MODE_HYP: u64 = 0x1a;
    /// AArch32 undefined mode.
    pub const PSR_MODE_UND: u64 = 0x1b;
    /// AArch32 system mode.
    pub const PSR_MODE_SYS: u64 = 0x1f;
    /// Set for AArch32 modes only.
    pub const PSR_MODE_BIT: u64 = 0x10;
    /// EL3 with its own stack pointer.
    pub const PSR_MODE_EL3h: u64 = 0x0d;
    /// EL3 with the stack pointer of EL0.
    pub const PSR_MODE_EL3t: u64 = 0x0c;
    /// EL2 with its own stack pointer.
    pub const PSR_MODE_EL2h: u64 = 0x09;
    /// EL2 with the stack pointer of EL0.
    pub const PSR_MODE_EL2t: u64 = 0x08;
    /// EL1 with its own stack pointer.
    pub const PSR_MODE_EL1h: u64 = 0x05;
    /// EL1 with the stack pointer of EL0.
    pub const PSR_MODE_EL1t: u64 = 0x04;
    /// EL0.
    pub const PSR_MODE_EL0t: u64 = 0x00;
    /// First PSR of an AArch32 vCPU; with the zero flag, which old Linux headers rely on.
    pub const PSR_GUEST32_INIT: u64 = PSR_Z | PSR_ABT_MASK | PSR_FIQ_MASK | PSR_IRQ_MASK | PSR_MODE_SVC;
    /// First PSR of an AArch64 vCPU.
    pub const PSR_GUEST64_INIT: u64 = PSR_ABT_MASK | PSR_FIQ_MASK | PSR_IRQ_MASK | PSR_MODE_EL1h;
    /// First SCTLR of a vCPU.
    pub const SCTLR_GUEST_INIT: u64 = 0x00c5_0078;

    /// Virtio MMIO devices.
    pub const GUEST_VIRTIO_MMIO_BASE: u64 = 0x0200_0000;
    /// Their size.
    pub const GUEST_VIRTIO_MMIO_SIZE: u64 = 0x0010_0000;
    /// GICv2 distributor.
    pub const GUEST_GICD_BASE: u64 = 0x0300_1000;
    /// Its size.
    pub const GUEST_GICD_SIZE: u64 = 0x0000_1000;
    /// GICv2 CPU interface.
    pub const GUEST_GICC_BASE: u64 = 0x0300_2000;
    /// Its size.
    pub const GUEST_GICC_SIZE: u64 = 0x0000_2000;
    /// GICv3 distributor.
    pub const GUEST_GICV3_GICD_BASE: u64 = 0x0300_1000;
    /// Its size.
    pub const GUEST_GICV3_GICD_SIZE: u64 = 0x0001_0000;
    /// GICv3 redistributor regions.
    pub const GUEST_GICV3_RDIST_REGIONS: u32 = 1;
    /// GICv3 redistributors of vCPU 0 to 127.
    pub const GUEST_GICV3_GICR0_BASE: u64 = 0x0302_0000;
    /// Their size.
    pub const GUEST_GICV3_GICR0_SIZE: u64 = 0x0100_0000;
    /// PCI configuration space.
    pub const GUEST_VPCI_ECAM_BASE: u64 = 0x1000_0000;
    /// Its size.
    pub const GUEST_VPCI_ECAM_SIZE: u64 = 0x1000_0000;
    /// ACPI tables.
    pub const GUEST_ACPI_BASE: u64 = 0x2000_0000;
    /// Their size.
    pub const GUEST_ACPI_SIZE: u64 = 0x0200_0000;
    /// PL011 serial port.
    pub const GUEST_PL011_BASE: u64 = 0x2200_0000;
    /// Its size.
    pub const GUEST_PL011_SIZE: u64 = 0x0000_1000;
    /// Device tree type of the PCI memory window.
    pub const GUEST_VPCI_ADDR_TYPE_MEM: u64 = 0x0200_0000;
    /// PCI memory window.
    pub const GUEST_VPCI_MEM_ADDR: u64 = 0x2300_0000;
    /// Its size.
    pub const GUEST_VPCI_MEM_SIZE: u64 = 0x1000_0000;
    /// Where the guest may map its grant table.
    pub const GUEST_GNTTAB_BASE: u64 = 0x3800_0000;
    /// Its size.
    pub const GUEST_GNTTAB_SIZE: u64 = 0x0100_0000;
    /// Console, xenstore and other special pages.
    pub const GUEST_MAGIC_BASE: u64 = 0x3900_0000;
    /// Their size.
    pub const GUEST_MAGIC_SIZE: u64 = 0x0100_0000;
    /// Number of RAM banks.
    pub const GUEST_RAM_BANKS: u32 = 2;
    /// First RAM bank, below 4 GiB.
    pub const GUEST_RAM0_BASE: u64 = 0x4000_0000;
    /// Its size.
    pub const GUEST_RAM0_SIZE: u64 = 0xc000_0000;
    /// Device tree type of the prefetchable PCI window.
    pub const GUEST_VPCI_ADDR_TYPE_PREFETCH_MEM: u64 = 0x4200_0000;
    /// Prefetchable PCI window.
    pub const GUEST_VPCI_PREFETCH_MEM_ADDR: u64 = 0x1_0000_0000;
    /// Its size.
    pub const GUEST_VPCI_PREFETCH_MEM_SIZE: u64 = 0x1_0000_0000;
    /// Second RAM bank.
    pub const GUEST_RAM1_BASE: u64 = 0x02_0000_0000;
    /// Its size.
    pub const GUEST_RAM1_SIZE: u64 = 0xfe_0000_0000;
    /// Lowest RAM address.
    pub const GUEST_RAM_BASE: u64 = GUEST_RAM0_BASE;
    /// RAM of both banks.
    pub const GUEST_RAM_MAX: u64 = GUEST_RAM0_SIZE + GUEST_RAM1_SIZE;
    /// vCPUs at most.
    pub const GUEST_MAX_VCPUS: u32 = 128;
    /// Interrupt number (INTID) of the virtual timer.
    pub const GUEST_TIMER_VIRT_PPI: u32 = 27;
    /// Interrupt number of the secure physical timer.
    pub const GUEST_TIMER_PHYS_S_PPI: u32 = 29;
    /// Interrupt number of the physical timer.
    pub const GUEST_TIMER_PHYS_NS_PPI: u32 = 30;
    /// Interrupt number of event channels.
    pub const GUEST_EVTCHN_PPI: u32 = 31;
    /// Interrupt number of the PL011.
    pub const GUEST_VPL011_SPI: u32 = 32;
    /// First interrupt number of virtio devices.
    pub const GUEST_VIRTIO_MMIO_SPI_FIRST: u32 = 33;
    /// Last interrupt number of virtio devices.
    pub const GUEST_VIRTIO_MMIO_SPI_LAST: u32 = 43;

    /// PSCI 0.1: suspend.
    pub const PSCI_cpu_suspend: u32 = 0;
    /// PSCI 0.1: off.
    pub const PSCI_cpu_off: u32 = 1;
    /// PSCI 0.1: on.
    pub const PSCI_cpu_on: u32 = 2;
    /// PSCI 0.1: migrate.
    pub const PSCI_migrate: u32 = 3;
}

abi_structs! { STRUCTS, Arm64;
    /// Registers of a vCPU.
    #[c = "struct vcpu_guest_core_regs"]
    pub struct VcpuGuestCoreRegs {
        /// x0 to x30; for an AArch32 vCPU its banked registers in the architected mapping.
        #[c = "x0..x30"]
        pub x: [u64; 31],
        /// Program counter.
        pub pc64: u64,
        /// Processor state.
        pub cpsr: u64,
        /// SPSR_EL1, or the AArch32 SPSR_svc in its low half.
        pub spsr_el1: u64,
        /// AArch32 only.
        pub spsr_fiq: u32,
        /// AArch32 only.
        pub spsr_irq: u32,
        /// AArch32 only.
        pub spsr_und: u32,
        /// AArch32 only.
        pub spsr_abt: u32,
        /// Stack pointer of EL0.
        pub sp_el0: u64,
        /// Stack pointer of EL1.
        pub sp_el1: u64,
        /// Return address of EL1.
        pub elr_el1: u64,
    }

    /// State of a vCPU as the tools set it.
    #[c = "struct vcpu_guest_context"]
    pub struct VcpuGuestContext {
        /// `VGCF_*`.
        pub flags: u32,
        /// C padding.
        pub _gap0: u32,
        /// Registers.
        pub user_regs: VcpuGuestCoreRegs,
        /// SCTLR_EL1.
        pub sctlr: u64,
        /// TCR_EL1.
        pub ttbcr: u64,
        /// TTBR0_EL1.
        pub ttbr0: u64,
        /// TTBR1_EL1.
        pub ttbr1: u64,
    }

    /// Event and time state of a vCPU, in the guest's memory.
    #[c = "struct vcpu_info"]
    pub struct VcpuInfo {
        /// Nonzero: events are pending.
        pub evtchn_upcall_pending: u8,
        /// Unused; the mask on x86.
        pub pad0: u8,
        /// C padding.
        pub _gap0: [u16; 3],
        /// Bit per word of `evtchn_pending` that has news.
        pub evtchn_pending_sel: u64,
        /// Unused on arm64: guests read the architected counter.
        pub time: VcpuTimeInfo,
    }

    /// The shared information page.
    #[c = "struct shared_info"]
    pub struct SharedInfo {
        /// vCPU 0, until it registers its own.
        pub vcpu_info: [VcpuInfo; 1],
        /// Pending bit per port (2-level interface).
        pub evtchn_pending: [u64; 64],
        /// Mask bit per port; written by the guest.
        pub evtchn_mask: [u64; 64],
        /// Wall clock: odd during an update.
        pub wc_version: u32,
        /// Wall clock at system time 0: seconds since 1970, low half.
        pub wc_sec: u32,
        /// Wall clock: nanoseconds.
        pub wc_nsec: u32,
        /// Wall clock: seconds, high half.
        pub wc_sec_hi: u32,
    }
}

/// Base and size of each RAM bank, lowest first.
#[doc(alias = "GUEST_RAM_BANK_BASES")]
#[doc(alias = "GUEST_RAM_BANK_SIZES")]
pub const GUEST_RAM_BANK: [(u64, u64); 2] =
    [(GUEST_RAM0_BASE, GUEST_RAM0_SIZE), (GUEST_RAM1_BASE, GUEST_RAM1_SIZE)];

/// Revision of the hypervisor's SMCCC service (`arch-arm/smccc.h`).
pub const XEN_SMCCC_MAJOR_REVISION: u32 = 0;
/// Revision of the hypervisor's SMCCC service.
pub const XEN_SMCCC_MINOR_REVISION: u32 = 1;
/// Identifies the hypervisor's SMCCC service: UUID in network order.
pub const XEN_SMCCC_UID: [u8; 16] =
    [0xa7, 0x18, 0x12, 0xdc, 0xc6, 0x98, 0x43, 0x69, 0x9a, 0xcf, 0x79, 0xd1, 0x8d, 0xde, 0xe6, 0x67];
/// Revision of the standard SMCCC service.
pub const SSSC_SMCCC_MAJOR_REVISION: u32 = 0;
/// Revision of the standard SMCCC service.
pub const SSSC_SMCCC_MINOR_REVISION: u32 = 1;
/// Identifies the standard SMCCC service: UUID in network order.
pub const SSSC_SMCCC_UID: [u8; 16] =
    [0xf8, 0x63, 0x38, 0x6f, 0x4b, 0x39, 0x4c, 0xbd, 0x92, 0x20, 0xce, 0x16, 0x41, 0xe5, 0x9f, 0x6f];
