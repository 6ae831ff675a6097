//! Reading and writing of trees.
use dtoolkit::fdt::Fdt;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use dtoolkit::{Node, Property as _};
use proptest::prelude::*;

use super::interrupt::Interrupt;
use super::*;
use crate::testing::{BOARD, Edit, TREES, VIRT_FULL, VIRT_GIC3, range};

fn tree(blob: &[u8]) -> Tree<'_> {
    Tree::parse(blob).unwrap()
}

fn header_word(blob: &[u8], at: usize, word: u32) -> Vec<u8> {
    let mut blob = blob.to_vec();
    blob[at..at + 4].copy_from_slice(&word.to_be_bytes());
    blob
}

/// Asserts that both readers see the same nodes with the same properties.
fn assert_same(tree: &Tree<'_>, id: NodeId, other: dtoolkit::fdt::FdtNode<'_>) {
    assert_eq!(tree.name(id), other.name());
    let ours: Vec<_> =
        tree.properties(id).map(|p| (tree.property_name(&p).to_vec(), p.value.to_vec())).collect();
    let theirs: Vec<_> =
        other.properties().map(|p| (p.name().as_bytes().to_vec(), p.value().to_vec())).collect();
    assert_eq!(ours, theirs);
    let children: Vec<_> = tree.children(id).collect();
    let others: Vec<_> = other.children().collect();
    assert_eq!(children.len(), others.len());
    for (child, other) in children.into_iter().zip(others) {
        assert_eq!(tree.parent(child), Some(id));
        assert_same(tree, child, other);
    }
}

#[test]
fn real_trees_read_as_another_reader_reads_them() {
    for blob in TREES {
        let fdt = Fdt::new(blob).unwrap();
        assert_same(&tree(blob), NodeId::ROOT, fdt.root());
        let reserved: Vec<_> = fdt.memory_reservations().map(|r| (r.address(), r.size())).collect();
        assert_eq!(tree(blob).reservations().collect::<Vec<_>>(), reserved);
    }
}

#[test]
fn tree_copied_by_the_writer_reads_the_same() {
    fn copy<'a>(tree: &Tree<'a>, node: NodeId, writer: &mut Writer<'a>) {
        writer.begin(tree.name(node));
        tree.properties(node).for_each(|p| writer.copy(&p));
        tree.children(node).for_each(|c| copy(tree, c, writer));
        if node == NodeId::ROOT {
            writer.begin("added");
            writer.text("text", "value");
            writer.words("words", &[1, 2]);
            writer.reg("reg", (2, 1), [range(0x1_0000_0002, 3)].iter());
            writer.property("text2", b"abc");
            writer.words("words", &[]);
            writer.end();
        }
        writer.end();
    }
    for blob in TREES {
        let source = tree(blob);
        let mut writer = Writer::new(&source, 0);
        copy(&source, NodeId::ROOT, &mut writer);
        let out = writer.finish().unwrap();
        let fdt = Fdt::new(&out).unwrap();
        assert_same(&tree(&out), NodeId::ROOT, fdt.root());
        let mut model = DeviceTree::from_fdt(&fdt);
        let added = model.root.remove_child("added").unwrap();
        assert_eq!(added.property("text").unwrap().value(), b"value\0");
        assert_eq!(added.property("text2").unwrap().value(), b"abc");
        assert_eq!(added.property("reg").unwrap().value(), [0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]);
        let original = DeviceTree::from_fdt(&Fdt::new(blob).unwrap());
        assert_eq!(model.root, original.root);
    }
}

#[test]
fn names_longer_than_the_specification_allows_are_accepted() {
    let long = "a-label-of-more-than-thirty-one-characters";
    let mut model = DeviceTree::new();
    let mut node = DeviceTreeNode::new_unchecked(long);
    node.add_property(DeviceTreeProperty::new_unchecked(long, 7u32));
    model.root.add_child(node);
    let blob = model.to_dtb();
    let tree = tree(&blob);
    let node = tree.child(NodeId::ROOT, long).unwrap();
    assert_eq!(tree.property_u32(node, long), Some(7));
    assert!(Fdt::new(&blob).is_err(), "reason for an own reader is gone");
}

#[test]
fn blob_of_a_larger_total_size_than_used_is_accepted() {
    let mut blob = header_word(VIRT_GIC3, 4, 1 << 20);
    blob.resize(1 << 20, 0xff);
    assert_eq!(total_size(&blob[..40]), Ok(1 << 20));
    assert!(tree(&blob).find("/chosen").is_some());
}

