//! Strings and numbers inside a payload. A string ends with a NUL byte; a value has none and may hold any byte.

use crate::Domid;

/// All strings of a payload that consists of them. `None` when bytes follow the last NUL.
pub fn strings(payload: &[u8]) -> Option<Vec<&[u8]>> {
    if payload.is_empty() {
        return Some(Vec::new());
    }
    Some(payload.strip_suffix(b"\0")?.split(|&byte| byte == 0).collect())
}

/// The one string of a payload. `None` when there are none, more, or bytes behind it.
pub fn one_string(payload: &[u8]) -> Option<&[u8]> {
    payload.strip_suffix(b"\0").filter(|string| !string.contains(&0))
}

/// A string and what follows its NUL. `None` without a NUL.
pub fn string_and_rest(payload: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = payload.iter().position(|&byte| byte == 0)?;
    Some((&payload[..end], &payload[end + 1..]))
}

/// Appends a string and its NUL. The string must not hold a NUL itself: the other side would see two.
pub fn push_string(payload: &mut Vec<u8>, string: &[u8]) {
    payload.extend_from_slice(string);
    payload.push(0);
}

/// A number: decimal digits and nothing else.
pub fn number<T: std::str::FromStr>(string: &[u8]) -> Option<T> {
    if !string.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(string).ok()?.parse().ok()
}

/// A frame number as in `INTRODUCE`, which old clients send as a signed number.
pub fn frame_number(string: &[u8]) -> Option<u64> {
    match string.strip_prefix(b"-") {
        Some(digits) => number::<u64>(digits).map(u64::wrapping_neg),
        None => number(string),
    }
}

/// A domain's number, real or reserved.
pub fn domid(string: &[u8]) -> Option<Domid> {
    number(string).map(Domid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn strings_end_with_nul_each() {
        assert_eq!(strings(b""), Some(vec![]));
        assert_eq!(strings(b"\0"), Some(vec![&b""[..]]));
        assert_eq!(strings(b"a\0bc\0"), Some(vec![&b"a"[..], b"bc"]));
        assert_eq!(strings(b"a\0bc"), None);
        assert_eq!(one_string(b"a\0"), Some(&b"a"[..]));
        assert_eq!(one_string(b"a"), None);
        assert_eq!(one_string(b"a\0b\0"), None);
        assert_eq!(string_and_rest(b"a\0\0b"), Some((&b"a"[..], &b"\0b"[..])));
        assert_eq!(string_and_rest(b"a"), None);
    }

    #[test]
    fn numbers_are_digits_within_range() {
        assert_eq!(domid(b"65535"), Some(Domid(65535)));
        for bad in [&b""[..], b"65536", b"-1", b"+1", b" 1", b"1 ", b"0x1", b"\xff"] {
            assert_eq!(domid(bad), None);
        }
        assert_eq!(frame_number(b"-1"), Some(u64::MAX));
        assert_eq!(frame_number(b"--1"), None);
    }

    proptest! {
        #[test]
        fn strings_survive_pushing(list in proptest::collection::vec("[a-z/]{0,8}", 0..6)) {
            let mut payload = Vec::new();
            for string in &list {
                push_string(&mut payload, string.as_bytes());
            }
            let back = strings(&payload).unwrap();
            prop_assert_eq!(back, list.iter().map(|string| string.as_bytes()).collect::<Vec<_>>());
        }

        #[test]
        fn any_payload_is_split_or_refused(bytes in proptest::collection::vec(0u8..4, 0..40)) {
            let nuls = bytes.iter().filter(|&&byte| byte == 0).count();
            if let Some(list) = strings(&bytes) {
                prop_assert_eq!(list.len(), nuls);
            }
            prop_assert_eq!(one_string(&bytes).is_some(), nuls == 1 && bytes.ends_with(&[0]));
        }
    }
}
