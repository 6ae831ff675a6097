//! What tests of several modules build their input with.
use std::vec::Vec;

use dtoolkit::fdt::Fdt;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};

use crate::Range;
use crate::host::HostInput;

/// The tree of QEMU's `virt` machine with EL2 and a GICv2, as its loader hands it over.
pub const VIRT_GIC2: &[u8] = include_bytes!("../testdata/virt-gic2.dtb");
/// The same with a GICv3.
pub const VIRT_GIC3: &[u8] = include_bytes!("../testdata/virt-gic3.dtb");
/// GICv3 and the boot modules that QEMU's guest-loader adds: kernel with arguments, RAM disk.
pub const VIRT_MODULES: &[u8] = include_bytes!("../testdata/virt-gic3-modules.dtb");
/// GICv3, SMMUv3, two NUMA nodes, EL3 with its secure devices, and boot modules.
pub const VIRT_FULL: &[u8] = include_bytes!("../testdata/virt-full.dtb");
/// A board of an older kind, made up: buses with translation, disabled devices, reserved memory,
/// PSCI 0.1, spin tables, names of more than 31 characters.
pub const BOARD: &[u8] = include_bytes!("../testdata/board.dtb");

/// All of them.
pub const TREES: [&[u8]; 5] = [VIRT_GIC2, VIRT_GIC3, VIRT_MODULES, VIRT_FULL, BOARD];

/// A range given by its start and size.
pub fn range(start: u64, size: u64) -> Range {
    Range::new(start, size).unwrap()
}

/// An image and a tree at places that suit all trees above.
pub fn host_input() -> HostInput<'static> {
    HostInput { image: range(0x4020_0000, 0x8_0000), fdt: range(0x4f00_0000, 0x10_0000), read_u32: &|_| None }
}

/// A tree to be changed with an editor of its own making.
pub struct Edit(DeviceTree);

impl Edit {
    pub fn new(blob: &[u8]) -> Self {
        Self(DeviceTree::from_fdt(&Fdt::new(blob).unwrap()))
    }

    fn node(&mut self, path: &str) -> &mut DeviceTreeNode {
        self.0.find_node_mut(path).expect(path)
    }

    /// Sets a property.
    pub fn set(mut self, path: &str, name: &str, value: &[u8]) -> Self {
        let node = self.node(path);
        node.remove_property(name);
        node.add_property(DeviceTreeProperty::new(name, value).unwrap());
        self
    }

    /// Sets a property of words.
    pub fn cells(self, path: &str, name: &str, words: &[u32]) -> Self {
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
        self.set(path, name, &bytes)
    }

    pub fn remove(mut self, path: &str, name: &str) -> Self {
        self.node(path).remove_property(name).expect(name);
        self
    }

    pub fn add_node(mut self, parent: &str, name: &str) -> Self {
        self.node(parent).add_child(DeviceTreeNode::new(name).unwrap());
        self
    }

    pub fn remove_node(mut self, parent: &str, name: &str) -> Self {
        self.node(parent).remove_child(name).expect(name);
        self
    }

    pub fn reserve(mut self, start: u64, size: u64) -> Self {
        self.0.memory_reservations.push(dtoolkit::memreserve::MemoryReservation::new(start, size));
        self
    }

    pub fn blob(self) -> Vec<u8> {
        self.0.to_dtb()
    }
}

/// The 64-byte header of an arm64 image.
pub fn image_header(text_offset: u64, size: u64, flags: u64) -> Vec<u8> {
    let mut head = vec![0; 64];
    head[0..2].copy_from_slice(b"MZ");
    head[8..16].copy_from_slice(&text_offset.to_le_bytes());
    head[16..24].copy_from_slice(&size.to_le_bytes());
    head[24..32].copy_from_slice(&flags.to_le_bytes());
    head[56..60].copy_from_slice(b"ARM\x64");
    head
}

/// The 64-byte header of an EFI zboot image.
pub fn zboot_header(compression: &str, offset: u32, size: u32) -> Vec<u8> {
    let mut head = vec![0; 64];
    head[0..2].copy_from_slice(b"MZ");
    head[4..8].copy_from_slice(b"zimg");
    head[8..12].copy_from_slice(&offset.to_le_bytes());
    head[12..16].copy_from_slice(&size.to_le_bytes());
    head[24..24 + compression.len()].copy_from_slice(compression.as_bytes());
    head[56..60].copy_from_slice(&0x8182_23cdu32.to_le_bytes());
    head
}

/// A gzip stream with the given header flags, `more` being what they announce.
pub fn gzip(data: &[u8], flags: u8, more: &[u8]) -> Vec<u8> {
    let crc = !data.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(
            sum ^ u32::from(*byte),
            |sum, _| {
                if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 }
            },
        )
    });
    [
        &[0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3][..],
        more,
        &miniz_oxide::deflate::compress_to_vec(data, 6),
        &crc.to_le_bytes(),
        &(data.len() as u32).to_le_bytes(),
    ]
    .concat()
}
