//! The interrupt controller (bindings/interrupt-controller/arm,gic.yaml and arm,gic-v3.yaml).
use alloc::vec::Vec;

use super::Warn;
use crate::fault::{Fault, Item, Problem};
use crate::fdt::interrupt::Interrupt;
use crate::fdt::{NodeId, Tree, value};
use crate::range::{OutOfMemory, Range, push};
use crate::sort::sort;

/// GICv2 with virtualisation.
const V2: &[&str] = &["arm,gic-400", "arm,cortex-a15-gic", "arm,cortex-a7-gic"];
const V3: &[&str] = &["arm,gic-v3"];
const ITS: &[&str] = &["arm,gic-v3-its"];

/// A GICv2 CPU interface is two pages: GICC_DIR is in the second one.
const GICC_SIZE: u64 = 0x2000;
/// The most redistributor regions accepted.
const MAX_REGIONS: u32 = 64;

/// The interrupt controller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gic {
    /// Its node.
    pub node: NodeId,
    /// The distributor's registers.
    pub distributor: Range,
    /// The maintenance interrupt (a PPI).
    pub maintenance: Interrupt,
    /// What differs between the versions.
    pub version: GicVersion,
}

/// What differs between versions of the GIC.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GicVersion {
    /// CPU interfaces in memory.
    V2 {
        /// The CPU interface, at least 8 KiB.
        gicc: Range,
        /// The hypervisor's control of the virtual interface.
        gich: Range,
        /// The virtual CPU interface that guests get as theirs, at least 8 KiB.
        gicv: Range,
    },
    /// CPU interfaces in system registers.
    V3 {
        /// Regions of redistributors; at least one.
        redistributors: Vec<Range>,
        /// Distance from one redistributor to the next in bytes, when it is not the usual one.
        stride: Option<u64>,
        /// A GICv2's CPU interface (GICC), when the hardware can behave like one.
        gicc: Option<Range>,
        /// The control of a GICv2's virtual interface (GICH), likewise.
        gich: Option<Range>,
        /// A GICv2's virtual CPU interface (GICV), likewise.
        gicv: Option<Range>,
        /// Interrupt translation services.
        its: Vec<Its>,
    },
}

/// An interrupt translation service, which makes interrupts of PCI messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Its {
    /// Its node, a child of the GIC's.
    pub node: NodeId,
    /// Its registers.
    pub range: Range,
}

impl Gic {
    /// All its register frames.
    pub fn frames(&self) -> impl Iterator<Item = Range> + '_ {
        type Parts<'p> = ([Option<Range>; 3], &'p [Range], &'p [Its]);
        let (single, regions, its): Parts<'_> = match &self.version {
            GicVersion::V2 { gicc, gich, gicv } => ([Some(*gicc), Some(*gich), Some(*gicv)], &[], &[]),
            GicVersion::V3 { redistributors, gicc, gich, gicv, its, .. } => {
                ([*gicc, *gich, *gicv], redistributors, its)
            }
        };
        core::iter::once(self.distributor)
            .chain(single.into_iter().flatten())
            .chain(regions.iter().copied())
            .chain(its.iter().map(|its| its.range))
    }
}

/// Whether `compatible` is of a GIC that can be used here.
pub(crate) fn is_gic(compatible: &[u8]) -> bool {
    value::has_text(compatible, V2) || value::has_text(compatible, V3)
}

/// Whether the node is no second controller behind another one.
pub(super) fn is_primary(tree: &Tree<'_>, node: NodeId) -> bool {
    tree.is_interrupt_controller(node) && tree.interrupt_parent(node).is_none_or(|parent| parent == node)
}

pub(super) fn parse(tree: &Tree<'_>, node: NodeId, warn: &mut Warn<'_>) -> Result<Gic, Fault> {
    let distributor = tree.need_cpu_reg(node, 0)?;
    let version = if tree.is_compatible(node, V3) { v3(tree, node, warn)? } else { v2(tree, node)? };
    let not_virtual = || tree.fault(node, Problem::GicNotVirtual);
    let maintenance = tree.gic_interrupt(node, node, 0)?.ok_or_else(not_virtual)?;
    if !maintenance.is_ppi() {
        return Err(tree.fault(node, Problem::NoPpi("GIC maintenance")));
    }
    let gic = Gic { node, distributor, maintenance, version };
    refuse_overlaps(tree, &gic)?;
    Ok(gic)
}

fn v2(tree: &Tree<'_>, node: NodeId) -> Result<GicVersion, Fault> {
    let gicc = tree.need_cpu_reg(node, 1)?;
    let (Some(gich), Some(gicv)) = (tree.cpu_reg(node, 2)?, tree.cpu_reg(node, 3)?) else {
        return Err(tree.fault(node, Problem::GicNotVirtual));
    };
    // Many trees give the size of a GICv1's interface.
    let whole = |frame: Range| tree.range(node, frame.start(), frame.size().max(GICC_SIZE));
    Ok(GicVersion::V2 { gicc: whole(gicc)?, gich, gicv: whole(gicv)? })
}

fn v3(tree: &Tree<'_>, node: NodeId, warn: &mut Warn<'_>) -> Result<GicVersion, Fault> {
    let count = tree.property_u32(node, "#redistributor-regions").unwrap_or(1);
    if !(1..=MAX_REGIONS).contains(&count) {
        return Err(tree.fault(node, Problem::BadValue("#redistributor-regions")));
    }
    let mut redistributors = Vec::new();
    redistributors.try_reserve_exact(count as usize).map_err(|_| OutOfMemory)?;
    for index in 1..=count {
        redistributors.push(tree.need_cpu_reg(node, index as usize)?);
    }
    let optional = |nth: usize| tree.cpu_reg(node, nth.saturating_add(count as usize));
    let mut its = Vec::new();
    for child in tree.children(node) {
        if !tree.is_compatible(child, ITS) || !tree.enabled(child) {
            continue;
        }
        match tree.need_cpu_reg(child, 0) {
            Ok(range) => {
                push(&mut its, Its { node: child, range })?;
            }
            // One can do without.
            Err(fault) => warn(&fault),
        }
    }
    Ok(GicVersion::V3 {
        redistributors,
        stride: tree
            .property(node, "redistributor-stride")
            .and_then(value::u64_of)
            .filter(|stride| *stride != 0),
        gicc: optional(1)?,
        gich: optional(2)?,
        gicv: optional(3)?,
        its,
    })
}

/// Frames must be apart from each other: they are emulated one by one.
fn refuse_overlaps(tree: &Tree<'_>, gic: &Gic) -> Result<(), Fault> {
    let mut frames = Vec::new();
    for frame in gic.frames() {
        push(&mut frames, frame)?;
    }
    sort(&mut frames);
    let mut last: Option<Range> = None;
    for frame in frames {
        if let Some(last) = last.filter(|last| last.overlaps(&frame)) {
            return Err(tree.fault(
                gic.node,
                Problem::Overlap { a: Item::Gic, a_range: frame, b: Item::Gic, b_range: last },
            ));
        }
        last = Some(frame);
    }
    Ok(())
}
