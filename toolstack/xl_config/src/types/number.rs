//! Numbers as C reads them.
use std::ops::RangeInclusive;

use super::BadValue;

/// All of `text` as a C integer (`strtol` with base 0): decimal, hexadecimal from 0x, octal from 0.
pub(crate) fn c_integer(text: &str) -> Result<i64, BadValue> {
    let bad = || BadValue::new(format!("`{}` is not a number", text.escape_debug()));
    let unsigned = text.trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
    let (negative, digits) = match unsigned.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, unsigned.strip_prefix('+').unwrap_or(unsigned)),
    };
    let (radix, digits) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hexadecimal) => (16, hexadecimal),
        None if digits.starts_with('0') => (8, digits),
        None => (10, digits),
    };
    // What Rust reads as a sign is none here.
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(bad());
    }
    let magnitude = i64::from_str_radix(digits, radix)
        .map_err(|_| BadValue::new(format!("`{}` is too large a number", text.escape_debug())))?;
    Ok(if negative { -magnitude } else { magnitude })
}

/// A C integer within `range`.
pub(crate) fn in_range(text: &str, range: RangeInclusive<i64>) -> Result<i64, BadValue> {
    let number = c_integer(text)?;
    if range.contains(&number) {
        return Ok(number);
    }
    Err(BadValue::new(format!("{number} is not from {} to {}", range.start(), range.end())))
}
