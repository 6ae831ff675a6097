//! Loom's atomics with what arm64 makes of `SeqCst`: such an access is not made before those ahead of it are seen. Loom
//! alone takes it for acquire and release.

use loom::sync::atomic;
use loom::sync::atomic::{Ordering, fence};

#[derive(Debug)]
pub(crate) struct AtomicU32(atomic::AtomicU32);

impl AtomicU32 {
    pub(crate) fn new(value: u32) -> Self {
        Self(atomic::AtomicU32::new(value))
    }
    fn ordered(&self, order: Ordering) -> &atomic::AtomicU32 {
        if order == Ordering::SeqCst {
            fence(order);
        }
        &self.0
    }
    pub(crate) fn load(&self, order: Ordering) -> u32 {
        self.ordered(order).load(if order == Ordering::SeqCst { Ordering::Acquire } else { order })
    }
    pub(crate) fn store(&self, value: u32, order: Ordering) {
        self.ordered(order).store(value, if order == Ordering::SeqCst { Ordering::Release } else { order });
    }
    pub(crate) fn swap(&self, value: u32, order: Ordering) -> u32 {
        self.ordered(order).swap(value, Ordering::AcqRel)
    }
    pub(crate) fn compare_exchange(
        &self,
        current: u32,
        new: u32,
        order: Ordering,
        _: Ordering,
    ) -> Result<u32, u32> {
        self.ordered(order).compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire)
    }
    pub(crate) fn fetch_or(&self, bits: u32, order: Ordering) -> u32 {
        self.ordered(order).fetch_or(bits, Ordering::AcqRel)
    }
    pub(crate) fn fetch_and(&self, bits: u32, order: Ordering) -> u32 {
        self.ordered(order).fetch_and(bits, Ordering::AcqRel)
    }
    pub(crate) fn fetch_add(&self, n: u32, order: Ordering) -> u32 {
        self.ordered(order).fetch_add(n, Ordering::AcqRel)
    }
    pub(crate) fn fetch_sub(&self, n: u32, order: Ordering) -> u32 {
        self.ordered(order).fetch_sub(n, Ordering::AcqRel)
    }
}
