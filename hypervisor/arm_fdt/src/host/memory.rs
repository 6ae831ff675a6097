//! RAM and what is reserved of it.
use alloc::vec::Vec;

use super::Warn;
use crate::fault::{Fault, Item, Problem};
use crate::fdt::{NodeId, Tree};
use crate::range::{PAGE_SIZE, Range, RangeSet, push};
use crate::sort::sort;

/// The most memory banks, and the most reserved ranges, that are looked at.
const MAX_RANGES: usize = 256;

/// A range of addresses that somebody else uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reserved {
    /// Its addresses, as given: not rounded to pages, not necessarily in RAM.
    pub range: Range,
    /// The child of /reserved-memory; `None` for an entry of the memory reservation block.
    pub node: Option<NodeId>,
    /// `no-map`: the operating system must not even map it.
    pub no_map: bool,
}

/// Whether the node describes RAM: `device_type`, or without one the name.
pub(crate) fn is_memory(tree: &Tree<'_>, node: NodeId) -> bool {
    match tree.property(node, "device_type") {
        Some(kind) => kind == b"memory\0",
        None => tree
            .name(node)
            .strip_prefix("memory")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('@')),
    }
}

/// All enabled RAM, in whole pages.
pub(super) fn banks(tree: &Tree<'_>, warn: &mut Warn<'_>) -> Result<RangeSet, Fault> {
    let mut banks: Vec<(Range, NodeId)> = Vec::new();
    let mut full = false;
    let nodes = tree.children(NodeId::ROOT).filter(|n| tree.enabled(*n) && is_memory(tree, *n));
    for node in nodes {
        let Some(regs) = tree.regs(node, "reg")? else {
            return Err(tree.fault(node, Problem::Missing("reg")));
        };
        for (start, size) in regs {
            let range = tree.range(node, start, size)?;
            // Boot loaders leave empty banks behind, and odd ends that no page fits in.
            let Some(range) = range.align_in(PAGE_SIZE) else {
                continue;
            };
            if banks.len() < MAX_RANGES {
                push(&mut banks, (range, node))?;
            } else if !core::mem::replace(&mut full, true) {
                warn(&tree.fault(node, too_many("memory banks")));
            }
        }
    }
    sort(&mut banks);
    let mut memory = RangeSet::new();
    let mut last: Option<Range> = None;
    for (range, node) in banks {
        if let Some(last) = last.filter(|last| last.overlaps(&range)) {
            return Err(tree.fault(
                node,
                Problem::Overlap { a: Item::MemoryBank, a_range: range, b: Item::MemoryBank, b_range: last },
            ));
        }
        last = Some(range);
        memory.push(range)?;
    }
    memory.normalise();
    if memory.as_slice().is_empty() {
        return Err(Fault::general(Problem::NoMemory));
    }
    Ok(memory)
}

/// The memory reservation block and the children of /reserved-memory that say where they are (the
/// others are for dom0's kernel to place).
pub(super) fn reserved(tree: &Tree<'_>) -> Result<Vec<Reserved>, Fault> {
    let mut reserved = Vec::new();
    let mut add = |entry: Reserved| {
        if entry.range.is_empty() {
            return Ok(());
        }
        if reserved.len() == MAX_RANGES {
            // None may be left out: somebody else uses that memory.
            return Err(Fault { node: entry.node, problem: too_many("reserved ranges") });
        }
        Ok::<(), Fault>(push(&mut reserved, entry)?)
    };
    for (start, size) in tree.reservations() {
        let range = tree.range(NodeId::ROOT, start, size)?;
        add(Reserved { range, node: None, no_map: false })?;
    }
    if let Some(parent) = tree.child(NodeId::ROOT, "reserved-memory") {
        for node in tree.children(parent).filter(|n| tree.enabled(*n)) {
            let Some(regs) = tree.regs(node, "reg")? else {
                continue;
            };
            let no_map = tree.property(node, "no-map").is_some();
            for (start, size) in regs {
                let range = tree.range(node, start, size)?;
                add(Reserved { range, node: Some(node), no_map })?;
            }
        }
    }
    Ok(reserved)
}

fn too_many(what: &'static str) -> Problem {
    Problem::TooMany { what, max: MAX_RANGES as u32 }
}
