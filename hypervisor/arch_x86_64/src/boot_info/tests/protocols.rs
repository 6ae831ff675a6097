//! Each protocol's data, and single things that are wrong with it.

use super::super::*;
use super::{AT, Data, MAGICS, Memory};

fn read(magic: u32, bytes: Vec<u8>) -> Result<BootInfo, BootError> {
    BootInfo::read(magic, AT, &Memory::new(bytes))
}

fn patched(magic: u32, at: usize, value: u32) -> Result<BootInfo, BootError> {
    let mut bytes = Data::example().bytes(magic);
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    read(magic, bytes)
}

#[test]
fn each_protocol_yields_what_the_loader_passed() {
    for magic in MAGICS {
        let data = Data::example();
        let info = read(magic, data.bytes(magic)).unwrap();
        assert_eq!(Some(info.protocol), Protocol::from_magic(magic));
        assert_eq!(info.command_line.to_string(), data.command_line);
        let loader = if info.protocol == Protocol::Pvh { "" } else { "a loader" };
        assert_eq!(info.loader.to_string(), loader);
        let map: Vec<_> = info.memory.regions().iter().map(|r| (r.span.start, r.span.end, r.kind)).collect();
        let expected: Vec<_> =
            data.map.iter().map(|&(start, end, kind)| (start, end, RegionKind::from_number(kind))).collect();
        assert_eq!(map, expected);
        let modules: Vec<_> =
            info.modules().iter().map(|m| (m.span.start, m.span.end, m.text.to_string())).collect();
        let expected: Vec<_> =
            data.modules.iter().map(|(s, e, text)| ((*s).into(), (*e).into(), text.clone())).collect();
        assert_eq!(modules, expected);
    }
}

#[test]
fn unknown_number_is_refused() {
    let error = read(0x1234, Vec::new()).unwrap_err();
    assert_eq!(error, BootError::UnknownProtocol { magic: 0x1234 });
    assert!(error.to_string().contains("0x1234"), "{error}");
}

#[test]
fn information_outside_memory_is_unreadable() {
    for magic in MAGICS {
        let error = BootInfo::read(magic, 0x10, &Memory::new(Vec::new())).unwrap_err();
        assert_eq!(error, BootError::Unreadable { part: Part::Information, at: 0x10 });
    }
}

#[test]
fn no_memory_map_is_missing() {
    for magic in MAGICS {
        let data = Data { map: Vec::new(), ..Data::example() };
        let error = read(magic, data.bytes(magic)).unwrap_err();
        assert_eq!(error, BootError::Missing(Part::MemoryMap));
    }
    // Multiboot 1 without the flag, PVH of version 0.
    assert_eq!(patched(MAGICS[0], 0, 1 << 2).unwrap_err(), BootError::Missing(Part::MemoryMap));
    assert_eq!(patched(MAGICS[2], 4, 0).unwrap_err(), BootError::Missing(Part::MemoryMap));
}

#[test]
fn multiboot1_fields_without_their_flag_are_not_read() {
    let info = patched(MAGICS[0], 0, 1 << 6).unwrap();
    assert!(info.command_line.is_empty() && info.loader.is_empty() && info.modules().is_empty());
}

#[test]
fn multiboot1_map_that_ends_inside_an_entry_is_truncated() {
    let entries = Data::example().map.len() as u32;
    let error = patched(MAGICS[0], 44, entries * 24 - 1).unwrap_err();
    assert_eq!(error, BootError::Truncated(Part::MemoryMap));
}

#[test]
fn multiboot1_map_entry_of_size_zero_is_truncated() {
    let mut data = Data::example().bytes(MAGICS[0]);
    let map = u32::from_le_bytes(data[48..52].try_into().unwrap()) - AT;
    data[map as usize..map as usize + 4].fill(0);
    assert_eq!(read(MAGICS[0], data).unwrap_err(), BootError::Truncated(Part::MemoryMap));
}

#[test]
fn multiboot2_total_size_is_bounded() {
    for size in [0, 15, (1 << 20) + 1, u32::MAX] {
        let error = patched(MAGICS[1], 0, size).unwrap_err();
        assert_eq!(error, BootError::BadSize { part: Part::Information, size });
    }
}

#[test]
fn multiboot2_without_its_last_tag_is_truncated() {
    let len = Data::example().bytes(MAGICS[1]).len() as u32;
    assert_eq!(patched(MAGICS[1], 0, len - 8).unwrap_err(), BootError::Truncated(Part::Information));
}

#[test]
fn multiboot2_tag_smaller_than_its_header_is_refused() {
    for size in [0, 7] {
        let error = patched(MAGICS[1], 12, size).unwrap_err();
        assert_eq!(error, BootError::BadSize { part: Part::Information, size });
    }
}

#[test]
fn multiboot2_tag_that_leaves_the_structure_is_truncated() {
    for size in [1 << 20, u32::MAX] {
        assert_eq!(patched(MAGICS[1], 12, size).unwrap_err(), BootError::Truncated(Part::Information));
    }
}

