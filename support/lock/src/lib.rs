//! Spinning locks: those of the crate `spin`, with a wait that suits the CPU.
//!
//! A mutex hands itself on in the order of arrival. So whoever is next must get to run: an emulator that runs its CPUs
//! in turn, or a hypervisor below, has to hear of each wait ([`pause`]), or every hand-over costs a whole turn.
//!
//! Each lock has a rank in its type. Builds with debug assertions, which tests are, keep the ranks that a thread holds,
//! and panic where a lock is taken against the order; others have nothing of it ([`order`]).
#![cfg_attr(target_os = "none", no_std)]

mod mutex;
mod order;
mod rwlock;

pub use mutex::{Mutex, MutexGuard};
pub use rwlock::{ReadGuard, RwLock, WriteGuard};

/// A value that is set once.
pub type Once<T> = spin::once::Once<T, Pause>;

/// How a waiter waits: see [`pause`].
#[derive(Debug)]
pub struct Pause;

impl spin::RelaxStrategy for Pause {
    #[inline(always)]
    fn relax() {
        pause();
    }
}

/// Waits a moment in a loop that waits for another CPU, and says so to whoever runs the CPUs.
#[inline(always)]
pub fn pause() {
    // `spin_loop` is ISB on arm64: a delay, but no emulator takes it for a wait.
    #[cfg(target_arch = "aarch64")]
    // SAFETY: YIELD (Arm ARM C6.2) is a hint: it changes no register, flag or memory.
    unsafe {
        core::arch::asm!("yield", options(nomem, nostack, preserves_flags));
    }
    core::hint::spin_loop();
}

#[cfg(test)]
mod tests {
    use super::{Mutex, Once, RwLock};
    use std::thread;

    #[test]
    fn waiters_get_the_lock_one_at_a_time() {
        let total = Mutex::<_, 1>::new(0u32);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        let before = *total.lock();
                        *total.lock() += 1;
                        assert!(*total.lock() > before);
                    }
                });
            }
        });
        assert_eq!(*total.lock(), 4000);
    }

    #[test]
    fn locks_are_taken_in_rising_order_and_let_go_in_any() {
        let (low, slot, high) = (Mutex::<_, 3>::new(()), RwLock::<_, 4>::new(()), Mutex::<_, 5>::new(()));
        let first = low.lock();
        let second = slot.read();
        let third = high.lock();
        drop(first);
        drop(third);
        drop(high.lock());
        drop(second);
        drop((low.lock(), slot.write(), high.try_lock()));
    }

    #[test]
    #[should_panic = "a lock of rank 3 is taken while one of rank 5 is held"]
    fn falling_rank_is_caught() {
        let (low, high) = (Mutex::<_, 3>::new(()), Mutex::<_, 5>::new(()));
        let _high = high.lock();
        drop(low.lock());
    }

    #[test]
    #[should_panic = "a lock of rank 3 is taken while one of rank 3 is held"]
    fn equal_rank_is_caught() {
        let (one, other) = (Mutex::<_, 3>::new(()), Mutex::<_, 3>::new(()));
        let _one = one.lock();
        drop(other.lock());
    }

    #[test]
    #[should_panic = "a lock of rank 3 is taken while one of rank 4 is held"]
    fn tried_lock_keeps_the_order_too() {
        let (low, high) = (Mutex::<_, 3>::new(()), Mutex::<_, 4>::new(()));
        let _high = high.lock();
        drop(low.try_lock());
    }

    #[test]
    #[should_panic = "a lock of rank 4 is taken while one of rank 4 is held"]
    fn second_reading_is_caught() {
        let slot = RwLock::<_, 4>::new(());
        let _reads = slot.read();
        drop(slot.read());
    }

    #[test]
    fn second_of_a_rank_is_taken_only_by_name() {
        let (one, other) = (Mutex::<_, 3>::new(1), Mutex::<_, 3>::new(2));
        let first = one.lock();
        let second = other.lock_second();
        assert_eq!((*first, *second), (1, 2));
    }

    #[test]
    #[should_panic = "a lock of rank 3 is taken while one of rank 4 is held"]
    fn second_of_a_rank_is_still_in_order() {
        let (low, high) = (Mutex::<_, 3>::new(()), Mutex::<_, 4>::new(()));
        let _high = high.lock();
        drop(low.lock_second());
    }

    #[test]
    fn threads_have_orders_of_their_own() {
        let (low, high) = (Mutex::<_, 3>::new(()), Mutex::<_, 5>::new(()));
        let _high = high.lock();
        thread::scope(|scope| scope.spawn(|| drop(low.lock())).join().unwrap());
    }

    #[test]
    fn lock_that_was_not_got_is_not_held() {
        let (low, high) = (Mutex::<_, 3>::new(()), Mutex::<_, 5>::new(()));
        thread::scope(|scope| {
            let _busy = high.lock();
            scope
                .spawn(|| {
                    assert!(high.try_lock().is_none());
                    drop(low.lock());
                })
                .join()
                .unwrap();
        });
    }

    #[test]
    fn value_is_set_by_the_first_alone() {
        let once = Once::new();
        let values = thread::scope(|scope| {
            let threads = [1, 2, 3].map(|n| {
                scope.spawn({
                    let once = &once;
                    move || *once.call_once(|| n)
                })
            });
            threads.map(|thread| thread.join().unwrap())
        });
        assert!(values.iter().all(|value| Some(value) == once.get()));
    }
}
