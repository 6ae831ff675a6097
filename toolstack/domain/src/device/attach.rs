//! Giving devices to a domain that is there.

use xen_dev::Domid;
use xl_config::DomainConfig;

use super::{DeviceId, Disk, Kind, Vif, vif};
use crate::nodes;
use crate::{DomainError, Toolstack};

impl Toolstack {
    /// Gives a domain that is there more disks and interfaces, and notes them in its kept configuration. Numbers and
    /// addresses that are left open are chosen.
    ///
    /// # Errors
    /// What is missing, taken by others, or refused by a back end. The domain has none of the devices then.
    pub fn attach(
        &mut self,
        domid: Domid,
        disks: &[xl_config::Disk],
        vifs: &[xl_config::Vif],
    ) -> Result<(), DomainError> {
        self.running(domid)?;
        let used = self.device_ids(domid, Kind::Vif)?;
        let new_disks = disks.iter().map(Disk::from_config).collect::<Result<Vec<_>, _>>()?;
        let new_vifs = vif::number(vifs, &used)?;
        let pending = self.prepare_devices(&new_disks, &new_vifs)?;
        let records = pending.records(domid);
        let devices: Vec<DeviceId> = records.iter().map(|record| record.device).collect();
        let there = self.store.transaction(|store| {
            for device in &devices {
                for place in [device.note(), device.back()] {
                    if nodes::text(store, &format!("{place}/frontend"))?.is_some() {
                        return Ok(Some(*device));
                    }
                }
            }
            records.iter().try_for_each(|record| record.write(store))?;
            Ok(None)
        })?;
        if let Some(device) = there {
            let device = device.title();
            return Err(DomainError::DeviceThere { domid, device });
        }
        let attached = self
            .bring_up_devices(domid, pending)
            .and_then(|()| self.change_kept(domid, |config| add(config, disks, vifs, &new_vifs)));
        attached.map_err(|error| {
            error.undone(self.remove(domid, |back| devices.iter().any(|device| device.back() == back)))
        })
    }
}

/// Adds devices to a configuration, in the place of those that have their numbers there.
fn add(config: &mut DomainConfig, disks: &[xl_config::Disk], vifs: &[xl_config::Vif], numbered: &[Vif]) {
    for disk in disks {
        config.disk.retain(|it| it.vdev != disk.vdev);
        config.disk.push(disk.clone());
    }
    for (vif, numbered) in vifs.iter().zip(numbered) {
        config.vif.retain(|it| it.devid != Some(numbered.id));
        config.vif.push(xl_config::Vif { devid: Some(numbered.id), mac: Some(numbered.mac), ..vif.clone() });
    }
}
