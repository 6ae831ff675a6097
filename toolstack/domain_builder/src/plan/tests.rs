//! Whole plans: what is where, what the device tree says, and what cannot be planned.
use dtoolkit::fdt::Fdt;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use dtoolkit::{Node, Property};
use proptest::prelude::*;

use super::*;
use crate::error::{KernelError, PartialTreeError};
use crate::testing::{gzip, image, zboot};

const MIB: u64 = 1 << 20;

fn guest(kernel: &[u8]) -> Guest<'_> {
    Guest {
        kernel: file(kernel),
        ramdisk: Some(8),
        cmdline: Some("console=hvc0"),
        memory: 256 * MIB,
        vcpus: 2,
        gic: Gic::V3,
        vuart: true,
        xen_version: (4, 17),
        address_bits: 40,
        timer_hz: None,
        rng_seed: [7; 128],
        partial_tree: None,
    }
}

fn file(bytes: &[u8]) -> KernelFile<'_> {
    KernelFile { bytes, len: bytes.len() as u64 }
}

fn kernel() -> Vec<u8> {
    image(100_000, 0, 16 * MIB, 0xa)
}

fn tree(plan: &Plan) -> DeviceTree {
    DeviceTree::from_fdt(&Fdt::new(tree_bytes(plan)).unwrap())
}

fn tree_bytes(plan: &Plan) -> &[u8] {
    match &plan.segments[1].content {
        Content::Bytes(bytes) => bytes,
        other => panic!("the device tree is {other:?}"),
    }
}

/// The words of a property.
fn words(tree: &DeviceTree, path: &str, name: &str) -> Vec<u32> {
    let node = tree.find_node(path).unwrap_or_else(|| panic!("no {path}"));
    let value = node.property(name).unwrap_or_else(|| panic!("no {name}"));
    value.value().chunks(4).map(|word| u32::from_be_bytes(word.try_into().unwrap())).collect()
}

#[test]
fn segments_pages_and_registers_of_a_usual_guest() {
    let kernel = kernel();
    let packed = gzip(&kernel);
    let plan = plan(&guest(&packed)).unwrap();
    let places: Vec<_> = plan.segments.iter().map(|segment| (segment.what, segment.address)).collect();
    let ram = 0x4000_0000;
    assert_eq!(places, [("kernel", ram), ("device tree", ram + 128 * MIB), ("RAM disk", ram + 130 * MIB)]);
    assert!(plan.segments[0].content == Content::Bytes(kernel));
    assert_eq!((plan.segments[2].len, &plan.segments[2].content), (8, &Content::RamDisk));
    assert_eq!(plan.banks[0], Bank { base: ram, size: 256 * MIB });
    let magic = MagicPages { console: 0x39000, xenstore: 0x39001, monitor: 0x39002, vuart: 0x39003 };
    assert_eq!(plan.magic, magic);
    let regs = plan.vcpu0.user_regs;
    assert_eq!((regs.pc64, regs.cpsr), (ram, 0x1c5));
    assert_eq!(regs.x[..4], [ram + 128 * MIB, 0, 0, 0]);
    assert_eq!((plan.vcpu0.sctlr, plan.vcpu0.flags), (0x00c5_0078, 1));
}

#[test]
fn device_tree_is_the_recorded_one() {
    let kernel = kernel();
    let text = tree(&plan(&guest(&kernel)).unwrap()).to_string();
    assert_eq!(text, include_str!("../../testdata/gicv3.dts"));
    let small = Guest {
        ramdisk: None,
        cmdline: None,
        gic: Gic::V2,
        vuart: false,
        memory: 4096 * MIB,
        timer_hz: NonZeroU32::new(62_500_000),
        ..guest(&kernel)
    };
    assert_eq!(tree(&plan(&small).unwrap()).to_string(), include_str!("../../testdata/gicv2.dts"));
}

#[test]
fn ram_disk_is_where_the_tree_says() {
    let kernel = kernel();
    let plan = plan(&guest(&kernel)).unwrap();
    let tree = tree(&plan);
    let start = plan.segments[2].address as u32;
    assert_eq!(words(&tree, "/chosen", "linux,initrd-start"), [0, start]);
    assert_eq!(words(&tree, "/chosen", "linux,initrd-end"), [0, start + 8]);
}

