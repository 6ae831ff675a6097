//! The FIFO interface of event channels: queues in the guest's memory (`event_channel.h`).

use crate::events::State;
use crate::{Model, PAGE, PageId};
use std::collections::BTreeMap;
use xen_abi::Errno;
use xen_abi::event_channel::*;

const PENDING: u32 = 1 << EVTCHN_FIFO_PENDING;
const MASKED: u32 = 1 << EVTCHN_FIFO_MASKED;
const LINKED: u32 = 1 << EVTCHN_FIFO_LINKED;
const BUSY: u32 = 1 << EVTCHN_FIFO_BUSY;

/// Words of a page.
const WORDS: u32 = EVTCHN_FIFO_WORDS_PER_PAGE;
/// Pages of the event array at most.
const MAX_PAGES: u32 = EVTCHN_FIFO_NR_CHANNELS / WORDS;

/// A queue of a domain.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Queue {
    pub(crate) vcpu: u32,
    pub(crate) priority: u32,
}

/// The interface of a domain that uses it.
#[derive(Debug, Default)]
pub(crate) struct Fifo {
    /// Control blocks by vCPU: page and offset.
    controls: BTreeMap<u32, (PageId, usize)>,
    /// The event array.
    pub(crate) pages: Vec<PageId>,
    /// The port that was put last on each queue, unless it was put on another since.
    tails: BTreeMap<Queue, u32>,
}

impl Fifo {
    pub(crate) fn held(&self) -> impl Iterator<Item = PageId> {
        self.controls.values().map(|(page, _)| *page).chain(self.pages.iter().copied())
    }
}

impl Model {
    /// Where the event word of a port is.
    fn word_at(&self, id: u16, port: u32) -> Option<(PageId, usize)> {
        let fifo = self.dom(id).events.fifo.as_ref()?;
        Some((*fifo.pages.get((port / WORDS) as usize)?, (port % WORDS) as usize * 4))
    }

    /// The event word of a port.
    pub(crate) fn word(&self, id: u16, port: u32) -> Option<u32> {
        self.word_at(id, port).map(|(page, offset)| self.pages.load32(page, offset))
    }

    pub(crate) fn set_word(&mut self, id: u16, port: u32, word: u32) {
        if let Some((page, offset)) = self.word_at(id, port) {
            self.pages.store32(page, offset, word);
        }
    }

    /// Whether a port is on a queue.
    pub(crate) fn is_linked(&self, id: u16, port: u32) -> bool {
        self.word(id, port).is_some_and(|word| word & LINKED != 0)
    }

    /// Pending and masked, by the event word.
    pub(crate) fn fifo_bits(&self, id: u16, port: u32) -> (bool, bool) {
        self.word(id, port).map_or((false, true), |word| (word & PENDING != 0, word & MASKED != 0))
    }

    /// Takes back what is pending; the guest takes the port off its queue.
    pub(crate) fn fifo_withdraw(&mut self, id: u16, port: u32) {
        if let Some(word) = self.word(id, port) {
            self.set_word(id, port, word & !PENDING);
        }
    }

    /// Unmasks a port; whether it is to be raised.
    pub(crate) fn fifo_unmask(&mut self, id: u16, port: u32) -> bool {
        let Some(word) = self.word(id, port) else { return false };
        self.set_word(id, port, word & !MASKED);
        word & PENDING != 0
    }

    /// Raises a port: whether the vCPU that it notifies needs an upcall.
    pub(crate) fn fifo_raise(&mut self, id: u16, port: u32) -> bool {
        let line = *self.dom(id).events.port(port).expect("a port of the table");
        let queue = Queue { vcpu: line.vcpu, priority: line.priority };
        let Some(word) = self.word(id, port) else {
            self.dom_mut(id).events.ports[port as usize].held = true;
            return false;
        };
        let fifo = self.dom(id).events.fifo.as_ref().expect("there are words");
        // Without a control block the event is lost.
        let Some(&(control, offset)) = fifo.controls.get(&queue.vcpu) else { return false };
        self.set_word(id, port, word | PENDING);
        if word & (MASKED | LINKED) != 0 {
            return false;
        }
        self.set_word(id, port, word | PENDING | LINKED);
        self.dom_mut(id).events.ports[port as usize].last = queue;

        // It is the last of its queue from now on, and of no other.
        let fifo = self.dom_mut(id).events.fifo.as_mut().expect("there are words");
        if fifo.tails.get(&line.last) == Some(&port) {
            fifo.tails.remove(&line.last);
        }
        let before = fifo.tails.insert(queue, port);
        // The one before it leads to it, unless the guest has taken that off the queue: then the queue is empty.
        if let Some(before) = before
            && let Some(word) = self.word(id, before)
            && word & LINKED != 0
        {
            self.set_word(id, before, word & !(BUSY | EVTCHN_FIFO_LINK_MASK) | port);
            return false;
        }
        self.pages.store32(control, offset + 8 + queue.priority as usize * 4, port);
        let ready = self.pages.load32(control, offset);
        self.pages.store32(control, offset, ready | 1 << queue.priority);
        ready & 1 << queue.priority == 0
    }

    /// EVTCHNOP_init_control.
    pub(crate) fn init_control(&mut self, id: u16, vcpu: u32, gfn: u64, offset: u32) -> Result<(), Errno> {
        if vcpu as usize >= self.dom(id).vcpus.len() {
            return Err(Errno::ENOENT);
        }
        if offset as usize > PAGE - size_of::<EvtchnFifoControlBlock>() || !offset.is_multiple_of(8) {
            return Err(Errno::EINVAL);
        }
        let page = self.own_page(id, gfn).ok_or(Errno::EINVAL)?;
        let control = (page, offset as usize);
        match &mut self.dom_mut(id).events.fifo {
            Some(fifo) if fifo.controls.contains_key(&vcpu) => return Err(Errno::EINVAL),
            Some(fifo) => drop(fifo.controls.insert(vcpu, control)),
            slot @ None => {
                *slot = Some(Fifo { controls: [(vcpu, control)].into(), ..Fifo::default() });
                self.hold_two_level(id);
            }
        }
        Ok(())
    }

    /// EVTCHNOP_expand_array: a page more of event words, in which is raised what waited for it.
    pub(crate) fn expand_array(&mut self, id: u16, gfn: u64) -> Result<(), Errno> {
        let page = self.own_page(id, gfn);
        let fifo = self.dom_mut(id).events.fifo.as_mut().ok_or(Errno::EOPNOTSUPP)?;
        let first = fifo.pages.len() as u32;
        if first == MAX_PAGES {
            return Err(Errno::ENOSPC);
        }
        fifo.pages.push(page.ok_or(Errno::EINVAL)?);
        let mut upcalls = false;
        for port in first * WORDS..(first + 1) * WORDS {
            let waited =
                self.dom_mut(id).events.open(port).is_some_and(|port| core::mem::take(&mut port.held));
            if waited && self.fifo_raise(id, port) {
                let vcpu = self.dom(id).events.ports[port as usize].vcpu;
                upcalls |= self.mark_upcall(id, vcpu);
            }
        }
        if upcalls {
            self.upcall_all_marked(id);
        }
        Ok(())
    }

    /// What is pending in the 2-level interface waits for the event array.
    fn hold_two_level(&mut self, id: u16) {
        for port in 0..EVTCHN_2L_NR_CHANNELS {
            if self.take_two_level(id, port)
                && let Some(port) = self.dom_mut(id).events.ports.get_mut(port as usize)
            {
                debug_assert!(port.state != State::Reserved || !port.held);
                port.held = true;
            }
        }
    }
}
