//! What `--json` prints, as `docs/xl-json.md` describes it. Names stay; new ones may be added.

use domain::DeviceStatus;
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

/// What disks and network interfaces have in common.
#[derive(Debug, Serialize)]
pub struct Device {
    /// The device's number.
    pub id: u32,
    /// The domain of its back end.
    pub back_end_domid: u16,
    /// The back end's path in xenstore.
    pub back_end: String,
    /// State of the front end (`xenbus_state` in `io/xenbus.h`); null when the guest says none.
    pub state: Option<u32>,
    /// The front end's event channel; null when the guest says none.
    pub event_channel: Option<u32>,
}

impl From<DeviceStatus> for Device {
    fn from(status: DeviceStatus) -> Self {
        Self {
            id: status.id,
            back_end_domid: status.back_end.get(),
            back_end: status.back_path,
            state: status.state,
            event_channel: status.event_channel,
        }
    }
}

/// A disk, of `xl block-list --json`.
#[derive(Debug, Serialize)]
pub struct Disk {
    /// The domain's id.
    pub domid: u16,
    /// What all devices have.
    #[serde(flatten)]
    pub device: Device,
    /// Name in the guest, such as `xvda`.
    pub vdev: Option<String>,
    /// Block device or file behind it.
    pub target: Option<String>,
    /// Whether the guest may only read it.
    pub read_only: bool,
    /// Grant of the ring; null when the guest says none.
    pub ring_ref: Option<u32>,
}

/// A network interface, of `xl network-list --json`.
#[derive(Debug, Serialize)]
pub struct NetworkInterface {
    /// The domain's id.
    pub domid: u16,
    /// What all devices have.
    #[serde(flatten)]
    pub device: Device,
    /// Hardware address.
    pub mac: Option<String>,
    /// Bridge in which Dom0's end is.
    pub bridge: Option<String>,
    /// Grant of the ring of what the guest sends; null when it says none.
    pub tx_ring_ref: Option<u32>,
    /// Grant of the ring of what it receives; null when it says none.
    pub rx_ring_ref: Option<u32>,
}

/// What a domain uses, of `xl top --json`.
#[derive(Debug, Serialize)]
pub struct TopDomain {
    /// Id.
    pub domid: u16,
    /// Name; null when it has none.
    pub name: Option<String>,
    /// As of `xl list`.
    pub state: Vec<&'static str>,
    /// CPU time in nanoseconds.
    pub cpu_time_ns: u64,
    /// Percent of one CPU that it used since the look before; null at the first.
    pub cpu_percent: Option<f64>,
    /// Memory that it has, in KiB.
    pub memory_kib: u64,
    /// Memory that it may have, in KiB.
    pub max_memory_kib: u64,
    /// vCPUs that it has.
    pub vcpus: u32,
    /// Bytes that it has sent; null when it has no devices in Dom0.
    pub network_sent_bytes: Option<u64>,
    /// Bytes that it has received.
    pub network_received_bytes: Option<u64>,
    /// Bytes that it has read from disks.
    pub disk_read_bytes: Option<u64>,
    /// Bytes that it has written to disks.
    pub disk_written_bytes: Option<u64>,
}
