//! From a port to the vCPU: setting, clearing and unmasking what is pending.
//!
//! Who calls [`raise`] holds the port lock of one of the channel's ends, and calls [`notify`] after
//! releasing it.

use super::DomainEvents;
use super::fifo::{self, Linked, Marked, Memory as _, QueueId};
use super::fifo_pages::{Fifo, FrameWord};
use super::table::Line;
use super::two_level;
use crate::Hypervisor;
use crate::domain::{Domain, Vcpu};
use core::num::NonZeroU32;
use machine::Frame;
use xen_abi::Errno;

/// What is left to do for an event when the locks are released: one word, so that it is made and looked at in registers.
#[must_use]
#[derive(Clone, Copy, Debug)]
pub(super) struct Notice(NonZeroU32);

impl Notice {
    /// The vCPU needs an upcall.
    const UPCALL: u32 = 1 << 16;
    /// A vCPU that polls may wait for the port.
    const POLLERS: u32 = 1 << 17;

    /// The notice for an event of a port that notifies `vcpu`; `None` when there is nothing to do. `newly`: the port was
    /// not pending before.
    #[inline(always)]
    fn new(events: &DomainEvents, vcpu: u16, upcall: bool, newly: bool) -> Option<Self> {
        let mut what = if upcall { Self::UPCALL } else { 0 };
        // The pending bit was set before this look; a vCPU counts itself before it looks at bits.
        if newly && events.pollers.any() {
            what |= Self::POLLERS;
        }
        NonZeroU32::new(what).map(|what| Self(what | u32::from(vcpu)))
    }

    /// The vCPU to which the upcall goes, if there is one.
    pub(super) fn upcall(self) -> Option<u16> {
        (self.0.get() & Self::UPCALL != 0).then_some(self.0.get() as u16)
    }

    /// Whether a vCPU that polls may wait for the port.
    pub(super) fn pollers(self) -> bool {
        self.0.get() & Self::POLLERS != 0
    }
}

/// Makes `port` of `domain` pending.
#[inline(always)]
pub(super) fn raise(hv: &Hypervisor, domain: &Domain, port: u32, line: &Line) -> Option<Notice> {
    if domain.events.is_fifo() {
        raise_fifo(hv, domain, port, line)
    } else {
        raise_two_level(hv, domain, port, line)
    }
}

#[inline(never)]
fn raise_two_level(hv: &Hypervisor, domain: &Domain, port: u32, line: &Line) -> Option<Notice> {
    let shared = domain.events.shared_frame(hv)?;
    if two_level::set_pending(&shared, port) {
        return None;
    }
    raised_two_level(hv, domain, shared, port, line)
}

/// The pending bit of `port` has been set and was not before.
pub(super) fn raised_two_level(
    hv: &Hypervisor,
    domain: &Domain,
    shared: Frame<'_>,
    port: u32,
    line: &Line,
) -> Option<Notice> {
    let events = &domain.events;
    // The guest may have switched to the FIFO interface after the bits were moved there.
    if events.is_fifo() {
        two_level::clear_pending(&shared, port);
        return raise_fifo(hv, domain, port, line);
    }
    let vcpu = line.vcpu();
    let upcall = !two_level::is_masked(&shared, port)
        && domain.vcpu(vcpu.into()).is_some_and(|v| events.select(hv, v, two_level::selector_bit(port)));
    Notice::new(events, vcpu, upcall, true)
}

#[inline(never)]
fn raise_fifo(hv: &Hypervisor, domain: &Domain, port: u32, line: &Line) -> Option<Notice> {
    raise_in(hv, domain, domain.events.fifo.lock().as_mut()?, port, line)
}

/// [`raise`], in line for the one place where most events come from.
#[inline(always)]
pub(super) fn raise_in_line(hv: &Hypervisor, domain: &Domain, port: u32, line: &Line) -> Option<Notice> {
    if domain.events.is_fifo() {
        put_in(hv, domain, domain.events.fifo.lock().as_mut()?, port, line)
    } else {
        raise_two_level(hv, domain, port, line)
    }
}

/// Makes `port` pending in the FIFO interface, whose lock the caller holds.
#[inline(never)]
pub(super) fn raise_in(
    hv: &Hypervisor,
    domain: &Domain,
    fifo: &mut Fifo,
    port: u32,
    line: &Line,
) -> Option<Notice> {
    put_in(hv, domain, fifo, port, line)
}

#[inline(always)]
fn put_in(hv: &Hypervisor, domain: &Domain, fifo: &mut Fifo, port: u32, line: &Line) -> Option<Notice> {
    // Read once: the port's owner may choose another vCPU meanwhile.
    let queue = line.queue();
    match fifo::mark(&fifo.memory(), port, queue.vcpu) {
        Marked::NoWord => {
            line.hold();
            None
        }
        Marked::NoControl => None,
        Marked::Masked(newly) => Notice::new(&domain.events, queue.vcpu, false, newly),
        Marked::Unmasked(word, newly) => queue_up(hv, domain, fifo, (port, queue), line, word, newly),
    }
}

