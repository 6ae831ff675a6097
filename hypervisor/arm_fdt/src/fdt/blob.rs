//! The flattened format: header, tokens, names.
use core::fmt;

/// The largest blob accepted, in bytes: the limit of the arm64 boot protocol.
pub const MAX_SIZE: usize = 2 << 20;
/// The deepest nesting of nodes accepted (real trees: below 10).
pub const MAX_DEPTH: usize = 32;
/// The most nodes accepted (real trees: below 6,000).
pub const MAX_NODES: usize = 16_384;
/// The most entries accepted in the memory reservation block.
const MAX_RESERVATIONS: usize = 256;

pub(super) const MAGIC: u32 = 0xd00d_feed;
pub(super) const VERSION: u32 = 17;
pub(super) const HEADER_SIZE: usize = 40;

pub(super) const BEGIN_NODE: u32 = 1;
pub(super) const END_NODE: u32 = 2;
pub(super) const PROP: u32 = 3;
const NOP: u32 = 4;
pub(super) const END: u32 = 9;

/// Why a blob is not a usable flattened device tree. Offsets are in bytes from its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FdtError {
    /// The first word is not the magic number.
    BadMagic(u32),
    /// Not readable by a reader of version 17.
    BadVersion {
        /// The blob's version.
        version: u32,
        /// The oldest version that it is compatible with.
        last_compatible: u32,
    },
    /// Larger than [`MAX_SIZE`] or smaller than its header.
    BadSize(usize),
    /// Fewer bytes at hand than the header says.
    Truncated {
        /// What the header says.
        total: usize,
        /// What is at hand.
        have: usize,
    },
    /// A block (named) is misplaced, misaligned or not terminated.
    BadBlock(&'static str),
    /// Something at this offset that must not be there, or that reaches out of its block.
    BadToken(usize),
    /// A node or property name that is not terminated, too long, or not printable ASCII.
    BadName(usize),
    /// Nodes nested more than [`MAX_DEPTH`] deep.
    TooDeep(usize),
    /// More than [`MAX_NODES`] nodes.
    TooManyNodes,
    /// The heap is exhausted.
    OutOfMemory,
}

impl fmt::Display for FdtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::BadMagic(word) => write!(
                f,
                "no device tree: it starts with {word:#010x}, not {MAGIC:#010x}; the boot loader \
                 must pass its address in x0"
            ),
            Self::BadVersion { version, last_compatible } => write!(
                f,
                "device tree of version {version} (compatible to {last_compatible}); \
                 version {VERSION} is needed"
            ),
            Self::BadSize(size) => {
                write!(f, "device tree of {size} bytes; {HEADER_SIZE} to {MAX_SIZE} are possible")
            }
            Self::Truncated { total, have } => {
                write!(f, "device tree of {total} bytes is cut off after {have}")
            }
            Self::BadBlock(block) => {
                write!(f, "device tree damaged: its {block} block is misplaced")
            }
            Self::BadToken(at) => write!(f, "device tree damaged at offset {at:#x}"),
            Self::BadName(at) => write!(f, "device tree damaged: bad name at offset {at:#x}"),
            Self::TooDeep(at) => {
                write!(f, "device tree nested deeper than {MAX_DEPTH} nodes at offset {at:#x}")
            }
            Self::TooManyNodes => write!(f, "device tree of more than {MAX_NODES} nodes"),
            Self::OutOfMemory => f.write_str("no memory to read the device tree"),
        }
    }
}

/// Checks the header in the first 40 bytes of a blob and returns the size of the whole in bytes,
/// so that the caller knows how much to map before [`Tree::parse`](super::Tree::parse).
pub fn total_size(header: &[u8]) -> Result<usize, FdtError> {
    let short = FdtError::Truncated { total: HEADER_SIZE, have: header.len() };
    let word = |at: usize| word_at(header, at).ok_or(short);
    if word(0)? != MAGIC {
        return Err(FdtError::BadMagic(word(0)?));
    }
    let (version, last_compatible) = (word(20)?, word(24)?);
    if version < VERSION || last_compatible > VERSION {
        return Err(FdtError::BadVersion { version, last_compatible });
    }
    let size = word(4)? as usize;
    if (HEADER_SIZE..=MAX_SIZE).contains(&size) { Ok(size) } else { Err(FdtError::BadSize(size)) }
}

