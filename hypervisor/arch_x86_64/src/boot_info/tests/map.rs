//! The memory map's own rules.

use super::super::*;
use super::{AT, Data, Entry, MAGICS, Memory};
use proptest::prelude::*;

fn map(entries: &[Entry]) -> Result<MemoryMap, BootError> {
    let mut map = MemoryMap::new();
    for (start, end, kind) in entries {
        map.add(*start, end - start, RegionKind::from_number(*kind))?;
    }
    Ok(map)
}

#[test]
fn regions_are_sorted_and_empty_ones_left_out() {
    let map = map(&[(0x3000, 0x4000, 2), (0x1000, 0x2000, 1), (0x2000, 0x2000, 1)]).unwrap();
    let starts: Vec<u64> = map.regions().iter().map(|region| region.span.start).collect();
    assert_eq!(starts, [0x1000, 0x3000]);
}

#[test]
fn region_beyond_52_bits_is_refused() {
    assert!(map(&[(0, 1 << 52, 1)]).is_ok());
    for (start, len) in [(1 << 52, 1), (1, 1 << 52), (u64::MAX, 1), (u64::MAX, u64::MAX), (0, u64::MAX)] {
        let error = MemoryMap::new().add(start, len, RegionKind::Ram).unwrap_err();
        assert_eq!(error, BootError::Map(MapError::TooHigh { start, len }));
    }
}

#[test]
fn more_entries_than_fit_are_refused_even_when_empty() {
    for len in [0, 1] {
        let mut map = MemoryMap::new();
        for at in 0..MAX_REGIONS as u64 {
            map.add(at, len, RegionKind::Ram).unwrap();
        }
        let error = map.add(0x1000, len, RegionKind::Ram).unwrap_err();
        assert_eq!(error, BootError::TooMany { part: Part::MemoryMap, most: MAX_REGIONS });
    }
}

#[test]
fn full_map_of_each_protocol_is_read() {
    for magic in MAGICS {
        let mut data = Data::example();
        data.map = (0..MAX_REGIONS as u64).map(|at| (at << 20, (at + 1) << 20, 1)).collect();
        let info = BootInfo::read(magic, AT, &Memory::new(data.bytes(magic))).unwrap();
        assert_eq!(info.memory.usable(), Ok(Usable { bytes: 256 << 20, regions: MAX_REGIONS }));
        data.map.push((0, 1, 1));
        let error = BootInfo::read(magic, AT, &Memory::new(data.bytes(magic))).unwrap_err();
        assert_eq!(error, BootError::TooMany { part: Part::MemoryMap, most: MAX_REGIONS });
    }
}

#[test]
fn map_without_ram_has_nothing_usable() {
    assert_eq!(map(&[(0, 0x1000, 2)]).unwrap().usable(), Err(MapError::NoRam));
}

#[test]
fn ram_over_reserved_is_a_contradiction() {
    let map = map(&[(0, 0x10_0000, 1), (0xa_0000, 0xb_0000, 2)]).unwrap();
    let error = map.usable().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the memory map contradicts itself: 0x0000000000000-0x00000000fffff (RAM) and \
         0x00000000a0000-0x00000000affff (reserved) overlap"
    );
}

#[test]
fn reserved_over_reserved_is_no_contradiction() {
    let map = map(&[(0, 0x1000, 2), (0, 0x800, 4), (0x1000, 0x3000, 1)]).unwrap();
    assert_eq!(map.usable(), Ok(Usable { bytes: 0x2000, regions: 1 }));
}

#[test]
fn ram_in_two_regions_that_touch_is_one() {
    let map = map(&[(0x1000, 0x2000, 1), (0x2000, 0x3000, 1), (0x4000, 0x5000, 1)]).unwrap();
    assert!(map.is_ram(Span { start: 0x1800, end: 0x3000 }));
    assert!(!map.is_ram(Span { start: 0x1800, end: 0x3001 }));
    assert!(!map.is_ram(Span { start: 0x800, end: 0x2000 }));
}

/// Regions in a small space, so that they often overlap.
fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let entry = (0u64..64, 1u64..8, 1u32..4).prop_map(|(start, len, kind)| (start, start + len, kind));
    prop::collection::vec(entry, 1..8)
}

proptest! {
    #[test]
    fn usable_is_the_ram_unless_ram_overlaps(entries in entries()) {
        let map = map(&entries).unwrap();
        let is_ram = |at: u64| entries.iter().any(|(s, e, kind)| *kind == 1 && (*s..*e).contains(&at));
        let covered = |at: u64| entries.iter().filter(|(s, e, _)| (*s..*e).contains(&at)).count();
        let bad = (0..80).any(|at| is_ram(at) && covered(at) > 1);
        let ram = (0..80).filter(|at| is_ram(*at)).count() as u64;
        match map.usable() {
            Ok(usable) => {
                prop_assert!(!bad);
                prop_assert_eq!(usable.bytes, ram);
            }
            Err(MapError::Overlap { first, second }) => {
                prop_assert!(bad);
                prop_assert!(first.span.overlaps(&second.span));
                prop_assert!([first, second].iter().any(|r| r.kind == RegionKind::Ram));
            }
            Err(MapError::NoRam) => prop_assert_eq!(ram, 0),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn is_ram_asks_every_byte(entries in entries(), start in 0u64..72, len in 1u64..16) {
        let is_ram = |at: u64| entries.iter().any(|(s, e, kind)| *kind == 1 && (*s..*e).contains(&at));
        let span = Span { start, end: start + len };
        prop_assert_eq!(map(&entries).unwrap().is_ram(span), (start..start + len).all(is_ram));
    }
}
