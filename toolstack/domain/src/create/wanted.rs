//! A configuration's devices, in full: what it leaves open is chosen, what cannot be had is refused.

use host_devices::InterfaceName;
use xl_config::{DomainConfig, Text};

use crate::supervise::refuse_actions;
use crate::{Disk, DomainError, Vif};

/// The bridge of an interface whose configuration names none, as with libxl.
const BRIDGE: &str = "xenbr0";

/// What a domain shall have, in the order of its configuration.
pub(crate) struct Wanted {
    pub(crate) disks: Vec<Disk>,
    pub(crate) vifs: Vec<Vif>,
}

impl Wanted {
    pub(crate) fn new(config: &DomainConfig) -> Result<Self, DomainError> {
        refuse(config)?;
        let disks = config.disk.iter().map(Disk::from_config).collect::<Result<_, _>>()?;
        let mut vifs: Vec<Vif> = Vec::new();
        for vif in &config.vif {
            // The lowest that neither an earlier one has nor another asks for.
            let taken = |id: &u32| {
                vifs.iter().any(|vif| vif.id == *id) || config.vif.iter().any(|vif| vif.devid == Some(*id))
            };
            let id = vif.devid.or_else(|| (0..).find(|id| !taken(id))).unwrap_or(0);
            vifs.push(Vif::from_config(vif, id)?);
        }
        Ok(Self { disks, vifs })
    }
}

/// Refuses keys that this toolstack does not serve.
fn refuse(config: &DomainConfig) -> Result<(), DomainError> {
    refuse_actions(config)?;
    let asked = [
        ("bootloader", config.bootloader.is_some()),
        ("acpi", config.acpi == Some(true)),
        ("p9", !config.p9.is_empty()),
        ("channel", !config.channel.is_empty()),
        ("driver_domain", config.driver_domain),
        ("seclabel", config.seclabel.is_some()),
        ("init_seclabel", config.init_seclabel.is_some()),
    ];
    match asked.iter().find(|(_, asked)| *asked) {
        Some((key, _)) => unsupported(key),
        None => Ok(()),
    }
}

fn unsupported<T>(key: &'static str) -> Result<T, DomainError> {
    Err(DomainError::Key { key, why: "these tools do not have it; leave the key out".to_owned() })
}

/// Back ends are in Dom0.
fn check_back_end(key: &'static str, backend: &Option<Text>) -> Result<(), DomainError> {
    match backend.as_ref().map(|name| name.as_str()) {
        None | Some("0" | "Domain-0") => Ok(()),
        Some(other) => {
            let why = format!("back end {other}: these tools have back ends in domain 0 alone");
            Err(DomainError::Key { key, why })
        }
    }
}

impl Disk {
    /// The disk that a configuration describes.
    ///
    /// # Errors
    /// When it asks for what these tools do not have.
    pub fn from_config(disk: &xl_config::Disk) -> Result<Self, DomainError> {
        check_back_end("disk", &disk.backend)?;
        let name = disk.vdev.name().to_owned();
        let key = "disk";
        if disk.script.is_some() {
            let why = format!("{name}: script: these tools set disks up themselves; leave it out");
            return Err(DomainError::Key { key, why });
        }
        let target = disk.target.as_ref().ok_or_else(|| DomainError::Key {
            key,
            why: format!("{name}: the drive is empty, and blkback cannot show that; name a target"),
        })?;
        Ok(Self {
            path: target.as_str().into(),
            name,
            number: disk.vdev.number(),
            read_only: disk.read_only,
            is_cdrom: disk.cdrom,
            discard: disk.discard.unwrap_or(true),
            direct_io_safe: disk.direct_io_safe,
            trusted: disk.trusted.unwrap_or(true),
        })
    }
}

impl Vif {
    /// The interface that a configuration describes, under this number.
    ///
    /// # Errors
    /// When it asks for what these tools do not have.
    pub fn from_config(vif: &xl_config::Vif, id: u32) -> Result<Self, DomainError> {
        check_back_end("vif", &vif.backend)?;
        let key = "vif";
        if vif.script.is_some() || vif.gatewaydev.is_some() {
            let why = format!(
                "{id}: script and gatewaydev: these tools put interfaces into a bridge; leave them out"
            );
            return Err(DomainError::Key { key, why });
        }
        let failed = |source| DomainError::Host { device: format!("network interface {id}"), source };
        let bridge = vif.bridge.as_ref().map_or(BRIDGE, |bridge| bridge.as_str());
        let name = vif.vifname.as_ref().map(|name| InterfaceName::new(name.as_str())).transpose();
        Ok(Self {
            id,
            mac: vif.mac.map_or_else(crate::random::mac, Ok)?,
            bridge: InterfaceName::new(bridge).map_err(failed)?,
            name: name.map_err(failed)?,
            mtu: vif.mtu.map(u32::from),
            rate: vif.rate.map(|rate| (rate.bytes_per_interval(), rate.interval_us())),
            ip: vif.ip.as_ref().map(|ip| ip.to_string()),
            trusted: vif.trusted.unwrap_or(true),
        })
    }
}
