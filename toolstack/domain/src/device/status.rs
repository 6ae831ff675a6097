//! How a domain's disks and interfaces are.

use xen_dev::Domid;
use xl_config::Mac;

use super::Kind;
use super::found::Found;
use crate::nodes::home;
use crate::{DomainError, Toolstack};

/// What xenstore says of any device. What the guest writes is `None` when it is missing or no number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceStatus {
    /// Its number.
    pub id: u32,
    /// The domain of its back end.
    pub back_end: Domid,
    /// The back end's path.
    pub back_path: String,
    /// State of the front end (`xenbus_state` in `io/xenbus.h`).
    pub state: Option<u32>,
    /// The front end's event channel.
    pub event_channel: Option<u32>,
}

/// A disk of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskStatus {
    /// What all devices have.
    pub device: DeviceStatus,
    /// Grant of the front end's ring.
    pub ring_ref: Option<u32>,
    /// Its name for the guest, such as `xvda`.
    pub vdev: Option<String>,
    /// What is behind it, as the configuration has it.
    pub target: Option<String>,
    /// Whether the guest may only read it.
    pub read_only: bool,
}

/// A network interface of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VifStatus {
    /// What all devices have.
    pub device: DeviceStatus,
    /// Its address.
    pub mac: Option<Mac>,
    /// The bridge in which Dom0's end is.
    pub bridge: Option<String>,
    /// Grant of the front end's ring for what it sends.
    pub tx_ring_ref: Option<u32>,
    /// Grant of the ring for what it receives.
    pub rx_ring_ref: Option<u32>,
}

impl Toolstack {
    /// The disks of a domain, by rising number.
    ///
    /// # Errors
    /// When there is no such domain.
    pub fn disks(&mut self, domid: Domid) -> Result<Vec<DiskStatus>, DomainError> {
        self.statuses(domid, Kind::Vbd, |tools, device, front, noted| {
            Ok(DiskStatus {
                ring_ref: tools.guests_number(front, "ring-ref")?,
                vdev: tools.value(&device.back_path, "dev")?,
                target: match tools.value(noted, "params")? {
                    Some(target) => Some(target),
                    None => tools.value(&device.back_path, "params")?,
                },
                read_only: tools.value(&device.back_path, "mode")?.as_deref() == Some("r"),
                device,
            })
        })
    }

    /// The network interfaces of a domain, by rising number.
    ///
    /// # Errors
    /// When there is no such domain.
    pub fn vifs(&mut self, domid: Domid) -> Result<Vec<VifStatus>, DomainError> {
        self.statuses(domid, Kind::Vif, |tools, device, front, _| {
            Ok(VifStatus {
                mac: tools.value(&device.back_path, "mac")?.and_then(|mac| mac.parse().ok()),
                bridge: tools.value(&device.back_path, "bridge")?,
                tx_ring_ref: tools.guests_number(front, "tx-ring-ref")?,
                rx_ring_ref: tools.guests_number(front, "rx-ring-ref")?,
                device,
            })
        })
    }

    fn statuses<T>(
        &mut self,
        domid: Domid,
        kind: Kind,
        mut look: impl FnMut(&mut Self, DeviceStatus, &str, &str) -> Result<T, DomainError>,
    ) -> Result<Vec<T>, DomainError> {
        self.info(domid)?;
        let mut statuses = Vec::new();
        for found in self.find_devices(domid)?.into_iter().filter(|found| found.kind == kind.name()) {
            let Found { id, back, note, .. } = found;
            let back_end = back.split('/').nth(3).and_then(|domid| domid.parse().ok()).and_then(Domid::new);
            let (Ok(id), Some(back_end)) = (id.parse(), back_end) else { continue };
            let front = format!("{}/device/{}/{id}", home(domid), kind.name());
            let device = DeviceStatus {
                id,
                back_end,
                state: self.guests_number(&front, "state")?,
                event_channel: self.guests_number(&front, "event-channel")?,
                back_path: back,
            };
            statuses.push((id, look(self, device, &front, &note.unwrap_or_default())?));
        }
        statuses.sort_by_key(|(id, _)| *id);
        Ok(statuses.into_iter().map(|(_, status)| status).collect())
    }

    /// A number that the guest wrote.
    fn guests_number(&mut self, front: &str, name: &str) -> Result<Option<u32>, DomainError> {
        Ok(self.value(front, name)?.and_then(|text| text.parse().ok()))
    }
}
