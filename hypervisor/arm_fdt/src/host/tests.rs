//! What the host's tree says, and what it must not say.
use proptest::prelude::*;

use super::uart::{Uart, UartKind};
use super::*;
use crate::fault::Item;
use crate::fdt::interrupt::Interrupt;
use crate::testing::{BOARD, Edit, TREES, VIRT_FULL, VIRT_GIC2, VIRT_GIC3, VIRT_MODULES};
use crate::testing::{host_input, range};

/// Parses with the usual input; also returns the warnings.
fn parse<'a>(tree: &Tree<'a>) -> (Result<HostInfo<'a>, Fault>, Vec<Fault>) {
    let mut warnings = Vec::new();
    let result = HostInfo::parse(tree, &host_input(), &mut |w| warnings.push(*w));
    (result, warnings)
}

/// The fault that stops the boot with an edited tree: its node and problem.
fn fault(edit: Edit) -> (String, Problem) {
    let blob = edit.blob();
    let tree = Tree::parse(&blob).unwrap();
    let fault = parse(&tree).0.unwrap_err();
    (path(&tree, &fault), fault.problem)
}

/// The warnings with an edited tree that boots nevertheless.
fn warnings(edit: Edit) -> Vec<(String, Problem)> {
    let blob = edit.blob();
    let tree = Tree::parse(&blob).unwrap();
    let (info, warnings) = parse(&tree);
    info.unwrap();
    warnings.iter().map(|w| (path(&tree, w), w.problem)).collect()
}

/// The path of the fault's node; empty without one.
fn path(tree: &Tree<'_>, fault: &Fault) -> String {
    let path = fault.node.map(|node| tree.path(node));
    path.map_or(String::new(), |p| p.as_str().to_owned())
}

fn virt() -> Edit {
    Edit::new(VIRT_MODULES)
}

fn board() -> Edit {
    Edit::new(BOARD)
}

fn ppi(intid: u32, inverted: bool) -> Interrupt {
    Interrupt { intid, edge: false, inverted }
}

const MODULES: [&str; 2] = ["/chosen/module@0x46000000", "/chosen/module@0x4a000000"];

#[test]
fn qemu_virt_with_gicv3_and_guest_loader() {
    let tree = Tree::parse(VIRT_MODULES).unwrap();
    let (info, warnings) = parse(&tree);
    let info = info.unwrap();
    assert_eq!(warnings, []);
    assert_eq!(info.memory.as_slice(), [range(0x4000_0000, 0x8000_0000)]);
    assert_eq!(info.reserved, []);
    assert_eq!(
        info.command_lines,
        CommandLines { hypervisor: "dom0_mem=512M loglvl=all", dom0: "console=hvc0 root=/dev/vda" }
    );
    let kernel = info.kernel().unwrap();
    assert_eq!(kernel.range, range(0x4600_0000, 3_000_000));
    assert_eq!(kernel.bootargs, Some("console=hvc0 root=/dev/vda"));
    assert_eq!(info.ramdisk().unwrap().range, range(0x4a00_0000, 1_500_001));
    let cpus: Vec<_> = info.cpus.iter().map(|c| (c.mpidr, c.enable)).collect();
    assert_eq!(cpus, [(0, EnableMethod::Psci), (1, EnableMethod::Psci)]);
    assert_eq!(info.cpus[0].compatible, b"arm,cortex-a57\0");
    let psci = info.psci.unwrap();
    assert_eq!((psci.conduit, psci.version, psci.cpu_on), (Conduit::Smc, PsciVersion::V1_0, 0xc400_0003));
    assert_eq!(info.gic.distributor, range(0x800_0000, 0x1_0000));
    assert_eq!(info.gic.maintenance, ppi(25, false));
    let its = tree.find("/intc/its").unwrap();
    assert_eq!(
        info.gic.version,
        GicVersion::V3 {
            redistributors: vec![range(0x80a_0000, 0xf6_0000)],
            stride: None,
            gicc: None,
            gich: None,
            gicv: None,
            its: vec![Its { node: its, range: range(0x808_0000, 0x2_0000) }],
        }
    );
    assert_eq!(info.timer.secure, Some(ppi(29, false)));
    assert_eq!(info.timer.physical, ppi(30, false));
    assert_eq!(info.timer.virtual_, ppi(27, false));
    assert_eq!(info.timer.hypervisor, ppi(26, false));
    assert_eq!(info.timer.clock_hz, None);
}

