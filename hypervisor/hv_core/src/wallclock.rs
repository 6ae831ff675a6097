//! The wall clock: seconds since 1970 at machine start, as dom0 set it.

use crate::Hypervisor;
use crate::domain::Domain;
use core::fmt;
use core::sync::atomic::Ordering;
use hal::FrameMem;
use lock::Mutex;
use xen_abi::Arch as _;

const NS_PER_S: u64 = 1_000_000_000;

/// The time at which the machine's counter read zero.
#[derive(Debug, Default)]
pub struct WallClock {
    base: Mutex<(u64, u32), 20>,
}

impl WallClock {
    /// Sets it: at `system_ns` the time was `secs` and `nsecs`. False for a time before the start.
    pub fn set(&self, secs: u64, nsecs: u32, system_ns: u64) -> bool {
        let now = secs.checked_mul(NS_PER_S).and_then(|s| s.checked_add(u64::from(nsecs)));
        let Some(base) = now.and_then(|now| now.checked_sub(system_ns)) else { return false };
        *self.base.lock() = (base / NS_PER_S, (base % NS_PER_S) as u32);
        true
    }

    /// The date at `system_ns`; `None` before the clock is set.
    pub(crate) fn date(&self, system_ns: u64) -> Option<Date> {
        match *self.base.lock() {
            (0, 0) => None,
            (secs, nsecs) => Some(Date::of(secs, u64::from(nsecs).saturating_add(system_ns))),
        }
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

/// A time in the Gregorian calendar, UTC.
pub(crate) struct Date {
    year: u64,
    month: u64,
    day: u64,
    /// The second of the day.
    second: u64,
    /// The millisecond of the second.
    pub(crate) ms: u64,
}

impl Date {
    /// The time `secs` and `nsecs` after 1970 began.
    fn of(secs: u64, nsecs: u64) -> Self {
        const DAY: u64 = 86_400;
        let secs = secs.saturating_add(nsecs / NS_PER_S);
        // Years are counted from March, so that a leap day is the last day of its year. Day 0 is
        // the first of a period of 400 years, which all have as many days.
        let days = secs / DAY + 719_468;
        let (period, day) = (days / 146_097, days % 146_097);
        // What is left without leap days has 365 days a year.
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (year * 365 + year / 4 - year / 100);
        // From March on each five months have 153 days.
        let month = (day * 5 + 2) / 153;
        let next_year = u64::from(month >= 10);
        Self {
            year: period * 400 + year + next_year,
            month: month + 3 - next_year * 12,
            day: day - (month * 153 + 2) / 5 + 1,
            second: secs % DAY,
            ms: nsecs % NS_PER_S / 1_000_000,
        }
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hour, minute, second) = (self.second / 3600, self.second / 60 % 60, self.second % 60);
        let Self { year, month, day, .. } = self;
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }
}

#[test]
fn dates_follow_the_calendar() {
    for (secs, date) in [
        (0, "1970-01-01 00:00:00"),
        (68_169_599, "1972-02-28 23:59:59"),
        (68_169_600, "1972-02-29 00:00:00"),
        (951_868_799, "2000-02-29 23:59:59"),
        (951_868_800, "2000-03-01 00:00:00"),
        (1_735_689_599, "2024-12-31 23:59:59"),
        (1_767_323_045, "2026-01-02 03:04:05"),
        (4_107_542_400, "2100-03-01 00:00:00"),
        (13_574_649_599, "2400-02-29 23:59:59"),
    ] {
        assert_eq!(alloc::format!("{}", Date::of(secs, 0)), date);
    }
    let later = Date::of(59, 1_999_999_999);
    assert_eq!((alloc::format!("{later}").as_str(), later.ms), ("1970-01-01 00:01:00", 999));
    // No date that dom0 can set is too late.
    Date::of(u64::MAX, u64::MAX);
}
