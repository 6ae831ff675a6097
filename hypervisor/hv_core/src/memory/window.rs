//! Access to neighbouring places of a guest's memory: a structure that is read and then answered, the elements of an
//! array.

use super::guest::{Fault, GuestBytes, GuestMemory, GuestPage, element};
use hal::{FrameMem as _, PAGE_SIZE};
use machine::Frame;
use zerocopy::IntoBytes as _;

/// What of a guest address names the page.
const PAGE_MASK: u64 = !(PAGE_SIZE as u64 - 1);

/// A guest's memory through the page that was used last, which stays referenced: the next access to the same page needs
/// no translation. What the guest does meanwhile to its own tables counts from the next page on; its page cannot become
/// anybody else's before the window is gone.
///
/// All pages are translated for writing, if the window is for that. So what cannot be answered is not begun.
pub struct GuestWindow<'a> {
    memory: GuestMemory<'a>,
    write: bool,
    /// The address that the page has for the guest, and the page.
    page: Option<(u64, GuestPage<'a>)>,
}

impl<'a> GuestWindow<'a> {
    /// A window for reading and writing.
    #[inline]
    pub fn new(memory: GuestMemory<'a>) -> Self {
        Self { memory, write: true, page: None }
    }

    /// A window for reading.
    #[inline]
    pub fn read_only(memory: GuestMemory<'a>) -> Self {
        Self { memory, write: false, page: None }
    }

    /// Reads one `T` at `va`.
    #[inline]
    pub fn read<T: GuestBytes>(&mut self, va: u64) -> Result<T, Fault> {
        let mut value = T::new_zeroed();
        match self.frame(va, size_of::<T>())? {
            Some((frame, offset)) => {
                frame.read_words(offset, value.as_mut_bytes());
            }
            None => self.memory.read_bytes(va, value.as_mut_bytes())?,
        }
        Ok(value)
    }

    /// Reads element `index` of the array at `va`.
    #[inline]
    pub fn read_element<T: GuestBytes>(&mut self, va: u64, index: u64) -> Result<T, Fault> {
        self.read(element::<T>(va, index)?)
    }

    /// Reads elements of the array at `va` from `index` on: as many as lie in one page and fit, but at least one.
    /// Returns their number.
    #[inline]
    pub fn read_elements<T: GuestBytes>(
        &mut self,
        va: u64,
        index: u64,
        into: &mut [T],
    ) -> Result<usize, Fault> {
        let at = element::<T>(va, index)?;
        let count = ((PAGE_SIZE - at as usize % PAGE_SIZE) / size_of::<T>()).clamp(1, into.len().max(1));
        let part = into.get_mut(..count).unwrap_or_default().as_mut_bytes();
        match self.frame(at, part.len())? {
            Some((frame, offset)) => {
                frame.read(offset, part);
            }
            None => self.memory.read_bytes(at, part)?,
        }
        Ok(count)
    }

    /// Writes one `T` at `va`.
    #[inline]
    pub fn write<T: GuestBytes>(&mut self, va: u64, value: &T) -> Result<(), Fault> {
        self.write_bytes(va, value.as_bytes())
    }

    /// Writes what of the structure at `va` begins `from` bytes into it.
    #[inline]
    pub fn write_from<T: GuestBytes>(&mut self, va: u64, from: usize, value: &T) -> Result<(), Fault> {
        let bytes = value.as_bytes().get(from..).unwrap_or_default();
        self.write_bytes(va.checked_add(from as u64).ok_or(Fault)?, bytes)
    }

    /// Writes a field, which is `offset` bytes into the structure at `va`.
    #[inline]
    pub fn write_field<T: GuestBytes>(&mut self, va: u64, offset: usize, value: &T) -> Result<(), Fault> {
        self.write(va.checked_add(offset as u64).ok_or(Fault)?, value)
    }

    /// Writes bytes at `va`.
    #[inline(always)]
    fn write_bytes(&mut self, va: u64, bytes: &[u8]) -> Result<(), Fault> {
        match self.frame(va, bytes.len())? {
            Some((frame, offset)) => {
                frame.write_words(offset, bytes);
                Ok(())
            }
            None => self.memory.write_bytes(va, bytes),
        }
    }

    /// The frame with the `len` bytes at `va` and the offset in it; `None` when they lie in two pages.
    #[inline(always)]
    fn frame(&mut self, va: u64, len: usize) -> Result<Option<(Frame<'a>, usize)>, Fault> {
        let offset = va as usize % PAGE_SIZE;
        if offset > PAGE_SIZE - len.min(PAGE_SIZE) {
            return Ok(None);
        }
        let frame = match &self.page {
            Some((at, page)) if *at == va & PAGE_MASK => page.frame,
            _ => self.turn_to(va & PAGE_MASK)?,
        };
        Ok(Some((frame, offset)))
    }

    /// Takes the page at `at`, and lets the one before go.
    #[inline(never)]
    fn turn_to(&mut self, at: u64) -> Result<Frame<'a>, Fault> {
        let page = self.memory.page(at, self.write)?;
        let frame = page.frame;
        self.page = Some((at, page));
        Ok(frame)
    }
}
