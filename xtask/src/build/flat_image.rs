//! Turns the linker's ELF file into a flat arm64 `Image`
//! (Linux's Documentation/arm64/booting.rst, section 4).

use anyhow::{Context, Result, bail, ensure};
use elf::ElfBytes;
use elf::abi::{EM_AARCH64, PT_LOAD};
use elf::endian::LittleEndian;

/// "ARM\x64" at byte 56 of the image.
const MAGIC: [u8; 4] = *b"ARM\x64";
const MAGIC_OFFSET: usize = 56;
const IMAGE_SIZE_OFFSET: usize = 16;
/// A flat file larger than this means that a segment lies far away from the others.
const LARGEST: u64 = 64 << 20;

/// The bytes of all loadable segments at their distances from the lowest physical address.
///
/// # Errors
/// When `file` is not an arm64 ELF file, its segments lie far apart, or the header of the boot protocol is not
/// at its start or gives a size below what has to be loaded.
pub fn from_elf(file: &[u8]) -> Result<Vec<u8>> {
    let elf = ElfBytes::<LittleEndian>::minimal_parse(file).context("not a little-endian ELF file")?;
    ensure!(elf.ehdr.e_machine == EM_AARCH64, "not an arm64 ELF file");
    let segments = elf.segments().context("no program headers")?;
    let loaded: Vec<_> =
        segments.iter().filter(|segment| segment.p_type == PT_LOAD && segment.p_memsz > 0).collect();
    let base = loaded.iter().map(|segment| segment.p_paddr).min().context("nothing to load")?;

    let mut image = Vec::new();
    let mut memory_size = 0;
    for segment in &loaded {
        let start = segment.p_paddr - base;
        memory_size = memory_size.max(start + segment.p_memsz);
        if segment.p_filesz == 0 {
            continue;
        }
        let data = elf.segment_data(segment).context("a segment lies outside the file")?;
        ensure!(start + segment.p_filesz <= LARGEST, "segments lie more than {LARGEST} bytes apart");
        let start = usize::try_from(start)?;
        if image.len() < start + data.len() {
            image.resize(start + data.len(), 0);
        }
        image[start..start + data.len()].copy_from_slice(data);
    }
    check_header(&image, memory_size)?;
    Ok(image)
}

fn check_header(image: &[u8], memory_size: u64) -> Result<()> {
    if image.get(MAGIC_OFFSET..MAGIC_OFFSET + MAGIC.len()) != Some(&MAGIC) {
        bail!("the header of the arm64 boot protocol is not at the lowest loaded address");
    }
    let size = image.get(IMAGE_SIZE_OFFSET..IMAGE_SIZE_OFFSET + 8).context("image too short")?;
    let size = u64::from_le_bytes(size.try_into()?);
    ensure!(size >= memory_size, "the header says {size} bytes, but {memory_size} are used");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{MAGIC, MAGIC_OFFSET, from_elf};

    const PAGE: usize = 0x1000;

    /// An ELF file with two segments: a header page, then `gap` bytes later four bytes and their zeroed end.
    fn elf_file(machine: u16, magic: [u8; 4], image_size: u64, gap: u64) -> Vec<u8> {
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(16, 0);
        file.extend(2u16.to_le_bytes());
        file.extend(machine.to_le_bytes());
        file.extend(1u32.to_le_bytes());
        file.extend(0u64.to_le_bytes());
        file.extend(64u64.to_le_bytes());
        file.extend(0u64.to_le_bytes());
        file.extend(0u32.to_le_bytes());
        for field in [64u16, 56, 2, 64, 0, 0] {
            file.extend(field.to_le_bytes());
        }
        let base = 0x20_0000u64;
        for (offset, address, in_file, in_memory) in
            [(PAGE as u64, base, 64u64, 64u64), (PAGE as u64 + 64, base + gap, 4, 16)]
        {
            file.extend(1u32.to_le_bytes());
            file.extend(5u32.to_le_bytes());
            for field in [offset, address + 0xa000_0000, address, in_file, in_memory, 0x1000] {
                file.extend(field.to_le_bytes());
            }
        }
        file.resize(PAGE, 0);
        let mut header = vec![0u8; 64];
        header[16..24].copy_from_slice(&image_size.to_le_bytes());
        header[MAGIC_OFFSET..MAGIC_OFFSET + 4].copy_from_slice(&magic);
        file.extend(header);
        file.extend(b"data");
        file
    }

    #[test]
    fn segments_land_at_their_physical_distance() {
        let image = from_elf(&elf_file(183, MAGIC, 0x1010, 0x1000)).expect("valid file");
        assert_eq!(image.len(), 0x1004);
        assert_eq!(&image[MAGIC_OFFSET..MAGIC_OFFSET + 4], &MAGIC);
        assert_eq!(&image[0x1000..], b"data");
    }

    #[test]
    fn size_in_the_header_must_cover_zeroed_memory() {
        let error = from_elf(&elf_file(183, MAGIC, 0x1004, 0x1000)).expect_err("header too small");
        assert!(error.to_string().contains("4112 are used"), "{error}");
    }

    #[test]
    fn other_cpu_is_refused() {
        assert!(from_elf(&elf_file(62, MAGIC, 0x2000, 0x1000)).is_err());
    }

    #[test]
    fn missing_magic_is_refused() {
        assert!(from_elf(&elf_file(183, *b"none", 0x2000, 0x1000)).is_err());
    }

    #[test]
    fn far_segment_is_refused() {
        assert!(from_elf(&elf_file(183, MAGIC, u64::MAX, 1 << 40)).is_err());
    }
}