#[test]
fn qemu_virt_with_gicv2_has_four_frames() {
    let blob = Edit::new(VIRT_GIC2)
        .cells("/chosen", "linux,initrd-start", &[0x4a00_0000])
        .cells("/chosen", "linux,initrd-end", &[0, 0x4a00_1000])
        .add_node("/chosen", "k")
        .set("/chosen/k", "compatible", b"multiboot,module\0")
        .cells("/chosen/k", "reg", &[0, 0x4600_0000, 0, 0x1000])
        .blob();
    let tree = Tree::parse(&blob).unwrap();
    let info = parse(&tree).0.unwrap();
    assert_eq!(
        info.gic.version,
        GicVersion::V2 {
            gicc: range(0x801_0000, 0x1_0000),
            gich: range(0x803_0000, 0x1_0000),
            gicv: range(0x804_0000, 0x1_0000),
        }
    );
    assert_eq!(info.ramdisk().unwrap().range, range(0x4a00_0000, 0x1000));
    assert_eq!(info.kernel().unwrap().range, range(0x4600_0000, 0x1000));
}

#[test]
fn two_numa_nodes_are_one_range_and_secure_ram_is_left_out() {
    let tree = Tree::parse(VIRT_FULL).unwrap();
    let info = parse(&tree).0.unwrap();
    assert_eq!(info.memory.as_slice(), [range(0x4000_0000, 0x1_0000_0000)]);
    assert_eq!(info.cpus.len(), 4);
}

#[test]
fn board_with_all_that_qemu_lacks() {
    let tree = Tree::parse(BOARD).unwrap();
    let (info, warnings) = parse(&tree);
    let info = info.unwrap();
    let warnings: Vec<_> = warnings.iter().map(|w| (w.node, w.problem)).collect();
    let at = |path| tree.find(path);
    assert_eq!(
        warnings,
        [
            (at("/chosen/module@4c000000"), Problem::UnusedModule),
            (at("/chosen/domU1"), Problem::Dom0less),
            (at("/cpus/cpu@100"), Problem::UnknownEnableMethod),
        ]
    );
    // Two touching banks, an empty one, and one whose first half page is of no use.
    assert_eq!(info.memory.as_slice(), [range(0x4000_0000, 0x3000_0000), range(0x1_0000_1000, 0x1000_0000)]);
    let reserved: Vec<_> = info.reserved.iter().map(|r| (r.range, r.node.is_some(), r.no_map)).collect();
    assert_eq!(
        reserved,
        [
            (range(0x4f00_0000, 0x10_0000), false, false),
            (range(0x4e00_0000, 0x10_0000), true, true),
            (range(0x5000_0000, 0x80_0000), true, false),
        ]
    );
    let kinds: Vec<_> = info.modules.iter().map(|m| (m.kind, m.range)).collect();
    assert_eq!(
        kinds,
        [
            (ModuleKind::Kernel, range(0x4600_0000, 0x30_0000)),
            (ModuleKind::Ramdisk, range(0x4a00_0000, 0x20_0001)),
            (ModuleKind::Unknown, range(0x4c00_0000, 0x1000)),
        ]
    );
    assert_eq!(info.command_lines.hypervisor, "dom0_mem=256M");
    assert_eq!(info.command_lines.dom0, "console=hvc0 quiet");
    let cpus: Vec<_> = info.cpus.iter().map(|c| (c.mpidr, c.enable)).collect();
    assert_eq!(
        cpus,
        [
            (0, EnableMethod::SpinTable { release: 0x4e00_00d8 }),
            (1, EnableMethod::Psci),
            (0x1_0000_0100, EnableMethod::None),
        ]
    );
    let psci = info.psci.unwrap();
    assert_eq!(
        (psci.conduit, psci.version, psci.cpu_on, psci.cpu_off),
        (Conduit::Hvc, PsciVersion::V0_1, 0x95c1_ba60, Some(0x95c1_ba5f))
    );
    assert_eq!(psci.cpu_suspend, None);
    // The CPU interface's 4 KiB are too few, the tree is wrong there.
    assert_eq!(
        info.gic.version,
        GicVersion::V2 {
            gicc: range(0xff84_2000, 0x2000),
            gich: range(0xff84_4000, 0x2000),
            gicv: range(0xff84_6000, 0x2000),
        }
    );
    assert_eq!(info.timer.secure, None);
    assert_eq!(info.timer.physical, ppi(30, true));
    assert_eq!(info.timer.virtual_, ppi(27, true));
    assert_eq!(info.timer.hypervisor, ppi(26, true));
    assert_eq!(info.timer.clock_hz, Some(19_200_000));
}

