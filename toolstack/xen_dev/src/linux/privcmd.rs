//! Hypercalls and foreign memory through `/dev/xen/privcmd` (`xen/privcmd.h`).

use std::os::fd::OwnedFd;
use std::sync::OnceLock;

use rustix::fs::OFlags;
use rustix::io::Errno;
use xen_abi::grant_table::{GNTCOPY_dest_gref, GNTST_okay};

use super::abi::{GntdevCopy, GntdevCopySegment, PrivcmdHypercall, PrivcmdMmapBatch, PrivcmdMmapResource};
use super::buffers::Buffers;
use super::{FRAME, open, sizes};
use crate::ioctl::requests::{
    GNTDEV_GRANT_COPY, PRIVCMD_HYPERCALL, PRIVCMD_MMAP_RESOURCE, PRIVCMD_MMAPBATCH_V2,
};
use crate::mapping::Mapping;
use crate::{
    Access, AccessError, CopyError, Domid, Hypercall, MAX_FOREIGN_FRAMES, MapError, OpenError, Privcmd,
    Resource, SharedMemory, Source,
};

/// The kernel's device.
pub struct LinuxPrivcmd {
    device: OwnedFd,
    buffers: Buffers,
    /// `/dev/xen/gntdev`, from the first copy on: most programs make none.
    grants: OnceLock<OwnedFd>,
}

impl LinuxPrivcmd {
    /// Opens `/dev/xen/privcmd` and `/dev/xen/hypercall`.
    pub fn open() -> Result<Self, OpenError> {
        let device = open("/dev/xen/privcmd", "xen-privcmd", OFlags::empty())?;
        Ok(Self { device, buffers: Buffers::open()?, grants: OnceLock::new() })
    }

    fn grants(&self) -> Result<&OwnedFd, OpenError> {
        if let Some(grants) = self.grants.get() {
            return Ok(grants);
        }
        let opened = open("/dev/xen/gntdev", "xen-gntdev", OFlags::empty())?;
        Ok(self.grants.get_or_init(|| opened))
    }
}

impl Privcmd for LinuxPrivcmd {
    fn hypercall(&self, call: &mut Hypercall<'_>) -> Result<u32, Errno> {
        let (offsets, len) = call.layout()?;
        self.buffers.with(len, |block| {
            let outside = |_: AccessError| Errno::FAULT;
            let addresses: Vec<u64> = offsets.iter().map(|&offset| block.address() + offset as u64).collect();
            for (&offset, bytes) in offsets.iter().zip(call.contents()) {
                block.write(offset, bytes).map_err(outside)?;
            }
            for (holder, offset, address) in call.links(&addresses)? {
                let at = offsets.get(holder).ok_or(Errno::INVAL)? + offset;
                block.write(at, &address.to_ne_bytes()).map_err(outside)?;
            }
            let mut request =
                PrivcmdHypercall { op: u64::from(call.number()), arg: call.arguments(&addresses)? };
            // SAFETY: every address that this module puts in is that of memory in `block`, which lives until the call
            // returns and is only ever accessed as shared memory. What a hypercall does to memory of domains is the
            // subject of `Privcmd::hypercall`.
            #[expect(unsafe_code, reason = "the hypervisor follows the addresses; see the comment above")]
            let result = unsafe { PRIVCMD_HYPERCALL.call(&self.device, &mut request)? };
            call.take_back(|index, bytes| {
                let offset = *offsets.get(index).ok_or(Errno::INVAL)?;
                block.read(offset, bytes).map_err(outside)
            })?;
            u32::try_from(result).map_err(|_| Errno::IO)
        })
    }

