//! A vCPU that goes to sleep and those who wake it, in every order that the memory model allows (loom).

#[path = "vcpu_word.rs"]
#[allow(clippy::duplicate_mod, reason = "the file over other atomics")]
mod vcpu_word;

use loom::sync::Arc;
use loom::thread;
use sync::{AtomicU32, Ordering};
use vcpu_word::VcpuWord;

mod sync {
    pub(super) use crate::loom_atomics::AtomicU32;
    pub(super) use loom::sync::atomic::{Ordering, fence};
}

/// Three threads are interrupted this often at most.
const PREEMPTIONS: usize = 3;

/// A vCPU that is up, and its interrupts as bits.
fn vcpu() -> Arc<(VcpuWord, AtomicU32)> {
    let word = VcpuWord::new(0);
    assert!(word.set_up());
    Arc::new((word, AtomicU32::new(0)))
}

/// The vCPU waits, unless it sees an interrupt.
fn block((word, interrupts): &(VcpuWord, AtomicU32)) {
    word.set_blocked();
    if interrupts.load(Ordering::Acquire) != 0 {
        word.clear_blocked();
    }
}

/// Leaves an interrupt; whether that woke the vCPU.
fn wake((word, interrupts): &(VcpuWord, AtomicU32), bit: u32) -> bool {
    interrupts.fetch_or(bit, Ordering::AcqRel);
    word.is_blocked() && word.clear_blocked()
}

#[test]
fn vcpu_with_an_interrupt_does_not_go_on_waiting() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(PREEMPTIONS);
    model.check(|| {
        let vcpu = vcpu();
        let wakers = [1, 2].map(|bit| {
            let vcpu = Arc::clone(&vcpu);
            thread::spawn(move || wake(&vcpu, bit))
        });
        block(&vcpu);
        let woken = wakers.map(|waker| waker.join().unwrap());
        assert!(!vcpu.0.is_blocked(), "an interrupt waits for a vCPU that waits");
        assert!(woken != [true, true], "it was woken twice from one wait");
    });
}

#[test]
fn pause_in_the_middle_of_a_wake_up_counts() {
    loom::model(|| {
        let vcpu = vcpu();
        vcpu.0.set_blocked();
        let pauser = {
            let vcpu = Arc::clone(&vcpu);
            thread::spawn(move || vcpu.0.pause())
        };
        assert!(wake(&vcpu, 1));
        pauser.join().unwrap();
        assert!(vcpu.0.is_paused() && !vcpu.0.is_runnable() && vcpu.0.is_up());
        vcpu.0.unpause();
        assert!(vcpu.0.is_runnable());
        assert!(vcpu.0.set_down());
    });
}
