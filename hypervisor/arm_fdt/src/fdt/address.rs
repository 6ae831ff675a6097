//! `reg` and `ranges`: from bus addresses to the CPU's.
use super::{NodeId, Tree, value};
use crate::fault::{Fault, Problem};
use crate::range::Range;

/// The most entries of `ranges` that are looked at for each register (real buses: below 20).
const MAX_WINDOWS: usize = 64;

/// `reg` of a node, entry by entry, in the parent's address space.
pub struct Regs<'a> {
    rest: &'a [u8],
    address_cells: usize,
    size_cells: usize,
}

impl Iterator for Regs<'_> {
    /// Address and size in bytes.
    type Item = (u64, u64);

    fn next(&mut self) -> Option<(u64, u64)> {
        if self.rest.is_empty() {
            return None;
        }
        let (address, rest) = value::take(self.rest, self.address_cells)?;
        let (size, rest) = value::take(rest, self.size_cells)?;
        self.rest = rest;
        Some((address, size))
    }
}

impl<'a> Tree<'a> {
    /// Property `name` of `node`, laid out like `reg`: addresses and sizes of one or two cells each,
    /// as the parent says. `None` when the node has no such property.
    pub fn regs(&self, node: NodeId, name: &'static str) -> Result<Option<Regs<'a>>, Fault> {
        let Some(bytes) = self.property(node, name) else {
            return Ok(None);
        };
        let parent = self.parent(node).unwrap_or(NodeId::ROOT);
        let (address, size) = self.child_cells(parent);
        if !(1..=2).contains(&address) || !(1..=2).contains(&size) {
            return Err(self.fault(node, Problem::BadCells { address, size }));
        }
        let (address_cells, size_cells) = (usize::from(address), usize::from(size));
        let unit = address_cells.saturating_add(size_cells).saturating_mul(4);
        if !bytes.len().is_multiple_of(unit) {
            return Err(self.fault(
                node,
                Problem::BadLength {
                    property: name,
                    // Both are below MAX_SIZE.
                    len: bytes.len() as u32,
                    unit: unit as u32,
                },
            ));
        }
        Ok(Some(Regs { rest: bytes, address_cells, size_cells }))
    }

    /// Entry `index` of the node's `reg` as the CPU sees it; `None` when `reg` is shorter.
    pub fn cpu_reg(&self, node: NodeId, index: usize) -> Result<Option<Range>, Fault> {
        let Some(mut regs) = self.regs(node, "reg")? else {
            return Ok(None);
        };
        let Some((address, size)) = regs.nth(index) else {
            return Ok(None);
        };
        let Some(start) = self.translate(node, address) else {
            return Err(self.fault(node, Problem::NotMapped));
        };
        self.range(node, start, size).map(Some)
    }

    /// Entry `index` of the node's `reg` as the CPU sees it, which must be there and not empty.
    pub fn need_cpu_reg(&self, node: NodeId, index: usize) -> Result<Range, Fault> {
        self.cpu_reg(node, index)?
            .filter(|range| !range.is_empty())
            .ok_or_else(|| self.fault(node, Problem::Missing("reg")))
    }

    /// The CPU's address for `address` on the bus that `node` is on; `None` when a bus on the way
    /// has no `ranges`, or none that holds the address.
    pub fn translate(&self, node: NodeId, address: u64) -> Option<u64> {
        let mut bus = self.parent(node)?;
        let mut address = address;
        // The root is at most MAX_DEPTH steps away.
        while let Some(above) = self.parent(bus) {
            let ranges = self.ranges(bus)?;
            if !ranges.is_empty() {
                address = self.windows(bus, above, ranges)?.find_map(|w| w.translate(address))?;
            }
            bus = above;
        }
        Some(address)
    }

    /// The windows of `bus` into `above`, as its `ranges` lists them. `None` for cells, a length or
    /// a number of entries that make no sense here.
    fn windows(&self, bus: NodeId, above: NodeId, ranges: &'a [u8]) -> Option<Windows<'a>> {
        let (child, size) = self.child_cells(bus);
        let (parent, _) = self.child_cells(above);
        let cells = [child, parent, size].map(usize::from);
        let [child, parent, size] = cells;
        let fits = (1..=3).contains(&child) && (1..=2).contains(&parent) && (1..=2).contains(&size);
        let unit = child.saturating_add(parent).saturating_add(size).saturating_mul(4);
        let bounded = ranges.len() <= unit.saturating_mul(MAX_WINDOWS);
        (fits && bounded && ranges.len().is_multiple_of(unit)).then_some(Windows { rest: ranges, cells })
    }

    /// What a PCI host bridge's `ranges` maps, as the CPU sees it. Calls `each` once per window.
    pub fn pci_windows(
        &self,
        bridge: NodeId,
        each: &mut dyn FnMut(Range) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let (Some(ranges), Some(above)) = (self.ranges(bridge), self.parent(bridge)) else {
            return Ok(());
        };
        let Some(windows) = self.windows(bridge, above, ranges) else {
            return Err(self.fault(bridge, Problem::BadValue("ranges")));
        };
        for window in windows {
            let Some(start) = self.translate(bridge, window.parent) else {
                return Err(self.fault(bridge, Problem::NotMapped));
            };
            each(self.range(bridge, start, window.size)?)?;
        }
        Ok(())
    }
}

/// An entry of `ranges`. Of a PCI address's three cells the lower two count.
struct Window {
    child: u64,
    parent: u64,
    size: u64,
}

impl Window {
    fn translate(&self, address: u64) -> Option<u64> {
        let offset = address.checked_sub(self.child)?;
        (offset < self.size).then(|| self.parent.checked_add(offset)).flatten()
    }
}

struct Windows<'a> {
    rest: &'a [u8],
    /// Cells of the child's address, the parent's address, the size.
    cells: [usize; 3],
}

impl Iterator for Windows<'_> {
    type Item = Window;

    fn next(&mut self) -> Option<Window> {
        let [child, parent, size] = self.cells;
        let (child, rest) = value::take(self.rest, child)?;
        let (parent, rest) = value::take(rest, parent)?;
        let (size, rest) = value::take(rest, size)?;
        self.rest = rest;
        Some(Window { child, parent, size })
    }
}
