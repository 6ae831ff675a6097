//! Property values: cells (big-endian 32-bit words), text, lists of texts.

/// The first `cells` words of `bytes` as one number, and the bytes behind them. `None` when there
/// are not enough bytes. Of more than two words the lowest two count.
#[inline(never)]
pub fn take(bytes: &[u8], cells: usize) -> Option<(u64, &[u8])> {
    let mut rest = bytes;
    let mut number = 0;
    for _ in 0..cells {
        let (word, tail) = rest.split_first_chunk::<4>()?;
        number = number << 32 | u64::from(u32::from_be_bytes(*word));
        rest = tail;
    }
    Some((number, rest))
}

/// A property of exactly one word.
pub fn u32_of(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_be_bytes)
}

/// A property of one or two words.
pub fn u64_of(bytes: &[u8]) -> Option<u64> {
    match bytes.len() {
        4 | 8 => take(bytes, bytes.len() / 4).map(|(n, _)| n),
        _ => None,
    }
}

/// The words of `bytes`; a rest of fewer than four bytes is dropped.
pub fn words(bytes: &[u8]) -> impl Iterator<Item = u32> + '_ {
    bytes.as_chunks::<4>().0.iter().map(|word| u32::from_be_bytes(*word))
}

/// A property of one text: UTF-8 up to a NUL, which must be there. What follows it is ignored.
pub fn text_of(bytes: &[u8]) -> Option<&str> {
    let end = bytes.iter().position(|b| *b == 0)?;
    core::str::from_utf8(bytes.get(..end)?).ok()
}

/// The texts of a list such as `compatible`, without their NULs. May hold empty ones.
pub fn texts(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.strip_suffix(&[0]).unwrap_or(bytes).split(|b| *b == 0)
}

/// Whether the list of texts `bytes` has one of `wanted`.
pub fn has_text(bytes: &[u8], wanted: &[&str]) -> bool {
    texts(bytes).any(|text| wanted.iter().any(|w| w.as_bytes() == text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_one_and_two_words() {
        let bytes = [0, 0, 0, 1, 0x40, 0, 0, 2, 9];
        assert_eq!(take(&bytes, 2), Some((0x1_4000_0002, &[9u8][..])));
        assert_eq!(take(&bytes, 3), None);
        assert_eq!(take(&bytes, 0), Some((0, &bytes[..])));
        assert_eq!(u32_of(&bytes[..4]), Some(1));
        assert_eq!(u32_of(&bytes[..8]), None);
        assert_eq!(u64_of(&bytes[..8]), Some(0x1_4000_0002));
        assert_eq!(u64_of(&bytes), None);
        assert_eq!(words(&bytes).collect::<Vec<_>>(), [1, 0x4000_0002]);
    }

    #[test]
    fn text_needs_its_nul_and_must_be_utf8() {
        assert_eq!(text_of(b"psci\0"), Some("psci"));
        assert_eq!(text_of(b"psci"), None);
        assert_eq!(text_of(b"\xff\0"), None);
        assert_eq!(text_of(b""), None);
    }

    #[test]
    fn list_is_searched_by_whole_texts_only() {
        let list = b"arm,psci-1.0\0arm,psci\0";
        assert!(has_text(list, &["arm,psci"]));
        assert!(!has_text(list, &["arm,psci-0.2", "arm"]));
        assert!(has_text(b"arm,psci", &["arm,psci"]));
        assert!(!has_text(b"", &["arm,psci"]));
    }
}
