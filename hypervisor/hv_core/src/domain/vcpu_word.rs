//! Whether a vCPU may run: one word, which everybody changes without a lock.

use super::sync::{AtomicU32, Ordering, fence};

/// Waits for an interrupt.
const BLOCKED: u32 = 1;
/// Not brought up yet, or shut down.
const DOWN: u32 = 2;
/// One holder of a pause; the count fills the bits above.
const PAUSE_ONE: u32 = 4;

/// The vCPU runs if and only if the word is zero.
#[derive(Debug)]
pub(super) struct VcpuWord(AtomicU32);

impl VcpuWord {
    /// Of a vCPU that is down.
    pub(super) fn new(pauses: u32) -> Self {
        Self(AtomicU32::new(DOWN + pauses * PAUSE_ONE))
    }

    /// Whether nothing keeps it from running.
    #[inline]
    pub(super) fn is_runnable(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }

    /// Whether it waits for an interrupt. Who left it one asks after that.
    #[inline]
    pub(super) fn is_blocked(&self) -> bool {
        self.0.load(Ordering::SeqCst) & BLOCKED != 0
    }

    /// Whether it is up.
    #[inline]
    pub(super) fn is_up(&self) -> bool {
        self.0.load(Ordering::Acquire) & DOWN == 0
    }

    /// Whether anyone pauses it.
    #[inline]
    pub(super) fn is_paused(&self) -> bool {
        self.0.load(Ordering::Acquire) >= PAUSE_ONE
    }

    /// Marks it as waiting. What the caller reads from now on, it reads after the mark is seen.
    #[inline]
    pub(super) fn set_blocked(&self) {
        self.0.fetch_or(BLOCKED, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// Ends its wait; true if it waited.
    #[inline]
    pub(super) fn clear_blocked(&self) -> bool {
        // Most kicks find a vCPU that does not wait: look before writing.
        self.0.load(Ordering::SeqCst) & BLOCKED != 0
            && self.0.fetch_and(!BLOCKED, Ordering::SeqCst) & BLOCKED != 0
    }

    /// Takes it down; true if it was up.
    #[inline]
    pub(super) fn set_down(&self) -> bool {
        self.0.fetch_or(DOWN, Ordering::SeqCst) & DOWN == 0
    }

    /// Brings it up; true if it was down.
    #[inline]
    pub(super) fn set_up(&self) -> bool {
        self.0.fetch_and(!(DOWN | BLOCKED), Ordering::SeqCst) & DOWN != 0
    }

    /// Adds a pause.
    #[inline]
    pub(super) fn pause(&self) {
        self.0.fetch_add(PAUSE_ONE, Ordering::SeqCst);
    }

    /// Takes away a pause that was added.
    #[inline]
    pub(super) fn unpause(&self) {
        let before = self.0.fetch_sub(PAUSE_ONE, Ordering::SeqCst);
        debug_assert!(before >= PAUSE_ONE, "unpause without pause");
    }
}
