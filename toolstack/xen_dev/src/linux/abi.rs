//! The structures that the ioctls pass, laid out as in the kernel's headers for 64-bit CPUs.

use zerocopy::FromZeros;

use crate::{Domid, MAX_GRANTS};

/// `struct privcmd_hypercall`: the number and the arguments, some of which are addresses.
#[repr(C)]
pub(crate) struct PrivcmdHypercall {
    pub(crate) op: u64,
    pub(crate) arg: [u64; 5],
}

/// `struct privcmd_mmapbatch_v2`: maps a list of frames.
#[repr(C)]
pub(crate) struct PrivcmdMmapBatch {
    pub(crate) num: u32,
    pub(crate) dom: u16,
    pub(crate) addr: u64,
    pub(crate) arr: *const u64,
    pub(crate) err: *mut i32,
}

/// `struct privcmd_mmap_resource`: maps frames that are not in a domain's physical map.
#[repr(C)]
pub(crate) struct PrivcmdMmapResource {
    pub(crate) dom: u16,
    pub(crate) kind: u32,
    pub(crate) id: u32,
    pub(crate) idx: u32,
    pub(crate) num: u64,
    pub(crate) addr: u64,
}

/// `struct ioctl_gntdev_grant_ref`.
#[repr(C)]
#[derive(Clone, Copy, FromZeros)]
struct GntdevRef {
    domid: u32,
    gref: u32,
}

/// `struct ioctl_gntdev_map_grant_ref`. The kernel reads `count` elements, which are never more than there are.
#[repr(C)]
#[derive(FromZeros)]
pub(crate) struct GntdevMap {
    count: u32,
    pad: u32,
    index: u64,
    refs: [GntdevRef; MAX_GRANTS],
}

impl GntdevMap {
    /// A request for these grants, or `None` when there are none or more than [`MAX_GRANTS`].
    pub(crate) fn new(domid: Domid, refs: &[u32]) -> Option<Self> {
        if refs.is_empty() || refs.len() > MAX_GRANTS {
            return None;
        }
        let mut map = Self::new_zeroed();
        map.count = refs.len() as u32;
        for (slot, &gref) in map.refs.iter_mut().zip(refs) {
            *slot = GntdevRef { domid: domid.into(), gref };
        }
        Some(map)
    }

    /// Where the device offers the pages, after the call.
    pub(crate) fn index(&self) -> u64 {
        self.index
    }
}

/// `struct ioctl_gntdev_unmap_grant_ref`.
#[repr(C)]
pub(crate) struct GntdevUnmap {
    pub(crate) index: u64,
    pub(crate) count: u32,
    pub(crate) pad: u32,
}

/// `struct gntdev_grant_copy_segment`: a copy of bytes of this process into a page that a domain grants.
#[repr(C)]
pub(crate) struct GntdevCopySegment {
    pub(crate) source: u64,
    pub(crate) gref: u32,
    pub(crate) offset: u16,
    pub(crate) domid: u16,
    pub(crate) len: u16,
    pub(crate) flags: u16,
    pub(crate) status: i16,
    pub(crate) pad: u16,
}

/// `struct ioctl_gntdev_grant_copy`.
#[repr(C)]
pub(crate) struct GntdevCopy {
    pub(crate) count: u32,
    pub(crate) segments: *mut GntdevCopySegment,
}

/// `struct ioctl_gntdev_unmap_notify`.
#[repr(C)]
pub(crate) struct GntdevUnmapNotify {
    pub(crate) index: u64,
    pub(crate) action: u32,
    pub(crate) event_channel_port: u32,
}

/// `struct ioctl_gntalloc_alloc_gref`. The kernel writes `count` elements, which are never more than there are.
#[repr(C)]
#[derive(FromZeros)]
pub(crate) struct GntallocAlloc {
    domid: u16,
    flags: u16,
    count: u32,
    index: u64,
    gref_ids: [u32; MAX_GRANTS],
}

impl GntallocAlloc {
    /// A request for this many pages, or `None` when there are none or more than [`MAX_GRANTS`].
    pub(crate) fn new(domid: Domid, count: usize, writable: bool) -> Option<Self> {
        if count == 0 || count > MAX_GRANTS {
            return None;
        }
        let mut alloc = Self::new_zeroed();
        alloc.domid = domid.get();
        alloc.flags = u16::from(writable);
        alloc.count = count as u32;
        Some(alloc)
    }

    /// Where the device offers the pages, after the call.
    pub(crate) fn index(&self) -> u64 {
        self.index
    }

    /// The grants, one for each page, after the call.
    pub(crate) fn refs(&self) -> &[u32] {
        self.gref_ids.get(..self.count as usize).unwrap_or(&self.gref_ids)
    }
}

/// `struct ioctl_gntalloc_dealloc_gref`.
#[repr(C)]
pub(crate) struct GntallocDealloc {
    pub(crate) index: u64,
    pub(crate) count: u32,
}

#[cfg(test)]
mod tests {
    use std::mem::{offset_of, size_of};

    use super::*;

    #[test]
    fn layouts_are_those_of_the_headers() {
        assert_eq!(size_of::<PrivcmdHypercall>(), 48);
        assert_eq!(size_of::<PrivcmdMmapBatch>(), 32);
        assert_eq!(offset_of!(PrivcmdMmapBatch, addr), 8);
        assert_eq!(size_of::<PrivcmdMmapResource>(), 32);
        assert_eq!(offset_of!(PrivcmdMmapResource, num), 16);
        assert_eq!(offset_of!(GntdevMap, refs), 16);
        assert_eq!(size_of::<GntdevUnmap>(), 16);
        assert_eq!(size_of::<GntdevUnmapNotify>(), 16);
        assert_eq!(size_of::<GntdevCopySegment>(), 24);
        assert_eq!(offset_of!(GntdevCopySegment, len), 16);
        assert_eq!(offset_of!(GntdevCopySegment, status), 20);
        assert_eq!(size_of::<GntdevCopy>(), 16);
        assert_eq!(offset_of!(GntdevCopy, segments), 8);
        assert_eq!(offset_of!(GntallocAlloc, index), 8);
        assert_eq!(offset_of!(GntallocAlloc, gref_ids), 16);
        assert_eq!(size_of::<GntallocDealloc>(), 16);
    }

    #[test]
    fn lists_of_grants_that_do_not_fit_are_refused() {
        let domid = Domid::DOM0;
        assert!(GntdevMap::new(domid, &[]).is_none());
        assert!(GntdevMap::new(domid, &[1; MAX_GRANTS]).is_some());
        assert!(GntdevMap::new(domid, &[1; MAX_GRANTS + 1]).is_none());
        assert!(GntallocAlloc::new(domid, 0, true).is_none());
        assert!(GntallocAlloc::new(domid, MAX_GRANTS + 1, true).is_none());
        assert_eq!(GntallocAlloc::new(domid, 3, true).map(|alloc| alloc.refs().len()), Some(3));
    }
}
