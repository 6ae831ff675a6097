//! Whether the boot modules, the image and the tree are where they can be.
use super::{HostInput, Module, Reserved};
use crate::fault::{Fault, Item, Problem};
use crate::fdt::{NodeId, Tree};
use crate::range::{Range, RangeSet};

/// Checks each against RAM, against each other, and against reserved memory.
pub(super) fn check(
    tree: &Tree<'_>,
    input: &HostInput<'_>,
    memory: &RangeSet,
    reserved: &[Reserved],
    modules: &[Module<'_>],
) -> Result<(), Fault> {
    let own = [(Item::Hypervisor, input.image, NodeId::ROOT), (Item::DeviceTree, input.fdt, NodeId::ROOT)];
    let module = |m: &Module<'_>| (m.kind.item(), m.range, m.node);
    let all = || own.into_iter().chain(modules.iter().map(module));
    // At most MAX_MODULES + 2 of them.
    for (at, (item, range, node)) in all().enumerate() {
        if !memory.contains(&range) {
            return Err(tree.fault(node, Problem::NotInRam(item, range)));
        }
        for (other, other_range, _) in all().take(at) {
            refuse_overlap(tree, node, (item, range), (other, other_range))?;
        }
        for entry in reserved {
            // Firmware and boot loaders reserve what they have loaded.
            let covered = entry.node.is_none() && entry.range.contains(&range);
            let kind = match entry.node {
                Some(_) => Item::ReservedMemory,
                None => Item::MemReserve,
            };
            if !covered {
                refuse_overlap(tree, node, (item, range), (kind, entry.range))?;
            }
        }
    }
    Ok(())
}

fn refuse_overlap(
    tree: &Tree<'_>,
    node: NodeId,
    (a, a_range): (Item, Range),
    (b, b_range): (Item, Range),
) -> Result<(), Fault> {
    if a_range.overlaps(&b_range) {
        return Err(tree.fault(node, Problem::Overlap { a, a_range, b, b_range }));
    }
    Ok(())
}
