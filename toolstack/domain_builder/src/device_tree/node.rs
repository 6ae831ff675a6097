//! Short ways to write properties. All names are constants of ours, and valid.
use dtoolkit::ToPropertyValue;
use dtoolkit::model::{DeviceTreeNode, DeviceTreeProperty};
use xen_abi::device_tree_defs::GUEST_PHANDLE_GIC;

pub(super) fn node(name: &str) -> DeviceTreeNode {
    DeviceTreeNode::new_unchecked(name)
}

/// Interrupt `intid` in three cells (Linux' bindings of Arm's GICs); private ones go to all vCPUs.
pub(super) fn interrupt(intid: u32, trigger: u32) -> [u32; 3] {
    let private = intid < 32;
    let number = if private { intid - 16 } else { intid - 32 };
    [u32::from(private), number, 0xf << 8 | trigger]
}

pub(super) trait NodeExt {
    fn property(&mut self, name: &str, value: impl ToPropertyValue);

    fn bytes(&mut self, name: &str, value: &[u8]) {
        self.property(name, value);
    }

    fn text(&mut self, name: &str, value: &str) {
        self.property(name, value);
    }

    fn texts(&mut self, name: &str, values: &[&str]) {
        self.property(name, values);
    }

    fn cells(&mut self, name: &str, values: &[u32]) {
        self.property(name, values);
    }

    fn number(&mut self, name: &str, value: u64) {
        self.property(name, value);
    }

    /// Addresses and sizes of two cells each.
    fn regions(&mut self, name: &str, regions: &[(u64, u64)]) {
        let bytes = regions.iter().flat_map(|(start, size)| [start.to_be_bytes(), size.to_be_bytes()]);
        self.property(name, bytes.flatten().collect::<Vec<u8>>());
    }

    fn interrupts(&mut self, interrupts: &[[u32; 3]]) {
        self.cells("interrupts", interrupts.as_flattened());
        self.cells("interrupt-parent", &[GUEST_PHANDLE_GIC]);
    }
}

impl NodeExt for DeviceTreeNode {
    fn property(&mut self, name: &str, value: impl ToPropertyValue) {
        self.add_property(DeviceTreeProperty::new_unchecked(name, value));
    }
}
