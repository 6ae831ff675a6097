//! Damaged boot data: whatever the bytes are, the answer is a value or an error, after bounded work.

use super::super::*;
use super::{AT, Data, MAGICS, Memory};
use proptest::prelude::*;

/// No input makes the reader do more reads than this: all tags of a structure of 1 MiB, the entries
/// that are kept, and every byte of every text.
const MOST_READS: usize = 2 * (1 << 20) / 8 + 3 * 256 + 16 * 300 + 2000;

/// Reads, and checks what holds for every input.
fn probe(magic: u32, bytes: Vec<u8>) -> Result<BootInfo, BootError> {
    let memory = Memory::new(bytes);
    let outcome = BootInfo::read(magic, AT, &memory);
    assert!(memory.reads.get() <= MOST_READS);
    match &outcome {
        Ok(info) => {
            assert!(!info.memory.regions().is_empty());
            assert!(info.memory.regions().is_sorted_by_key(|region| region.span.start));
            assert!(info.memory.regions().iter().all(|r| !r.span.is_empty() && r.span.end <= 1 << 52));
            assert!(info.modules().iter().all(|module| !module.span.is_empty()));
            let _ = info.memory.usable();
            let _ = info.check_modules(Span { start: 0x20_0000, end: 0x30_0000 });
        }
        Err(error) => assert!(error.to_string().ends_with(')'), "no advice: {error}"),
    }
    outcome
}

fn magic() -> impl Strategy<Value = u32> {
    prop::sample::select(&MAGICS[..])
}

/// Numbers that hurt: small, round, at the ends, and pointers into the data itself.
fn number() -> impl Strategy<Value = u32> {
    prop_oneof![
        any::<u32>(),
        0u32..64,
        Just(u32::MAX),
        (0u32..8).prop_map(|n| u32::MAX - n),
        (0u32..32).prop_map(|n| 1 << n),
        (0u32..1024).prop_map(|n| AT + n),
    ]
}

#[test]
fn every_truncation_of_good_data_fails_or_loses_nothing() {
    for magic in MAGICS {
        let whole = Data::example().bytes(magic);
        for len in 0..whole.len() {
            let Ok(info) = probe(magic, whole[..len].to_vec()) else { continue };
            // Only padding at the end was cut.
            assert!(whole[len..].iter().all(|byte| *byte == 0));
            assert_eq!(info.modules().len(), 2);
        }
        assert!(probe(magic, whole).is_ok());
    }
}

#[test]
fn every_word_with_the_largest_number_is_survived() {
    for magic in MAGICS {
        let whole = Data::example().bytes(magic);
        for at in (0..whole.len() - 4).step_by(4) {
            for value in [0, 1, 7, 8, 0x7fff_ffff, 0xffff_ffff_u32] {
                let mut bytes = whole.clone();
                bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
                let _ = probe(magic, bytes);
            }
        }
    }
}

#[test]
fn endless_empty_entries_are_not_followed() {
    for magic in MAGICS {
        let data = Data { map: vec![(0, 0, 1); 40_000], ..Data::example() };
        let error = probe(magic, data.bytes(magic)).unwrap_err();
        let too_long = magic == MAGICS[1];
        let expected = if too_long {
            BootError::BadSize { part: Part::Information, size: data.bytes(magic).len() as u32 }
        } else {
            BootError::TooMany { part: Part::MemoryMap, most: MAX_REGIONS }
        };
        assert_eq!(error, expected);
    }
}

proptest! {
    #[test]
    fn random_bytes_are_survived(magic in magic(), bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let _ = probe(magic, bytes);
    }

    #[test]
    fn random_numbers_are_survived(magic in magic(), words in prop::collection::vec(number(), 0..128)) {
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        if magic == MAGICS[2] && bytes.len() >= 8 {
            bytes[..4].copy_from_slice(&magic.to_le_bytes());
            bytes[4..8].copy_from_slice(&1u32.to_le_bytes());
        }
        let _ = probe(magic, bytes);
    }

    #[test]
    fn damaged_good_data_is_survived(
        magic in magic(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), number()), 1..6),
    ) {
        let mut bytes = Data::example().bytes(magic);
        for (at, value) in damage {
            let at = at.index(bytes.len() / 4) * 4;
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        let _ = probe(magic, bytes);
    }

    #[test]
    fn any_good_data_comes_through(
        magic in magic(),
        command_line in "[ -~]{0,80}",
        map in prop::collection::vec((0u64..1 << 51, 1u64..1 << 51, any::<u32>()), 1..40),
        modules in prop::collection::vec((any::<u32>(), "[ -~]{0,40}"), 0..MAX_MODULES),
    ) {
        let mut expected: Vec<_> = map.iter().map(|(start, len, kind)| (*start, start + len, *kind)).collect();
        let data = Data {
            command_line,
            loader: String::new(),
            map: expected.clone(),
            modules: modules.into_iter().map(|(at, text)| (at / 2, at / 2 + 1, text)).collect(),
        };
        let info = probe(magic, data.bytes(magic)).unwrap();
        expected.sort_by_key(|entry| entry.0);
        let found: Vec<_> = info.memory.regions().iter().map(|r| (r.span.start, r.span.end)).collect();
        prop_assert_eq!(found, expected.iter().map(|e| (e.0, e.1)).collect::<Vec<_>>());
        prop_assert_eq!(info.command_line.to_string(), data.command_line);
        let found: Vec<_> = info.modules().iter().map(|m| m.text.to_string()).collect();
        prop_assert_eq!(found, data.modules.iter().map(|m| m.2.clone()).collect::<Vec<_>>());
    }
}
