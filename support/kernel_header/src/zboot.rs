//! Linux' EFI zboot image: an EFI application that carries a compressed kernel
//! (drivers/firmware/efi/libstub/zboot-header.S).
use crate::{HeaderError, bytes_at, le32};

const HEADER_SIZE: u64 = 64;

/// The data in a zboot image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Zboot {
    /// How the kernel is compressed.
    pub compression: Compression,
    /// Where the compressed kernel starts in the file, in bytes.
    pub offset: u64,
    /// Its length in bytes; not 0.
    pub len: u64,
}

/// How a zboot image's kernel is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compression {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// Another, or none that is known.
    Other(&'static str),
}

impl Compression {
    /// What messages call an image that has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "EFI zboot with gzip",
            Self::Zstd => "EFI zboot with zstd",
            Self::Other(name) => name,
        }
    }
}

/// Compressions as the header writes them, or begins to.
const NAMES: &[(&[u8], Compression)] = &[
    (b"gzip", Compression::Gzip),
    (b"zstd", Compression::Zstd),
    (b"xz", Compression::Other("EFI zboot with xz")),
    (b"lz4", Compression::Other("EFI zboot with lz4")),
    (b"lzma", Compression::Other("EFI zboot with lzma")),
    (b"lzo", Compression::Other("EFI zboot with lzo")),
];

impl Zboot {
    /// Reads the header of a file of `len` bytes. `None` when it is no zboot image.
    pub fn parse(head: &[u8], len: u64) -> Result<Option<Self>, HeaderError> {
        if !head.starts_with(b"MZ") || bytes_at(head, 4) != Some(*b"zimg") {
            return Ok(None);
        }
        let header: [u8; HEADER_SIZE as usize] =
            bytes_at(head, 0).ok_or(HeaderError::Truncated { need: HEADER_SIZE, have: len })?;
        let field = |at| le32(&header, at).map_or(0, u64::from);
        let (offset, size) = (field(8), field(12));
        let name: [u8; 32] = bytes_at(&header, 24).unwrap_or_default();
        let known = NAMES.iter().find(|(start, _)| name.starts_with(start));
        let compression = known
            .map_or(Compression::Other("EFI zboot of unknown compression"), |(_, compression)| *compression);
        if offset < HEADER_SIZE || size == 0 {
            return Err(HeaderError::BadHeader);
        }
        // Two 32-bit numbers.
        let need = offset.saturating_add(size);
        if need > len {
            return Err(HeaderError::Truncated { need, have: len });
        }
        Ok(Some(Self { compression, offset, len: size }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn zboot_header(compression: &str, offset: u32, size: u32) -> Vec<u8> {
        let mut head = vec![0; 64];
        head[0..2].copy_from_slice(b"MZ");
        head[4..8].copy_from_slice(b"zimg");
        head[8..12].copy_from_slice(&offset.to_le_bytes());
        head[12..16].copy_from_slice(&size.to_le_bytes());
        head[24..24 + compression.len()].copy_from_slice(compression.as_bytes());
        head
    }

    #[test]
    fn compressions_are_told_by_their_names() {
        for (name, message) in [
            ("gzip", "EFI zboot with gzip"),
            ("zstd22", "EFI zboot with zstd"),
            ("xzkern", "EFI zboot with xz"),
            ("lzma", "EFI zboot with lzma"),
            ("?", "EFI zboot of unknown compression"),
        ] {
            let head = zboot_header(name, 0x1000, 0x2000);
            let zboot = Zboot::parse(&head, 0x3000).unwrap().unwrap();
            assert_eq!((zboot.offset, zboot.len, zboot.compression.name()), (0x1000, 0x2000, message));
        }
    }

    #[test]
    fn payload_outside_the_file_is_truncated() {
        let truncated = |need, have| Err(HeaderError::Truncated { need, have });
        assert_eq!(Zboot::parse(&zboot_header("gzip", 0x1000, 0x2000), 0x2fff), truncated(0x3000, 0x2fff));
        let most = u64::from(u32::MAX);
        assert_eq!(Zboot::parse(&zboot_header("gzip", u32::MAX, u32::MAX), 999), truncated(2 * most, 999));
        assert_eq!(Zboot::parse(b"MZ\0\0zimg", 8), truncated(64, 8));
    }

    #[test]
    fn empty_payload_and_one_in_the_header_are_refused() {
        for (offset, size) in [(0x1000, 0), (63, 1)] {
            let head = zboot_header("gzip", offset, size);
            assert_eq!(Zboot::parse(&head, 0x3000), Err(HeaderError::BadHeader));
        }
    }

    #[test]
    fn other_files_are_none() {
        assert_eq!(Zboot::parse(b"", 0), Ok(None));
        assert_eq!(Zboot::parse(b"MZ\0\0zim", 7), Ok(None));
        assert_eq!(Zboot::parse(&[0; 64], 64), Ok(None));
    }

    proptest! {
        #[test]
        fn any_header_has_its_payload_in_the_file_or_is_refused(
            name in "[a-z0-9]{0,8}", offset: u32, size: u32, len in 0u64..1 << 33, cut in 0usize..=64,
        ) {
            let head = zboot_header(&name, offset, size);
            if let Ok(Some(zboot)) = Zboot::parse(&head[..cut], len) {
                prop_assert!(zboot.offset >= 64 && zboot.len > 0 && zboot.offset + zboot.len <= len);
            }
        }
    }
}
