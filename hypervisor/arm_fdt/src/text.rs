//! Text of bounded length without a heap: node paths in messages, names of new nodes.
use core::fmt;

/// The most bytes of a [`Text`].
const MAX: usize = 95;

/// Text of at most 95 bytes. What does not fit is cut off and marked with `...`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text {
    len: u8,
    bytes: [u8; MAX],
}

impl Text {
    /// The empty text.
    pub const fn new() -> Self {
        Self { len: 0, bytes: [0; MAX] }
    }

    /// Appends `s`, as far as there is room.
    #[inline(never)]
    pub fn push_str(&mut self, s: &str) {
        for c in s.chars() {
            let mut utf8 = [0; 4];
            let encoded = c.encode_utf8(&mut utf8).as_bytes();
            let start = usize::from(self.len);
            let end = start.saturating_add(encoded.len());
            match self.bytes.get_mut(start..end) {
                Some(room) => {
                    room.copy_from_slice(encoded);
                    // `end` <= MAX, because there was room.
                    self.len = end as u8;
                }
                None => return self.mark_cut(),
            }
        }
    }

    /// Appends `value` in lower-case hexadecimal, without a prefix.
    pub fn push_hex(&mut self, value: u64) {
        let zeros = value.leading_zeros() / 4;
        let digits = 16u32.saturating_sub(zeros).max(1);
        for i in (0..digits).rev() {
            let nibble = (value >> i.saturating_mul(4)) & 0xf;
            let digit = char::from_digit(nibble as u32, 16).unwrap_or('?');
            self.push_str(digit.encode_utf8(&mut [0; 4]));
        }
    }

    /// The text. Never fails: only whole characters are stored.
    pub fn as_str(&self) -> &str {
        let used = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        core::str::from_utf8(used).unwrap_or_default()
    }

    /// Replaces the last characters by three dots.
    fn mark_cut(&mut self) {
        let mut keep = MAX.saturating_sub(3).min(usize::from(self.len));
        while !self.as_str().is_char_boundary(keep) {
            keep = keep.saturating_sub(1);
        }
        let end = keep.saturating_add(3);
        if let Some(tail) = self.bytes.get_mut(keep..end) {
            tail.copy_from_slice(b"...");
            self.len = end as u8;
        }
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_fits_is_kept_whole() {
        let mut t = Text::new();
        t.push_str("cpu@");
        t.push_hex(0x10f);
        assert_eq!(t.as_str(), "cpu@10f");
    }

    #[test]
    fn hex_of_zero_and_of_the_largest_number() {
        let mut t = Text::new();
        t.push_hex(0);
        t.push_str("/");
        t.push_hex(u64::MAX);
        assert_eq!(t.as_str(), "0/ffffffffffffffff");
    }

    #[test]
    fn text_that_is_too_long_ends_in_dots() {
        let mut t = Text::new();
        t.push_str(&"x".repeat(95));
        assert_eq!(t.as_str(), "x".repeat(95));
        t.push_str("y");
        assert_eq!(t.as_str(), "x".repeat(92) + "...");
    }

    #[test]
    fn cut_never_splits_a_character() {
        let mut t = Text::new();
        t.push_str(&"x".repeat(91));
        t.push_str("\u{e9}\u{e9}\u{e9}");
        assert_eq!(t.as_str(), "x".repeat(91) + "...");
    }
}
