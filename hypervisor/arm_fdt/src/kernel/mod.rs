//! Kernel images for arm64: what a file is, how it is unpacked, where it goes.
//!
//! [`Payload::detect`] looks at the start of a file. A plain [`Image`] is copied as it is; a gzip
//! stream, or the one inside an EFI zboot image, is unpacked by [`Gunzip`] piece by piece.
//! [`place`] finds room for kernel, device tree and RAM disk in the domain's memory.
mod gzip;
mod image;
mod layout;
mod zboot;

use core::fmt;

pub use gzip::{Gunzip, Progress, unpacked_size};
pub use image::Image;
pub use layout::{DTB_ROOM, Layout, place};
pub use zboot::Zboot;

/// Bytes at the start of a file that [`Payload::detect`] wants to see, if the file has so many. The
/// section table of an image's PE header is mostly within.
pub const HEAD_SIZE: usize = 4096;

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
    /// Tells what a file of `len` bytes is from its first bytes in `head` ([`HEAD_SIZE`] of them,
    /// or all).
    pub fn detect(head: &[u8], len: u64) -> Result<Self, KernelError> {
        let begins = |magic: &[u8]| head.starts_with(magic);
        if begins(&gzip::MAGIC) {
            return Ok(Self::Gzip);
        }
        if let Some(zboot) = Zboot::parse(head, len)? {
            return Ok(Self::Zboot(zboot));
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
    /// The file is shorter than its header says.
    Truncated {
        /// Bytes there should be.
        need: u64,
        /// Bytes there are.
        have: u64,
    },
    /// The header contradicts itself.
    BadHeader,
    /// A big-endian kernel.
    BigEndian,
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
            Self::Truncated { need, have } => {
                return write!(
                    f,
                    "the kernel should have {need} bytes and has {have}; was the file cut off?"
                );
            }
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
            Self::BadHeader => "the kernel's header contradicts itself; is the file damaged?",
            Self::BigEndian => "the kernel is big-endian, which is not supported",
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

/// The `N` bytes at `at`.
fn bytes_at<const N: usize>(head: &[u8], at: usize) -> Option<[u8; N]> {
    head.get(at..)?.first_chunk().copied()
}

/// The little-endian 32-bit number at `at`.
fn le32(head: &[u8], at: usize) -> Option<u32> {
    bytes_at(head, at).map(u32::from_le_bytes)
}

/// The little-endian 64-bit number at `at`.
fn le64(head: &[u8], at: usize) -> Option<u64> {
    bytes_at(head, at).map(u64::from_le_bytes)
}
