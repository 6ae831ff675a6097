//! Kernel files: what a file is, and the arm64 Image in it.
mod unpack;

use std::borrow::Cow;

use kernel_header::{Image, Zboot};

use crate::error::KernelError;
use unpack::Compression;

/// Largest kernel in bytes, as a file and unpacked.
pub const MAX_KERNEL_BYTES: u64 = 512 << 20;

/// A kernel as it goes into memory.
#[derive(Clone, Debug)]
pub(crate) struct Kernel<'a> {
    pub(crate) bytes: Cow<'a, [u8]>,
    pub(crate) header: Image,
}

impl<'a> Kernel<'a> {
    /// Reads a kernel file; unpacked it has at most `room` bytes.
    pub(crate) fn read(file: &'a [u8], room: u64) -> Result<Self, KernelError> {
        let limit = room.min(MAX_KERNEL_BYTES);
        let bytes = match packed(file)? {
            Some((compression, data)) => Cow::Owned(compression.unpack(data, limit)?),
            None => Cow::Borrowed(file),
        };
        match Image::parse(&bytes, bytes.len() as u64)? {
            Some(_) if bytes.len() as u64 > limit => Err(KernelError::TooLarge { limit }),
            Some(header) => Ok(Self { bytes, header }),
            None => Err(foreign(&bytes)),
        }
    }
}

/// The compressed kernel in a file: all of it, or the one in a zboot image. `None` when it is not compressed.
fn packed(file: &[u8]) -> Result<Option<(Compression, &[u8])>, KernelError> {
    if let Some(compression) = Compression::of(file) {
        return Ok(Some((compression, file)));
    }
    let Some(Zboot { compression, offset, len }) = Zboot::parse(file, file.len() as u64)? else {
        return Ok(None);
    };
    let compression = match compression {
        kernel_header::Compression::Gzip => Compression::Gzip,
        kernel_header::Compression::Zstd => Compression::Zstd,
        other => return Err(KernelError::Unsupported(other.name())),
    };
    // The header was checked: these bytes are in the file.
    let data = file.get(offset as usize..).and_then(|rest| rest.get(..len as usize));
    Ok(data.map(|data| (compression, data)))
}

/// The error for what is no arm64 image, by name if it has one.
fn foreign(file: &[u8]) -> KernelError {
    let name =
        FORMATS.iter().find(|(at, magic, _)| file.get(*at..).is_some_and(|rest| rest.starts_with(magic)));
    name.map_or(KernelError::Unknown, |(_, _, name)| KernelError::Unsupported(name))
}

/// Offset, bytes and name of other formats.
const FORMATS: &[(usize, &[u8], &str)] = &[
    (0x202, b"HdrS", "x86 bzImage"),
    (0x24, b"\x18\x28\x6f\x01", "32-bit Arm zImage"),
    (0, b"\x7fELF", "ELF"),
    (0, b"\x02\x21\x4c\x18", "lz4"),
    (0, b"\x04\x22\x4d\x18", "lz4"),
    (0, b"\xfd7zXZ\0", "xz"),
    (0, b"BZh", "bzip2"),
    (0, b"\x5d\0\0", "lzma"),
    (0, b"\x89LZO", "lzo"),
    (0, b"\x27\x05\x19\x56", "U-Boot uImage"),
    (0, b"\xd0\x0d\xfe\xed", "device tree"),
    (0, b"07070", "cpio archive"),
    (0, b"MZ", "EFI application"),
];

#[cfg(test)]
mod tests;
