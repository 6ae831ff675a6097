//! Requests of 4 KiB to a block device, one at a time, past the kernel's cache.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result};

use crate::rows::batches;

/// Size of a request, and what its buffer is aligned to.
const BLOCK: usize = 4096;
/// Requests in a batch.
const REQUESTS: u32 = 50;
/// Requests go over so much of the device.
const SPAN: u64 = 16 << 20;
/// `O_DIRECT`, which differs by CPU.
#[cfg(target_arch = "aarch64")]
const DIRECT: i32 = 0o200_000;
#[cfg(not(target_arch = "aarch64"))]
const DIRECT: i32 = 0o40_000;

/// Both rows. What the device holds is overwritten.
pub fn rows(device: &Path) -> Result<()> {
    let file = OpenOptions::new().read(true).write(true).custom_flags(DIRECT).open(device);
    let file = file.with_context(|| format!("cannot open {}", device.display()))?;
    let mut space = vec![0x5a_u8; 2 * BLOCK];
    let start = space.as_ptr().align_offset(BLOCK);
    let block = &mut space[start..start + BLOCK];
    let mut places = Places { next: 0 };
    // Back end and front end have granted and mapped what they will use again, and the file behind has its pages.
    for _ in 0..SPAN / BLOCK as u64 {
        write(&file, block, &mut places)?;
    }
    batches::<20>("disk-write", REQUESTS, 1, || write(&file, block, &mut places))?;
    batches::<21>("disk-read", REQUESTS, 1, || {
        file.read_exact_at(block, places.take()).context("cannot read from the disk")
    })
}

fn write(file: &File, block: &[u8], places: &mut Places) -> Result<()> {
    file.write_all_at(block, places.take()).context("cannot write to the disk")
}

/// Places on the device, one block after the other and round again.
struct Places {
    next: u64,
}

impl Places {
    fn take(&mut self) -> u64 {
        let place = self.next;
        self.next = (place + BLOCK as u64) % SPAN;
        place
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, Places, SPAN};

    #[test]
    fn places_go_round_within_the_span() {
        let mut places = Places { next: SPAN - BLOCK as u64 };
        assert_eq!((places.take(), places.take()), (SPAN - BLOCK as u64, 0));
    }
}
