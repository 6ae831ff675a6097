//! Unpacks kernels, up to a limit.
use std::io::Read;

use ruzstd::decoding::StreamingDecoder;

use crate::error::KernelError;

/// How a kernel is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl Compression {
    /// By the first bytes.
    pub(super) fn of(file: &[u8]) -> Option<Self> {
        match file {
            [0x1f, 0x8b, 8, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The unpacked data, if it has at most `limit` bytes. Bytes behind the compressed data do not count.
    pub(super) fn unpack(self, data: &[u8], limit: u64) -> Result<Vec<u8>, KernelError> {
        let unpacked = match self {
            Self::Gzip => read(flate2::read::GzDecoder::new(data), limit)
                .map_err(|error| KernelError::BadData { format: "gzip", detail: error.to_string() })?,
            Self::Zstd => {
                unzstd(data, limit).map_err(|detail| KernelError::BadData { format: "zstd", detail })?
            }
        };
        if unpacked.len() as u64 > limit { Err(KernelError::TooLarge { limit }) } else { Ok(unpacked) }
    }
}

/// All data, or one byte more than `limit`.
fn read(data: impl Read, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    data.take(limit.saturating_add(1)).read_to_end(&mut unpacked)?;
    Ok(unpacked)
}

/// The decoder has the checksum computed but leaves it to us to compare.
fn unzstd(data: &[u8], limit: u64) -> Result<Vec<u8>, String> {
    let mut decoder = StreamingDecoder::new(data).map_err(|error| error.to_string())?;
    let unpacked = read(&mut decoder, limit).map_err(|error| error.to_string())?;
    let frame = &decoder.decoder;
    let stated = frame.get_checksum_from_data();
    if frame.is_finished() && stated.is_some() && stated != frame.get_calculated_checksum() {
        return Err("wrong checksum".to_owned());
    }
    Ok(unpacked)
}
