//! Pages granted by other domains, through `/dev/xen/gntdev` (`xen/gntdev.h`).

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::OFlags;

use super::abi::{GntdevMap, GntdevUnmap, GntdevUnmapNotify};
use super::{open, sizes};
use crate::ioctl::requests::{GNTDEV_MAP_GRANT_REF, GNTDEV_SET_UNMAP_NOTIFY, GNTDEV_UNMAP_GRANT_REF};
use crate::mapping::Mapping;
use crate::{Access, Domid, GrantMapper, MAX_GRANTS, MapError, OpenError, SharedMemory, UnmapNotify};

/// `UNMAP_NOTIFY_CLEAR_BYTE`.
const CLEAR_BYTE: u32 = 1;
/// `UNMAP_NOTIFY_SEND_EVENT`.
const SEND_EVENT: u32 = 2;

/// The kernel's device.
pub struct LinuxGrantMapper {
    device: Arc<OwnedFd>,
}

impl LinuxGrantMapper {
    /// Opens `/dev/xen/gntdev`.
    pub fn open() -> Result<Self, OpenError> {
        Ok(Self { device: Arc::new(open("/dev/xen/gntdev", "xen-gntdev", OFlags::empty())?) })
    }
}

/// Grants in the device's table; they leave it when this is dropped, after they were unmapped.
struct Entry {
    device: Arc<OwnedFd>,
    index: u64,
    count: u32,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut unmap = GntdevUnmap { index: self.index, count: self.count, pad: 0 };
        let removed = GNTDEV_UNMAP_GRANT_REF.call(&*self.device, &mut unmap);
        debug_assert!(removed.is_ok(), "{removed:?}");
    }
}

impl GrantMapper for LinuxGrantMapper {
    fn map(
        &self,
        domid: Domid,
        refs: &[u32],
        access: Access,
        notify: Option<UnmapNotify>,
    ) -> Result<SharedMemory, MapError> {
        let mut request =
            GntdevMap::new(domid, refs).ok_or(MapError::Count { asked: refs.len(), limit: MAX_GRANTS })?;
        GNTDEV_MAP_GRANT_REF.call(&*self.device, &mut request)?;
        let index = request.index();
        let entry = Entry { device: Arc::clone(&self.device), index, count: refs.len() as u32 };
        let (bytes, pages) = sizes(refs.len())?;
        let writable = access == Access::Write;
        let mapping = Mapping::new(&*self.device, index, pages, writable)?;
        if let Some(notify) = notify {
            let mut request = GntdevUnmapNotify {
                index: index.saturating_add(notify.clear_byte.map_or(0, u64::from)),
                action: notify.clear_byte.map_or(0, |_| CLEAR_BYTE)
                    | notify.send_event.map_or(0, |_| SEND_EVENT),
                event_channel_port: notify.send_event.unwrap_or(0),
            };
            GNTDEV_SET_UNMAP_NOTIFY.call(&*self.device, &mut request)?;
        }
        Ok(SharedMemory::new(mapping, bytes, writable, Some(Box::new(entry))))
    }
}
