//! What interrupts a node has, where they go, and what the GIC's specifiers mean.
use super::{NodeId, Tree, value};
use crate::fault::{Fault, Problem};

/// The first private peripheral interrupt's INTID.
pub const FIRST_PPI: u32 = 16;
/// The first shared peripheral interrupt's INTID.
pub const FIRST_SPI: u32 = 32;
/// The last shared peripheral interrupt's INTID.
pub const LAST_SPI: u32 = 1019;

/// An interrupt as the GIC counts it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Interrupt {
    /// 16 to 31 for a private one (PPI), 32 to 1019 for a shared one (SPI).
    pub intid: u32,
    /// Triggered by an edge, not by a level.
    pub edge: bool,
    /// Falling edge or low level. The GIC itself does not care; device trees pass it on.
    pub inverted: bool,
}

impl Interrupt {
    /// Whether it is private to each CPU.
    pub fn is_ppi(&self) -> bool {
        self.intid < FIRST_SPI
    }

    /// Reads a specifier of the GIC's binding: kind (0 shared, 1 private), number, flags. `None`
    /// for kinds and numbers that are not supported.
    pub fn from_gic(specifier: &[u8]) -> Option<Self> {
        let mut words = value::words(specifier);
        let (kind, number, flags) = (words.next()?, words.next()?, words.next()?);
        let (first, last) = match kind {
            0 => (FIRST_SPI, LAST_SPI),
            1 => (FIRST_PPI, FIRST_SPI.saturating_sub(1)),
            _ => return None,
        };
        let intid = number.checked_add(first).filter(|id| *id <= last)?;
        // 1 rising edge, 2 falling edge, 4 high level, 8 low level.
        Some(Self { intid, edge: flags & 3 != 0, inverted: flags & 0xa != 0 })
    }
}

/// What [`Tree::interrupts`] and [`Tree::interrupt_map`] hand out: the node that the interrupt goes
/// to, and the specifier in that node's words.
pub type EachInterrupt<'f> = dyn FnMut(NodeId, &[u8]) -> Result<(), Fault> + 'f;

impl<'a> Tree<'a> {
    /// The node's own interrupts in order: `interrupts-extended`, or else `interrupts`.
    pub fn interrupts(&self, node: NodeId, each: &mut EachInterrupt<'_>) -> Result<(), Fault> {
        if let Some(list) = self.property(node, "interrupts-extended") {
            return self.extended_interrupts(node, list, each);
        }
        let Some(list) = self.property(node, "interrupts") else {
            return Ok(());
        };
        let Some(parent) = self.interrupt_parent(node) else {
            return Err(self.fault(node, Problem::Missing("interrupt-parent")));
        };
        let unit = self.specifier_len(parent)?;
        if !list.len().is_multiple_of(unit) {
            return Err(self.fault(
                node,
                Problem::BadLength {
                    property: "interrupts",
                    // Both are below MAX_SIZE.
                    len: list.len() as u32,
                    unit: unit as u32,
                },
            ));
        }
        list.chunks_exact(unit).try_for_each(|specifier| each(parent, specifier))
    }

    fn extended_interrupts(
        &self,
        node: NodeId,
        list: &'a [u8],
        each: &mut EachInterrupt<'_>,
    ) -> Result<(), Fault> {
        let short = || self.fault(node, Problem::BadValue("interrupts-extended"));
        let mut rest = list;
        while !rest.is_empty() {
            let (phandle, tail) = rest.split_first_chunk::<4>().ok_or_else(short)?;
            rest = tail;
            let phandle = u32::from_be_bytes(*phandle);
            if phandle == 0 {
                // An empty place in the list.
                continue;
            }
            let controller = self.need_phandle(node, phandle)?;
            let unit = self.specifier_len(controller)?;
            let (specifier, tail) = rest.split_at_checked(unit).ok_or_else(short)?;
            rest = tail;
            each(controller, specifier)?;
        }
        Ok(())
    }

    /// Where the node's `interrupt-map` leads: one call per entry.
    pub fn interrupt_map(&self, node: NodeId, each: &mut EachInterrupt<'_>) -> Result<(), Fault> {
        let Some(map) = self.property(node, "interrupt-map") else {
            return Ok(());
        };
        let bad = || self.fault(node, Problem::BadValue("interrupt-map"));
        // Without cells of its own a node counts as having none.
        let address = self.own_address_cells(node).map_or(0, usize::from);
        let specifier = self.interrupt_cells(node).map_or(0, usize::from);
        let child_len = address.saturating_add(specifier).saturating_mul(4);
        let mut rest = map;
        // Most maps lead to one controller only: look it up once.
        let mut known = None;
        while !rest.is_empty() {
            let (_, tail) = rest.split_at_checked(child_len).ok_or_else(bad)?;
            let (phandle, tail) = tail.split_first_chunk::<4>().ok_or_else(bad)?;
            let phandle = u32::from_be_bytes(*phandle);
            let (controller, unit_len, specifier_len) = match known {
                Some((last, found)) if last == phandle => found,
                _ => {
                    let controller = self.need_phandle(node, phandle)?;
                    (
                        controller,
                        self.own_address_cells(controller).map_or(0, usize::from).saturating_mul(4),
                        self.specifier_len(controller)?,
                    )
                }
            };
            known = Some((phandle, (controller, unit_len, specifier_len)));
            let (_, tail) = tail.split_at_checked(unit_len).ok_or_else(bad)?;
            let (specifier, tail) = tail.split_at_checked(specifier_len).ok_or_else(bad)?;
            rest = tail;
            each(controller, specifier)?;
        }
        Ok(())
    }

    /// The node's interrupt number `index`, which must go to the GIC `gic`. `None` when there are
    /// fewer.
    pub fn gic_interrupt(&self, node: NodeId, gic: NodeId, index: usize) -> Result<Option<Interrupt>, Fault> {
        let mut found = None;
        let mut at = 0usize;
        self.interrupts(node, &mut |controller, specifier| {
            if at == index {
                found = Some((controller, Interrupt::from_gic(specifier)));
            }
            at = at.saturating_add(1);
            Ok(())
        })?;
        match found {
            None => Ok(None),
            Some((controller, Some(interrupt))) if controller == gic => Ok(Some(interrupt)),
            Some(_) => Err(self.fault(node, Problem::BadInterrupt)),
        }
    }

    /// Bytes of an interrupt specifier for `controller`.
    fn specifier_len(&self, controller: NodeId) -> Result<usize, Fault> {
        match self.interrupt_cells(controller) {
            Some(cells @ 1..=4) => Ok(usize::from(cells).saturating_mul(4)),
            _ => Err(self.fault(controller, Problem::BadValue("#interrupt-cells"))),
        }
    }

    fn need_phandle(&self, node: NodeId, phandle: u32) -> Result<NodeId, Fault> {
        self.by_phandle(phandle).ok_or_else(|| self.fault(node, Problem::NoSuchPhandle(phandle)))
    }
}
