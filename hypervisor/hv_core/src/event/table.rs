//! A domain's ports: what each is bound to, and how its events are delivered.
//!
//! The two halves have different readers. [`Ports`], under the domain's port lock, says what a port
//! is. A [`Line`] says which vCPU a port notifies; whoever raises an event reads it while holding
//! the port lock of the other end of the channel, so it is made of atomics and never moves.

use super::consumer::Consumer;
use crate::domain::Domain;
use crate::memory::HeldPage;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, Ordering};
use lock::Once;
use xen_abi::Errno;
use xen_abi::event_channel::EVTCHN_FIFO_PRIORITY_DEFAULT;

use super::fifo::QueueId;

/// Ports that a table grows by; Xen's number, which a tool sees as the ports that have a status.
const STEP: u32 = 1 << STEP_LOG2;
const STEP_LOG2: u32 = 6;
/// Blocks of lines: 64, 64, 128, 256 and so on, up to the 2^17 ports that the FIFO interface has.
const BLOCKS: usize = 12;

/// What a port is bound to.
#[derive(Debug)]
pub(super) enum State {
    /// Nothing.
    Free,
    /// Never to be bound: port 0.
    Reserved,
    /// Waits for a domain to bind to it.
    Unbound {
        /// That domain, which may not exist.
        remote: u16,
    },
    /// Connected to a port of a domain; that port's state points back.
    Interdomain {
        /// The domain at the other end, which may be the same.
        remote: Arc<Domain>,
        /// Its port.
        port: u32,
    },
    /// A virtual interrupt, below NR_VIRQS.
    Virq(u8),
    /// Signals a vCPU of the domain itself.
    Ipi,
}

impl State {
    /// Whether the port is in use.
    pub(super) fn is_open(&self) -> bool {
        !matches!(self, Self::Free | Self::Reserved)
    }
}

/// What the ports are bound to, and what else the port lock protects.
#[derive(Debug, Default)]
pub(super) struct Ports {
    states: Vec<State>,
    /// No port below is free, save one that the guest still has on a queue.
    first_free: u32,
    /// Open ports whose consumer is the guest.
    pub(super) guest_open: u32,
    /// Where an unfinished EVTCHNOP_reset goes on; 0 when there is none.
    pub(super) reset_at: u32,
    /// The shared information page.
    pub(super) shared: Option<HeldPage>,
    /// The ports whose consumer is the hypervisor.
    consumers: Vec<(u32, Consumer)>,
}

impl Ports {
    /// One more than the highest port that has a state.
    pub(super) fn len(&self) -> u32 {
        self.states.len() as u32
    }

    /// What `port` is bound to; `None` where the table does not reach.
    #[inline]
    pub(super) fn get(&self, port: u32) -> Option<&State> {
        self.states.get(port as usize)
    }

    /// Makes room for [`STEP`] more ports, with lines for them.
    fn grow(&mut self, lines: &Lines) -> Result<(), Errno> {
        lines.reserve(self.len())?;
        self.states.try_reserve(STEP as usize).map_err(|_| Errno::ENOMEM)?;
        self.states.extend((0..STEP).map(|_| State::Free));
        Ok(())
    }

    /// Makes the first ports, of which port 0 is reserved.
    pub(super) fn start(&mut self, lines: &Lines) -> Result<(), Errno> {
        self.grow(lines)?;
        if let Some(zero) = self.states.first_mut() {
            *zero = State::Reserved;
        }
        Ok(())
    }

    /// The lowest free port below `limit` that is not busy. It stays free.
    ///
    /// # Errors
    /// ENOSPC when there is none, ENOMEM when the table cannot grow.
    pub(super) fn find_free(
        &mut self,
        lines: &Lines,
        limit: u32,
        is_busy: impl Fn(u32) -> bool,
    ) -> Result<u32, Errno> {
        let mut port = self.first_free;
        let mut busy = None;
        let found = loop {
            if port >= limit {
                break Err(Errno::ENOSPC);
            }
            match self.get(port) {
                None => {
                    if let Err(e) = self.grow(lines) {
                        break Err(e);
                    }
                    continue;
                }
                Some(State::Free) if is_busy(port) => busy = busy.or(Some(port)),
                Some(State::Free) => break Ok(port),
                Some(_) => {}
            }
            port = port.saturating_add(1);
        };
        self.first_free = busy.unwrap_or(port);
        found
    }