/// Puts a pending port on its queue. Apart from the rest, which so saves few registers where a port is masked.
#[inline(never)]
fn queue_up(
    hv: &Hypervisor,
    domain: &Domain,
    fifo: &mut Fifo,
    (port, queue): (u32, QueueId),
    line: &Line,
    word: FrameWord<Frame<'static>>,
    newly: bool,
) -> Option<Notice> {
    let events = &domain.events;
    let (memory, tails) = fifo.parts();
    let mut upcall = false;
    if let Linked::Now { ready } = fifo::link(&memory, tails, &word, port, queue, line.last_queue()) {
        line.set_last_queue(queue);
        upcall = ready && domain.vcpu(queue.vcpu.into()).is_some_and(|v| events.mark_upcall(hv, v));
    }
    Notice::new(events, queue.vcpu, upcall, newly)
}

/// Does what a notice asks for; no lock of event channels is held.
#[inline(never)]
pub(super) fn notify(hv: &Hypervisor, domain: &Domain, port: u32, notice: Notice) {
    if let Some(vcpu) = notice.upcall().and_then(|vcpu| domain.vcpu(vcpu.into())) {
        upcall(hv, domain, vcpu);
    }
    if notice.pollers() {
        domain.events.wake_pollers(hv, domain, Some(port));
    }
}

/// Raises the upcall line of a vCPU whose `evtchn_upcall_pending` has been set.
pub(super) fn upcall(hv: &Hypervisor, domain: &Domain, vcpu: &Vcpu) {
    if domain.guest.set_upcall(vcpu.id, true) {
        hv.kick(vcpu);
    }
}

/// Unmasks a port of a guest, and raises it if it is pending; the domain's port lock is held.
pub(super) fn unmask(hv: &Hypervisor, domain: &Domain, port: u32, line: &Line) -> Option<Notice> {
    let events = &domain.events;
    if events.is_fifo() {
        let mut fifo = events.fifo.lock();
        let fifo = fifo.as_mut()?;
        if !fifo::unmask(&fifo.memory(), port) {
            return None;
        }
        return raise_in(hv, domain, fifo, port, line);
    }
    if !two_level::unmask(&events.shared_frame(hv)?, port) {
        return None;
    }
    let vcpu = line.vcpu();
    let upcall =
        domain.vcpu(vcpu.into()).is_some_and(|v| events.select(hv, v, two_level::selector_bit(port)));
    Notice::new(events, vcpu, upcall, false)
}

impl DomainEvents {
    /// Withdraws what is pending on a port that is being closed; its port lock is held.
    pub(super) fn clear_pending(&self, hv: &Hypervisor, port: u32) {
        if self.is_fifo() {
            if let Some(fifo) = self.fifo.lock().as_ref() {
                fifo::clear_pending(&fifo.memory(), port);
            }
        } else if let Some(shared) = self.shared_frame(hv) {
            two_level::clear_pending(&shared, port);
        }
    }

    /// The FIFO word of `port`, if it has one.
    #[inline]
    fn event_word(&self, port: u32) -> Option<u32> {
        use fifo::EventWord as _;
        Some(self.fifo.lock().as_ref()?.memory().word(port)?.load())
    }

    /// Whether the guest still has a closed port on a queue, so that it cannot be bound again.
    #[inline]
    pub(super) fn is_queued(&self, port: u32) -> bool {
        self.is_fifo() && self.event_word(port).is_some_and(|word| word & fifo::LINKED != 0)
    }

    /// Whether a port of the guest is pending, and whether it is masked; its port lock is held.
    pub(super) fn bits(&self, hv: &Hypervisor, port: u32) -> (bool, bool) {
        if self.is_fifo() {
            self.event_word(port)
                .map_or((false, true), |word| (word & fifo::PENDING != 0, word & fifo::MASKED != 0))
        } else {
            self.shared_frame(hv).map_or((false, true), |shared| {
                (two_level::is_pending(&shared, port), two_level::is_masked(&shared, port))
            })
        }
    }

    /// Whether a port of the guest is pending.
    ///
    /// # Errors
    /// EINVAL for a port that the guest has not bound.
    pub fn is_port_pending(&self, hv: &Hypervisor, port: u32) -> Result<bool, Errno> {
        let ports = self.ports.lock();
        self.guest_line(&ports, port).ok_or(Errno::EINVAL)?;
        Ok(if self.is_fifo() {
            self.event_word(port).is_some_and(|word| word & fifo::PENDING != 0)
        } else {
            self.bits(hv, port).0
        })
    }

    /// The line of an open port whose consumer is the guest.
    #[inline]
    pub(super) fn guest_line(&self, ports: &super::Ports, port: u32) -> Option<&Line> {
        if !ports.get(port)?.is_open() {
            return None;
        }
        self.lines.get(port).filter(|line| !line.is_hypervisors())
    }
}
