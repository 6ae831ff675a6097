//! The memory of the fake host's domains: a sparse file for each address space, in memory or in a folder.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{FallocateFlags, MemfdFlags, Mode, OFlags, fallocate, ftruncate, memfd_create, open};
use rustix::io::Errno;
use xen_abi::grant_table::{GTF_permit_access, GrantEntryV1};
use xen_abi::memory::{XENMEM_resource_grant_table, XENMEM_resource_grant_table_id_shared};
use zerocopy::{FromZeros, IntoBytes};

use crate::linux::FRAME;
use crate::mapping::Mapping;
use crate::{Access, Domid, MAX_FOREIGN_FRAMES, MapError, Resource, SharedMemory};

/// Frames of an address space: 48 bits of addresses.
const FRAMES: u64 = 1 << 36;
/// Frames of one in a folder: file systems have limits.
const FRAMES_IN_FOLDER: u64 = 1 << 24;
/// First frame of the pages that Dom0 grants to others.
const FIRST_GRANTED: u64 = 0x100_0000;

/// Where frames are counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Space {
    Physmap(Domid),
    Resource { domid: Domid, kind: u32, id: u32 },
}

#[derive(Default)]
pub(super) struct Memory {
    /// Where files are that other processes share; else they are in memory.
    pub(super) folder: Option<PathBuf>,
    files: BTreeMap<Space, OwnedFd>,
    present: BTreeSet<(Domid, u64)>,
    grants: BTreeMap<(Domid, u32), u64>,
    granted_by_dom0: u32,
    resources_refused: bool,
    live: Arc<()>,
}

/// What is to happen when a mapping has ended.
pub(super) type Unmapped = Box<dyn FnOnce() + Send + Sync>;

/// Who looks at memory.
pub(super) enum Viewer {
    /// The domain itself.
    Guest,
    /// Dom0, through a mapping that is counted while it lives.
    Dom0(Option<Unmapped>),
}

struct Live {
    _count: Arc<()>,
    unmapped: Option<Unmapped>,
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(unmapped) = self.unmapped.take() {
            unmapped();
        }
    }
}

impl Memory {
    pub(super) fn add_frames(&mut self, domid: Domid, gfn: u64, count: u64) {
        let end = gfn.saturating_add(count).min(FRAMES);
        self.present.extend((gfn..end).map(|gfn| (domid, gfn)));
    }

    pub(super) fn remove_frames(&mut self, domid: Domid, gfn: u64, count: u64) {
        self.present
            .retain(|&(owner, frame)| owner != domid || !(gfn..gfn.saturating_add(count)).contains(&frame));
        if let Ok(file) = self.file(Space::Physmap(domid)) {
            let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            // Frames that were never touched are no hole to be made.
            let _ =
                fallocate(file, hole, gfn.saturating_mul(FRAME as u64), count.saturating_mul(FRAME as u64));
        }
    }

    pub(super) fn grant(&mut self, domid: Domid, gref: u32, gfn: u64) {
        self.grants.insert((domid, gref), gfn);
    }

    /// The frames behind grants; `EINVAL` when one is not granted.
    pub(super) fn granted(&self, domid: Domid, refs: &[u32]) -> Result<Vec<u64>, MapError> {
        let gfn =
            |gref: &u32| self.grants.get(&(domid, *gref)).copied().ok_or(MapError::Kernel(Errno::INVAL));
        refs.iter().map(gfn).collect()
    }

    /// The frame behind a grant to Dom0 that is in the domain's table, in the first version of its layout; `EINVAL`
    /// when there is none.
    pub(super) fn in_table(&mut self, domid: Domid, gref: u32) -> Result<u64, MapError> {
        let at = gref as usize * size_of::<GrantEntryV1>();
        let frame = (at / FRAME) as u32;
        let (kind, id) = (XENMEM_resource_grant_table, XENMEM_resource_grant_table_id_shared);
        let table = self.resource(Resource { domid, kind, id, frame, count: 1 })?;
        let mut entry = GrantEntryV1::new_zeroed();
        table.read(at % FRAME, entry.as_mut_bytes()).map_err(|_| Errno::FAULT)?;
        let is_granted = entry.flags == GTF_permit_access && entry.domid == Domid::DOM0.get();
        if is_granted { Ok(entry.frame.into()) } else { Err(Errno::INVAL.into()) }
    }