    fn map_foreign(&self, domid: Domid, gfns: &[u64], access: Access) -> Result<SharedMemory, MapError> {
        if gfns.is_empty() || gfns.len() > MAX_FOREIGN_FRAMES {
            return Err(MapError::Count { asked: gfns.len(), limit: MAX_FOREIGN_FRAMES });
        }
        let (bytes, pages) = sizes(gfns.len())?;
        let writable = access == Access::Write;
        let mapping = Mapping::new(&self.device, 0, pages, writable)?;
        let mut errors = vec![0i32; gfns.len()];
        let mut request = PrivcmdMmapBatch {
            num: gfns.len() as u32,
            dom: domid.get(),
            addr: mapping.start().as_ptr() as u64,
            arr: gfns.as_ptr(),
            err: errors.as_mut_ptr(),
        };
        // SAFETY: (1) the kernel fills exactly `mapping`, to which nothing else refers yet; (2) it reads `num` frames
        // from `gfns` and writes as many errors to `errors`, both that long and alive.
        #[expect(unsafe_code, reason = "the kernel follows the addresses; see the comment above")]
        let result = unsafe { PRIVCMD_MMAPBATCH_V2.call(&self.device, &mut request) };
        let failed = gfns.iter().zip(&errors).find(|(_, error)| **error != 0);
        if let Some((&gfn, error)) = failed {
            return Err(MapError::Frame { gfn, errno: Errno::from_raw_os_error(error.saturating_abs()) });
        }
        result?;
        Ok(SharedMemory::new(mapping, bytes, writable, None))
    }

    fn map_resource(&self, resource: Resource) -> Result<SharedMemory, MapError> {
        if resource.count == 0 || resource.count > MAX_FOREIGN_FRAMES {
            return Err(MapError::Count { asked: resource.count, limit: MAX_FOREIGN_FRAMES });
        }
        let (bytes, pages) = sizes(resource.count)?;
        let mapping = Mapping::new(&self.device, 0, pages, true)?;
        let mut request = PrivcmdMmapResource {
            dom: resource.domid.get(),
            kind: resource.kind,
            id: resource.id,
            idx: resource.frame,
            num: resource.count as u64,
            addr: mapping.start().as_ptr() as u64,
        };
        // SAFETY: the kernel fills exactly `mapping`, to which nothing else refers yet.
        #[expect(unsafe_code, reason = "the kernel follows the address; see the comment above")]
        unsafe { PRIVCMD_MMAP_RESOURCE.call(&self.device, &mut request) }?;
        Ok(SharedMemory::new(mapping, bytes, true, None))
    }

    fn copy_to_granted(&self, domid: Domid, refs: &[u32], source: &Source<'_>) -> Result<(), CopyError> {
        let address = source.address().ok_or(Errno::INVAL)?;
        if source.len().div_ceil(FRAME) != refs.len() {
            return Err(Errno::INVAL.into());
        }
        let starts = (0..source.len()).step_by(FRAME);
        let mut segments: Vec<_> = refs
            .iter()
            .zip(starts)
            .map(|(&gref, start)| GntdevCopySegment {
                source: address + start as u64,
                gref,
                offset: 0,
                domid: domid.get(),
                len: FRAME.min(source.len() - start) as u16,
                flags: GNTCOPY_dest_gref,
                status: GNTST_okay,
                pad: 0,
            })
            .collect();
        let count = u32::try_from(segments.len()).map_err(|_| Errno::TOOBIG)?;
        let mut request = GntdevCopy { count, segments: segments.as_mut_ptr() };
        // SAFETY: (1) the kernel reads and writes `count` segments, which are there; (2) it reads the bytes of `source`,
        // alive as long as its borrow, and writes none of this process: each segment's destination is a grant.
        #[expect(unsafe_code, reason = "the kernel follows the addresses; see the comment above")]
        unsafe { GNTDEV_GRANT_COPY.call(self.grants()?, &mut request) }?;
        match segments.iter().find(|segment| segment.status != GNTST_okay) {
            Some(failed) => Err(CopyError::Grant { gref: failed.gref, status: failed.status }),
            None => Ok(()),
        }
    }
}
