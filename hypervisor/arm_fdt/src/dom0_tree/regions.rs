//! Addresses and interrupts that nothing on the host uses.
use alloc::vec::Vec;

use super::devices::{node_mmio, push_beyond};
use crate::fault::{Fault, Problem};
use crate::fdt::interrupt::{FIRST_PPI, FIRST_SPI, Interrupt};
use crate::fdt::{NodeId, Tree};
use crate::host::HostInfo;
use crate::range::{OutOfMemory, Range, RangeSet, push};

/// Alignment of what is found: 2 MiB, so that large mappings fit.
const ALIGN: u64 = 2 << 20;
/// The least size of an extended region in bytes: 64 MiB, as Xen has it.
pub const MIN_EXTENDED: u64 = 64 << 20;

/// What to look for.
#[derive(Clone, Copy, Debug)]
pub struct RegionWish {
    /// Bits of a guest-physical address.
    pub ipa_bits: u32,
    /// Size of the grant table region in bytes.
    pub grant_bytes: u64,
    /// The most extended regions to return.
    pub max_extended: usize,
}

/// Unused addresses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Regions {
    /// For the grant table: of the size asked for, 2 MiB aligned.
    pub grant_table: Range,
    /// For foreign mappings: 2 MiB aligned, at least [`MIN_EXTENDED`] each, in order.
    pub extended: Vec<Range>,
}

/// Finds addresses with neither RAM nor reserved memory nor a device of the host's tree (used by
/// dom0 or not, enabled or not), lowest first. The first 2 MiB are never taken.
pub fn free_regions(tree: &Tree<'_>, host: &HostInfo<'_>, wish: &RegionWish) -> Result<Regions, Fault> {
    let mut used = RangeSet::new();
    used.extend(host.memory.as_slice())?;
    for entry in &host.reserved {
        used.push(entry.range)?;
    }
    for frame in host.gic.frames() {
        used.push(frame)?;
    }
    for node in tree.nodes() {
        match node_mmio(tree, node, &mut used) {
            Err(fault) if fault.problem == Problem::OutOfMemory => return Err(fault),
            // A device that makes no sense uses nothing.
            _ => {}
        }
    }
    // What dom0's tree cannot express is out of reach.
    let (address, size) = tree.child_cells(NodeId::ROOT);
    push_beyond(&mut used, if address == 1 { 32 } else { wish.ipa_bits })?;
    push_beyond(&mut used, wish.ipa_bits)?;
    let mut used = blocks(&used)?;
    used.push(Range::from_bounds(0, ALIGN).unwrap_or_default())?;
    used.normalise();
    let mut all = RangeSet::new();
    all.push(Range::from_bounds(0, LAST_BLOCK).unwrap_or_default())?;
    let holes = all.without(&used)?;
    let none = || Fault::general(Problem::NoHole(wish.grant_bytes));
    let grant_table = holes
        .as_slice()
        .iter()
        .find(|hole| hole.size() >= wish.grant_bytes)
        .and_then(|hole| Range::new(hole.start(), wish.grant_bytes))
        .filter(|range| !range.is_empty())
        .ok_or_else(none)?;
    let mut extended = Vec::new();
    for hole in holes.as_slice() {
        let start = match hole.contains(&grant_table) {
            true => grant_table.end().next_multiple_of(ALIGN),
            false => hole.start(),
        };
        let end = match size {
            1 => hole.end().min(start.saturating_add(MAX_ONE_CELL)),
            _ => hole.end(),
        };
        let region = Range::from_bounds(start, end).filter(|r| r.size() >= MIN_EXTENDED);
        if let Some(region) = region.filter(|_| extended.len() < wish.max_extended) {
            push(&mut extended, region)?;
        }
    }
    Ok(Regions { grant_table, extended })
}

/// The start of the last block of 2^64 bytes, which no guest has.
const LAST_BLOCK: u64 = 0u64.wrapping_sub(ALIGN);
/// The largest size in one cell that keeps the alignment.
const MAX_ONE_CELL: u64 = (1 << 32) - ALIGN;

/// The same in whole blocks of 2 MiB, merged.
fn blocks(set: &RangeSet) -> Result<RangeSet, OutOfMemory> {
    let mut blocks = RangeSet::new();
    for range in set.as_slice() {
        let start = range.start() & !(ALIGN - 1);
        let end = range.end().min(LAST_BLOCK).next_multiple_of(ALIGN);
        if let Some(block) = Range::from_bounds(start, end) {
            blocks.push(block)?;
        }
    }
    Ok(blocks)
}

/// The first private interrupt (INTID 16 to 31) that no node of the host's tree uses.
pub fn free_ppi(tree: &Tree<'_>, host: &HostInfo<'_>) -> Option<u32> {
    let gic = host.gic.node;
    let mut used = 0u32;
    for node in tree.nodes() {
        // What follows a damaged entry of a list cannot be read; what came before it counts.
        let _ = tree.interrupts(node, &mut |controller, specifier| {
            let interrupt = Interrupt::from_gic(specifier).filter(|_| controller == gic);
            if let Some(ppi) = interrupt.filter(Interrupt::is_ppi) {
                used |= 1u32.checked_shl(ppi.intid).unwrap_or(0);
            }
            Ok(())
        });
    }
    (FIRST_PPI..FIRST_SPI).find(|ppi| used >> ppi & 1 == 0)
}
