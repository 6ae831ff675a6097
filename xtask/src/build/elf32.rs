//! Puts the amd64 hypervisor into the ELF32 container that multiboot loaders ask for: QEMU's refuses ELF64.
//!
//! The linker's ELF64 file has its entry code at physical addresses and all else at virtual ones; loaders only look
//! at the physical ones, which become both addresses of the new file. Sections, symbols and debug data are left out.

use anyhow::{Context, Result, ensure};
use elf::ElfBytes;
use elf::abi::{EM_386, EM_X86_64, ET_EXEC, EV_CURRENT, PT_LOAD, PT_NOTE};
use elf::endian::LittleEndian;
use elf::segment::ProgramHeader;

const HEADER: u16 = 52;
const SEGMENT_HEADER: u16 = 32;
/// Where a segment's bytes lie in a page is the same in the file and in memory.
const PAGE: usize = 4096;
/// ELFCLASS32, little-endian, version 1; the rest of the identification is zero.
const IDENTIFICATION: [u8; 7] = *b"\x7fELF\x01\x01\x01";

/// Multiboot 0.6.96, 3.1: the first word, and where its header must be.
const MULTIBOOT1: (u32, usize, usize) = (0x1bad_b002, 8192, 4);
/// Multiboot 2.0, 3.1.1: the same.
const MULTIBOOT2: (u32, usize, usize) = (0xe852_50d6, 32768, 8);
/// The beginning of Xen's note with the PVH entry: lengths of name and content, type, name (public/elfnote.h).
const PVH_NOTE: [u8; 16] = *b"\x04\0\0\0\x04\0\0\0\x12\0\0\0Xen\0";

/// The ELF32 file with the loadable segments and notes of an ELF64 file for amd64.
///
/// # Errors
/// When `file` is not such a file, does not fit below 4 GiB, or lacks one of what its boot protocols look for: the two
/// multiboot headers near its start and the note with the PVH entry.
pub fn from_elf64(file: &[u8]) -> Result<Vec<u8>> {
    let elf = ElfBytes::<LittleEndian>::minimal_parse(file).context("not a little-endian ELF file")?;
    ensure!(elf.ehdr.e_machine == EM_X86_64, "not an amd64 ELF file");
    let segments = elf.segments().context("no program headers")?;
    let loaded: Vec<_> = segments.iter().filter(|s| s.p_type == PT_LOAD && s.p_memsz > 0).collect();
    let notes: Vec<_> = segments.iter().filter(|s| s.p_type == PT_NOTE).collect();
    ensure!(
        loaded.iter().any(|s| s.p_flags & 1 != 0 && contains(s.p_paddr, s.p_filesz, elf.ehdr.e_entry)),
        "the entry, {:#x}, is not a physical address in a segment with code",
        elf.ehdr.e_entry
    );

    let count = u16::try_from(loaded.len() + notes.len())?;
    let headers = usize::from(HEADER) + usize::from(SEGMENT_HEADER) * usize::from(count);
    let mut out = file_header(u32::try_from(elf.ehdr.e_entry)?, count);
    let mut content = vec![0; headers];
    let mut offsets = Vec::new();
    for segment in &loaded {
        let data = elf.segment_data(segment).context("a segment lies outside the file")?;
        let page = content.len().next_multiple_of(PAGE);
        let offset = if data.is_empty() { 0 } else { page + usize::try_from(segment.p_paddr)? % PAGE };
        if !data.is_empty() {
            content.resize(offset, 0);
            content.extend(data);
        }
        offsets.push(offset as u64);
        segment_header(&mut out, segment, offset as u64)?;
    }
    let mut has_pvh_entry = false;
    for note in &notes {
        let data = elf.segment_data(note).context("a note lies outside the file")?;
        has_pvh_entry |= data.starts_with(&PVH_NOTE);
        let (home, offset) = loaded
            .iter()
            .zip(&offsets)
            .find(|(s, _)| contains(s.p_offset, s.p_filesz, note.p_offset))
            .context("a note is not in a loaded segment")?;
        segment_header(&mut out, note, offset + (note.p_offset - home.p_offset))?;
    }
    out.extend(&content[headers..]);

    ensure!(has_header(&out, MULTIBOOT1), "no valid multiboot 1 header in the first 8192 bytes");
    ensure!(has_header(&out, MULTIBOOT2), "no valid multiboot 2 header in the first 32768 bytes");
    ensure!(has_pvh_entry, "no note with the PVH entry");
    Ok(out)
}

