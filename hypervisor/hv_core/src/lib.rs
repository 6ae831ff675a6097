//! The hypervisor's policy: memory, domains, event channels, grants, scheduling, hypercalls.
//!
//! All of it is safe Rust over the machine that the crate `machine` selects, and runs in unit
//! tests on the host. [`Hypervisor`] holds everything; nothing is global. What only one kind of
//! guest has (interrupt controller, power calls, traps) stands behind [`GuestKind`].
#![cfg_attr(not(any(test, feature = "testkit")), no_std)]
#![forbid(unsafe_code)]
#![allow(non_upper_case_globals, reason = "constants of the ABI keep their header spelling")]

extern crate alloc;

pub mod console;
mod debug_keys;
pub mod domain;
pub mod event;
pub mod grant;
pub mod hypercall;
mod hypervisor;
#[cfg(test)]
mod loom_atomics;
pub mod memory;
pub mod options;
mod pcpu;
pub mod pools;
mod runstate;
pub mod scheduling;
#[cfg(any(test, feature = "testkit"))]
pub mod testkit;
#[cfg(test)]
mod tests;
pub mod timer;
mod wallclock;

pub use domain::{Domain, GuestKind, Vcpu};
pub use hypervisor::{Hypervisor, Parts};
pub use pcpu::{Current, Local, Pcpu, Work};
