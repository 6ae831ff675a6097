//! Which of the host's nodes dom0 gets.
use super::{Dom0Desc, phandle_in};
use crate::fdt::{NodeId, Tree, value};
use crate::host::{self, GicVersion, HostInfo};

/// Things that the hypervisor does itself, or that it does not let a guest do.
const REMOVED: &[&str] = &[
    "xen,xen",
    "xen,domain",
    // Dom0's CPUs and memory are of no NUMA node.
    "numa-distance-map-v1",
    "arm,psci",
    "arm,psci-0.2",
    "arm,psci-1.0",
    // Performance counters are not given to guests.
    "arm,armv8-pmuv3",
    "arm,cortex-a7-pmu",
    "arm,cortex-a15-pmu",
    "arm,cortex-a53-edac",
    // The memory-mapped timer is not virtualised.
    "arm,armv7-timer-mem",
];

/// Names below the root that dom0's tree has its own nodes for.
const REPLACED: &[&str] = &["cpus", "hypervisor", "psci", "memory"];

const TIMER: &[&str] = &["arm,armv8-timer", "arm,armv7-timer"];

/// What becomes of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// Dom0 gets it.
    Keep,
    /// Dom0 gets neither it nor what is below.
    Remove,
    /// Written anew: the GIC.
    Gic,
    /// Written anew: the timer.
    Timer,
}

/// Decides with what is known of the host and of dom0.
pub(super) struct Filter<'f, 'a> {
    tree: &'f Tree<'a>,
    host: &'f HostInfo<'a>,
    uart: Option<NodeId>,
    chosen: Option<NodeId>,
    its: bool,
}

impl<'f, 'a> Filter<'f, 'a> {
    pub(super) fn new(tree: &'f Tree<'a>, host: &'f HostInfo<'a>, desc: &Dom0Desc<'_>) -> Self {
        Self {
            tree,
            host,
            uart: desc.uart.map(|(node, _)| node),
            chosen: tree.child(NodeId::ROOT, "chosen"),
            its: desc.its,
        }
    }

    pub(super) fn fate(&self, node: NodeId) -> Fate {
        if node == NodeId::ROOT {
            return Fate::Keep;
        }
        if node == self.host.gic.node {
            return Fate::Gic;
        }
        if node == self.host.timer.node {
            return Fate::Timer;
        }
        if Some(node) == self.uart || self.is_replaced(node) || self.is_removed_kind(node) {
            return Fate::Remove;
        }
        Fate::Keep
    }

    /// Whether it is the /chosen that gets dom0's properties.
    pub(super) fn is_chosen(&self, node: NodeId) -> bool {
        self.chosen == Some(node)
    }

    /// Whether the host has a /chosen.
    pub(super) fn has_chosen(&self) -> bool {
        self.chosen.is_some()
    }

    /// Whether a child of the GIC is a translation service that dom0 gets.
    pub(super) fn is_kept_its(&self, child: NodeId) -> bool {
        match &self.host.gic.version {
            GicVersion::V3 { its, .. } => self.its && its.iter().any(|i| i.node == child),
            GicVersion::V2 { .. } => false,
        }
    }

    /// Whether the message-interrupt controller whose phandle is word `index` of a property is
    /// still there. Those that are removed are all below the GIC.
    pub(super) fn keeps_msi(&self, bytes: &[u8], index: usize) -> bool {
        let target = phandle_in(bytes, index).and_then(|phandle| self.tree.by_phandle(phandle));
        target
            .is_some_and(|node| self.tree.parent(node) != Some(self.host.gic.node) || self.is_kept_its(node))
    }

    fn is_replaced(&self, node: NodeId) -> bool {
        if self.tree.parent(node) != Some(NodeId::ROOT) {
            return false;
        }
        let name = self.tree.name(node);
        let base = name.split_once('@').map_or(name, |(base, _)| base);
        // A second /chosen@... would be read by nobody.
        REPLACED.contains(&base) || host::is_memory(self.tree, node)
    }

    fn is_removed_kind(&self, node: NodeId) -> bool {
        let tree = self.tree;
        if tree.property(node, "device_type") == Some(b"memory\0") {
            return true;
        }
        // The hypervisor keeps devices' address translation for itself.
        if tree.property(node, "#iommu-cells").is_some() {
            return true;
        }
        let Some(list) = tree.property(node, "compatible") else {
            return false;
        };
        let is = |names| value::has_text(list, names);
        let second_gic = || tree.is_interrupt_controller(node) && host::is_gic(list);
        is(REMOVED) || is(host::MODULE) || is(TIMER) || second_gic()
    }
}

/// Whether a property of the host's /chosen is for dom0 as well. `bootargs` and the RAM disk are
/// written anew; the others were for the hypervisor, or tell of firmware that dom0 has no access to.
pub(super) fn keep_in_chosen(name: &[u8]) -> bool {
    // What their names begin with.
    static REMOVED: [&[u8]; 6] =
        [b"xen,", b"linux,initrd-", b"linux,uefi-", b"bootargs", b"stdout-path", b"linux,stdout-path"];
    !REMOVED.iter().any(|prefix| name.starts_with(prefix))
}
