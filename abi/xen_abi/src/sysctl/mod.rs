//! `sysctl.h`: control of the host by the tools. The envelope, the numbers, and the structures by topic.
//!
//! The interface is not stable: [`Sysctl::interface_version`] says which layouts the caller means. These are
//! the ones of 4.17 (0x15); what a later version changes gets a module named for its release, as in
//! [`crate::domctl`].

pub mod debug;
pub mod host;
pub mod livepatch;
pub mod power;
pub mod sched;

pub use debug::*;
pub use host::*;
pub use livepatch::*;
pub use power::*;
pub use sched::*;

abi_consts! { CONSTS, Both;
    /// Interface version of Xen 4.17.
    pub const XEN_SYSCTL_INTERFACE_VERSION: u32 = 0x15;

    /// Reads the console ring.
    pub const XEN_SYSCTL_readconsole: u32 = 1;
    /// Trace buffers.
    pub const XEN_SYSCTL_tbuf_op: u32 = 2;
    /// Describes the host.
    pub const XEN_SYSCTL_physinfo: u32 = 3;
    /// Which scheduler.
    pub const XEN_SYSCTL_sched_id: u32 = 4;
    /// Performance counters of the hypervisor.
    pub const XEN_SYSCTL_perfc_op: u32 = 5;
    /// Describes many domains.
    pub const XEN_SYSCTL_getdomaininfolist: u32 = 6;
    /// Sends debug keys.
    pub const XEN_SYSCTL_debug_keys: u32 = 7;
    /// Idle time of each CPU.
    pub const XEN_SYSCTL_getcpuinfo: u32 = 8;
    /// Free memory by address and node.
    pub const XEN_SYSCTL_availheap: u32 = 9;
    /// Power statistics (x86).
    pub const XEN_SYSCTL_get_pmstat: u32 = 10;
    /// CPUs on and off (x86).
    pub const XEN_SYSCTL_cpu_hotplug: u32 = 11;
    /// Power management (x86).
    pub const XEN_SYSCTL_pm_op: u32 = 12;
    /// Retires pages (x86).
    pub const XEN_SYSCTL_page_offline_op: u32 = 14;
    /// Lock statistics.
    pub const XEN_SYSCTL_lockprof_op: u32 = 15;
    /// Core, socket and node of each CPU.
    pub const XEN_SYSCTL_cputopoinfo: u32 = 16;
    /// Memory and distances of nodes.
    pub const XEN_SYSCTL_numainfo: u32 = 17;
    /// CPU pools.
    pub const XEN_SYSCTL_cpupool_op: u32 = 18;
    /// Parameters of schedulers.
    pub const XEN_SYSCTL_scheduler_op: u32 = 19;
    /// Coverage data.
    pub const XEN_SYSCTL_coverage_op: u32 = 20;
    /// Cache monitoring (x86).
    pub const XEN_SYSCTL_psr_cmt_op: u32 = 21;
    /// Nodes of PCI devices.
    pub const XEN_SYSCTL_pcitopoinfo: u32 = 22;
    /// Cache allocation (x86).
    pub const XEN_SYSCTL_psr_alloc: u32 = 23;
    /// What can be hidden in CPUID (x86).
    pub const XEN_SYSCTL_get_cpu_levelling_caps: u32 = 25;
    /// CPU feature sets (x86).
    pub const XEN_SYSCTL_get_cpu_featureset: u32 = 26;
    /// Live patches.
    pub const XEN_SYSCTL_livepatch_op: u32 = 27;
    /// CPUID and MSR policies (x86).
    pub const XEN_SYSCTL_get_cpu_policy: u32 = 29;
}

abi_structs! { STRUCTS, Both;
    /// What every sysctl call passes.
    #[c = "struct xen_sysctl"]
    pub struct Sysctl {
        /// `XEN_SYSCTL_*`.
        pub cmd: u32,
        /// `XEN_SYSCTL_INTERFACE_VERSION`; any other than the hypervisor's is refused with `EACCES`.
        pub interface_version: u32,
        /// The operation's structure.
        pub u: [u64; 16],
    }
}

abi_payload! {
    Sysctl.u: [u64; 16];
}
