//! Reading and writing a guest's memory at the virtual addresses that hypercalls carry.
//!
//! A guest address is an allegation: it is translated and the page referenced for each access, and
//! the bytes are copied once into an owned value.

use crate::hypervisor::Hypervisor;
use core::marker::PhantomData;
use core::sync::atomic::AtomicU64;
use hal::{Domid, FrameMem as _, MachineOps as _, Mfn, PAGE_SIZE};
use machine::Frame;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The guest's address cannot be read or written (EFAULT).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault;

/// Plain data that can be copied from a guest and to it.
pub trait GuestBytes: FromBytes + IntoBytes + Immutable {}
impl<T: FromBytes + IntoBytes + Immutable> GuestBytes for T {}

/// The memory of the domain whose vCPU trapped on this pCPU.
#[derive(Clone, Copy)]
pub struct GuestMemory<'a> {
    pub(crate) hv: &'a Hypervisor,
    pub(crate) domid: Domid,
}

/// A page of the guest's, referenced.
pub(super) struct GuestPage<'a> {
    pub(super) frame: Frame<'a>,
    _guard: ShortGuard<'a>,
}

/// A reference that is given back soon: it knows the frame's record.
struct ShortGuard<'a> {
    hv: &'a Hypervisor,
    mfn: Mfn,
    record: &'a AtomicU64,
}

impl Drop for ShortGuard<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(freed) = self.hv.frames.put_record(self.mfn, self.record) {
            self.hv.page_freed(freed);
        }
    }
}

/// Where a structure is in a guest's memory.
pub struct Place<'a, T> {
    memory: GuestMemory<'a>,
    va: u64,
    /// Its page; `None` when it is in two, or not aligned, and so is translated for each access.
    page: Option<GuestPage<'a>>,
    value: PhantomData<T>,
}

impl<T: GuestBytes> Place<'_, T> {
    /// Reads it.
    #[inline(always)]
    pub fn read(&self) -> Result<T, Fault> {
        let mut value = T::new_zeroed();
        match &self.page {
            Some(page) => {
                page.frame.read_words(self.va as usize % PAGE_SIZE, value.as_mut_bytes());
            }
            None => self.memory.read_bytes(self.va, value.as_mut_bytes())?,
        }
        Ok(value)
    }

    /// Writes it.
    #[inline(always)]
    pub fn write(&self, value: &T) -> Result<(), Fault> {
        match &self.page {
            Some(page) => {
                page.frame.write_words(self.va as usize % PAGE_SIZE, value.as_bytes());
                Ok(())
            }
            None => self.memory.write_bytes(self.va, value.as_bytes()),
        }
    }
}

