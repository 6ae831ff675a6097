//! Linux' EFI zboot image: an EFI application with a compressed kernel in it
//! (drivers/firmware/efi/libstub/zboot-header.S).
use super::unpack::Compression;
use super::{bytes_at, le32};
use crate::error::KernelError;

/// Compressions by the start of their name in the header, and how the error calls them that we do not have.
const OTHERS: &[(&str, &str)] = &[
    ("xz", "EFI zboot with xz"),
    ("lz4", "EFI zboot with lz4"),
    ("lzma", "EFI zboot with lzma"),
    ("lzo", "EFI zboot with lzo"),
];

/// The compressed kernel in a zboot image; `None` when the file is none.
pub(super) fn payload(file: &[u8]) -> Result<Option<(Compression, &[u8])>, KernelError> {
    if !file.starts_with(b"MZ") || bytes_at(file, 4) != Some(*b"zimg") {
        return Ok(None);
    }
    let have = file.len() as u64;
    let header: [u8; 64] = bytes_at(file, 0).ok_or(KernelError::Truncated { need: 64, have })?;
    let name: [u8; 32] = bytes_at(&header, 24).unwrap_or_default();
    let compression = if name.starts_with(b"gzip") {
        Compression::Gzip
    } else if name.starts_with(b"zstd") {
        Compression::Zstd
    } else {
        let other = OTHERS.iter().find(|(start, _)| name.starts_with(start.as_bytes()));
        return Err(KernelError::Unsupported(
            other.map_or("EFI zboot of unknown compression", |(_, text)| text),
        ));
    };
    let (Some(offset), Some(size)) = (le32(&header, 8), le32(&header, 12)) else {
        return Err(KernelError::BadHeader);
    };
    if offset < 64 || size == 0 {
        return Err(KernelError::BadHeader);
    }
    let (start, end) = (u64::from(offset), u64::from(offset) + u64::from(size));
    match file.get(start as usize..end as usize) {
        Some(data) => Ok(Some((compression, data))),
        None => Err(KernelError::Truncated { need: end, have }),
    }
}
