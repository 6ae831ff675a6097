//! Disks, served by the kernel's blkback.

use std::path::{Path, PathBuf};

use xen_dev::Domid;

use super::script::{self, NO_SCRIPT};
use super::{DeviceId, Kind, Record, check_back_end, state};
use crate::DomainError;
use crate::host::HostDisk;

/// A disk that a domain shall have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    /// The block device or file behind it, or what the script makes one of.
    pub(crate) target: PathBuf,
    /// The script that makes a block device of the target.
    pub(crate) script: Option<PathBuf>,
    /// Its name for the guest, such as `xvda`.
    pub(crate) name: String,
    /// The number of that name in Xen's scheme (`vbd-interface.7`).
    pub(crate) number: u32,
    /// Whether the guest may only read it.
    pub(crate) read_only: bool,
    /// Whether it is a CD-ROM drive rather than a disk.
    pub(crate) is_cdrom: bool,
    /// Whether the guest may tell which blocks it no longer needs.
    pub(crate) discard: bool,
    /// Whether the back end may read and write past the host's cache while the guest reuses a page.
    pub(crate) direct_io_safe: bool,
    /// Whether the guest is told to trust the back end.
    pub(crate) trusted: bool,
}

impl Disk {
    /// The disk that a configuration describes.
    ///
    /// # Errors
    /// When it asks for what these tools do not have.
    pub(crate) fn from_config(disk: &xl_config::Disk) -> Result<Self, DomainError> {
        check_back_end("disk", &disk.backend)?;
        let name = disk.vdev.name().to_owned();
        let target = disk.target.as_ref().ok_or_else(|| DomainError::Key {
            key: "disk",
            why: format!("{name}: the drive is empty, and blkback cannot show that; name a target"),
        })?;
        let target = Path::new(target.as_str());
        let script = disk.script.as_ref().map(|script| script::path(script));
        Ok(Self {
            target: if script.is_some() { target.to_owned() } else { Path::new("/dev").join(target) },
            script,
            name,
            number: disk.vdev.number(),
            read_only: disk.read_only,
            is_cdrom: disk.cdrom,
            discard: disk.discard.unwrap_or(true),
            direct_io_safe: disk.direct_io_safe,
            trusted: disk.trusted.unwrap_or(true),
        })
    }

    /// The disk for people.
    pub(crate) fn title(&self) -> String {
        format!("disk {}", self.name)
    }

    /// Its nodes. The device behind it is not known yet where a script is to make it.
    pub(crate) fn record(&self, domid: Domid, host: Option<&HostDisk>) -> Record {
        let text = str::to_owned;
        let kind = text(if self.is_cdrom { "cdrom" } else { "disk" });
        let target = self.target.display().to_string();
        let device = host.map(|host| host.device.display().to_string());
        let script = self.script.as_ref().map(|script| script.display().to_string());
        let mut back = vec![
            ("params", device.clone().unwrap_or_else(|| target.clone())),
            ("script", script.unwrap_or_else(|| text(NO_SCRIPT))),
            ("removable", text("0")),
            ("bootable", text("1")),
            ("dev", self.name.clone()),
            ("type", text("phy")),
            ("mode", text(if self.read_only { "r" } else { "w" })),
            ("device-type", kind.clone()),
            ("discard-enable", text(if self.discard { "1" } else { "0" })),
            ("specification", text("xen")),
        ];
        back.extend(device.map(|device| ("physical-device-path", device)));
        back.extend(host.map(|host| ("physical-device", format!("{:x}:{:x}", host.major, host.minor))));
        back.extend(host.map(|_| ("hotplug-status", text("connected"))));
        back.extend(self.direct_io_safe.then(|| ("direct-io-safe", text("1"))));
        Record {
            device: DeviceId { kind: Kind::Vbd, domid, id: self.number },
            back,
            front: vec![
                ("state", text(state::INITIALISING)),
                ("virtual-device", self.number.to_string()),
                ("device-type", kind),
                ("trusted", text(if self.trusted { "1" } else { "0" })),
            ],
            fixed: Vec::new(),
            noted: vec![("params", target)],
        }
    }
}
