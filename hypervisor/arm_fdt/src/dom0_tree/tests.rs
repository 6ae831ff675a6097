//! Dom0's tree from real trees: what is gone, what is new, what is kept.
use dtoolkit::fdt::Fdt;
use proptest::prelude::*;

use super::*;
use crate::host::{self, uart};
use crate::testing::{BOARD, Edit, VIRT_FULL, VIRT_GIC2, VIRT_MODULES, host_input, range};

const GRANT: u64 = 64 * 4096;

/// A tree that has what dom0 needs, from QEMU's with a GICv2.
fn virt_gic2() -> Vec<u8> {
    Edit::new(VIRT_GIC2)
        .add_node("/chosen", "module@46000000")
        .set("/chosen/module@46000000", "compatible", b"multiboot,module\0")
        .cells("/chosen/module@46000000", "reg", &[0, 0x4600_0000, 0, 0x1000])
        .blob()
}

struct Made {
    made: Dom0Tree,
    warnings: Vec<Fault>,
    regions: Regions,
    ppi: u32,
}

/// Does what the boot does: read the host, find free places, make dom0's tree.
fn try_make(blob: &[u8], vcpus: u32, its: bool) -> Result<Made, Fault> {
    let tree = Tree::parse(blob)?;
    let host = HostInfo::parse(&tree, &host_input(), &mut |_| ())?;
    let uart = uart::find(&tree, None).ok();
    let wish = RegionWish { ipa_bits: 40, grant_bytes: GRANT, max_extended: 16 };
    let regions = free_regions(&tree, &host, &wish)?;
    let ppi = free_ppi(&tree, &host).ok_or_else(|| Fault::general(Problem::NoFreePpi))?;
    let desc = Dom0Desc {
        memory: &[range(0x6000_0000, 0x1000_0000)],
        initrd: Some(range(0x6820_0000, 1_500_001)),
        bootargs: "console=hvc0",
        vcpus,
        event_ppi: ppi,
        grant_table: regions.grant_table,
        extended: &regions.extended,
        uart: uart.map(|u| (u.node, u.interrupt)),
        its,
        ipa_bits: 40,
        version: "4.17",
    };
    let mut warnings = Vec::new();
    let made = build(&tree, &host, &desc, &mut |w| warnings.push(*w))?;
    Ok(Made { made, warnings, regions, ppi })
}

fn make(blob: &[u8]) -> Made {
    let made = try_make(blob, 2, false).unwrap();
    // A second reader agrees that it is a tree.
    Fdt::new(&made.made.dtb).unwrap();
    made
}

/// Words of a property of the result.
fn cells(tree: &Tree<'_>, path: &str, name: &str) -> Vec<u32> {
    let node = tree.find(path).expect(path);
    value::words(tree.property(node, name).expect(name)).collect()
}

fn texts(tree: &Tree<'_>, path: &str, name: &str) -> Vec<String> {
    let node = tree.find(path).expect(path);
    value::texts(tree.property(node, name).expect(name))
        .map(|t| String::from_utf8(t.to_vec()).unwrap())
        .collect()
}

fn spi(intid: u32, edge: bool) -> Interrupt {
    Interrupt { intid, edge, inverted: false }
}

