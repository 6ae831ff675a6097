//! The command line of `./x`.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::fmt;

/// `./x` as a whole.
#[derive(Parser)]
#[command(
    name = "./x",
    bin_name = "./x",
    about = "The front door of Xenoxide: build it, boot it, test it.",
    disable_version_flag = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs of `./x`.
#[derive(Subcommand)]
pub enum Verb {
    /// Boot the hypervisor, a Debian Dom0 and a Debian DomU in QEMU, and show that they work
    ///
    /// On a terminal you end in a Dom0 shell with the DomU running. Without one (`</dev/null`) every step is
    /// checked and the exit code tells whether all passed.
    Run(MachineOptions),
    /// Run every test: host tests, then system tests in QEMU
    Test(TestOptions),
    /// Measure speed in executed instructions
    Bench(BenchOptions),
    /// Run the tests that take long: many cycles, many domains, many kills
    Soak(SoakOptions),
    /// Feed random input to whatever reads untrusted bytes
    Fuzz(FuzzOptions),
    /// Build hypervisor, Dom0 image and demo DomU into dist/
    Build(BuildOptions),
    /// Check format, lints, both CPUs' builds, import rules and the unsafe budget
    Check,
    /// Boot Dom0 into a shell, tools running, no DomU
    Shell(MachineOptions),
    /// Remove what was built; with --all the download cache too
    Clean(CleanOptions),
}

/// A CPU architecture that the project is built for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Arch {
    /// aarch64, on QEMU's `virt` machine.
    Arm64,
    /// x86_64.
    Amd64,
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Arch::Arm64 => "arm64",
            Arch::Amd64 => "amd64",
        })
    }
}

/// Which hypervisor is booted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Hypervisor {
    /// The one built from this repository.
    Ours,
    /// Debian's Xen 4.17, the reference.
    Debian,
}

impl fmt::Display for Hypervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Hypervisor::Ours => "Xenoxide",
            Hypervisor::Debian => "Debian's Xen 4.17",
        })
    }
}

/// Which tools Dom0 runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Tools {
    /// Those built from this repository.
    Ours,
    /// Debian's, of Xen 4.17.
    Debian,
}

impl fmt::Display for Tools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tools::Ours => "our tools",
            Tools::Debian => "Debian's tools",
        })
    }
}

/// Which of Debian's Linux kernels Dom0 and the DomUs run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Kernel {
    /// Debian 12's own.
    #[value(name = "6.1")]
    V6_1,
    /// The one in Debian 12's backports.
    #[value(name = "6.12")]
    V6_12,
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kernel::V6_1 => "6.1",
            Kernel::V6_12 => "6.12",
        })
    }
}

/// The machine to boot.
#[derive(Args, Clone, Debug)]
pub struct MachineOptions {
    /// CPU architecture
    #[arg(long, value_enum, default_value_t = Arch::Arm64)]
    pub arch: Arch,
    /// Hypervisor to boot
    #[arg(long, value_enum, default_value = "ours")]
    pub hypervisor: Hypervisor,
    /// Tools in Dom0
    #[arg(long, value_enum, default_value = "ours")]
    pub tools: Tools,
    /// Linux of Dom0 and DomUs
    #[arg(long, value_enum, default_value = "6.1")]
    pub kernel: Kernel,
    /// Interrupt controller version of the arm64 machine
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=3))]
    pub gic: u8,
    /// Number of physical CPUs
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=8))]
    pub cpus: u8,
    /// Memory of the machine in MiB
    #[arg(long, default_value_t = 2048, value_parser = clap::value_parser!(u32).range(512..=65536))]
    pub memory: u32,
    /// Emulate each CPU on a host thread of its own, as always with Debian's Xen: true concurrency, but slower on a
    /// busy host
    #[arg(long)]
    pub parallel: bool,
}

/// Options of `./x build`.
#[derive(Args, Clone, Debug)]
pub struct BuildOptions {
    /// CPU architecture; both when absent
    #[arg(long, value_enum)]
    pub arch: Option<Arch>,
    /// Only the hypervisor image, nothing from Debian's packages
    #[arg(long)]
    pub hypervisor_only: bool,
}