    /// The port at which the search for a free one begins, if that is free.
    #[inline]
    pub(super) fn next_free(&self) -> Option<u32> {
        let port = self.first_free;
        matches!(self.get(port), Some(State::Free)).then_some(port)
    }

    /// Binds a free port, which counts as the guest's.
    pub(super) fn open(&mut self, port: u32, state: State) {
        if let Some(slot) = self.states.get_mut(port as usize) {
            debug_assert!(!slot.is_open() && state.is_open());
            *slot = state;
            self.guest_open = self.guest_open.saturating_add(1);
        }
    }

    /// Changes what an open port is bound to.
    pub(super) fn rebind(&mut self, port: u32, state: State) {
        if let Some(slot) = self.states.get_mut(port as usize) {
            debug_assert!(slot.is_open() && state.is_open());
            *slot = state;
        }
    }

    /// Frees an open port; returns what it was bound to.
    pub(super) fn free(&mut self, port: u32) -> State {
        let Some(slot) = self.states.get_mut(port as usize) else { return State::Free };
        debug_assert!(slot.is_open());
        let state = core::mem::replace(slot, State::Free);
        self.first_free = self.first_free.min(port);
        match self.consumers.iter().position(|(p, _)| *p == port) {
            Some(at) => drop(self.consumers.swap_remove(at)),
            None => self.guest_open = self.guest_open.saturating_sub(1),
        }
        state
    }

    /// Makes the hypervisor the consumer of an open port.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn set_consumer(&mut self, port: u32, consumer: Consumer) -> Result<(), Errno> {
        self.consumers.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        self.consumers.push((port, consumer));
        self.guest_open = self.guest_open.saturating_sub(1);
        Ok(())
    }

    /// Whether the hypervisor is the consumer of `port`.
    #[inline]
    pub(super) fn is_hypervisors(&self, port: u32) -> bool {
        !self.consumers.is_empty() && self.consumers.iter().any(|(p, _)| *p == port)
    }

    /// Whom an event on `port` calls, if the hypervisor is its consumer.
    pub(super) fn consumer(&self, port: u32) -> Option<Consumer> {
        self.consumers.iter().find(|(p, _)| *p == port).map(|(_, c)| *c)
    }

    /// Drops closed ports from the table's end, at most `budget`; returns the highest port left
    /// once that one is open, and `None` when the budget or the table ran out.
    pub(super) fn shrink_to_open(&mut self, budget: &mut u64) -> Option<u32> {
        while let Some(last) = self.states.last() {
            if last.is_open() {
                return Some(self.len().saturating_sub(1));
            }
            if *budget == 0 {
                return None;
            }
            *budget = budget.saturating_sub(1);
            self.states.pop();
        }
        None
    }
}

/// Bits of [`Line::flags`].
const HELD: u8 = 1;
const HYPERVISOR: u8 = 2;

/// How the events of one port are delivered.
#[derive(Debug)]
pub(super) struct Line {
    vcpu: AtomicU16,
    priority: AtomicU8,
    flags: AtomicU8,
    /// The FIFO queue that it was last put on.
    last: AtomicU32,
}

impl Line {
    fn new() -> Self {
        Self {
            vcpu: AtomicU16::new(0),
            priority: AtomicU8::new(EVTCHN_FIFO_PRIORITY_DEFAULT as u8),
            flags: AtomicU8::new(0),
            last: AtomicU32::new(QueueId::default().to_bits()),
        }
    }

    /// Starts afresh for a new binding. The last queue stays: it may still have the port as tail.
    pub(super) fn reset(&self, vcpu: u16) {
        self.vcpu.store(vcpu, Ordering::Relaxed);
        self.priority.store(EVTCHN_FIFO_PRIORITY_DEFAULT as u8, Ordering::Relaxed);
        self.flags.store(0, Ordering::Relaxed);
    }

    /// The vCPU that is notified.
    #[inline]
    pub(super) fn vcpu(&self) -> u16 {
        self.vcpu.load(Ordering::Relaxed)
    }

