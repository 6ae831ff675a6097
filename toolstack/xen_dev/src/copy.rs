//! What is copied into pages that another domain grants.

use std::fs::File;
use std::num::NonZeroUsize;
use std::ops::Range;

use rustix::io::Errno;

use crate::SharedMemory;
use crate::mapping::Mapping;

/// The start of a file, for the kernel alone to read: when the file becomes shorter, a copy fails, where an access of
/// this process would kill it.
#[derive(Debug)]
pub struct MappedFile(SharedMemory);

impl MappedFile {
    /// Maps the first `len` bytes of a file.
    ///
    /// # Errors
    /// When there are none, or the kernel refuses.
    pub fn new(file: &File, len: usize) -> Result<Self, Errno> {
        let len = NonZeroUsize::new(len).ok_or(Errno::INVAL)?;
        Ok(Self(SharedMemory::new(Mapping::new(file, 0, len, false)?, len, false, None)))
    }
}

/// Bytes to be copied.
#[derive(Clone, Debug)]
pub enum Source<'a> {
    /// Bytes of this process.
    Bytes(&'a [u8]),
    /// Bytes of a file.
    File(&'a MappedFile, Range<usize>),
}

impl<'a> Source<'a> {
    /// All that was mapped of a file.
    pub fn file(file: &'a MappedFile) -> Self {
        Self::File(file, 0..file.0.len())
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::File(_, range) => range.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Parts of `size` bytes one after the other, the last of which may have fewer.
    pub fn parts(&self, size: NonZeroUsize) -> impl Iterator<Item = Source<'a>> {
        (0..self.len()).step_by(size.get()).map(move |start| {
            let end = self.len().min(start.saturating_add(size.get()));
            match self {
                Self::Bytes(bytes) => Source::Bytes(bytes.get(start..end).unwrap_or_default()),
                Self::File(file, range) => Source::File(file, range.start + start..range.start + end),
            }
        })
    }

    /// The address of the first byte, for the kernel; `None` when some bytes are not of the file.
    pub(crate) fn address(&self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes.as_ptr() as u64),
            Self::File(MappedFile(memory), range) => {
                let inside = range.start <= range.end && range.end <= memory.len();
                inside.then(|| memory.address() + range.start as u64)
            }
        }
    }

    /// The bytes.
    #[cfg(any(test, feature = "fake"))]
    pub(crate) fn read(&self) -> Result<Vec<u8>, Errno> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.to_vec()),
            Self::File(MappedFile(memory), range) => {
                let mut bytes = vec![0; range.len()];
                memory.read(range.start, &mut bytes).map_err(|_| Errno::FAULT)?;
                Ok(bytes)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{MemfdFlags, memfd_create};

    use super::*;

    #[test]
    fn parts_of_bytes_and_of_files_are_the_whole_in_order() {
        let file = File::from(memfd_create("file", MemfdFlags::CLOEXEC).unwrap());
        std::io::Write::write_all(&mut &file, b"0123456789").unwrap();
        let mapped = MappedFile::new(&file, 10).unwrap();
        for source in [Source::Bytes(b"0123456789"), Source::file(&mapped)] {
            let parts: Vec<_> = source.parts(NonZeroUsize::new(4).unwrap()).collect();
            let read: Vec<_> = parts.iter().map(|part| part.read().unwrap()).collect();
            assert_eq!(read, [&b"0123"[..], b"4567", b"89"]);
            assert_eq!(parts[1].address(), source.address().map(|address| address + 4));
        }
    }

    #[test]
    fn bytes_outside_what_was_mapped_have_no_address() {
        let file = File::from(memfd_create("file", MemfdFlags::CLOEXEC).unwrap());
        let mapped = MappedFile::new(&file, 10).unwrap();
        assert!(Source::File(&mapped, 3..10).address().is_some());
        assert!(Source::File(&mapped, 3..11).address().is_none());
        assert!(MappedFile::new(&file, 0).is_err());
    }
}
