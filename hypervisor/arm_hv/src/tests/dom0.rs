//! Dom0 from device trees of QEMU's machine, with kernels that are little more than their header.

use crate::dom0::{self, Dom0Input};
use crate::platform::ArmPlatform;
use crate::testkit::*;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;
use arch_fake::{Access, Config};
use arm_fdt::fdt::Tree;
use arm_fdt::host::{GicVersion, HostInfo, HostInput, uart};
use arm_fdt::{Range, RangeSet, cmdline};
use dtoolkit::fdt::Fdt;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use hal::{Domid, Gaddr, Maddr, PAGE_SIZE};
use hv_core::{Domain, Vcpu};

const VIRT_GIC2: &[u8] = include_bytes!("../../../arm_fdt/testdata/virt-gic2.dtb");
const VIRT_GIC3: &[u8] = include_bytes!("../../../arm_fdt/testdata/virt-gic3.dtb");

/// Where the boot loader put things; the trees have 2 GiB of RAM at 1 GiB.
const KERNEL: u64 = 0x4600_0000;
const RAMDISK: u64 = 0x4a00_0000;
const MIB: u64 = 1 << 20;

/// What a boot loader hands over.
struct Boot {
    tree: &'static [u8],
    line: &'static str,
    kernel: Vec<u8>,
    ramdisk: Vec<u8>,
}

impl Boot {
    fn new(tree: &'static [u8]) -> Self {
        let ramdisk = (0..100_003u32).map(|n| (n % 251) as u8).collect();
        Self { tree, line: "dom0_mem=64M", kernel: kernel(300_001, 2 * MIB), ramdisk }
    }

    /// The tree with the modules in it.
    fn blob(&self) -> Vec<u8> {
        let mut tree = DeviceTree::from_fdt(&Fdt::new(self.tree).unwrap());
        let chosen = tree.find_node_mut("/chosen").unwrap();
        let property = |name: &str, value: &[u8]| DeviceTreeProperty::new(name, value).unwrap();
        chosen.remove_property("bootargs");
        chosen.add_property(property("bootargs", format!("{}\0", self.line).as_bytes()));
        let modules = [("kernel", KERNEL, &self.kernel), ("ramdisk", RAMDISK, &self.ramdisk)];
        for (kind, at, bytes) in modules.into_iter().filter(|(_, _, bytes)| !bytes.is_empty()) {
            let mut node = DeviceTreeNode::new(format!("module@{at:x}")).unwrap();
            let compatible = format!("multiboot,module\0multiboot,{kind}\0");
            node.add_property(property("compatible", compatible.as_bytes()));
            let reg = [at, bytes.len() as u64].map(u64::to_be_bytes).concat();
            node.add_property(property("reg", &reg));
            if kind == "kernel" {
                node.add_property(property("bootargs", b"console=hvc0\0"));
            }
            chosen.add_child(node);
        }
        tree.to_dtb()
    }