#[test]
fn qemu_virt_gicv3_gets_the_nodes_linux_looks_for() {
    let made = make(VIRT_MODULES);
    assert_eq!(made.warnings, []);
    assert_eq!(made.ppi, 16);
    let tree = Tree::parse(&made.made.dtb).unwrap();
    assert_eq!(texts(&tree, "/hypervisor", "compatible"), ["xen,xen-4.17", "xen,xen"]);
    assert_eq!(cells(&tree, "/hypervisor", "interrupts"), [1, 0, 0xf08]);
    let gic = tree.find("/intc@8000000").unwrap();
    let phandle = tree.phandle(gic).unwrap();
    assert_eq!(phandle, 0x8003);
    assert_eq!(cells(&tree, "/hypervisor", "interrupt-parent"), [phandle]);
    let reg = cells(&tree, "/hypervisor", "reg");
    assert_eq!(reg[..4], [0, 0x920_0000, 0, GRANT as u32]);
    assert_eq!(reg.len(), 4 * (1 + made.regions.extended.len()));
    assert_eq!(texts(&tree, "/psci", "compatible"), ["arm,psci-1.0", "arm,psci-0.2", "arm,psci"]);
    assert_eq!(texts(&tree, "/psci", "method"), ["hvc"]);
    assert_eq!(cells(&tree, "/psci", "cpu_on"), [2]);
    assert_eq!(cells(&tree, "/psci", "cpu_off"), [1]);
    assert_eq!(cells(&tree, "/cpus", "#address-cells"), [1]);
    assert_eq!(cells(&tree, "/cpus", "#size-cells"), [0]);
    for (path, reg) in [("/cpus/cpu@0", 0), ("/cpus/cpu@1", 1)] {
        assert_eq!(cells(&tree, path, "reg"), [reg]);
        assert_eq!(texts(&tree, path, "device_type"), ["cpu"]);
        assert_eq!(texts(&tree, path, "compatible"), ["arm,cortex-a57"]);
        assert_eq!(texts(&tree, path, "enable-method"), ["psci"]);
    }
    assert!(tree.find("/cpus/cpu-map").is_none());
    assert_eq!(cells(&tree, "/memory@60000000", "reg"), [0, 0x6000_0000, 0, 0x1000_0000]);
    assert!(tree.find("/memory@40000000").is_none());
    assert_eq!(texts(&tree, "/timer", "compatible"), ["arm,armv8-timer"]);
    assert_eq!(cells(&tree, "/timer", "interrupts"), [1, 13, 0xf08, 1, 14, 0xf08, 1, 11, 0xf08]);
    let timer = tree.find("/timer").unwrap();
    assert!(tree.property(timer, "always-on").is_some());
    assert_eq!(texts(&tree, "/chosen", "bootargs"), ["console=hvc0"]);
    assert_eq!(cells(&tree, "/chosen", "linux,initrd-start"), [0, 0x6820_0000]);
    assert_eq!(cells(&tree, "/chosen", "linux,initrd-end"), [0, 0x6820_0000 + 1_500_001]);
    let chosen = tree.find("/chosen").unwrap();
    assert_eq!(tree.property(chosen, "stdout-path"), None);
    assert_eq!(tree.children(chosen).count(), 0);
    assert_eq!(
        cells(&tree, "/intc@8000000", "reg"),
        [0, 0x800_0000, 0, 0x1_0000, 0, 0x80a_0000, 0, 0xf6_0000]
    );
    assert_eq!(cells(&tree, "/intc@8000000", "#redistributor-regions"), [1]);
    assert_eq!(made.made.redistributor_regions, 1);
    assert_eq!(tree.property(gic, "interrupts"), None);
    assert_eq!(tree.children(gic).count(), 0);
    // Of the host's own nodes these are gone, and the others are all there.
    let host = Tree::parse(VIRT_MODULES).unwrap();
    let gone = ["pl011@9000000", "pmu", "memory@40000000"];
    for node in host.children(NodeId::ROOT) {
        let name = host.name(node);
        let kept = tree.child(NodeId::ROOT, name).is_some();
        assert_eq!(kept, !gone.contains(&name), "{name}");
    }
    // No message interrupts without a translation service.
    let pcie = tree.find("/pcie@10000000").unwrap();
    assert_eq!(tree.property(pcie, "msi-map"), None);
    assert!(tree.property(pcie, "interrupt-map").is_some());
}

