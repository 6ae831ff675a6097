//! `/dev/xen/gntdev` and `/dev/xen/gntalloc`: pages that other domains grant, and pages granted to them.

use rustix::io::Errno;

use crate::{Access, Domid, MapError, Port, SharedMemory};

/// Pages that can be mapped or granted at once.
pub const MAX_GRANTS: usize = 256;

/// What the kernel does when the memory is unmapped, also when the process dies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnmapNotify {
    /// Writes 0 to the byte at this offset in the first page.
    pub clear_byte: Option<u16>,
    /// Signals this port, bound through `/dev/xen/evtchn` of this process.
    pub send_event: Option<Port>,
}

/// Maps pages that other domains grant.
pub trait GrantMapper: Send + Sync {
    /// Maps the grants `refs` of a domain one behind the other, 4 KiB each: all of them or none. They are unmapped
    /// when the memory is dropped.
    fn map(
        &self,
        domid: Domid,
        refs: &[u32],
        access: Access,
        notify: Option<UnmapNotify>,
    ) -> Result<SharedMemory, MapError>;
}

/// Pages of this domain that another may map.
#[derive(Debug)]
pub struct GrantedPages {
    /// The pages. The grants end when this is dropped, or later, when the other domain has unmapped them.
    pub memory: SharedMemory,
    /// The grants, one for each page.
    pub refs: Vec<u32>,
}

/// Grants pages to other domains.
pub trait GrantAllocator: Send + Sync {
    /// Allocates `count` zeroed pages that the domain may map, for writing too if `writable`.
    fn allocate(&self, domid: Domid, count: usize, writable: bool) -> Result<GrantedPages, Errno>;
}
