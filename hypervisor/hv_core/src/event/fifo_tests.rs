//! The queues against a guest that takes events off them at any moment, as Linux does, and against
//! one that writes anything anywhere.

use super::*;
use proptest::prelude::*;
use std::cell::{Cell, RefCell};

const VCPUS: u16 = 2;
const PORTS: u32 = 12;
const LINK: u32 = EVTCHN_FIFO_LINK_MASK;

/// What one vCPU's upcall handler does next; each step is one access to shared memory.
#[derive(Clone, Copy, Debug, Default)]
enum Next {
    #[default]
    TakeReady,
    ReadHead(u8),
    TakeOff(u8, u32),
    Look(u32),
    Handle(u32),
}

/// A vCPU of the guest.
#[derive(Clone, Copy, Debug, Default)]
struct Reader {
    /// It has had an upcall since it last began.
    upcall: bool,
    next: Next,
    /// Queues that it still has to read, and where it stands in each.
    ready: u32,
    heads: [u32; 16],
}

/// The guest's memory and its vCPUs. Each access of the code under test is one step of a schedule
/// that lets the vCPUs run in between.
struct Guest {
    words: RefCell<Vec<u32>>,
    ready: RefCell<Vec<u32>>,
    heads: RefCell<Vec<[u32; 16]>>,
    readers: RefCell<Vec<Reader>>,
    /// Ports with an event that no handler has seen.
    owed: RefCell<Vec<bool>>,
    /// Hypercalls (EVTCHNOP_unmask) that wait for the one under way.
    calls: RefCell<Vec<u32>>,
    schedule: RefCell<Vec<u8>>,
    at: Cell<usize>,
}

impl Guest {
    fn new(schedule: Vec<u8>) -> Self {
        Self {
            words: RefCell::new(vec![0; PORTS as usize]),
            ready: RefCell::new(vec![0; VCPUS.into()]),
            heads: RefCell::new(vec![[0; 16]; VCPUS.into()]),
            readers: RefCell::new(vec![Reader::default(); VCPUS.into()]),
            owed: RefCell::new(vec![false; PORTS as usize]),
            calls: RefCell::default(),
            schedule: RefCell::new(schedule),
            at: Cell::new(0),
        }
    }

    fn update(&self, port: u32, f: impl FnOnce(u32) -> u32) -> u32 {
        let word = &mut self.words.borrow_mut()[port as usize];
        let old = *word;
        *word = f(old);
        old
    }

    /// Lets the guest run for some steps.
    fn run(&self) {
        let schedule = self.schedule.borrow();
        let Some(&byte) = schedule.get(self.at.get() % schedule.len().max(1)) else { return };
        self.at.set(self.at.get() + 1);
        for n in 0..byte & 3 {
            self.step(u16::from(byte >> (2 + n) & 1));
        }
        if byte & 0xc0 == 0xc0 {
            self.mask(u32::from(byte >> 2) % (PORTS - 1) + 1);
        }
    }

    /// One step of one vCPU; false when it sleeps.
    fn step(&self, vcpu: u16) -> bool {
        let mut readers = self.readers.borrow_mut();
        let r = &mut readers[usize::from(vcpu)];
        r.next = match r.next {
            Next::TakeReady => {
                if !std::mem::take(&mut r.upcall) && r.ready == 0 {
                    return false;
                }
                r.ready |= std::mem::take(&mut self.ready.borrow_mut()[usize::from(vcpu)]);
                match r.ready.trailing_zeros() {
                    32 => Next::TakeReady,
                    p if r.heads[p as usize] == 0 => Next::ReadHead(p as u8),
                    p => Next::TakeOff(p as u8, r.heads[p as usize]),
                }
            }
            Next::ReadHead(p) => Next::TakeOff(p, self.heads.borrow()[usize::from(vcpu)][usize::from(p)]),
            Next::TakeOff(p, port) => {
                let link = self.update(port, |w| w & !(LINKED | LINK)) & LINK;
                r.heads[usize::from(p)] = link;
                if link == 0 {
                    r.ready &= !(1 << p);
                }
                Next::Look(port)
            }
            Next::Look(port) => {
                let word = self.words.borrow()[port as usize];
                if word & (PENDING | MASKED) == PENDING { Next::Handle(port) } else { self.after(r) }
            }
            Next::Handle(port) => {
                self.update(port, |w| w & !PENDING);
                self.owed.borrow_mut()[port as usize] = false;
                self.after(r)
            }
        };
        true
    }