    /// Does what the boot code does up to a paused dom0.
    fn build(&self) -> Result<(World, Arc<Domain>), String> {
        let blob = self.blob();
        let tree = Tree::parse(&blob).unwrap();
        let range = |start, size| Range::new(start, size).unwrap();
        let (image, fdt) = (range(0x4020_0000, 0x8_0000), range(0x4f00_0000, 0x1_0000));
        let input = HostInput { image, fdt, read_u32: &|_| None };
        let host = HostInfo::parse(&tree, &input, &mut |_| {}).map_err(|e| tree.explain(&e).to_string())?;
        let mut taken = RangeSet::new();
        for range in host.modules.iter().map(|m| m.range).chain([image, fdt]) {
            taken.push(range.align_out(PAGE_SIZE as u64).unwrap()).unwrap();
        }
        taken.normalise();
        let frames = |range: &Range| (Maddr(range.start()).frame(), range.size() / PAGE_SIZE as u64);
        let free: Vec<_> = host.memory.without(&taken).unwrap().as_slice().iter().map(frames).collect();
        let ram = host.memory.as_slice().iter().map(frames).collect();
        let v2 = matches!(host.gic.version, GicVersion::V2 { .. });
        let gic_version = if v2 { 2 } else { 3 };
        let mut world = World::booted(Config { ram, gic_version, ..Config::hostile() }, &free, self.line);
        if let GicVersion::V3 { redistributors, .. } = &host.gic.version {
            world.set_gic(host.gic.distributor.start(), redistributors[0].start());
        } else {
            world.set_gic(host.gic.distributor.start(), 0);
        }
        world.machine().put(Maddr(KERNEL), &self.kernel);
        world.machine().put(Maddr(RAMDISK), &self.ramdisk);
        let options = cmdline::parse(host.command_lines.hypervisor, &mut |w| panic!("{w}"));
        let uart = uart::find(&tree, None).ok();
        let input = Dom0Input { tree: &tree, host: &host, options: &options, uart: uart.as_ref() };
        let domain = dom0::build(world.hv, &input).map_err(|e| e.to_string())?;
        let before = world.hv.frames.free_frames();
        dom0::release_modules(world.hv, &host);
        let modules = (self.kernel.len() / PAGE_SIZE + self.ramdisk.len() / PAGE_SIZE) as u64;
        assert_eq!(world.hv.frames.free_frames() - before, modules);
        Ok((world, domain))
    }

    fn error(&self) -> String {
        self.build().err().expect("dom0 cannot be built")
    }
}

/// A kernel image of `len` bytes that uses `size`.
fn kernel(len: usize, size: u64) -> Vec<u8> {
    let mut image: Vec<u8> = (0..len).map(|n| (n % 253) as u8).collect();
    image[..64].fill(0);
    image[16..24].copy_from_slice(&size.to_le_bytes());
    // Little endian, pages of 4 KiB, anywhere.
    image[24] = 0xa;
    image[56..60].copy_from_slice(b"ARM\x64");
    image
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let step = |sum: u32, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 };
    let crc = !data.iter().fold(u32::MAX, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step));
    let packed = miniz_oxide::deflate::compress_to_vec(data, 6);
    let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    [&header[..], &packed, &crc.to_le_bytes(), &(data.len() as u32).to_le_bytes()].concat()
}

/// What dom0 finds in its memory with caches off.
fn memory(world: &World, domain: &Domain, at: u64, len: usize) -> Vec<u8> {
    let mut bytes = alloc::vec![0; len];
    world.machine().guest_read_uncached(domain.root, Gaddr(at), &mut bytes).unwrap();
    bytes
}

/// Dom0's device tree, from where its x0 points.
fn device_tree(world: &World, domain: &Domain, at: u64) -> Vec<u8> {
    let head = memory(world, domain, at, 8);
    let size = u32::from_be_bytes(head[4..8].try_into().unwrap());
    memory(world, domain, at, size as usize)
}

/// A property of 32-bit words as 64-bit numbers.
fn numbers(tree: &Tree<'_>, path: &str, name: &str) -> Vec<u64> {
    let value = tree.property(tree.find(path).unwrap(), name).unwrap();
    value.chunks(8).map(|n| n.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))).collect()
}

