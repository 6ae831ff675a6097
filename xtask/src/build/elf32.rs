//! Puts the amd64 hypervisor into an ELF32 container, since QEMU's multiboot loader refuses ELF64
//! (System V ABI, chapter 4; Multiboot Specification 0.6.96, section 3.1).
//!
//! Only headers change: every segment is loaded at its physical address, below 4 GiB, and is entered there in
//! 32-bit mode. Notes are kept, for loaders that look for a PVH entry.

use anyhow::{Context, Result, bail, ensure};
use elf::ElfBytes;
use elf::abi::{EM_X86_64, PT_LOAD, PT_NOTE};
use elf::endian::LittleEndian;
use elf::segment::ProgramHeader;

/// The multiboot header lies in so many bytes from the start, 4-byte aligned, and begins with this number.
const HEADER_WITHIN: usize = 8192;
const MULTIBOOT_MAGIC: u32 = 0x1bad_b002;

const FILE_HEADER_SIZE: u32 = 52;
const PROGRAM_HEADER_SIZE: u32 = 32;
const PAGE: u32 = 0x1000;
const EM_386: u16 = 3;

/// The ELF32 file for an x86_64 ELF64 file.
///
/// # Errors
/// When `file` is not such a file, a segment lies above 4 GiB, the entry is in no segment, or the multiboot header
/// would not be where loaders look for it.
pub fn from_elf64(file: &[u8]) -> Result<Vec<u8>> {
    let elf = ElfBytes::<LittleEndian>::minimal_parse(file).context("not a little-endian ELF file")?;
    ensure!(elf.ehdr.e_machine == EM_X86_64, "not an x86_64 ELF file");
    let segments: Vec<_> = elf
        .segments()
        .context("no program headers")?
        .iter()
        .filter(|segment| (segment.p_type == PT_LOAD && segment.p_memsz > 0) || segment.p_type == PT_NOTE)
        .collect();
    let entry = physical_entry(&segments, elf.ehdr.e_entry)?;

    let count = u16::try_from(segments.len())?;
    let mut out = file_header(entry, count);
    let mut body = Vec::new();
    let body_start = (FILE_HEADER_SIZE + u32::from(count) * PROGRAM_HEADER_SIZE).next_multiple_of(PAGE);
    for segment in &segments {
        let data = elf.segment_data(segment).context("a segment lies outside the file")?;
        let address = u32::try_from(segment.p_paddr).context("a segment lies above 4 GiB")?;
        // File offset and address agree modulo the page size, as ELF asks of what is loaded.
        let at = body_start + u32::try_from(body.len())?;
        let offset = at + (address % PAGE + PAGE - at % PAGE) % PAGE;
        body.resize((offset - body_start) as usize, 0);
        body.extend_from_slice(data);
        for field in [
            segment.p_type,
            offset,
            address,
            address,
            u32::try_from(segment.p_filesz)?,
            u32::try_from(segment.p_memsz)?,
            segment.p_flags,
            if segment.p_type == PT_LOAD { PAGE } else { 4 },
        ] {
            out.extend(field.to_le_bytes());
        }
    }
    out.resize(body_start as usize, 0);
    out.extend(body);
    ensure!(has_multiboot_header(&out), "no multiboot header in the first {HEADER_WITHIN} bytes");
    Ok(out)
}

fn physical_entry(segments: &[ProgramHeader], entry: u64) -> Result<u32> {
    for segment in segments.iter().filter(|segment| segment.p_type == PT_LOAD) {
        // The entry may be given as the virtual or, by hand, as the physical address.
        for start in [segment.p_vaddr, segment.p_paddr] {
            if (start..start + segment.p_memsz).contains(&entry) {
                return u32::try_from(segment.p_paddr + (entry - start))
                    .context("the entry lies above 4 GiB");
            }
        }
    }
    bail!("the entry {entry:#x} is in no segment")
}

fn file_header(entry: u32, segments: u16) -> Vec<u8> {
    let mut header = b"\x7fELF\x01\x01\x01".to_vec();
    header.resize(16, 0);
    // Executable file; version 1.
    header.extend(2u16.to_le_bytes());
    header.extend(EM_386.to_le_bytes());
    for field in [1, entry, FILE_HEADER_SIZE, 0, 0] {
        header.extend(u32::to_le_bytes(field));
    }
    for field in [FILE_HEADER_SIZE as u16, PROGRAM_HEADER_SIZE as u16, segments, 0, 0, 0] {
        header.extend(field.to_le_bytes());
    }
    header
}

fn has_multiboot_header(file: &[u8]) -> bool {
    file.chunks_exact(4).take(HEADER_WITHIN / 4).any(|word| word == MULTIBOOT_MAGIC.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::{MULTIBOOT_MAGIC, from_elf64};
    use elf::ElfBytes;
    use elf::abi::EM_X86_64;
    use elf::endian::LittleEndian;

    const BASE: u64 = 0x20_0000;
    const VIRTUAL: u64 = 0xffff_8000_0020_0000;

    /// One loaded segment at `physical`, with a multiboot header as its first word when `magic` says so.
    fn elf64(entry: u64, physical: u64, magic: u32) -> Vec<u8> {
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(16, 0);
        file.extend(2u16.to_le_bytes());
        file.extend(EM_X86_64.to_le_bytes());
        file.extend(1u32.to_le_bytes());
        for field in [entry, 64, 0] {
            file.extend(u64::to_le_bytes(field));
        }
        file.extend(0u32.to_le_bytes());
        for field in [64u16, 56, 1, 64, 0, 0] {
            file.extend(field.to_le_bytes());
        }
        file.extend(1u32.to_le_bytes());
        file.extend(5u32.to_le_bytes());
        for field in [0x1000, VIRTUAL, physical, 8, 0x20, 0x1000] {
            file.extend(u64::to_le_bytes(field));
        }
        file.resize(0x1000, 0);
        file.extend(magic.to_le_bytes());
        file.extend(b"text");
        file
    }

    #[test]
    fn segment_and_entry_become_physical() {
        let file = from_elf64(&elf64(VIRTUAL + 4, BASE, MULTIBOOT_MAGIC)).expect("valid file");
        let elf = ElfBytes::<LittleEndian>::minimal_parse(&file).expect("ELF32 file");
        assert_eq!(elf.ehdr.e_entry, BASE + 4);
        let segment = elf.segments().expect("program headers").get(0).expect("one segment");
        assert_eq!((segment.p_paddr, segment.p_vaddr, segment.p_memsz), (BASE, BASE, 0x20));
        assert_eq!(&elf.segment_data(&segment).expect("data")[4..], b"text");
    }

    #[test]
    fn entry_outside_all_segments_is_refused() {
        assert!(from_elf64(&elf64(0x10, BASE, MULTIBOOT_MAGIC)).is_err());
    }

    #[test]
    fn segment_above_4_gib_is_refused() {
        assert!(from_elf64(&elf64(VIRTUAL, 1 << 33, MULTIBOOT_MAGIC)).is_err());
    }

    #[test]
    fn missing_multiboot_header_is_refused() {
        let error = from_elf64(&elf64(VIRTUAL, BASE, 0)).expect_err("no header");
        assert!(error.to_string().contains("multiboot"), "{error}");
    }
}
