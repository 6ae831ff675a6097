//! Writes a flattened device tree, node by node.
use alloc::vec::Vec;

use super::blob::{BEGIN_NODE, END, END_NODE, HEADER_SIZE, MAGIC, MAX_SIZE, PROP, VERSION};
use super::{Property, Tree};
use crate::fault::Problem;
use crate::range::Range;

/// Header and the closing entry of an empty memory reservation block.
const STRUCTURE_OFFSET: usize = HEADER_SIZE + 16;

const TOO_LARGE: Problem = Problem::TreeTooLarge { max: MAX_SIZE as u32 };

/// Writes a tree that takes properties over from a source tree and adds others.
///
/// The source's strings block is kept as it is, so that a property taken over keeps its name's
/// offset; names of added properties go behind it. The methods do not fail: a lack of memory or
/// space is remembered and reported by [`finish`](Self::finish).
pub struct Writer<'s> {
    out: Vec<u8>,
    strings: &'s [u8],
    added: Vec<(&'static str, u32)>,
    added_len: u32,
    failed: Option<Problem>,
}

impl<'s> Writer<'s> {
    /// A writer for a tree that is made from `source` and up to `more` bytes besides (which saves
    /// growing; more is possible).
    pub fn new(source: &Tree<'s>, more: usize) -> Self {
        let mut writer = Self {
            out: Vec::new(),
            strings: source.strings(),
            added: Vec::new(),
            added_len: 0,
            failed: None,
        };
        let size = STRUCTURE_OFFSET
            .saturating_add(source.structure_len())
            .saturating_add(source.strings().len())
            .saturating_add(more);
        writer.reserve(size);
        writer.bytes(&[0; STRUCTURE_OFFSET]);
        writer
    }

    /// Begins a node.
    #[inline(never)]
    pub fn begin(&mut self, name: &str) {
        self.word(BEGIN_NODE);
        self.bytes(name.as_bytes());
        self.bytes(&[0]);
        self.pad();
    }

    /// Ends the node begun last.
    #[inline(never)]
    pub fn end(&mut self) {
        self.word(END_NODE);
    }

    /// Takes a property over from the source.
    pub fn copy(&mut self, property: &Property<'_>) {
        self.raw(property.name_offset, &[property.value]);
    }

    /// Adds a property whose value is `parts` one behind the other.
    #[inline(never)]
    pub fn parts(&mut self, name: &'static str, parts: &[&[u8]]) {
        let offset = self.name_offset(name);
        self.raw(offset, parts);
    }

    /// Adds a property.
    pub fn property(&mut self, name: &'static str, value: &[u8]) {
        self.parts(name, &[value]);
    }

    /// Adds a property of one text.
    #[inline(never)]
    pub fn text(&mut self, name: &'static str, text: &str) {
        self.parts(name, &[text.as_bytes(), &[0]]);
    }

    /// Adds a property of words.
    pub fn words(&mut self, name: &'static str, words: &[u32]) {
        let offset = self.name_offset(name);
        self.head(offset, words.len().saturating_mul(4));
        words.iter().for_each(|w| self.word(*w));
    }

    /// Adds a property of addresses and sizes, each of the given number of cells (1 or 2). The
    /// caller has checked that they fit.
    pub fn reg<'r>(
        &mut self,
        name: &'static str,
        cells: (u8, u8),
        ranges: impl Iterator<Item = &'r Range> + Clone,
    ) {
        let (address, size) = cells;
        let unit = usize::from(address).saturating_add(usize::from(size)).saturating_mul(4);
        let offset = self.name_offset(name);
        self.head(offset, ranges.clone().count().saturating_mul(unit));
        for range in ranges {
            self.number(range.start(), address);
            self.number(range.size(), size);
        }
    }

    /// The finished blob.
    pub fn finish(mut self) -> Result<Vec<u8>, Problem> {
        self.word(END);
        let strings_offset = self.out.len();
        self.bytes(self.strings);
        let added = core::mem::take(&mut self.added);
        for (name, _) in &added {
            self.bytes(name.as_bytes());
            self.bytes(&[0]);
        }
        let total = self.out.len();
        if let Some(problem) = self.failed {
            return Err(problem);
        }
        if total > MAX_SIZE {
            return Err(TOO_LARGE);
        }
        let header = [
            MAGIC as usize,
            total,
            STRUCTURE_OFFSET,
            strings_offset,
            HEADER_SIZE,
            VERSION as usize,
            16,
            0,
            total.saturating_sub(strings_offset),
            strings_offset.saturating_sub(STRUCTURE_OFFSET),
        ];
        let (slots, _) = self.out.as_chunks_mut::<4>();
        for (slot, word) in slots.iter_mut().zip(header) {
            *slot = (word as u32).to_be_bytes();
        }
        Ok(self.out)
    }

    /// Where `name` is, or will be, in the strings block.
    fn name_offset(&mut self, name: &'static str) -> u32 {
        if let Some((_, offset)) = self.added.iter().find(|(n, _)| *n == name) {
            return *offset;
        }
        // Both lengths are bounded by MAX_SIZE.
        let offset = (self.strings.len() as u32).saturating_add(self.added_len);
        if self.added.try_reserve(1).is_err() {
            self.failed = Some(Problem::OutOfMemory);
            return offset;
        }
        self.added.push((name, offset));
        self.added_len = self.added_len.saturating_add(name.len() as u32).saturating_add(1);
        offset
    }

    #[inline(never)]
    fn raw(&mut self, name_offset: u32, parts: &[&[u8]]) {
        let len = parts.iter().fold(0usize, |n, p| n.saturating_add(p.len()));
        self.head(name_offset, len);
        parts.iter().for_each(|p| self.bytes(p));
        self.pad();
    }

    #[inline(never)]
    fn head(&mut self, name_offset: u32, len: usize) {
        self.word(PROP);
        // A longer value fails for its size.
        self.word(len as u32);
        self.word(name_offset);
    }

    fn number(&mut self, number: u64, cells: u8) {
        if cells > 1 {
            self.word((number >> 32) as u32);
        }
        self.word(number as u32);
    }

    #[inline(never)]
    fn word(&mut self, word: u32) {
        self.bytes(&word.to_be_bytes());
    }

    fn pad(&mut self) {
        let len = self.out.len();
        let padding = len.next_multiple_of(4).saturating_sub(len);
        self.bytes([0; 4].get(..padding).unwrap_or_default());
    }

    #[inline(never)]
    fn bytes(&mut self, bytes: &[u8]) {
        if self.reserve(bytes.len()) {
            self.out.extend_from_slice(bytes);
        }
    }

    /// Makes room for `more` bytes; false when the tree has failed already or there is none.
    fn reserve(&mut self, more: usize) -> bool {
        if self.failed.is_none() {
            if self.out.len().saturating_add(more) > MAX_SIZE.saturating_mul(2) {
                self.failed = Some(TOO_LARGE);
            } else if self.out.try_reserve(more).is_err() {
                self.failed = Some(Problem::OutOfMemory);
            }
        }
        self.failed.is_none()
    }
}