#[test]
fn dom0_starts_at_its_kernel_with_tree_and_ram_disk_in_memory() {
    for packed in [false, true] {
        let mut boot = Boot::new(VIRT_GIC3);
        let image = boot.kernel.clone();
        if packed {
            boot.kernel = gzip(&image);
        }
        let (mut world, domain) = boot.build().unwrap();
        world.hv.unpause_domain(&domain).unwrap();
        world.settle();
        let first = domain.vcpu(0).unwrap();
        let (entry, tree_at) = (world.regs(first).pc, world.regs(first).x[0]);
        assert_eq!(entry % (2 * MIB), 0);
        assert!(memory(&world, &domain, entry, image.len()) == image);

        let blob = device_tree(&world, &domain, tree_at);
        let tree = Tree::parse(&blob).unwrap();
        let path = format!("/memory@{entry:x}");
        assert_eq!(numbers(&tree, &path, "reg"), [entry, 64 * MIB]);
        let [start] = numbers(&tree, "/chosen", "linux,initrd-start")[..] else { panic!() };
        let [end] = numbers(&tree, "/chosen", "linux,initrd-end")[..] else { panic!() };
        assert!(memory(&world, &domain, start, (end - start) as usize) == boot.ramdisk);
        let args = tree.property(tree.find("/chosen").unwrap(), "bootargs").unwrap();
        assert_eq!(args, b"console=hvc0\0");
        // Its memory has the frames of the same numbers.
        let last = Gaddr(entry + 64 * MIB - 8);
        assert_eq!(world.machine().guest_translate(domain.root, last, Access::Write), Ok(Maddr(last.0)));
        assert_eq!(u64::from(domain.tot_pages()) * PAGE_SIZE as u64, 64 * MIB);
    }
}

#[test]
fn devices_and_their_interrupts_are_dom0s_and_the_hypervisors_are_not() {
    let (world, domain) = Boot::new(VIRT_GIC3).build().unwrap();
    let reach = |at| world.machine().guest_translate(domain.root, Gaddr(at), Access::Write).ok();
    // RTC and the first virtio device; UART, distributor, redistributors.
    for at in [0x0901_0000, 0x0a00_0000] {
        assert_eq!(reach(at), Some(Maddr(at)));
    }
    for at in [0x0900_0000, 0x0800_0000, 0x080a_0000, KERNEL] {
        assert_eq!(reach(at), None, "{at:#x}");
    }
    let platform = ArmPlatform::of(world.hv).unwrap();
    assert_eq!(platform.owner(34), Some(Domid::DOM0), "the RTC's");
    assert_eq!(platform.owner(32 + 16), Some(Domid::DOM0), "the first virtio device's");
    assert_eq!((platform.console_irq(), platform.owner(CONSOLE)), (Some(CONSOLE), None));
}

#[test]
fn dom0_brings_its_vcpus_up_and_gets_interrupts_on_either_controller() {
    for tree in [VIRT_GIC3, VIRT_GIC2] {
        let (mut world, domain) = Boot::new(tree).build().unwrap();
        world.hv.unpause_domain(&domain).unwrap();
        world.settle();
        let first = domain.vcpu(0).unwrap().clone();
        let entry = world.regs(&first).pc;
        assert_eq!(world.psci(&first, [CPU_ON, 1, entry, 0]), 0);
        world.settle();
        let second = domain.vcpu(1).unwrap();
        assert_eq!((world.regs(second).pc, domain.max_vcpus), (entry, 2));
        for vcpu in [&first, second] {
            world.open_gic(vcpu);
        }
        // The virtual timer, a device, each other.
        world.set_virtual_timer(&first, 100);
        world.advance(1600);
        assert_eq!(world.ack(&first), Some(27));
        world.loaded(&first, |regs| regs.sys.cntv_ctl_el0 = 0);
        world.eoi(&first, 27);
        let distributor = world.distributor();
        world.mmio(&first, distributor + GICD_ITARGETSR + 34, 0, Some(1)).unwrap();
        world.store(&first, distributor + GICD_ISENABLER + 4, 1 << 2);
        world.machine().hold_irq(34, true);
        assert_eq!(world.ack(&first), Some(34));
        world.machine().hold_irq(34, false);
        world.eoi(&first, 34);
        world.sgi(second, 1, 1);
        assert_eq!(world.drain(&first).iter().map(|iar| iar & 0x3ff).collect::<Vec<_>>(), [1]);
        assert_eq!(world.machine().active_irqs(), []);
    }
}

