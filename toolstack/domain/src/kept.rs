//! The configuration of a domain that is there, kept so that the domain can be made again as it is now.

use std::path::{Path, absolute};

use xen_dev::Domid;
use xl_config::{DomainConfig, Text, Uuid};

use crate::create::Wanted;
use crate::libxl_json;
use crate::lock_file::LockFile;
use crate::userdata::Owner;
use crate::{DomainError, Toolstack};

/// The file's name: the JSON of a [`DomainConfig`].
const FILE: &str = "xenoxide-json";

impl Toolstack {
    /// The configuration from which a domain can be made again, with all that was chosen when it was created (UUID,
    /// addresses, numbers of devices) and the devices that it was given since. `None` when none is kept, as of domains
    /// that other tools made. [`Toolstack::destroy`] forgets it.
    ///
    /// # Errors
    /// When there is no such domain, or the file cannot be used.
    pub fn kept_config(&self, domid: Domid) -> Result<Option<DomainConfig>, DomainError> {
        self.read_config(self.owner(domid)?)
    }

    /// Replaces the configuration from which a domain is made again. What is left open is chosen: UUID and addresses
    /// are those that the domain has, where it has such.
    ///
    /// # Errors
    /// When it is another domain's, asks for what these tools do not have, or cannot be written. The earlier
    /// configuration stays then.
    pub fn keep_config(&mut self, domid: Domid, config: &DomainConfig) -> Result<(), DomainError> {
        let owner = self.owner(domid)?;
        if config.uuid.is_some_and(|uuid| uuid != owner.uuid) {
            let why = format!("domain {domid} has {}; leave the key out", owner.uuid);
            return Err(DomainError::Key { key: "uuid", why });
        }
        let lock = self.userdata.lock(owner)?;
        let mut config = config.clone();
        // One that cannot be read is replaced all the same.
        if let Ok(Some(earlier)) = self.read_config(owner) {
            keep_addresses(&mut config, &earlier);
        }
        let wanted = Wanted::new(&config)?;
        let config = complete(&config, owner.uuid, &wanted)?;
        self.write_config(owner, &config, &lock)
    }

    /// Changes the kept configuration of a domain, if there is one.
    pub(crate) fn change_kept(
        &mut self,
        domid: Domid,
        change: impl FnOnce(&mut DomainConfig),
    ) -> Result<(), DomainError> {
        let owner = self.owner(domid)?;
        let lock = self.userdata.lock(owner)?;
        let Some(mut config) = self.read_config(owner)? else { return Ok(()) };
        change(&mut config);
        if let Some((key, error)) = config.faults().first() {
            return Err(DomainError::Kept { domid, why: format!("{key}: {error}") });
        }
        self.write_config(owner, &config, &lock)
    }

    /// Keeps the configuration of a new domain.
    pub(crate) fn keep_new(
        &mut self,
        domid: Domid,
        uuid: Uuid,
        config: &DomainConfig,
    ) -> Result<(), DomainError> {
        let owner = Owner { domid, uuid };
        let lock = self.userdata.lock(owner)?;
        self.write_config(owner, config, &lock)
    }

    fn write_config(&self, owner: Owner, config: &DomainConfig, lock: &LockFile) -> Result<(), DomainError> {
        let failed =
            |error: serde_json::Error| DomainError::Kept { domid: owner.domid, why: error.to_string() };
        let json = config.to_json().map_err(failed)?;
        let for_libxl = libxl_json::content(owner.domid, config);
        self.userdata.write(owner, libxl_json::FILE, &for_libxl, lock)?;
        self.userdata.write(owner, FILE, json.as_bytes(), lock)
    }

    fn owner(&self, domid: Domid) -> Result<Owner, DomainError> {
        Ok(Owner { domid, uuid: Uuid(self.info(domid)?.handle) })
    }

    fn read_config(&self, owner: Owner) -> Result<Option<DomainConfig>, DomainError> {
        let failed = |why| DomainError::Kept { domid: owner.domid, why };
        let Some(bytes) = self.userdata.read(owner, FILE)? else { return Ok(None) };
        let text = std::str::from_utf8(&bytes).map_err(|error| failed(error.to_string()))?;
        DomainConfig::from_json(text).map(Some).map_err(|error| failed(error.to_string()))
    }
}

/// A configuration with all that was chosen for it. Paths are from the root, as the next reader has another folder.
pub(crate) fn complete(
    config: &DomainConfig,
    uuid: Uuid,
    wanted: &Wanted,
) -> Result<DomainConfig, DomainError> {
    let mut config = config.clone();
    config.uuid = Some(uuid);
    for (vif, chosen) in config.vif.iter_mut().zip(&wanted.vifs) {
        (vif.devid, vif.mac) = (Some(chosen.id), Some(chosen.mac));
    }
    from_root("kernel", &mut config.kernel)?;
    from_root("ramdisk", &mut config.ramdisk)?;
    from_root("device_tree", &mut config.device_tree)?;
    Ok(config)
}

fn from_root(key: &'static str, file: &mut Option<Text>) -> Result<(), DomainError> {
    let Some(path) = file else { return Ok(()) };
    let full = absolute(Path::new(path.as_str())).map_err(|source| DomainError::File {
        key,
        path: path.as_str().into(),
        source,
    })?;
    let text = full.to_str().and_then(|text| text.parse().ok());
    let why = || format!("{} is not text of at most 1024 bytes", full.display());
    *path = text.ok_or_else(|| DomainError::Key { key, why: why() })?;
    Ok(())
}

/// Gives interfaces without an address those that they had.
fn keep_addresses(config: &mut DomainConfig, earlier: &DomainConfig) {
    for at in 0..config.vif.len() {
        // Without numbers, they are counted.
        let id = config.vif[at].devid.or(u32::try_from(at).ok());
        let had = earlier.vif.iter().find(|vif| vif.devid == id).and_then(|vif| vif.mac);
        if config.vif[at].mac.is_none() && config.vif.iter().all(|vif| vif.mac != had) {
            config.vif[at].mac = had;
        }
    }
}