#[test]
fn qemu_virt_devices_are_mapped_and_routed() {
    let made = make(VIRT_MODULES);
    assert_eq!(
        made.made.devices.mmio.as_slice(),
        [
            // Flash.
            range(0, 0x800_0000),
            // RTC, fw_cfg, GPIO; not the UART before them.
            range(0x901_0000, 0x1000),
            range(0x902_0000, 0x1000),
            range(0x903_0000, 0x1000),
            // virtio-mmio.
            range(0xa00_0000, 0x4000),
            // PCI memory, then ports.
            range(0x1000_0000, 0x2eff_0000),
            range(0x3eff_0000, 0x1_0000),
            // PCI configuration space, 64-bit memory.
            range(0x40_1000_0000, 0x1000_0000),
            range(0x80_0000_0000, 0x80_0000_0000),
        ]
        .iter()
        .fold(RangeSet::new(), |mut set, r| {
            set.push(*r).unwrap();
            set.normalise();
            set
        })
        .as_slice()
    );
    let expected: Vec<_> = [(34, false), (35, false), (36, false), (37, false)]
        .into_iter()
        .chain([(38, false), (39, false)])
        .chain((48..80).map(|n| (n, true)))
        .map(|(n, edge)| spi(n, edge))
        .collect();
    assert_eq!(made.made.devices.spis, expected);
    assert!(made.made.devices.reserved.as_slice().is_empty());
}

#[test]
fn qemu_virt_free_places_avoid_ram_and_devices() {
    let made = make(VIRT_MODULES);
    assert_eq!(made.regions.grant_table, range(0x920_0000, GRANT));
    let bounds: Vec<_> = made.regions.extended.iter().map(|r| (r.start(), r.end())).collect();
    assert_eq!(
        bounds,
        [
            // Between virtio-mmio and PCI memory, between RAM and PCI configuration, above that.
            (0xa20_0000, 0x1000_0000),
            (0xc000_0000, 0x40_1000_0000),
            (0x40_2000_0000, 0x80_0000_0000)
        ]
    );
}

#[test]
fn translation_service_is_kept_on_request() {
    let made = try_make(VIRT_MODULES, 2, true).unwrap().made;
    let tree = Tree::parse(&made.dtb).unwrap();
    let its = tree.find("/intc@8000000/its@8080000").unwrap();
    assert_eq!(tree.phandle(its), Some(0x8004));
    assert_eq!(cells(&tree, "/pcie@10000000", "msi-map")[1], 0x8004);
    // Emulated, not mapped.
    let frame = range(0x808_0000, 0x2_0000);
    assert!(!made.devices.mmio.as_slice().iter().any(|r| r.overlaps(&frame)));
}

#[test]
fn gicv2_shows_distributor_and_cpu_interface_only() {
    let blob = virt_gic2();
    let made = make(&blob);
    let tree = Tree::parse(&made.made.dtb).unwrap();
    assert_eq!(
        cells(&tree, "/intc@8000000", "reg"),
        [0, 0x800_0000, 0, 0x1_0000, 0, 0x801_0000, 0, 0x1_0000]
    );
    let gic = tree.find("/intc@8000000").unwrap();
    assert_eq!(tree.property(gic, "#redistributor-regions"), None);
    assert_eq!(tree.children(gic).count(), 0);
    assert_eq!(made.made.redistributor_regions, 0);
    let gic = range(0x800_0000, 0x10_0000);
    assert!(!made.made.devices.mmio.as_slice().iter().any(|r| r.overlaps(&gic)));
    // Eight CPUs at most.
    assert!(try_make(&blob, 8, false).is_ok());
    assert_eq!(try_make(&blob, 9, false).err().unwrap().problem, Problem::TooManyVcpus { vcpus: 9, room: 8 });
}