/// Options of `./x test`.
#[derive(Args, Clone, Debug)]
pub struct TestOptions {
    /// CPU architecture of the system tests; any when absent
    #[arg(long, value_enum)]
    pub arch: Option<Arch>,
    /// Hypervisor under the system tests
    #[arg(long, value_enum, default_value = "ours")]
    pub hypervisor: Hypervisor,
    /// Tools in Dom0 under the system tests
    #[arg(long, value_enum, default_value = "ours")]
    pub tools: Tools,
    /// Linux of Dom0 and DomUs under the system tests
    #[arg(long, value_enum, default_value = "6.1")]
    pub kernel: Kernel,
    /// Host tests and the system tests marked as smoke tests only
    #[arg(long, conflicts_with_all = ["only", "host"])]
    pub smoke: bool,
    /// Only this system test (repeatable)
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// Host tests only, no QEMU
    #[arg(long, conflicts_with = "only")]
    pub host: bool,
    /// Emulate each CPU on a host thread of its own in every system test, not only those on Debian's Xen: true
    /// concurrency, but slower
    #[arg(long)]
    pub parallel: bool,
    /// List the system tests and stop
    #[arg(long)]
    pub list: bool,
}

/// Options of `./x bench`.
#[derive(Args, Clone, Debug)]
pub struct BenchOptions {
    /// CPU architecture
    #[arg(long, value_enum, default_value_t = Arch::Arm64)]
    pub arch: Arch,
    /// Only this hypervisor
    #[arg(long, value_enum)]
    pub only: Option<Hypervisor>,
    /// Only these rows
    #[arg(long, value_enum)]
    pub rows: Option<Rows>,
    /// Also show in which functions of ours this row's instructions are
    #[arg(long, value_name = "ROW")]
    pub profile: Option<String>,
}

/// Options of `./x fuzz`.
#[derive(Args, Clone, Debug)]
pub struct FuzzOptions {
    /// Only this target (repeatable)
    #[arg(long, value_name = "NAME")]
    pub target: Vec<String>,
    /// How long each target runs
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    pub seconds: u32,
    /// Run the target hypercalls alone, until it has issued this many hypercalls
    #[arg(long, value_name = "N", conflicts_with_all = ["target", "seconds"], value_parser = clap::value_parser!(u64).range(1..))]
    pub calls: Option<u64>,
    /// Afterwards copy inputs that reach new code into the repository's corpus
    #[arg(long)]
    pub keep: bool,
    /// Replay this file with the one target that is given, and do nothing else
    #[arg(long, value_name = "FILE", requires = "target", conflicts_with_all = ["seconds", "keep", "calls"])]
    pub input: Option<std::path::PathBuf>,
}

impl BenchOptions {
    /// Whether a hypervisor is to be measured.
    pub fn wants(&self, hypervisor: Hypervisor) -> bool {
        self.only.is_none_or(|only| only == hypervisor)
    }

    /// Whether these rows are to be measured.
    pub fn wants_rows(&self, rows: Rows) -> bool {
        self.rows.is_none_or(|only| only == rows)
    }
}

/// What `./x bench` measures.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Rows {
    /// The hypervisor's operations.
    Hypervisor,
    /// What Dom0's tools do.
    Tools,
    /// DomUs' PV devices, and their memory.
    Domains,
}

/// Options of `./x soak`.
#[derive(Args, Clone, Debug)]
pub struct SoakOptions {
    /// Hypervisor under the tests
    #[arg(long, value_enum, default_value = "ours")]
    pub hypervisor: Hypervisor,
    /// Tools in Dom0
    #[arg(long, value_enum, default_value = "ours")]
    pub tools: Tools,
    /// Linux of Dom0 and DomUs
    #[arg(long, value_enum, default_value = "6.1")]
    pub kernel: Kernel,
    /// Only this one (repeatable)
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
}

/// Options of `./x clean`.
#[derive(Args, Clone, Debug)]
pub struct CleanOptions {
    /// The download cache too
    #[arg(long)]
    pub all: bool,
}
