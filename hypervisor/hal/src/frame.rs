//! Access to the bytes of one page frame that a guest may share.
//!
//! Memory that a guest can write is never a Rust reference: every access copies a value in or out,
//! or is one atomic operation. Offsets wrap inside the page and are aligned down to the operand's
//! size, so no offset can reach outside the frame; callers validate what they mean before.

use crate::addr::PAGE_SIZE;

/// A handle on the 4096 bytes of one frame.
///
/// Atomic operations are sequentially consistent unless their name says otherwise, since the other
/// side may be a guest that expects the full barriers of Xen's primitives. They come to an end
/// whatever guests do to the memory meanwhile: see [`insist`](crate::insist()).
pub trait FrameMem: Copy {
    /// Copies bytes from `offset` into `buf`; only the part inside the page, whose length is
    /// returned. Each byte is read once.
    fn read(&self, offset: usize, buf: &mut [u8]) -> usize;

    /// Copies `bytes` to `offset`; only the part inside the page, whose length is returned.
    fn write(&self, offset: usize, bytes: &[u8]) -> usize;

    /// [`read`](Self::read) for a structure of few words.
    fn read_words(&self, offset: usize, buf: &mut [u8]) -> usize {
        self.read(offset, buf)
    }

    /// [`write`](Self::write) for a structure of few words.
    fn write_words(&self, offset: usize, bytes: &[u8]) -> usize {
        self.write(offset, bytes)
    }

    /// Copies `len` bytes from another frame, cut at the end of either page; returns the length
    /// copied.
    fn copy_from(&self, offset: usize, src: &Self, src_offset: usize, len: usize) -> usize;

    /// Fills the page with zeroes.
    fn zero(&self);

    /// Reads one byte.
    fn load8(&self, offset: usize) -> u8;
    /// Writes one byte.
    fn store8(&self, offset: usize, value: u8);

    /// Reads a 16-bit word.
    fn load16(&self, offset: usize) -> u16;
    /// Sets bits of a 16-bit word; returns its value before.
    fn fetch_or16(&self, offset: usize, bits: u16) -> u16;
    /// Clears all but `bits` of a 16-bit word; returns its value before.
    fn fetch_and16(&self, offset: usize, bits: u16) -> u16;

    /// Reads a 32-bit word (acquire).
    fn load32(&self, offset: usize) -> u32;
    /// Writes a 32-bit word (release).
    fn store32(&self, offset: usize, value: u32);
    /// Replaces a 32-bit word that equals `current`; `Err` has the value found.
    fn compare_exchange32(&self, offset: usize, current: u32, new: u32) -> Result<u32, u32>;
    /// Sets bits of a 32-bit word; returns its value before.
    fn fetch_or32(&self, offset: usize, bits: u32) -> u32;
    /// Clears all but `bits` of a 32-bit word; returns its value before.
    fn fetch_and32(&self, offset: usize, bits: u32) -> u32;

    /// Reads a 64-bit word (acquire).
    fn load64(&self, offset: usize) -> u64;
    /// Writes a 64-bit word (release).
    fn store64(&self, offset: usize, value: u64);
    /// Sets bits of a 64-bit word; returns its value before.
    fn fetch_or64(&self, offset: usize, bits: u64) -> u64;
    /// Clears all but `bits` of a 64-bit word; returns its value before.
    fn fetch_and64(&self, offset: usize, bits: u64) -> u64;
    /// Replaces a 64-bit word; returns its value before.
    fn swap64(&self, offset: usize, value: u64) -> u64;
}

/// The part of `len` bytes from `offset` that lies in the page.
pub const fn clip(offset: usize, len: usize) -> usize {
    let room = PAGE_SIZE.saturating_sub(offset);
    if len < room { len } else { room }
}