#[test]
fn secure_world_and_iommu_are_not_for_dom0() {
    let made = make(VIRT_FULL);
    let tree = Tree::parse(&made.made.dtb).unwrap();
    assert!(tree.nodes().all(|n| !tree.name(n).starts_with("smmu")));
    let pcie = tree.find("/pcie@10000000").unwrap();
    assert_eq!(tree.property(pcie, "iommu-map"), None);
    assert!(tree.find("/secram@e000000").is_none());
    assert!(tree.find("/distance-map").is_none());
    // Secure devices stay as disabled nodes; their registers are not mapped.
    assert!(tree.find("/pl011@9040000").is_some());
    let mapped = |start| {
        let page = range(start, 0x1000);
        made.made.devices.mmio.contains(&page)
    };
    assert!(!mapped(0x904_0000) && !mapped(0x900_0000) && !mapped(0x905_0000));
    assert!(mapped(0x901_0000));
    assert!(!made.made.devices.spis.contains(&spi(40, false)));
}

#[test]
fn board_with_all_that_qemu_lacks() {
    let made = make(BOARD);
    let tree = Tree::parse(&made.made.dtb).unwrap();
    for gone in [
        "/soc/serial@201000",
        "/soc/watchdog@220000",
        "/soc/timer@240000",
        "/soc/iommu@250000",
        "/soc/interrupt-controller@300000",
        "/soc/interrupt-controller@40041000/v2m@40048000",
        "/firmware/psci",
        "/pmu",
        "/chosen/domU1",
        "/chosen/module@46000000",
        "/memory@40000000",
    ] {
        assert!(tree.find(gone).is_none(), "{gone}");
    }
    for kept in [
        "/soc/serial@202000",
        "/soc/mmc@208000",
        "/soc/i2c@205000/sensor@48",
        "/soc/bus@210000/adc@100",
        "/soc/hidden/flashpart@0",
        "/reserved-memory/cma",
        "/aliases",
        "/pcie@7d500000/pci@0,0/usb@0,0",
    ] {
        assert!(tree.find(kept).is_some(), "{kept}");
    }
    assert_eq!(texts(&tree, "/hypervisor", "compatible"), ["xen,xen-4.17", "xen,xen"]);
    // A private interrupt that nothing has: 16 is the watchdog's.
    assert_eq!(made.ppi, 17);
    assert_eq!(cells(&tree, "/hypervisor", "interrupts"), [1, 1, 0xf08]);
    assert_eq!(cells(&tree, "/timer", "interrupts"), [1, 13, 0xf08, 1, 14, 0xf08, 1, 11, 0xf08]);
    assert_eq!(cells(&tree, "/timer", "clock-frequency"), [19_200_000]);
    assert_eq!(cells(&tree, "/cpus/cpu@1", "clock-frequency"), [1_200_000_000]);
    assert_eq!(texts(&tree, "/cpus/cpu@1", "compatible"), ["arm,cortex-a53", "arm,armv8"]);
    assert_eq!(
        cells(&tree, "/soc/interrupt-controller@40041000", "reg"),
        [0x4004_1000, 0x1000, 0x4004_2000, 0x1000]
    );
    let chosen = tree.find("/chosen").unwrap();
    for gone in ["xen,xen-bootargs", "stdout-path", "linux,uefi-system-table"] {
        assert_eq!(tree.property(chosen, gone), None, "{gone}");
    }
    assert_eq!(texts(&tree, "/chosen", "bootargs"), ["console=hvc0"]);
    // Second memory node: reserved memory.
    assert_eq!(
        cells(&tree, "/memory@4e000000", "reg"),
        [0, 0x4e00_0000, 0, 0x10_0000, 0, 0x5000_0000, 0, 0x80_0000]
    );
    let node = |path| tree.find(path).unwrap();
    assert_eq!(tree.property(node("/soc/i2c@205000"), "iommus"), None);
    assert_eq!(tree.property(node("/pcie@7d500000"), "msi-parent"), None);
    let crypto = node("/soc/crypto@230000");
    assert_eq!(tree.property(crypto, "xen,passthrough"), None);
    assert_eq!(tree.property(crypto, "status"), Some(&b"disabled\0"[..]));
    // Dom0 has not got it, but may give it away.
    assert_eq!(made.made.devices.apart_mmio.as_slice(), [range(0xfe23_0000, 0x1000)]);
    assert_eq!(made.made.devices.apart_spis.iter().map(|spi| spi.intid).collect::<Vec<_>>(), [100]);
    // The one device whose registers make no sense.
    let host = Tree::parse(BOARD).unwrap();
    let odd = host.find("/soc/odd@260000");
    assert_eq!(made.warnings.iter().map(|w| w.node).collect::<Vec<_>>(), [odd]);
}

