//! What touches registers and memory.

mod arm_ops;
mod boot;
pub mod console;
mod cpu;
mod fault;
mod frame;
mod gic;
mod hold;
mod machine;
mod memory;
mod mmio;
pub mod power;
mod setup;
mod smp;
mod switch;
mod sysreg;
mod tables;
mod tlb;
mod vectors;

pub use arm_regs::PrivateIrqs;
pub use arm_regs::{Context, GuestRegs};
pub use boot::Entry;
pub use cpu::{Features, Unfit, park, this_index};
pub use fault::panic;
pub use frame::Frame;
pub use gic::{Gic, GicInfo};
pub use machine::{Machine, MachineConfig, machine};
pub use setup::{Setup, SetupError};
pub use smp::{StartError, StartMethod};
pub use switch::enter_guest;
#[doc(hidden)]
pub use vectors::{HARDENING_FUNCTION, HARDENING_LOOPS};

/// The bits of a stack pointer within its slot; for [`crate::image!`].
#[doc(hidden)]
pub const STACK_SLOT_MASK: u64 = crate::layout::STACK_SLOT - 1;
