//! The x86_64 machine: entry, page tables, exception reports, console, what the boot loader says.
//!
//! There is no `Machine` here yet: this crate brings the CPU into 64-bit mode and tells what the
//! boot loader passed. What can be computed without the CPU is in the modules at the top and is
//! tested on the host; `bare` touches registers and memory, and is built for bare metal only; all
//! `unsafe` of the crate is there.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::string_slice
    )
)]

mod boot_info;
pub mod descriptor;
pub mod exception;
mod layout;
mod list;
mod span;
mod text;
pub mod uart;

#[cfg(all(target_os = "none", target_arch = "x86_64"))]
mod bare;

pub use boot_info::{
    BootError, BootInfo, BootMemory, MAX_MODULES, MAX_REGIONS, MapError, MemoryMap, Module, Part, Protocol,
    Region, RegionKind, Unreadable, Usable,
};
pub use layout::{DIRECT_BASE, DIRECT_SIZE, IMAGE_BASE, LOAD_ADDRESS, STACK_SIZE};
pub use span::Span;
pub use text::Text;

#[cfg(all(target_os = "none", target_arch = "x86_64"))]
pub use bare::*;