    /// Chooses the vCPU that is notified.
    pub(super) fn set_vcpu(&self, vcpu: u16) {
        self.vcpu.store(vcpu, Ordering::Relaxed);
    }

    /// Chooses the FIFO priority.
    pub(super) fn set_priority(&self, priority: u8) {
        self.priority.store(priority, Ordering::Relaxed);
    }

    /// The FIFO queue for the next event.
    pub(super) fn queue(&self) -> QueueId {
        QueueId { vcpu: self.vcpu(), priority: self.priority.load(Ordering::Relaxed) }
    }

    /// The FIFO queue of the last event.
    pub(super) fn last_queue(&self) -> QueueId {
        QueueId::from_bits(self.last.load(Ordering::Relaxed))
    }

    /// Notes the FIFO queue of an event.
    pub(super) fn set_last_queue(&self, queue: QueueId) {
        self.last.store(queue.to_bits(), Ordering::Relaxed);
    }

    /// Whether the hypervisor consumes the port's events.
    #[inline]
    pub(super) fn is_hypervisors(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & HYPERVISOR != 0
    }

    /// Makes the hypervisor the consumer, until the next [`reset`](Self::reset).
    pub(super) fn set_hypervisors(&self) {
        self.flags.fetch_or(HYPERVISOR, Ordering::Relaxed);
    }

    /// Keeps an event until the guest gives the page for the port's FIFO word.
    pub(super) fn hold(&self) {
        self.flags.fetch_or(HELD, Ordering::Relaxed);
    }

    /// Takes an event that was kept.
    pub(super) fn take_held(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & HELD != 0
            && self.flags.fetch_and(!HELD, Ordering::Relaxed) & HELD != 0
    }
}

/// The lines of a domain's ports; those made stay where they are.
#[derive(Debug)]
pub(super) struct Lines {
    blocks: [Once<Box<[Line]>>; BLOCKS],
}

impl Default for Lines {
    fn default() -> Self {
        Self { blocks: [const { Once::new() }; BLOCKS] }
    }
}

impl Lines {
    /// The block of `port`, the first port in the block, and the number of ports in it.
    #[inline]
    fn locate(port: u32) -> (usize, u32, u32) {
        let top = (port | (STEP - 1)).ilog2();
        let block = (top - (STEP_LOG2 - 1)) as usize;
        let base = 1u32 << top & !(STEP - 1);
        (block, base, base.max(STEP))
    }

    /// The line of `port`; `None` where no port is.
    #[inline]
    pub(super) fn get(&self, port: u32) -> Option<&Line> {
        let (block, base, _) = Self::locate(port);
        self.blocks.get(block)?.get()?.get((port - base) as usize)
    }

