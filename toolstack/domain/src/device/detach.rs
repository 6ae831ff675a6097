//! Taking devices from a domain that runs, with its consent or without.

use xen_dev::Domid;
use xenstore_client::Operations;
use xl_config::{DomainConfig, Vdev};

use super::{DeviceId, Kind, state};
use crate::nodes;
use crate::{DomainError, Toolstack};

/// Whether the guest is asked for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detach {
    /// It is asked, and keeps the device if it does not let go of it in time.
    Ask,
    /// It is asked, and loses the device at last if it does not let go of it in time.
    AskThenTake,
    /// It is not asked.
    Take,
}

impl Toolstack {
    /// Takes a disk from a domain, also from its kept configuration.
    ///
    /// # Errors
    /// [`DomainError::NoDevice`]; [`DomainError::NotReleased`] when the guest keeps it.
    pub fn detach_disk(&mut self, domid: Domid, vdev: &Vdev, how: Detach) -> Result<(), DomainError> {
        let device = DeviceId { kind: Kind::Vbd, domid, id: vdev.number() };
        self.detach(device, how, |config| config.disk.retain(|disk| disk.vdev != *vdev))
    }

    /// Takes the network interface of this number from a domain, also from its kept configuration.
    ///
    /// # Errors
    /// [`DomainError::NoDevice`]; [`DomainError::NotReleased`] when the guest keeps it.
    pub fn detach_vif(&mut self, domid: Domid, id: u32, how: Detach) -> Result<(), DomainError> {
        let device = DeviceId { kind: Kind::Vif, domid, id };
        self.detach(device, how, |config| config.vif.retain(|vif| vif.devid != Some(id)))
    }

    fn detach(
        &mut self,
        device: DeviceId,
        how: Detach,
        forget: impl FnOnce(&mut DomainConfig),
    ) -> Result<(), DomainError> {
        let domid = device.domid;
        self.info(domid)?;
        let found = self.find_devices(domid)?.into_iter().filter(|it| it.device == Some(device));
        let found: Vec<_> = found.collect();
        if found.is_empty() {
            return Err(DomainError::NoDevice { domid, device: device.title() });
        }
        // A guest that has not taken the device up has no use for it.
        let front = nodes::text(&mut self.store, &format!("{}/state", device.front()))?;
        let is_used = !matches!(front.as_deref(), None | Some(state::INITIALISING | state::CLOSED));
        if how == Detach::Take || !is_used {
            self.take(domid, &found)?;
        } else {
            self.close(&found, false)?;
            match (self.wait_until_closed(&found)?, how) {
                (None, _) => self.clear(&found)?,
                (Some(_), Detach::AskThenTake) => self.take(domid, &found)?,
                (Some(_), _) => return Err(self.not_released(device)?),
            }
        }
        self.change_kept(domid, forget)
    }

    /// Withdraws the request for a device, unless the guest has begun to close it.
    fn not_released(&mut self, device: DeviceId) -> Result<DomainError, DomainError> {
        let (front, back) = (format!("{}/state", device.front()), device.back());
        let back_state = format!("{back}/state");
        let withdrawn = self.store.transaction(|store| {
            let is_used = nodes::text(store, &front)?.as_deref() == Some(state::CONNECTED);
            if is_used && nodes::text(store, &back_state)?.as_deref() == Some(state::CLOSING) {
                store.write(&back_state, state::CONNECTED)?;
                store.write(&format!("{back}/online"), "1")?;
            }
            Ok(is_used)
        })?;
        let hint = if withdrawn {
            "; it keeps the device: its kernel hangs, is paused, or does not know how"
        } else {
            "; it is in use there, and goes when it no longer is"
        };
        let (domid, seconds) = (device.domid, self.patience.back_end.as_secs());
        Ok(DomainError::NotReleased { domid, device: device.title(), seconds, hint })
    }
}
