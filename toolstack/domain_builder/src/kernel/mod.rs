//! Kernel files: what a file is, and the arm64 Image in it.
mod image;
mod unpack;
mod zboot;

use std::borrow::Cow;

pub(crate) use image::Header;

use crate::error::KernelError;
use unpack::Compression;

/// Largest kernel in bytes, as a file and unpacked.
pub const MAX_KERNEL_BYTES: u64 = 512 << 20;

/// A kernel as it goes into memory.
#[derive(Clone, Debug)]
pub(crate) struct Kernel<'a> {
    pub(crate) image: Cow<'a, [u8]>,
    pub(crate) header: Header,
}

impl<'a> Kernel<'a> {
    /// Reads a kernel file; unpacked it has at most `room` bytes.
    pub(crate) fn read(file: &'a [u8], room: u64) -> Result<Self, KernelError> {
        let limit = room.min(MAX_KERNEL_BYTES);
        let image = match Compression::of(file) {
            Some(compression) => Cow::Owned(compression.unpack(file, limit)?),
            None => match zboot::payload(file)? {
                Some((compression, data)) => Cow::Owned(compression.unpack(data, limit)?),
                None => Cow::Borrowed(file),
            },
        };
        match Header::parse(&image)? {
            Some(_) if image.len() as u64 > limit => Err(KernelError::TooLarge { limit }),
            Some(header) => Ok(Self { image, header }),
            None => Err(foreign(&image)),
        }
    }
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

/// The `N` bytes at `at`.
fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// The little-endian 32-bit number at `at`.
fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes_at(bytes, at).map(u32::from_le_bytes)
}

/// The little-endian 64-bit number at `at`.
fn le64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes_at(bytes, at).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests;
