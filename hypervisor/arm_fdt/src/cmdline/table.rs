//! The options: name, syntax, default, help and effect of each, declared once.
use core::fmt;

use super::values::{ConSwitch, Dom0Mem, LogLevel, LogLevels, SError, Scheduler, Timestamps};
use super::values::{VcpuCount, Vwfi, boolean, choice, integer, size};

/// The hypervisor's settings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options<'a> {
    /// `dom0_mem`.
    pub dom0_mem: Dom0Mem,
    /// `dom0_max_vcpus`.
    pub dom0_max_vcpus: VcpuCount,
    /// `dom0_vcpus_pin`.
    pub dom0_vcpus_pin: bool,
    /// `maxcpus`: the most pCPUs to bring up; `None` for all.
    pub maxcpus: Option<u32>,
    /// `console`: whether a UART is used.
    pub console: bool,
    /// `dtuart`: path or alias of the UART, perhaps with options after a colon.
    pub dtuart: Option<&'a str>,
    /// `loglvl`.
    pub loglvl: LogLevels,
    /// `guest_loglvl`.
    pub guest_loglvl: LogLevels,
    /// `console_timestamps`.
    pub console_timestamps: Timestamps,
    /// `console_to_ring`.
    pub console_to_ring: bool,
    /// `conring_size`, in bytes.
    pub conring_size: u64,
    /// `conswitch`.
    pub conswitch: ConSwitch,
    /// `sched`.
    pub sched: Scheduler,
    /// `sched_ratelimit_us`.
    pub sched_ratelimit_us: u32,
    /// `credit2_cap_period_ms`.
    pub credit2_cap_period_ms: u32,
    /// `noreboot`.
    pub noreboot: bool,
    /// `vwfi`.
    pub vwfi: Vwfi,
    /// `serrors`.
    pub serrors: SError,
    /// `gnttab_max_frames`.
    pub gnttab_max_frames: u32,
    /// `gnttab_max_maptrack_frames`.
    pub gnttab_max_maptrack_frames: u32,
    /// `ext_regions`.
    pub ext_regions: bool,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            dom0_mem: Dom0Mem::default(),
            dom0_max_vcpus: VcpuCount::default(),
            dom0_vcpus_pin: false,
            maxcpus: None,
            console: true,
            dtuart: None,
            loglvl: LogLevels { always: LogLevel::Warning, limited: LogLevel::Warning },
            guest_loglvl: LogLevels { always: LogLevel::None, limited: LogLevel::Warning },
            console_timestamps: Timestamps::None,
            console_to_ring: false,
            conring_size: 16 << 10,
            conswitch: ConSwitch { letter: b'a', keep: false },
            sched: Scheduler::Credit2,
            sched_ratelimit_us: 1000,
            credit2_cap_period_ms: 10,
            noreboot: false,
            vwfi: Vwfi::Trap,
            serrors: SError::Diverse,
            gnttab_max_frames: 64,
            gnttab_max_maptrack_frames: 1024,
            ext_regions: true,
        }
    }
}

impl Options<'_> {
    /// How many of the machine's CPUs to use.
    pub fn cpus(&self, present: usize) -> usize {
        self.maxcpus.map_or(present, |max| present.min(max as usize))
    }
}

/// The largest console ring.
const MAX_RING: u64 = 16 << 20;

