//! Memory that another domain, or the hypervisor, can change at any moment.

use std::any::Any;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use thiserror::Error;

use crate::mapping::Mapping;

/// Mapped pages that others can change. Bytes are copied in and out with atomic accesses, so whatever the other side
/// does at the same time, a copy is some bytes that were there and nothing worse; no reference to the memory exists.
///
/// Single words are read and written with the ordering that ring protocols need; copies order nothing.
pub struct SharedMemory {
    // Unmapped before the pages are released.
    mapping: Mapping,
    len: usize,
    writable: bool,
    _release: Option<Box<dyn Any + Send + Sync>>,
}

/// An access that the memory does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AccessError {
    /// Some of the bytes are outside.
    #[error("{len} bytes at offset {offset:#x} are not within {size:#x} bytes of shared memory")]
    Range {
        /// First byte.
        offset: usize,
        /// Bytes.
        len: usize,
        /// Bytes of the memory.
        size: usize,
    },
    /// A word is not at a multiple of its size.
    #[error("offset {0:#x} in shared memory is not aligned for a word of that size")]
    Alignment(usize),
    /// The memory was mapped for reading.
    #[error("shared memory is mapped for reading only")]
    ReadOnly,
}

/// Declares the typed view, the load and the store of one word size.
macro_rules! words {
    ($($ty:ty, $atomic:ty, $at:ident, $load:ident, $store:ident;)*) => {$(
        fn $at(&self, offset: usize) -> Result<&$atomic, AccessError> {
            self.check(offset, size_of::<$ty>())?;
            if offset % align_of::<$atomic>() != 0 {
                return Err(AccessError::Alignment(offset));
            }
            // SAFETY: (1) the word lies within the mapping, which lives as long as the borrow of `self`; (2) it is
            // aligned, since a mapping starts at a page; (3) this process touches the mapping through these atomics
            // alone; (4) no store happens when the mapping is read-only, see `store` and `write`.
            #[expect(unsafe_code, reason = "the one way to shared memory; see the comment above")]
            Ok(unsafe { <$atomic>::from_ptr(self.mapping.start().add(offset).cast().as_ptr()) })
        }

        /// Reads a word at `offset`, a multiple of its size; reads after it stay after it (acquire).
        pub fn $load(&self, offset: usize) -> Result<$ty, AccessError> {
            Ok(self.$at(offset)?.load(Ordering::Acquire))
        }

        /// Writes a word at `offset`, a multiple of its size; accesses before it stay before it (release).
        pub fn $store(&self, offset: usize, value: $ty) -> Result<(), AccessError> {
            self.check_writable()?;
            self.$at(offset)?.store(value, Ordering::Release);
            Ok(())
        }
    )*};
}

impl SharedMemory {
    /// The first `len` bytes of a mapping. What is in `release` is dropped after the memory is unmapped.
    pub(crate) fn new(
        mapping: Mapping,
        len: NonZeroUsize,
        writable: bool,
        release: Option<Box<dyn Any + Send + Sync>>,
    ) -> Self {
        let len = len.get().min(mapping.len());
        Self { mapping, len, writable, _release: release }
    }

    /// Bytes.
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The address of the first byte, for the kernel and the hypervisor.
    pub(crate) fn address(&self) -> u64 {
        self.mapping.start().as_ptr() as u64
    }

    words! {
        u8, AtomicU8, at_u8, load_u8, store_u8;
        u16, AtomicU16, at_u16, load_u16, store_u16;
        u32, AtomicU32, at_u32, load_u32, store_u32;
        u64, AtomicU64, at_u64, load_u64, store_u64;
    }

