//! A lock for what vCPUs share.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

/// A value that one vCPU at a time reaches.
pub(crate) struct Lock<T> {
    held: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: `with` lets one vCPU at a time to the value.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { held: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// Runs `work` on the value.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        while self.held.swap(true, Ordering::Acquire) {
            core::hint::spin_loop();
        }
        // SAFETY: `held` was false and is true now, so that nobody else is here.
        let result = work(unsafe { &mut *self.value.get() });
        self.held.store(false, Ordering::Release);
        result
    }

    /// Opens the lock whoever holds it, for the last words of a guest that has failed.
    pub(crate) fn break_open(&self) {
        self.held.store(false, Ordering::Release);
    }
}
