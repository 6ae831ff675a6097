//! Bringing the machine up: what the boot loader left, told to `arch_aarch64` in its order.

use core::fmt;

use alloc::vec::Vec;

use arch_aarch64::{
    Bugs, Entry, GicInfo, Machine, MachineConfig, PrivateIrqs, Setup, SetupError, Span, StartError,
    StartMethod, power, speculates_at,
};
use arm_fdt::fdt::{FdtError, Tree};
use arm_fdt::host::uart::{self, Uart, UartKind};
use arm_fdt::host::{Conduit, EnableMethod, Gic, GicVersion, HostInfo, HostInput, command_lines};
use arm_fdt::{Explained, Fault, OutOfMemory, Range, RangeSet, cmdline};
use hal::MachineOps as _;

use super::start::{self, Found};
use super::{early_log, say, traps};
use hv_core::Hypervisor;

/// Why the boot ended.
pub enum BootError {
    /// No device tree can be read.
    Tree(FdtError),
    /// The boot data is wrong.
    Data(Explained),
    /// The machine is not what it should be.
    Setup(SetupError),
    /// No memory for lists.
    NoMemory,
}

impl From<SetupError> for BootError {
    fn from(error: SetupError) -> Self {
        Self::Setup(error)
    }
}

impl From<OutOfMemory> for BootError {
    fn from(_: OutOfMemory) -> Self {
        Self::NoMemory
    }
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tree(error) => fmt::Display::fmt(error, f),
            Self::Data(fault) => fmt::Display::fmt(fault, f),
            Self::Setup(error) => fmt::Display::fmt(error, f),
            Self::NoMemory => f.write_str("out of memory while reading the device tree"),
        }
    }
}

/// Entered at EL1: says so, if a console can be found, and switches off.
pub fn refuse(entry: Entry) -> ! {
    let mut setup = Setup::new(entry);
    let mut conduit = None;
    if let Ok(bytes) = map_tree(&mut setup)
        && let Ok(tree) = Tree::parse(bytes)
    {
        conduit = use_firmware(&mut setup, &tree);
        let _ = start_console(&mut setup, &tree);
    }
    early_log::last_line(format_args!(
        "Xenoxide was not entered at EL2, the hypervisor's exception level, but at EL1.\n\
         (XEN) Start it with virtualization on: QEMU needs -M virt,virtualization=on; firmware must enter at EL2."
    ));
    if conduit == Some(Conduit::Hvc) {
        power::off_by_hvc();
    }
    power::off()
}

/// Makes the firmware's power calls usable, so that the machine can be switched off whatever else
/// is wrong with the tree. Returns how it is called, if there is one.
fn use_firmware(setup: &mut Setup<'_>, tree: &Tree<'_>) -> Option<Conduit> {
    const FIXED_IDS: &[&str] = &["arm,psci-0.2", "arm,psci-1.0"];
    let is_psci = |&node: &_| tree.is_compatible(node, FIXED_IDS) || tree.is_compatible(node, &["arm,psci"]);
    let node = tree.nodes().find(is_psci)?;
    match tree.property_text(node, "method") {
        Ok(Some("smc")) => {
            setup.firmware(tree.is_compatible(node, FIXED_IDS));
            Some(Conduit::Smc)
        }
        Ok(Some("hvc")) => Some(Conduit::Hvc),
        _ => None,
    }
}

/// Brings the machine up, and dom0 on it.
pub fn boot(entry: Entry) -> Result<&'static Hypervisor, BootError> {
    let mut setup = Setup::new(entry);
    let bytes = map_tree(&mut setup)?;
    let tree = Tree::parse(bytes).map_err(BootError::Tree)?;
    let wrong = |fault: Fault| BootError::Data(tree.explain(&fault));
    use_firmware(&mut setup, &tree);
    let uart = start_console(&mut setup, &tree)?;
    say!("Xenoxide {}, a Xen-compatible hypervisor", env!("CARGO_PKG_VERSION"));

    let image = range(entry.image_span());
    let fdt = range(setup.fdt_span());
    let host = {
        let setup = core::cell::RefCell::new(&mut setup);
        let read_u32 = |at| setup.borrow_mut().peek(at);
        let input = HostInput { image, fdt, read_u32: &read_u32 };
        HostInfo::parse(&tree, &input, &mut |fault| say!("Warning: {}", tree.explain(fault)))
            .map_err(wrong)?
    };
    say!("RAM:");
    for bank in host.memory.as_slice() {
        say!("  {bank} ({} MiB)", bank.size() >> 20);
    }
    for module in &host.modules {
        say!("Module: {:?} at {}", module.kind, module.range);
    }

    // What must not be mapped, and what is free.
    let mut reserved = RangeSet::new();
    let mut unmapped = Vec::new();
    for r in &host.reserved {
        reserved.push(r.range.align_out(arm_fdt::PAGE_SIZE).unwrap_or(r.range))?;
        if r.no_map {
            push(&mut unmapped, span(r.range))?;
        }
    }
    for used in host.modules.iter().map(|m| m.range).chain([image, fdt]) {
        reserved.push(used.align_out(arm_fdt::PAGE_SIZE).unwrap_or(used))?;
    }
    reserved.normalise();
    let banks = spans(&host.memory)?;
    let mut free = spans(&host.memory.without(&reserved)?)?;
    // SAFETY: the parser has checked that modules, image and tree are in RAM and apart from each
    // other; `free` leaves out them and what the tree reserves.
    unsafe { setup.memory(&banks, &unmapped, &mut free)? };

    let gic = map_gic(&mut setup, &host.gic)?;
    let options = cmdline::parse(host.command_lines.hypervisor, &mut |warning| say!("Warning: {warning}"));
    let config = MachineConfig {
        irqs: PrivateIrqs {
            timer: host.timer.hypervisor.intid,
            virtual_timer: host.timer.virtual_.intid,
            maintenance: host.gic.maintenance.intid,
        },
        clock_hz: host.timer.clock_hz.map(u64::from),
        max_cpus: options.cpus(host.cpus.len()),
        trap_waits: options.vwfi == cmdline::Vwfi::Trap,
    };
    let machine = setup.machine(gic, config)?;
    describe(machine);
    start_cpus(&mut setup, machine, &host, options.cpus(host.cpus.len()));
    say!("{} CPUs up", machine.nr_cpus());
    let found = Found { tree: &tree, host: &host, options: &options, uart: uart.as_ref() };
    let hv = start::start(&mut setup, machine, &found)?;
    // SAFETY: the tree and what was read from it are not used any more: dom0 has a tree of its own,
    // and the hypervisor copies of what it keeps.
    let fdt = unsafe { setup.forget_fdt() };
    start::release(hv, fdt);
    traps::start(hv);
    Ok(hv)
}

