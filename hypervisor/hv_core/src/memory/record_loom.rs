//! References to a frame that pCPUs take and give back at once, in every order that the memory model allows (loom).

#[path = "record.rs"]
#[allow(dead_code, clippy::duplicate_mod, reason = "the file over other atomics")]
mod record;

use loom::sync::Arc;
use loom::thread;
use record::{COUNT, GUEST, OWNER, OWNER_SHIFT, clear, get, put};
use sync::{AtomicU64, Ordering};

mod sync {
    pub(super) use loom::sync::atomic::{AtomicU64, Ordering, fence};
}

/// Three threads are interrupted this often at most.
const PREEMPTIONS: usize = 3;

/// A frame with this many references.
fn record(owner: u64, count: u64) -> u64 {
    GUEST | owner << OWNER_SHIFT | count
}

/// The record, two words of the frame, and how often it was freed.
struct Frame {
    record: AtomicU64,
    words: [AtomicU64; 2],
    freed: AtomicU64,
}

impl Frame {
    fn new(count: u64) -> Arc<Self> {
        let zero = || AtomicU64::new(0);
        Arc::new(Self { record: AtomicU64::new(record(1, count)), words: [zero(), zero()], freed: zero() })
    }

    /// Gives back a reference; who gives the last gives the frame to domain 2.
    fn put(&self) {
        let Some(before) = put(&self.record) else { return };
        assert_eq!(before & OWNER, 1 << OWNER_SHIFT);
        clear(&self.record);
        self.freed.fetch_add(1, Ordering::Relaxed);
        self.record.store(record(2, 1), Ordering::Release);
    }
}

#[test]
fn whoever_frees_a_frame_sees_what_the_others_did_with_it() {
    loom::model(|| {
        let frame = Frame::new(2);
        let other = {
            let frame = Arc::clone(&frame);
            thread::spawn(move || use_and_put(&frame, 1))
        };
        use_and_put(&frame, 0);
        other.join().unwrap();
    });

    fn use_and_put(frame: &Frame, word: usize) {
        frame.words[word].store(1, Ordering::Relaxed);
        if put(&frame.record).is_some() {
            clear(&frame.record);
            assert!(frame.words.iter().all(|word| word.load(Ordering::Relaxed) == 1));
        }
    }
}

#[test]
fn reference_is_taken_while_another_is_there_and_not_of_the_next_owner() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(PREEMPTIONS);
    model.check(|| {
        let frame = Frame::new(1);
        let takers = [(); 2].map(|()| {
            let frame = Arc::clone(&frame);
            thread::spawn(move || {
                if get(&frame.record, 1) {
                    let now = frame.record.load(Ordering::Relaxed);
                    assert!(now & OWNER == 1 << OWNER_SHIFT && now & COUNT > 0, "{now:x}");
                    frame.put();
                }
            })
        });
        frame.put();
        takers.into_iter().for_each(|taker| taker.join().unwrap());
        assert_eq!(frame.freed.load(Ordering::Relaxed), 1);
        assert_eq!(frame.record.load(Ordering::Relaxed), record(2, 1));
        assert!(!get(&frame.record, 1) && get(&frame.record, 2));
    });
}
