//! The FIFO interface: how an event gets on a queue that the guest reads without locks
//! (`event_channel.h`, "FIFO ABI").
//!
//! Each port has an event word in the guest's memory. A vCPU has one queue a priority: the head
//! stands in its control block, each event word links to the next, and the tail is known only
//! here. The guest takes events off at the head at any time; it clears LINKED and LINK of the word
//! in one step, so that the tail's link is written only while the tail is still LINKED.
//!
//! What the guest can do to a word while this code works on it is undone by atomic operations and
//! bounded tries. A link is written and never followed: a guest that writes nonsense loses its own
//! events. The words are behind traits, so that tests put other memories in their place.

use xen_abi::event_channel::{
    EVTCHN_FIFO_BUSY, EVTCHN_FIFO_LINK_MASK, EVTCHN_FIFO_LINKED, EVTCHN_FIFO_MASKED, EVTCHN_FIFO_MAX_QUEUES,
    EVTCHN_FIFO_PENDING, EVTCHN_FIFO_PRIORITY_DEFAULT,
};

/// Event word: an event is pending.
pub const PENDING: u32 = 1 << EVTCHN_FIFO_PENDING;
/// Event word: the guest wants no event.
pub const MASKED: u32 = 1 << EVTCHN_FIFO_MASKED;
/// Event word: on a queue.
pub const LINKED: u32 = 1 << EVTCHN_FIFO_LINKED;
/// Event word: the guest has to wait before it unmasks.
pub const BUSY: u32 = 1 << EVTCHN_FIFO_BUSY;

/// Tries to write the link of a BUSY word. A guest that keeps the rules can change such a word
/// three times only (mask it, take the event, take it off the queue).
const LINK_TRIES: u32 = 4;

/// An event word in memory that the guest shares.
pub trait EventWord {
    /// Reads the word.
    fn load(&self) -> u32;
    /// Sets bits; returns the word before.
    fn set(&self, bits: u32) -> u32;
    /// Clears bits; returns the word before.
    fn clear(&self, bits: u32) -> u32;
    /// Replaces the word if it is `current`; `Err` has the word found.
    fn replace(&self, current: u32, new: u32) -> Result<u32, u32>;
}

/// A vCPU's control block in memory that the guest shares.
pub trait ControlBlock {
    /// Writes the head of the queue of a priority.
    fn set_head(&self, priority: u8, port: u32);
    /// Sets the priority's bit in the ready word; whether it was set before.
    fn set_ready(&self, priority: u8) -> bool;
}

/// The event words of a domain and the control blocks of its vCPUs.
pub trait Memory {
    /// A word.
    type Word: EventWord;
    /// A control block.
    type Control: ControlBlock;
    /// The word of `port`, if the guest has given a page for it.
    fn word(&self, port: u32) -> Option<Self::Word>;
    /// Whether the vCPU has a control block.
    fn has_control(&self, vcpu: u16) -> bool;
    /// The control block of a vCPU that has one.
    fn control(&self, vcpu: u16) -> Option<Self::Control>;
}

/// A queue of a domain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueId {
    /// The vCPU that reads it.
    pub vcpu: u16,
    /// Its priority, below EVTCHN_FIFO_MAX_QUEUES.
    pub priority: u8,
}

impl Default for QueueId {
    fn default() -> Self {
        Self { vcpu: 0, priority: EVTCHN_FIFO_PRIORITY_DEFAULT as u8 }
    }
}

impl QueueId {
    /// The queue as one word.
    pub fn to_bits(self) -> u32 {
        u32::from(self.vcpu) << 8 | u32::from(self.priority)
    }

    /// The queue that [`to_bits`](Self::to_bits) made a word of.
    pub fn from_bits(bits: u32) -> Self {
        Self { vcpu: (bits >> 8) as u16, priority: bits as u8 }
    }
}

/// The last port of each queue of one vCPU; 0 for an empty queue.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tails([u32; EVTCHN_FIFO_MAX_QUEUES as usize]);

/// Finds the tail of a queue.
fn tail(tails: &mut [Tails], queue: QueueId) -> Option<&mut u32> {
    tails.get_mut(usize::from(queue.vcpu))?.0.get_mut(usize::from(queue.priority))
}

