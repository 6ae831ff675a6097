//! Timers: one sorted queue a pCPU.
//!
//! A queue has room for every timer there is, reserved when a vCPU is created, so that starting one
//! never allocates.

use crate::Hypervisor;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use hal::{Domid, MachineOps as _, PcpuId};

/// What happens when a timer expires.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TimerKind {
    /// The guest kind's timer of a vCPU.
    Guest,
    /// The timeout of SCHEDOP_poll.
    Poll,
    /// A domain's watchdog, by its index.
    Watchdog(u8),
}

/// Whose timer it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct TimerKey {
    /// The domain.
    pub domid: Domid,
    /// The vCPU; 0 for a domain's timer.
    pub vcpu: u16,
    /// What for.
    pub kind: TimerKind,
}

/// The running timers of one pCPU, latest first.
#[derive(Debug, Default)]
pub struct TimerQueue {
    sorted: Vec<(u64, TimerKey)>,
}

impl TimerQueue {
    /// Makes room for `total` timers; false without memory.
    pub fn reserve(&mut self, total: usize) -> bool {
        self.sorted.try_reserve(total.saturating_sub(self.sorted.len())).is_ok()
    }

    fn position(&self, deadline: u64, key: TimerKey) -> Result<usize, usize> {
        self.sorted.binary_search_by(|probe| (deadline, key).cmp(probe))
    }

    fn insert(&mut self, deadline: u64, key: TimerKey) {
        if let Err(at) = self.position(deadline, key)
            && self.sorted.len() < self.sorted.capacity()
        {
            self.sorted.insert(at, (deadline, key));
        }
    }

    fn remove(&mut self, deadline: u64, key: TimerKey) {
        if let Ok(at) = self.position(deadline, key) {
            self.sorted.remove(at);
        }
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<u64> {
        self.sorted.last().map(|(deadline, _)| *deadline)
    }

    /// Takes out a timer whose deadline is not after `now`.
    pub fn pop_expired(&mut self, now: u64) -> Option<TimerKey> {
        if self.next()? > now {
            return None;
        }
        self.sorted.pop().map(|(_, key)| key)
    }
}

/// One timer. Started and stopped only by the pCPU that holds its vCPU (or domain), so its two
/// words need no lock.
#[derive(Debug)]
pub struct Timer {
    key: TimerKey,
    deadline: AtomicU64,
    pcpu: AtomicU32,
}

const STOPPED: u64 = u64::MAX;

impl Timer {
    /// A stopped timer.
    pub fn new(domid: Domid, vcpu: usize, kind: TimerKind) -> Self {
        let key = TimerKey { domid, vcpu: vcpu as u16, kind };
        Self { key, deadline: AtomicU64::new(STOPPED), pcpu: AtomicU32::new(0) }
    }

    /// Starts the timer on this pCPU, from wherever it ran before.
    pub fn start(&self, hv: &Hypervisor, deadline_ns: u64) {
        self.stop(hv);
        let this = hv.machine.this_cpu();
        let Some(pcpu) = hv.pcpu(this) else { return };
        let deadline = deadline_ns.min(STOPPED - 1);
        self.pcpu.store(this.0, Ordering::Relaxed);
        self.deadline.store(deadline, Ordering::Relaxed);
        let next = {
            let mut timers = pcpu.timers.lock();
            timers.insert(deadline, self.key);
            timers.next()
        };
        pcpu.arm_timer_for(hv, next);
    }

    /// Stops the timer; an expiry under way may still be reported once.
    pub fn stop(&self, hv: &Hypervisor) {
        let deadline = self.deadline.load(Ordering::Relaxed);
        if deadline == STOPPED {
            return;
        }
        self.deadline.store(STOPPED, Ordering::Relaxed);
        if let Some(pcpu) = hv.pcpu(PcpuId(self.pcpu.load(Ordering::Relaxed))) {
            pcpu.timers.lock().remove(deadline, self.key);
        }
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.deadline.load(Ordering::Relaxed) != STOPPED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(vcpu: u16) -> TimerKey {
        TimerKey { domid: Domid::DOM0, vcpu, kind: TimerKind::Guest }
    }

    #[test]
    fn timers_expire_in_order_and_not_early() {
        let mut q = TimerQueue::default();
        assert!(q.reserve(3));
        q.insert(30, key(0));
        q.insert(10, key(1));
        q.insert(20, key(2));
        assert_eq!(q.next(), Some(10));
        assert_eq!(q.pop_expired(9), None);
        assert_eq!(q.pop_expired(20), Some(key(1)));
        assert_eq!(q.pop_expired(20), Some(key(2)));
        assert_eq!(q.pop_expired(20), None);
    }

    #[test]
    fn removed_timer_does_not_expire() {
        let mut q = TimerQueue::default();
        assert!(q.reserve(2));
        q.insert(10, key(0));
        q.insert(10, key(1));
        q.remove(10, key(0));
        q.remove(11, key(1));
        assert_eq!(q.pop_expired(10), Some(key(1)));
        assert_eq!(q.pop_expired(10), None);
    }
}
