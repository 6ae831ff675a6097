//! The ioctls of loop devices (`linux/loop.h`), which show a file as a disk.

use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;
use zerocopy::FromZeros;

use crate::ioctl::requests::{LOOP_CLR_FD, LOOP_CONFIGURE, LOOP_CTL_GET_FREE};

/// `LO_FLAGS_READ_ONLY`.
const READ_ONLY: u32 = 1;
/// `LO_FLAGS_AUTOCLEAR`.
const AUTOCLEAR: u32 = 4;
/// `LO_FLAGS_DIRECT_IO`.
const DIRECT_IO: u32 = 16;
/// `LO_NAME_SIZE`: room for the name, with the zero that ends it.
const NAME_SIZE: usize = 64;

/// How a loop device shows its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoopOptions {
    /// Refuses writes.
    pub read_only: bool,
    /// Lets go of the file when the last opener closes the device.
    pub autoclear: bool,
    /// Bypasses the page cache of the file where the file system can.
    pub direct_io: bool,
}

/// `struct loop_config` with its `struct loop_info64`.
#[repr(C)]
#[derive(FromZeros)]
pub(crate) struct LoopConfig {
    fd: u32,
    block_size: u32,
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    sizelimit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; NAME_SIZE],
    crypt_name: [u8; NAME_SIZE],
    encrypt_key: [u8; 32],
    init: [u64; 2],
    reserved: [u64; 8],
}

/// The number of a loop device that is free, from `/dev/loop-control`; the kernel makes one if need be. Somebody else
/// may take it first.
pub fn free_number(control: impl AsFd) -> Result<u32, Errno> {
    u32::try_from(LOOP_CTL_GET_FREE.call(control, &mut ())?).map_err(|_| Errno::IO)
}

/// Shows `file` through the loop device `device`. `name` is what status tools show, cut to 63 bytes. `EBUSY` when the
/// device has a file already.
pub fn configure(device: impl AsFd, file: impl AsFd, name: &[u8], options: LoopOptions) -> Result<(), Errno> {
    let mut config = LoopConfig::new_zeroed();
    config.fd = u32::try_from(file.as_fd().as_raw_fd()).map_err(|_| Errno::BADF)?;
    let flag = |on: bool, bit: u32| if on { bit } else { 0 };
    config.flags = flag(options.read_only, READ_ONLY)
        | flag(options.autoclear, AUTOCLEAR)
        | flag(options.direct_io, DIRECT_IO);
    let len = name.len().min(NAME_SIZE - 1);
    config.file_name[..len].copy_from_slice(&name[..len]);
    LOOP_CONFIGURE.call(device, &mut config).map(drop)
}

/// Lets go of the file: now, or when the last opener has closed the device. `ENXIO` when it has none.
pub fn detach(device: impl AsFd) -> Result<(), Errno> {
    LOOP_CLR_FD.call(device, &mut ()).map(drop)
}

#[cfg(test)]
mod tests {
    use std::mem::{offset_of, size_of};

    use super::*;

    #[test]
    fn layout_is_that_of_the_header() {
        assert_eq!(size_of::<LoopConfig>(), 304);
        assert_eq!(offset_of!(LoopConfig, flags), 8 + 52);
        assert_eq!(offset_of!(LoopConfig, file_name), 8 + 56);
        assert_eq!(offset_of!(LoopConfig, reserved), 8 + 232);
    }
}
