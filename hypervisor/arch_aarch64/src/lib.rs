//! The aarch64 machine: EL2 entry, page tables, traps, interrupt controller, timer, power.
//!
//! What can be computed without the CPU is in the modules at the top and is tested on the host:
//! table formats, RAM bookkeeping, the clock, which CPU has which bugs. `bare` touches registers
//! and memory, and is built for bare metal only; all `unsafe` of the crate is there.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(
    not(all(target_os = "none", target_arch = "aarch64")),
    allow(dead_code, reason = "on a host only the tests use what `bare` is made of")
)]

extern crate alloc;

mod clock;
mod cpu_bugs;
mod esr;
mod layout;
mod paging;
mod ram;
mod stage2;

#[cfg(all(target_os = "none", target_arch = "aarch64"))]
mod bare;

pub use clock::Clock;
pub use cpu_bugs::{Bugs, CpuIds, Hardening, speculates_at};
pub use layout::{MAX_CPUS, STACK_SIZE};
pub use paging::MapError;
pub use ram::{Bank, Banks, BootRam, Span, without_holes};
pub use stage2::Stage2;

#[cfg(all(target_os = "none", target_arch = "aarch64"))]
pub use bare::*;
