//! `/dev/xen/hypercall`: memory whose pages stay where they are, for the arguments of hypercalls.

use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::sync::Mutex;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::{FRAME, open, sizes};
use crate::mapping::Mapping;
use crate::{OpenError, SharedMemory};

/// Smallest block; nearly every hypercall fits into one.
const BLOCK_FRAMES: usize = 4;
/// Larger blocks are given back to the kernel.
const LARGEST_SPARE: usize = 64 * FRAME;
/// Blocks kept for the next calls.
const SPARES: usize = 4;

/// Blocks of memory for hypercalls, the last few of which are used again.
pub(super) struct Buffers {
    device: OwnedFd,
    spare: Mutex<Vec<SharedMemory>>,
}

impl Buffers {
    pub(super) fn open() -> Result<Self, OpenError> {
        let device = open("/dev/xen/hypercall", "xen-privcmd", OFlags::empty())?;
        Ok(Self { device, spare: Mutex::default() })
    }

    /// Runs `work` with a block of at least `len` bytes, whose contents are whatever an earlier call left.
    pub(super) fn with<R>(
        &self,
        len: usize,
        work: impl FnOnce(&SharedMemory) -> Result<R, Errno>,
    ) -> Result<R, Errno> {
        let block = match self.take(len) {
            Some(block) => block,
            None => self.map(len)?,
        };
        let result = work(&block);
        self.keep(block);
        result
    }

    fn take(&self, len: usize) -> Option<SharedMemory> {
        let mut spare = self.spare.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let fits = spare.iter().position(|block| block.len() >= len)?;
        Some(spare.swap_remove(fits))
    }

    fn keep(&self, block: SharedMemory) {
        let mut spare = self.spare.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if spare.len() < SPARES && block.len() <= LARGEST_SPARE {
            spare.push(block);
        }
    }

    fn map(&self, len: usize) -> Result<SharedMemory, Errno> {
        let (_, pages): (_, NonZeroUsize) = sizes(len.div_ceil(FRAME).max(BLOCK_FRAMES))?;
        let mapping = Mapping::new(&self.device, 0, pages, true)?;
        Ok(SharedMemory::new(mapping, pages, true, None))
    }
}
