//! Kernels for tests.
use std::io::Write;

/// An arm64 Image of `len` bytes that says it uses `size`, placed at `text_offset`.
pub(crate) fn image(len: usize, text_offset: u64, size: u64, flags: u64) -> Vec<u8> {
    // Not all the same, so that the compressed forms have something to say.
    let mut image: Vec<u8> = (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 27) as u8).collect();
    image[..64].fill(0);
    image[8..16].copy_from_slice(&text_offset.to_le_bytes());
    image[16..24].copy_from_slice(&size.to_le_bytes());
    image[24..32].copy_from_slice(&flags.to_le_bytes());
    image[56..60].copy_from_slice(b"ARM\x64");
    image
}

pub(crate) fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(data: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(data, ruzstd::encoding::CompressionLevel::Fastest)
}

/// An EFI zboot image around compressed data.
pub(crate) fn zboot(name: &str, data: &[u8]) -> Vec<u8> {
    let mut file = vec![0; 128];
    file[..2].copy_from_slice(b"MZ");
    file[4..8].copy_from_slice(b"zimg");
    file[8..12].copy_from_slice(&128u32.to_le_bytes());
    file[12..16].copy_from_slice(&(data.len() as u32).to_le_bytes());
    file[24..24 + name.len()].copy_from_slice(name.as_bytes());
    file.extend_from_slice(data);
    file.extend_from_slice(b"what follows");
    file
}