fn contains(start: u64, len: u64, at: u64) -> bool {
    at.checked_sub(start).is_some_and(|distance| distance < len)
}

fn file_header(entry: u32, segments: u16) -> Vec<u8> {
    let mut out = IDENTIFICATION.to_vec();
    out.resize(16, 0);
    for half in [ET_EXEC, EM_386] {
        out.extend(half.to_le_bytes());
    }
    // Version, entry, program headers, no section headers, no flags.
    for word in [u32::from(EV_CURRENT), entry, u32::from(HEADER), 0, 0] {
        out.extend(word.to_le_bytes());
    }
    for half in [HEADER, SEGMENT_HEADER, segments, 0, 0, 0] {
        out.extend(half.to_le_bytes());
    }
    out
}

fn segment_header(out: &mut Vec<u8>, segment: &ProgramHeader, offset: u64) -> Result<()> {
    let end = segment.p_paddr.checked_add(segment.p_memsz);
    ensure!(end.is_some_and(|end| end <= 1 << 32), "a segment at {:#x} is not below 4 GiB", segment.p_paddr);
    out.extend(segment.p_type.to_le_bytes());
    for field in [offset, segment.p_paddr, segment.p_paddr, segment.p_filesz, segment.p_memsz] {
        out.extend(u32::try_from(field)?.to_le_bytes());
    }
    out.extend(segment.p_flags.to_le_bytes());
    out.extend(u32::try_from(segment.p_align)?.to_le_bytes());
    Ok(())
}

/// Whether a multiboot header is where a loader looks for it, with a right checksum.
fn has_header(file: &[u8], (magic, within, align): (u32, usize, usize)) -> bool {
    let searched = &file[..file.len().min(within)];
    searched.windows(16).step_by(align).any(|header| {
        let word = |n: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| header[4 * n + byte]));
        // Version 1: magic, flags, checksum. Version 2: magic, architecture, length, checksum.
        let words = if align == 4 { 3 } else { 4 };
        word(0) == magic && (0..words).fold(0, |sum: u32, n| sum.wrapping_add(word(n))) == 0
    })
}

#[cfg(test)]
mod tests {
    use super::{PVH_NOTE, from_elf64};
    use elf::ElfBytes;
    use elf::abi::{EM_386, PT_LOAD, PT_NOTE};
    use elf::endian::LittleEndian;
    use elf::file::Class;

    const BASE: u64 = 0x20_0000;
    const VIRTUAL: u64 = 0xffff_8200_0000_0000;

    /// What can be wrong with a file.
    #[derive(Clone)]
    struct Parts {
        machine: u16,
        entry: u64,
        data_at: u64,
        multiboot1: [u32; 3],
        multiboot2: [u32; 4],
        note: Vec<u8>,
    }

    impl Default for Parts {
        fn default() -> Self {
            let length = 16u32;
            Self {
                machine: 62,
                entry: BASE + 0x40,
                data_at: BASE + 0x1000,
                multiboot1: [0x1bad_b002, 3, 0u32.wrapping_sub(0x1bad_b002 + 3)],
                multiboot2: [0xe852_50d6, 0, length, 0u32.wrapping_sub(0xe852_50d6 + length)],
                note: PVH_NOTE.into_iter().chain(0x20_0040u32.to_le_bytes()).collect(),
            }
        }
    }

