//! arm64 boot data, as pure functions from bytes to typed values and back.
//!
//! - [`fdt`]: a flattened device tree read in place, with an index of its nodes; and a writer.
//! - [`host`]: what the host's tree says: memory, boot modules, command lines, CPUs, PSCI, GIC,
//!   timer, UART.
//! - [`cmdline`]: the hypervisor's options, from one table that also renders their manual.
//! - [`dom0_tree`]: dom0's device tree, and which device memory and interrupts go with it.
//! - [`kernel`]: kernel images: header, gzip, EFI zboot, and where things go in dom0's memory.
//!
//! Everything read here comes from firmware, a boot loader or a file, and may be damaged: whatever
//! the bytes are, the answer is a value or a [`Fault`] that says what is wrong, where, and what to
//! do. Nothing here panics, and all work is bounded by the size of the input.
//!
//! Why an own reader and not `dtoolkit`: that crate refuses trees with node or property names of
//! more than 31 characters (`__symbols__` of real boards has them), finds the next sibling by
//! walking the whole subtree, and knows neither parents nor phandles, so that paths, address
//! translation and interrupt parents would each need a walk of their own. The tests use it as a
//! second opinion on every tree written here.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
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

extern crate alloc;

pub mod cmdline;
pub mod dom0_tree;
pub mod fdt;
pub mod host;
pub mod kernel;

mod fault;
mod range;
mod sort;
#[cfg(test)]
mod testing;
mod text;

pub use fault::{Explained, Fault, Item, Problem};
pub use range::{OutOfMemory, PAGE_SIZE, Range, RangeSet};
pub use text::Text;
