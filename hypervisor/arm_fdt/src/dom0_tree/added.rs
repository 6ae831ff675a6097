//! The nodes and properties that only dom0's tree has.
use super::{Builder, Dom0Desc};
use crate::fault::{Fault, Problem};
use crate::fdt::NodeId;
use crate::fdt::interrupt::{FIRST_PPI, Interrupt};
use crate::host::HostInfo;
use crate::range::Range;
use crate::text::Text;

/// A PPI's flags in a GIC specifier: low level; a GICv2 wants to know the CPUs, too.
const PPI_FLAGS: u32 = 0xf08;
/// What the binding has for a secure timer when the host's tree names none.
const SECURE_TIMER_PPI: u32 = 29;

/// An upper bound of the bytes added to the host's tree.
pub(super) fn estimate(host: &HostInfo<'_>, desc: &Dom0Desc<'_>) -> usize {
    let ranges = desc.memory.len().saturating_add(desc.extended.len()).saturating_add(host.reserved.len());
    let compatible = host.cpus.first().map_or(0, |cpu| cpu.compatible.len());
    let cpu = compatible.saturating_add(136);
    desc.bootargs
        .len()
        .saturating_add(ranges.saturating_mul(16))
        .saturating_add(cpu.saturating_mul(desc.vcpus as usize))
        .saturating_add(1280)
}

impl Builder<'_, '_> {
    /// What goes behind the host's nodes below the root.
    pub(super) fn added_nodes(&mut self) -> Result<(), Fault> {
        self.hypervisor()?;
        self.psci();
        self.cpus();
        self.memory(self.desc.memory)?;
        let reserved = core::mem::take(&mut self.reserved);
        self.memory(reserved.as_slice())?;
        self.reserved = reserved;
        if !self.filter.has_chosen() {
            self.writer.begin("chosen");
            self.chosen_properties();
            self.writer.end();
        }
        Ok(())
    }

    fn hypervisor(&mut self) -> Result<(), Fault> {
        self.check_fits(core::slice::from_ref(&self.desc.grant_table))?;
        self.check_fits(self.desc.extended)?;
        let w = &mut self.writer;
        w.begin("hypervisor");
        let version = self.desc.version.as_bytes();
        w.parts("compatible", &[b"xen,xen-", version, b"\0xen,xen\0"]);
        let grant_table = core::iter::once(&self.desc.grant_table);
        w.reg("reg", self.cells, grant_table.chain(self.desc.extended));
        self.interrupts(&[self.desc.event_ppi]);
        self.writer.end();
        Ok(())
    }

    fn psci(&mut self) {
        let w = &mut self.writer;
        w.begin("psci");
        w.property("compatible", b"arm,psci-1.0\0arm,psci-0.2\0arm,psci\0");
        w.text("method", "hvc");
        // Function numbers of version 0.1.
        w.words("cpu_off", &[1]);
        w.words("cpu_on", &[2]);
        w.end();
    }

    fn cpus(&mut self) {
        let first = self.host.cpus.first();
        let compatible = first.map_or(&b"arm,armv8\0"[..], |cpu| cpu.compatible);
        let clock_hz = first.and_then(|cpu| cpu.clock_hz);
        let w = &mut self.writer;
        w.begin("cpus");
        w.words("#address-cells", &[1]);
        w.words("#size-cells", &[0]);
        for vcpu in 0..self.desc.vcpus {
            // Sixteen vCPUs share an Aff1, as the virtual MPIDR has it.
            let affinity = vcpu & 15 | (vcpu >> 4) << 8;
            let mut name = Text::new();
            name.push_str("cpu@");
            name.push_hex(u64::from(affinity));
            w.begin(name.as_str());
            w.text("device_type", "cpu");
            w.property("compatible", compatible);
            w.words("reg", &[affinity]);
            w.text("enable-method", "psci");
            if let Some(hz) = clock_hz {
                w.words("clock-frequency", &[hz]);
            }
            w.end();
        }
        w.end();
    }

    fn memory(&mut self, ranges: &[Range]) -> Result<(), Fault> {
        let Some(first) = ranges.first() else {
            return Ok(());
        };
        self.check_fits(ranges)?;
        let mut name = Text::new();
        name.push_str("memory@");
        name.push_hex(first.start());
        self.writer.begin(name.as_str());
        self.writer.text("device_type", "memory");
        self.writer.reg("reg", self.cells, ranges.iter());
        self.writer.end();
        Ok(())
    }

    /// The timer, in the place of the host's: three interrupts, none for EL2.
    pub(super) fn timer(&mut self, node: NodeId) {
        let timer = self.host.timer;
        let tree = self.tree;
        self.writer.begin(tree.name(node));
        self.writer.text("compatible", "arm,armv8-timer");
        for property in tree.properties(node) {
            if let b"phandle" | b"linux,phandle" | b"clock-frequency" | b"always-on" =
                tree.property_name(&property)
            {
                self.writer.copy(&property);
            }
        }
        let id = |interrupt: Interrupt| interrupt.intid;
        self.interrupts(&[timer.secure.map_or(SECURE_TIMER_PPI, id), id(timer.physical), id(timer.virtual_)]);
        self.writer.end();
    }

    /// `bootargs` and where the RAM disk is.
    pub(super) fn chosen_properties(&mut self) {
        if !self.desc.bootargs.is_empty() {
            self.writer.text("bootargs", self.desc.bootargs);
        }
        if let Some(initrd) = self.desc.initrd {
            let w = &mut self.writer;
            w.property("linux,initrd-start", &initrd.start().to_be_bytes());
            w.property("linux,initrd-end", &initrd.end().to_be_bytes());
        }
    }

    /// `interrupts` of PPIs, and the GIC as their parent.
    fn interrupts(&mut self, ppis: &[u32]) {
        let gic = self.host.gic.node;
        let mut words = [0u32; 12];
        // Three words, or four where the GIC can tell groups of CPUs apart.
        let unit = usize::from(self.tree.interrupt_cells(gic).unwrap_or(3)).max(3);
        for (specifier, ppi) in words.chunks_exact_mut(unit).zip(ppis) {
            let number = ppi.saturating_sub(FIRST_PPI);
            for (word, value) in specifier.iter_mut().zip([1, number, PPI_FLAGS]) {
                *word = value;
            }
        }
        let len = unit.saturating_mul(ppis.len());
        let words = words.get(..len).unwrap_or_default();
        self.writer.words("interrupts", words);
        if let Some(phandle) = self.tree.phandle(gic) {
            self.writer.words("interrupt-parent", &[phandle]);
        }
    }

    /// Whether the root's cells can express the ranges.
    fn check_fits(&self, ranges: &[Range]) -> Result<(), Fault> {
        let fits = |number: u64, cells| cells > 1 || u32::try_from(number).is_ok();
        let (address, size) = self.cells;
        match ranges.iter().find(|r| !fits(r.start(), address) || !fits(r.size(), size)) {
            Some(range) => Err(self.tree.fault(NodeId::ROOT, Problem::DoesNotFitCells(*range))),
            None => Ok(()),
        }
    }
}
