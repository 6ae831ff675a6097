//! Unpacks gzip streams (RFC 1952), piece by piece on both sides.
use alloc::boxed::Box;
use alloc::vec::Vec;

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

use super::KernelError;

/// How a gzip stream with deflated data begins.
pub(super) const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];

/// What deflated data may refer back to, and so how much is unpacked at a time.
const WINDOW: usize = 32 << 10;

const FLAG_HEADER_CRC: u8 = 2;
const FLAG_EXTRA: u8 = 4;
const FLAG_NAME: u8 = 8;
const FLAG_COMMENT: u8 = 16;
const FLAGS_RESERVED: u8 = 0xe0;

/// Size of the unpacked data modulo 2^32, which a gzip stream ends with: a hint for how much
/// memory to get, to be given as the last four bytes of the stream.
pub fn unpacked_size(last_four: [u8; 4]) -> u32 {
    u32::from_le_bytes(last_four)
}

/// Whether the stream has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// More input is needed.
    More,
    /// The stream is complete and its checksum right. Bytes behind it are not read.
    Done,
}

/// Where in the stream the next byte is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The ten fixed bytes; how many of them have been read.
    Fixed(usize),
    /// The length of the extra field; how many of its two bytes have been read.
    ExtraLen(usize),
    /// The extra field; how many of its bytes are left.
    Extra(usize),
    Name,
    Comment,
    /// The header's checksum; how many of its two bytes have been read.
    HeaderCrc(usize),
    Data,
    /// Checksum and length; how many of their eight bytes have been read.
    Trailer(usize),
    Done,
}

/// Unpacks one gzip stream. Needs 32 KiB for the window and 11 KiB for tables on the heap; while it
/// is made, 11 KiB of stack.
pub struct Gunzip {
    inflate: Box<DecompressorOxide>,
    window: Vec<u8>,
    /// Where in the window the next byte goes.
    window_pos: usize,
    state: State,
    flags: u8,
    /// Two bytes of the header, or eight of the trailer.
    field: [u8; 8],
    crc: Crc32,
    written: u64,
    limit: u64,
}

impl Gunzip {
    /// For a stream that unpacks to at most `limit` bytes.
    pub fn new(limit: u64) -> Result<Self, KernelError> {
        let mut window = Vec::new();
        window.try_reserve_exact(WINDOW).map_err(|_| KernelError::OutOfMemory)?;
        window.resize(WINDOW, 0);
        Ok(Self {
            inflate: Box::default(),
            window,
            window_pos: 0,
            state: State::Fixed(0),
            flags: 0,
            field: [0; 8],
            crc: Crc32::new()?,
            written: 0,
            limit,
        })
    }

    /// After the last piece: how many bytes were unpacked, if the stream is complete.
    pub fn finish(&self) -> Result<u64, KernelError> {
        if self.state == State::Done { Ok(self.written) } else { Err(KernelError::Incomplete) }
    }