#[test]
fn header_faults_are_told_apart() {
    let parse = |blob: &[u8]| Tree::parse(blob).err();
    assert_eq!(parse(&VIRT_GIC3[..30]), Some(FdtError::Truncated { total: 7675, have: 30 }));
    assert_eq!(parse(&[]), Some(FdtError::Truncated { total: 40, have: 0 }));
    assert_eq!(parse(&VIRT_GIC3[..7674]), Some(FdtError::Truncated { total: 7675, have: 7674 }));
    assert_eq!(parse(&header_word(VIRT_GIC3, 0, 0x1234)), Some(FdtError::BadMagic(0x1234)));
    assert_eq!(
        parse(&header_word(VIRT_GIC3, 24, 18)),
        Some(FdtError::BadVersion { version: 17, last_compatible: 18 })
    );
    assert_eq!(parse(&header_word(VIRT_GIC3, 4, 3 << 20)), Some(FdtError::BadSize(3 << 20)));
    for (at, block) in [(8, "structure"), (12, "strings"), (16, "memory reservation")] {
        assert_eq!(parse(&header_word(VIRT_GIC3, at, 0x7fff_fff0)), Some(FdtError::BadBlock(block)));
    }
    // A reservation block without an end.
    assert_eq!(parse(&header_word(VIRT_GIC3, 16, 7660)), Some(FdtError::BadBlock("memory reservation")));
    assert_eq!(parse(&header_word(VIRT_GIC3, 8, 66)), Some(FdtError::BadBlock("structure")));
}

#[test]
fn tokens_out_of_order_are_refused() {
    let begin: &[u32] = &[1, 0];
    let child: &[u32] = &[1, 0x6100_0000];
    let (end, finish): (&[u32], &[u32]) = (&[2], &[9]);
    let property: &[u32] = &[3, 0, 0];
    let blob = |parts: &[&[u32]]| {
        let structure: Vec<u8> = parts.concat().iter().flat_map(|w| w.to_be_bytes()).collect();
        let strings = 56 + structure.len() as u32;
        let header = [0xd00d_feed, strings + 2, 56, strings, 40, 17, 16, 0, 2, structure.len() as u32];
        let header: Vec<u8> = header.iter().flat_map(|w| w.to_be_bytes()).collect();
        [&header[..], &[0; 16], &structure, b"p\0"].concat()
    };
    let parse = |parts: &[&[u32]]| Tree::parse(&blob(parts)).err();
    assert_eq!(parse(&[begin, property, child, end, end, finish]), None);
    assert_eq!(parse(&[&[4], begin, &[4], property, &[4], end, &[4], finish]), None);
    // At offset 56 + the words before.
    let bad = |words: usize| Some(FdtError::BadToken(56 + 4 * words));
    assert_eq!(parse(&[finish]), bad(0));
    assert_eq!(parse(&[end]), bad(0));
    assert_eq!(parse(&[property]), bad(0));
    assert_eq!(parse(&[begin, end, begin, end, finish]), bad(3));
    assert_eq!(parse(&[begin, child, end, property, end, finish]), bad(5));
    assert_eq!(parse(&[begin, finish]), bad(2));
    assert_eq!(parse(&[begin, end]), bad(3));
    assert_eq!(parse(&[begin, &[5]]), bad(2));
    assert_eq!(parse(&[begin, &[3, 100, 0], end, finish]), bad(2));
    assert_eq!(parse(&[begin, &[3, 0, 9], end, finish]), Some(FdtError::BadName(9)));
    assert_eq!(parse(&[begin, begin, end, end, finish]), Some(FdtError::BadName(68)));
    assert_eq!(parse(&[begin, &[1, 0x612f_0000], end, end, finish]), Some(FdtError::BadName(68)));
    let deep: Vec<&[u32]> = std::iter::once(begin).chain(std::iter::repeat_n(child, 40)).collect();
    assert!(matches!(parse(&deep), Some(FdtError::TooDeep(_))));
    let wide: Vec<&[u32]> =
        std::iter::once(begin).chain(std::iter::repeat_n([child, end], MAX_NODES).flatten()).collect();
    assert_eq!(parse(&wide), Some(FdtError::TooManyNodes));
}

#[test]
fn nodes_are_found_by_path_alias_and_phandle() {
    let tree = tree(BOARD);
    let serial = tree.find("/soc/serial@201000").unwrap();
    assert_eq!(tree.find("serial0"), Some(serial));
    assert_eq!(tree.path(serial).as_str(), "/soc/serial@201000");
    assert_eq!(tree.path(NodeId::ROOT).as_str(), "/");
    assert_eq!(tree.find("/soc/gpio"), tree.find("/soc/gpio@204000"));
    for missing in ["/soc/gpio@1", "/soc/gp", "serial9", "/nothing/below", ""] {
        assert_eq!(tree.find(missing), None, "{missing}");
    }
    let gic = tree.find("/soc/interrupt-controller@40041000").unwrap();
    let phandle = tree.phandle(gic).unwrap();
    assert_eq!(tree.by_phandle(phandle), Some(gic));
    assert_eq!(tree.by_phandle(0), None);
    assert_eq!(tree.by_phandle(0x7777_7777), None);
    assert_eq!(tree.interrupt_parent(serial), Some(gic));
    let sensor = tree.find("/soc/i2c@205000/sensor@48").unwrap();
    assert_eq!(tree.interrupt_parent(sensor), tree.find("/soc/gpio"));
}

