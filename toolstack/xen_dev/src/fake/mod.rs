//! A Xen host in memory, for tests: it records hypercalls and answers them by a closure, and has domains with memory,
//! grants and event channels.
//!
//! All clones of a [`FakeXen`] are the same host. It stands for the hypervisor's side and the guests' side at once:
//! give domains memory with [`add_frames`](FakeXen::add_frames), look at it with [`guest_memory`](FakeXen::guest_memory),
//! grant pages with [`grant`](FakeXen::grant), offer ports with [`offer_port`](FakeXen::offer_port) and fire them with
//! [`signal`](FakeXen::signal).

mod call;
mod events;
mod memory;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::io::Errno;
use xen_abi::grant_table::GNTST_bad_gntref;

pub use call::FakeCall;
pub use events::FakeEventChannels;

use self::events::Events;
use self::memory::{Memory, Unmapped, Viewer};
use crate::linux::FRAME;
use crate::{
    Access, CopyError, Domid, GrantAllocator, GrantMapper, GrantedPages, Hypercall, MAX_FOREIGN_FRAMES,
    MAX_GRANTS, MapError, Port, Privcmd, Resource, SharedMemory, Source, UnmapNotify,
};

type Answer = Box<dyn FnMut(&mut FakeCall) -> Result<u32, Errno> + Send>;

/// A Xen host in memory.
#[derive(Clone)]
pub struct FakeXen {
    host: Arc<Host>,
}

struct Host {
    answer: Mutex<Answer>,
    calls: Mutex<Vec<FakeCall>>,
    memory: Mutex<Memory>,
    events: Mutex<Events>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Default for FakeXen {
    /// A host that answers every hypercall with `ENOSYS`.
    fn default() -> Self {
        let host = Host {
            answer: Mutex::new(Box::new(|_| Err(Errno::NOSYS))),
            calls: Mutex::default(),
            memory: Mutex::default(),
            events: Mutex::default(),
        };
        Self { host: Arc::new(host) }
    }
}

impl FakeXen {
    /// A host that answers hypercalls by this closure, which may change the buffers. It must not make hypercalls.
    pub fn new(answer: impl FnMut(&mut FakeCall) -> Result<u32, Errno> + Send + 'static) -> Self {
        let xen = Self::default();
        xen.on_hypercall(answer);
        xen
    }

    /// Keeps domains' memory in files in this folder, which must be asked for before there is any: other processes that
    /// do the same have the same memory.
    pub fn keep_memory_in(&self, folder: impl Into<PathBuf>) {
        lock(&self.host.memory).folder = Some(folder.into());
    }

    /// Replaces the closure that answers hypercalls.
    pub fn on_hypercall(&self, answer: impl FnMut(&mut FakeCall) -> Result<u32, Errno> + Send + 'static) {
        *lock(&self.host.answer) = Box::new(answer);
    }

    /// The hypercalls since the last time, as they were asked.
    pub fn take_calls(&self) -> Vec<FakeCall> {
        std::mem::take(&mut *lock(&self.host.calls))
    }

    /// Gives a domain `count` zeroed frames from `gfn` on.
    pub fn add_frames(&self, domid: Domid, gfn: u64, count: u64) {
        lock(&self.host.memory).add_frames(domid, gfn, count);
    }

    /// Takes frames away; mappings of them stay.
    pub fn remove_frames(&self, domid: Domid, gfn: u64, count: u64) {
        lock(&self.host.memory).remove_frames(domid, gfn, count);
    }

    /// A domain's own view of `count` of its frames from `gfn` on, which does not count as a mapping.
    pub fn guest_memory(&self, domid: Domid, gfn: u64, count: u64) -> Result<SharedMemory, MapError> {
        let gfns: Vec<u64> = (gfn..gfn.saturating_add(count)).collect();
        lock(&self.host.memory).frames(domid, &gfns, Access::Write, Viewer::Guest)
    }

    /// Makes a domain grant its frame `gfn` to Dom0.
    pub fn grant(&self, domid: Domid, gref: u32, gfn: u64) {
        lock(&self.host.memory).grant(domid, gref, gfn);
    }

    /// Makes mappings of resources fail with `EOPNOTSUPP`.
    pub fn refuse_resources(&self) {
        lock(&self.host.memory).refuse_resources();
    }

    /// Mappings of foreign frames, resources and grants that are alive.
    pub fn live_mappings(&self) -> usize {
        lock(&self.host.memory).live_mappings()
    }

    /// Opens `/dev/xen/evtchn` once more.
    pub fn event_channels(&self) -> FakeEventChannels {
        FakeEventChannels::open(self.clone())
    }

