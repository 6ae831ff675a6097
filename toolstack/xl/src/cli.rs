//! The command line.

mod devices;
mod outside;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::devices::{BlockAttach, BlockDetach, DeviceList, NetworkAttach, NetworkDetach};
pub use self::outside::{Completion, Console, Shell, Sort, Supervise, Top};
use crate::format::MemoryArgument;

/// Controls Xen's domains.
#[derive(Debug, Parser)]
#[command(name = "xl", version, disable_help_subcommand = false, max_term_width = 100)]
pub struct Options {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List the domains, or one of them
    List(List),
    /// Describe the host and its hypervisor
    Info(Info),
    /// Create a domain from a configuration file
    Create(Create),
    /// Attach to a domain's console; Ctrl-] leaves
    Console(Console),
    /// Name domain 0, and start what looks after domains: for the boot script, when xenstored runs
    InitDom0,
    /// Start what looks after domains where it is missing, as after an upgrade of these tools
    Supervise(Supervise),
    /// End a domain at once
    Destroy(Destroy),
    /// Ask a domain to shut down
    Shutdown(Ask),
    /// Ask a domain to restart
    Reboot(Ask),
    /// Stop a domain until it is unpaused
    Pause(Target),
    /// Let a paused domain run
    Unpause(Target),
    /// Print the id of the domain with this name
    Domid(Target),
    /// Print the name of the domain with this id
    Domname(Target),
    /// Give a domain another name
    Rename(Rename),
    /// List the vCPUs of all domains, or of some
    VcpuList(VcpuList),
    /// Say on which CPUs a vCPU may run
    VcpuPin(VcpuPin),
    /// Say how many of its vCPUs a domain may use
    VcpuSet(VcpuSet),
    /// Say how much memory a domain shall use
    MemSet(Memory),
    /// Say how much memory a domain may have at most
    MemMax(Memory),
    /// Print the hypervisor's messages
    Dmesg(Dmesg),
    /// Show what domains use, live
    Top(Top),
    /// Print how long domains have been running
    Uptime(Uptime),
    /// Print or change domains' shares of CPU time
    SchedCredit2(SchedCredit2),
    /// List the CPU pools, or one of them
    CpupoolList(CpupoolList),
    /// Make a CPU pool
    CpupoolCreate(CpupoolCreate),
    /// End a CPU pool without domains; its CPUs are then in none
    CpupoolDestroy(CpupoolTarget),
    /// Give a CPU pool another name
    CpupoolRename(CpupoolRename),
    /// Put CPUs that are in no pool into one
    CpupoolCpuAdd(CpupoolCpus),
    /// Take CPUs out of a pool
    CpupoolCpuRemove(CpupoolCpus),
    /// Move a domain to another CPU pool
    CpupoolMigrate(CpupoolMigrate),
    /// Give a running domain a disk
    BlockAttach(BlockAttach),
    /// Take a disk from a running domain
    BlockDetach(BlockDetach),
    /// List the disks of domains
    BlockList(DeviceList),
    /// Give a running domain a network interface
    NetworkAttach(NetworkAttach),
    /// Take a network interface from a running domain
    NetworkDetach(NetworkDetach),
    /// List the network interfaces of domains
    NetworkList(DeviceList),
    /// Replace the configuration from which a domain is made again when it restarts
    ConfigUpdate(ConfigUpdate),
    /// Send keys to the hypervisor as if typed at its console (`h` prints what there are)
    DebugKeys(DebugKeys),
    /// Send a key to the SysRq of a domain's kernel
    Sysrq(Sysrq),
    /// Press a button of a domain, or interrupt it
    Trigger(Trigger),
    /// Print what makes a shell complete these command lines
    Completion(Completion),
}

/// A domain.
#[derive(Args, Debug)]
pub struct Target {
    /// The domain's name or id
    pub domain: String,
}

