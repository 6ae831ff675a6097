//! `/proc/xen/xsd_*`: the ring between Dom0's kernel and xenstored.

use std::fs;
use std::num::NonZeroUsize;

use rustix::fs::{Mode, OFlags};

use super::FRAME;
use crate::mapping::Mapping;
use crate::{OpenError, Port, SharedMemory};

/// The page of the ring.
const PAGE: &str = "/proc/xen/xsd_kva";
/// The kernel's end of the event channel, as text.
const PORT: &str = "/proc/xen/xsd_port";

/// The ring page of Dom0's own kernel, and the kernel's port, to which xenstored connects.
///
/// # Errors
/// [`OpenError`] when the kernel does not offer them: it is not Dom0's, or xenfs is not mounted.
pub fn dom0_ring() -> Result<(SharedMemory, Port), OpenError> {
    let failed = |path| move |errno| OpenError { path, module: "xenfs", errno };
    let file = rustix::fs::open(PAGE, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map_err(failed(PAGE))?;
    let len = NonZeroUsize::new(FRAME).ok_or(failed(PAGE)(rustix::io::Errno::INVAL))?;
    let page = Mapping::new(&file, 0, len, true).map_err(failed(PAGE))?;
    let text = fs::read_to_string(PORT)
        .map_err(|error| rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO));
    let port = text.map_err(failed(PORT))?.trim().parse();
    let port = port.map_err(|_| failed(PORT)(rustix::io::Errno::INVAL))?;
    Ok((SharedMemory::new(page, len, true, None), port))
}