    /// Unpacks the next piece of the stream, of any length. `sink` gets the data in order, at most
    /// 32 KiB at a time, and answers whether to go on.
    ///
    /// Data reaches `sink` before the checksum is known: it counts only after [`Progress::Done`].
    pub fn feed(
        &mut self,
        input: &[u8],
        sink: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Progress, KernelError> {
        let mut rest = input;
        loop {
            if self.state == State::Data {
                let (tail, wants_more) = self.inflate(rest, sink)?;
                rest = tail;
                if wants_more {
                    return Ok(Progress::More);
                }
                continue;
            }
            if self.state == State::Done {
                return Ok(Progress::Done);
            }
            let Some((byte, tail)) = rest.split_first() else {
                return Ok(Progress::More);
            };
            rest = tail;
            self.state = self.header_or_trailer(*byte)?;
        }
    }

    /// One byte of the header or the trailer.
    fn header_or_trailer(&mut self, byte: u8) -> Result<State, KernelError> {
        let has = |flag| self.flags & flag != 0;
        Ok(match self.state {
            State::Fixed(at) => {
                if MAGIC.get(at).is_some_and(|magic| *magic != byte) {
                    return Err(KernelError::BadData);
                }
                if at == 3 {
                    if byte & FLAGS_RESERVED != 0 {
                        return Err(KernelError::BadData);
                    }
                    self.flags = byte;
                }
                if at < 9 { State::Fixed(at.saturating_add(1)) } else { self.header_part(FLAG_EXTRA) }
            }
            State::ExtraLen(at) => {
                self.keep(at, byte);
                let [low, high, ..] = self.field;
                match (at, usize::from(u16::from_le_bytes([low, high]))) {
                    (0, _) => State::ExtraLen(1),
                    (_, 0) => self.header_part(FLAG_NAME),
                    (_, len) => State::Extra(len),
                }
            }
            State::Extra(left) if left > 1 => State::Extra(left.saturating_sub(1)),
            State::Extra(_) => self.header_part(FLAG_NAME),
            State::Name if byte == 0 => self.header_part(FLAG_COMMENT),
            State::Comment if byte == 0 && has(FLAG_HEADER_CRC) => State::HeaderCrc(0),
            State::Comment if byte == 0 => State::Data,
            // The data has a checksum of its own.
            State::HeaderCrc(0) => State::HeaderCrc(1),
            State::HeaderCrc(_) => State::Data,
            State::Trailer(at) => {
                self.keep(at, byte);
                if at < 7 {
                    return Ok(State::Trailer(at.saturating_add(1)));
                }
                let trailer = u64::from_le_bytes(self.field);
                // Length modulo 2^32 above, checksum below.
                let expected = self.written << 32 | u64::from(self.crc.value());
                if trailer != expected {
                    return Err(KernelError::BadChecksum);
                }
                State::Done
            }
            other => other,
        })
    }

    /// The first part of the header from the one of flag `from` on that is there.
    fn header_part(&self, from: u8) -> State {
        let parts = [
            (FLAG_EXTRA, State::ExtraLen(0)),
            (FLAG_NAME, State::Name),
            (FLAG_COMMENT, State::Comment),
            (FLAG_HEADER_CRC, State::HeaderCrc(0)),
        ];
        parts
            .into_iter()
            .skip_while(|(flag, _)| *flag != from)
            .find(|(flag, _)| self.flags & flag != 0)
            .map_or(State::Data, |(_, state)| state)
    }

    fn keep(&mut self, at: usize, byte: u8) {
        if let Some(slot) = self.field.get_mut(at) {
            *slot = byte;
        }
    }

    /// Unpacks up to a window's end. Returns the input that is left, and whether more of it is
    /// needed.
    fn inflate<'i>(
        &mut self,
        input: &'i [u8],
        sink: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(&'i [u8], bool), KernelError> {
        let (status, read, made) = decompress(
            &mut self.inflate,
            input,
            &mut self.window,
            self.window_pos,
            TINFL_FLAG_HAS_MORE_INPUT,
        );
        let end = self.window_pos.saturating_add(made);
        let data = self.window.get(self.window_pos..end).ok_or(KernelError::BadData)?;
        self.written = self.written.saturating_add(made as u64);
        if self.written > self.limit {
            return Err(KernelError::TooLarge { limit: self.limit });
        }
        self.crc.add(data);
        if !data.is_empty() && !sink(data) {
            return Err(KernelError::Refused);
        }
        self.window_pos = end % WINDOW;
        let rest = input.get(read..).unwrap_or_default();
        match status {
            TINFLStatus::Done => {
                self.state = State::Trailer(0);
                Ok((rest, false))
            }
            TINFLStatus::HasMoreOutput => Ok((rest, false)),
            TINFLStatus::NeedsMoreInput => Ok((rest, true)),
            _ => Err(KernelError::BadData),
        }
    }
}

/// The checksum of gzip: CRC-32 of ISO 3309, four bytes at a time.
struct Crc32 {
    /// `tables[n][b]`: what byte `b` followed by `n` zero bytes does to the sum.
    tables: Vec<[u32; 256]>,
    sum: u32,
}

impl Crc32 {
    const POLYNOMIAL: u32 = 0xedb8_8320;

    fn new() -> Result<Self, KernelError> {
        let mut tables: Vec<[u32; 256]> = Vec::new();
        tables.try_reserve_exact(4).map_err(|_| KernelError::OutOfMemory)?;
        for n in 0..4usize {
            let before = n.checked_sub(1).and_then(|before| tables.get(before));
            let table = core::array::from_fn(|byte| {
                // A zero byte more: shift the sum by eight bits.
                let start = before.and_then(|t| t.get(byte)).map_or(byte as u32, |s| *s);
                (0..8).fold(start, |sum, _| {
                    let carry = (sum & 1).wrapping_neg();
                    sum >> 1 ^ Self::POLYNOMIAL & carry
                })
            });
            tables.push(table);
        }
        Ok(Self { tables, sum: u32::MAX })
    }

    fn add(&mut self, data: &[u8]) {
        let [first, second, third, fourth] = self.tables.as_slice() else {
            return;
        };
        let entry = |table: &[u32; 256], byte: u32| {
            // A byte is always a valid index.
            table.get((byte & 0xff) as usize).copied().unwrap_or(0)
        };
        let (words, tail) = data.as_chunks::<4>();
        let mut sum = self.sum;
        for word in words {
            let x = sum ^ u32::from_le_bytes(*word);
            sum = entry(fourth, x) ^ entry(third, x >> 8) ^ entry(second, x >> 16) ^ entry(first, x >> 24);
        }
        for byte in tail {
            sum = sum >> 8 ^ entry(first, sum ^ u32::from(*byte));
        }
        self.sum = sum;
    }