/// Options of `list`.
#[derive(Args, Debug)]
pub struct List {
    /// All that is known, as JSON
    #[arg(short, long)]
    pub long: bool,
    /// All that is known, as JSON
    #[arg(long)]
    pub json: bool,
    /// Also UUID, reason of shutdown and security label
    #[arg(short, long)]
    pub verbose: bool,
    /// Also the CPU pool
    #[arg(short, long)]
    pub cpupool: bool,
    /// Also the NUMA nodes
    #[arg(short, long)]
    pub numa: bool,
    /// The only domain to be listed
    pub domain: Option<String>,
}

/// Options of `info`.
#[derive(Args, Debug)]
pub struct Info {
    /// Also CPUs and NUMA nodes
    #[arg(short, long)]
    pub numa: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// The only field to be printed
    #[arg(conflicts_with = "numa")]
    pub field: Option<String>,
}

/// Options of `create`.
#[derive(Args, Debug)]
pub struct Create {
    /// Leave the domain paused
    #[arg(short, long)]
    pub paused: bool,
    /// Attach to the console, before the domain runs
    #[arg(short = 'c', long, conflicts_with = "foreground")]
    pub console: bool,
    /// Look after the domain in this process, until nothing is left to be done
    #[arg(short = 'F', long, conflicts_with = "unsupervised")]
    pub foreground: bool,
    /// Do not look after the domain: nothing is done when it ends
    #[arg(short = 'e', long = "no-supervisor")]
    pub unsupervised: bool,
    /// Only check the configuration, and print it as JSON
    #[arg(short = 'n', long)]
    pub dryrun: bool,
    /// Say nothing when all goes well
    #[arg(short, long)]
    pub quiet: bool,
    /// The configuration, in the form of xl.cfg
    pub file: PathBuf,
    /// Settings that replace those of the file, such as `memory=512`
    #[arg(value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
}

/// Options of `config-update`.
#[derive(Args, Debug)]
pub struct ConfigUpdate {
    /// The domain's name or id
    pub domain: String,
    /// The configuration, in the form of xl.cfg
    pub file: PathBuf,
    /// Settings that replace those of the file, such as `memory=512`
    #[arg(value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
}

/// Options of `destroy`.
#[derive(Args, Debug)]
pub struct Destroy {
    /// Ignored: domain 0 cannot be destroyed from itself
    #[arg(short)]
    pub force: bool,
    /// The domain's name or id
    pub domain: String,
}

/// Options of `shutdown` and `reboot`.
#[derive(Args, Debug)]
pub struct Ask {
    /// All domains but domain 0
    #[arg(short, long, conflicts_with = "domain")]
    pub all: bool,
    /// Return when the domain has shut down; twice: when it is gone
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub wait: u8,
    /// Press the domain's power or reset button if its kernel does not answer
    #[arg(short = 'F')]
    pub fallback: bool,
    /// The domain's name or id
    #[arg(required_unless_present = "all")]
    pub domain: Option<String>,
}

/// Options of `rename`.
#[derive(Args, Debug)]
pub struct Rename {
    /// The domain's name or id
    pub domain: String,
    /// Its new name
    pub name: String,
}

/// Options of `vcpu-list`.
#[derive(Args, Debug)]
pub struct VcpuList {
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// The only domains to be listed
    pub domains: Vec<String>,
}

/// Options of `vcpu-pin`.
#[derive(Args, Debug)]
pub struct VcpuPin {
    /// End a pin by the domain itself
    #[arg(short, long)]
    pub force: bool,
    /// The domain's name or id
    pub domain: String,
    /// The vCPU's number, or `all`
    pub vcpu: String,
    /// Where it may run: CPUs such as `0-3,^1` or `all`; `-` leaves it as it is
    #[arg(allow_hyphen_values = true)]
    pub hard: String,
    /// Where it prefers to run
    #[arg(default_value = "-", allow_hyphen_values = true)]
    pub soft: String,
}

/// Options of `vcpu-set`.
#[derive(Args, Debug)]
pub struct VcpuSet {
    /// Allow more vCPUs than the host has CPUs
    #[arg(short, long)]
    pub ignore_host: bool,
    /// The domain's name or id
    pub domain: String,
    /// Number of vCPUs
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub vcpus: u32,
}

/// Options of `mem-set` and `mem-max`.
#[derive(Args, Debug)]
pub struct Memory {
    /// The domain's name or id
    pub domain: String,
    /// A number with unit: b, k, m, g or t; without one, MiB
    pub memory: MemoryArgument,
}

