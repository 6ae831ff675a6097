//! What a configuration means: [`DomainConfig`].
mod read;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::devices::{Channel, Disk, P9, Vif};
use crate::report::Diagnostic;
use crate::types::{
    Action, Affinity, BadValue, DomainName, GicVersion, GuestType, MemorySize, Text, TscMode, Uuid, Vuart,
};

/// Most vCPUs of any guest (Xen's MAX_VIRT_CPUS).
const MAX_VCPUS: i64 = 8192;

/// The configuration of a domain: what xl.cfg(5) says, with defaults where they do not depend on the host.
///
/// It is stored as JSON whose names are those of xl.cfg, except `memory_kib` and `maxmem_kib`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct DomainConfig {
    /// Name.
    pub name: DomainName,
    /// UUID; `None` for a random one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Uuid>,
    /// Kind of guest; `None` for the CPU's usual one.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub guest_type: Option<GuestType>,
    /// Pool of CPUs, by name or number; `None` for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<Text>,

    /// File of the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<Text>,
    /// File of the initial RAM disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ramdisk: Option<Text>,
    /// The kernel's command line, from `cmdline` or `root` and `extra`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmdline: Option<String>,
    /// File of a partial device tree (arm64).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_tree: Option<Text>,
    /// Program that gets the kernel out of the guest's disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootloader: Option<Text>,
    /// Its arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bootloader_args: Vec<Text>,

    /// Memory at the start.
    #[serde(rename = "memory_kib")]
    pub memory: MemorySize,
    /// Most memory, not less.
    #[serde(rename = "maxmem_kib")]
    pub maxmem: MemorySize,
    /// vCPUs at the start; not zero.
    pub vcpus: u32,
    /// Most vCPUs, not less.
    pub maxvcpus: u32,
    /// Where vCPUs may run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<Affinity>,
    /// Where vCPUs should run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus_soft: Option<Affinity>,
    /// Share of CPU time under contention; 256 is usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_weight: Option<u16>,
    /// Most CPU time in percent of one CPU; 0 for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<u32>,

    /// When it has powered off.
    pub on_poweroff: Action,
    /// When it wants to reboot.
    pub on_reboot: Action,
    /// When its watchdog has fired.
    pub on_watchdog: Action,
    /// When it has crashed.
    pub on_crash: Action,
    /// When it wants its Xen interfaces to be reset.
    pub on_soft_reset: Action,

    /// Disks, no two with one number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disk: Vec<Disk>,
    /// Network cards, no two with one number or address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vif: Vec<Vif>,
    /// Directories, no two with one tag.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub p9: Vec<P9>,
    /// Channels, no two with one name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channel: Vec<Channel>,

    /// Most frames of its grant table; `None` for the host's choice, as below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_grant_frames: Option<u32>,
    /// Most frames for the grants that it maps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_maptrack_frames: Option<u32>,
    /// Highest grant table version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_grant_version: Option<u8>,
    /// Most event channels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_event_channels: Option<u32>,

    /// Serial port that the hypervisor emulates (arm64).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vuart: Option<Vuart>,
    /// Interrupt controller (arm64).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gic_version: Option<GicVersion>,
    /// Whether it has ACPI tables; `None` for the CPU's usual answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acpi: Option<bool>,
    /// The time stamp counter (x86).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tsc_mode: Option<TscMode>,
    /// Its clock shows local time.
    #[serde(default)]
    pub localtime: bool,
    /// Seconds that its clock is ahead.
    #[serde(default)]
    pub rtc_timeoffset: i32,
    /// It cannot be migrated.
    #[serde(default)]
    pub nomigrate: bool,
    /// It has back ends for other domains.
    #[serde(default)]
    pub driver_domain: bool,
    /// FLASK label, when it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seclabel: Option<Text>,
    /// FLASK label while it is built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_seclabel: Option<Text>,
}

/// A configuration, and what people should know about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// What it means.
    pub config: DomainConfig,
    /// What is probably not meant so.
    pub warnings: Vec<Diagnostic>,
}

impl DomainConfig {
    /// Reads stored JSON.
    pub fn from_json(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }

    /// JSON to store, over several lines.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }

    /// What is wrong with the values together, each with the key to blame.
    pub fn faults(&self) -> Vec<(&'static str, BadValue)> {
        let mut faults = Vec::new();
        let mut fault = |key, message: String| faults.push((key, BadValue::new(message)));
        if self.kernel.is_none() && self.bootloader.is_none() {
            fault("kernel", "the domain has no kernel; add a line kernel = \"...\"".to_owned());
        }
        if self.maxmem < self.memory {
            fault("maxmem", format!("maxmem ({}) is less than memory ({})", self.maxmem, self.memory));
        }
        if self.vcpus == 0 {
            fault("vcpus", "the domain has no vCPU".to_owned());
        }
        if self.maxvcpus < self.vcpus {
            fault("maxvcpus", format!("maxvcpus ({}) is less than vcpus ({})", self.maxvcpus, self.vcpus));
        }
        if i64::from(self.maxvcpus) > MAX_VCPUS {
            fault("maxvcpus", format!("maxvcpus is more than {MAX_VCPUS}"));
        }
        for disk in &self.disk {
            if let Err(error) = disk.check() {
                fault("disk", error.to_string());
            }
        }
        for vif in &self.vif {
            if let Err(error) = vif.check() {
                fault("vif", error.to_string());
            }
        }
        for channel in &self.channel {
            if let Err(error) = channel.check() {
                fault("channel", error.to_string());
            }
        }
        let mut twice = |key, what: &str, values: Vec<String>| {
            let mut seen = BTreeSet::new();
            for value in values {
                if !seen.insert(value.clone()) {
                    fault(key, format!("two {what} {value}"));
                }
            }
        };
        let vdevs = self.disk.iter().map(|disk| disk.vdev.number());
        let name_of =
            |number| self.disk.iter().find(|disk| disk.vdev.number() == number).map(|disk| &disk.vdev);
        twice("disk", "disks are", vdevs.filter_map(name_of).map(ToString::to_string).collect());
        twice(
            "vif",
            "vifs have mac",
            self.vif.iter().filter_map(|vif| vif.mac).map(|mac| mac.to_string()).collect(),
        );
        twice(
            "vif",
            "vifs have devid",
            self.vif.iter().filter_map(|vif| vif.devid).map(|id| id.to_string()).collect(),
        );
        twice("p9", "p9s have tag", self.p9.iter().map(|p9| p9.tag.to_string()).collect());
        twice("channel", "channels have name", self.channel.iter().map(|one| one.name.to_string()).collect());
        faults
    }
}

impl Serialize for DomainConfig {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for DomainConfig {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let config = Self::deserialize(deserializer)?;
        match config.faults().first() {
            Some((key, error)) => Err(serde::de::Error::custom(format!("{key}: {error}"))),
            None => Ok(config),
        }
    }
}

#[cfg(test)]
mod tests;
