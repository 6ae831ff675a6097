//! Linux' EFI zboot image: an EFI application that carries a compressed kernel
//! (drivers/firmware/efi/libstub/zboot-header.S).
use super::{KernelError, bytes_at, le32};

/// The data in a zboot image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Zboot {
    /// Where the gzip stream starts in the file, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u64,
}

/// Names of other compressions, as the header writes them.
const OTHERS: &[(&str, &str)] = &[
    ("zstd", "EFI zboot with zstd"),
    ("xz", "EFI zboot with xz"),
    ("lz4", "EFI zboot with lz4"),
    ("lzma", "EFI zboot with lzma"),
    ("lzo", "EFI zboot with lzo"),
];

impl Zboot {
    /// Reads the header of a file of `len` bytes. `None` when it is no zboot image.
    pub fn parse(head: &[u8], len: u64) -> Result<Option<Self>, KernelError> {
        if !head.starts_with(b"MZ") || bytes_at(head, 4) != Some(*b"zimg") {
            return Ok(None);
        }
        let header: [u8; 64] = bytes_at(head, 0).ok_or(KernelError::Truncated { need: 64, have: len })?;
        let field = |at| le32(&header, at).map_or(0, u64::from);
        let (offset, size) = (field(8), field(12));
        let name: [u8; 32] = bytes_at(&header, 24).unwrap_or_default();
        if !name.starts_with(b"gzip\0") {
            let other = OTHERS.iter().find(|(start, _)| name.starts_with(start.as_bytes()));
            return Err(KernelError::Unsupported(
                other.map_or("EFI zboot of unknown compression", |(_, text)| text),
            ));
        }
        if offset < 64 || size == 0 {
            return Err(KernelError::BadHeader);
        }
        // Two 32-bit numbers.
        let need = offset.saturating_add(size);
        if need > len {
            return Err(KernelError::Truncated { need, have: len });
        }
        Ok(Some(Self { offset, len: size }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Payload;
    use crate::testing::zboot_header;

    #[test]
    fn gzip_payload_is_found() {
        let head = zboot_header("gzip", 0x1000, 0x2000);
        assert_eq!(Payload::detect(&head, 0x3000), Ok(Payload::Zboot(Zboot { offset: 0x1000, len: 0x2000 })));
    }

    #[test]
    fn other_compressions_are_refused_by_name() {
        for (name, message) in [
            ("zstd22", "EFI zboot with zstd"),
            ("xzkern", "EFI zboot with xz"),
            ("?", "EFI zboot of unknown compression"),
        ] {
            let head = zboot_header(name, 0x1000, 0x2000);
            assert_eq!(Payload::detect(&head, 0x3000), Err(KernelError::Unsupported(message)));
        }
    }

    #[test]
    fn payload_outside_the_file_is_truncated() {
        let head = zboot_header("gzip", 0x1000, 0x2000);
        assert_eq!(Zboot::parse(&head, 0x2fff), Err(KernelError::Truncated { need: 0x3000, have: 0x2fff }));
        let empty = zboot_header("gzip", 0x1000, 0);
        assert_eq!(Zboot::parse(&empty, 0x3000), Err(KernelError::BadHeader));
    }
}