#[test]
fn board_devices_are_mapped_and_routed() {
    let devices = make(BOARD).made.devices;
    assert_eq!(
        devices.mmio.as_slice(),
        [
            // PCI bridge.
            range(0xfd50_0000, 0xa000),
            // sbsa-uart, (shared) at 0x203800, gpio, i2c, two pages of ethernet.
            range(0xfe20_2000, 0x6000),
            // adc behind its own bus.
            range(0xfe21_0000, 0x1000),
            // PCI windows: they touch.
            range(0x6_0000_0000, 0x401_0000),
        ]
    );
    assert_eq!(devices.reserved.as_slice(), [range(0x4e00_0000, 0x10_0000), range(0x5000_0000, 0x80_0000)]);
    // Neither the UART's 89, though shared, nor those of disabled or removed nodes.
    let ids: Vec<_> = devices.spis.iter().map(|s| (s.intid, s.edge)).collect();
    assert_eq!(
        ids,
        [
            (90, false),
            (92, true),
            (93, false),
            (94, false),
            (95, false),
            (96, true),
            (98, false),
            (102, false),
            (175, false),
            (176, false),
            (180, false),
        ]
    );
}

#[test]
fn addresses_beyond_the_guests_are_left_out() {
    let tree = Tree::parse(VIRT_MODULES).unwrap();
    let host = HostInfo::parse(&tree, &host_input(), &mut |_| ()).unwrap();
    let wish = RegionWish { ipa_bits: 36, grant_bytes: GRANT, max_extended: 2 };
    let regions = free_regions(&tree, &host, &wish).unwrap();
    assert_eq!(
        regions.extended,
        [range(0xa20_0000, 0x5e0_0000), Range::from_bounds(0xc000_0000, 1 << 36).unwrap()]
    );
    let desc = Dom0Desc {
        memory: &[range(0x6000_0000, 0x1000_0000)],
        initrd: None,
        bootargs: "",
        vcpus: 1,
        event_ppi: 16,
        grant_table: regions.grant_table,
        extended: &[],
        uart: None,
        its: false,
        ipa_bits: 36,
        version: "4.17",
    };
    let made = build(&tree, &host, &desc, &mut |_| ()).unwrap();
    let last = made.devices.mmio.as_slice().last().unwrap().end();
    assert_eq!(last, 0x3f00_0000);
    let tree = Tree::parse(&made.dtb).unwrap();
    let chosen = tree.find("/chosen").unwrap();
    assert_eq!(tree.property(chosen, "bootargs"), None);
    assert_eq!(tree.property(chosen, "linux,initrd-start"), None);
    // Without a console of its own the hypervisor leaves the UART to dom0.
    assert!(tree.find("/pl011@9000000").is_some());
}

#[test]
fn no_hole_for_the_grant_table_is_a_fault() {
    let tree = Tree::parse(VIRT_MODULES).unwrap();
    let host = HostInfo::parse(&tree, &host_input(), &mut |_| ()).unwrap();
    for (ipa_bits, grant_bytes) in [(21, GRANT), (40, 1 << 50), (40, 0)] {
        let wish = RegionWish { ipa_bits, grant_bytes, max_extended: 4 };
        assert_eq!(
            free_regions(&tree, &host, &wish).map_err(|f| f.problem),
            Err(Problem::NoHole(grant_bytes))
        );
    }
}

