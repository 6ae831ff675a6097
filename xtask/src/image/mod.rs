//! Boot images: a file tree described in memory, packed as a compressed cpio archive.

mod bench;
mod cpio;
mod dom0;
mod domu;
mod kernel_modules;
mod libraries;
mod pack;
mod tree;

pub use bench::build as bench;
pub use dom0::{COUNTING, build as dom0};