#[test]
fn unused_address_space_is_told_if_it_is_large() {
    let kernel = kernel();
    let regions = |memory, address_bits| {
        let plan = plan(&Guest { memory, address_bits, ..guest(&kernel) }).unwrap();
        let words = words(&tree(&plan), "/hypervisor", "reg");
        let number = |at: usize| u64::from(words[at]) << 32 | u64::from(words[at + 1]);
        (0..words.len() / 4).map(|nth| (number(nth * 4), number(nth * 4 + 2))).collect::<Vec<_>>()
    };
    let grants = (0x3800_0000, 0x100_0000);
    let high = (0x2_0000_0000, 0xfe_0000_0000);
    assert_eq!(regions(255 * MIB, 40), [grants, (0x5000_0000, 0xb000_0000), high]);
    assert_eq!(regions(3071 * MIB, 40), [grants, high]);
    assert_eq!(regions(256 * MIB, 33), [grants, (0x5000_0000, 0xb000_0000)]);
    assert_eq!(regions(256 * MIB, 34), [grants, (0x5000_0000, 0xb000_0000), (0x2_0000_0000, 0x2_0000_0000)]);
}

#[test]
fn many_vcpus_are_in_clusters_of_sixteen() {
    let kernel = kernel();
    let plan = plan(&Guest { vcpus: 128, ..guest(&kernel) }).unwrap();
    let tree = tree(&plan);
    assert_eq!(tree.find_node("/cpus").unwrap().children().count(), 128);
    assert_eq!(words(&tree, "/cpus/cpu@70f", "reg"), [0x70f]);
}

fn partial(depth: usize) -> Vec<u8> {
    let mut node = DeviceTreeNode::new("passthrough").unwrap();
    for level in 0..depth {
        let mut outer = DeviceTreeNode::new(format!("n{level}")).unwrap();
        outer.add_property(DeviceTreeProperty::new("reg", 5u32).unwrap());
        std::mem::swap(&mut outer, &mut node);
        node.add_child(outer);
    }
    let mut top = DeviceTreeNode::new("passthrough").unwrap();
    for child in node.children() {
        top.add_child(child.clone());
    }
    let mut tree = DeviceTree::new();
    tree.root.add_child(DeviceTreeNode::new("ignored").unwrap());
    tree.root.add_child(DeviceTreeNode::new("aliases").unwrap());
    tree.root.add_child(top);
    tree.to_dtb()
}

#[test]
fn partial_tree_gives_its_two_nodes() {
    let kernel = kernel();
    let file = partial(3);
    let planned = plan(&Guest { partial_tree: Some(&file), ..guest(&kernel) }).unwrap();
    let tree = tree(&planned);
    assert!(tree.find_node("/passthrough").is_some_and(|node| node.children().count() == 1));
    assert!(tree.find_node("/aliases").is_some() && tree.find_node("/ignored").is_none());
}

