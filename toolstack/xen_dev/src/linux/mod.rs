//! The devices as Linux has them (`include/uapi/xen/*.h`).

pub(crate) mod abi;
mod buffers;
mod evtchn;
mod gntalloc;
mod gntdev;
mod privcmd;
mod xenstore;

use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::param::page_size;

pub use evtchn::LinuxEventChannels;
pub use gntalloc::LinuxGrantAllocator;
pub use gntdev::LinuxGrantMapper;
pub use privcmd::LinuxPrivcmd;
pub use xenstore::dom0_ring;

use crate::OpenError;

/// Bytes of a frame of Xen; the kernel's pages may be larger.
pub(crate) const FRAME: usize = xen_abi::xen::PAGE_SIZE as usize;

/// Opens a device. Nothing else inherits it.
fn open(path: &'static str, module: &'static str, more: OFlags) -> Result<OwnedFd, OpenError> {
    rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC | more, Mode::empty()).map_err(|errno| OpenError {
        path,
        module,
        errno,
    })
}

/// Size of `frames` frames of Xen in bytes, and the same in whole pages of this kernel.
fn sizes(frames: usize) -> Result<(NonZeroUsize, NonZeroUsize), Errno> {
    let bytes = frames.checked_mul(FRAME).ok_or(Errno::TOOBIG)?;
    let pages = bytes.checked_next_multiple_of(page_size()).ok_or(Errno::TOOBIG)?;
    Ok((NonZeroUsize::new(bytes).ok_or(Errno::INVAL)?, NonZeroUsize::new(pages).ok_or(Errno::INVAL)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_frames_and_too_many_frames_have_no_size() {
        assert_eq!(sizes(0), Err(Errno::INVAL));
        assert_eq!(sizes(usize::MAX), Err(Errno::TOOBIG));
        let (bytes, pages) = sizes(3).unwrap();
        assert_eq!(bytes.get(), 3 * 4096);
        assert!(pages >= bytes && pages.get() % page_size() == 0);
    }

    #[test]
    fn device_that_is_missing_is_named() {
        let error = open("/dev/xen/no-such-device", "xen-none", OFlags::empty()).unwrap_err();
        assert_eq!((error.path, error.errno), ("/dev/xen/no-such-device", Errno::NOENT));
    }
}
