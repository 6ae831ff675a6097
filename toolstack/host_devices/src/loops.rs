//! Files shown as block devices, through loop devices.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, fstat, major, minor, open};
use rustix::io::Errno;
use xen_dev::loop_device::{self, LoopOptions};

use crate::HostError;
use crate::error::OPEN_CONTROL;

const CONTROL: &str = "/dev/loop-control";
/// How often a free device is looked for while others take them.
const TRIES: usize = 64;

/// A loop device with a file. The kernel lets go of the file when the last opener closes the device; this value is an
/// opener, and the back end of a disk becomes another.
#[derive(Debug)]
pub struct LoopDevice {
    device: OwnedFd,
    path: PathBuf,
}

impl LoopDevice {
    /// Shows a regular file as a block device.
    pub fn attach(file: &Path, read_only: bool) -> Result<Self, HostError> {
        let access = if read_only { OFlags::RDONLY } else { OFlags::RDWR };
        let backing = open_file("open", file, access)?;
        let stat = fstat(&backing).map_err(|errno| failed("read", file, errno))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(HostError::NotAFile(file.to_owned()));
        }
        let control = open_file(OPEN_CONTROL, Path::new(CONTROL), OFlags::RDWR)?;
        let options = LoopOptions { read_only, autoclear: true, direct_io: false };
        let name = file.as_os_str().as_bytes();
        for _ in 0..TRIES {
            let number = loop_device::free_number(&control)
                .map_err(|errno| failed("find a free loop device through", Path::new(CONTROL), errno))?;
            let path = PathBuf::from(format!("/dev/loop{number}"));
            let device = open_file("open", &path, access)?;
            match loop_device::configure(&device, &backing, name, options) {
                Ok(()) => return Ok(Self { device, path }),
                // Somebody else was quicker.
                Err(Errno::BUSY) => {}
                Err(errno) => return Err(failed("make a loop device of", file, errno)),
            }
        }
        Err(HostError::NoLoopDevice)
    }

    /// Path of the device.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Numbers of driver and device.
    pub fn numbers(&self) -> Result<(u32, u32), HostError> {
        let stat = fstat(&self.device).map_err(|errno| failed("read", &self.path, errno))?;
        Ok((major(stat.st_rdev), minor(stat.st_rdev)))
    }

    /// Lets go of the file of the loop device at a path: now, or when its last opener closes it. Nothing happens when
    /// it has none.
    pub fn detach(path: &Path) -> Result<(), HostError> {
        let device = open_file("open", path, OFlags::RDONLY)?;
        match loop_device::detach(&device) {
            Ok(()) | Err(Errno::NXIO) => Ok(()),
            Err(errno) => Err(failed("detach", path, errno)),
        }
    }
}

fn open_file(what: &'static str, path: &Path, access: OFlags) -> Result<OwnedFd, HostError> {
    // Without waiting, lest a pipe under the name of a disk stop us.
    open(path, access | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())
        .map_err(|errno| failed(what, path, errno))
}

fn failed(what: &'static str, path: &Path, errno: Errno) -> HostError {
    HostError::File { what, path: path.to_owned(), errno }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_gets_no_loop_device() {
        let error = LoopDevice::attach(Path::new("/no/such/disk"), true).unwrap_err().to_string();
        assert!(error.starts_with("cannot open /no/such/disk: "), "{error}");
        for path in ["/dev", "/dev/null"] {
            let error = LoopDevice::attach(Path::new(path), true).unwrap_err();
            assert_eq!(error, HostError::NotAFile(path.into()));
        }
    }

    #[test]
    fn detach_of_what_is_no_loop_device_fails() {
        let error = LoopDevice::detach(Path::new("/dev/null")).unwrap_err().to_string();
        assert!(error.starts_with("cannot detach /dev/null: "), "{error}");
    }
}
