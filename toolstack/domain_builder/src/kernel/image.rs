//! The header of an arm64 `Image` (Linux' Documentation/arch/arm64/booting.rst).
use super::{le32, le64};
use crate::error::KernelError;

/// "ARM\x64", at offset 56.
const MAGIC: u32 = 0x644d_5241;
/// First word of images that have no magic number yet: a branch over the header.
const OLD_CODE: u32 = 0x1400_0008;
/// Where images that do not say their size want to be behind a 2 MiB boundary.
const OLD_TEXT_OFFSET: u64 = 0x8_0000;
/// Bytes of the header.
const HEADER_BYTES: u64 = 64;
/// Only a damaged header has a size or an offset beyond.
const SANE: u64 = 1 << 40;

/// Where a kernel wants to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Bytes from a 2 MiB boundary to its place.
    pub(crate) text_offset: u64,
    /// Bytes that it uses from there on, its BSS included; not less than the image has.
    pub(crate) size: u64,
}

impl Header {
    /// Reads an image's header; `None` when it is no arm64 image.
    pub(crate) fn parse(image: &[u8]) -> Result<Option<Self>, KernelError> {
        if le32(image, 56) != Some(MAGIC) && le32(image, 0) != Some(OLD_CODE) {
            return Ok(None);
        }
        let have = image.len() as u64;
        let field = |at| le64(image, at).ok_or(KernelError::Truncated { need: HEADER_BYTES, have });
        let (text_offset, size, flags) = (field(8)?, field(16)?, field(24)?);
        if flags & 1 != 0 {
            return Err(KernelError::BigEndian);
        }
        if text_offset >= SANE || size >= SANE {
            return Err(KernelError::BadHeader);
        }
        if let Some(need) = bytes_of_sections(image).filter(|need| *need > have) {
            return Err(KernelError::Truncated { need, have });
        }
        let text_offset = if size == 0 { OLD_TEXT_OFFSET } else { text_offset };
        Ok(Some(Self { text_offset, size: size.max(have) }))
    }
}

/// The least bytes that a file has with all sections of its PE header; `None` without a PE header.
fn bytes_of_sections(image: &[u8]) -> Option<u64> {
    let pe = le32(image, 60)? as usize;
    if le32(image, pe)? != u32::from_le_bytes(*b"PE\0\0") {
        return None;
    }
    let sections = (le32(image, pe.checked_add(4)?)? >> 16) as usize;
    let optional = (le32(image, pe.checked_add(20)?)? & 0xffff) as usize;
    let table = pe.checked_add(24)?.checked_add(optional)?;
    // Linux has two or three.
    let ends = (0..sections.min(16)).map_while(|nth| {
        let entry = table.checked_add(nth * 40)?;
        let (size, offset) = (le32(image, entry.checked_add(16)?)?, le32(image, entry.checked_add(20)?)?);
        Some(u64::from(size) + u64::from(offset))
    });
    ends.max()
}
