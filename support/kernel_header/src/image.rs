//! The header of an arm64 `Image` (Linux' Documentation/arch/arm64/booting.rst).
use crate::{HeaderError, bytes_at, le32, le64};

/// "ARM\x64", at offset 56.
const MAGIC: u32 = 0x644d_5241;
/// First word of images before version 3.7, which had no magic number: a branch over the header.
const OLD_CODE: u32 = 0x1400_0008;
/// Where images without a size want to be behind a 2 MiB boundary.
const OLD_TEXT_OFFSET: u64 = 0x8_0000;
const HEADER_SIZE: u64 = 64;
/// Kernels are linked to begin with a page of any size.
const PAGE: u64 = 4096;

/// What the header of an uncompressed kernel says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Image {
    /// Bytes from a 2 MiB boundary to the image's place; whole pages of 4 KiB.
    pub text_offset: u64,
    /// Bytes that the kernel uses from there on, its BSS included; not less than the file. Images
    /// before Linux 3.17 do not say, and then it is the file's size.
    pub size: u64,
    /// Whether `size` comes from the header, and not from the file.
    pub size_known: bool,
    /// The kernel's page size in bytes; `None` when it does not say.
    pub page_size: Option<u32>,
    /// It can be anywhere in memory. Otherwise it wants to be near the start of RAM, as memory
    /// below it is lost.
    pub anywhere: bool,
}

impl Image {
    /// Reads the header of a file of `len` bytes. `None` when it is no arm64 image.
    ///
    /// `head` should reach over the PE header, whose section table tells a file that is cut off.
    pub fn parse(head: &[u8], len: u64) -> Result<Option<Self>, HeaderError> {
        let magic = le32(head, 56);
        let code = le32(head, 0);
        if magic != Some(MAGIC) && code != Some(OLD_CODE) {
            return Ok(None);
        }
        let truncated = |need| HeaderError::Truncated { need, have: len };
        let header: [u8; HEADER_SIZE as usize] = bytes_at(head, 0).ok_or(truncated(HEADER_SIZE))?;
        let field = |at| le64(&header, at).unwrap_or_default();
        let (text_offset, size, flags) = (field(8), field(16), field(24));
        if flags & 1 != 0 {
            return Err(HeaderError::BigEndian);
        }
        // Only a damaged header has sizes of this kind.
        let sane = |bytes: u64| bytes < 1 << 40;
        if !sane(text_offset) || !sane(size) || !text_offset.is_multiple_of(PAGE) {
            return Err(HeaderError::BadHeader);
        }
        if let Some(need) = file_size(head).filter(|need| *need > len) {
            return Err(truncated(need));
        }
        let size_known = size != 0;
        Ok(Some(Self {
            text_offset: if size_known { text_offset } else { OLD_TEXT_OFFSET },
            size: size.max(len),
            size_known,
            page_size: match flags >> 1 & 3 {
                1 => Some(4 << 10),
                2 => Some(16 << 10),
                3 => Some(64 << 10),
                _ => None,
            },
            anywhere: flags & 8 != 0,
        }))
    }
}

