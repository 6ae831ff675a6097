//! Text from a boot loader: bytes of no known encoding, copied once.
#![forbid(unsafe_code)]

use core::fmt::{self, Write as _};

/// Up to `N` bytes of text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
    cut: bool,
}

impl<const N: usize> Text<N> {
    /// No text.
    pub const fn new() -> Self {
        Self { bytes: [0; N], len: 0, cut: false }
    }

    /// Appends a byte, or remembers that there was no room for it. Returns whether there was.
    pub fn push(&mut self, byte: u8) -> bool {
        match self.bytes.get_mut(self.len) {
            Some(slot) => {
                *slot = byte;
                self.len = self.len.saturating_add(1);
            }
            None => self.cut = true,
        }
        !self.cut
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Whether the text went on behind the last byte.
    pub const fn is_cut(&self) -> bool {
        self.cut
    }

    /// Whether there is no byte.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// Printable ASCII as it is, other bytes in hexadecimal: a terminal must not obey a boot loader.
impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &byte in self.as_bytes() {
            match byte {
                b' '..=b'~' => f.write_char(char::from(byte))?,
                _ => write!(f, "\\x{byte:02x}")?,
            }
        }
        if self.cut { f.write_str("... (cut off)") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<const N: usize>(bytes: &[u8]) -> Text<N> {
        let mut text = Text::new();
        for byte in bytes {
            text.push(*byte);
        }
        text
    }

    #[test]
    fn text_that_fits_is_not_cut() {
        assert_eq!(text::<3>(b"abc").to_string(), "abc");
        assert!(!text::<3>(b"abc").is_cut());
    }

    #[test]
    fn text_that_does_not_fit_says_so() {
        assert_eq!(text::<3>(b"abcd").to_string(), "abc... (cut off)");
    }

    #[test]
    fn control_characters_are_not_passed_on() {
        assert_eq!(text::<9>(b"a\x1b[2J\xff").to_string(), "a\\x1b[2J\\xff");
    }
}