    pub(super) fn refuse_resources(&mut self) {
        self.resources_refused = true;
    }

    pub(super) fn live_mappings(&self) -> usize {
        Arc::strong_count(&self.live) - 1
    }

    /// New frames of Dom0 with a grant for each.
    pub(super) fn allocate_granted(&mut self, count: usize) -> (Vec<u32>, Vec<u64>) {
        let mut refs = Vec::new();
        let mut gfns = Vec::new();
        for _ in 0..count {
            self.granted_by_dom0 += 1;
            let gfn = FIRST_GRANTED + u64::from(self.granted_by_dom0);
            self.add_frames(Domid::DOM0, gfn, 1);
            self.grant(Domid::DOM0, self.granted_by_dom0, gfn);
            refs.push(self.granted_by_dom0);
            gfns.push(gfn);
        }
        (refs, gfns)
    }

    /// Maps frames of a domain; `EINVAL` for the first that is not there.
    pub(super) fn frames(
        &mut self,
        domid: Domid,
        gfns: &[u64],
        access: Access,
        viewer: Viewer,
    ) -> Result<SharedMemory, MapError> {
        if let Some(&gfn) = gfns.iter().find(|&&gfn| !self.present.contains(&(domid, gfn))) {
            return Err(MapError::Frame { gfn, errno: Errno::INVAL });
        }
        self.map(Space::Physmap(domid), gfns, access == Access::Write, viewer)
    }

    pub(super) fn resource(&mut self, resource: Resource) -> Result<SharedMemory, MapError> {
        if self.resources_refused {
            return Err(MapError::Kernel(Errno::OPNOTSUPP));
        }
        let Resource { domid, kind, id, frame, count } = resource;
        if count == 0 || count > MAX_FOREIGN_FRAMES {
            return Err(MapError::Count { asked: count, limit: MAX_FOREIGN_FRAMES });
        }
        let frames: Vec<u64> = (u64::from(frame)..).take(count).collect();
        self.map(Space::Resource { domid, kind, id }, &frames, true, Viewer::Dom0(None))
    }

    fn map(
        &mut self,
        space: Space,
        frames: &[u64],
        writable: bool,
        viewer: Viewer,
    ) -> Result<SharedMemory, MapError> {
        let page = NonZeroUsize::new(FRAME).ok_or(Errno::INVAL)?;
        let offsets: Vec<u64> = frames.iter().map(|frame| frame * FRAME as u64).collect();
        let mapping = Mapping::pages(self.file(space)?, &offsets, page, writable)?;
        let len = NonZeroUsize::new(mapping.len()).ok_or(Errno::INVAL)?;
        let release = match viewer {
            Viewer::Guest => None,
            Viewer::Dom0(unmapped) => Some(Box::new(Live { _count: Arc::clone(&self.live), unmapped }) as _),
        };
        Ok(SharedMemory::new(mapping, len, writable, release))
    }

    fn file(&mut self, space: Space) -> Result<&OwnedFd, Errno> {
        use std::collections::btree_map::Entry;
        Ok(match self.files.entry(space) {
            Entry::Occupied(file) => file.into_mut(),
            Entry::Vacant(slot) => {
                let (file, frames) = match (&self.folder, space) {
                    (Some(folder), Space::Physmap(domid)) => {
                        let path = folder.join(format!("memory-{domid}"));
                        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
                        (open(path, flags, Mode::RUSR | Mode::WUSR)?, FRAMES_IN_FOLDER)
                    }
                    _ => (memfd_create("fake-xen", MemfdFlags::CLOEXEC)?, FRAMES),
                };
                ftruncate(&file, frames * FRAME as u64)?;
                slot.insert(file)
            }
        })
    }
}
