//! Dom0's device tree, made from the host's, and the device memory and interrupts that go with it.
//!
//! Dom0 is mapped one to one, so that host addresses stay right. Nodes of things that the
//! hypervisor drives or emulates are taken out or written anew; everything else is taken over with
//! its phandles.
mod added;
mod devices;
mod filter;
mod regions;

#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use crate::fault::{Fault, Problem};
use crate::fdt::interrupt::{FIRST_PPI, FIRST_SPI, Interrupt};
use crate::fdt::{NodeId, Tree, Writer, value};
use crate::host::{GicVersion, HostInfo, Warn};
use crate::range::{Range, RangeSet};

use devices::{Collector, Holder};
use filter::{Fate, Filter};

pub use devices::Dom0Devices;
pub use regions::{MIN_EXTENDED, RegionWish, Regions, free_ppi, free_regions};

/// Size of a GICv3 redistributor in bytes: two frames of 64 KiB.
pub const REDISTRIBUTOR_SIZE: u64 = 0x2_0000;
/// The most vCPUs on a GICv2: its target registers have a bit for each of eight.
const GICV2_VCPUS: u32 = 8;

/// What dom0's GIC node has from the host's.
static GIC_PROPERTIES: [&[u8]; 9] = [
    b"#address-cells",
    b"#interrupt-cells",
    b"#size-cells",
    b"compatible",
    b"interrupt-controller",
    b"interrupt-parent",
    b"linux,phandle",
    b"phandle",
    b"ranges",
];

/// What dom0 is given.
#[derive(Clone, Copy, Debug)]
pub struct Dom0Desc<'d> {
    /// Its RAM, by guest-physical address.
    pub memory: &'d [Range],
    /// Where its RAM disk will be.
    pub initrd: Option<Range>,
    /// Its command line; none when empty.
    pub bootargs: &'d str,
    /// Its number of vCPUs.
    pub vcpus: u32,
    /// The PPI (16 to 31) of the event channel upcall.
    pub event_ppi: u32,
    /// Where it maps its grant table.
    pub grant_table: Range,
    /// Unused addresses for foreign mappings.
    pub extended: &'d [Range],
    /// The hypervisor's UART: its node and interrupt, which dom0 does not get.
    pub uart: Option<(NodeId, Option<Interrupt>)>,
    /// Whether dom0's tree has the interrupt translation services. They are never mapped: who says
    /// true emulates them at the host's addresses.
    pub its: bool,
    /// Bits of a guest-physical address; device memory above is left out.
    pub ipa_bits: u32,
    /// The hypervisor's version for `compatible`, such as "4.17".
    pub version: &'d str,
}

/// The result of [`build`].
#[derive(Debug)]
pub struct Dom0Tree {
    /// The flattened device tree.
    pub dtb: Vec<u8>,
    /// What goes with it.
    pub devices: Dom0Devices,
    /// How many of the host's redistributor regions the tree shows; 0 for GICv2. Dom0's virtual GIC
    /// has its frames there, [`REDISTRIBUTOR_SIZE`] apart whatever the host's are.
    pub redistributor_regions: usize,
}

/// Makes dom0's device tree from the host's.
pub fn build(
    tree: &Tree<'_>,
    host: &HostInfo<'_>,
    desc: &Dom0Desc<'_>,
    warn: &mut Warn<'_>,
) -> Result<Dom0Tree, Fault> {
    let (address, size) = tree.child_cells(NodeId::ROOT);
    if !(1..=2).contains(&address) || !(1..=2).contains(&size) {
        return Err(tree.fault(NodeId::ROOT, Problem::BadCells { address, size }));
    }
    if !(FIRST_PPI..FIRST_SPI).contains(&desc.event_ppi) {
        return Err(Fault::general(Problem::NoPpi("dom0's events")));
    }
    let regions = redistributor_regions(tree, host, desc.vcpus)?;
    let mut reserved = RangeSet::new();
    for entry in host.reserved.iter().filter(|r| r.node.is_some()) {
        reserved.push(entry.range)?;
    }
    reserved.normalise();
    let mut builder = Builder {
        tree,
        host,
        desc,
        filter: Filter::new(tree, host, desc),
        collector: Collector::new(tree, host.gic.node),
        writer: Writer::new(tree, added::estimate(host, desc)),
        cells: (address, size),
        regions,
        reserved,
        warn,
    };
    builder.node(NodeId::ROOT, Holder::Dom0)?;
    let Builder { writer, collector, reserved, .. } = builder;
    Ok(Dom0Tree {
        dtb: writer.finish().map_err(Fault::general)?,
        devices: collector.finish(host, desc, &reserved)?,
        redistributor_regions: regions,
    })
}

