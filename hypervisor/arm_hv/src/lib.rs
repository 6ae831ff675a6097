//! Runs arm64 guests: what joins the core (`hv_core`), the models of what a guest sees (`arm_vm`)
//! and the machine.
//!
//! [`trap`] serves what a guest does, [`interrupt`] what devices do, [`guest`] is the core's view of
//! an arm64 domain, [`dom0`] builds the first domain.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![allow(non_upper_case_globals, reason = "constants of the ABI keep their header spelling")]

extern crate alloc;

pub mod dom0;
mod guest;
mod inject;
pub mod interrupt;
mod mmio;
pub mod options;
mod platform;
mod power;
mod sysreg;
#[cfg(test)]
mod testkit;
#[cfg(test)]
mod tests;
pub mod trap;
mod vuart;

pub use guest::ArmGuest;
pub use platform::{ArmPlatform, GuestGic, HostGic};