/// The least size of a file in bytes that has all sections of its PE header; `None` without a PE
/// header, or when it is not in `head`.
fn file_size(head: &[u8]) -> Option<u64> {
    let pe = le32(head, 60)? as usize;
    if le32(head, pe)? != u32::from_le_bytes(*b"PE\0\0") {
        return None;
    }
    let counts = le32(head, pe.checked_add(4)?)?;
    let sections = (counts >> 16) as usize;
    let optional_size = le32(head, pe.checked_add(20)?)? & 0xffff;
    let table = pe.checked_add(24)?.checked_add(optional_size as usize)?;
    let mut need = 0u64;
    // Linux has two or three.
    for nth in 0..sections.min(16) {
        let entry = table.checked_add(nth.checked_mul(40)?)?;
        let size = le32(head, entry.checked_add(16)?)?;
        let offset = le32(head, entry.checked_add(20)?)?;
        need = need.max(u64::from(size).checked_add(u64::from(offset))?);
    }
    Some(need)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn image_header(text_offset: u64, size: u64, flags: u64) -> Vec<u8> {
        let mut head = vec![0; 64];
        head[8..16].copy_from_slice(&text_offset.to_le_bytes());
        head[16..24].copy_from_slice(&size.to_le_bytes());
        head[24..32].copy_from_slice(&flags.to_le_bytes());
        head[56..60].copy_from_slice(b"ARM\x64");
        head
    }

    #[test]
    fn header_of_a_current_kernel() {
        let head = image_header(0, 0x200_0000, 0xa);
        let image = Image::parse(&head, 0x180_0000).unwrap().unwrap();
        assert_eq!(
            image,
            Image {
                text_offset: 0,
                size: 0x200_0000,
                size_known: true,
                page_size: Some(4096),
                anywhere: true,
            }
        );
    }

    #[test]
    fn image_without_a_size_takes_the_old_offset_and_the_file_size() {
        let mut head = image_header(0, 0, 0);
        let image = Image::parse(&head, 0x100_0000).unwrap().unwrap();
        assert_eq!((image.text_offset, image.size), (0x8_0000, 0x100_0000));
        assert!(!image.size_known && !image.anywhere);
        assert_eq!(image.page_size, None);
        head[56..60].fill(0);
        head[..4].copy_from_slice(&OLD_CODE.to_le_bytes());
        assert_eq!(Image::parse(&head, 0x100_0000), Ok(Some(image)));
    }

    #[test]
    fn file_larger_than_its_size_keeps_all_its_bytes() {
        let head = image_header(0, 0x1000, 0);
        assert_eq!(Image::parse(&head, 0x3000).unwrap().unwrap().size, 0x3000);
    }

    #[test]
    fn big_endian_and_nonsense_are_refused() {
        let big = image_header(0, 0x1000, 1);
        assert_eq!(Image::parse(&big, 64), Err(HeaderError::BigEndian));
        for (offset, size) in [(0, 1 << 50), (u64::MAX, 1)] {
            let huge = image_header(offset, size, 0);
            assert_eq!(Image::parse(&huge, 64), Err(HeaderError::BadHeader));
        }
        assert_eq!(Image::parse(&[0; 64], 64), Ok(None));
        assert_eq!(Image::parse(b"", 0), Ok(None));
    }

    #[test]
    fn offset_within_a_page_is_refused() {
        assert_eq!(Image::parse(&image_header(64, 0x1000, 0), 64), Err(HeaderError::BadHeader));
        assert!(Image::parse(&image_header(0x1000, 0x1000, 0), 64).is_ok());
    }

    #[test]
    fn image_cut_off_in_its_header_is_truncated() {
        let old = OLD_CODE.to_le_bytes();
        assert_eq!(Image::parse(&old, 4), Err(HeaderError::Truncated { need: 64, have: 4 }));
        let head = image_header(0, 0x1000, 0);
        assert_eq!(Image::parse(&head[..63], 63), Err(HeaderError::Truncated { need: 64, have: 63 }));
    }

    #[test]
    fn file_shorter_than_its_sections_is_truncated() {
        let mut head = image_header(0, 0x200_0000, 0xa);
        head[60..64].copy_from_slice(&64u32.to_le_bytes());
        head.extend_from_slice(b"PE\0\0");
        head.extend_from_slice(&(2u32 << 16 | 0xaa64).to_le_bytes());
        head.extend_from_slice(&[0; 12]);
        // Optional header of 8 bytes, characteristics.
        head.extend_from_slice(&8u32.to_le_bytes());
        head.extend_from_slice(&[0; 8]);
        for (size, offset) in [(0x1000u32, 0x1000u32), (0x80_0000, 0x2000)] {
            let mut section = [0; 40];
            section[16..20].copy_from_slice(&size.to_le_bytes());
            section[20..24].copy_from_slice(&offset.to_le_bytes());
            head.extend_from_slice(&section);
        }
        let need = 0x80_2000;
        assert!(Image::parse(&head, need).unwrap().is_some());
        assert_eq!(Image::parse(&head, need - 1), Err(HeaderError::Truncated { need, have: need - 1 }));
    }

    proptest! {
        #[test]
        fn any_header_is_a_sound_image_or_refused(
            fields in any::<[u64; 3]>(), shift in any::<[u8; 3]>(), pe in 0u32..256,
            rest in proptest::collection::vec(any::<u8>(), 0..300), len: u64,
        ) {
            let [text_offset, size, flags] = [0, 1, 2].map(|n| fields[n] >> (shift[n] % 64));
            let mut head = image_header(text_offset & !0xfff, size, flags);
            head[60..64].copy_from_slice(&pe.to_le_bytes());
            head.extend_from_slice(&rest);
            if let Ok(image) = Image::parse(&head, len) {
                let image = image.expect("it has the magic number");
                prop_assert!(image.size >= len && image.text_offset.is_multiple_of(PAGE));
                prop_assert!(image.text_offset < 1 << 40 && image.size < (1 << 40).max(len.saturating_add(1)));
            }
        }
    }
}
