//! Taking devices away: closing them, waiting for the back ends, and removing what is left.

use xen_dev::Domid;
use xenstore_client::Operations;

use super::found::Found;
use super::script::Action;
use super::{error_of, state};
use crate::nodes;
use crate::progress::Look;
use crate::{DomainError, Toolstack};

impl Toolstack {
    /// Takes all devices from a domain, whether its front ends agree or not: their nodes go first. Returns when the
    /// back ends have let go, or with an error when one does not; the nodes are gone either way.
    pub(crate) fn remove_devices(&mut self, domid: Domid) -> Result<(), DomainError> {
        let found = self.find_devices(domid)?;
        self.take(domid, &found)
    }

    /// The same for some of its devices, which are told by the path of the back end.
    pub(crate) fn remove(&mut self, domid: Domid, which: impl Fn(&str) -> bool) -> Result<(), DomainError> {
        let found = self.find_devices(domid)?.into_iter().filter(|found| which(&found.back));
        self.take(domid, &found.collect::<Vec<_>>())
    }

    /// Takes devices without asking the guest.
    pub(super) fn take(&mut self, domid: Domid, found: &[Found]) -> Result<(), DomainError> {
        self.close(found, true)?;
        let late = self.wait_until_closed(found);
        let cleared = self.clear(found);
        match late? {
            Some(device) => Err(DomainError::BackEndTime {
                domid,
                device,
                what: "let go of it",
                seconds: self.patience.back_end.as_secs(),
                hint: String::new(),
            }),
            None => cleared,
        }
    }

    /// Tells the back ends to close devices, after the front ends were removed if they shall not be asked.
    pub(super) fn close(&mut self, found: &[Found], take: bool) -> Result<(), DomainError> {
        Ok(self.store.transaction(|store| {
            for device in found.iter().filter(|device| device.has_driver) {
                if let Some(front) = device.front.as_ref().filter(|_| take) {
                    nodes::remove_with_empty_parents(store, front)?;
                }
                let path = format!("{}/state", device.back);
                let Some(now) = nodes::text(store, &path)? else { continue };
                store.write(&format!("{}/online", device.back), "0")?;
                // Of a device that no driver took up, nobody needs to let go.
                if now != state::CLOSED && now != state::INITIALISING {
                    store.write(&path, state::CLOSING)?;
                }
            }
            Ok(())
        })?)
    }

    /// Waits until the back ends have let go of devices; one that does not in time.
    pub(super) fn wait_until_closed(&mut self, found: &[Found]) -> Result<Option<String>, DomainError> {
        let drivers: Vec<&Found> = found.iter().filter(|device| device.has_driver).collect();
        let paths: Vec<String> = drivers.iter().map(|device| format!("{}/state", device.back)).collect();
        let mut late = None;
        let closed = self.wait_for(&paths, Some(self.patience.back_end), |tools| {
            for (device, path) in drivers.iter().zip(&paths) {
                let state = nodes::text(&mut tools.store, path)?;
                if !matches!(state.as_deref(), Some(state::INITIALISING | state::CLOSED) | None) {
                    let title = late.insert(device.title());
                    return Ok(Look::Waiting(format!("the back end of {title} to let go")));
                }
            }
            Ok(Look::Found(()))
        })?;
        Ok(late.filter(|_| closed.found().is_none()))
    }

    /// Undoes what scripts did for devices, and removes all nodes: every step, whatever becomes of the others.
    pub(super) fn clear(&mut self, found: &[Found]) -> Result<(), DomainError> {
        let mut first_error = Ok(());
        for found in found {
            // With a loop device, there is nothing else that its script would undo.
            let undone = match (&found.attached, found.device) {
                (Some(path), _) => {
                    let failed = |source| DomainError::Host { device: found.title(), source };
                    self.host.release(path).map_err(failed)
                }
                (None, Some(device)) => self.run_script(device, &device.title(), Action::Remove),
                (None, None) => Ok(()),
            };
            first_error = first_error.and(undone);
        }
        self.store.transaction(|store| {
            found.iter().try_for_each(|device| {
                let error = error_of(&device.back);
                [device.front.as_ref(), Some(&device.back), device.note.as_ref(), Some(&error)]
                    .into_iter()
                    .flatten()
                    .try_for_each(|path| nodes::remove_with_empty_parents(store, path))
            })
        })?;
        first_error
    }
}