/// What became of an event that was made pending.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Marked<W> {
    /// There is no word for the port: the event is to be kept.
    NoWord,
    /// The vCPU has no control block: the event is lost, as the interface has it.
    NoControl,
    /// The port is pending and masked; whether it was not pending before.
    Masked(bool),
    /// The port is pending, and is to be put on its queue by [`link`]: its word, and whether it was not pending before.
    Unmasked(W, bool),
}

/// What became of an event that was to be put on its queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Linked {
    /// It is on a queue already.
    Before,
    /// It is on its queue now.
    Now {
        /// A queue of the vCPU became ready: it needs an upcall.
        ready: bool,
    },
}

/// Makes `port`, which goes to `vcpu`, pending. No other call for the same domain may run between this and [`link`].
#[inline(always)]
pub fn mark<M: Memory>(memory: &M, port: u32, vcpu: u16) -> Marked<M::Word> {
    let Some(word) = memory.word(port) else { return Marked::NoWord };
    if !memory.has_control(vcpu) {
        return Marked::NoControl;
    }
    let before = word.set(PENDING);
    let newly = before & PENDING == 0;
    // A guest that unmasks after this moment finds PENDING set, and asks for the event.
    if before & MASKED != 0 { Marked::Masked(newly) } else { Marked::Unmasked(word, newly) }
}

/// Puts `port`, whose word is given, on `queue`. `last` is the queue on which it was put before.
#[inline(always)]
pub fn link<M: Memory>(
    memory: &M,
    tails: &mut [Tails],
    word: &M::Word,
    port: u32,
    queue: QueueId,
    last: QueueId,
) -> Linked {
    if word.set(LINKED) & LINKED != 0 {
        return Linked::Before;
    }
    // The port was not linked: if it is a tail, that queue is empty by now.
    if let Some(old) = tail(tails, last)
        && *old == port
    {
        *old = 0;
    }
    let mut ready = false;
    if let Some(tail) = tail(tails, queue) {
        let appended = *tail != 0 && append(memory, *tail, port);
        *tail = port;
        if !appended && let Some(control) = memory.control(queue.vcpu) {
            control.set_head(queue.priority, port);
            ready = !control.set_ready(queue.priority);
        }
    }
    Linked::Now { ready }
}

/// Puts `port` behind the last one of a queue; false when that is not on the queue any more.
#[inline(never)]
fn append(memory: &impl Memory, last: u32, port: u32) -> bool {
    memory.word(last).is_some_and(|word| set_link(&word, port))
}

/// Writes the link of a queue's last word; false when the word is not on the queue any more.
fn set_link(word: &impl EventWord, port: u32) -> bool {
    let mut seen = word.load();
    match try_link(word, &mut seen, port) {
        Some(result) => return result,
        None => seen = word.set(BUSY) | BUSY,
    }
    for _ in 0..LINK_TRIES {
        match try_link(word, &mut seen, port) {
            Some(true) => return true,
            Some(false) => {
                word.clear(BUSY);
                return false;
            }
            None => {}
        }
    }
    // The guest broke the rules; it does not see this event.
    word.clear(BUSY);
    true
}

/// One try; `None` when the word changed meanwhile, to what `seen` then has.
fn try_link(word: &impl EventWord, seen: &mut u32, port: u32) -> Option<bool> {
    if *seen & LINKED == 0 {
        return Some(false);
    }
    let new = *seen & !(BUSY | EVTCHN_FIFO_LINK_MASK) | port & EVTCHN_FIFO_LINK_MASK;
    match word.replace(*seen, new) {
        Ok(_) => Some(true),
        Err(found) => {
            *seen = found;
            None
        }
    }
}

/// Unmasks `port`; true when it is pending and so has to be raised again.
pub fn unmask(memory: &impl Memory, port: u32) -> bool {
    memory.word(port).is_some_and(|word| word.clear(MASKED) & PENDING != 0)
}

/// Withdraws a pending event; the guest takes the word off its queue itself.
pub fn clear_pending(memory: &impl Memory, port: u32) {
    if let Some(word) = memory.word(port) {
        word.clear(PENDING);
    }
}

#[cfg(test)]
#[path = "fifo_loom.rs"]
mod loom_tests;
#[cfg(test)]
#[path = "fifo_tests.rs"]
mod tests;
