//! The guest's device tree: the nodes that libxl 4.17 makes.
mod node;
mod partial;

use std::ops::Range;

use dtoolkit::model::{DeviceTree, DeviceTreeNode};
use xen_abi::arch_arm::*;
use xen_abi::device_tree_defs::{
    DT_IRQ_TYPE_LEVEL_HIGH, DT_IRQ_TYPE_LEVEL_LOW, GUEST_PHANDLE_GIC, GUEST_ROOT_ADDRESS_CELLS,
    GUEST_ROOT_SIZE_CELLS,
};

use crate::error::BuildError;
use crate::memory::{Bank, end_of_addresses};
use crate::plan::Guest;
use node::{NodeExt, interrupt, node};

/// Unused address space that is smaller is not worth telling the guest.
const MIN_REGION: u64 = 64 << 20;
/// Regions begin at a multiple of this many bytes.
const REGION_ALIGN: u64 = 2 << 20;

/// Version of the guest's interrupt controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gic {
    /// GICv2.
    V2,
    /// GICv3.
    V3,
}

impl Gic {
    pub(crate) fn check_vcpus(self, vcpus: u32) -> Result<(), BuildError> {
        let (gic, most) = match self {
            Self::V2 => ("GICv2", 8),
            Self::V3 => ("GICv3", GUEST_MAX_VCPUS),
        };
        if (1..=most).contains(&vcpus) { Ok(()) } else { Err(BuildError::Vcpus { vcpus, most, gic }) }
    }
}

/// All that goes into the tree.
pub(crate) struct Tree<'g> {
    pub(crate) guest: &'g Guest<'g>,
    pub(crate) banks: [Bank; 2],
    pub(crate) ramdisk: Option<Range<u64>>,
}