fn map_tree(setup: &mut Setup<'_>) -> Result<&'static [u8], SetupError> {
    setup.fdt(|header| arm_fdt::fdt::total_size(header).ok())
}

/// Starts the console that the tree or the command line names.
fn start_console<'t>(setup: &mut Setup<'_>, tree: &Tree<'t>) -> Result<Option<Uart<'t>>, BootError> {
    let line = command_lines(tree).map(|lines| lines.hypervisor).unwrap_or("");
    let options = cmdline::parse(line, &mut |_| {});
    if !options.console {
        early_log::hide();
    }
    let uart = uart::find(tree, options.dtuart).map_err(|fault| BootError::Data(tree.explain(&fault)))?;
    match uart.kind {
        UartKind::Pl011 => setup.console(span(uart.range), true)?,
        UartKind::Sbsa => setup.console(span(uart.range), false)?,
        UartKind::Ns16550 { .. } => return Ok(None),
    }
    Ok(Some(uart))
}

fn map_gic(setup: &mut Setup<'_>, gic: &Gic) -> Result<GicInfo, BootError> {
    let distributor = span(gic.distributor);
    Ok(match &gic.version {
        GicVersion::V2 { gicc, gich, .. } => setup.gic_v2(distributor, span(*gicc), span(*gich))?,
        GicVersion::V3 { redistributors, stride, .. } => {
            let mut regions = Vec::new();
            for &region in redistributors {
                push(&mut regions, span(region))?;
            }
            setup.gic_v3(distributor, &regions, *stride)?
        }
    })
}

/// Says what the first CPU is and what is done about its bugs.
fn describe(machine: &Machine) {
    let cpu = machine.features();
    say!("CPU: MIDR {:#010x}, {}-bit physical addresses, {} TLB tags", cpu.midr, cpu.pa_bits, cpu.vmids);
    say!("Branch predictor hardening: {:?}", cpu.hardening);
    say!("Speculative store bypass: {:?}", cpu.store_bypass);
    if cpu.bugs.has(Bugs::GUEST_DEADLOCK) {
        say!(
            "Warning: CPU erratum 832075 or 1508412: a guest without its workaround can lock up the machine"
        );
    }
    if speculates_at(cpu.midr) {
        say!("Workaround: no guest's translation is selected while its registers change");
    }
    say!(
        "GICv{}: {} lines, {} list registers",
        machine.gic().version(),
        machine.gic().lines(),
        machine.gic().nr_lrs()
    );
}

fn start_cpus(setup: &mut Setup<'_>, machine: &Machine, host: &HostInfo<'_>, max: usize) {
    let first = machine.own_affinity();
    for cpu in host.cpus.iter().filter(|cpu| cpu.mpidr != first) {
        if machine.nr_cpus() as usize >= max {
            return;
        }
        let method = match (cpu.enable, host.psci) {
            (EnableMethod::Psci, Some(psci)) => StartMethod::Psci(psci.cpu_on),
            (EnableMethod::SpinTable { release }, _) => StartMethod::SpinTable(release),
            _ => {
                say!("Warning: CPU {:#x} left out: the device tree does not say how to start it", cpu.mpidr);
                continue;
            }
        };
        if let Err(why) = setup.start_cpu(cpu.mpidr, method) {
            say!("Warning: CPU {:#x} left out: {why}", cpu.mpidr);
            if why == StartError::Stuck {
                return;
            }
        }
    }
}

fn span(range: Range) -> Span {
    Span { start: range.start(), end: range.end() }
}

fn range(span: Span) -> Range {
    Range::from_bounds(span.start, span.end).unwrap_or_default()
}

fn spans(set: &RangeSet) -> Result<Vec<Span>, BootError> {
    let mut list = Vec::new();
    for &range in set.as_slice() {
        push(&mut list, span(range))?;
    }
    Ok(list)
}

pub(super) fn push<T>(list: &mut Vec<T>, item: T) -> Result<(), BootError> {
    list.try_reserve(1).map_err(|_| BootError::NoMemory)?;
    list.push(item);
    Ok(())
}
