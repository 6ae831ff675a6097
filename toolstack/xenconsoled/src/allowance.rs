//! How much work a console may cause: a guest that floods is slowed down, and others are not.

use std::time::{Duration, Instant};

/// A period of the limit.
pub const PERIOD: Duration = Duration::from_millis(100);
/// Events that are answered in a period.
pub const EVENTS: u32 = 64;

/// What is left of a console's share of the current period. An event costs one, and with it at most a ring of output.
#[derive(Debug)]
pub struct Allowance {
    since: Instant,
    left: u32,
}

impl Allowance {
    /// A whole period's share from now on.
    pub fn new(now: Instant) -> Self {
        Self { since: now, left: EVENTS }
    }

    /// Takes the cost of an event and says whether more may come in this period.
    pub fn take(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) >= PERIOD {
            *self = Self::new(now);
        }
        self.left = self.left.saturating_sub(1);
        self.left > 0
    }

    /// When the next period begins.
    pub fn renewed_at(&self) -> Instant {
        self.since + PERIOD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flood_is_stopped_until_the_next_period() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        let allowed = (0..1000).take_while(|_| allowance.take(start)).count();
        assert_eq!(allowed, EVENTS as usize - 1);
        assert!(!allowance.take(start + PERIOD - Duration::from_millis(1)));
        assert_eq!(allowance.renewed_at(), start + PERIOD);
        assert!(allowance.take(start + PERIOD));
    }

    #[test]
    fn guest_of_a_few_events_is_never_stopped() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        let step = PERIOD / (EVENTS / 2);
        assert!((0..10 * EVENTS).all(|event| allowance.take(start + step * event)));
    }
}