impl Tree<'_> {
    /// The flattened tree.
    pub(crate) fn build(&self) -> Result<Vec<u8>, BuildError> {
        let (major, minor) = self.guest.xen_version;
        let mut tree = DeviceTree::new();
        let root = &mut tree.root;
        root.text("model", &format!("XENVM-{major}.{minor}"));
        root.texts("compatible", &[&format!("xen,xenvm-{major}.{minor}"), "xen,xenvm"]);
        root.cells("interrupt-parent", &[GUEST_PHANDLE_GIC]);
        root.cells("#address-cells", &[GUEST_ROOT_ADDRESS_CELLS]);
        root.cells("#size-cells", &[GUEST_ROOT_SIZE_CELLS]);
        root.add_child(self.chosen()?);
        root.add_child(self.cpus());
        root.add_child(psci());
        for bank in self.banks.iter().filter(|bank| bank.size != 0) {
            let mut memory = node(&format!("memory@{:x}", bank.base));
            memory.text("device_type", "memory");
            memory.regions("reg", &[(bank.base, bank.size)]);
            root.add_child(memory);
        }
        root.add_child(self.interrupt_controller());
        root.add_child(self.timer());
        root.add_child(self.hypervisor());
        if self.guest.vuart {
            root.add_child(vuart());
        }
        if let Some(partial) = self.guest.partial_tree {
            partial::copy(partial, root)?;
        }
        Ok(tree.to_dtb())
    }

    fn chosen(&self) -> Result<DeviceTreeNode, BuildError> {
        let mut chosen = node("chosen");
        if let Some(cmdline) = self.guest.cmdline {
            if cmdline.contains('\0') {
                return Err(BuildError::BadCommandLine);
            }
            chosen.text("bootargs", cmdline);
        }
        if let Some(Range { start, end }) = self.ramdisk {
            chosen.number("linux,initrd-start", start);
            chosen.number("linux,initrd-end", end);
        }
        chosen.bytes("rng-seed", &self.guest.rng_seed);
        Ok(chosen)
    }

    fn cpus(&self) -> DeviceTreeNode {
        let mut cpus = node("cpus");
        cpus.cells("#address-cells", &[1]);
        cpus.cells("#size-cells", &[0]);
        for vcpu in 0..self.guest.vcpus {
            // As in MPIDR: 16 vCPUs to a cluster.
            let affinity = (vcpu & 0xf) | (vcpu >> 4 & 0xff) << 8;
            let mut cpu = node(&format!("cpu@{affinity:x}"));
            cpu.text("device_type", "cpu");
            cpu.text("compatible", "arm,armv8");
            cpu.text("enable-method", "psci");
            cpu.cells("reg", &[affinity]);
            cpus.add_child(cpu);
        }
        cpus
    }

    fn interrupt_controller(&self) -> DeviceTreeNode {
        let (compatible, distributor, other): (&[&str], _, _) = match self.guest.gic {
            Gic::V2 => (
                &["arm,cortex-a15-gic", "arm,cortex-a9-gic"],
                (GUEST_GICD_BASE, GUEST_GICD_SIZE),
                (GUEST_GICC_BASE, GUEST_GICC_SIZE),
            ),
            Gic::V3 => (
                &["arm,gic-v3"],
                (GUEST_GICV3_GICD_BASE, GUEST_GICV3_GICD_SIZE),
                (GUEST_GICV3_GICR0_BASE, GUEST_GICV3_GICR0_SIZE),
            ),
        };
        let mut gic = node(&format!("interrupt-controller@{:x}", distributor.0));
        gic.texts("compatible", compatible);
        gic.cells("#interrupt-cells", &[3]);
        gic.cells("#address-cells", &[0]);
        gic.bytes("interrupt-controller", &[]);
        gic.regions("reg", &[distributor, other]);
        gic.cells("linux,phandle", &[GUEST_PHANDLE_GIC]);
        gic.cells("phandle", &[GUEST_PHANDLE_GIC]);
        gic
    }

    fn timer(&self) -> DeviceTreeNode {
        let mut timer = node("timer");
        timer.text("compatible", "arm,armv8-timer");
        let ppis = [GUEST_TIMER_PHYS_S_PPI, GUEST_TIMER_PHYS_NS_PPI, GUEST_TIMER_VIRT_PPI];
        timer.interrupts(&ppis.map(|ppi| interrupt(ppi, DT_IRQ_TYPE_LEVEL_LOW)));
        if let Some(hz) = self.guest.timer_hz {
            timer.cells("clock-frequency", &[hz.get()]);
        }
        timer
    }

    /// `reg` has the place for the grant table, and then address space that the guest may use for foreign pages.
    fn hypervisor(&self) -> DeviceTreeNode {
        let (major, minor) = self.guest.xen_version;
        let mut hypervisor = node("hypervisor");
        hypervisor.texts("compatible", &[&format!("xen,xen-{major}.{minor}"), "xen,xen"]);
        let mut regions = vec![(GUEST_GNTTAB_BASE, GUEST_GNTTAB_SIZE)];
        regions.extend(self.unused_regions());
        hypervisor.regions("reg", &regions);
        hypervisor.interrupts(&[interrupt(GUEST_EVTCHN_PPI, DT_IRQ_TYPE_LEVEL_LOW)]);
        hypervisor
    }

    /// What the banks leave of their windows.
    fn unused_regions(&self) -> impl Iterator<Item = (u64, u64)> {
        let addresses = end_of_addresses(self.guest.address_bits);
        self.banks.into_iter().zip(GUEST_RAM_BANK).filter_map(move |(bank, (base, most))| {
            let start = bank.end().next_multiple_of(REGION_ALIGN);
            let size = (base + most).min(addresses).saturating_sub(start);
            (size >= MIN_REGION).then_some((start, size))
        })
    }
}

fn psci() -> DeviceTreeNode {
    let mut psci = node("psci");
    psci.texts("compatible", &["arm,psci-1.0", "arm,psci-0.2", "arm,psci"]);
    psci.text("method", "hvc");
    psci.cells("cpu_off", &[PSCI_cpu_off]);
    psci.cells("cpu_on", &[PSCI_cpu_on]);
    psci
}

fn vuart() -> DeviceTreeNode {
    let mut uart = node("sbsa-pl011");
    uart.text("compatible", "arm,sbsa-uart");
    uart.regions("reg", &[(GUEST_PL011_BASE, GUEST_PL011_SIZE)]);
    uart.interrupts(&[interrupt(GUEST_VPL011_SPI, DT_IRQ_TYPE_LEVEL_HIGH)]);
    uart.cells("current-speed", &[115_200]);
    uart
}