#[test]
fn security_policy_is_told_from_a_ram_disk_by_its_first_word() {
    let tree = Tree::parse(BOARD).unwrap();
    let input =
        HostInput { read_u32: &|address| (address == 0x4a00_0000).then_some(0xf97c_ff8c), ..host_input() };
    let info = HostInfo::parse(&tree, &input, &mut |_| ()).unwrap();
    let kinds: Vec<_> = info.modules.iter().map(|m| m.kind).collect();
    assert_eq!(kinds, [ModuleKind::Kernel, ModuleKind::XsmPolicy, ModuleKind::Unknown]);
}

#[test]
fn command_lines_go_to_whom_they_are_for() {
    const XEN: &str = "xen,xen-bootargs";
    const DOM0: &str = "xen,dom0-bootargs";
    const PLAIN: &str = "bootargs";
    // Properties of /chosen, bootargs of the kernel module: the hypervisor's and dom0's line.
    type Case<'c> = (&'c [&'c str], &'c str, &'c str, &'c str);
    let cases: [Case<'_>; 9] = [
        (&[], "", "", ""),
        (&[PLAIN], "", "", PLAIN),
        (&[XEN], "", XEN, ""),
        (&[XEN, PLAIN], "", XEN, PLAIN),
        (&[DOM0, PLAIN], "", PLAIN, DOM0),
        (&[XEN, DOM0, PLAIN], "", XEN, DOM0),
        (&[PLAIN], "module", PLAIN, "module"),
        (&[XEN, PLAIN], "module", XEN, "module"),
        (&[DOM0, PLAIN], "module", PLAIN, "module"),
    ];
    for (properties, module, hypervisor, dom0) in cases {
        let mut edit =
            virt().remove("/chosen", PLAIN).set(MODULES[0], PLAIN, format!("{module}\0").as_bytes());
        for name in properties {
            edit = edit.set("/chosen", name, format!("{name}\0").as_bytes());
        }
        let blob = edit.blob();
        let lines = command_lines(&Tree::parse(&blob).unwrap()).unwrap();
        let expected = CommandLines { hypervisor, dom0 };
        // The texts are the properties' own names.
        assert_eq!(lines, expected, "{properties:?} {module}");
    }
}

#[test]
fn command_line_that_is_no_text_or_too_long_is_refused() {
    assert_eq!(
        fault(virt().set("/chosen", "bootargs", b"no nul")),
        ("/chosen".into(), Problem::NotText("bootargs"))
    );
    let long = [vec![b'x'; 2049], vec![0]].concat();
    assert_eq!(
        fault(virt().set("/chosen", "bootargs", &long)),
        ("/chosen".into(), Problem::TooLong { property: "bootargs", len: 2049, max: 2048 })
    );
}

