//! The wall clock: seconds since 1970 at machine start, as dom0 set it.

use crate::Hypervisor;
use crate::domain::Domain;
use core::sync::atomic::Ordering;
use hal::FrameMem;
use lock::Mutex;
use xen_abi::Arch as _;

const NS_PER_S: u64 = 1_000_000_000;

/// The time at which the machine's counter read zero.
#[derive(Debug, Default)]
pub struct WallClock {
    base: Mutex<(u64, u32)>,
}

impl WallClock {
    /// Sets it: at `system_ns` the time was `secs` and `nsecs`. False for a time before the start.
    pub fn set(&self, secs: u64, nsecs: u32, system_ns: u64) -> bool {
        let now = secs.checked_mul(NS_PER_S).and_then(|s| s.checked_add(u64::from(nsecs)));
        let Some(base) = now.and_then(|now| now.checked_sub(system_ns)) else { return false };
        *self.base.lock() = (base / NS_PER_S, (base % NS_PER_S) as u32);
        true
    }

    /// Shows it to a domain in its shared_info page, by the version protocol of xen.h.
    pub fn show(&self, hv: &Hypervisor, domain: &Domain) {
        let (secs, nsecs) = *self.base.lock();
        let secs = secs.wrapping_add(domain.time_offset.load(Ordering::Relaxed));
        domain.events.with_shared_info(hv, |page| {
            let at = machine::Abi::SHARED_INFO_WC_VERSION;
            let version = page.load32(at) | 1;
            page.store32(at, version);
            core::sync::atomic::fence(Ordering::SeqCst);
            page.store32(at + 4, secs as u32);
            page.store32(at + 8, nsecs);
            page.store32(at + 12, (secs >> 32) as u32);
            core::sync::atomic::fence(Ordering::SeqCst);
            page.store32(at, version.wrapping_add(1));
        });
    }
}
