//! `/dev/xen/privcmd`: hypercalls and the memory of other domains.

use rustix::io::Errno;

use crate::{CopyError, Domid, Hypercall, MapError, SharedMemory, Source};

/// Guest frames that can be mapped at once: 1 GiB.
pub const MAX_FOREIGN_FRAMES: usize = 1 << 18;

/// What a mapping is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    Read,
    /// Reading and writing.
    Write,
}

/// Frames that belong to a domain without being in its physical map (`XENMEM_acquire_resource`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource {
    /// The domain.
    pub domid: Domid,
    /// `XENMEM_resource_*`.
    pub kind: u32,
    /// Which of that kind.
    pub id: u32,
    /// First frame.
    pub frame: u32,
    /// Frames.
    pub count: usize,
}

/// Hypercalls and foreign memory.
pub trait Privcmd: Send + Sync {
    /// Makes a hypercall. Returns its result; a result below 0 is the error. The kernel passes 31 bits of it.
    ///
    /// A hypercall can change the memory of any domain, this one's included, as writing to `/proc/self/mem` can: that
    /// lies outside what types speak of. Lengths in the buffers must be those of the buffers they describe.
    fn hypercall(&self, call: &mut Hypercall<'_>) -> Result<u32, Errno>;

    /// Maps guest frames of a domain one behind the other, 4 KiB each: all of them or none.
    fn map_foreign(&self, domid: Domid, gfns: &[u64], access: Access) -> Result<SharedMemory, MapError>;

    /// Maps frames of a resource for reading and writing. Hypervisors and kernels without the operation fail with
    /// `EOPNOTSUPP`, `ENOSYS` or `ENOTTY`.
    fn map_resource(&self, resource: Resource) -> Result<SharedMemory, MapError>;

    /// Copies `source` into the pages that a domain grants by `refs`, 4 KiB into each but the last.
    ///
    /// # Errors
    /// [`CopyError::Kernel`] with `EINVAL` when there are not as many grants as pages. After another error any of the
    /// pages may have been written.
    fn copy_to_granted(&self, domid: Domid, refs: &[u32], source: &Source<'_>) -> Result<(), CopyError>;
}
