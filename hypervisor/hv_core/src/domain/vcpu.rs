//! A virtual CPU.

use super::vcpu_word::VcpuWord;
use crate::event::VcpuEvents;
use crate::pools::VcpuSched;
use crate::runstate::Runstate;
use crate::timer::{Timer, TimerKind};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};
use hal::{Domid, PcpuId};
use lock::Mutex;
use machine::Context;

const NOWHERE: u32 = u32::MAX;

/// A virtual CPU of a domain.
#[derive(Debug)]
pub struct Vcpu {
    /// Its number in the domain.
    pub id: usize,
    /// Its domain's number.
    pub domid: Domid,
    /// Its registers while it is not loaded on a pCPU.
    pub context: Mutex<Context, 4>,
    /// What it needs of event channels.
    pub events: VcpuEvents,
    /// Its place in the scheduler.
    pub sched: VcpuSched,
    /// How it spends its time, and where the guest wants to see that.
    pub runstate: Runstate,
    /// The timer of its guest kind: virtual timers while it does not run.
    pub timer: Timer,
    /// The timeout of SCHEDOP_poll.
    pub poll_timer: Timer,
    /// Whether it may run.
    state: VcpuWord,
    pcpu: AtomicU32,
}

/// Timers of a vCPU, for [`Hypervisor::reserve_timers`](crate::Hypervisor::reserve_timers).
pub(super) const TIMERS_PER_VCPU: u64 = 2;

impl Vcpu {
    /// A vCPU that is down; the domain's own pause counts are added by
    /// [`Domain::add_vcpu`](super::Domain::add_vcpu).
    pub(super) fn new(domid: Domid, id: usize, pauses: u32, now: u64) -> Arc<Self> {
        Arc::new(Self {
            id,
            domid,
            context: Mutex::new(Context::default()),
            events: VcpuEvents::default(),
            sched: VcpuSched::default(),
            runstate: Runstate::new(now),
            timer: Timer::new(domid, id, TimerKind::Guest),
            poll_timer: Timer::new(domid, id, TimerKind::Poll),
            state: VcpuWord::new(pauses),
            pcpu: AtomicU32::new(NOWHERE),
        })
    }

    /// Whether nothing keeps it from running.
    pub fn is_runnable(&self) -> bool {
        self.state.is_runnable()
    }

    /// Whether it waits for an interrupt.
    #[inline]
    pub fn is_blocked(&self) -> bool {
        self.state.is_blocked()
    }

    /// Whether it is up (VGCF_online, PSCI CPU_ON).
    pub fn is_up(&self) -> bool {
        self.state.is_up()
    }

    /// Whether anyone pauses it.
    pub fn is_paused(&self) -> bool {
        self.state.is_paused()
    }

    /// Marks it as waiting. The caller then looks for an interrupt once more, and tells the
    /// scheduler.
    pub(crate) fn set_blocked(&self) {
        self.state.set_blocked();
    }

    /// Ends its wait; true if it waited.
    pub(crate) fn clear_blocked(&self) -> bool {
        self.state.clear_blocked()
    }

    /// Takes it down; true if it was up.
    pub(crate) fn set_down(&self) -> bool {
        self.state.set_down()
    }

    /// Brings it up; true if it was down.
    pub(crate) fn set_up(&self) -> bool {
        self.state.set_up()
    }

    /// Adds a pause.
    pub(crate) fn pause(&self) {
        self.state.pause();
    }

    /// Takes away a pause that was added.
    pub(crate) fn unpause(&self) {
        self.state.unpause();
    }

    /// The pCPU that it is loaded on.
    #[inline]
    pub fn pcpu(&self) -> Option<PcpuId> {
        match self.pcpu.load(Ordering::Acquire) {
            NOWHERE => None,
            id => Some(PcpuId(id)),
        }
    }

    /// Notes where it is loaded.
    pub(crate) fn set_pcpu(&self, pcpu: Option<PcpuId>) {
        self.pcpu.store(pcpu.map_or(NOWHERE, |p| p.0), Ordering::SeqCst);
    }
}
