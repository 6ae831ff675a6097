//! One direction of a ring of bytes in a shared page, with indices that count on for ever and are hostile.

use thiserror::Error;

use crate::{AccessError, SharedMemory};

/// Why a ring cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RingError {
    /// Producer and consumer are further apart than the ring is long.
    #[error("an index of the ring is impossible")]
    Index,
    /// The mapped memory is not a ring's.
    #[error(transparent)]
    Access(#[from] AccessError),
}

/// Where the bytes of one direction are. It holds no index: which side's may be believed is the user's to know.
#[derive(Clone, Copy, Debug)]
pub struct ByteRing {
    offset: usize,
    size: usize,
}

impl ByteRing {
    /// `size` bytes, a power of two, at `offset` of the page.
    pub const fn new(offset: usize, size: usize) -> Self {
        assert!(size.is_power_of_two(), "an index that wraps keeps its place only then");
        Self { offset, size }
    }

    /// Bytes between two indices.
    ///
    /// # Errors
    /// [`RingError::Index`] when they are further apart than the ring is long.
    pub fn used(&self, consumer: u32, producer: u32) -> Result<usize, RingError> {
        let used = producer.wrapping_sub(consumer) as usize;
        if used > self.size { Err(RingError::Index) } else { Ok(used) }
    }

    /// Room between two indices.
    ///
    /// # Errors
    /// As [`used`](Self::used).
    pub fn room(&self, consumer: u32, producer: u32) -> Result<usize, RingError> {
        Ok(self.size - self.used(consumer, producer)?)
    }

    /// Appends `count` bytes from index `from` on to `bytes`; the caller has found them with [`used`](Self::used).
    ///
    /// # Errors
    /// [`RingError::Access`].
    pub fn read(
        &self,
        page: &SharedMemory,
        from: u32,
        count: usize,
        bytes: &mut Vec<u8>,
    ) -> Result<(), RingError> {
        let start = bytes.len();
        bytes.resize(start + count, 0);
        let at = from as usize % self.size;
        let (head, tail) = bytes[start..].split_at_mut(count.min(self.size - at));
        page.read(self.offset + at, head)?;
        Ok(page.read(self.offset, tail)?)
    }

    /// Puts bytes at index `to`; the caller has found [`room`](Self::room) for them.
    ///
    /// # Errors
    /// [`RingError::Access`].
    pub fn write(&self, page: &SharedMemory, to: u32, bytes: &[u8]) -> Result<(), RingError> {
        let at = to as usize % self.size;
        let (head, tail) = bytes.split_at(bytes.len().min(self.size - at));
        page.write(self.offset + at, head)?;
        Ok(page.write(self.offset, tail)?)
    }
}