    /// Makes the block that `port` is in.
    fn reserve(&self, port: u32) -> Result<(), Errno> {
        let (block, _, len) = Self::locate(port);
        let block = self.blocks.get(block).ok_or(Errno::ENOSPC)?;
        if block.get().is_none() {
            let mut lines = Vec::new();
            lines.try_reserve_exact(len as usize).map_err(|_| Errno::ENOMEM)?;
            lines.resize_with(len as usize, Line::new);
            block.call_once(|| lines.into_boxed_slice());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use xen_abi::event_channel::EVTCHN_FIFO_NR_CHANNELS;

    fn started() -> (Ports, Lines) {
        let (mut ports, lines) = (Ports::default(), Lines::default());
        ports.start(&lines).unwrap();
        (ports, lines)
    }

    fn bind(ports: &mut Ports, lines: &Lines, limit: u32) -> Result<u32, Errno> {
        let port = ports.find_free(lines, limit, |_| false)?;
        ports.open(port, State::Ipi);
        Ok(port)
    }

    #[test]
    fn blocks_cover_all_ports_without_overlap() {
        let mut next = (0, 0);
        for port in 0..EVTCHN_FIFO_NR_CHANNELS {
            let (block, base, len) = Lines::locate(port);
            let index = port - base;
            assert!(block < BLOCKS && index < len, "port {port}");
            assert_eq!((block, index), next, "port {port}");
            next = if index + 1 == len { (block + 1, 0) } else { (block, index + 1) };
        }
        assert_eq!(next, (BLOCKS, 0));
        assert!(Lines::default().get(EVTCHN_FIFO_NR_CHANNELS).is_none());
        assert!(Lines::default().get(u32::MAX).is_none());
    }

    #[test]
    fn port_zero_is_never_given_out() {
        let (mut ports, lines) = started();
        assert_eq!(bind(&mut ports, &lines, 4096), Ok(1));
        assert!(matches!(ports.get(0), Some(State::Reserved)));
    }

    #[test]
    fn table_grows_by_64_ports_up_to_the_limit() {
        let (mut ports, lines) = started();
        assert_eq!(ports.len(), 64);
        for want in 1..200 {
            assert_eq!(bind(&mut ports, &lines, 200), Ok(want));
            assert!(lines.get(want).is_some());
        }
        assert_eq!(ports.len(), 256);
        assert_eq!(bind(&mut ports, &lines, 200), Err(Errno::ENOSPC));
        ports.free(77);
        assert_eq!(bind(&mut ports, &lines, 200), Ok(77));
    }

    #[test]
    fn limit_of_the_fifo_interface_is_the_last_line() {
        let (mut ports, lines) = started();
        let limit = EVTCHN_FIFO_NR_CHANNELS;
        for want in 1..limit {
            assert_eq!(bind(&mut ports, &lines, limit), Ok(want));
        }
        assert_eq!(bind(&mut ports, &lines, limit), Err(Errno::ENOSPC));
    }

    #[test]
    fn busy_port_is_passed_over_and_found_later() {
        let (mut ports, lines) = started();
        let busy_2 = ports.find_free(&lines, 64, |p| p <= 2).unwrap();
        assert_eq!(busy_2, 3);
        assert_eq!(ports.find_free(&lines, 64, |p| p == 1), Ok(2));
        assert_eq!(ports.find_free(&lines, 64, |_| false), Ok(1));
    }

    #[test]
    fn hypervisors_port_does_not_count_as_open() {
        let (mut ports, lines) = started();
        let port = bind(&mut ports, &lines, 64).unwrap();
        assert_eq!(ports.guest_open, 1);
        ports.set_consumer(port, |_, _, _| ()).unwrap();
        assert_eq!(ports.guest_open, 0);
        assert!(ports.consumer(port).is_some());
        ports.free(port);
        assert_eq!(ports.guest_open, 0);
        assert!(ports.consumer(port).is_none());
    }

    #[test]
    fn shrinking_stops_at_open_ports_and_at_the_budget() {
        let (mut ports, lines) = started();
        for _ in 0..10 {
            bind(&mut ports, &lines, 64).unwrap();
        }
        let mut budget = 50;
        assert_eq!(ports.shrink_to_open(&mut budget), None);
        assert_eq!((budget, ports.len()), (0, 14));
        let mut budget = 100;
        assert_eq!(ports.shrink_to_open(&mut budget), Some(10));
        for port in (1..=10).rev() {
            ports.free(port);
        }
        assert_eq!(ports.shrink_to_open(&mut budget), None);
        assert_eq!(ports.len(), 0);
    }

    #[test]
    fn held_event_is_taken_once() {
        let line = Line::new();
        assert!(!line.take_held());
        line.hold();
        assert!(line.take_held());
        assert!(!line.take_held());
    }

    proptest! {
        #[test]
        fn given_port_is_the_lowest_free_one(frees in proptest::collection::vec(any::<proptest::sample::Index>(), 1..80)) {
            let (mut ports, lines) = started();
            let mut open = std::collections::BTreeSet::new();
            for (n, free) in frees.iter().enumerate() {
                let want = (1..).find(|p| !open.contains(p)).unwrap();
                prop_assert_eq!(bind(&mut ports, &lines, 4096), Ok(want));
                open.insert(want);
                if n % 3 == 2 {
                    let port = *free.get(&open.iter().copied().collect::<Vec<u32>>());
                    ports.free(port);
                    open.remove(&port);
                }
                prop_assert_eq!(ports.guest_open as usize, open.len());
            }
        }
    }
}
