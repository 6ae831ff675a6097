//! Pages granted to other domains, through `/dev/xen/gntalloc` (`xen/gntalloc.h`).

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::abi::{GntallocAlloc, GntallocDealloc};
use super::{open, sizes};
use crate::ioctl::requests::{GNTALLOC_ALLOC_GREF, GNTALLOC_DEALLOC_GREF};
use crate::mapping::Mapping;
use crate::{Domid, GrantAllocator, GrantedPages, OpenError, SharedMemory};

/// The kernel's device.
pub struct LinuxGrantAllocator {
    device: Arc<OwnedFd>,
}

impl LinuxGrantAllocator {
    /// Opens `/dev/xen/gntalloc`.
    pub fn open() -> Result<Self, OpenError> {
        Ok(Self { device: Arc::new(open("/dev/xen/gntalloc", "xen-gntalloc", OFlags::empty())?) })
    }
}

/// Grants in the device's table; the pages go when this is dropped and nobody maps them any more.
struct Entry {
    device: Arc<OwnedFd>,
    index: u64,
    count: u32,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut dealloc = GntallocDealloc { index: self.index, count: self.count };
        let removed = GNTALLOC_DEALLOC_GREF.call(&*self.device, &mut dealloc);
        debug_assert!(removed.is_ok(), "{removed:?}");
    }
}

impl GrantAllocator for LinuxGrantAllocator {
    fn allocate(&self, domid: Domid, count: usize, writable: bool) -> Result<GrantedPages, Errno> {
        let mut request = GntallocAlloc::new(domid, count, writable).ok_or(Errno::INVAL)?;
        GNTALLOC_ALLOC_GREF.call(&*self.device, &mut request)?;
        let index = request.index();
        let entry = Entry { device: Arc::clone(&self.device), index, count: count as u32 };
        let (bytes, pages) = sizes(count)?;
        let mapping = Mapping::new(&*self.device, index, pages, true)?;
        let memory = SharedMemory::new(mapping, bytes, true, Some(Box::new(entry)));
        Ok(GrantedPages { memory, refs: request.refs().to_vec() })
    }
}