    /// The handler looks at the ready word again before it returns.
    fn after(&self, r: &mut Reader) -> Next {
        r.upcall = true;
        Next::TakeReady
    }

    fn mask(&self, port: u32) {
        self.update(port, |w| w | MASKED);
    }

    /// Unmasks as Linux does: with a hypercall if the port is pending, and not while it is BUSY.
    fn unmask(&self, port: u32) {
        loop {
            let word = self.words.borrow()[port as usize];
            if word & MASKED == 0 {
                return;
            }
            if word & PENDING != 0 {
                return self.calls.borrow_mut().push(port);
            }
            assert_eq!(word & BUSY, 0, "BUSY outside a hypercall");
            self.update(port, |w| w & !MASKED);
        }
    }

    fn upcall(&self, vcpu: u16) {
        self.readers.borrow_mut()[usize::from(vcpu)].upcall = true;
    }

    fn drain(&self) {
        for _ in 0..10_000 {
            if !(0..VCPUS).any(|v| self.step(v)) {
                return;
            }
        }
        panic!("the guest does not come to an end");
    }
}

struct Word<'a>(&'a Guest, u32);

impl EventWord for Word<'_> {
    fn load(&self) -> u32 {
        self.0.run();
        self.0.words.borrow()[self.1 as usize]
    }
    fn set(&self, bits: u32) -> u32 {
        self.0.run();
        self.0.update(self.1, |w| w | bits)
    }
    fn clear(&self, bits: u32) -> u32 {
        self.0.run();
        self.0.update(self.1, |w| w & !bits)
    }
    fn replace(&self, current: u32, new: u32) -> Result<u32, u32> {
        self.0.run();
        let old = self.0.update(self.1, |w| if w == current { new } else { w });
        if old == current { Ok(old) } else { Err(old) }
    }
}

impl<'a> Memory for &'a Guest {
    type Word = Word<'a>;
    type Control = (&'a Guest, usize);
    fn word(&self, port: u32) -> Option<Word<'a>> {
        (port < PORTS).then_some(Word(self, port))
    }
    fn has_control(&self, vcpu: u16) -> bool {
        vcpu < VCPUS
    }
    fn control(&self, vcpu: u16) -> Option<(&'a Guest, usize)> {
        self.has_control(vcpu).then_some((self, vcpu.into()))
    }
}

impl ControlBlock for (&Guest, usize) {
    fn set_head(&self, priority: u8, port: u32) {
        self.0.run();
        self.0.heads.borrow_mut()[self.1][usize::from(priority)] = port;
    }
    fn set_ready(&self, priority: u8) -> bool {
        self.0.run();
        let word = &mut self.0.ready.borrow_mut()[self.1];
        let bit = 1 << priority;
        let was = *word & bit != 0;
        *word |= bit;
        was
    }
}

/// What became of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Raised {
    NoWord,
    NoControl,
    Pending { newly: bool, linked: bool, ready: bool },
}

/// Makes `port` pending, and unless it is masked puts it on `queue`.
fn raise(memory: &impl Memory, tails: &mut [Tails], port: u32, queue: QueueId, last: QueueId) -> Raised {
    match mark(memory, port, queue.vcpu) {
        Marked::NoWord => Raised::NoWord,
        Marked::NoControl => Raised::NoControl,
        Marked::Masked(newly) => Raised::Pending { newly, linked: false, ready: false },
        Marked::Unmasked(word, newly) => match link(memory, tails, &word, port, queue, last) {
            Linked::Before => Raised::Pending { newly, linked: false, ready: false },
            Linked::Now { ready } => Raised::Pending { newly, linked: true, ready },
        },
    }
}

