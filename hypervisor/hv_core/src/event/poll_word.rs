//! SCHEDOP_poll's words: how many vCPUs wait, and for which port each does.
//!
//! The vCPU announces itself and then looks at its ports; who makes a port pending sets the bit and then looks for
//! announcements. So one of both sees the other.

use super::sync::{AtomicU32, Ordering, fence};

/// The vCPU does not poll.
const NONE: u32 = 0;
/// Any port ends the wait. No port has this number.
const ANY: u32 = u32::MAX;

/// How many vCPUs of a domain poll.
#[derive(Debug)]
pub(super) struct Pollers(AtomicU32);

impl Pollers {
    /// None.
    pub(super) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Whether any vCPU polls. Who made a port pending asks after that.
    #[inline(always)]
    pub(super) fn any(&self) -> bool {
        self.0.load(Ordering::SeqCst) != 0
    }
}

/// What a vCPU is to a port that has become pending.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Waits {
    /// It does not poll.
    No,
    /// It polls for this port.
    ForIt,
    /// It polls for another.
    ForAnother,
}

/// What one vCPU polls for.
#[derive(Debug)]
pub(super) struct PollWord(AtomicU32);

impl PollWord {
    /// Nothing.
    pub(super) fn new() -> Self {
        Self(AtomicU32::new(NONE))
    }

    /// It polls, and any port ends that. What the caller reads from now on, it reads after this is seen.
    pub(super) fn begin(&self, pollers: &Pollers) {
        self.end(pollers);
        pollers.0.fetch_add(1, Ordering::SeqCst);
        self.0.store(ANY, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// From now on only `port` ends it, or still any. False if it has been ended already.
    pub(super) fn go_on(&self, port: Option<u32>) -> bool {
        self.0.compare_exchange(ANY, port.unwrap_or(ANY), Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// It does not poll any more.
    #[inline]
    pub(super) fn end(&self, pollers: &Pollers) {
        if self.polls() && self.0.swap(NONE, Ordering::SeqCst) != NONE {
            pollers.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Whether it polls for `port`; `None` is every port.
    pub(super) fn waits_for(&self, port: Option<u32>) -> Waits {
        match self.0.load(Ordering::SeqCst) {
            NONE => Waits::No,
            ANY => Waits::ForIt,
            one if port.is_none_or(|port| port == one) => Waits::ForIt,
            _ => Waits::ForAnother,
        }
    }

    /// Whether it polls.
    pub(super) fn polls(&self) -> bool {
        self.0.load(Ordering::Relaxed) != NONE
    }
}
