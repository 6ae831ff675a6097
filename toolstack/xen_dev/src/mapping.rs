//! A range of addresses that belongs to one mapping of a file, unmapped when it goes.

use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::ptr::{self, NonNull};

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// A shared mapping of part of a file or device. Nothing borrows from it: what is behind may change at any time.
pub(crate) struct Mapping {
    start: NonNull<u8>,
    len: NonZeroUsize,
}

impl Mapping {
    /// Maps `len` bytes of `file` from `offset`, for reading and, if said so, for writing.
    pub(crate) fn new(
        file: impl AsFd,
        offset: u64,
        len: NonZeroUsize,
        writable: bool,
    ) -> Result<Self, Errno> {
        let prot = if writable { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        // SAFETY: without a wanted address and without MAP_FIXED a mapping takes addresses that nothing else uses.
        #[expect(unsafe_code, reason = "a system call; see the comment above")]
        let start = unsafe { mmap(ptr::null_mut(), len.get(), prot, MapFlags::SHARED, file, offset)? };
        let start = NonNull::new(start.cast()).ok_or(Errno::NOMEM)?;
        Ok(Self { start, len })
    }

    /// Maps one page of `file` from each of `offsets`, one behind the other.
    #[cfg(any(test, feature = "fake"))]
    pub(crate) fn pages(
        file: impl AsFd,
        offsets: &[u64],
        page: NonZeroUsize,
        writable: bool,
    ) -> Result<Self, Errno> {
        let len = page.get().checked_mul(offsets.len()).and_then(NonZeroUsize::new).ok_or(Errno::INVAL)?;
        let whole = Self::new(&file, 0, len, writable)?;
        let prot = if writable { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        for (index, &offset) in offsets.iter().enumerate() {
            let at = whole.start.as_ptr().wrapping_add(index * page.get()).cast();
            let flags = MapFlags::SHARED | MapFlags::FIXED;
            // SAFETY: the page lies within `whole`, to which nothing refers yet.
            #[expect(unsafe_code, reason = "a system call; see the comment above")]
            unsafe {
                mmap(at, page.get(), prot, flags, &file, offset)?
            };
        }
        Ok(whole)
    }

    /// First address.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Bytes.
    pub(crate) fn len(&self) -> usize {
        self.len.get()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is the one that `new` got from the kernel, it is unmapped once, and nothing borrows from
        // it.
        #[expect(unsafe_code, reason = "a system call; see the comment above")]
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), self.len.get()) };
        debug_assert_eq!(unmapped, Ok(()));
    }
}

// SAFETY: a mapping belongs to the process, not to a thread.
#[expect(unsafe_code, reason = "see the comment above")]
unsafe impl Send for Mapping {}
// SAFETY: as above; through a shared borrow only its place can be asked.
#[expect(unsafe_code, reason = "see the comment above")]
unsafe impl Sync for Mapping {}
