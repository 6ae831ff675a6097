//! What `--json` prints: each listing verb an array of these, `info` one object. Names stay; new ones may be added.

use serde::Serialize;

/// A domain, of `xl list --json`.
#[derive(Debug, Serialize)]
pub struct Domain {
    /// Id.
    pub domid: u16,
    /// Name; null when it has none.
    pub name: Option<String>,
    /// UUID.
    pub uuid: String,
    /// Memory that it has, in KiB.
    pub memory_kib: u64,
    /// Memory that it may have, in KiB.
    pub max_memory_kib: u64,
    /// vCPUs that are online.
    pub vcpus_online: u32,
    /// vCPUs that it has.
    pub vcpus: u32,
    /// Of `running`, `blocked`, `paused`, `shutdown`, `dying` those that hold.
    pub state: Vec<&'static str>,
    /// `poweroff`, `reboot`, `suspend`, `crash`, `watchdog`, `soft_reset` or `unknown`; null unless shut down.
    pub shutdown_reason: Option<&'static str>,
    /// CPU time in nanoseconds.
    pub cpu_time_ns: u64,
    /// CPU pool.
    pub cpupool: u32,
}

/// A vCPU, of `xl vcpu-list --json`.
#[derive(Debug, Serialize)]
pub struct Vcpu {
    /// The domain's id.
    pub domid: u16,
    /// The domain's name; null when it has none.
    pub name: Option<String>,
    /// Number within the domain.
    pub vcpu: u32,
    /// Whether the guest uses it.
    pub online: bool,
    /// The CPU on which it runs or last ran; null when it is not online.
    pub cpu: Option<u32>,
    /// Whether it runs now.
    pub running: bool,
    /// Whether it waits for an event.
    pub blocked: bool,
    /// CPU time in nanoseconds.
    pub cpu_time_ns: u64,
    /// CPUs on which it may run.
    pub hard_affinity: Vec<u32>,
    /// CPUs on which it prefers to run.
    pub soft_affinity: Vec<u32>,
}

/// A CPU pool, of `xl cpupool-list --json`.
#[derive(Debug, Serialize)]
pub struct Cpupool {
    /// Id.
    pub id: u32,
    /// Name.
    pub name: String,
    /// Scheduler.
    pub scheduler: &'static str,
    /// Its CPUs.
    pub cpus: Vec<u32>,
    /// Domains in it.
    pub domains: u32,
}
