//! Amounts of memory.
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{BadValue, c_integer};

/// Most that a domain can have: what Xen itself can manage, 16 TiB.
const MOST_KIB: u64 = 16 << 30;

/// An amount of memory, in KiB, not zero. Stored as that number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct MemorySize(u64);

impl MemorySize {
    /// `kib` KiB.
    pub fn from_kib(kib: u64) -> Result<Self, BadValue> {
        match kib {
            0 => Err(BadValue::new("the amount of memory is zero")),
            1..=MOST_KIB => Ok(Self(kib)),
            _ => Err(BadValue::new("the amount of memory is more than 16 TiB")),
        }
    }

    /// What libxl gives a domain whose configuration does not say: 32 MiB.
    pub(crate) const UNSAID: Self = Self(32 << 10);

    /// In KiB.
    pub fn kib(self) -> u64 {
        self.0
    }

    /// In bytes.
    pub fn bytes(self) -> u64 {
        self.0 << 10
    }
}

impl TryFrom<u64> for MemorySize {
    type Error = BadValue;
    fn try_from(kib: u64) -> Result<Self, BadValue> {
        Self::from_kib(kib)
    }
}

impl From<MemorySize> for u64 {
    fn from(size: MemorySize) -> Self {
        size.0
    }
}

/// A number of MiB, or of the unit b, k, m, g or t behind it (as for `xl mem-set`), in upper or lower case.
impl FromStr for MemorySize {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let unit = text.chars().last().map_or('m', |c| c.to_ascii_lowercase());
        let (number, shift) = match unit {
            // In a hexadecimal number it is a digit.
            'b' if text.starts_with("0x") => (text, 20),
            'b' => (text.get(..text.len() - 1).unwrap_or(text), 0),
            'k' => (text.get(..text.len() - 1).unwrap_or(text), 10),
            'm' => (text.get(..text.len().saturating_sub(1)).unwrap_or(text), 20),
            'g' => (text.get(..text.len() - 1).unwrap_or(text), 30),
            't' => (text.get(..text.len() - 1).unwrap_or(text), 40),
            _ => (text, 20),
        };
        let number = c_integer(number).map_err(|_| {
            BadValue::new(format!(
                "`{}` is not an amount of memory: a number of MiB, or with unit k, m, g or t",
                text.escape_debug()
            ))
        })?;
        let number = u64::try_from(number).map_err(|_| BadValue::new("the amount of memory is negative"))?;
        let bytes = u128::from(number) << shift;
        // Beyond 64 bits it is beyond the limit as well.
        Self::from_kib(u64::try_from(bytes >> 10).unwrap_or(u64::MAX))
    }
}

/// With a unit: MiB when it is a whole number of them.
impl fmt::Display for MemorySize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(1024) { write!(f, "{}m", self.0 / 1024) } else { write!(f, "{}k", self.0) }
    }
}