/// A property as it stands in the blob.
#[derive(Clone, Copy, Debug)]
pub struct Property<'a> {
    /// Where its name starts in the strings block, in bytes.
    pub name_offset: u32,
    /// Its value.
    pub value: &'a [u8],
}

/// A token of the structure block.
pub(super) enum Token<'a> {
    /// A node begins; its name's place in the block and its length.
    Begin {
        name: usize,
        len: usize,
    },
    End,
    Prop(Property<'a>),
    Finish,
}

/// A place in the structure block.
pub(super) struct Cursor<'a> {
    pub(super) block: &'a [u8],
    pub(super) pos: usize,
}

impl<'a> Cursor<'a> {
    /// The next token but no-ops; moves behind it. Offsets in errors count from the block.
    pub(super) fn next(&mut self) -> Result<Token<'a>, FdtError> {
        loop {
            let start = self.pos;
            let bad = FdtError::BadToken(start);
            let kind = word_at(self.block, start).ok_or(bad)?;
            // There are four bytes at `pos`, so this and what follows stays near the block's end,
            // far from overflow.
            self.pos = start.saturating_add(4);
            match kind {
                NOP => {}
                BEGIN_NODE => {
                    let name = self.pos;
                    let tail = self.block.get(name..).ok_or(bad)?;
                    let len = tail.iter().position(|b| *b == 0).ok_or(FdtError::BadName(name))?;
                    self.skip(len.saturating_add(1));
                    return Ok(Token::Begin { name, len });
                }
                END_NODE => return Ok(Token::End),
                PROP => {
                    let len = word_at(self.block, self.pos).ok_or(bad)? as usize;
                    self.pos = self.pos.saturating_add(4);
                    let name_offset = word_at(self.block, self.pos).ok_or(bad)?;
                    self.pos = self.pos.saturating_add(4);
                    let tail = self.block.get(self.pos..).ok_or(bad)?;
                    let value = tail.get(..len).ok_or(bad)?;
                    self.skip(len);
                    return Ok(Token::Prop(Property { name_offset, value }));
                }
                END => return Ok(Token::Finish),
                _ => return Err(bad),
            }
        }
    }

    /// Moves over `len` bytes and the padding behind them.
    fn skip(&mut self, len: usize) {
        self.pos = self.pos.saturating_add(len).saturating_add(3) & !3;
    }
}

impl FdtError {
    /// The same with offsets counted from the blob's start, `base` being the block's.
    pub(super) fn at(self, base: usize) -> Self {
        match self {
            Self::BadToken(pos) => Self::BadToken(base.saturating_add(pos)),
            Self::BadName(pos) => Self::BadName(base.saturating_add(pos)),
            other => other,
        }
    }
}

/// The word at byte `at`.
pub(super) fn word_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_be_bytes(*word))
}

/// The name at `offset` of the strings block.
pub(super) fn name_at(strings: &[u8], offset: u32) -> Option<&[u8]> {
    let tail = strings.get(offset as usize..)?;
    let len = tail.iter().position(|b| *b == 0)?;
    tail.get(..len)
}

/// The entries of the memory reservation block at `offset`, without the closing one.
pub(super) fn find_reservations(data: &[u8], offset: usize) -> Result<&[u8], FdtError> {
    let bad = FdtError::BadBlock("memory reservation");
    let tail = data.get(offset..).ok_or(bad)?;
    let (entries, _) = tail.as_chunks::<16>();
    let count = entries.iter().take(MAX_RESERVATIONS).position(|entry| *entry == [0; 16]).ok_or(bad)?;
    tail.get(..count.saturating_mul(16)).ok_or(bad)
}
