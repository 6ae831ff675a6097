//! What two domains cannot share: a disk that one of them writes, and a hardware address.

use std::path::{Path, PathBuf};

use xen_dev::Domid;
use xl_config::Mac;

use super::{DeviceId, Disk, Kind, Vif};
use crate::nodes::{self, BACK_ENDS};
use crate::{DomainError, Toolstack};

impl Toolstack {
    /// Refuses disks and addresses that are in use, and what two disks share that one of them writes.
    pub(super) fn refuse_conflicts(&mut self, disks: &[Disk], vifs: &[Vif]) -> Result<(), DomainError> {
        for (at, disk) in disks.iter().enumerate() {
            let clash = |other: &&Disk| {
                !(disk.read_only && other.read_only) && real(&disk.target) == real(&other.target)
            };
            if let Some(other) = disks[..at].iter().find(clash) {
                let (one, other, path) = (&other.name, &disk.name, disk.target.display());
                let why =
                    format!("{one} and {other} are both {path}, and one writes it (try: both read-only)");
                return Err(DomainError::Key { key: "disk", why });
            }
        }
        if !disks.is_empty() {
            for device in self.back_ends(Kind::Vbd)? {
                let writes = self.value(&device.back(), "mode")?.as_deref() != Some("r");
                let Some(path) = self.value(&device.note(), "params")? else { continue };
                let used = real(Path::new(&path));
                let clash = |disk: &&Disk| (writes || !disk.read_only) && real(&disk.target) == used;
                if let Some(disk) = disks.iter().find(clash) {
                    let (disk, domid) = (disk.title(), device.domid);
                    return Err(DomainError::DiskInUse { disk, path, domid });
                }
            }
        }
        if !vifs.is_empty() {
            for device in self.back_ends(Kind::Vif)? {
                let Some(mac) = self.value(&device.back(), "mac")? else { continue };
                if vifs.iter().any(|vif| mac.parse().is_ok_and(|mac: Mac| mac == vif.mac)) {
                    return Err(DomainError::MacInUse { mac, domid: device.domid });
                }
            }
        }
        Ok(())
    }

    /// All devices of a kind in Dom0.
    fn back_ends(&mut self, kind: Kind) -> Result<Vec<DeviceId>, DomainError> {
        let mut found = Vec::new();
        let all = format!("{BACK_ENDS}/{}", kind.name());
        for domain in nodes::children(&mut self.store, &all)? {
            let Some(domid) = domain.parse().ok().and_then(Domid::new) else { continue };
            let ids = nodes::children(&mut self.store, &format!("{all}/{domain}"))?;
            found.extend(ids.iter().filter_map(|id| Some(DeviceId { kind, domid, id: id.parse().ok()? })));
        }
        Ok(found)
    }
}

/// The path without links, so that two names of one file are the same.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
