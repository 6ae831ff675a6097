//! The interrupt controller, version 2 or 3.

use crate::device_tree::Tree;
use crate::{read_register, write_register};

/// Registers of the distributor, the same in a redistributor's frame for private interrupts.
pub mod register {
    /// `GICD_CTLR`.
    pub const CTLR: u64 = 0x000;
    /// `GICD_TYPER`.
    pub const TYPER: u64 = 0x004;
    /// `GICD_IGROUPR0`.
    pub const GROUP: u64 = 0x080;
    /// `GICD_ISENABLER0`.
    pub const SET_ENABLE: u64 = 0x100;
    /// `GICD_ICENABLER0`.
    pub const CLEAR_ENABLE: u64 = 0x180;
    /// `GICD_ISPENDR0`.
    pub const SET_PENDING: u64 = 0x200;
    /// `GICD_ICPENDR0`.
    pub const CLEAR_PENDING: u64 = 0x280;
    /// `GICD_ISACTIVER0`.
    pub const SET_ACTIVE: u64 = 0x300;
    /// `GICD_ICACTIVER0`.
    pub const CLEAR_ACTIVE: u64 = 0x380;
    /// `GICD_IPRIORITYR0`.
    pub const PRIORITY: u64 = 0x400;
    /// `GICD_ICFGR0`.
    pub const CONFIGURATION: u64 = 0xc00;
}

const REDISTRIBUTOR_SIZE: u64 = 0x2_0000;
const SGI_FRAME: u64 = 0x1_0000;

/// Where it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gic {
    /// Version 2.
    V2 {
        /// The distributor.
        distributor: u64,
        /// The CPU interface.
        interface: u64,
    },
    /// Version 3.
    V3 {
        /// The distributor.
        distributor: u64,
        /// The redistributors, one after the other.
        redistributors: u64,
    },
}

impl Gic {
    pub(crate) fn find(tree: &Tree) -> Self {
        if let Some([distributor, redistributors]) = tree.registers("arm,gic-v3") {
            return Self::V3 { distributor, redistributors };
        }
        let [distributor, interface] = tree
            .registers("arm,cortex-a15-gic")
            .or_else(|| tree.registers("arm,gic-400"))
            .expect("the device tree has no interrupt controller");
        Self::V2 { distributor, interface }
    }

    /// The distributor.
    pub fn distributor(self) -> u64 {
        match self {
            Self::V2 { distributor, .. } | Self::V3 { distributor, .. } => distributor,
        }
    }

    /// The registers of a vCPU's private interrupts.
    pub fn private(self, vcpu: usize) -> u64 {
        match self {
            Self::V2 { distributor, .. } => distributor,
            Self::V3 { redistributors, .. } => redistributors + vcpu as u64 * REDISTRIBUTOR_SIZE + SGI_FRAME,
        }
    }

    /// The frame of a vCPU's redistributor with its own registers.
    pub fn redistributor(self, vcpu: usize) -> Option<u64> {
        match self {
            Self::V2 { .. } => None,
            Self::V3 { redistributors, .. } => Some(redistributors + vcpu as u64 * REDISTRIBUTOR_SIZE),
        }
    }

    /// Switches the distributor and this vCPU's interface on; all priorities pass.
    pub fn switch_on(self) {
        match self {
            Self::V2 { distributor, interface } => {
                mmio::write32(distributor + register::CTLR, 1);
                mmio::write32(interface + 4, 0xff);
                mmio::write32(interface, 1);
            }
            Self::V3 { distributor, .. } => {
                // Affinity routing, groups 1.
                mmio::write32(distributor + register::CTLR, 0x12);
                write_register!("S3_0_C12_C12_5", read_register!("S3_0_C12_C12_5") | 1);
                write_register!("S3_0_C4_C6_0", 0xff);
                write_register!("S3_0_C12_C12_4", 0);
                write_register!("S3_0_C12_C12_7", 1);
            }
        }
    }

    /// Only interrupts of a priority above this (a lower number) pass on this vCPU.
    pub fn set_priority_mask(self, mask: u8) {
        match self {
            Self::V2 { interface, .. } => mmio::write32(interface + 4, u32::from(mask)),
            Self::V3 { .. } => write_register!("S3_0_C4_C6_0", u64::from(mask)),
        }
    }

    /// Enables a private interrupt of a vCPU, or a shared one.
    pub fn enable(self, vcpu: usize, intid: u32) {
        let base = if intid < 32 { self.private(vcpu) } else { self.distributor() };
        mmio::write32(base + register::SET_ENABLE + u64::from(intid / 32) * 4, 1 << (intid % 32));
    }

    /// Sets an interrupt's priority.
    pub fn set_priority(self, vcpu: usize, intid: u32, priority: u8) {
        let base = if intid < 32 { self.private(vcpu) } else { self.distributor() };
        mmio::write8(base + register::PRIORITY + u64::from(intid), priority);
    }

    /// Takes the interrupt of the highest priority; what [`Gic::end`] wants.
    pub fn acknowledge(self) -> u32 {
        match self {
            Self::V2 { interface, .. } => mmio::read32(interface + 0xc),
            Self::V3 { .. } => read_register!("S3_0_C12_C12_0") as u32,
        }
    }

    /// Ends an interrupt that was acknowledged.
    pub fn end(self, acknowledged: u32) {
        match self {
            Self::V2 { interface, .. } => mmio::write32(interface + 0x10, acknowledged),
            Self::V3 { .. } => write_register!("S3_0_C12_C12_1", u64::from(acknowledged)),
        }
    }

    /// The interrupt that would be acknowledged next, 1023 for none.
    pub fn highest_pending(self) -> u32 {
        match self {
            Self::V2 { interface, .. } => mmio::read32(interface + 0x18) & 0x3ff,
            Self::V3 { .. } => read_register!("S3_0_C12_C12_2") as u32,
        }
    }

    /// Sends a software-generated interrupt to one of the first vCPUs.
    pub fn send_sgi(self, vcpu: usize, intid: u32) {
        match self {
            Self::V2 { distributor, .. } => {
                mmio::write32(distributor + 0xf00, 1 << (16 + vcpu) | intid);
            }
            Self::V3 { .. } => {
                write_register!("S3_0_C12_C11_5", u64::from(intid) << 24 | 1 << vcpu);
            }
        }
    }
}

/// Device registers.
pub mod mmio {
    use core::arch::asm;

    macro_rules! access {
        ($read:ident, $write:ident, $type:ty, $load:literal, $store:literal) => {
            /// Reads a register; 0 when that faults and is expected to.
            #[inline]
            pub fn $read(address: u64) -> $type {
                let value: u64;
                // SAFETY: device registers are no memory of the compiler's. A fault is served by the vectors.
                unsafe {
                    asm!($load, out = inlateout(reg) 0u64 => value, at = in(reg) address, options(nostack));
                }
                value as $type
            }

            /// Writes a register.
            #[inline]
            pub fn $write(address: u64, value: $type) {
                // SAFETY: as above; what the device does with it does not reach memory of the compiler's.
                unsafe {
                    asm!($store, value = in(reg) value as u64, at = in(reg) address, options(nostack));
                }
            }
        };
    }

    access!(read8, write8, u8, "ldrb {out:w}, [{at}]", "strb {value:w}, [{at}]");
    access!(read16, write16, u16, "ldrh {out:w}, [{at}]", "strh {value:w}, [{at}]");
    access!(read32, write32, u32, "ldr {out:w}, [{at}]", "str {value:w}, [{at}]");
    access!(read64, write64, u64, "ldr {out}, [{at}]", "str {value}, [{at}]");
}
