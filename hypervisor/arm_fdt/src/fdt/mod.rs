//! Flattened device trees (Devicetree Specification 0.4, chapter 5): read in place, and written.
//!
//! [`Tree::parse`] checks the whole blob once and keeps a small record of each node, so that later
//! reads cannot fail half-way and parents, subtrees and phandles are found without walking.
//! [`address`] turns `reg` into CPU addresses, [`interrupt`] finds what an interrupt is wired to.
pub mod address;
mod blob;
pub mod interrupt;
mod tree;
pub mod value;
mod write;

#[cfg(test)]
mod tests;

pub use blob::{FdtError, MAX_DEPTH, MAX_NODES, MAX_SIZE, Property, total_size};
pub use tree::{Children, Descendants, NodeId, Tree};
pub use write::Writer;