/// How many of the host's redistributor regions `vcpus` need.
fn redistributor_regions(tree: &Tree<'_>, host: &HostInfo<'_>, vcpus: u32) -> Result<usize, Fault> {
    let (room, regions) = match &host.gic.version {
        GicVersion::V2 { .. } => (u64::from(GICV2_VCPUS), 0),
        GicVersion::V3 { redistributors, .. } => {
            let (mut room, mut regions) = (0u64, 0usize);
            for region in redistributors {
                if room >= u64::from(vcpus) {
                    break;
                }
                room = room.saturating_add(region.size() / REDISTRIBUTOR_SIZE);
                regions = regions.saturating_add(1);
            }
            (room, regions)
        }
    };
    if vcpus == 0 || u64::from(vcpus) > room {
        let room = u32::try_from(room).unwrap_or(u32::MAX);
        return Err(tree.fault(host.gic.node, Problem::TooManyVcpus { vcpus, room }));
    }
    Ok(regions)
}

/// The walk over the host's tree.
struct Builder<'b, 'a> {
    tree: &'b Tree<'a>,
    host: &'b HostInfo<'a>,
    desc: &'b Dom0Desc<'b>,
    filter: Filter<'b, 'a>,
    collector: Collector<'b, 'a>,
    writer: Writer<'a>,
    /// The root's cells of an address and of a size.
    cells: (u8, u8),
    /// Redistributor regions in use.
    regions: usize,
    /// Merged ranges of /reserved-memory.
    reserved: RangeSet,
    warn: &'b mut Warn<'b>,
}

impl Builder<'_, '_> {
    /// Handles a node and those below it: at most `MAX_DEPTH` calls deep. `usable` tells whether
    /// dom0 can use it: it is enabled and not below a node kept for others.
    fn node(&mut self, node: NodeId, holder: Holder) -> Result<(), Fault> {
        match self.filter.fate(node) {
            Fate::Remove => return Ok(()),
            Fate::Gic => return self.gic(node),
            Fate::Timer => {
                self.timer(node);
                return Ok(());
            }
            Fate::Keep => {}
        }
        let passthrough = self.tree.property(node, "xen,passthrough").is_some();
        let holder = match holder {
            _ if !self.tree.enabled(node) => Holder::Nobody,
            Holder::Dom0 if passthrough => Holder::Guest,
            holder => holder,
        };
        if !self.collector.add(node, holder, self.warn)? {
            // It uses a PPI.
            return Ok(());
        }
        self.writer.begin(self.tree.name(node));
        self.properties(node, passthrough);
        if self.filter.is_chosen(node) {
            self.chosen_properties();
        }
        for child in self.tree.children(node) {
            self.node(child, holder)?;
        }
        if node == NodeId::ROOT {
            self.added_nodes()?;
        }
        self.writer.end();
        Ok(())
    }

    /// Takes over a node's properties, but those that would mislead dom0.
    fn properties(&mut self, node: NodeId, passthrough: bool) {
        let chosen = self.filter.is_chosen(node);
        let mut keeps_map = None;
        for property in self.tree.properties(node) {
            let keep = match self.tree.property_name(&property) {
                b"xen,passthrough" | b"iommus" | b"iommu-map" | b"iommu-map-mask" => false,
                b"status" => !passthrough,
                b"msi-parent" => self.filter.keeps_msi(property.value, 0),
                b"msi-map" => self.filter.keeps_msi(property.value, 1),
                b"msi-map-mask" => *keeps_map.get_or_insert_with(|| {
                    let map = self.tree.property(node, "msi-map");
                    map.is_some_and(|map| self.filter.keeps_msi(map, 1))
                }),
                name if chosen => filter::keep_in_chosen(name),
                _ => true,
            };
            if keep {
                self.writer.copy(&property);
            }
        }
        if passthrough {
            self.writer.text("status", "disabled");
        }
    }

    /// The host's GIC node with what dom0 sees of it.
    fn gic(&mut self, node: NodeId) -> Result<(), Fault> {
        let tree = self.tree;
        self.writer.begin(tree.name(node));
        // The distributor, and the CPU interface or the redistributors in use.
        let entries = self.regions.max(1).saturating_add(1);
        let parent = tree.parent(node).unwrap_or(NodeId::ROOT);
        let (address, size) = tree.child_cells(parent);
        let unit = usize::from(address).saturating_add(usize::from(size)).saturating_mul(4);
        for property in tree.properties(node) {
            let name = tree.property_name(&property);
            if name == b"reg" {
                let used = unit.saturating_mul(entries);
                let value = property.value.get(..used).unwrap_or(property.value);
                self.writer.copy(&crate::fdt::Property { value, ..property });
            } else if GIC_PROPERTIES.contains(&name) {
                self.writer.copy(&property);
            }
        }
        if self.regions > 0 {
            // At most 64.
            self.writer.words("#redistributor-regions", &[self.regions as u32]);
        }
        for child in tree.children(node) {
            if self.filter.is_kept_its(child) {
                self.node(child, Holder::Dom0)?;
            }
        }
        self.writer.end();
        Ok(())
    }
}

/// The phandle in word `index` of a property.
fn phandle_in(bytes: &[u8], index: usize) -> Option<u32> {
    value::words(bytes).nth(index)
}
