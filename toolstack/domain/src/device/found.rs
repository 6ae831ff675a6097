//! The devices of a domain, as they are found in xenstore.

use std::path::PathBuf;

use xen_dev::Domid;

use super::{DeviceId, Kind};
use crate::nodes::{self, BACK_ENDS, notes};
use crate::{DomainError, Toolstack};

/// A device that was found in xenstore.
pub(super) struct Found {
    /// Which it is, if it is a disk or interface with a back end in Dom0.
    pub(super) device: Option<DeviceId>,
    /// Its kind and number, as they stand in xenstore.
    pub(super) kind: String,
    pub(super) id: String,
    pub(super) front: Option<String>,
    pub(super) back: String,
    pub(super) note: Option<String>,
    /// The loop device that a script of libxl's tools attached, and that nobody else lets go of.
    pub(super) attached: Option<PathBuf>,
    /// The back end is a driver that must let go of the device, not xenconsoled.
    pub(super) has_driver: bool,
}

impl Toolstack {
    /// Devices that the tools noted, and back ends in Dom0 of which there is no note.
    pub(super) fn find_devices(&mut self, domid: Domid) -> Result<Vec<Found>, DomainError> {
        let store = &mut self.store;
        let mut found: Vec<Found> = Vec::new();
        let noted = format!("{}/device", notes(domid));
        for kind in nodes::children(store, &noted)? {
            for id in nodes::children(store, &format!("{noted}/{kind}"))? {
                let note = format!("{noted}/{kind}/{id}");
                let Some(back) = nodes::text(store, &format!("{note}/backend"))? else { continue };
                // A back end can be in a driver domain.
                if back.starts_with("/local/domain/") {
                    let front = nodes::text(store, &format!("{note}/frontend"))?;
                    found.push(Found::new(domid, &kind, &id, front, back, Some(note)));
                }
            }
        }
        for kind in nodes::children(store, BACK_ENDS)? {
            let folder = format!("{BACK_ENDS}/{kind}/{domid}");
            for id in nodes::children(store, &folder)? {
                let back = format!("{folder}/{id}");
                if found.iter().all(|device| device.back != back) {
                    let front = nodes::text(store, &format!("{back}/frontend"))?;
                    found.push(Found::new(domid, &kind, &id, front, back, None));
                }
            }
        }
        // A driver domain could write there the loop device of another.
        let in_dom0 = format!("{BACK_ENDS}/");
        for device in found.iter_mut().filter(|device| device.back.starts_with(&in_dom0)) {
            let node = nodes::text(store, &format!("{}/node", device.back))?;
            device.attached = node.filter(|node| node.starts_with("/dev/loop")).map(PathBuf::from);
        }
        Ok(found)
    }

    /// The text of a node below `base`, if it is there.
    pub(super) fn value(&mut self, base: &str, name: &str) -> Result<Option<String>, DomainError> {
        Ok(nodes::text(&mut self.store, &format!("{base}/{name}"))?)
    }

    /// The numbers of a domain's devices of a kind.
    pub(super) fn device_ids(&mut self, domid: Domid, kind: Kind) -> Result<Vec<u32>, DomainError> {
        let devices = self.find_devices(domid)?.into_iter().filter_map(|found| found.device);
        Ok(devices.filter(|device| device.kind == kind).map(|device| device.id).collect())
    }
}

impl Found {
    fn new(
        domid: Domid,
        kind: &str,
        id: &str,
        front: Option<String>,
        back: String,
        note: Option<String>,
    ) -> Self {
        let known = [Kind::Vbd, Kind::Vif].into_iter().find(|it| it.name() == kind).zip(id.parse().ok());
        let device =
            known.map(|(kind, id)| DeviceId { kind, domid, id }).filter(|device| device.back() == back);
        let has_driver = !matches!(kind, "console" | "vuart");
        let front = front.filter(|path| path.starts_with("/local/domain/"));
        Self {
            device,
            kind: kind.to_owned(),
            id: id.to_owned(),
            front,
            back,
            note,
            attached: None,
            has_driver,
        }
    }

    /// The device for people.
    pub(super) fn title(&self) -> String {
        format!("{} {}", self.kind, self.id)
    }
}
