//! Event channels: ports of a domain that carry one bit to another domain, from the hypervisor, or
//! between vCPUs (`event_channel.h`).
//!
//! # Locks
//! Each domain has a port lock over what its ports are bound to. An operation on both ends of a
//! channel takes the locks of both domains, in the order of their numbers. So one end's lock is
//! enough to keep the other end as it is: to send is to take the sender's port lock, to follow the
//! channel and to set the peer's bit, without the peer's lock. What a sender reads of the peer
//! (vCPU, priority, where its pages are) is in atomics that outlive the channel.
//!
//! Inside port locks comes the FIFO lock of the domain that receives, and nothing else. Upcalls,
//! wake-ups and calls into the hypervisor's own consumers follow when all locks are released.

mod channel;
mod consumer;
mod deliver;
mod dump;
mod fifo;
mod fifo_pages;
mod fifo_setup;
#[cfg(any(test, feature = "testkit"))]
mod inspect;
mod ops;
mod poll;
mod poll_word;
#[cfg(test)]
mod poll_word_loom;
mod reset;
mod table;
mod two_level;
mod vcpu_info;
mod virq;

#[cfg(test)]
mod tests;

/// The atomics of polls; loom's stand in their place in its tests.
mod sync {
    pub(super) use core::sync::atomic::{AtomicU32, Ordering, fence};
}

pub use channel::{alloc_unbound, bind_interdomain, close, send};
pub use consumer::{Consumer, alloc_for_hypervisor, close_for_hypervisor, notify_from_hypervisor};
pub use ops::event_channel_op;
pub(crate) use reset::reset;
pub use vcpu_info::VcpuEvents;
pub use virq::VirqHandlers;

use crate::Hypervisor;
use crate::domain::Domain;
use crate::memory::PageGuard;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use fifo_pages::Fifo;
use hal::{Domid, MachineOps as _, Mfn};
use lock::{Mutex, MutexGuard};
use machine::{Abi, Frame};
use poll_word::Pollers;
use table::{Lines, Ports, State};
use xen_abi::Errno;
use xen_abi::event_channel::{EVTCHN_2L_NR_CHANNELS, EVTCHN_FIFO_NR_CHANNELS};

const NO_FRAME: u64 = u64::MAX;

/// A domain's event channels.
#[derive(Debug)]
pub struct DomainEvents {
    ports: Mutex<Ports, 11>,
    lines: Lines,
    /// The guest uses the FIFO interface.
    fifo_on: AtomicBool,
    fifo: Mutex<Option<Fifo>, 12>,
    /// The frame of the shared information page, which `ports` holds.
    shared: AtomicU64,
    /// The highest port that the domain may have.
    max_port: u32,
    /// vCPUs in SCHEDOP_poll.
    pollers: Pollers,
}

impl DomainEvents {
    /// No channel yet; ports go up to `max_port`.
    pub fn new(max_port: u32) -> Self {
        Self {
            ports: Mutex::new(Ports::default()),
            lines: Lines::default(),
            fifo_on: AtomicBool::new(false),
            fifo: Mutex::new(None),
            shared: AtomicU64::new(NO_FRAME),
            max_port,
            pollers: Pollers::new(),
        }
    }

    /// Makes the shared information page and the first ports of a new domain. What it made is
    /// given back by [`teardown`](Self::teardown), also after an error.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn init(&self, hv: &Hypervisor, domain: &Domain) -> Result<(), Errno> {
        let page = hv.new_shared_page(domain.id)?;
        let mut ports = self.ports.lock();
        self.shared.store(page.mfn().0, Ordering::Release);
        ports.shared = Some(page);
        ports.start(&self.lines)
    }

    /// A reference to the shared information page; `domid` is the domain's own number.
    pub fn shared_info_page<'a>(&self, hv: &'a Hypervisor, domid: Domid) -> Option<PageGuard<'a>> {
        PageGuard::get(hv, self.shared_mfn()?, domid)
    }

    /// Runs `f` on the shared information page, under the port lock.
    pub fn with_shared_info(&self, hv: &Hypervisor, f: impl FnOnce(Frame<'_>)) {
        let _ports = self.ports.lock();
        if let Some(frame) = self.shared_frame(hv) {
            f(frame);
        }
    }

    #[inline]
    fn shared_mfn(&self) -> Option<Mfn> {
        match self.shared.load(Ordering::Acquire) {
            NO_FRAME => None,
            mfn => Some(Mfn(mfn)),
        }
    }

    /// The bytes of the shared information page. The caller holds a port lock that keeps the page.
    #[inline]
    fn shared_frame<'a>(&self, hv: &'a Hypervisor) -> Option<Frame<'a>> {
        hv.machine.frame(self.shared_mfn()?)
    }

    /// Whether the guest uses the FIFO interface.
    #[inline]
    fn is_fifo(&self) -> bool {
        self.fifo_on.load(Ordering::SeqCst)
    }

    /// One more than the highest port that can be bound now.
    fn port_limit(&self) -> u32 {
        let interface = if self.is_fifo() { EVTCHN_FIFO_NR_CHANNELS } else { EVTCHN_2L_NR_CHANNELS };
        interface.min(self.max_port.saturating_add(1))
    }

    /// A port that can be bound. It stays free.
    ///
    /// # Errors
    /// EINVAL in a dying domain, ENOSPC, ENOMEM.
    fn free_port(&self, domain: &Domain, ports: &mut Ports) -> Result<u32, Errno> {
        // A teardown marks the domain before it first takes the port lock.
        if domain.is_dying() {
            return Err(Errno::EINVAL);
        }
        ports.find_free(&self.lines, self.port_limit(), |port| self.is_queued(port))
    }

    /// [`free_port`](Self::free_port) in short: the port where the search would begin, if that is free.
    #[inline(always)]
    fn next_port(&self, domain: &Domain, ports: &Ports) -> Option<u32> {
        let port = ports.next_free()?;
        let may = !domain.is_dying() && port < self.port_limit() && !self.is_queued(port);
        may.then_some(port)
    }

    /// Binds a free port to `state` and to `vcpu`.
    fn open(&self, ports: &mut Ports, port: u32, state: State, vcpu: u16) {
        if let Some(line) = self.lines.get(port) {
            line.reset(vcpu);
        }
        ports.open(port, state);
    }
}

/// The port locks of two domains that may be the same.
struct Pair<'a> {
    // The remote guard first: it goes first.
    remote: Option<MutexGuard<'a, Ports, 11>>,
    local: MutexGuard<'a, Ports, 11>,
}

impl<'a> Pair<'a> {
    /// Takes both locks, the one of the lower number first.
    fn lock(local: &'a Domain, remote: &'a Domain) -> Self {
        if core::ptr::eq(local, remote) {
            Self { remote: None, local: local.events.ports.lock() }
        } else if local.id < remote.id {
            let local = local.events.ports.lock();
            Self { remote: Some(remote.events.ports.lock_second()), local }
        } else {
            let remote = Some(remote.events.ports.lock());
            Self { remote, local: local.events.ports.lock_second() }
        }
    }

    fn remote(&mut self) -> &mut Ports {
        self.remote.as_mut().unwrap_or(&mut self.local)
    }
}