#[test]
fn tree_without_chosen_or_with_one_cell_addresses() {
    let tree = Tree::parse(VIRT_MODULES).unwrap();
    let host = HostInfo::parse(&tree, &host_input(), &mut |_| ()).unwrap();
    // What the host says stays; the tree it goes into has other cells and no /chosen.
    let blob =
        Edit::new(VIRT_MODULES).cells("/", "#address-cells", &[1]).cells("/", "#size-cells", &[1]).blob();
    let small = Tree::parse(&blob).unwrap();
    let mut desc = Dom0Desc {
        memory: &[range(0x6000_0000, 0x1000_0000)],
        initrd: None,
        bootargs: "x",
        vcpus: 1,
        event_ppi: 31,
        grant_table: range(0xc000_0000, GRANT),
        extended: &[],
        uart: None,
        its: false,
        ipa_bits: 40,
        version: "4.17",
    };
    let made = build(&small, &host, &desc, &mut |_| ()).unwrap();
    let result = Tree::parse(&made.dtb).unwrap();
    assert_eq!(cells(&result, "/memory@60000000", "reg"), [0x6000_0000, 0x1000_0000]);
    let far = range(0x1_0000_0000, 0x1000);
    desc.grant_table = far;
    assert_eq!(build(&small, &host, &desc, &mut |_| ()).unwrap_err().problem, Problem::DoesNotFitCells(far));
    desc.event_ppi = 32;
    assert!(matches!(build(&tree, &host, &desc, &mut |_| ()).unwrap_err().problem, Problem::NoPpi(_)));
}

#[test]
fn host_without_chosen_gives_dom0_one() {
    let source = Tree::parse(VIRT_MODULES).unwrap();
    let host = HostInfo::parse(&source, &host_input(), &mut |_| ()).unwrap();
    // Moved to the end, so that the other nodes keep their places.
    let last = source.children(NodeId::ROOT).last().unwrap();
    assert_eq!(source.name(last), "chosen");
    let blob = Edit::new(VIRT_MODULES).remove_node("/", "chosen").blob();
    let tree = Tree::parse(&blob).unwrap();
    let desc = Dom0Desc {
        memory: &[range(0x6000_0000, 0x1000_0000)],
        initrd: None,
        bootargs: "x",
        vcpus: 1,
        event_ppi: 31,
        grant_table: range(0xc000_0000, GRANT),
        extended: &[],
        uart: None,
        its: false,
        ipa_bits: 40,
        version: "4.17",
    };
    let made = build(&tree, &host, &desc, &mut |_| ()).unwrap();
    let result = Tree::parse(&made.dtb).unwrap();
    assert_eq!(texts(&result, "/chosen", "bootargs"), ["x"]);
}

#[test]
fn seventeen_vcpus_have_two_affinity_levels() {
    let made = try_make(VIRT_MODULES, 17, false).unwrap().made;
    let tree = Tree::parse(&made.dtb).unwrap();
    assert_eq!(cells(&tree, "/cpus/cpu@f", "reg"), [15]);
    assert_eq!(cells(&tree, "/cpus/cpu@100", "reg"), [0x100]);
    // 123 redistributors fit into the region.
    assert!(try_make(VIRT_MODULES, 123, false).is_ok());
    assert_eq!(
        try_make(VIRT_MODULES, 124, false).err().unwrap().problem,
        Problem::TooManyVcpus { vcpus: 124, room: 123 }
    );
    assert!(try_make(VIRT_MODULES, 0, false).is_err());
}

