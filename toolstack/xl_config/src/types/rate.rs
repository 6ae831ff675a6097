//! Limits for network traffic.
use std::fmt;
use std::str::FromStr;

use super::{BadValue, c_integer, stored_as_text};

/// How often credit is given when it is not said, in microseconds.
const USUAL_INTERVAL_US: u32 = 50_000;

/// Most traffic that a guest may send (xl-network-configuration(5), rate).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    bytes_per_s: u64,
    interval_us: u32,
}

impl Rate {
    /// Bytes that may be sent in each interval; not zero.
    pub fn bytes_per_interval(self) -> u64 {
        let bytes = u128::from(self.bytes_per_s) * u128::from(self.interval_us) / 1_000_000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// Length of the interval in microseconds; not zero.
    pub fn interval_us(self) -> u32 {
        self.interval_us
    }
}

impl FromStr for Rate {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let bad = |what: &str| BadValue::new(format!("`{}` {what}", text.escape_debug()));
        let (rate, interval) = match text.split_once('@') {
            Some((rate, interval)) => (rate, Some(interval)),
            None => (text, None),
        };
        let bytes_per_s =
            bytes_per_second(rate).ok_or_else(|| bad("is not a rate like 10Mb/s or 1MB/s@20ms"))?;
        let interval_us = match interval {
            Some(interval) => {
                microseconds(interval).ok_or_else(|| bad("has no interval like 20ms behind the @"))?
            }
            None => USUAL_INTERVAL_US,
        };
        let rate = Self { bytes_per_s, interval_us };
        if rate.bytes_per_interval() == 0 {
            return Err(bad("lets not one byte through in an interval"));
        }
        Ok(rate)
    }
}

/// Digits, and what is behind them.
fn number(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at_checked(digits)?;
    Some((u64::try_from(c_integer(number).ok()?).ok()?, rest))
}

fn bytes_per_second(text: &str) -> Option<u64> {
    let (number, unit) = number(text)?;
    let unit = unit.strip_suffix("/s")?;
    let (scale, unit) = match unit.chars().next()? {
        'G' => (1_000_000_000, unit.get(1..)?),
        'M' => (1_000_000, unit.get(1..)?),
        'K' => (1_000, unit.get(1..)?),
        _ => (1, unit),
    };
    let amount = number.checked_mul(scale)?;
    match unit {
        "B" => Some(amount),
        "b" => Some(amount / 8),
        _ => None,
    }
}

/// xl takes a number without unit for seconds.
fn microseconds(text: &str) -> Option<u32> {
    let (number, unit) = number(text)?;
    let scale = match unit {
        "us" | "u" => 1,
        "ms" | "m" => 1_000,
        "s" | "" => 1_000_000,
        _ => return None,
    };
    u32::try_from(number.checked_mul(scale)?).ok()
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}B/s@{}us", self.bytes_per_s, self.interval_us)
    }
}

stored_as_text!(Rate);
