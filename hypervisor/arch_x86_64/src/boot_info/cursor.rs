//! Reading what lies in physical memory, with every length checked.

use super::{BootError, Part};
use crate::text::Text;

/// There is no memory at an address, or none that may be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unreadable;

/// Physical memory while the boot loader's data is read.
pub trait BootMemory {
    /// Copies from physical address `at` on, each byte once.
    ///
    /// # Errors
    /// When not all of it can be read.
    fn read(&self, at: u64, to: &mut [u8]) -> Result<(), Unreadable>;
}

/// A place in physical memory, and how many bytes from there on belong to what is read.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    memory: &'a dyn BootMemory,
    part: Part,
    at: u64,
    left: u64,
}

impl<'a> Cursor<'a> {
    /// `len` bytes at `at`.
    pub fn new(memory: &'a dyn BootMemory, part: Part, at: u64, len: u64) -> Self {
        Self { memory, part, at, left: len }
    }

    /// Whether all is read.
    pub fn is_at_end(&self) -> bool {
        self.left == 0
    }

    /// Passes over `len` bytes.
    pub fn skip(&mut self, len: u64) -> Result<(), BootError> {
        self.left = self.left.checked_sub(len).ok_or(BootError::Truncated(self.part))?;
        self.at = self.at.checked_add(len).ok_or(BootError::Unreadable { part: self.part, at: self.at })?;
        Ok(())
    }

    /// Passes over `len` bytes, and hands them back as what holds `part`.
    pub fn split(&mut self, len: u64, part: Part) -> Result<Self, BootError> {
        let piece = Self { part, left: len, ..*self };
        self.skip(len)?;
        Ok(piece)
    }

    /// Passes over what is left up to a multiple of 8 bytes from `start`, the cursor's address at an
    /// earlier time; at most to the end.
    pub fn align_8(&mut self, start: Self) -> Result<(), BootError> {
        let done = start.left.saturating_sub(self.left);
        let padding = done.wrapping_neg() & 7;
        self.skip(padding.min(self.left))
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], BootError> {
        let mut bytes = [0; N];
        let at = self.at;
        self.skip(N as u64)?;
        self.memory.read(at, &mut bytes).map_err(|_| BootError::Unreadable { part: self.part, at })?;
        Ok(bytes)
    }

    /// The next 4 bytes, little-endian.
    pub fn u32(&mut self) -> Result<u32, BootError> {
        self.bytes().map(u32::from_le_bytes)
    }

    /// The next 8 bytes, little-endian.
    pub fn u64(&mut self) -> Result<u64, BootError> {
        self.bytes().map(u64::from_le_bytes)
    }

    /// Text up to a zero byte; of text that is too long, the beginning.
    pub fn text<const N: usize>(mut self) -> Result<Text<N>, BootError> {
        let mut text = Text::new();
        loop {
            let [byte] = self.bytes()?;
            if byte == 0 || !text.push(byte) {
                return Ok(text);
            }
        }
    }
}

/// Text at an address, of no known length; none at address 0.
pub(super) fn text_at<const N: usize>(
    memory: &dyn BootMemory,
    part: Part,
    at: u64,
) -> Result<Text<N>, BootError> {
    if at == 0 {
        return Ok(Text::new());
    }
    Cursor::new(memory, part, at, u64::MAX).text()
}