#[test]
fn status_counts_for_everything_below() {
    let blob = Edit::new(BOARD).set("/soc/bus@210000", "status", b"disabled\0").blob();
    let tree = tree(&blob);
    assert!(!tree.enabled(tree.find("/soc/bus@210000/adc@100").unwrap()));
    assert!(tree.enabled(tree.find("/soc/ethernet@206000").unwrap()));
    assert!(!tree.enabled(tree.find("/soc/mmc@208000").unwrap()));
}

#[test]
fn registers_are_translated_through_every_bus() {
    let tree = tree(BOARD);
    let reg = |path: &str, index| tree.cpu_reg(tree.find(path).unwrap(), index);
    assert_eq!(reg("/soc/bus@210000/adc@100", 0), Ok(Some(range(0xfe21_0100, 0x10))));
    assert_eq!(reg("/soc/interrupt-controller@40041000", 1), Ok(Some(range(0xff84_2000, 0x1000))));
    assert_eq!(reg("/soc/ethernet@206000", 2), Ok(None));
    assert_eq!(reg("/timer", 0), Ok(None));
    assert_eq!(reg("/soc/hidden/flashpart@0", 0).unwrap_err().problem, crate::Problem::NotMapped);
    assert_eq!(
        reg("/soc/i2c@205000/sensor@48", 0).unwrap_err().problem,
        crate::Problem::BadCells { address: 1, size: 0 }
    );
    assert_eq!(
        reg("/soc/odd@260000", 0).unwrap_err().problem,
        crate::Problem::BadLength { property: "reg", len: 12, unit: 8 }
    );
}

#[test]
fn bus_with_more_windows_than_are_looked_at_leads_nowhere() {
    let windows = |count: u32| {
        let ranges: Vec<u32> =
            (0..count).flat_map(|n| [n << 20, 0, 0xf000_0000 + (n << 20), 1 << 20]).collect();
        let blob = Edit::new(BOARD).cells("/soc", "ranges", &ranges).blob();
        let tree = tree(&blob);
        tree.cpu_reg(tree.find("/soc/ethernet@206000").unwrap(), 0).ok()
    };
    assert_eq!(windows(64), Some(Some(range(0xf020_6000, 0x1000))));
    assert_eq!(windows(65), None);
}

#[test]
fn pci_windows_are_what_the_cpu_sees() {
    let tree = tree(BOARD);
    let mut windows = Vec::new();
    let bridge = tree.find("/pcie@7d500000").unwrap();
    tree.pci_windows(bridge, &mut |w| {
        windows.push(w);
        Ok(())
    })
    .unwrap();
    assert_eq!(windows, [range(0x6_0000_0000, 0x400_0000), range(0x6_0400_0000, 0x1_0000)]);
}

#[test]
fn interrupts_come_from_every_kind_of_list() {
    let tree = tree(BOARD);
    let gic = tree.find("/soc/interrupt-controller@40041000").unwrap();
    let collect = |path: &str, map: bool| {
        let node = tree.find(path).unwrap();
        let mut found = Vec::new();
        let mut each = |controller: NodeId, specifier: &[u8]| {
            let interrupt = Interrupt::from_gic(specifier).filter(|_| controller == gic);
            found.push(interrupt.map(|i| (i.intid, i.edge)));
            Ok(())
        };
        match map {
            true => tree.interrupt_map(node, &mut each).unwrap(),
            false => tree.interrupts(node, &mut each).unwrap(),
        }
        found
    };
    assert_eq!(collect("/soc/ethernet@206000", false), [Some((95, false)), None, Some((96, true))]);
    assert_eq!(collect("/soc/i2c@205000", false), [Some((94, false))]);
    assert_eq!(collect("/pmu", false), [Some((23, false))]);
    assert_eq!(collect("/pcie@7d500000", true), [Some((175, false)), Some((176, false))]);
    assert_eq!(collect("/cpus", false), []);
}

