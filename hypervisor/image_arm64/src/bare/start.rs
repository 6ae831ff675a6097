//! From a machine that is up to the first guest: the core, dom0, and the memory that is left.

use alloc::boxed::Box;
use alloc::vec::Vec;

use arch_aarch64::{Machine, Setup, Span, console};
use arm_fdt::cmdline;
use arm_fdt::fdt::Tree;
use arm_fdt::host::uart::Uart;
use arm_fdt::host::{GicVersion, HostInfo};
use arm_hv::dom0::{self, Dom0Input};
use arm_hv::{ArmPlatform, HostGic, options};
use hal::{MachineOps as _, Maddr, PAGE_SIZE};
use hv_core::memory::Frames;
use hv_core::{Hypervisor, Parts};

use super::boot::{BootError, push};
use super::{HEAP, PAGES, early_log};

/// Set aside for the heap before the core has memory: the free-frame bitmaps, lists.
const BOOT_HEAP: u64 = 2 << 20;

/// What the boot has found out.
pub struct Found<'a> {
    /// The host's device tree.
    pub tree: &'a Tree<'a>,
    /// What it says.
    pub host: &'a HostInfo<'a>,
    /// The command line's options.
    pub options: &'a cmdline::Options<'a>,
    /// The console.
    pub uart: Option<&'a Uart<'a>>,
}

/// Makes the hypervisor and dom0.
pub fn start(
    setup: &mut Setup<'_>,
    machine: &'static Machine,
    found: &Found<'_>,
) -> Result<&'static Hypervisor, BootError> {
    let pages = |span: Span| (span.end - span.start) / PAGE_SIZE as u64;
    let ram = found.host.memory.as_slice();
    let (Some(first), Some(last)) = (ram.first(), ram.last()) else { return Err(BootError::NoMemory) };
    let base = Maddr(first.start()).frame();
    let count = Maddr(last.end()).frame().0 - base.0;
    let records = setup.allocate_words(count as usize).ok_or(BootError::NoMemory)?;
    let heap = setup.allocate(BOOT_HEAP, BOOT_HEAP).ok_or(BootError::NoMemory)?;
    PAGES.start(machine, heap);
    HEAP.set_source(&PAGES);

    let mut free = Vec::new();
    for span in setup.free_memory() {
        push(&mut free, (Maddr(span.start).frame(), pages(*span)))?;
    }
    let total = found.host.memory.total() / PAGE_SIZE as u64;
    let frames = Frames::new(base, records, &free, total).ok_or(BootError::NoMemory)?;
    let console_irq = found.uart.and_then(|uart| uart.interrupt).map(|i| i.intid);
    let platform = ArmPlatform::new(machine, host_gic(found.host), console_irq).ok_or(BootError::NoMemory)?;
    let hypervisor = Hypervisor::new(Parts {
        machine,
        frames,
        options: options::common(found.options, found.host.command_lines.hypervisor),
        platform: Box::new(platform),
    })
    .map_err(|_| BootError::NoMemory)?;
    let hv: &'static Hypervisor = Box::leak(Box::new(hypervisor));
    PAGES.switch(hv);
    let rest = PAGES.rest();
    // SAFETY: what the boot heap did not use; nobody has a reference into it.
    unsafe { machine.set_private(Maddr(rest.start).frame(), pages(rest), false) };
    hv.frames.release_range(Maddr(rest.start).frame(), pages(rest));
    if !early_log::with(|text| hv.console.open(text)) {
        return Err(BootError::NoMemory);
    }

    let input = Dom0Input { tree: found.tree, host: found.host, options: found.options, uart: found.uart };
    let dom0 = match dom0::build(hv, &input) {
        Ok(dom0) => dom0,
        Err(why) => {
            early_log::last_line(format_args!("Xenoxide cannot build dom0: {why}"));
            arch_aarch64::power::off()
        }
    };
    dom0::release_modules(hv, found.host);
    if let Some(irq) = console_irq.filter(|_| found.options.console) {
        machine.irq_route(irq, machine.this_cpu());
        machine.irq_enable(irq);
        console::enable_input_interrupt();
    }
    if hv.unpause_domain(&dom0).is_err() {
        return Err(BootError::NoMemory);
    }
    Ok(hv)
}

/// Gives memory to the core that the boot does not need any more, and says what is free.
pub fn release(hv: &Hypervisor, span: Span) {
    hv.frames.release_range(Maddr(span.start).frame(), (span.end - span.start) / PAGE_SIZE as u64);
    hv_core::info!(hv, "{} KiB of memory are free", hv.frames.free_frames() * (PAGE_SIZE as u64 >> 10));
}

fn host_gic(host: &HostInfo<'_>) -> HostGic {
    match &host.gic.version {
        GicVersion::V2 { gicv, .. } => HostGic::V2 { gicv: Maddr(gicv.start()), size: gicv.size() },
        GicVersion::V3 { .. } => HostGic::V3,
    }
}
