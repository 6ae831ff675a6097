//! Kernel images for arm64: what a file is, how it is unpacked, where it goes.
//!
//! [`Payload::detect`] looks at the start of a file. A plain [`Image`] is copied as it is; a gzip
//! stream, or the one inside an EFI zboot image, is unpacked by [`Gunzip`] piece by piece.
//! [`place`] finds room for kernel, device tree and RAM disk in the domain's memory.
mod gzip;
mod layout;

use core::fmt;

use kernel_header::Compression;

pub use gzip::{Gunzip, Progress, unpacked_size};
pub use kernel_header::{HEAD_BYTES, HeaderError, Image, Zboot};
pub use layout::{DTB_ROOM, Layout, place};

/// What a kernel file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Payload {
    /// An uncompressed kernel.
    Image(Image),
    /// A gzip stream over the whole file.
    Gzip,
    /// An EFI application with a gzip stream in it.
    Zboot(Zboot),
}

impl Payload {
    /// Tells what a file of `len` bytes is from its first bytes in `head` ([`HEAD_BYTES`] of them,
    /// or all).
    pub fn detect(head: &[u8], len: u64) -> Result<Self, KernelError> {
        let begins = |magic: &[u8]| head.starts_with(magic);
        if begins(&gzip::MAGIC) {
            return Ok(Self::Gzip);
        }
        if let Some(zboot) = Zboot::parse(head, len)? {
            return match zboot.compression {
                Compression::Gzip => Ok(Self::Zboot(zboot)),
                other => Err(KernelError::Unsupported(other.name())),
            };
        }
        if let Some(image) = Image::parse(head, len)? {
            return Ok(Self::Image(image));
        }
        let format = FORMATS.iter().find(|(magic, _)| begins(magic));
        Err(match format {
            Some((_, name)) => KernelError::Unsupported(name),
            None => KernelError::Unknown,
        })
    }
}

/// Starts of files that are no arm64 image, for a better message.
const FORMATS: &[(&[u8], &str)] = &[
    (b"\x7fELF", "ELF"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x02\x21\x4c\x18", "lz4"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\xfd7zXZ\0", "xz"),
    (b"BZh", "bzip2"),
    (b"\x5d\0\0", "lzma"),
    (b"\x27\x05\x19\x56", "U-Boot uImage"),
    (b"\xd0\x0d\xfe\xed", "device tree"),
    (b"07070", "cpio archive"),
    (b"MZ", "EFI application"),
];

/// Why a kernel cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KernelError {
    /// No format that is known.
    Unknown,
    /// A known format (named) that is not supported.
    Unsupported(&'static str),
    /// Its header.
    Header(HeaderError),
    /// The compressed data is damaged.
    BadData,
    /// The compressed data ends before the stream does.
    Incomplete,
    /// The unpacked data has another checksum or length than the stream says.
    BadChecksum,
    /// The data unpacks to more than allowed.
    TooLarge {
        /// The most bytes that are allowed.
        limit: u64,
    },
    /// The receiver of the unpacked data had no use for it.
    Refused,
    /// The heap is exhausted.
    OutOfMemory,
    /// The domain's first memory bank has too little room.
    NoRoom {
        /// Bytes needed for kernel, device tree and RAM disk.
        need: u64,
        /// Bytes in the bank.
        have: u64,
    },
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match *self {
            Self::Unsupported(format) => {
                return write!(
                    f,
                    "the kernel is of an unsupported format ({format}); use an arm64 Image, plain \
                     or compressed with gzip"
                );
            }
            Self::Header(error) => return error.fmt(f),
            Self::TooLarge { limit } => {
                return write!(f, "the kernel unpacks to more than {limit} bytes");
            }
            Self::NoRoom { need, have } => {
                return write!(
                    f,
                    "kernel, device tree and RAM disk need {need:#x} bytes, the domain's first \
                     memory bank has {have:#x}; raise dom0_mem"
                );
            }
            Self::Unknown => "the kernel is no arm64 Image and not compressed with gzip",
            Self::BadData => "the compressed kernel is damaged",
            Self::Incomplete => "the compressed kernel ends too early; was the file cut off?",
            Self::BadChecksum => "the compressed kernel is damaged: wrong checksum",
            Self::Refused => "the unpacked kernel could not be stored",
            Self::OutOfMemory => "no memory to unpack the kernel",
        };
        f.write_str(text)
    }
}

impl core::error::Error for KernelError {}

impl From<HeaderError> for KernelError {
    fn from(error: HeaderError) -> Self {
        Self::Header(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{image_header, zboot_header};

    #[test]
    fn forms_that_are_unpacked_or_copied_are_told_apart() {
        let image = Payload::detect(&image_header(0, 0x1000, 0xa), 64);
        assert!(matches!(image, Ok(Payload::Image(Image { size: 0x1000, .. }))));
        assert_eq!(Payload::detect(&gzip::MAGIC, 3), Ok(Payload::Gzip));
        let head = zboot_header("gzip", 0x1000, 0x2000);
        let zboot = Payload::detect(&head, 0x3000);
        assert!(matches!(zboot, Ok(Payload::Zboot(Zboot { offset: 0x1000, len: 0x2000, .. }))));
    }

    #[test]
    fn what_cannot_be_used_is_refused_by_name() {
        let zboot = |name| Payload::detect(&zboot_header(name, 0x1000, 0x2000), 0x3000);
        for (found, name) in [
            (zboot("zstd22"), "EFI zboot with zstd"),
            (zboot("xzkern"), "EFI zboot with xz"),
            (Payload::detect(b"\x28\xb5\x2f\xfd", 4), "zstd"),
        ] {
            assert_eq!(found, Err(KernelError::Unsupported(name)));
        }
        let big = image_header(0, 0x1000, 1);
        assert_eq!(Payload::detect(&big, 64), Err(KernelError::Header(HeaderError::BigEndian)));
        assert_eq!(Payload::detect(&[0; 64], 64), Err(KernelError::Unknown));
    }
}