/// The hypervisor's side: tails and where each port goes.
struct Sender {
    tails: Vec<Tails>,
    queue: Vec<QueueId>,
    last: Vec<QueueId>,
}

impl Sender {
    fn new() -> Self {
        let queues = vec![QueueId::default(); PORTS as usize];
        Self { tails: vec![Tails::default(); VCPUS.into()], queue: queues.clone(), last: queues }
    }

    fn raise(&mut self, guest: &Guest, port: u32) {
        let (queue, last) = (self.queue[port as usize], self.last[port as usize]);
        match raise(&guest, &mut self.tails, port, queue, last) {
            Raised::Pending { linked, ready, .. } => {
                if linked {
                    self.last[port as usize] = queue;
                }
                if ready {
                    guest.upcall(queue.vcpu);
                }
            }
            other => panic!("{other:?}"),
        }
    }

    /// Serves the unmask hypercalls that the guest made meanwhile.
    fn serve(&mut self, guest: &Guest) {
        while let Some(port) = { guest.calls.borrow_mut().pop() } {
            if unmask(&guest, port) {
                self.raise(guest, port);
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Action {
    Raise(u32),
    Mask(u32),
    Unmask(u32),
    Move(u32, u16, u8),
    Run(u8),
}

fn action() -> impl Strategy<Value = Action> {
    let port = 1..PORTS;
    prop_oneof![
        6 => port.clone().prop_map(Action::Raise),
        1 => port.clone().prop_map(Action::Mask),
        2 => port.clone().prop_map(Action::Unmask),
        2 => (port, 0..VCPUS, 6u8..9).prop_map(|(p, v, q)| Action::Move(p, v, q)),
        3 => (1u8..12).prop_map(Action::Run),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 2000 }))]

    #[test]
    fn no_event_is_lost_whatever_the_guest_does_meanwhile(
        actions in proptest::collection::vec(action(), 1..80),
        schedule in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let (guest, mut sender) = (Guest::new(schedule), Sender::new());
        for action in actions {
            match action {
                Action::Raise(port) => {
                    guest.owed.borrow_mut()[port as usize] = true;
                    sender.raise(&guest, port);
                }
                Action::Mask(port) => guest.mask(port),
                Action::Unmask(port) => guest.unmask(port),
                Action::Move(port, vcpu, priority) => sender.queue[port as usize] = QueueId { vcpu, priority },
                Action::Run(n) => for i in 0..n { guest.step(u16::from(i) % VCPUS); },
            }
            sender.serve(&guest);
        }
        guest.schedule.borrow_mut().clear();
        for port in 1..PORTS {
            guest.unmask(port);
            sender.serve(&guest);
        }
        guest.drain();
        prop_assert_eq!(&*guest.owed.borrow(), &vec![false; PORTS as usize]);
        for word in &*guest.words.borrow() {
            prop_assert_eq!(word & (PENDING | LINKED | BUSY | LINK), 0);
        }
    }
}

#[test]
fn events_of_one_queue_are_read_in_order() {
    let (guest, mut sender) = (Guest::new(vec![]), Sender::new());
    for port in [3, 1, 2] {
        sender.raise(&guest, port);
    }
    assert_eq!(guest.heads.borrow()[0][7], 3);
    let words = guest.words.borrow();
    assert_eq!(words[3], PENDING | LINKED | 1);
    assert_eq!(words[1], PENDING | LINKED | 2);
    assert_eq!(words[2], PENDING | LINKED);
}

#[test]
fn ready_is_announced_once_for_a_queue() {
    let guest = &Guest::new(vec![]);
    let mut tails = vec![Tails::default(); 1];
    let queue = QueueId::default();
    let first = raise(&guest, &mut tails, 1, queue, queue);
    assert_eq!(first, Raised::Pending { newly: true, linked: true, ready: true });
    let second = raise(&guest, &mut tails, 2, queue, queue);
    assert_eq!(second, Raised::Pending { newly: true, linked: true, ready: false });
    let again = raise(&guest, &mut tails, 2, queue, queue);
    assert_eq!(again, Raised::Pending { newly: false, linked: false, ready: false });
}

#[test]
fn masked_port_is_pending_but_on_no_queue() {
    let guest = &Guest::new(vec![]);
    guest.mask(4);
    let mut tails = vec![Tails::default(); 1];
    let queue = QueueId::default();
    let raised = raise(&guest, &mut tails, 4, queue, queue);
    assert_eq!(raised, Raised::Pending { newly: true, linked: false, ready: false });
    assert_eq!(guest.words.borrow()[4], PENDING | MASKED);
    assert!(unmask(&guest, 4));
    assert!(!unmask(&guest, 5));
}

#[test]
fn port_without_word_or_vcpu_without_control_block_changes_nothing() {
    let guest = &Guest::new(vec![]);
    let mut tails = vec![Tails::default(); 1];
    let queue = QueueId::default();
    assert_eq!(raise(&guest, &mut tails, PORTS, queue, queue), Raised::NoWord);
    let nowhere = QueueId { vcpu: VCPUS, priority: 7 };
    assert_eq!(raise(&guest, &mut tails, 1, nowhere, queue), Raised::NoControl);
    assert_eq!(guest.words.borrow()[1], 0);
}

/// A guest that has written something else each time one looks.
struct Hostile {
    values: Vec<u32>,
    accesses: Cell<usize>,
}

impl Hostile {
    fn next(&self) -> u32 {
        let n = self.accesses.get();
        self.accesses.set(n + 1);
        self.values[n % self.values.len()]
    }
}

impl EventWord for &Hostile {
    fn load(&self) -> u32 {
        self.next()
    }
    fn set(&self, _: u32) -> u32 {
        self.next()
    }
    fn clear(&self, _: u32) -> u32 {
        self.next()
    }
    fn replace(&self, current: u32, _: u32) -> Result<u32, u32> {
        let found = self.next();
        if found == current { Ok(found) } else { Err(found) }
    }
}

impl<'a> Memory for &'a Hostile {
    type Word = &'a Hostile;
    type Control = &'a Hostile;
    fn word(&self, port: u32) -> Option<&'a Hostile> {
        assert!(port < PORTS, "a port that the guest made up");
        Some(self)
    }
    fn has_control(&self, _: u16) -> bool {
        true
    }
    fn control(&self, _: u16) -> Option<&'a Hostile> {
        Some(self)
    }
}