#[test]
fn bad_partial_trees_are_refused() {
    let kernel = kernel();
    let refused = |file: &[u8]| match plan(&Guest { partial_tree: Some(file), ..guest(&kernel) }) {
        Err(BuildError::PartialTree(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&DeviceTree::new().to_dtb()), PartialTreeError::NothingToCopy);
    assert!(matches!(refused(b""), PartialTreeError::Malformed(_)));
    assert!(matches!(refused(b"no tree"), PartialTreeError::Malformed(_)));
    assert!(matches!(refused(&partial(100)), PartialTreeError::TooLarge(..)));
    assert!(matches!(refused(&vec![0; 1 << 20]), PartialTreeError::TooLarge(..)));
}

#[test]
fn what_cannot_be_is_said_with_what_to_do() {
    let kernel = kernel();
    let error = |change: &dyn Fn(&mut Guest<'_>)| {
        let mut guest = guest(&kernel);
        change(&mut guest);
        plan(&guest).unwrap_err().to_string()
    };
    let of_kernel = |kernel: &[u8]| plan(&guest(kernel)).unwrap_err().to_string();
    let big = 64 << 20;
    let long = "x".repeat(3 << 20);
    let bomb = gzip(&vec![0; 300 << 20]);
    let (packed, zboot) = (gzip(&kernel), zboot("gzip", b"12345678"));
    let cases: &[(String, &str)] = &[
        (error(&|guest| guest.memory = 100), "the guest has no memory; set `memory`"),
        (
            error(&|guest| guest.memory = 1 << 50),
            "1073741824 MiB are more memory than an arm64 guest can have here (1043456 MiB); lower `memory` and `maxmem`",
        ),
        (
            error(&|guest| guest.memory = 16 * MIB),
            "need 20 MiB, and the guest has 16 MiB below 4 GiB; raise `memory`",
        ),
        (error(&|guest| guest.vcpus = 0), "an arm64 guest with GICv3 has 1 to 128 vCPUs, not 0"),
        (error(&|guest| guest.vcpus = 129), "1 to 128 vCPUs, not 129; change `vcpus` and `maxvcpus`"),
        (error(&|guest| (guest.gic, guest.vcpus) = (Gic::V2, 9)), "GICv2 has 1 to 8 vCPUs, not 9"),
        (of_kernel(b"#!/bin/sh"), "the kernel cannot be used: it is no arm64 Image"),
        (of_kernel(&kernel[..60]), "it should have 64 bytes and has 60; was the file cut off?"),
        (of_kernel(&zboot[..130]), "should have 136 bytes and has 130; was the file cut off?"),
        (of_kernel(&packed[..90]), "its gzip data is damaged or cut off"),
        (of_kernel(b"\x7fELF"), "unsupported format (ELF); use an arm64 Image"),
        (of_kernel(&bomb), "do not fit into the guest's memory; raise `memory`"),
        (error(&|guest| guest.cmdline = Some("a\0b")), "zero byte"),
    ];
    for (error, message) in cases {
        assert!(error.contains(message), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
    let large = Guest { ramdisk: Some(big), memory: 64 * MIB, ..guest(&kernel) };
    assert!(matches!(plan(&large), Err(BuildError::NoRoom { need_mib: 82, have_mib: 64 })));
    let wordy = Guest { cmdline: Some(&long), ..guest(&kernel) };
    assert!(matches!(plan(&wordy), Err(BuildError::TreeTooLarge { .. })));
    let tight = Guest { kernel: file(&bomb), memory: 32 * MIB, ..guest(&kernel) };
    let limit = 32 * MIB;
    assert_eq!(plan(&tight).unwrap_err(), BuildError::Kernel(KernelError::TooLarge { limit }));
}

proptest! {
    #[test]
    fn plans_stay_inside_the_memory(
        memory in 0u64..2 << 40, vcpus in 0u32..140, bits in 30u8..50, ramdisk in 0u64..6 << 20,
        size in 0u64..200 * MIB, offset in 0u64..64, v2 in any::<bool>(), vuart in any::<bool>(),
    ) {
        let kernel = image(5000, offset * MIB, size, 0);
        let gic = if v2 { Gic::V2 } else { Gic::V3 };
        let asked = Guest { memory, vcpus, address_bits: bits, ramdisk: Some(ramdisk), gic, vuart, ..guest(&kernel) };
        if let Ok(plan) = plan(&asked) {
            prop_assert_eq!(plan.banks.iter().map(|bank| bank.size).sum::<u64>(), memory / 4096 * 4096);
            for segment in &plan.segments {
                prop_assert!(segment.address % 4096 == 0 && segment.address >= plan.banks[0].base);
                prop_assert!(segment.address + segment.len <= plan.banks[0].end());
            }
            prop_assert!(Fdt::new(tree_bytes(&plan)).is_ok());
        }
    }

    #[test]
    fn no_partial_tree_makes_it_panic(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6), cut in 0usize..40
    ) {
        let kernel = image(64, 0, 64, 0);
        let mut file = partial(3);
        for (at, byte) in flips {
            let at = at.index(file.len());
            file[at] = byte;
        }
        file.truncate(file.len() - cut);
        if let Ok(plan) = plan(&Guest { partial_tree: Some(&file), ..guest(&kernel) }) {
            prop_assert!(Fdt::new(tree_bytes(&plan)).is_ok());
        }
    }
}
