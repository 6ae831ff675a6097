//! From nodes in xenstore to devices that a guest can use: waiting for the back ends, and doing what hotplug scripts
//! would do.

use std::thread;
use std::time::Duration;

use host_devices::InterfaceName;
use xen_dev::Domid;
use xenstore_client::Operations;

use super::script::Action;
use super::vif::Network;
use super::{DeviceId, Disk, Kind, Record, Vif, state};
use crate::host::HostDisk;
use crate::lock_file::LockFile;
use crate::nodes;
use crate::progress::{Look, Wait};
use crate::{DomainError, Toolstack};

/// Pause between two looks whether a back end has opened its device, which nothing announces.
const OPEN_PAUSE: Duration = Duration::from_millis(1);

/// Devices that a domain shall get, and what Dom0 holds ready for them. When this is dropped, so is that.
#[derive(Default)]
pub(crate) struct Pending {
    /// A script makes what stands behind those without a device.
    disks: Vec<(Disk, Option<HostDisk>)>,
    vifs: Vec<Vif>,
    /// Until they stand in xenstore, where others see them, nobody else may look for what is free.
    claim: Option<LockFile>,
}

impl Pending {
    /// The nodes of all devices.
    pub(crate) fn records(&self, domid: Domid) -> Vec<Record> {
        let disks = self.disks.iter().map(|(disk, host)| disk.record(domid, host.as_ref()));
        disks.chain(self.vifs.iter().map(|vif| vif.record(domid))).collect()
    }
}

impl Toolstack {
    /// Opens what stands behind devices, before there is anything in xenstore.
    pub(crate) fn prepare_devices(&mut self, disks: &[Disk], vifs: &[Vif]) -> Result<Pending, DomainError> {
        let has_any = !disks.is_empty() || !vifs.is_empty();
        let claim = has_any.then(|| self.userdata.lock_devices()).transpose()?;
        self.refuse_conflicts(disks, vifs)?;
        for vif in vifs {
            let found = match &vif.network {
                Network::Bridge(bridge) => self.host.find_bridge(bridge),
                Network::Script { path, .. } => self.host.find_script(path),
            };
            found.map_err(|source| DomainError::Host { device: vif.title(), source })?;
        }
        let mut pending = Pending { disks: Vec::new(), vifs: vifs.to_vec(), claim };
        for disk in disks {
            let host = match &disk.script {
                None => self.host.disk(&disk.target, disk.read_only).map(Some),
                Some(script) => self.host.find_script(script).map(|()| None),
            };
            let host = host.map_err(|source| DomainError::Host { device: disk.title(), source })?;
            pending.disks.push((disk.clone(), host));
        }
        Ok(pending)
    }

    /// Waits until the back ends of devices that stand in xenstore are there, and puts interfaces into their bridges.
    pub(crate) fn bring_up_devices(&mut self, domid: Domid, pending: Pending) -> Result<(), DomainError> {
        let Pending { disks, vifs, claim } = pending;
        drop(claim);
        let devices: Vec<(DeviceId, String)> = disks
            .iter()
            .map(|(disk, _)| (DeviceId { kind: Kind::Vbd, domid, id: disk.number }, disk.title()))
            .chain(vifs.iter().map(|vif| (DeviceId { kind: Kind::Vif, domid, id: vif.id }, vif.title())))
            .collect();
        let paths: Vec<String> =
            devices.iter().map(|(device, _)| format!("{}/state", device.back())).collect();
        let mut late = None;
        let up = self.wait_for(&paths, Some(self.patience.back_end), |tools| {
            for (device, title) in &devices {
                if !tools.is_up(*device, title)? {
                    late = Some((*device, title));
                    return Ok(Look::Waiting(format!("the back end of {title}")));
                }
            }
            Ok(Look::Found(()))
        })?;
        if let (Look::Waiting(_), Some((device, title))) = (up, late) {
            return Err(self.late(device, title));
        }
        for (disk, host) in disks {
            match host {
                Some(HostDisk { hold: None, .. }) => {}
                // It is held until the back end has opened it.
                Some(_held) => self.wait_until_opened(domid, &disk)?,
                None => {
                    self.make_by_script(domid, &disk)?;
                    self.wait_until_opened(domid, &disk)?;
                }
            }
        }
        vifs.iter().try_for_each(|vif| self.plug(domid, vif))
    }

