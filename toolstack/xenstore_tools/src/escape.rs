//! Values as text: bytes that do not print become escapes, and back.

/// The value with `\t`, `\n`, `\r`, `\\`, `\001` (below 8) or `\x1f` for what does not print.
pub fn escape(value: &[u8]) -> String {
    let mut text = String::new();
    for &byte in value {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b' '..=b'~' => text.push(byte.into()),
            b'\t' => text.push_str("\\t"),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            0..=7 => text.push_str(&format!("\\{byte:03o}")),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text
}

/// The value that an escaped text stands for. A `\` before anything else is left out.
pub fn unescape(text: &[u8]) -> Vec<u8> {
    let mut value = Vec::new();
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            value.push(byte);
            continue;
        }
        let Some((&kind, tail)) = rest.split_first() else { break };
        let (decoded, tail) = match kind {
            b't' => (b'\t', tail),
            b'n' => (b'\n', tail),
            b'r' => (b'\r', tail),
            b'x' => digits(tail, 16, 2).unwrap_or((b'x', tail)),
            b'0'..=b'7' => digits(rest, 8, 3).unwrap_or((kind, tail)),
            other => (other, tail),
        };
        value.push(decoded);
        rest = tail;
    }
    value
}

/// The number that up to `most` digits at the start make, and what follows. Of one beyond a byte, the low bits.
fn digits(text: &[u8], radix: u32, most: usize) -> Option<(u8, &[u8])> {
    let digit = |&byte: &u8| char::from(byte).to_digit(radix);
    let count = text.iter().take(most).take_while(|byte| digit(byte).is_some()).count();
    let (head, tail) = text.split_at(count);
    let number = head.iter().filter_map(digit).fold(0, |number, digit| number * radix + digit);
    (count > 0).then_some((number as u8, tail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_are_those_of_xen() {
        assert_eq!(escape(b"a b\t\n\r\\\0\x07\x08\x7f\xff"), "a b\\t\\n\\r\\\\\\000\\007\\x08\\x7f\\xff");
        assert_eq!(unescape(b"\\x41\\101\\q\\x4"), b"AAq\x04");
        assert_eq!(unescape(b"end\\"), b"end");
    }

    proptest! {
        #[test]
        fn any_value_survives(value in proptest::collection::vec(any::<u8>(), 0..40)) {
            let text = escape(&value);
            prop_assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            // An octal escape takes three digits and a hexadecimal one two, so what follows is not mistaken.
            prop_assert_eq!(unescape(text.as_bytes()), value);
        }
    }
}