/// Options of `dmesg`.
#[derive(Args, Debug)]
pub struct Dmesg {
    /// Forget the messages once they are printed
    #[arg(short, long)]
    pub clear: bool,
}

/// Options of `uptime`.
#[derive(Args, Debug)]
pub struct Uptime {
    /// One line as that of Unix's `uptime` for each
    #[arg(short, long)]
    pub short: bool,
    /// The only domains to be listed
    pub domains: Vec<String>,
}

/// Options of `sched-credit2`.
#[derive(Args, Debug)]
pub struct SchedCredit2 {
    /// The domain's name or id
    #[arg(short, long)]
    pub domain: Option<String>,
    /// Share of CPU time under contention; 256 is usual
    #[arg(short, long, requires = "domain", value_parser = clap::value_parser!(u16).range(1..))]
    pub weight: Option<u16>,
    /// Most CPU time in percent of one CPU; 0 for no limit
    #[arg(short, long, requires = "domain")]
    pub cap: Option<u16>,
    /// The pool's parameters rather than those of domains
    #[arg(short, long, conflicts_with = "domain")]
    pub schedparam: bool,
    /// Shortest time that a vCPU runs before another takes its place, in microseconds
    #[arg(short, long = "ratelimit_us", requires = "schedparam")]
    pub ratelimit: Option<u32>,
    /// The pool's name or id
    #[arg(short = 'p', long, conflicts_with = "domain")]
    pub cpupool: Option<String>,
}

/// Options of `cpupool-list`.
#[derive(Args, Debug)]
pub struct CpupoolList {
    /// The pools' CPUs
    #[arg(short, long)]
    pub cpus: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// The only pool to be listed
    pub pool: Option<String>,
}

/// Options of `cpupool-create`.
#[derive(Args, Debug)]
pub struct CpupoolCreate {
    /// Only check what is asked for
    #[arg(short = 'n', long)]
    pub dryrun: bool,
    /// A configuration file, and KEY=VALUE in its place or beside it; the keys are name, sched and cpus
    #[arg(required = true, value_name = "FILE|KEY=VALUE")]
    pub settings: Vec<String>,
}

/// A CPU pool.
#[derive(Args, Debug)]
pub struct CpupoolTarget {
    /// The pool's name or id
    pub pool: String,
}

/// Options of `cpupool-rename`.
#[derive(Args, Debug)]
pub struct CpupoolRename {
    /// The pool's name or id
    pub pool: String,
    /// Its new name
    pub name: String,
}

/// Options of `cpupool-cpu-add` and `cpupool-cpu-remove`.
#[derive(Args, Debug)]
pub struct CpupoolCpus {
    /// The pool's name or id
    pub pool: String,
    /// CPUs, such as 3, 4-7 or node:1
    pub cpus: String,
}

/// Options of `cpupool-migrate`.
#[derive(Args, Debug)]
pub struct CpupoolMigrate {
    /// The domain's name or id
    pub domain: String,
    /// The pool's name or id
    pub pool: String,
}

/// Options of `debug-keys`.
#[derive(Args, Debug)]
pub struct DebugKeys {
    /// The keys
    pub keys: String,
}

/// Options of `sysrq`.
#[derive(Args, Debug)]
pub struct Sysrq {
    /// The domain's name or id
    pub domain: String,
    /// The key, such as `s` to write disks out
    pub key: char,
}

/// Options of `trigger`.
#[derive(Args, Debug)]
pub struct Trigger {
    /// The domain's name or id
    pub domain: String,
    /// What to send
    pub trigger: TriggerName,
    /// The vCPU that gets it
    #[arg(default_value_t = 0)]
    pub vcpu: u32,
}

/// Buttons and interrupts (`XEN_DOMCTL_SENDTRIGGER_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TriggerName {
    /// Interrupt that cannot be masked
    Nmi,
    /// Reset button
    Reset,
    /// Initialisation of a CPU
    Init,
    /// Power button
    Power,
    /// Sleep button
    Sleep,
}
