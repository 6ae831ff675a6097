//! Counter ticks to nanoseconds and back, by multiplication and shift.

/// Fraction bits of the ticks-to-nanoseconds factor.
const NS_SHIFT: u32 = 54;
/// Fraction bits of the nanoseconds-to-ticks factor.
const TICK_SHIFT: u32 = 61;
const NS_PER_SECOND: u128 = 1_000_000_000;

/// The rate of the system counter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Clock {
    hz: u64,
    ns_per_tick: u64,
    ticks_per_ns: u64,
}

impl Clock {
    /// A counter of `hz` ticks per second; `None` outside 1 MHz to 7 GHz.
    pub fn new(hz: u64) -> Option<Self> {
        if !(1_000_000..=7_000_000_000).contains(&hz) {
            return None;
        }
        let rate = hz;
        let hz = u128::from(hz);
        Some(Self {
            hz: rate,
            ns_per_tick: u64::try_from((NS_PER_SECOND << NS_SHIFT) / hz).ok()?,
            ticks_per_ns: u64::try_from((hz << TICK_SHIFT) / NS_PER_SECOND).ok()?,
        })
    }

    /// Ticks per second.
    pub fn hz(self) -> u64 {
        self.hz
    }

    /// Nanoseconds in `ticks`, rounded down.
    #[inline]
    pub fn ns(self, ticks: u64) -> u64 {
        ((u128::from(ticks) * u128::from(self.ns_per_tick)) >> NS_SHIFT) as u64
    }

    /// The first tick by which `ns` nanoseconds have passed; the largest value if there is none.
    #[inline]
    pub fn ticks(self, ns: u64) -> u64 {
        let ticks = ((u128::from(ns) * u128::from(self.ticks_per_ns)) >> TICK_SHIFT) + 1;
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rates_no_counter_has_are_refused() {
        assert_eq!(Clock::new(0), None);
        assert_eq!(Clock::new(999_999), None);
        assert_eq!(Clock::new(u64::MAX), None);
    }

    #[test]
    fn emulator_clock_is_exact() {
        let clock = Clock::new(62_500_000).unwrap();
        assert_eq!(clock.ns(62_500_000 * 86_400), 86_400_000_000_000);
        assert_eq!(clock.ticks(16), 2);
    }

    proptest! {
        #[test]
        fn deadline_is_met_within_rounding(
            hz in 1_000_000u64..1_000_000_000, ns in 0u64..10 * 365 * 86_400 * 1_000_000_000,
        ) {
            let clock = Clock::new(hz).unwrap();
            let tick = clock.ticks(ns);
            // Ten years of rounding stay below a microsecond.
            prop_assert!(clock.ns(tick) + 64 >= ns);
            let late = clock.ns(tick).saturating_sub(ns);
            prop_assert!(late <= 64 + 2 * 1_000_000_000 / hz, "late {} ns", late);
        }
    }
}
