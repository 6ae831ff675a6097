//! Kernel files: what a file is, and the arm64 Image in it.
mod unpack;

use kernel_header::{HEAD_BYTES, Image, Zboot};

use crate::error::KernelError;
use unpack::Compression;

/// Largest kernel in bytes, as a file and unpacked.
pub const MAX_KERNEL_BYTES: u64 = 512 << 20;

/// As much of a kernel file's start as tells what it is, and where a plain one wants to be.
pub const KERNEL_START_BYTES: u64 = HEAD_BYTES as u64;

/// What there is of a kernel file.
#[derive(Clone, Copy, Debug)]
pub struct KernelFile<'a> {
    /// All its bytes. Of one that is not [packed](KernelFile::is_packed), the first [`KERNEL_START_BYTES`] are enough.
    pub bytes: &'a [u8],
    /// Bytes of the whole file.
    pub len: u64,
}

impl KernelFile<'_> {
    /// Whether the file has to be unpacked, and so to be read as a whole.
    pub fn is_packed(self) -> bool {
        Compression::of(self.bytes).is_some() || matches!(Zboot::parse(self.bytes, self.len), Ok(Some(_)))
    }
}

/// A kernel as it goes into memory.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    /// The unpacked image; `None` when it is the file as it stands.
    pub(crate) unpacked: Option<Vec<u8>>,
    /// Bytes of the image.
    pub(crate) len: u64,
    pub(crate) header: Image,
}

impl Kernel {
    /// Reads a kernel file; unpacked it has at most `room` bytes.
    pub(crate) fn read(file: KernelFile<'_>, room: u64) -> Result<Self, KernelError> {
        let limit = room.min(MAX_KERNEL_BYTES);
        let unpacked = match packed(file)? {
            Some((compression, data)) => Some(compression.unpack(data, limit)?),
            None => None,
        };
        let image = unpacked.as_deref().unwrap_or(file.bytes);
        let len = unpacked.as_ref().map_or(file.len, |image| image.len() as u64);
        match Image::parse(image, len)? {
            Some(_) if len > limit => Err(KernelError::TooLarge { limit }),
            Some(header) => Ok(Self { unpacked, len, header }),
            None => Err(foreign(image)),
        }
    }
}

/// The compressed kernel in a file: all of it, or the one in a zboot image. `None` when it is not compressed.
fn packed(file: KernelFile<'_>) -> Result<Option<(Compression, &[u8])>, KernelError> {
    if let Some(compression) = Compression::of(file.bytes) {
        return Ok(Some((compression, file.bytes)));
    }
    let Some(Zboot { compression, offset, len }) = Zboot::parse(file.bytes, file.len)? else {
        return Ok(None);
    };
    let compression = match compression {
        kernel_header::Compression::Gzip => Compression::Gzip,
        kernel_header::Compression::Zstd => Compression::Zstd,
        other => return Err(KernelError::Unsupported(other.name())),
    };
    // The header was checked: these bytes are in the file.
    let data = file.bytes.get(offset as usize..).and_then(|rest| rest.get(..len as usize));
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
