//! A configuration's devices, in full: what it leaves open is chosen, what cannot be had is refused.

use xl_config::DomainConfig;

use crate::DomainError;
use crate::device::{Disk, Vif, vif};
use crate::supervise::refuse_actions;

/// What a domain shall have, in the order of its configuration.
pub(crate) struct Wanted {
    pub(crate) disks: Vec<Disk>,
    pub(crate) vifs: Vec<Vif>,
}

impl Wanted {
    pub(crate) fn new(config: &DomainConfig) -> Result<Self, DomainError> {
        refuse(config)?;
        let disks = config.disk.iter().map(Disk::from_config).collect::<Result<_, _>>()?;
        let vifs = vif::number(&config.vif, &[])?;
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
