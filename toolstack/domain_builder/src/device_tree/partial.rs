//! Partial device trees, which people give: xl.cfg(5), device_tree.
use dtoolkit::Node;
use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::model::DeviceTreeNode;

use crate::error::PartialTreeError;

/// Largest partial tree.
const MAX_BYTES: usize = 64 << 10;
/// Deepest node in it.
const MAX_DEPTH: usize = 16;

/// Copies `/passthrough` and, if there is one, `/aliases`.
pub(super) fn copy(file: &[u8], root: &mut DeviceTreeNode) -> Result<(), PartialTreeError> {
    // Copying walks each node's siblings once for each level above it, by recursion: hence the bounds.
    if file.len() > MAX_BYTES {
        return Err(PartialTreeError::TooLarge(MAX_BYTES, MAX_DEPTH));
    }
    let tree = Fdt::new(file).map_err(|error| PartialTreeError::Malformed(error.to_string()))?;
    let passthrough = tree.root().child("passthrough").ok_or(PartialTreeError::NothingToCopy)?;
    let aliases = tree.root().child("aliases");
    for node in [Some(passthrough), aliases].into_iter().flatten() {
        if !is_shallow(&node, MAX_DEPTH) {
            return Err(PartialTreeError::TooLarge(MAX_BYTES, MAX_DEPTH));
        }
        root.add_child(DeviceTreeNode::from_node(&node));
    }
    Ok(())
}

/// Whether nodes are at most `levels` deep; looks no deeper.
fn is_shallow(node: &FdtNode<'_>, levels: usize) -> bool {
    match levels.checked_sub(1) {
        None => false,
        Some(levels) => node.children().all(|child| is_shallow(&child, levels)),
    }
}