    impl Parts {
        /// An ELF64 file: a segment with the headers, some code and the note, and one with data and zeroed memory.
        fn file(&self) -> Vec<u8> {
            let mut boot = Vec::new();
            for word in self.multiboot2.iter().chain(&self.multiboot1) {
                boot.extend(word.to_le_bytes());
            }
            boot.resize(0x40, 0);
            boot.extend(b"code");
            let note_at = boot.len() as u64;
            boot.extend(&self.note);

            let mut file = b"\x7fELF\x02\x01\x01".to_vec();
            file.resize(16, 0);
            file.extend(2u16.to_le_bytes());
            file.extend(self.machine.to_le_bytes());
            file.extend(1u32.to_le_bytes());
            for field in [self.entry, 64, 0] {
                file.extend(field.to_le_bytes());
            }
            file.extend(0u32.to_le_bytes());
            for field in [64u16, 56, 3, 64, 0, 0] {
                file.extend(field.to_le_bytes());
            }
            let (boot_len, note_len) = (boot.len() as u64, self.note.len() as u64);
            for (kind, flags, [offset, virt, phys, in_file, in_memory, align]) in [
                (1u32, 5u32, [0x1000, BASE, BASE, boot_len, boot_len, 0x1000]),
                (4, 4, [0x1000 + note_at, BASE + note_at, BASE + note_at, note_len, note_len, 4]),
                (1, 6, [0x2010, VIRTUAL + 0x1010, self.data_at + 0x10, 4, 0x5000, 0x1000]),
            ] {
                file.extend(kind.to_le_bytes());
                file.extend(flags.to_le_bytes());
                for field in [offset, virt, phys, in_file, in_memory, align] {
                    file.extend(field.to_le_bytes());
                }
            }
            file.resize(0x1000, 0);
            file.extend(boot);
            file.resize(0x2010, 0);
            file.extend(b"data");
            file
        }

        fn error(&self) -> String {
            from_elf64(&self.file()).expect_err("accepted").to_string()
        }
    }

    #[test]
    fn segments_and_notes_keep_their_content_at_physical_addresses() {
        let out = from_elf64(&Parts::default().file()).expect("valid file");
        let elf = ElfBytes::<LittleEndian>::minimal_parse(&out).expect("an ELF file");
        assert_eq!(elf.ehdr.class, Class::ELF32);
        assert_eq!((elf.ehdr.e_machine, elf.ehdr.e_entry), (EM_386, BASE + 0x40));
        let segments: Vec<_> = elf.segments().expect("segments").iter().collect();
        let kinds: Vec<_> = segments.iter().map(|s| (s.p_type, s.p_flags)).collect();
        assert_eq!(kinds, [(PT_LOAD, 5), (PT_LOAD, 6), (PT_NOTE, 4)]);
        for segment in &segments {
            assert_eq!(segment.p_vaddr, segment.p_paddr);
            assert_eq!(segment.p_offset % segment.p_align, segment.p_paddr % segment.p_align);
        }
        assert_eq!(segments[1].p_paddr, BASE + 0x1010);
        assert_eq!(segments[1].p_memsz, 0x5000);
        assert_eq!(elf.segment_data(&segments[1]).expect("data"), b"data");
        assert_eq!(elf.segment_data(&segments[2]).expect("note"), Parts::default().note);
    }

    #[test]
    fn other_cpu_is_refused() {
        assert!(Parts { machine: 183, ..Parts::default() }.error().contains("not an amd64"));
    }

    #[test]
    fn elf32_input_is_refused() {
        let once = from_elf64(&Parts::default().file()).expect("valid file");
        assert!(from_elf64(&once).is_err());
    }

    #[test]
    fn virtual_entry_is_refused() {
        assert!(Parts { entry: VIRTUAL + 0x40, ..Parts::default() }.error().contains("the entry"));
    }

    #[test]
    fn segment_above_4_gib_is_refused() {
        for data_at in [1 << 32, (1 << 32) - 0x1000, u64::MAX - 0xfff] {
            assert!(Parts { data_at, ..Parts::default() }.error().contains("not below 4 GiB"));
        }
    }

    #[test]
    fn missing_multiboot_headers_are_named() {
        let mut parts = Parts::default();
        parts.multiboot1[2] ^= 1;
        assert!(parts.error().contains("multiboot 1"));
        let mut parts = Parts::default();
        parts.multiboot2[0] = 0;
        assert!(parts.error().contains("multiboot 2"));
    }

    #[test]
    fn missing_pvh_note_is_named() {
        let mut parts = Parts::default();
        parts.note[8] = 17;
        assert!(parts.error().contains("PVH"));
    }

    #[test]
    fn truncated_file_is_refused() {
        let file = Parts::default().file();
        for len in 0..file.len() {
            assert!(from_elf64(&file[..len]).is_err(), "{len}");
        }
    }
}
