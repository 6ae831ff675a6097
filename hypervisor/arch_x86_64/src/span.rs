//! A range of physical addresses.
#![forbid(unsafe_code)]

use core::fmt;

/// Addresses from `start` up to, not including, `end`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    /// The first byte.
    pub start: u64,
    /// The byte after the last.
    pub end: u64,
}

impl Span {
    /// The number of bytes.
    pub const fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether there is no byte in it.
    pub const fn is_empty(&self) -> bool {
        self.end <= self.start
    }

    /// Whether a byte is in both.
    pub const fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end && !self.is_empty() && !other.is_empty()
    }
}

/// The first and the last address.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#015x}-{:#015x}", self.start, self.end.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_that_only_touch_do_not_overlap() {
        let a = Span { start: 0, end: 10 };
        assert!(a.overlaps(&Span { start: 9, end: 20 }));
        assert!(!a.overlaps(&Span { start: 10, end: 20 }));
    }

    #[test]
    fn empty_span_overlaps_nothing() {
        assert!(!Span { start: 5, end: 5 }.overlaps(&Span { start: 0, end: 10 }));
        assert!(!Span { start: 0, end: 10 }.overlaps(&Span { start: 5, end: 5 }));
    }

    #[test]
    fn last_address_is_shown_not_the_end() {
        assert_eq!(Span { start: 0, end: 0x9_fc00 }.to_string(), "0x0000000000000-0x000000009fbff");
    }
}