#[test]
fn missing_modules_are_faults_with_advice() {
    let tree = Tree::parse(VIRT_GIC3).unwrap();
    let missing = parse(&tree).0.unwrap_err();
    assert_eq!(missing.problem, Problem::NoKernel);
    assert!(tree.explain(&missing).to_string().contains("guest-loader"));
    assert_eq!(fault(virt().remove_node("/", "chosen")).1, Problem::NoKernel);
    assert_eq!(fault(virt().remove(MODULES[0], "reg")), (MODULES[0].into(), Problem::Missing("reg")));
}

#[test]
fn module_ranges_are_checked() {
    let at = |reg: &[u32]| fault(virt().cells(MODULES[0], "reg", reg));
    let here = || MODULES[0].to_owned();
    assert_eq!(at(&[0, 0x4600_0000, 0]), (here(), Problem::BadLength { property: "reg", len: 12, unit: 16 }));
    assert_eq!(at(&[0, 0x4600_0000, 0, 0]), (here(), Problem::EmptyModule(Item::Kernel)));
    assert_eq!(
        at(&[0xffff_ffff, 0xffff_f000, 0, 0x1000]),
        (here(), Problem::Wraps { start: 0xffff_ffff_ffff_f000, size: 0x1000 })
    );
    // Beyond the end of RAM, half and wholly; below its start.
    for (start, size) in [(0xbfff_f000, 0x2000), (0xc000_0000, 0x1000), (0x3fff_f000, 0x2000)] {
        assert_eq!(
            at(&[0, start as u32, 0, size as u32]),
            (here(), Problem::NotInRam(Item::Kernel, range(start, size)))
        );
    }
    assert_eq!(
        fault(virt().cells("/chosen", "#address-cells", &[3])),
        (MODULES[1].into(), Problem::BadCells { address: 3, size: 2 })
    );
}

#[test]
fn overlapping_modules_are_refused_by_name() {
    let overlap = |start: u32, item, other| {
        let edit = virt().cells(MODULES[0], "reg", &[0, start, 0, 0x2000]);
        let expected = Problem::Overlap {
            a: Item::Kernel,
            a_range: range(start.into(), 0x2000),
            b: item,
            b_range: other,
        };
        assert_eq!(fault(edit), (MODULES[0].into(), expected));
    };
    overlap(0x4a00_1000, Item::Ramdisk, range(0x4a00_0000, 1_500_001));
    overlap(0x4020_1000, Item::Hypervisor, host_input().image);
    overlap(0x4eff_f000, Item::DeviceTree, host_input().fdt);
    let reserved = virt().add_node("/", "reserved-memory").add_node("/reserved-memory", "r").cells(
        "/reserved-memory/r",
        "reg",
        &[0, 0x4a00_0000, 0, 0x100],
    );
    assert!(matches!(fault(reserved).1, Problem::Overlap { a: Item::Ramdisk, b: Item::ReservedMemory, .. }));
}

#[test]
fn memory_reservations_may_cover_a_module_but_not_cut_it() {
    assert_eq!(warnings(virt().reserve(0x4a00_0000, 0x20_0000)), []);
    assert!(matches!(
        fault(virt().reserve(0x4a00_0000, 0x1000)).1,
        Problem::Overlap { a: Item::Ramdisk, b: Item::MemReserve, .. }
    ));
    assert!(matches!(fault(virt().reserve(u64::MAX, 0x1000)).1, Problem::Wraps { .. }));
}

#[test]
fn second_kernel_is_left_out() {
    let second = virt()
        .add_node("/chosen", "other")
        .set("/chosen/other", "compatible", b"multiboot,kernel\0multiboot,module\0")
        .cells("/chosen/other", "reg", &[0, 0x4c00_0000, 0, 0x1000]);
    assert_eq!(warnings(second), [("/chosen/other".into(), Problem::SecondModule(Item::Kernel))]);
}