#[test]
fn estimate_is_enough_and_not_wasteful() {
    for (blob, vcpus) in [(VIRT_MODULES, 123), (VIRT_FULL, 4), (BOARD, 8)] {
        let tree = Tree::parse(blob).unwrap();
        let host = HostInfo::parse(&tree, &host_input(), &mut |_| ()).unwrap();
        let made = try_make(blob, vcpus, false).unwrap();
        let desc = Dom0Desc {
            memory: &[range(0x6000_0000, 0x1000_0000)],
            initrd: None,
            bootargs: "console=hvc0",
            vcpus,
            event_ppi: 16,
            grant_table: made.regions.grant_table,
            extended: &made.regions.extended,
            uart: None,
            its: false,
            ipa_bits: 40,
            version: "4.17",
        };
        let size = 56 + tree.structure_len() + tree.strings().len() + added::estimate(&host, &desc);
        // No growth of the buffer while it is written.
        assert!(made.made.dtb.len() <= size);
        assert_eq!(made.made.dtb.capacity(), size);
    }
}

#[test]
fn all_phandles_of_kept_nodes_are_the_hosts() {
    for blob in [VIRT_MODULES, VIRT_FULL, BOARD] {
        let host = Tree::parse(blob).unwrap();
        let made = make(blob).made;
        let tree = Tree::parse(&made.dtb).unwrap();
        for node in tree.nodes() {
            let Some(phandle) = tree.phandle(node) else {
                continue;
            };
            let same = host.by_phandle(phandle).unwrap();
            assert_eq!(host.path(same), tree.path(node));
        }
    }
}

#[test]
fn result_is_a_tree_that_the_host_parser_reads() {
    // What dom0 gets has all that a hypervisor needs, but boot modules.
    for blob in [VIRT_MODULES, BOARD] {
        let made = make(blob).made;
        let blob = Edit::new(&made.dtb)
            .add_node("/chosen", "k")
            .set("/chosen/k", "compatible", b"multiboot,module\0")
            .cells("/chosen", "#address-cells", &[1])
            .cells("/chosen", "#size-cells", &[1])
            .cells("/chosen/k", "reg", &[0x6900_0000, 0x1000])
            .remove("/chosen", "linux,initrd-start")
            .blob();
        let tree = Tree::parse(&blob).unwrap();
        let fault = HostInfo::parse(
            &tree,
            &host::HostInput {
                image: range(0x6000_0000, 0x1000),
                fdt: range(0x6010_0000, 0x1000),
                read_u32: &|_| None,
            },
            &mut |_| (),
        )
        .unwrap_err();
        // A GIC without virtualisation: dom0 cannot be a hypervisor.
        assert_eq!(fault.problem, Problem::GicNotVirtual);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn trees_made_of_damaged_ones_are_trees(
        which in 0usize..3,
        damage in prop::collection::vec(
            (any::<prop::sample::Index>(), prop::sample::select(vec![0u8, 1, 2, 3, 4, 9, 0x7f, 0xff])),
            1..6,
        ),
        vcpus in 1u32..10,
        its in any::<bool>(),
    ) {
        let mut blob = [VIRT_MODULES, VIRT_FULL, BOARD][which].to_vec();
        for (at, byte) in damage {
            let at = at.index(blob.len());
            blob[at] = byte;
        }
        if let Ok(made) = try_make(&blob, vcpus, its) {
            let tree = Tree::parse(&made.made.dtb).unwrap();
            prop_assert!(tree.find("/hypervisor").is_some());
            let host = Tree::parse(&blob).unwrap();
            let info = HostInfo::parse(&host, &host_input(), &mut |_| ()).unwrap();
            let taken: Vec<_> = info.memory.as_slice().iter().copied()
                .chain(info.gic.frames())
                .collect();
            for range in made.made.devices.mmio.as_slice() {
                prop_assert!(range.align_in(4096) == Some(*range));
                prop_assert!(range.end() <= 1 << 40);
                prop_assert!(taken.iter().all(|t| !t.overlaps(range)));
            }
            let free = core::iter::once(&made.regions.grant_table).chain(&made.regions.extended);
            for range in free {
                prop_assert!(taken.iter().all(|t| !t.overlaps(range)));
                prop_assert!(made.made.devices.mmio.as_slice().iter().all(|m| !m.overlaps(range)));
            }
        }
    }
}