#[test]
fn damaged_interrupt_lists_are_faults_of_their_node() {
    use crate::Problem;
    let check = |edit: Edit, path: &str, problem: Problem| {
        let blob = edit.blob();
        let tree = tree(&blob);
        let node = tree.find(path).unwrap();
        let mut each = |_: NodeId, _: &[u8]| Ok(());
        let own = tree.interrupts(node, &mut each);
        let fault = own.and(tree.interrupt_map(node, &mut each)).unwrap_err();
        assert_eq!(fault, tree.fault(node, problem));
    };
    let (net, pcie) = ("/soc/ethernet@206000", "/pcie@7d500000");
    let list = "interrupts-extended";
    check(Edit::new(BOARD).cells(net, list, &[0x999, 1]), net, Problem::NoSuchPhandle(0x999));
    check(Edit::new(BOARD).cells(net, list, &[1, 0]), net, Problem::BadValue(list));
    check(Edit::new(BOARD).set(net, list, &[0, 0]), net, Problem::BadValue(list));
    check(
        Edit::new(BOARD).cells("/soc/gpio@204000", "interrupts", &[0, 61]),
        "/soc/gpio@204000",
        Problem::BadLength { property: "interrupts", len: 8, unit: 12 },
    );
    check(
        Edit::new(BOARD).cells(pcie, "interrupt-map", &[0, 0, 0, 1, 1, 0, 0]),
        pcie,
        Problem::BadValue("interrupt-map"),
    );
    check(
        Edit::new(BOARD).cells(pcie, "#address-cells", &[0x7fff_ffff]),
        pcie,
        Problem::BadValue("interrupt-map"),
    );
}

#[test]
fn interrupt_parents_in_a_circle_end() {
    let board = tree(BOARD);
    let own = board.phandle(board.find("/soc/gpio").unwrap()).unwrap();
    let blob = Edit::new(BOARD)
        .remove("/soc/gpio@204000", "#interrupt-cells")
        .cells("/soc/gpio@204000", "interrupt-parent", &[own])
        .blob();
    let circle = tree(&blob);
    let gpio = circle.find("/soc/gpio").unwrap();
    assert_eq!(circle.interrupt_parent(gpio), None);
}

#[test]
fn gic_specifiers_are_bounded() {
    let words = |w: [u32; 3]| w.iter().flat_map(|w| w.to_be_bytes()).collect::<Vec<u8>>();
    let read = |w| Interrupt::from_gic(&words(w)).map(|i| (i.intid, i.edge, i.inverted));
    assert_eq!(read([0, 0, 4]), Some((32, false, false)));
    assert_eq!(read([0, 987, 2]), Some((1019, true, true)));
    assert_eq!(read([0, 988, 4]), None);
    assert_eq!(read([0, u32::MAX, 4]), None);
    assert_eq!(read([1, 15, 0xf08]), Some((31, false, true)));
    assert_eq!(read([1, 16, 4]), None);
    assert_eq!(read([2, 0, 4]), None);
    assert_eq!(Interrupt::from_gic(&[0; 8]), None);
}

/// Asks everything that can be asked of a tree. Nothing of it may panic.
fn ask_everything(blob: &[u8]) {
    let Ok(tree) = Tree::parse(blob) else {
        return;
    };
    assert!(tree.nodes().count() <= MAX_NODES);
    let mut each = |_: NodeId, _: &[u8]| Ok(());
    for node in tree.nodes() {
        let path = tree.path(node);
        let _ = tree.find(path.as_str());
        let _ = (tree.cpu_reg(node, 1), tree.interrupt_parent(node));
        let _ = tree.interrupts(node, &mut each);
        let _ = tree.interrupt_map(node, &mut each);
        let _ = tree.pci_windows(node, &mut |_| Ok(()));
        let _ = tree.property_text(node, "compatible");
        assert!(tree.subtree(node).count() >= 1);
        assert!(tree.children(node).all(|c| tree.parent(c) == Some(node)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn damaged_trees_never_panic(
        which in 0usize..TREES.len(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..16),
    ) {
        let mut blob = TREES[which].to_vec();
        for (at, byte) in damage {
            let at = at.index(blob.len());
            blob[at] = byte;
        }
        ask_everything(&blob);
    }

    #[test]
    fn damaged_words_never_panic(
        which in 0usize..TREES.len(),
        at in any::<prop::sample::Index>(),
        word in prop::sample::select(vec![0, 1, 2, 3, 4, 9, 0x7fff_ffff, 0xffff_ffff, 0x8000_0000]),
    ) {
        let mut blob = TREES[which].to_vec();
        let at = at.index(blob.len() / 4) * 4;
        blob[at..at + 4].copy_from_slice(&u32::to_be_bytes(word));
        ask_everything(&blob);
    }

    #[test]
    fn trees_cut_off_anywhere_are_refused(at in 0..VIRT_FULL.len()) {
        prop_assert!(Tree::parse(&VIRT_FULL[..at]).is_err());
    }
}
