//! Boot data, good and bad, of all protocols.

mod hostile;
mod map;
mod protocols;

use super::{BootMemory, Unreadable};
use std::cell::Cell;

/// Where the tests put the boot information.
pub const AT: u32 = 0x9000;
pub const MAGICS: [u32; 3] = [0x2bad_b002, 0x36d7_6289, 0x336e_c578];

/// Physical memory with bytes from [`AT`] on, and nothing elsewhere; counts how often it is read.
pub struct Memory {
    pub bytes: Vec<u8>,
    pub reads: Cell<usize>,
}

impl Memory {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, reads: Cell::new(0) }
    }
}

impl BootMemory for Memory {
    fn read(&self, at: u64, to: &mut [u8]) -> Result<(), Unreadable> {
        self.reads.set(self.reads.get() + 1);
        let from = at.checked_sub(AT.into()).ok_or(Unreadable)? as usize;
        let end = from.checked_add(to.len()).ok_or(Unreadable)?;
        to.copy_from_slice(self.bytes.get(from..end).ok_or(Unreadable)?);
        Ok(())
    }
}

/// A start, an end and a type.
pub type Entry = (u64, u64, u32);

/// Boot data as a loader would make it.
#[derive(Clone, Default, Debug)]
pub struct Data {
    pub command_line: String,
    pub loader: String,
    pub map: Vec<Entry>,
    pub modules: Vec<(u32, u32, String)>,
}

impl Data {
    pub fn example() -> Self {
        Self {
            command_line: "console=com1 loglvl=all".into(),
            loader: "a loader".into(),
            map: vec![
                (0, 0x9_fc00, 1),
                (0x9_fc00, 0xa_0000, 2),
                (0xf_0000, 0x10_0000, 2),
                (0x10_0000, 0x1ffe_0000, 1),
                (0x1ffe_0000, 0x2000_0000, 3),
                (0x1_0000_0000, 0x1_4000_0000, 1),
            ],
            modules: vec![
                (0x40_0000, 0x40_1001, "vmlinuz console=hvc0".into()),
                (0x40_2000, 0x50_0000, String::new()),
            ],
        }
    }

    /// As the protocol of `magic` has it.
    pub fn bytes(&self, magic: u32) -> Vec<u8> {
        match magic {
            0x2bad_b002 => self.multiboot1(),
            0x36d7_6289 => self.multiboot2(),
            _ => self.pvh(),
        }
    }

    fn multiboot1(&self) -> Vec<u8> {
        let mut out = Bytes(vec![0; 88]);
        let loader = out.string(&self.loader);
        let command_line = out.string(&self.command_line);
        let map = out.at();
        for (start, end, kind) in &self.map {
            out.u32(20);
            out.u64(*start);
            out.u64(end - start);
            out.u32(*kind);
        }
        let map_len = out.at() - map;
        let texts: Vec<u32> = self.modules.iter().map(|module| out.string(&module.2)).collect();
        let modules = out.at();
        for ((start, end, _), text) in self.modules.iter().zip(texts) {
            [*start, *end, text, 0].into_iter().for_each(|word| out.u32(word));
        }
        out.patch(0, 1 << 2 | 1 << 3 | 1 << 6 | 1 << 9);
        out.patch(16, command_line);
        out.patch(20, self.modules.len() as u32);
        out.patch(24, modules);
        out.patch(44, map_len);
        out.patch(48, map);
        out.patch(64, loader);
        out.0
    }

    fn multiboot2(&self) -> Vec<u8> {
        let mut out = Bytes(vec![0; 8]);
        out.tag(2, |tag| tag.text(&self.loader));
        // A tag that is of no interest, with a size that needs padding.
        out.tag(5, |tag| tag.0.extend([1; 13]));
        out.tag(1, |tag| tag.text(&self.command_line));
        for (start, end, text) in &self.modules {
            out.tag(3, |tag| {
                tag.u32(*start);
                tag.u32(*end);
                tag.text(text);
            });
        }
        out.tag(6, |tag| {
            tag.u32(32);
            tag.u32(0);
            for (start, end, kind) in &self.map {
                tag.u64(*start);
                tag.u64(end - start);
                tag.u32(*kind);
                tag.u32(0);
                // A later version's field.
                tag.u64(u64::MAX);
            }
        });
        out.tag(0, |_| {});
        let len = out.0.len() as u32;
        out.patch(0, len);
        out.0
    }

    fn pvh(&self) -> Vec<u8> {
        let mut out = Bytes(vec![0; 56]);
        let command_line = out.string(&self.command_line);
        let map = out.at();
        for (start, end, kind) in &self.map {
            out.u64(*start);
            out.u64(end - start);
            out.u32(*kind);
            out.u32(0);
        }
        let texts: Vec<u32> = self.modules.iter().map(|module| out.string(&module.2)).collect();
        let modules = out.at();
        for ((start, end, _), text) in self.modules.iter().zip(texts) {
            out.u64((*start).into());
            out.u64((end - start).into());
            out.u64(text.into());
            out.u64(0);
        }
        out.patch(0, 0x336e_c578);
        out.patch(4, 1);
        out.patch(12, self.modules.len() as u32);
        out.patch(16, modules);
        out.patch(24, command_line);
        out.patch(40, map);
        out.patch(48, self.map.len() as u32);
        out.0
    }
}

/// Bytes that begin at [`AT`].
struct Bytes(Vec<u8>);

impl Bytes {
    fn at(&self) -> u32 {
        AT + self.0.len() as u32
    }

    fn u32(&mut self, value: u32) {
        self.0.extend(value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.0.extend(value.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    fn string(&mut self, text: &str) -> u32 {
        let at = self.at();
        self.text(text);
        at
    }

    fn patch(&mut self, at: usize, value: u32) {
        self.0[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    fn tag(&mut self, kind: u32, content: impl FnOnce(&mut Self)) {
        let start = self.0.len();
        self.u32(kind);
        self.u32(0);
        content(self);
        let len = self.0.len() - start;
        self.patch(start + 4, len as u32);
        self.0.resize(self.0.len().next_multiple_of(8), 0);
    }
}