#[test]
fn more_modules_than_are_kept_are_left_out() {
    let mut edit = virt();
    for n in 0..40u32 {
        let path = format!("/chosen/m{n}");
        edit = edit
            .add_node("/chosen", &format!("m{n}"))
            .set(&path, "compatible", b"multiboot,device-tree\0multiboot,module\0")
            .cells(&path, "reg", &[0, 0x4c00_0000 + n * 0x1000, 0, 0x1000]);
    }
    let warnings = warnings(edit);
    let unused = |w: &&(String, Problem)| w.1 == Problem::UnusedModule;
    assert_eq!(warnings.iter().filter(unused).count(), 30);
    assert!(matches!(warnings.last().unwrap().1, Problem::TooMany { max: 32, .. }));
}

#[test]
fn more_reserved_memory_than_is_kept_stops_the_boot() {
    let reg: Vec<u32> = (0..257).flat_map(|n| [0, 0x6000_0000 + n * 0x2000, 0, 0x1000]).collect();
    let edit = virt().add_node("/", "reserved-memory").add_node("/reserved-memory", "r").cells(
        "/reserved-memory/r",
        "reg",
        &reg,
    );
    let problem = Problem::TooMany { what: "reserved ranges", max: 256 };
    assert_eq!(fault(edit), ("/reserved-memory/r".into(), problem));
}

#[test]
fn more_memory_banks_than_are_kept_are_left_out() {
    // The first one holds image, tree and modules.
    let small = (1..300).flat_map(|n| [0, 0x8000_0000 + n * 0x2000, 0, 0x1000]);
    let reg: Vec<u32> = [0, 0x4000_0000, 0, 0x2000_0000].into_iter().chain(small).collect();
    let problem = Problem::TooMany { what: "memory banks", max: 256 };
    assert_eq!(
        warnings(virt().cells("/memory@40000000", "reg", &reg)),
        [("/memory@40000000".into(), problem)]
    );
}

#[test]
fn memory_nodes_are_checked() {
    const NODE: &str = "/memory@40000000";
    let reg = |reg: &[u32]| fault(virt().cells(NODE, "reg", reg)).1;
    assert_eq!(fault(virt().set(NODE, "status", b"disabled\0")), (String::new(), Problem::NoMemory));
    assert_eq!(reg(&[0, 0x4000_0000, 0, 0]), Problem::NoMemory);
    assert_eq!(reg(&[0, 0x4000_0000, 0]), Problem::BadLength { property: "reg", len: 12, unit: 16 });
    assert!(matches!(reg(&[0xffff_ffff, 0, 1, 0]), Problem::Wraps { .. }));
    assert_eq!(
        reg(&[0, 0x4000_0000, 0, 0x2000, 0, 0x4000_1000, 0, 0x2000]),
        Problem::Overlap {
            a: Item::MemoryBank,
            a_range: range(0x4000_1000, 0x2000),
            b: Item::MemoryBank,
            b_range: range(0x4000_0000, 0x2000),
        }
    );
    assert_eq!(fault(virt().remove(NODE, "reg")), (NODE.into(), Problem::Missing("reg")));
    assert_eq!(fault(virt().cells("/", "#address-cells", &[3])).1, Problem::BadCells { address: 3, size: 2 });
    assert_eq!(fault(virt().cells("/", "#size-cells", &[0])).1, Problem::BadCells { address: 2, size: 0 });
}

