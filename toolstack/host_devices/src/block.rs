//! Block devices that are there.

use std::path::{Path, PathBuf};

use rustix::fs::{FileType, major, minor, stat};

use crate::HostError;

/// A block device, found by its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockDevice {
    /// The path.
    pub path: PathBuf,
    /// Number of the driver.
    pub major: u32,
    /// Number of the device within the driver.
    pub minor: u32,
}

impl BlockDevice {
    /// The block device at a path.
    pub fn find(path: &Path) -> Result<Self, HostError> {
        let stat =
            stat(path).map_err(|errno| HostError::File { what: "find", path: path.to_owned(), errno })?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::BlockDevice {
            return Err(HostError::NotABlockDevice(path.to_owned()));
        }
        Ok(Self { path: path.to_owned(), major: major(stat.st_rdev), minor: minor(stat.st_rdev) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_block_device_is_refused() {
        let null = Path::new("/dev/null");
        assert_eq!(BlockDevice::find(null), Err(HostError::NotABlockDevice(null.to_owned())));
        let error = BlockDevice::find(Path::new("/no/such/disk")).unwrap_err().to_string();
        assert!(error.starts_with("cannot find /no/such/disk: "), "{error}");
    }
}
