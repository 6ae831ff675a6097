//! A lock for one writer or many readers that knows its rank.

use core::fmt;
use core::ops::{Deref, DerefMut};

use crate::Pause;
use crate::order::{Beside, Held};

/// One writer or many readers; readers may starve a writer. It has a rank as a [`Mutex`](crate::Mutex) has, for readers
/// and writers alike: one who reads must not read again, for a writer may wait in between.
pub struct RwLock<T, const RANK: u8>(spin::rwlock::RwLock<T, Pause>);

/// What reads under a [`RwLock`].
#[derive(Debug)]
pub struct ReadGuard<'a, T, const RANK: u8> {
    value: spin::rwlock::RwLockReadGuard<'a, T, Pause>,
    _held: Held<RANK>,
}

/// What has a [`RwLock`] for itself.
#[derive(Debug)]
pub struct WriteGuard<'a, T, const RANK: u8> {
    value: spin::rwlock::RwLockWriteGuard<'a, T, Pause>,
    _held: Held<RANK>,
}

impl<T, const RANK: u8> RwLock<T, RANK> {
    /// A lock that nobody holds.
    #[inline(always)]
    pub const fn new(value: T) -> Self {
        Self(spin::rwlock::RwLock::new(value))
    }

    /// Waits until no writer has it.
    #[inline(always)]
    #[track_caller]
    pub fn read(&self) -> ReadGuard<'_, T, RANK> {
        let held = Held::claim(Beside::Lower);
        ReadGuard { value: self.0.read(), _held: held }
    }

    /// Waits until nobody has it.
    #[inline(always)]
    #[track_caller]
    pub fn write(&self) -> WriteGuard<'_, T, RANK> {
        let held = Held::claim(Beside::Lower);
        WriteGuard { value: self.0.write(), _held: held }
    }
}

impl<T: fmt::Debug, const RANK: u8> fmt::Debug for RwLock<T, RANK> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T, const RANK: u8> Deref for ReadGuard<'_, T, RANK> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T, const RANK: u8> Deref for WriteGuard<'_, T, RANK> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T, const RANK: u8> DerefMut for WriteGuard<'_, T, RANK> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}