    /// Makes a domain allocate `port` for Dom0 to connect to.
    pub fn offer_port(&self, domid: Domid, port: Port) {
        lock(&self.host.events).offer(domid, port);
    }

    /// Dom0's port that is connected to this port of a domain.
    pub fn port_of(&self, domid: Domid, remote: Port) -> Option<Port> {
        lock(&self.host.events).port_of(domid, remote)
    }

    /// Dom0's port for a virtual interrupt.
    pub fn virq_port(&self, virq: u32) -> Option<Port> {
        lock(&self.host.events).virq_port(virq)
    }

    /// Fires a port of Dom0, as its other end would; nothing happens when it is not bound.
    pub fn signal(&self, port: Port) {
        lock(&self.host.events).signal(port);
    }

    /// How often Dom0 notified the other end of this port since the last time.
    pub fn take_notifications(&self, port: Port) -> u64 {
        lock(&self.host.events).take_notifications(port)
    }
}

impl Privcmd for FakeXen {
    fn hypercall(&self, call: &mut Hypercall<'_>) -> Result<u32, Errno> {
        let mut fake = FakeCall::new(call)?;
        lock(&self.host.calls).push(fake.clone());
        let result = (lock(&self.host.answer))(&mut fake)?;
        fake.finish(call)?;
        Ok(result)
    }

    fn map_foreign(&self, domid: Domid, gfns: &[u64], access: Access) -> Result<SharedMemory, MapError> {
        if gfns.is_empty() || gfns.len() > MAX_FOREIGN_FRAMES {
            return Err(MapError::Count { asked: gfns.len(), limit: MAX_FOREIGN_FRAMES });
        }
        lock(&self.host.memory).frames(domid, gfns, access, Viewer::Dom0(None))
    }

    fn map_resource(&self, resource: Resource) -> Result<SharedMemory, MapError> {
        lock(&self.host.memory).resource(resource)
    }

    fn copy_to_granted(&self, domid: Domid, refs: &[u32], source: &Source<'_>) -> Result<(), CopyError> {
        let bytes = source.read()?;
        if bytes.len().div_ceil(FRAME) != refs.len() {
            return Err(Errno::INVAL.into());
        }
        let mut memory = lock(&self.host.memory);
        for (&gref, bytes) in refs.iter().zip(bytes.chunks(FRAME)) {
            let refused = |_| CopyError::Grant { gref, status: GNTST_bad_gntref };
            let gfn = memory.in_table(domid, gref).map_err(refused)?;
            let page = memory.frames(domid, &[gfn], Access::Write, Viewer::Guest).map_err(refused)?;
            page.write(0, bytes).map_err(|_| Errno::FAULT)?;
        }
        Ok(())
    }
}

impl GrantMapper for FakeXen {
    fn map(
        &self,
        domid: Domid,
        refs: &[u32],
        access: Access,
        notify: Option<UnmapNotify>,
    ) -> Result<SharedMemory, MapError> {
        if refs.is_empty() || refs.len() > MAX_GRANTS {
            return Err(MapError::Count { asked: refs.len(), limit: MAX_GRANTS });
        }
        let mut memory = lock(&self.host.memory);
        let gfns = memory.granted(domid, refs)?;
        let first = gfns.first().copied().unwrap_or_default();
        let unmapped = notify.map(|notify| -> Unmapped {
            let xen = self.clone();
            Box::new(move || xen.unmap_notify(domid, first, notify))
        });
        memory.frames(domid, &gfns, access, Viewer::Dom0(unmapped))
    }
}

impl FakeXen {
    fn unmap_notify(&self, domid: Domid, gfn: u64, notify: UnmapNotify) {
        if let (Some(offset), Ok(page)) = (notify.clear_byte, self.guest_memory(domid, gfn, 1)) {
            // A byte outside the page is not there to be cleared.
            let _ = page.store_u8(offset.into(), 0);
        }
        if let Some(port) = notify.send_event {
            lock(&self.host.events).notify(port);
        }
    }
}

impl GrantAllocator for FakeXen {
    fn allocate(&self, _: Domid, count: usize, _: bool) -> Result<GrantedPages, Errno> {
        if count == 0 || count > MAX_GRANTS {
            return Err(Errno::INVAL);
        }
        let (refs, gfns) = lock(&self.host.memory).allocate_granted(count);
        let memory = lock(&self.host.memory)
            .frames(Domid::DOM0, &gfns, Access::Write, Viewer::Guest)
            .map_err(|_| Errno::NOMEM)?;
        Ok(GrantedPages { memory, refs })
    }
}

#[cfg(test)]
mod tests;
