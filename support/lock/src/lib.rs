//! Spinning locks: those of the crate `spin`, with a wait that suits the CPU.
//!
//! A mutex hands itself on in the order of arrival. So whoever is next must get to run: an emulator that runs its CPUs
//! in turn, or a hypervisor below, has to hear of each wait ([`pause`]), or every hand-over costs a whole turn.
#![cfg_attr(not(test), no_std)]

/// A fair mutual exclusion.
pub type Mutex<T> = spin::mutex::Mutex<T, Pause>;
/// What holds a [`Mutex`].
pub type MutexGuard<'a, T> = spin::mutex::MutexGuard<'a, T, Pause>;
/// One writer or many readers; readers may starve a writer.
pub type RwLock<T> = spin::rwlock::RwLock<T, Pause>;
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
    use super::{Mutex, Once};
    use std::thread;

    #[test]
    fn waiters_get_the_lock_one_at_a_time() {
        let total = Mutex::new(0u32);
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
