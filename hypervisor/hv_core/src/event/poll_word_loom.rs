//! A vCPU that polls and those who make ports pending, in every order that the memory model allows (loom).

#[path = "poll_word.rs"]
#[allow(clippy::duplicate_mod, reason = "the file over other atomics")]
mod poll_word;

use crate::loom_atomics::AtomicU32;
use loom::sync::Arc;
use loom::thread;
use poll_word::{PollWord, Pollers, Waits};
use sync::Ordering;

mod sync {
    pub(super) use crate::loom_atomics::AtomicU32;
    pub(super) use loom::sync::atomic::{Ordering, fence};
}

/// Three threads are interrupted this often at most.
const PREEMPTIONS: usize = 3;
/// The port that is polled for.
const PORT: u32 = 1;

struct Domain {
    pollers: Pollers,
    word: PollWord,
    /// A bit for each port.
    pending: AtomicU32,
}

/// Polls; whether the vCPU sleeps then.
fn poll(domain: &Domain, only: Option<u32>) -> bool {
    domain.word.begin(&domain.pollers);
    if domain.pending.load(Ordering::Acquire) & 1 << PORT != 0 || !domain.word.go_on(only) {
        domain.word.end(&domain.pollers);
        return false;
    }
    true
}

/// Makes a port pending; whether that wakes the vCPU.
fn raise(domain: &Domain, port: u32) -> bool {
    domain.pending.fetch_or(1 << port, Ordering::AcqRel);
    let wakes = domain.pollers.any() && domain.word.waits_for(Some(port)) == Waits::ForIt;
    if wakes {
        domain.word.end(&domain.pollers);
    }
    wakes
}

/// `others` become pending while the vCPU polls for [`PORT`], as this does.
fn nobody_sleeps_over_an_event(only: Option<u32>, others: &'static [u32]) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(PREEMPTIONS);
    model.check(move || {
        let (pollers, word, pending) = (Pollers::new(), PollWord::new(), AtomicU32::new(0));
        let domain = Arc::new(Domain { pollers, word, pending });
        let senders = others.iter().chain(&[PORT]).map(|&port| {
            let domain = Arc::clone(&domain);
            thread::spawn(move || raise(&domain, port))
        });
        let senders: Vec<_> = senders.collect();
        let sleeps = poll(&domain, only);
        let woken = senders.into_iter().fold(false, |woken, sender| sender.join().unwrap() | woken);
        assert!(!sleeps || woken, "the vCPU sleeps over its event");
        domain.word.end(&domain.pollers);
        assert!(!domain.pollers.any(), "who does not poll is counted");
    });
}

#[test]
fn event_ends_a_poll_for_its_port() {
    nobody_sleeps_over_an_event(Some(PORT), &[]);
}

#[test]
fn event_ends_a_poll_for_many_ports() {
    nobody_sleeps_over_an_event(None, &[]);
}

#[test]
fn other_event_takes_none_from_a_poll_for_one_port() {
    nobody_sleeps_over_an_event(Some(PORT), &[2]);
}