#[test]
fn version_2_dom0_has_the_hardwares_cpu_interface_in_place_of_its_own() {
    let (world, domain) = Boot::new(VIRT_GIC2).build().unwrap();
    let cpu_interface = Gaddr(0x0801_0000);
    assert_eq!(world.machine().guest_translate(domain.root, cpu_interface, Access::Write), Ok(GICV));
    let virtual_interface = Gaddr(GICV.0);
    world.machine().guest_translate(domain.root, virtual_interface, Access::Read).unwrap_err();
}

#[test]
fn dom0_without_a_ram_disk_is_built() {
    let boot = Boot { ramdisk: Vec::new(), ..Boot::new(VIRT_GIC3) };
    let (mut world, domain) = boot.build().unwrap();
    world.hv.unpause_domain(&domain).unwrap();
    world.settle();
    let at = world.regs(domain.vcpu(0).unwrap()).x[0];
    let blob = device_tree(&world, &domain, at);
    let tree = Tree::parse(&blob).unwrap();
    assert!(tree.property(tree.find("/chosen").unwrap(), "linux,initrd-start").is_none());
}

#[test]
fn memory_that_is_not_there_or_too_little_is_refused_with_both_sizes() {
    let boot = Boot { line: "dom0_mem=4G", ..Boot::new(VIRT_GIC3) };
    let text = boot.error();
    assert!(text.starts_with("Dom0 wants 4096 MiB of memory, 204"), "{text}");
    let boot = Boot { line: "dom0_mem=16M", ..Boot::new(VIRT_GIC3) };
    let text = boot.error();
    assert!(text.contains("64 MiB"), "{text}");
}

#[test]
fn memory_in_pieces_is_used() {
    // The free memory is in pieces around the modules; no piece is so large.
    let boot = Boot { line: "dom0_mem=1920M", ..Boot::new(VIRT_GIC3) };
    let (world, domain) = boot.build().unwrap();
    assert_eq!(u64::from(domain.tot_pages()) * PAGE_SIZE as u64, 1920 * MIB);
    assert_eq!(world.machine().take_faults(), []);
}

#[test]
fn kernel_that_cannot_be_used_is_refused_with_the_reason() {
    let with = |kernel: Vec<u8>| Boot { kernel, ..Boot::new(VIRT_GIC3) };
    let text = with(alloc::vec![0x55; 10_000]).error();
    assert!(text.starts_with("Dom0's kernel: "), "{text}");
    // Larger than its memory.
    let text = with(kernel(300_000, 1024 * MIB)).error();
    assert!(text.contains("need 0x40400000 bytes"), "{text}");
    // A packed one that is cut off, one that is damaged.
    let whole = gzip(&kernel(300_000, MIB));
    let text = with(whole[..whole.len() / 2].to_vec()).error();
    assert!(text.starts_with("Dom0's kernel: "), "{text}");
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 0x10;
    let text = with(damaged).error();
    assert!(text.starts_with("Dom0's kernel: "), "{text}");
    let text = with(Vec::new()).error();
    assert!(text.contains("kernel"), "{text}");
}

#[test]
fn vcpus_stay_on_the_pcpus_of_their_numbers_if_that_is_wanted() {
    let affinities = |line| {
        let (world, domain) = Boot { line, ..Boot::new(VIRT_GIC3) }.build().unwrap();
        let of = |vcpu: &Arc<Vcpu>| {
            let info = world.hv.pools.info(world.hv, vcpu).unwrap();
            info.hard.and(world.hv.pools.all_cpus()).iter().map(|cpu| cpu.index()).collect()
        };
        domain.vcpus().map(of).collect::<Vec<Vec<usize>>>()
    };
    let both: Vec<_> = [0, 1].into();
    assert_eq!(affinities("dom0_mem=64M"), [both.clone(), both.clone()]);
    // There are two pCPUs.
    let pinned = affinities("dom0_mem=64M dom0_max_vcpus=3 dom0_vcpus_pin");
    assert_eq!(pinned, [[0].into(), [1].into(), both]);
}
