//! Memory: who owns which frame, what a guest can reach, and how its memory is read and written.

mod buddy;
mod frames;
mod guest;
mod p2m;
mod page;
mod physmap;
mod pool;
mod record;
#[cfg(test)]
mod record_loom;
mod window;

/// The atomics of records; loom's stand in their place in its tests.
mod sync {
    pub(super) use core::sync::atomic::{AtomicU64, Ordering, fence};
}

pub use buddy::MAX_ORDER;
#[cfg(any(test, feature = "testkit"))]
pub(crate) use frames::InspectedFrame;
pub use frames::{Claim, Frames, Freed, Use};
pub use guest::{Fault, GuestBytes, GuestMemory, Place};
pub use p2m::{Entry, Kind, MapError, P2m, Removed};
pub use page::{HeldPage, PageGuard};
pub use pool::TablePool;
pub use window::GuestWindow;
