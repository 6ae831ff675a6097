//! Names of domains that no other domain has, ever.
use std::fmt;
use std::str::FromStr;

use super::{BadValue, stored_as_text};

/// UUID (RFC 9562), in network order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Uuid(pub [u8; 16]);

/// Where the text form has its hyphens.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

impl FromStr for Uuid {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let bad = || {
            BadValue::new(format!(
                "`{}` is not a UUID like 01234567-89ab-cdef-0123-456789abcdef",
                text.escape_debug()
            ))
        };
        if text.len() != 36 {
            return Err(bad());
        }
        let mut number = 0u128;
        for (at, c) in text.char_indices() {
            if HYPHENS.contains(&at) {
                if c != '-' {
                    return Err(bad());
                }
                continue;
            }
            number = number << 4 | u128::from(c.to_digit(16).ok_or_else(bad)?);
        }
        Ok(Self(number.to_be_bytes()))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = u128::from_be_bytes(self.0);
        let part = |shift: u32, digits: u32| (number >> shift) & ((1 << (digits * 4)) - 1);
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            part(96, 8),
            part(80, 4),
            part(64, 4),
            part(48, 4),
            part(0, 12)
        )
    }
}

stored_as_text!(Uuid);
