//! Kernel files: the forms that are read, and all the ways in which they can be wrong.
use kernel_header::HeaderError;
use proptest::prelude::*;

use super::*;
use crate::testing::{gzip, image, zboot, zstd};

const ROOM: u64 = 64 << 20;

fn read_into(file: &[u8], room: u64) -> Result<Kernel, KernelError> {
    Kernel::read(whole(file), room)
}

fn whole(bytes: &[u8]) -> KernelFile<'_> {
    KernelFile { bytes, len: bytes.len() as u64 }
}

fn read(file: &[u8]) -> Result<Kernel, KernelError> {
    read_into(file, ROOM)
}

/// The image that goes into memory.
fn image_of(kernel: &Kernel, file: &[u8]) -> Vec<u8> {
    kernel.unpacked.clone().unwrap_or_else(|| file.to_vec())
}

fn error(file: &[u8]) -> KernelError {
    read(file).unwrap_err()
}

#[test]
fn all_forms_give_the_same_image() {
    let plain = image(300_000, 0, 0x8_0000, 0xa);
    let (gzipped, zstded) = (gzip(&plain), zstd(&plain));
    let files = [
        plain.clone(),
        gzipped.clone(),
        [&gzipped[..], &[0; 100]].concat(),
        zstded.clone(),
        zboot("gzip", &gzipped),
        zboot("zstd22", &zstded),
    ];
    for file in files {
        let kernel = read(&file).unwrap();
        assert!(image_of(&kernel, &file) == plain);
        assert_eq!(whole(&file).is_packed(), kernel.unpacked.is_some());
        assert_eq!(kernel.len, plain.len() as u64);
        assert_eq!((kernel.header.text_offset, kernel.header.size), (0, 0x8_0000));
    }
}

#[test]
fn start_of_a_plain_image_is_enough() {
    let plain = image(300_000, 0, 0x8_0000, 0xa);
    let header = read(&plain).unwrap().header;
    let start = &plain[..KERNEL_START_BYTES as usize];
    let kernel = Kernel::read(KernelFile { bytes: start, len: 300_000 }, ROOM).unwrap();
    assert_eq!((kernel.unpacked, kernel.len, kernel.header), (None, 300_000, header));
}

#[test]
fn headers_that_cannot_be_are_refused() {
    assert_eq!(error(&image(64, 0, 100, 1)), HeaderError::BigEndian.into());
    assert_eq!(error(&zboot("gzip", b"")), HeaderError::BadHeader.into());
    assert_eq!(error(b"MZ\0\0zimg"), HeaderError::Truncated { need: 64, have: 8 }.into());
    assert_eq!(error(b""), KernelError::Unknown);
    assert_eq!(error(&[0; 4096]), KernelError::Unknown);
}

#[test]
fn kernel_within_a_page_is_refused_since_it_would_be_written_to_a_page() {
    assert_eq!(error(&image(64, 64, 100, 0)), HeaderError::BadHeader.into());
}

#[test]
fn other_formats_are_called_by_name() {
    let mut x86 = vec![0; 0x300];
    x86[..2].copy_from_slice(b"MZ");
    x86[0x202..0x206].copy_from_slice(b"HdrS");
    for (file, name) in [
        (&x86[..], "x86 bzImage"),
        (b"\x7fELF\x02\x01", "ELF"),
        (b"\xfd7zXZ\0...", "xz"),
        (b"070701...", "cpio archive"),
        (b"MZ\0\0", "EFI application"),
        (&zboot("lzma", b"x"), "EFI zboot with lzma"),
        (&zboot("?", b"x"), "EFI zboot of unknown compression"),
        (&gzip(b"\x7fELF"), "ELF"),
    ] {
        assert_eq!(error(file), KernelError::Unsupported(name));
    }
}

#[test]
fn bombs_stop_at_the_room_there_is() {
    let zeros = vec![0; 4 << 20];
    for bomb in [gzip(&zeros), zstd(&zeros), zboot("gzip", &gzip(&zeros))] {
        assert!(bomb.len() < 64 << 10);
        let limit = 1 << 20;
        assert_eq!(read_into(&bomb, limit).unwrap_err(), KernelError::TooLarge { limit });
    }
    let plain = image(5000, 0, 100, 0);
    assert_eq!(read_into(&plain, 4999).unwrap_err(), KernelError::TooLarge { limit: 4999 });
    assert!(read_into(&gzip(&plain), 5000).is_ok());
    assert!(read_into(&zstd(&plain), 5000).is_ok());
}

#[test]
fn compressed_data_that_is_cut_off_or_damaged_is_noticed() {
    let plain = image(100_000, 0, 0x8_0000, 0xa);
    for (file, checksum) in [(gzip(&plain), 8), (zstd(&plain), 4)] {
        for len in [5, 100, file.len() / 2, file.len() - 1] {
            assert!(matches!(error(&file[..len]), KernelError::BadData { .. }), "{len}");
        }
        let mut damaged = file.clone();
        let at = file.len() - checksum;
        damaged[at] ^= 1;
        assert!(matches!(error(&damaged), KernelError::BadData { .. }));
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_grow(
        start in prop::sample::select(vec![
            vec![], vec![0x1f, 0x8b, 8, 0], vec![0x28, 0xb5, 0x2f, 0xfd], b"MZ\0\0zimg".to_vec(), b"MZ".to_vec(),
        ]),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        if let Ok(kernel) = read_into(&[start, bytes].concat(), 4096) {
            prop_assert!(kernel.len <= 4096);
        }
    }

    #[test]
    fn no_flipped_bits_make_it_panic(
        form in 0usize..4, flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..4)
    ) {
        let plain = image(4000, 0, 0x8_0000, 0xa);
        let mut file = match form {
            0 => gzip(&plain),
            1 => zstd(&plain),
            2 => zboot("zstd", &zstd(&plain)),
            _ => plain,
        };
        for (at, bit) in flips {
            let at = at.index(file.len());
            file[at] ^= 1 << bit;
        }
        if let Ok(kernel) = read_into(&file, 1 << 20) {
            prop_assert!(kernel.len <= 1 << 20);
            prop_assert!(kernel.header.size >= kernel.len);
        }
    }
}