impl<'a> GuestMemory<'a> {
    /// The page of the guest's address `va`, as the guest may read or write it.
    #[inline(always)]
    pub(super) fn page(&self, va: u64, write: bool) -> Result<GuestPage<'a>, Fault> {
        let maddr = self.hv.machine.translate(va, write).ok_or(Fault)?;
        let (hv, mfn) = (self.hv, maddr.frame());
        let record = hv.frames.refer(mfn, self.domid).ok_or(Fault)?;
        let guard = ShortGuard { hv, mfn, record };
        Ok(GuestPage { frame: hv.machine.frame(mfn).ok_or(Fault)?, _guard: guard })
    }

    /// The structure at `va`, whose page stays referenced, for reading and, if `write`, for answering in it.
    #[inline(always)]
    pub fn place<T: GuestBytes>(&self, va: u64, write: bool) -> Result<Place<'a, T>, Fault> {
        let is_whole = va.is_multiple_of(8) && va as usize % PAGE_SIZE <= PAGE_SIZE - size_of::<T>();
        let page = if is_whole { Some(self.page(va, write)?) } else { None };
        Ok(Place { memory: *self, va, page, value: PhantomData })
    }

    /// Runs `f` on each page piece of `va..va + len`: the frame, the offset in it, and the range of
    /// the buffer that it stands for.
    #[inline]
    fn pieces(
        &self,
        va: u64,
        len: usize,
        write: bool,
        mut f: impl FnMut(Frame<'_>, usize, usize, usize),
    ) -> Result<(), Fault> {
        let mut done = 0;
        while done < len {
            let at = va.checked_add(done as u64).ok_or(Fault)?;
            let offset = at as usize % PAGE_SIZE;
            let piece = (len - done).min(PAGE_SIZE - offset);
            let page = self.page(at, write)?;
            f(page.frame, offset, done, piece);
            done += piece;
        }
        Ok(())
    }

    /// Fills `buf` from the guest's `va`.
    #[inline(never)]
    pub fn read_bytes(&self, va: u64, buf: &mut [u8]) -> Result<(), Fault> {
        let offset = va as usize % PAGE_SIZE;
        if buf.is_empty() || buf.len() > PAGE_SIZE - offset {
            return self.read_pages(va, buf);
        }
        self.page(va, false)?.frame.read(offset, buf);
        Ok(())
    }

    #[cold]
    fn read_pages(&self, va: u64, buf: &mut [u8]) -> Result<(), Fault> {
        let len = buf.len();
        self.pieces(va, len, false, |frame, offset, done, piece| {
            if let Some(part) = buf.get_mut(done..done + piece) {
                frame.read(offset, part);
            }
        })
    }

    /// Copies `bytes` to the guest's `va`. A fault part way leaves the pages before it written.
    #[inline(never)]
    pub fn write_bytes(&self, va: u64, bytes: &[u8]) -> Result<(), Fault> {
        let offset = va as usize % PAGE_SIZE;
        if bytes.is_empty() || bytes.len() > PAGE_SIZE - offset {
            return self.write_pages(va, bytes);
        }
        self.page(va, true)?.frame.write(offset, bytes);
        Ok(())
    }

    #[cold]
    fn write_pages(&self, va: u64, bytes: &[u8]) -> Result<(), Fault> {
        self.pieces(va, bytes.len(), true, |frame, offset, done, piece| {
            if let Some(part) = bytes.get(done..done + piece) {
                frame.write(offset, part);
            }
        })
    }

    /// Reads one `T` at `va`.
    #[inline]
    pub fn read<T: GuestBytes>(&self, va: u64) -> Result<T, Fault> {
        let mut value = T::new_zeroed();
        match <&mut [u8; 4]>::try_from(value.as_mut_bytes()) {
            Ok(word) => *word = self.read_word(va)?.to_ne_bytes(),
            Err(_) => self.read_bytes(va, value.as_mut_bytes())?,
        }
        Ok(value)
    }

    /// Reads 32 bits at `va`: a port, the most frequent argument.
    #[inline(never)]
    pub fn read_word(&self, va: u64) -> Result<u32, Fault> {
        if va.is_multiple_of(4) {
            return Ok(self.page(va, false)?.frame.load32(va as usize % PAGE_SIZE));
        }
        let mut bytes = [0; 4];
        self.read_bytes(va, &mut bytes)?;
        Ok(u32::from_ne_bytes(bytes))
    }

    /// Writes one `T` at `va`.
    #[inline]
    pub fn write<T: GuestBytes>(&self, va: u64, value: &T) -> Result<(), Fault> {
        self.write_bytes(va, value.as_bytes())
    }

    /// Reads element `index` of the array at `va`.
    pub fn read_element<T: GuestBytes>(&self, va: u64, index: u64) -> Result<T, Fault> {
        self.read(element::<T>(va, index)?)
    }

    /// Writes element `index` of the array at `va`.
    pub fn write_element<T: GuestBytes>(&self, va: u64, index: u64, value: &T) -> Result<(), Fault> {
        self.write(element::<T>(va, index)?, value)
    }
}

/// The address of element `index` of an array of `T` at `va`.
pub(super) fn element<T>(va: u64, index: u64) -> Result<u64, Fault> {
    index.checked_mul(size_of::<T>() as u64).and_then(|o| va.checked_add(o)).ok_or(Fault)
}