/// What an option does to the settings.
pub(super) enum Set {
    /// Sets a flag; also `no-name`.
    Flag(for<'o, 'a> fn(&'o mut Options<'a>) -> &'o mut bool),
    /// Takes a value; `None` when it is not one.
    Value(for<'a> fn(&mut Options<'a>, &'a str) -> Option<()>),
}

/// What [`super::parse`] needs of an option. Kept apart from the manual, so that an image without
/// a manual does not carry its text.
pub(super) struct Parser {
    pub(super) name: &'static str,
    pub(super) syntax: &'static str,
    pub(super) set: Set,
}

/// An option's documentation.
pub struct ManualEntry {
    /// Its name.
    pub name: &'static str,
    /// What its value looks like.
    pub syntax: &'static str,
    /// What holds without it.
    pub default: &'static str,
    /// What it does.
    pub help: &'static str,
}

macro_rules! options {
    ($($name:literal, $syntax:literal, $default:literal, $help:literal, $set:expr;)*) => {
        pub(super) static PARSERS: &[Parser] =
            &[$(Parser { name: $name, syntax: $syntax, set: $set }),*];
        /// The documentation of every option.
        pub static MANUAL: &[ManualEntry] =
            &[$(ManualEntry { name: $name, syntax: $syntax, default: $default, help: $help }),*];
    };
}

options! {
    "conring_size", "a size of at most 16M", "16K",
    "Size of the ring that keeps what was said, rounded up to a power of two of at least 4K. It is \
     smaller when there is not so much memory.",
    Set::Value(|o, v| { o.conring_size = size(v).filter(|n| (1..=MAX_RING).contains(n))?; Some(()) });

    "console", "a list of dtuart and none", "dtuart",
    "Where messages go, the hypervisor's and those that dom0 leaves to it: to the UART that `dtuart` \
     names and into the console ring, or into the ring alone. Without the UART nothing is read from \
     it either; it stays hidden from dom0, and only why the machine stops is written to it.",
    Set::Value(|o, v| {
        let uart = |part| choice(part, &[("dtuart", true), ("none", false)]);
        o.console = v.split(',').try_fold(false, |on, part| Some(uart(part)? || on))?;
        Some(())
    });

    "console_timestamps", "none, date, datems, boot or raw", "none",
    "What stands before each line of the hypervisor's: nothing, the date and time (with \
     milliseconds), seconds since boot, or the counter's value. Seconds stand for the date until \
     dom0 has set the clock. Lines from before dom0 is built have nothing.",
    Set::Value(|o, v| { o.console_timestamps = Timestamps::parse(v)?; Some(()) });

    "console_to_ring", "a boolean", "false",
    "What dom0 writes to the console is kept in the console ring too.",
    Set::Flag(|o| &mut o.console_to_ring);

    "conswitch", "a letter, perhaps followed by x", "a",
    "Ctrl and this letter, three times, switches serial input between the hypervisor and dom0. \
     With x, input is the hypervisor's when dom0 boots.",
    Set::Value(|o, v| { o.conswitch = ConSwitch::parse(v)?; Some(()) });

    "credit2_cap_period_ms", "a positive integer", "10",
    "How often a domain with a cap gets its time anew, in milliseconds.",
    Set::Value(|o, v| { o.credit2_cap_period_ms = integer(v).filter(|n| *n > 0)?; Some(()) });

    "dom0_max_vcpus", "an integer or <min>-<max>", "as many as pCPUs",
    "How many vCPUs dom0 has. With a range: as many as there are pCPUs, within its limits.",
    Set::Value(|o, v| { o.dom0_max_vcpus = VcpuCount::parse(v)?; Some(()) });

    "dom0_mem", "<size>, min:<size>, max:<size> or a list of them", "512M",
    "How much memory dom0 has; a size without unit is in KiB. At least min, and in any case at \
     most max.",
    Set::Value(|o, v| { o.dom0_mem = Dom0Mem::parse(v)?; Some(()) });

    "dom0_vcpus_pin", "a boolean", "false",
    "Each of dom0's vCPUs stays on the pCPU of its own number; those beyond the pCPUs run anywhere.",
    Set::Flag(|o| &mut o.dom0_vcpus_pin);

    "dtuart", "a path or alias, perhaps :options", "stdout-path in /chosen",
    "The UART for the console, by its path or alias in the device tree.",
    Set::Value(|o, v| { o.dtuart = Some(v).filter(|path| !path.is_empty()); Some(()) });

    "ext_regions", "a boolean", "true",
    "Dom0 is told of unused addresses, so that it need not give up memory to map that of others.",
    Set::Flag(|o| &mut o.ext_regions);

    "gnttab_max_frames", "an integer", "64",
    "The most frames of a domain's grant table, and the size of dom0's.",
    Set::Value(|o, v| { o.gnttab_max_frames = integer(v).filter(|n| *n > 0)?; Some(()) });

    "gnttab_max_maptrack_frames", "an integer", "1024",
    "The most frames for the record of what a domain maps of others.",
    Set::Value(|o, v| { o.gnttab_max_maptrack_frames = integer(v)?; Some(()) });

    "guest_loglvl", "<level> or <level>/<rate-limited level> of none, error, warning, info, debug \
     and all", "none/warning",
    "Which messages that guests cause are printed: those up to the first level all, those up to the \
     second at most ten in five seconds.",
    Set::Value(|o, v| { o.guest_loglvl = LogLevels::parse(v)?; Some(()) });

    "loglvl", "<level> or <level>/<rate-limited level> of none, error, warning, info, debug and \
     all", "warning",
    "Which of the hypervisor's own messages are printed, in the same way.",
    Set::Value(|o, v| { o.loglvl = LogLevels::parse(v)?; Some(()) });

    "maxcpus", "an integer", "all",
    "The most pCPUs to use; 0 for all.",
    Set::Value(|o, v| { o.maxcpus = Some(integer(v)?).filter(|n| *n > 0); Some(()) });

    "noreboot", "a boolean", "false",
    "After a fatal error the machine stands still instead of rebooting.",
    Set::Flag(|o| &mut o.noreboot);

    "sched", "credit2 or null", "credit2",
    "The scheduler.",
    Set::Value(|o, v| {
        o.sched = choice(v, &[("credit2", Scheduler::Credit2), ("null", Scheduler::Null)])?;
        Some(())
    });

    "sched_ratelimit_us", "0 or an integer from 100 to 500000", "1000",
    "How long a vCPU runs at least before another one takes its place, in microseconds; 0 for no \
     such limit.",
    Set::Value(|o, v| {
        o.sched_ratelimit_us = integer(v).filter(|n| matches!(n, 0 | 100..=500_000))?;
        Some(())
    });

    "serrors", "diverse or panic", "diverse",
    "What becomes of SErrors (asynchronous aborts): a guest's own is given to it and the hypervisor's \
     own are fatal, or all are fatal.",
    Set::Value(|o, v| {
        o.serrors = choice(v, &[("diverse", SError::Diverse), ("panic", SError::Panic)])?;
        Some(())
    });

    "sync_console", "a boolean", "true",
    "Accepted without effect: the hypervisor always waits until a message is with the UART.",
    Set::Value(|_, v| (v.is_empty() || boolean(v).is_some()).then_some(()));

    "vwfi", "trap or native", "trap",
    "Whether a guest that waits for an interrupt lets another vCPU run, or keeps its pCPU.",
    Set::Value(|o, v| {
        o.vwfi = choice(v, &[("trap", Vwfi::Trap), ("native", Vwfi::Native)])?;
        Some(())
    });
}

/// Options that Xen has on Arm and that are not built, in one text, separated by spaces.
const NOT_BUILT: &str = "acpi argo badpage bootscrub bootscrub_chunk com1 com2 cpufreq crashkernel \
    credit2_balance_over credit2_balance_under credit2_load_precision_shift \
    credit2_load_window_shift credit2_runqueue debugtrace dma_bits dom0-iommu efi flask \
    gdb gnttab hardware_dom hmp-unsafe iommu low_mem_virq_limit max_lpi_bits \
    memop-max-order pci pci-passthrough rcu-idle-timer-period-ms sched-gran \
    sched_credit2_max_cpus_runqueue sched_credit2_migrate_resist sched_credit_tslice_ms \
    sched_smt_power_savings scrub-domheap serial_tx_buffer spec-ctrl tbuf_size tevt_mask \
    tickle_one_idle_cpu timer_slop vcpu_migration_delay xsm";

/// The names of options that Xen has on Arm and that are not built.
pub(super) fn not_built() -> impl Iterator<Item = &'static str> {
    NOT_BUILT.split(' ')
}

/// Writes the manual of all options, in Markdown.
pub fn write_manual(out: &mut dyn fmt::Write) -> fmt::Result {
    for entry in MANUAL {
        write!(
            out,
            "### {}\n\n`= {}`\n\nDefault: {}\n\n{}\n\n",
            entry.name, entry.syntax, entry.default, entry.help
        )?;
    }
    out.write_str("Options of Xen that are not built, and ignored with a warning: ")?;
    for (at, name) in not_built().enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        write!(out, "{comma}`{name}`")?;
    }
    out.write_str(".\n")
}