#[test]
fn multiboot2_text_without_an_end_is_truncated() {
    // The loader's name, shortened so that its zero byte is not in the tag.
    let error = patched(MAGICS[1], 12, 8 + "a loader".len() as u32).unwrap_err();
    assert_eq!(error, BootError::Truncated(Part::LoaderName));
}

#[test]
fn multiboot2_small_map_entries_are_refused() {
    let mut bytes = Data { modules: Vec::new(), ..Data::example() }.bytes(MAGICS[1]);
    let tag = (8..bytes.len()).step_by(8).find(|at| bytes[*at..at + 4] == [6, 0, 0, 0]).unwrap();
    for size in [0u32, 23] {
        bytes[tag + 8..tag + 12].copy_from_slice(&size.to_le_bytes());
        let error = read(MAGICS[1], bytes.clone()).unwrap_err();
        assert_eq!(error, BootError::BadSize { part: Part::MemoryMap, size });
    }
}

#[test]
fn pvh_without_its_number_is_refused() {
    assert_eq!(patched(MAGICS[2], 0, 7).unwrap_err(), BootError::WrongMagic { found: 7 });
}

#[test]
fn pvh_map_at_the_end_of_the_address_space_is_unreadable() {
    let mut bytes = Data::example().bytes(MAGICS[2]);
    bytes[40..48].fill(0xff);
    let error = read(MAGICS[2], bytes).unwrap_err();
    assert_eq!(error, BootError::Unreadable { part: Part::MemoryMap, at: u64::MAX });
}

#[test]
fn long_command_line_is_cut_and_says_so() {
    for magic in MAGICS {
        let data = Data { command_line: "x".repeat(5000), ..Data::example() };
        let info = read(magic, data.bytes(magic)).unwrap();
        assert!(info.command_line.is_cut());
        assert_eq!(info.command_line.as_bytes(), "x".repeat(1024).as_bytes());
    }
}

#[test]
fn command_line_of_the_kept_length_is_whole() {
    for magic in MAGICS {
        let data = Data { command_line: "x".repeat(1024), ..Data::example() };
        assert!(!read(magic, data.bytes(magic)).unwrap().command_line.is_cut());
    }
}

#[test]
fn more_modules_than_fit_are_refused() {
    for magic in MAGICS {
        let mut data = Data::example();
        data.modules = vec![(0x40_0000, 0x40_1000, "m".into()); MAX_MODULES];
        assert_eq!(read(magic, data.bytes(magic)).unwrap().modules().len(), MAX_MODULES);
        data.modules.push((0x40_0000, 0x40_1000, "m".into()));
        let error = read(magic, data.bytes(magic)).unwrap_err();
        assert_eq!(error, BootError::TooMany { part: Part::Modules, most: MAX_MODULES });
    }
}

#[test]
fn module_without_content_is_refused() {
    for magic in MAGICS {
        let mut data = Data::example();
        data.modules[1].1 = data.modules[1].0;
        assert_eq!(read(magic, data.bytes(magic)).unwrap_err(), BootError::EmptyModule { index: 1 });
    }
}

#[test]
fn module_that_ends_before_it_starts_is_refused() {
    for magic in &MAGICS[..2] {
        let mut bytes = Data::example().bytes(*magic);
        let start = bytes.windows(4).position(|word| word == 0x40_2000u32.to_le_bytes()).unwrap();
        bytes[start + 4..start + 8].fill(0);
        assert_eq!(read(*magic, bytes).unwrap_err(), BootError::EmptyModule { index: 1 });
    }
}

#[test]
fn modules_in_ram_and_apart_pass() {
    let info = read(MAGICS[0], Data::example().bytes(MAGICS[0])).unwrap();
    assert_eq!(info.check_modules(Span { start: 0x20_0000, end: 0x40_0000 }), Ok(()));
}

#[test]
fn module_over_the_image_is_found() {
    let info = read(MAGICS[0], Data::example().bytes(MAGICS[0])).unwrap();
    let error = info.check_modules(Span { start: 0x20_0000, end: 0x40_0001 });
    assert_eq!(
        error,
        Err(BootError::ModuleInImage { index: 0, span: Span { start: 0x40_0000, end: 0x40_1001 } })
    );
}

#[test]
fn module_outside_ram_is_found() {
    let mut data = Data::example();
    data.modules[1] = (0x1ffd_f000, 0x1ffe_0001, "too long".into());
    let info = read(MAGICS[2], data.bytes(MAGICS[2])).unwrap();
    let error = info.check_modules(Span::default()).unwrap_err();
    assert!(matches!(error, BootError::ModuleNotInRam { index: 1, .. }), "{error}");
}

#[test]
fn modules_over_each_other_are_found() {
    let mut data = Data::example();
    data.modules[1].0 = 0x40_1000;
    let info = read(MAGICS[1], data.bytes(MAGICS[1])).unwrap();
    let error = info.check_modules(Span::default()).unwrap_err();
    assert_eq!(error, BootError::ModulesOverlap { first: 0, second: 1 });
    assert_eq!(error.to_string(), "boot modules 0 and 1 lie over each other (use another boot loader)");
}
