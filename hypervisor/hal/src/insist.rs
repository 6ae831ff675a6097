//! Atomic operations on memory that a guest may write to at any time.
//!
//! A CPU without atomic instructions (before Armv8.1) carries them out in two steps, and the second fails when somebody
//! wrote to the same line in between. A guest that never stops writing there could keep the hypervisor from going on,
//! with its locks held. So the tries are counted, and after the last one all pCPUs are kept out of guests for the time of
//! one operation. That asks nothing about whose the memory is: a page may be written to by every domain that maps it.

/// Tries before guests are held up. A try takes well under a microsecond, so that this happens only on purpose, and what
/// is lost by it is little beside what the tries took.
const TRIES: u32 = 1024;

/// Repeats `attempt`, one try of an atomic operation, until it says what came of it. `hold` is called when it does not
/// succeed in a bounded number of tries: it keeps guests from running for as long as its value lives.
#[inline(always)]
pub fn insist<T, H>(mut attempt: impl FnMut() -> Option<T>, hold: impl FnOnce() -> H) -> T {
    match attempt() {
        Some(done) => done,
        None => again(attempt, hold),
    }
}

#[cold]
#[inline(never)]
fn again<T, H>(mut attempt: impl FnMut() -> Option<T>, hold: impl FnOnce() -> H) -> T {
    for _ in 1..TRIES {
        if let Some(done) = attempt() {
            return done;
        }
    }
    let _held = hold();
    // Nobody is left but pCPUs in the hypervisor, each with one operation on the line to finish.
    loop {
        if let Some(done) = attempt() {
            return done;
        }
        lock::pause();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;

    #[test]
    fn first_try_that_succeeds_is_the_last() {
        for failures in [0, 1, 7, TRIES - 1] {
            let mut tries = 0;
            let mut attempt = || {
                tries += 1;
                (tries > failures).then_some(tries)
            };
            assert_eq!(insist(&mut attempt, || panic!("held up for nothing")), failures + 1);
        }
    }

    #[test]
    fn guests_are_held_once_and_let_go_when_it_is_done() {
        struct Held<'a>(&'a Cell<bool>);
        impl Drop for Held<'_> {
            fn drop(&mut self) {
                self.0.set(false);
            }
        }
        let (held, tries) = (Cell::new(false), Cell::new(0));
        // Guests stop some tries after they were told to.
        let attempt = || {
            tries.set(tries.get() + 1);
            (held.get() && tries.get() > TRIES + 3).then_some(5)
        };
        let hold = || {
            assert_eq!(tries.get(), TRIES);
            held.set(true);
            Held(&held)
        };
        assert_eq!(insist(attempt, hold), 5);
        assert!(!held.get());
    }
}
