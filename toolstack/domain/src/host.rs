//! What domains' devices need of Dom0 itself, as a trait, so that tests need neither privilege nor hardware.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::time::Duration;

use host_devices::{BlockDevice, HostError, InterfaceName, Links, LoopDevice, Script};
use rustix::fs::{FileType, stat};
use xen_dev::Domid;

/// How long the kernel may take to make an interface that its back end announced.
const INTERFACE_PATIENCE: Duration = Duration::from_secs(10);

/// How long a hotplug script may take, as with libxl.
const SCRIPT_PATIENCE: Duration = Duration::from_secs(40);

/// A block device that stands behind a disk.
pub struct HostDisk {
    /// Path of the device; for a file, of the loop device that shows it.
    pub device: PathBuf,
    /// Number of the driver.
    pub major: u32,
    /// Number of the device within the driver.
    pub minor: u32,
    /// What keeps the device there until a back end has opened it.
    pub hold: Option<Box<dyn Any>>,
}

/// Dom0's own devices.
pub trait Host {
    /// The block device at a path, or one that shows the regular file there.
    ///
    /// # Errors
    /// When there is neither.
    fn disk(&self, path: &Path, read_only: bool) -> Result<HostDisk, HostError>;

    /// Whether the back end of a disk has opened its device. `id` is the disk's number.
    fn has_opened(&self, domid: Domid, id: u32) -> bool;

    /// Lets go of the file of a loop device that another program attached for a disk.
    ///
    /// # Errors
    /// When the path is no loop device.
    fn release(&self, device: &Path) -> Result<(), HostError>;

    /// Looks whether there is a bridge of this name.
    ///
    /// # Errors
    /// When there is none.
    fn find_bridge(&self, bridge: &InterfaceName) -> Result<(), HostError>;

    /// Waits for an interface, renames it if asked to, and puts it into a bridge. Returns its MTU: that of the bridge,
    /// unless another is asked for.
    ///
    /// # Errors
    /// When the interface does not come, or the kernel refuses. The interface is in no bridge then.
    fn plug(
        &self,
        interface: &InterfaceName,
        name: Option<&InterfaceName>,
        bridge: &InterfaceName,
        mtu: Option<u32>,
    ) -> Result<u32, HostError>;

    /// Looks whether there is a hotplug script at a path.
    ///
    /// # Errors
    /// When there is no program.
    fn find_script(&self, path: &Path) -> Result<(), HostError>;

    /// Waits for the interface that a back end announced.
    ///
    /// # Errors
    /// When it does not come.
    fn wait_for_interface(&self, interface: &InterfaceName) -> Result<(), HostError>;

    /// Runs a hotplug script to its end.
    ///
    /// # Errors
    /// When it cannot be run, fails or takes too long.
    fn run_script(&self, script: &Script) -> Result<(), HostError>;
}

/// The Linux that this program runs on.
pub(crate) struct LinuxHost;

impl Host for LinuxHost {
    fn disk(&self, path: &Path, read_only: bool) -> Result<HostDisk, HostError> {
        let stat =
            stat(path).map_err(|errno| HostError::File { what: "find", path: path.to_owned(), errno })?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::BlockDevice {
            let BlockDevice { path, major, minor } = BlockDevice::find(path)?;
            return Ok(HostDisk { device: path, major, minor, hold: None });
        }
        let shown = LoopDevice::attach(path, read_only)?;
        let (major, minor) = shown.numbers()?;
        Ok(HostDisk { device: shown.path().to_owned(), major, minor, hold: Some(Box::new(shown)) })
    }

    fn has_opened(&self, domid: Domid, id: u32) -> bool {
        // Linux's blkback shows this attribute once it has opened the device.
        Path::new(&format!("/sys/bus/xen-backend/devices/vbd-{domid}-{id}/physical_device")).exists()
    }

    fn release(&self, device: &Path) -> Result<(), HostError> {
        LoopDevice::detach(device)
    }

    fn find_bridge(&self, bridge: &InterfaceName) -> Result<(), HostError> {
        Links::open()?.bridge(bridge).map(drop)
    }

    fn plug(
        &self,
        interface: &InterfaceName,
        name: Option<&InterfaceName>,
        bridge: &InterfaceName,
        mtu: Option<u32>,
    ) -> Result<u32, HostError> {
        let links = Links::open()?;
        let bridge = links.bridge(bridge)?;
        let port = links.wait_for(interface, INTERFACE_PATIENCE)?;
        if let Some(name) = name {
            links.rename(&port, name)?;
        }
        links.plug(&port, &bridge, mtu)?;
        Ok(mtu.unwrap_or(bridge.mtu))
    }

    fn find_script(&self, path: &Path) -> Result<(), HostError> {
        Script::find(path)
    }

    fn wait_for_interface(&self, interface: &InterfaceName) -> Result<(), HostError> {
        Links::open()?.wait_for(interface, INTERFACE_PATIENCE).map(drop)
    }

    fn run_script(&self, script: &Script) -> Result<(), HostError> {
        script.run(SCRIPT_PATIENCE)
    }
}