#[test]
fn cpu_nodes_are_checked() {
    let one = "/cpus/cpu@1";
    assert_eq!(fault(virt().cells(one, "reg", &[0])), (one.into(), Problem::DuplicateCpu(0)));
    assert_eq!(fault(virt().cells(one, "reg", &[0x100_0000])).1, Problem::BadMpidr(0x100_0000));
    assert!(matches!(fault(virt().set(one, "reg", &[0, 0])).1, Problem::BadLength { .. }));
    assert_eq!(
        fault(virt().cells("/cpus", "#address-cells", &[0])).1,
        Problem::BadCells { address: 0, size: 0 }
    );
    assert_eq!(
        fault(virt().set(one, "enable-method", b"spin-table\0")).1,
        Problem::Missing("cpu-release-addr")
    );
    assert_eq!(fault(virt().remove_node("/", "cpus")).1, Problem::NoCpus);
    let none = virt().set("/cpus/cpu@0", "status", b"fail\0").set(one, "device_type", b"cache\0");
    assert_eq!(fault(none).1, Problem::NoCpus);
}

#[test]
fn psci_is_optional_but_must_make_sense() {
    assert_eq!(warnings(virt().remove_node("/", "psci")), [(String::new(), Problem::NoPsci)]);
    assert_eq!(fault(virt().set("/psci", "method", b"svc\0")), ("/psci".into(), Problem::BadValue("method")));
    assert_eq!(fault(virt().remove("/psci", "method")).1, Problem::Missing("method"));
    assert_eq!(fault(board().remove("/firmware/psci", "cpu_on")).1, Problem::Missing("cpu_on"));
}

#[test]
fn gic_is_needed_with_virtualisation() {
    const GIC: &str = "/intc@8000000";
    assert_eq!(fault(virt().set(GIC, "compatible", b"arm,pl390\0")).1, Problem::NoGic);
    assert_eq!(fault(virt().remove(GIC, "interrupts")), (GIC.into(), Problem::GicNotVirtual));
    assert_eq!(fault(virt().cells(GIC, "interrupts", &[0, 9, 4])).1, Problem::NoPpi("GIC maintenance"));
    assert_eq!(fault(virt().cells(GIC, "interrupts", &[9, 9, 4])).1, Problem::BadInterrupt);
    assert_eq!(
        fault(virt().cells(GIC, "#redistributor-regions", &[0])).1,
        Problem::BadValue("#redistributor-regions")
    );
    assert_eq!(fault(virt().cells(GIC, "#redistributor-regions", &[2])).1, Problem::Missing("reg"));
    assert_eq!(
        fault(virt().cells(GIC, "reg", &[0, 0x800_0000, 0, 0x1_0000, 0, 0x800_8000, 0, 0x2_0000])).1,
        Problem::Overlap {
            a: Item::Gic,
            a_range: range(0x800_8000, 0x2_0000),
            b: Item::Gic,
            b_range: range(0x800_0000, 0x1_0000),
        }
    );
    let gicv2 = board().cells(
        "/soc/interrupt-controller@40041000",
        "reg",
        &[0x4004_1000, 0x1000, 0x4004_2000, 0x1000],
    );
    assert_eq!(fault(gicv2).1, Problem::GicNotVirtual);
    assert_eq!(fault(board().remove("/soc", "ranges")).1, Problem::NotMapped);
}

#[test]
fn damaged_translation_service_is_left_out() {
    let blob = virt().remove("/intc@8000000/its@8080000", "reg").blob();
    let tree = Tree::parse(&blob).unwrap();
    let (info, warnings) = parse(&tree);
    assert_eq!(warnings[0].problem, Problem::Missing("reg"));
    let GicVersion::V3 { its, .. } = info.unwrap().gic.version else {
        panic!("no GICv3");
    };
    assert_eq!(its, []);
}

#[test]
fn timer_needs_its_private_interrupts() {
    assert_eq!(fault(virt().remove_node("/", "timer")).1, Problem::NoTimer);
    assert_eq!(
        fault(virt().cells("/timer", "interrupts", &[1, 13, 4, 1, 14, 4, 1, 11, 4])),
        ("/timer".into(), Problem::NoPpi("the EL2 timer"))
    );
    assert_eq!(
        fault(virt().cells("/timer", "interrupts", &[1, 13, 4, 0, 14, 4, 1, 11, 4, 1, 10, 4])).1,
        Problem::NoPpi("the physical timer")
    );
    assert_eq!(
        fault(board().set("/timer", "interrupt-names", b"virt\0phys\0x\0")).1,
        Problem::NoPpi("the EL2 timer")
    );
}

