//! Taking devices from a domain that is going.

use std::path::PathBuf;

use xen_dev::Domid;
use xenstore_client::Operations;

use super::{error_of, state};
use crate::nodes::{self, BACK_ENDS, notes};
use crate::{DomainError, Toolstack};

/// A device that was found in xenstore.
struct Found {
    /// Kind and number, for people.
    title: String,
    front: Option<String>,
    back: String,
    note: Option<String>,
    /// The loop device that a script of libxl's tools attached, and that nobody else lets go of.
    attached: Option<PathBuf>,
    /// The back end is a driver that must let go of the device, not xenconsoled.
    has_driver: bool,
}

impl Toolstack {
    /// Takes all devices from a domain, whether its front ends agree or not: their nodes go first. Returns when the
    /// back ends have let go, or with an error when one does not; the nodes are gone either way.
    pub(crate) fn remove_devices(&mut self, domid: Domid) -> Result<(), DomainError> {
        let found = self.find_devices(domid)?;
        self.remove_found(domid, &found)
    }

    /// The same for some of its devices.
    pub(crate) fn remove(&mut self, domid: Domid, which: impl Fn(&str) -> bool) -> Result<(), DomainError> {
        let found = self.find_devices(domid)?.into_iter().filter(|device| which(&device.back));
        self.remove_found(domid, &found.collect::<Vec<_>>())
    }

    fn remove_found(&mut self, domid: Domid, found: &[Found]) -> Result<(), DomainError> {
        let drivers: Vec<&Found> = found.iter().filter(|device| device.has_driver).collect();
        self.store.transaction(|store| drivers.iter().try_for_each(|device| close(store, device)))?;

        let paths: Vec<String> = drivers.iter().map(|device| format!("{}/state", device.back)).collect();
        let mut late = None;
        let closed = self.wait_for(&paths, Some(self.patience.back_end), |tools| {
            for (device, path) in drivers.iter().zip(&paths) {
                let state = nodes::text(&mut tools.store, path)?;
                if !matches!(state.as_deref(), Some(state::INITIALISING | state::CLOSED) | None) {
                    late = Some(device.title.clone());
                    return Ok(None);
                }
            }
            Ok(Some(()))
        });

        let released = found.iter().try_for_each(|device| {
            let failed = |source| DomainError::Host { device: device.title.clone(), source };
            device.attached.as_ref().map_or(Ok(()), |path| self.host.release(path).map_err(failed))
        });
        self.store.transaction(|store| {
            found.iter().try_for_each(|device| {
                let error = error_of(&device.back);
                [device.front.as_ref(), Some(&device.back), device.note.as_ref(), Some(&error)]
                    .into_iter()
                    .flatten()
                    .try_for_each(|path| nodes::remove_with_empty_parents(store, path))
            })
        })?;
        match (closed?, late) {
            (None, Some(device)) => Err(DomainError::BackEndTime {
                domid,
                device,
                what: "let go of it",
                seconds: self.patience.back_end.as_secs(),
                hint: String::new(),
            }),
            _ => released,
        }
    }

    /// Devices that the tools noted, and back ends in Dom0 of which there is no note.
    fn find_devices(&mut self, domid: Domid) -> Result<Vec<Found>, DomainError> {
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
                    found.push(Found::new(&kind, &id, front, back, Some(note)));
                }
            }
        }
        for kind in nodes::children(store, BACK_ENDS)? {
            let folder = format!("{BACK_ENDS}/{kind}/{domid}");
            for id in nodes::children(store, &folder)? {
                let back = format!("{folder}/{id}");
                if found.iter().all(|device| device.back != back) {
                    let front = nodes::text(store, &format!("{back}/frontend"))?;
                    found.push(Found::new(&kind, &id, front, back, None));
                }
            }
        }
        for device in &mut found {
            let node = nodes::text(store, &format!("{}/node", device.back))?;
            device.attached = node.filter(|node| node.starts_with("/dev/loop")).map(PathBuf::from);
        }
        Ok(found)
    }
}

impl Found {
    fn new(kind: &str, id: &str, front: Option<String>, back: String, note: Option<String>) -> Self {
        let has_driver = !matches!(kind, "console" | "vuart");
        let front = front.filter(|path| path.starts_with("/local/domain/"));
        Self { title: format!("{kind} {id}"), front, back, note, attached: None, has_driver }
    }
}

/// Removes the front end and tells the back end to close the device.
fn close(store: &mut impl Operations, device: &Found) -> Result<(), xenstore_client::Error> {
    if let Some(front) = &device.front {
        nodes::remove_with_empty_parents(store, front)?;
    }
    let path = format!("{}/state", device.back);
    let Some(now) = nodes::text(store, &path)? else { return Ok(()) };
    store.write(&format!("{}/online", device.back), "0")?;
    // Of a device that no driver took up, nobody needs to let go.
    if now != state::CLOSED && now != state::INITIALISING {
        store.write(&path, state::CLOSING)?;
    }
    Ok(())
}
