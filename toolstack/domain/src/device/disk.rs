//! Disks, served by the kernel's blkback.

use std::path::PathBuf;

use xen_dev::Domid;

use super::{DeviceId, Kind, Record, state};
use crate::host::HostDisk;

/// What libxl's tools run when they remove the disk. For a block device it does nothing.
const SCRIPT: &str = "/etc/xen/scripts/block";

/// A disk that a domain shall have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The block device or file behind it.
    pub path: PathBuf,
    /// Its name for the guest, such as `xvda`.
    pub name: String,
    /// The number of that name in Xen's scheme (`vbd-interface.7`).
    pub number: u32,
    /// Whether the guest may only read it.
    pub read_only: bool,
    /// Whether it is a CD-ROM drive rather than a disk.
    pub is_cdrom: bool,
    /// Whether the guest may tell which blocks it no longer needs.
    pub discard: bool,
    /// Whether the back end may read and write past the host's cache while the guest reuses a page.
    pub direct_io_safe: bool,
    /// Whether the guest is told to trust the back end.
    pub trusted: bool,
}

impl Disk {
    /// The disk for people.
    pub(crate) fn title(&self) -> String {
        format!("disk {}", self.name)
    }

    pub(crate) fn record(&self, domid: Domid, host: &HostDisk) -> Record {
        let text = str::to_owned;
        let kind = text(if self.is_cdrom { "cdrom" } else { "disk" });
        let device = host.device.display().to_string();
        let mut back = vec![
            ("params", device.clone()),
            ("script", text(SCRIPT)),
            ("physical-device", format!("{:x}:{:x}", host.major, host.minor)),
            ("physical-device-path", device),
            ("hotplug-status", text("connected")),
            ("removable", text("0")),
            ("bootable", text("1")),
            ("dev", self.name.clone()),
            ("type", text("phy")),
            ("mode", text(if self.read_only { "r" } else { "w" })),
            ("device-type", kind.clone()),
            ("discard-enable", text(if self.discard { "1" } else { "0" })),
            ("specification", text("xen")),
        ];
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
            noted: vec![("params", self.path.display().to_string())],
        }
    }
}