    /// Whether a back end's driver has taken up its device.
    fn is_up(&mut self, device: DeviceId, title: &str) -> Result<bool, DomainError> {
        let state = nodes::text(&mut self.store, &format!("{}/state", device.back()))?;
        match state.as_deref() {
            Some(state::INIT_WAIT | state::INITIALISED | state::CONNECTED) => Ok(true),
            Some(state::CLOSING | state::CLOSED) | None => {
                let reason = nodes::text(&mut self.store, &format!("{}/error", device.back_error()))?;
                let reason = reason.unwrap_or_else(|| "it closed the device and gave no reason".to_owned());
                let (domid, device) = (device.domid, title.to_owned());
                Err(DomainError::BackEnd { domid, device, reason })
            }
            Some(_) => Ok(false),
        }
    }

    fn late(&self, device: DeviceId, title: &str) -> DomainError {
        let module = if device.kind == Kind::Vif { "xen-netback" } else { "xen-blkback" };
        DomainError::BackEndTime {
            domid: device.domid,
            device: title.to_owned(),
            what: "come up",
            seconds: self.patience.back_end.as_secs(),
            hint: format!("; is its module loaded? (try: modprobe {module})"),
        }
    }

    /// Waits until a disk's back end has opened the device that is held for it.
    fn wait_until_opened(&mut self, domid: Domid, disk: &Disk) -> Result<(), DomainError> {
        let device = DeviceId { kind: Kind::Vbd, domid, id: disk.number };
        let mut wait = Wait::new();
        let opened = loop {
            if self.host.has_opened(domid, disk.number) {
                break Ok(());
            }
            if let Err(error) = self.is_up(device, &disk.title()) {
                break Err(error);
            }
            if wait.elapsed() > self.patience.back_end {
                break Err(self.late(device, &disk.title()));
            }
            self.say_waiting(&mut wait, &format!("the back end of {} to open it", disk.title()));
            thread::sleep(OPEN_PAUSE);
        };
        self.say_over(&wait);
        opened
    }

    /// Lets a disk's script make the device that stands behind it.
    fn make_by_script(&mut self, domid: Domid, disk: &Disk) -> Result<(), DomainError> {
        let device = DeviceId { kind: Kind::Vbd, domid, id: disk.number };
        self.run_script(device, &disk.title(), Action::Add)?;
        if self.value(&device.back(), "physical-device")?.is_none() {
            let reason = "its script did not write physical-device".to_owned();
            return Err(DomainError::BackEnd { domid, device: disk.title(), reason });
        }
        Ok(())
    }

    /// Puts Dom0's end of an interface into its bridge, or lets its script do so, and tells the back end that it may
    /// connect.
    fn plug(&mut self, domid: Domid, vif: &Vif) -> Result<(), DomainError> {
        let device = DeviceId { kind: Kind::Vif, domid, id: vif.id };
        let mtu = match &vif.network {
            Network::Bridge(bridge) => {
                let failed = |source| DomainError::Host { device: vif.title(), source };
                let interface = InterfaceName::new(&device.interface()).map_err(failed)?;
                Some(self.host.plug(&interface, vif.name.as_ref(), bridge, vif.mtu).map_err(failed)?)
            }
            Network::Script { .. } => {
                self.run_script(device, &vif.title(), Action::Add)?;
                None
            }
        };
        Ok(self.store.transaction(|store| {
            if let Some(mtu) = mtu {
                store.write(&format!("{}/mtu", device.front()), mtu.to_string())?;
            }
            store.write(&format!("{}/hotplug-status", device.back()), "connected")
        })?)
    }
}
