//! What tests do to RAM past all rules, and dumps of it.

use crate::machine::Machine;
use crate::stage2::{FakeStage2, is_malformed};
use core::fmt::Write as _;
use hal::{FrameMem, Maddr, Mfn, PAGE_SIZE, PteView, Stage2Format, Stage2Root};

/// Bytes of a line of a dump.
const LINE: usize = 16;

impl Machine {
    /// Reads RAM, private frames too; no watch sees it. Panics where there is no RAM.
    pub fn peek(&self, maddr: Maddr, buf: &mut [u8]) {
        let mut done = 0;
        while done < buf.len() {
            let at = maddr.plus(done as u64);
            let n = (buf.len() - done).min(PAGE_SIZE - at.page_offset());
            let frame = self.frame_any(at.frame()).expect("there is RAM");
            frame.page.read(at.page_offset(), &mut buf[done..done + n]);
            done += n;
        }
    }

    /// Reads a 64-bit word of RAM as [`Machine::peek`] does.
    pub fn peek64(&self, maddr: Maddr) -> u64 {
        let mut buf = [0; 8];
        self.peek(maddr, &mut buf);
        u64::from_le_bytes(buf)
    }

    /// Writes RAM, private frames too, with the checks of a write of the hypervisor. Panics where
    /// there is no RAM.
    pub fn put(&self, maddr: Maddr, bytes: &[u8]) {
        let mut done = 0;
        while done < bytes.len() {
            let at = maddr.plus(done as u64);
            let frame = self.frame_any(at.frame()).expect("there is RAM");
            done += frame.write(at.page_offset(), &bytes[done..]);
        }
    }

    /// `len` bytes of RAM from `maddr` in hexadecimal. Panics where there is no RAM.
    pub fn dump(&self, maddr: Maddr, len: usize) -> String {
        let mut bytes = vec![0; len];
        self.peek(maddr, &mut bytes);
        let mut text = String::new();
        for (n, line) in bytes.chunks(LINE).enumerate() {
            let _ = write!(text, "{:010x}:", maddr.0 + (n * LINE) as u64);
            for byte in line {
                let _ = write!(text, " {byte:02x}");
            }
            text.push('\n');
        }
        text
    }

    /// The entries of a domain's stage-2 tables as memory has them, a line each, indented by level.
    pub fn dump_tables(&self, root: Stage2Root) -> String {
        let mut text = String::new();
        for n in 0..1 << FakeStage2::ROOT_ORDER {
            let first = n << (9 * (FakeStage2::ROOT_LEVEL + 1));
            self.dump_table(root.table.plus(n), FakeStage2::ROOT_LEVEL, first, &mut text);
        }
        text
    }

    fn dump_table(&self, table: Mfn, level: u32, first: u64, text: &mut String) {
        let indent = 2 * (FakeStage2::ROOT_LEVEL - level) as usize;
        for n in 0..PAGE_SIZE as u64 / 8 {
            let gfn = first + (n << (9 * level));
            let Some(pte) = self.ram.word(table.addr().plus(n * 8)) else {
                let _ = writeln!(text, "{:indent$}no RAM at {table:#x}", "");
                return;
            };
            match FakeStage2::view(pte, level) {
                PteView::Empty if is_malformed(pte, level) => {
                    let _ = writeln!(text, "{:indent$}{gfn:#x}: malformed {pte:#x}", "");
                }
                PteView::Empty => {}
                PteView::Table(next) => {
                    let _ = writeln!(text, "{:indent$}{gfn:#x}: table {next:#x}", "");
                    if level > 0 {
                        self.dump_table(next, level - 1, gfn, text);
                    }
                }
                PteView::Leaf { mfn, attr, soft } => {
                    let flag = |on, c| if on { c } else { '-' };
                    let (w, x, d) = (flag(attr.write, 'w'), flag(attr.exec, 'x'), flag(attr.device, 'd'));
                    let _ = writeln!(text, "{:indent$}{gfn:#x}: {mfn:#x} r{w}{x}{d} soft {soft:#x}", "");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use hal::{MachineOps, MapAttr};

    #[test]
    fn dump_shows_bytes_across_frames() {
        let m = Machine::new(Config { fill: 0, ..Config::default() });
        m.put(Maddr(0x4000_0ffe), &[1, 2, 3]);
        assert_eq!(m.dump(Maddr(0x4000_0ffe), 4), "0040000ffe: 01 02 03 00\n");
        assert_eq!(m.peek64(Maddr(0x4000_0ff8)), 0x0201_0000_0000_0000);
    }

    #[test]
    fn dump_of_tables_shows_leaves_tables_and_junk() {
        let m = Machine::new(Config { fill: 0, ..Config::default() });
        let root = Stage2Root { table: Mfn(0x40000), tag: 1 };
        let store = |mfn: u64, index: usize, pte| m.frame(Mfn(mfn)).unwrap().store64(index * 8, pte);
        store(0x40002, 5, FakeStage2::leaf(Mfn(0x40200), 1, MapAttr::RAM_RO, 3));
        store(0x40002, 6, 3 << 62);
        store(0x40001, 1, FakeStage2::table(Mfn(0x40002)));
        assert_eq!(
            m.dump_tables(root),
            "0x8040000: table 0x40002\n  0x8040a00: 0x40200 r--- soft 0x3\n  \
             0x8040c00: malformed 0xc000000000000000\n"
        );
    }
}