    /// Copies bytes from `offset` on out of the memory.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) -> Result<(), AccessError> {
        self.check(offset, bytes.len())?;
        let (head, body) = bytes.split_at_mut(head_len(offset, bytes.len()));
        let mut at = offset;
        for byte in head {
            *byte = self.at_u8(at)?.load(Ordering::Relaxed);
            at += 1;
        }
        let (words, tail) = body.as_chunks_mut::<WORD>();
        let shared = self.words(at, words.len())?;
        for (word, shared) in words.iter_mut().zip(shared) {
            *word = shared.load(Ordering::Relaxed).to_ne_bytes();
        }
        at += size_of_val(words);
        for byte in tail {
            *byte = self.at_u8(at)?.load(Ordering::Relaxed);
            at += 1;
        }
        Ok(())
    }

    /// Copies bytes into the memory from `offset` on.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result<(), AccessError> {
        self.check_writable()?;
        self.check(offset, bytes.len())?;
        let (head, body) = bytes.split_at(head_len(offset, bytes.len()));
        let mut at = offset;
        for &byte in head {
            self.at_u8(at)?.store(byte, Ordering::Relaxed);
            at += 1;
        }
        let (words, tail) = body.as_chunks::<WORD>();
        for (word, shared) in words.iter().zip(self.words(at, words.len())?) {
            shared.store(u64::from_ne_bytes(*word), Ordering::Relaxed);
        }
        at += size_of_val(words);
        for &byte in tail {
            self.at_u8(at)?.store(byte, Ordering::Relaxed);
            at += 1;
        }
        Ok(())
    }

    /// `count` words from `offset` on, a multiple of their size.
    fn words(&self, offset: usize, count: usize) -> Result<&[AtomicU64], AccessError> {
        if count == 0 {
            return Ok(&[]);
        }
        self.check(offset, count.saturating_mul(WORD))?;
        if !offset.is_multiple_of(WORD) {
            return Err(AccessError::Alignment(offset));
        }
        // SAFETY: as for the one word in `words!`; all of these lie within the mapping.
        #[expect(unsafe_code, reason = "words one behind the other; see the comment above")]
        Ok(unsafe { std::slice::from_raw_parts(self.mapping.start().add(offset).cast().as_ptr(), count) })
    }

    fn check(&self, offset: usize, len: usize) -> Result<(), AccessError> {
        match offset.checked_add(len) {
            Some(end) if end <= self.len => Ok(()),
            _ => Err(AccessError::Range { offset, len, size: self.len }),
        }
    }

    fn check_writable(&self) -> Result<(), AccessError> {
        if self.writable { Ok(()) } else { Err(AccessError::ReadOnly) }
    }
}

const WORD: usize = size_of::<u64>();

/// Bytes in front of the first word boundary, of `len` bytes from `offset` on.
fn head_len(offset: usize, len: usize) -> usize {
    (offset.wrapping_neg() % WORD).min(len)
}

impl std::fmt::Debug for SharedMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedMemory").field("len", &self.len).field("writable", &self.writable).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

    use super::*;

    fn memory(len: usize, writable: bool) -> SharedMemory {
        let file = memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&file, 8192).unwrap();
        let mapping = Mapping::new(&file, 0, NonZeroUsize::new(8192).unwrap(), writable).unwrap();
        SharedMemory::new(mapping, NonZeroUsize::new(len).unwrap(), writable, None)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn bytes_written_are_read_back_and_their_neighbours_stay(
            offset in 0usize..100,
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let memory = memory(256, true);
            memory.write(0, &[0xee; 256]).unwrap();
            memory.write(offset, &bytes).unwrap();
            let mut whole = [0; 256];
            memory.read(0, &mut whole).unwrap();
            prop_assert_eq!(&whole[offset..offset + bytes.len()], &bytes[..]);
            prop_assert!(whole[..offset].iter().all(|&byte| byte == 0xee));
            prop_assert!(whole[offset + bytes.len()..].iter().all(|&byte| byte == 0xee));
            let mut part = vec![0; bytes.len()];
            memory.read(offset, &mut part).unwrap();
            prop_assert_eq!(part, bytes);
        }

        #[test]
        fn access_outside_is_refused_and_changes_nothing(offset in any::<usize>(), len in 0usize..300) {
            let memory = memory(100, true);
            let inside = offset.checked_add(len).is_some_and(|end| end <= 100);
            prop_assert_eq!(memory.write(offset, &vec![1; len]).is_ok(), inside);
            prop_assert_eq!(memory.read(offset, &mut vec![0; len]).is_ok(), inside);
        }
    }

    #[test]
    fn words_are_checked_for_range_and_alignment() {
        let memory = memory(64, true);
        memory.store_u32(60, 0x1234_5678).unwrap();
        assert_eq!(memory.load_u32(60), Ok(0x1234_5678));
        assert_eq!(memory.load_u16(62), Ok(0x1234));
        assert_eq!(memory.load_u8(63), Ok(0x12));
        assert_eq!(memory.load_u32(61), Err(AccessError::Range { offset: 61, len: 4, size: 64 }));
        assert_eq!(memory.load_u64(4), Err(AccessError::Alignment(4)));
        assert!(memory.store_u8(usize::MAX, 1).is_err());
    }

    #[test]
    fn memory_mapped_for_reading_refuses_every_store() {
        let memory = memory(64, false);
        assert_eq!(memory.load_u64(0), Ok(0));
        assert_eq!(memory.store_u8(0, 1), Err(AccessError::ReadOnly));
        assert_eq!(memory.write(0, &[1]), Err(AccessError::ReadOnly));
    }
}