    fn value(&self) -> u32 {
        !self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::gzip;
    use proptest::prelude::*;

    /// Unpacks `stream` given in pieces of `piece` bytes.
    fn unpack(stream: &[u8], piece: usize, limit: u64) -> Result<Vec<u8>, KernelError> {
        let mut out = Vec::new();
        let mut gunzip = Gunzip::new(limit)?;
        for part in stream.chunks(piece) {
            let progress = gunzip.feed(part, &mut |data| {
                out.extend_from_slice(data);
                true
            })?;
            if progress == Progress::Done {
                break;
            }
        }
        assert_eq!(gunzip.finish()?, out.len() as u64);
        Ok(out)
    }

    fn text(len: usize) -> Vec<u8> {
        (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 28) as u8).collect()
    }

    #[test]
    fn crc_of_the_standard_check_string() {
        let mut crc = Crc32::new().unwrap();
        crc.add(b"12345");
        crc.add(b"6789");
        assert_eq!(crc.value(), 0xcbf4_3926);
    }

    #[test]
    fn data_of_several_windows_comes_out_whole_whatever_the_pieces() {
        let data = text(100_000);
        let stream = gzip(&data, 0, &[]);
        for piece in [1, 7, 4096, usize::MAX] {
            assert_eq!(unpack(&stream, piece, 1 << 20).as_ref(), Ok(&data));
        }
    }

    #[test]
    fn every_part_of_a_header_is_skipped() {
        let data = text(500);
        let extra = [3, 0, 1, 2, 3];
        let parts: Vec<(u8, Vec<u8>)> = vec![
            (0, vec![]),
            (FLAG_EXTRA, extra.to_vec()),
            (FLAG_EXTRA, vec![0, 0]),
            (FLAG_NAME, b"vmlinux\0".to_vec()),
            (FLAG_COMMENT, b"\0".to_vec()),
            (FLAG_HEADER_CRC, vec![0, 9]),
            (
                FLAG_EXTRA | FLAG_NAME | FLAG_COMMENT | FLAG_HEADER_CRC,
                [&extra[..], b"n\0c\0", &[0, 0]].concat(),
            ),
        ];
        for (flags, more) in parts {
            let stream = gzip(&data, flags, &more);
            assert_eq!(unpack(&stream, 3, 1 << 20).as_ref(), Ok(&data), "{flags}");
        }
    }

    #[test]
    fn bytes_behind_the_stream_are_not_read() {
        let mut stream = gzip(b"kernel", 0, &[]);
        stream.extend_from_slice(&[0xff; 32]);
        assert_eq!(unpack(&stream, 1000, 100).as_deref(), Ok(&b"kernel"[..]));
    }

    #[test]
    fn more_than_the_limit_is_refused() {
        let stream = gzip(&text(70_000), 0, &[]);
        assert_eq!(unpack(&stream, 4096, 69_999), Err(KernelError::TooLarge { limit: 69_999 }));
        assert!(unpack(&stream, 4096, 70_000).is_ok());
    }

    #[test]
    fn sink_can_stop_it() {
        let stream = gzip(&text(70_000), 0, &[]);
        let mut calls = 0;
        let result = Gunzip::new(1 << 20).unwrap().feed(&stream, &mut |_| {
            calls += 1;
            calls < 2
        });
        assert_eq!((result, calls), (Err(KernelError::Refused), 2));
    }

    #[test]
    fn damaged_trailer_is_noticed() {
        let good = gzip(&text(1000), 0, &[]);
        for from_end in 1..=8 {
            let mut bad = good.clone();
            let at = bad.len() - from_end;
            bad[at] ^= 1;
            assert_eq!(unpack(&bad, 4096, 1 << 20), Err(KernelError::BadChecksum));
        }
        let short = &good[..good.len() - 1];
        assert_eq!(unpack(short, 4096, 1 << 20), Err(KernelError::Incomplete));
        assert_eq!(unpacked_size(good[good.len() - 4..].try_into().unwrap()), 1000);
    }

    proptest! {
        #[test]
        fn damaged_streams_never_panic_nor_pass_the_limit(
            at in 0usize..900, bit in 0u8..8, piece in 1usize..300
        ) {
            let data = text(2000);
            let mut stream = gzip(&data, 0, &[]);
            let at = at % stream.len();
            stream[at] ^= 1 << bit;
            if let Ok(out) = unpack(&stream, piece, 3000) {
                // Some bits carry no data: in the header, and behind the last block.
                prop_assert_eq!(out, data);
            }
        }

        #[test]
        fn random_bytes_never_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..300), piece in 1usize..64
        ) {
            let stream = [&MAGIC[..], &[0; 7], &bytes].concat();
            if let Ok(out) = unpack(&stream, piece, 5000) {
                prop_assert!(out.len() <= 5000);
            }
        }
    }
}
