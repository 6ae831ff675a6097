//! Headers of arm64 kernel files, for whoever boots one: the hypervisor its Dom0, the domain builder a guest.
//!
//! [`Image`] is a kernel as it goes into memory; [`Zboot`] is an EFI application with a compressed one in it. Files
//! may be anything: each header is read from a piece of the file's start and the file's length, without a heap, and is
//! a value or a [`HeaderError`]. What is behind the header is looked at by whoever copies or unpacks it.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

mod image;
mod zboot;

use core::fmt;

pub use image::Image;
pub use zboot::{Compression, Zboot};

/// Bytes at the start of a file that the readers want to see, if the file has so many: the section table of an
/// image's PE header is mostly within.
pub const HEAD_BYTES: usize = 4096;

/// What is wrong with a header. The text calls the kernel "it".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeaderError {
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
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { need, have } => {
                write!(f, "it should have {need} bytes and has {have}; was the file cut off?")
            }
            Self::BadHeader => f.write_str("its header contradicts itself; is the file damaged?"),
            Self::BigEndian => f.write_str("it is big-endian, which is not supported"),
        }
    }
}

impl core::error::Error for HeaderError {}

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