impl ControlBlock for &Hostile {
    fn set_head(&self, _: u8, port: u32) {
        assert!(port < PORTS);
    }
    fn set_ready(&self, _: u8) -> bool {
        self.next() & 1 != 0
    }
}

proptest! {
    #[test]
    fn hostile_words_cost_a_bounded_number_of_accesses(
        values in proptest::collection::vec(any::<u32>(), 1..40),
        ports in proptest::collection::vec((1..PORTS, 0..VCPUS, 0u8..16), 1..40),
    ) {
        let guest = &Hostile { values, accesses: Cell::new(0) };
        let mut tails = vec![Tails::default(); VCPUS.into()];
        let mut last = QueueId::default();
        for (port, vcpu, priority) in ports {
            let queue = QueueId { vcpu, priority };
            let before = guest.accesses.get();
            let raised = raise(&guest, &mut tails, port, queue, last);
            if raised == (Raised::Pending { newly: true, linked: true, ready: true }) {
                last = queue;
            }
            let _ = unmask(&guest, port);
            prop_assert!(guest.accesses.get() - before <= 12);
        }
    }
}

#[test]
fn queue_survives_its_bits() {
    for queue in [QueueId::default(), QueueId { vcpu: u16::MAX, priority: 15 }] {
        assert_eq!(QueueId::from_bits(queue.to_bits()), queue);
    }
}