#[test]
fn uart_is_found_by_stdout_path_alias_or_option() {
    let tree = Tree::parse(VIRT_GIC3).unwrap();
    let node = tree.find("/pl011@9000000").unwrap();
    assert_eq!(
        uart::find(&tree, None),
        Ok(Uart {
            kind: UartKind::Pl011,
            range: range(0x900_0000, 0x1000),
            interrupt: Some(ppi(33, false)),
            options: "",
            node,
        })
    );
    let tree = Tree::parse(BOARD).unwrap();
    let found = uart::find(&tree, None).unwrap();
    assert_eq!(found.kind, UartKind::Ns16550 { reg_shift: 2, io_width: 4, designware: true });
    assert_eq!(found.range, range(0xfe20_1000, 0x100));
    assert_eq!((found.options, found.baud()), ("115200n8", Some(115_200)));
    for path in ["uart1", "uart1:", "/soc/serial@202000"] {
        let found = uart::find(&tree, Some(path)).unwrap();
        assert_eq!(found.kind, UartKind::Sbsa);
        assert_eq!(found.interrupt, Some(ppi(90, false)));
        assert_eq!(found.baud(), None);
    }
    // An empty option is none.
    assert_eq!(uart::find(&tree, Some("")).unwrap().baud(), Some(115_200));
}

#[test]
fn uart_without_stdout_path_is_the_first_serial_alias() {
    let blob = board().remove("/chosen", "stdout-path").blob();
    let tree = Tree::parse(&blob).unwrap();
    let found = uart::find(&tree, None).unwrap();
    assert_eq!((found.range.start(), found.options), (0xfe20_1000, ""));
}

#[test]
fn unusable_uarts_are_faults() {
    let find = |edit: Edit, path| {
        let blob = edit.blob();
        let tree = Tree::parse(&blob).unwrap();
        uart::find(&tree, path).unwrap_err().problem
    };
    assert_eq!(find(board(), Some("/soc/no")), Problem::NoSuchUart);
    assert_eq!(find(board(), Some("/soc/gpio")), Problem::UnknownUart);
    assert_eq!(find(virt().remove("/chosen", "stdout-path"), None), Problem::NoStdout);
    assert_eq!(find(virt().set("/chosen", "stdout-path", b"x"), None), Problem::NotText("stdout-path"));
    let serial = "/soc/serial@201000";
    assert_eq!(find(board().cells(serial, "reg-io-width", &[2]), None), Problem::BadValue("reg-io-width"));
    assert_eq!(find(board().cells(serial, "reg-shift", &[4]), None), Problem::BadValue("reg-shift"));
    assert_eq!(find(board().remove(serial, "reg"), None), Problem::Missing("reg"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn damaged_trees_are_read_or_refused(
        which in 0usize..TREES.len(),
        damage in prop::collection::vec(
            (any::<prop::sample::Index>(), prop::sample::select(vec![0u8, 1, 2, 3, 9, 0x7f, 0xff])),
            1..6,
        ),
    ) {
        let mut blob = TREES[which].to_vec();
        for (at, byte) in damage {
            let at = at.index(blob.len());
            blob[at] = byte;
        }
        if let Ok(tree) = Tree::parse(&blob) {
            let _ = uart::find(&tree, None);
            match parse(&tree).0 {
                Ok(info) => {
                    for module in &info.modules {
                        prop_assert!(info.memory.contains(&module.range));
                    }
                }
                // It can be put into words.
                Err(fault) => prop_assert!(!tree.explain(&fault).to_string().is_empty()),
            }
        }
    }
}
