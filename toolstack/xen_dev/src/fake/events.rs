//! The event channels of the fake host's Dom0.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{Errno, read, write};

use super::{FakeXen, lock};
use crate::{Domid, EventChannels, Port};

/// Ports read at a time, as from the device.
const BATCH: usize = 64;

/// What is at the other end of a port.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Peer {
    Unbound,
    Port(Domid, Port),
    Virq(u32),
}

struct Bound {
    opener: u64,
    peer: Peer,
    masked: bool,
    pending: bool,
}

/// Ports of one opening that have fired. The file is readable while there are any.
struct Queue {
    fired: VecDeque<Port>,
    file: Arc<OwnedFd>,
}

#[derive(Default)]
pub(super) struct Events {
    last_opener: u64,
    last_port: Port,
    offered: BTreeSet<(Domid, Port)>,
    bound: BTreeMap<Port, Bound>,
    queues: BTreeMap<u64, Queue>,
    notified: BTreeMap<Port, u64>,
}

impl Events {
    pub(super) fn offer(&mut self, domid: Domid, port: Port) {
        self.offered.insert((domid, port));
    }

    pub(super) fn port_of(&self, domid: Domid, remote: Port) -> Option<Port> {
        self.find(Peer::Port(domid, remote))
    }

    pub(super) fn virq_port(&self, virq: u32) -> Option<Port> {
        self.find(Peer::Virq(virq))
    }

    fn find(&self, peer: Peer) -> Option<Port> {
        self.bound.iter().find(|(_, bound)| bound.peer == peer).map(|(&port, _)| port)
    }

    pub(super) fn signal(&mut self, port: Port) {
        let Some(bound) = self.bound.get_mut(&port) else { return };
        if bound.masked {
            bound.pending = true;
            return;
        }
        bound.masked = true;
        if let Some(queue) = self.queues.get_mut(&bound.opener) {
            queue.fired.push_back(port);
            // The counter of an event file cannot overflow by ones.
            let _ = write(&*queue.file, &1u64.to_ne_bytes());
        }
    }

    pub(super) fn notify(&mut self, port: Port) {
        *self.notified.entry(port).or_default() += 1;
    }

    pub(super) fn take_notifications(&mut self, port: Port) -> u64 {
        self.notified.remove(&port).unwrap_or(0)
    }

    fn bind(&mut self, opener: u64, peer: Peer) -> Port {
        self.last_port += 1;
        self.bound.insert(self.last_port, Bound { opener, peer, masked: false, pending: false });
        self.last_port
    }

    fn own(&mut self, opener: u64, port: Port) -> Result<&mut Bound, Errno> {
        self.bound.get_mut(&port).filter(|bound| bound.opener == opener).ok_or(Errno::NOTCONN)
    }
}

/// One opening of the fake `/dev/xen/evtchn`.
pub struct FakeEventChannels {
    xen: FakeXen,
    opener: u64,
    file: Arc<OwnedFd>,
}

impl FakeEventChannels {
    #[expect(clippy::unwrap_used, reason = "without event files no test can go on")]
    pub(super) fn open(xen: FakeXen) -> Self {
        let file = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap());
        let mut events = lock(&xen.host.events);
        events.last_opener += 1;
        let opener = events.last_opener;
        events.queues.insert(opener, Queue { fired: VecDeque::new(), file: Arc::clone(&file) });
        drop(events);
        Self { xen, opener, file }
    }
}

impl Drop for FakeEventChannels {
    fn drop(&mut self) {
        let mut events = lock(&self.xen.host.events);
        events.queues.remove(&self.opener);
        events.bound.retain(|_, bound| bound.opener != self.opener);
    }
}

impl AsFd for FakeEventChannels {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl EventChannels for FakeEventChannels {
    fn bind_interdomain(&self, domid: Domid, remote: Port) -> Result<Port, Errno> {
        let mut events = lock(&self.xen.host.events);
        if !events.offered.remove(&(domid, remote)) {
            return Err(Errno::INVAL);
        }
        let port = events.bind(self.opener, Peer::Port(domid, remote));
        events.signal(port);
        Ok(port)
    }

    fn bind_unbound(&self, _: Domid) -> Result<Port, Errno> {
        Ok(lock(&self.xen.host.events).bind(self.opener, Peer::Unbound))
    }

    fn bind_virq(&self, virq: u32) -> Result<Port, Errno> {
        let mut events = lock(&self.xen.host.events);
        if events.virq_port(virq).is_some() {
            return Err(Errno::EXIST);
        }
        Ok(events.bind(self.opener, Peer::Virq(virq)))
    }

    fn unbind(&self, port: Port) -> Result<(), Errno> {
        let mut events = lock(&self.xen.host.events);
        events.own(self.opener, port)?;
        events.bound.remove(&port);
        if let Some(queue) = events.queues.get_mut(&self.opener) {
            queue.fired.retain(|&fired| fired != port);
        }
        Ok(())
    }

    fn notify(&self, port: Port) -> Result<(), Errno> {
        let mut events = lock(&self.xen.host.events);
        events.own(self.opener, port)?;
        events.notify(port);
        Ok(())
    }

    fn pending(&self) -> Result<Vec<Port>, Errno> {
        let mut events = lock(&self.xen.host.events);
        let queue = events.queues.get_mut(&self.opener).ok_or(Errno::BADF)?;
        let batch = queue.fired.len().min(BATCH);
        let ports = queue.fired.drain(..batch).collect();
        if queue.fired.is_empty() {
            // Nothing to read is as good: the file is not readable then.
            let _ = read(&*queue.file, &mut [0; 8]);
        }
        Ok(ports)
    }

    fn unmask(&self, port: Port) -> Result<(), Errno> {
        let mut events = lock(&self.xen.host.events);
        let bound = events.own(self.opener, port)?;
        bound.masked = false;
        if std::mem::take(&mut bound.pending) {
            events.signal(port);
        }
        Ok(())
    }
}
