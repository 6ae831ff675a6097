//! Physical memory, to read.

use core::ptr::with_exposed_provenance;

use super::boot::image_span;
use crate::boot_info::{BootMemory, Unreadable};
use crate::layout::{DIRECT_BASE, DIRECT_SIZE};
use crate::span::Span;

/// The first 4 GiB of physical memory, without the hypervisor's image.
pub struct DirectMap;

impl BootMemory for DirectMap {
    fn read(&self, at: u64, to: &mut [u8]) -> Result<(), Unreadable> {
        let end = at.checked_add(to.len() as u64).filter(|end| *end <= DIRECT_SIZE).ok_or(Unreadable)?;
        if image_span().overlaps(&Span { start: at, end }) {
            return Err(Unreadable);
        }
        for (va, byte) in (DIRECT_BASE.wrapping_add(at)..).zip(to) {
            // SAFETY: the entry code mapped all of the first 4 GiB, and nothing unmaps it; no Rust
            // object is in it but those in the image. Reading where there is no RAM yields ones.
            *byte = unsafe { with_exposed_provenance::<u8>(va as usize).read_volatile() };
        }
        Ok(())
    }
}
