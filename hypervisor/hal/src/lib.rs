//! The contract between the hypervisor's core and a machine.
//!
//! `addr` has the address and frame-number types, `frame` the access to page frames, `insist` how an
//! atomic operation there comes to an end, `ops` what a machine can do. A machine crate (`arch_aarch64`, `arch_x86_64`, `arch_fake`) implements them;
//! the crate `machine` selects one; the core names none.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod addr;
mod frame;
mod insist;
mod ops;

pub use addr::{Domid, Gaddr, Gfn, Maddr, Mfn, PAGE_SHIFT, PAGE_SIZE, PcpuId};
pub use frame::{FrameMem, clip};
pub use insist::insist;
pub use ops::{GuestRegs, IrqConfig, MachineOps, MapAttr, PteView, Stage2Format, Stage2Root, VcpuContext};
