//! A fair mutual exclusion that knows its rank.

use core::fmt;
use core::ops::{Deref, DerefMut};

use crate::Pause;
use crate::order::{Beside, Held};

/// A fair mutual exclusion. Its rank is its place in the program's order of locks: it is only taken while locks of lower
/// ranks are held, which builds with debug assertions check.
#[derive(Default)]
pub struct Mutex<T, const RANK: u8>(spin::mutex::Mutex<T, Pause>);

/// What holds a [`Mutex`].
#[derive(Debug)]
pub struct MutexGuard<'a, T, const RANK: u8> {
    // First, so that the lock is free before it counts as free.
    value: spin::mutex::MutexGuard<'a, T, Pause>,
    _held: Held<RANK>,
}

impl<T, const RANK: u8> Mutex<T, RANK> {
    /// A lock that nobody holds.
    #[inline(always)]
    pub const fn new(value: T) -> Self {
        Self(spin::mutex::Mutex::new(value))
    }

    /// Waits until the lock is free, and takes it.
    #[inline(always)]
    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T, RANK> {
        let held = Held::claim(Beside::Lower);
        MutexGuard { value: self.0.lock(), _held: held }
    }

    /// As [`lock`](Self::lock), while another lock of the same rank may be held. The caller has a rule for which of
    /// the two comes first.
    #[inline(always)]
    #[track_caller]
    pub fn lock_second(&self) -> MutexGuard<'_, T, RANK> {
        let held = Held::claim(Beside::Same);
        MutexGuard { value: self.0.lock(), _held: held }
    }

    /// Takes the lock if it is free.
    #[inline(always)]
    #[track_caller]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T, RANK>> {
        let held = Held::claim(Beside::Lower);
        Some(MutexGuard { value: self.0.try_lock()?, _held: held })
    }
}

impl<T: fmt::Debug, const RANK: u8> fmt::Debug for Mutex<T, RANK> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T, const RANK: u8> Deref for MutexGuard<'_, T, RANK> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T, const RANK: u8> DerefMut for MutexGuard<'_, T, RANK> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}
