//! Device memory and interrupts of the nodes that dom0 gets.
use alloc::vec::Vec;

use super::Dom0Desc;
use crate::fault::{Fault, Problem};
use crate::fdt::interrupt::Interrupt;
use crate::fdt::{NodeId, Tree};
use crate::host::{HostInfo, Warn};
use crate::range::{OutOfMemory, PAGE_SIZE, Range, RangeSet, push};
use crate::sort::sort;

/// What dom0 gets besides RAM.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dom0Devices {
    /// Device memory to map one to one: whole pages, sorted and merged; no RAM, no GIC.
    pub mmio: RangeSet,
    /// Parts of /reserved-memory to map one to one as normal memory: whole pages, merged.
    pub reserved: RangeSet,
    /// Shared interrupts to route, in the order of their INTIDs, each once.
    pub spis: Vec<Interrupt>,
    /// Registers of devices that are set apart for guests (`xen,passthrough`): not mapped, but dom0 may
    /// give them. Whole pages, sorted and merged.
    pub apart_mmio: RangeSet,
    /// Shared interrupts of those devices.
    pub apart_spis: Vec<Interrupt>,
}

/// Gathers device memory and interrupts, node by node.
pub(super) struct Collector<'c, 'a> {
    tree: &'c Tree<'a>,
    gic: NodeId,
    /// /reserved-memory: its children are RAM.
    reserved: Option<NodeId>,
    mmio: RangeSet,
    spis: Vec<Interrupt>,
    apart_mmio: RangeSet,
    apart_spis: Vec<Interrupt>,
}

/// Who has a node's device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Holder {
    /// Nobody.
    Nobody,
    /// Dom0.
    Dom0,
    /// A guest, one day: it is set apart.
    Guest,
}

impl<'c, 'a> Collector<'c, 'a> {
    pub(super) fn new(tree: &'c Tree<'a>, gic: NodeId) -> Self {
        Self {
            tree,
            gic,
            reserved: tree.child(NodeId::ROOT, "reserved-memory"),
            mmio: RangeSet::new(),
            spis: Vec::new(),
            apart_mmio: RangeSet::new(),
            apart_spis: Vec::new(),
        }
    }

    /// Takes what the node has, for its holder. False when the node uses a private interrupt:
    /// those cannot be routed to a guest.
    pub(super) fn add(&mut self, node: NodeId, holder: Holder, warn: &mut Warn<'_>) -> Result<bool, Fault> {
        let usable = holder != Holder::Nobody;
        let (spis, mmio) = match holder {
            Holder::Guest => (&mut self.apart_spis, &mut self.apart_mmio),
            Holder::Dom0 | Holder::Nobody => (&mut self.spis, &mut self.mmio),
        };
        let known = spis.len();
        let gic = self.gic;
        let mut private = false;
        let tree = self.tree;
        let mut each = |controller: NodeId, specifier: &[u8]| {
            if controller != gic {
                return Ok(());
            }
            match Interrupt::from_gic(specifier) {
                Some(interrupt) if interrupt.is_ppi() => private = true,
                Some(interrupt) if usable => {
                    push(spis, interrupt)?;
                }
                Some(_) => {}
                None => return Err(tree.fault(node, Problem::BadInterrupt)),
            }
            Ok(())
        };
        let own = tree.interrupts(node, &mut each);
        let mapped = if usable { tree.interrupt_map(node, &mut each) } else { Ok(()) };
        if private {
            spis.truncate(known);
            return Ok(false);
        }
        if usable {
            for result in [own, mapped] {
                tolerate(result, warn)?;
            }
            if self.reserved.is_none() || tree.parent(node) != self.reserved {
                tolerate(node_mmio(tree, node, mmio), warn)?;
            }
        }
        Ok(true)
    }

    pub(super) fn finish(
        mut self,
        host: &HostInfo<'_>,
        desc: &Dom0Desc<'_>,
        reserved: &RangeSet,
    ) -> Result<Dom0Devices, Fault> {
        let mut taken = RangeSet::new();
        taken.extend(host.memory.as_slice())?;
        for frame in host.gic.frames() {
            push_pages(&mut taken, frame)?;
        }
        let reserved = pages(reserved)?;
        taken.extend(reserved.as_slice())?;
        push_beyond(&mut taken, desc.ipa_bits)?;
        taken.normalise();
        let uart = desc.uart.and_then(|(_, interrupt)| interrupt);
        sort(&mut self.spis);
        self.spis.dedup_by_key(|spi| spi.intid);
        self.spis.retain(|spi| uart.is_none_or(|u| u.intid != spi.intid));
        sort(&mut self.apart_spis);
        self.apart_spis.dedup_by_key(|spi| spi.intid);
        self.apart_spis.retain(|spi| uart.is_none_or(|u| u.intid != spi.intid));
        Ok(Dom0Devices {
            mmio: pages(&self.mmio)?.without(&taken)?,
            apart_mmio: pages(&self.apart_mmio)?.without(&taken)?,
            reserved,
            spis: self.spis,
            apart_spis: self.apart_spis,
        })
    }
}

/// Adds what the node has in the CPU's address space: `reg`, and a PCI host bridge's windows.
pub(super) fn node_mmio(tree: &Tree<'_>, node: NodeId, mmio: &mut RangeSet) -> Result<(), Fault> {
    let Some(parent) = tree.parent(node) else {
        return Ok(());
    };
    let is_pci = |node| tree.property(node, "device_type") == Some(b"pci\0");
    let (address, size) = tree.child_cells(parent);
    // Other cells are of buses without memory, such as I2C, and of PCI.
    if (1..=2).contains(&address) && (1..=2).contains(&size) {
        for (start, size) in tree.regs(node, "reg")?.into_iter().flatten() {
            // Not every bus leads to the CPU.
            if let Some(start) = tree.translate(node, start) {
                mmio.push(tree.range(node, start, size)?)?;
            }
        }
    }
    if is_pci(node) && !is_pci(parent) {
        tree.pci_windows(node, &mut |window| Ok(mmio.push(window)?))?;
    }
    Ok(())
}

/// What is wrong with one device does not stop the boot.
fn tolerate(result: Result<(), Fault>, warn: &mut Warn<'_>) -> Result<(), Fault> {
    match result {
        Err(fault) if fault.problem == Problem::OutOfMemory => Err(fault),
        Err(fault) => {
            warn(&fault);
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// The same in whole pages, merged.
fn pages(set: &RangeSet) -> Result<RangeSet, OutOfMemory> {
    let mut pages = RangeSet::new();
    for range in set.as_slice() {
        push_pages(&mut pages, *range)?;
    }
    pages.normalise();
    Ok(pages)
}

fn push_pages(set: &mut RangeSet, range: Range) -> Result<(), OutOfMemory> {
    // A range in the very last page of 2^64 bytes is beyond any guest's addresses.
    range.align_out(PAGE_SIZE).map_or(Ok(()), |r| set.push(r))
}

/// Adds all addresses of more than `bits` bits.
pub(super) fn push_beyond(set: &mut RangeSet, bits: u32) -> Result<(), OutOfMemory> {
    let first = 1u64.checked_shl(bits).unwrap_or(u64::MAX);
    Range::from_bounds(first, u64::MAX).map_or(Ok(()), |r| set.push(r))
}
