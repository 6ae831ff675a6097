//! The queues and a vCPU that reads them, in every order that the memory model allows (loom).
//!
//! The reader is Linux's: it takes the ready word, follows each queue from its head, takes each word off the queue and
//! then looks whether it is pending. The hypervisor raises events meanwhile. At the end every event has been seen.

use super::*;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use loom::thread;

const PORTS: usize = 3;
const QUEUE: QueueId = QueueId { vcpu: 0, priority: 0 };

/// Threads are interrupted this often at most: faults of such code show with two.
const PREEMPTIONS: usize = 4;

/// A word: the memory, and which of its words.
struct Word(Arc<Shared>, usize);

impl Word {
    fn get(&self) -> &AtomicU32 {
        &self.0.words[self.1]
    }
}

// The orders are those of the machine's guest memory: what changes a word is a barrier both ways.
impl EventWord for Word {
    fn load(&self) -> u32 {
        self.get().load(Ordering::Acquire)
    }
    fn set(&self, bits: u32) -> u32 {
        self.get().fetch_or(bits, Ordering::AcqRel)
    }
    fn clear(&self, bits: u32) -> u32 {
        self.get().fetch_and(!bits, Ordering::AcqRel)
    }
    fn replace(&self, current: u32, new: u32) -> Result<u32, u32> {
        self.get().compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire)
    }
}

/// What both sides share: the words, one queue's head, the ready word, and the upcall.
struct Shared {
    words: [AtomicU32; PORTS],
    head: AtomicU32,
    ready: AtomicU32,
    upcall: AtomicBool,
}

impl Shared {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            words: core::array::from_fn(|_| AtomicU32::new(0)),
            head: AtomicU32::new(0),
            ready: AtomicU32::new(0),
            upcall: AtomicBool::new(false),
        })
    }

    /// The guest: takes an upcall, if there is one, and all that its queue has. Counts how often each port was seen
    /// pending.
    fn take_events(&self) {
        if !self.upcall.swap(false, Ordering::AcqRel) {
            return;
        }
        while self.ready.swap(0, Ordering::AcqRel) != 0 {
            let mut port = self.head.load(Ordering::Acquire);
            while port != 0 {
                let word = &self.words[port as usize];
                // Off the queue first, in one step with the link.
                let before = word.fetch_and(!(LINKED | EVTCHN_FIFO_LINK_MASK), Ordering::AcqRel);
                let next = before & EVTCHN_FIFO_LINK_MASK;
                if word.load(Ordering::Acquire) & MASKED == 0 {
                    word.fetch_and(!PENDING, Ordering::AcqRel);
                }
                port = next;
            }
        }
    }
}

struct View(Arc<Shared>);

impl Memory for View {
    type Word = Word;
    type Control = Self;
    fn word(&self, port: u32) -> Option<Word> {
        Some(Word(Arc::clone(&self.0), port as usize))
    }
    fn has_control(&self, _: u16) -> bool {
        true
    }
    fn control(&self, _: u16) -> Option<Self> {
        Some(Self(Arc::clone(&self.0)))
    }
}

impl ControlBlock for View {
    fn set_head(&self, _: u8, port: u32) {
        self.0.head.store(port, Ordering::Release);
    }
    fn set_ready(&self, priority: u8) -> bool {
        let bit = 1 << priority;
        self.0.ready.fetch_or(bit, Ordering::AcqRel) & bit != 0
    }
}

/// The hypervisor raises events, one after the other, as its lock has it.
fn raise_all(shared: &Arc<Shared>, ports: &[u32]) {
    let memory = View(Arc::clone(shared));
    let mut tails = [Tails::default()];
    for port in ports {
        match mark(&memory, *port, QUEUE.vcpu) {
            Marked::Unmasked(word, _) => {
                if link(&memory, &mut tails, &word, *port, QUEUE, QUEUE) == (Linked::Now { ready: true }) {
                    shared.upcall.swap(true, Ordering::AcqRel);
                }
            }
            Marked::Masked(_) => {}
            Marked::NoWord | Marked::NoControl => panic!("there is memory for port {port}"),
        }
    }
}

/// Runs the hypervisor against a vCPU that takes upcalls at any moment, and once more when all is quiet.
fn every_event_is_seen(ports: &'static [u32]) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(PREEMPTIONS);
    model.check(move || {
        let shared = Shared::new();
        let hypervisor = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || raise_all(&shared, ports))
        };
        shared.take_events();
        hypervisor.join().unwrap();
        shared.take_events();
        for (port, word) in shared.words.iter().enumerate() {
            let word = word.load(Ordering::Acquire);
            assert_eq!(word & (PENDING | LINKED | BUSY), 0, "port {port}: {word:#x}");
        }
    });
}

#[test]
fn two_ports_raised_while_the_queue_is_read_are_both_seen() {
    every_event_is_seen(&[1, 2]);
}

#[test]
fn port_raised_again_while_it_is_taken_is_seen_again() {
    every_event_is_seen(&[1, 1]);
}

#[test]
fn port_put_behind_one_that_is_taken_off_is_not_lost() {
    every_event_is_seen(&[1, 2, 1]);
}
