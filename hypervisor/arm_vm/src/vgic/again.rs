//! What the last short refresh came to, for the case that the next one comes to the same.

use super::sync::{AtomicU32, AtomicU64, Ordering};
use core::fmt;

/// The value that the last short refresh put into list register 0. The same interrupt alone comes to the same until
/// somebody locks the bank, which all do that change what the value is made of; GICD_CTLR is kept beside it, since that
/// has no lock.
///
/// Remembered and used by the CPU that has the vCPU loaded, forgotten by whoever has the bank's lock.
#[derive(Default)]
pub(super) struct Again {
    /// The interrupt, as a bit; 0 when nothing is remembered.
    edge: AtomicU32,
    ctlr: AtomicU32,
    lr: AtomicU64,
}

impl Again {
    /// Remembers what an edge came to; the caller has the bank's lock.
    #[inline]
    pub fn remember(&self, edge: u32, ctlr: u32, lr: u64) {
        self.ctlr.store(ctlr, Ordering::Relaxed);
        self.lr.store(lr, Ordering::Relaxed);
        self.edge.store(edge, Ordering::Relaxed);
    }

    /// Forgets it; the caller has the bank's lock.
    #[inline]
    pub fn forget(&self) {
        self.edge.store(0, Ordering::Relaxed);
    }

    /// What the edge came to the last time.
    #[inline]
    pub fn lr(&self, edge: u32, ctlr: u32) -> Option<u64> {
        let same = self.edge.load(Ordering::Relaxed) == edge && self.ctlr.load(Ordering::Relaxed) == ctlr;
        same.then(|| self.lr.load(Ordering::Relaxed))
    }
}

/// It is no state of the interrupts: two banks that differ only here do the same.
impl fmt::Debug for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Again")
    }
}
