//! A physical CPU: what others may ask of it, and what only it touches.

use crate::Hypervisor;
use crate::domain::{Domain, Vcpu};
use crate::timer::TimerQueue;
use alloc::sync::Arc;
use bitflags::bitflags;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use hal::{MachineOps as _, PcpuId};
use lock::Mutex;

bitflags! {
    /// Work that a pCPU does before it enters a guest.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Work: u32 {
        /// Choose again which vCPU runs.
        const RESCHEDULE = 1;
        /// Finish domains whose last page has gone.
        const REAP = 2;
        /// Handle a debug key.
        const DEBUG_KEY = 4;
    }
}

/// The side of a pCPU that others reach. No two share a cache line, and what each way out of the hypervisor looks at is
/// its first word.
#[derive(Debug)]
#[repr(C, align(128))]
pub struct Pcpu {
    work: AtomicU32,
    /// Its number.
    pub id: PcpuId,
    /// Its timers.
    pub timers: Mutex<TimerQueue, 18>,
    /// When the running vCPU's time slice ends; `u64::MAX` for never.
    slice_end: AtomicU64,
    /// Time spent idle, and since when it is (0 when busy).
    idle_ns: AtomicU64,
    idle_since: AtomicU64,
}

impl Pcpu {
    /// A pCPU with nothing to do.
    pub fn new(id: PcpuId) -> Self {
        Self {
            work: AtomicU32::new(0),
            id,
            timers: Mutex::new(TimerQueue::default()),
            slice_end: AtomicU64::new(u64::MAX),
            idle_ns: AtomicU64::new(0),
            idle_since: AtomicU64::new(0),
        }
    }

    /// Asks for work; the caller pokes the pCPU if it is another one.
    pub fn raise(&self, work: Work) {
        self.work.fetch_or(work.bits(), Ordering::AcqRel);
    }

    /// Whether any work waits.
    #[inline]
    pub fn has_work(&self) -> bool {
        self.work.load(Ordering::Acquire) != 0
    }

    /// Takes all work that waits.
    pub fn take_work(&self) -> Work {
        Work::from_bits_retain(self.work.swap(0, Ordering::AcqRel))
    }

    /// Sets the end of the time slice and arms the timer; on this pCPU only.
    pub fn set_slice_end(&self, hv: &Hypervisor, deadline: Option<u64>) {
        self.slice_end.store(deadline.unwrap_or(u64::MAX), Ordering::Relaxed);
        self.arm_timer(hv);
    }

    /// Arms this pCPU's timer interrupt for what comes first.
    pub fn arm_timer(&self, hv: &Hypervisor) {
        let next = self.timers.lock().next();
        self.arm_timer_for(hv, next);
    }

    /// The same, where the queue's `next` deadline is known.
    pub(crate) fn arm_timer_for(&self, hv: &Hypervisor, next: Option<u64>) {
        let first = next.unwrap_or(u64::MAX).min(self.slice_end.load(Ordering::Relaxed));
        hv.machine.set_timer((first != u64::MAX).then_some(first));
    }

    /// Whether the time slice is over.
    pub fn slice_over(&self, now: u64) -> bool {
        self.slice_end.load(Ordering::Relaxed) <= now
    }

    /// Notes that the pCPU goes idle, or stops being so.
    pub fn set_idle(&self, now: u64, idle: bool) {
        let since = self.idle_since.swap(if idle { now.max(1) } else { 0 }, Ordering::Relaxed);
        if since != 0 {
            self.idle_ns.fetch_add(now.saturating_sub(since), Ordering::Relaxed);
        }
    }

    /// Time spent idle.
    pub fn idle_time(&self, now: u64) -> u64 {
        let since = self.idle_since.load(Ordering::Relaxed);
        let current = if since == 0 { 0 } else { now.saturating_sub(since) };
        self.idle_ns.load(Ordering::Relaxed).saturating_add(current)
    }
}

/// What only the pCPU itself touches: handed to its trap handler by exclusive reference.
#[derive(Debug)]
pub struct Local {
    /// The pCPU.
    pub id: PcpuId,
    /// The vCPU loaded on it; `None` while idle.
    pub current: Option<Current>,
}

/// The vCPU that a pCPU runs.
#[derive(Debug)]
pub struct Current {
    /// Its domain.
    pub domain: Arc<Domain>,
    /// Itself.
    pub vcpu: Arc<Vcpu>,
}

impl Local {
    /// An idle pCPU.
    pub const fn new(id: PcpuId) -> Self {
        Self { id, current: None }
    }
}
