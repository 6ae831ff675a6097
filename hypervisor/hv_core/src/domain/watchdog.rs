//! SCHEDOP_watchdog: a domain that stops setting its watchdog is shut down.

use super::state::{Domain, ShutdownReason};
use crate::Hypervisor;
use crate::timer::{Timer, TimerKind};
use hal::{Domid, MachineOps as _};
use lock::Mutex;
use xen_abi::Errno;
use xen_abi::sched::SHUTDOWN_watchdog;

/// Watchdogs of a domain.
const COUNT: usize = 2;
const NS_PER_S: u64 = 1_000_000_000;

/// Timers of a domain, for [`Hypervisor::reserve_timers`].
pub(super) const TIMERS_PER_DOMAIN: u64 = COUNT as u64;

/// A domain's watchdogs; the lock serialises the vCPUs that set them.
#[derive(Debug)]
pub(super) struct Watchdogs(Mutex<[Timer; COUNT], 3>);

impl Watchdogs {
    pub(super) fn new(domid: Domid) -> Self {
        Self(Mutex::new([0, 1].map(|i| Timer::new(domid, 0, TimerKind::Watchdog(i)))))
    }

    pub(super) fn stop(&self, hv: &Hypervisor) {
        for timer in self.0.lock().iter() {
            timer.stop(hv);
        }
    }
}

impl Domain {
    /// Sets watchdog `id` (from 1), or for 0 a free one, to `seconds`; 0 seconds stop it. Returns
    /// the number of one that was chosen, else 0.
    ///
    /// # Errors
    /// EINVAL for a number that does not exist or that is not in use, ENOSPC when none is free.
    pub fn watchdog(&self, hv: &Hypervisor, id: u32, seconds: u32) -> Result<u32, Errno> {
        let timers = self.watchdogs.0.lock();
        let deadline = hv.machine.now_ns().saturating_add(u64::from(seconds) * NS_PER_S);
        let Some(index) = (id as usize).checked_sub(1) else {
            if seconds == 0 {
                return Err(Errno::EINVAL);
            }
            let free = timers.iter().position(|t| !t.is_running()).ok_or(Errno::ENOSPC)?;
            if let Some(timer) = timers.get(free) {
                timer.start(hv, deadline);
            }
            return Ok(free as u32 + 1);
        };
        let timer = timers.get(index).filter(|t| t.is_running()).ok_or(Errno::EINVAL)?;
        if seconds == 0 {
            timer.stop(hv);
        } else {
            timer.start(hv, deadline);
        }
        Ok(0)
    }

    /// A watchdog has expired.
    pub(crate) fn watchdog_expired(&self, hv: &Hypervisor) {
        crate::guest!(hv, Warning, "d{}: watchdog expired", self.id);
        hv.shut_down(self, ShutdownReason(SHUTDOWN_watchdog as u8));
    }
}
