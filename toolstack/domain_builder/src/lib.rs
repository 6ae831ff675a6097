//! Plans an arm64 guest, as libxl and libxenguest 4.17 build it: what goes where in its memory, and how its first
//! vCPU starts. The caller reads the files, makes the domain, and writes what the [`Plan`] says.
//!
//! ```text
//! 0x3900_0000  magic pages: console, xenstore, memory access, serial port
//! 0x4000_0000  RAM: kernel; 128 MiB above, or else at the end: device tree, RAM disk
//! 0x2_0000_0000  RAM of guests with more than 3 GiB
//! ```
#![forbid(unsafe_code)]

mod device_tree;
mod error;
mod kernel;
mod layout;
mod memory;
mod plan;
#[cfg(test)]
mod testing;

pub use device_tree::Gic;
pub use error::{BuildError, KernelError, PartialTreeError};
pub use kernel::{KERNEL_START_BYTES, KernelFile, MAX_KERNEL_BYTES};
pub use memory::Bank;
pub use plan::{Content, Guest, MagicPages, Plan, Segment, plan};
