//! Takes the hypervisor's own lines out of the serial stream.
//!
//! The hypervisor and Dom0 share one line, and a "(XEN) ..." line may come in the middle of one of Dom0's.

const PREFIX: &[u8] = b"(XEN) ";

/// A filter over a stream that comes in pieces.
#[derive(Default)]
pub struct XenLines {
    state: State,
}

#[derive(Default)]
enum State {
    /// So many bytes of the prefix have been seen and held back.
    #[default]
    Start,
    Prefix(usize),
    /// Inside a hypervisor line.
    Inside,
}

impl XenLines {
    /// Appends to `out` what of `piece` does not belong to the hypervisor, without carriage returns.
    pub fn filter(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        for byte in piece {
            self.state = match self.state {
                State::Inside if *byte == b'\n' => State::Start,
                State::Inside => State::Inside,
                State::Start => Self::outside(0, *byte, out),
                State::Prefix(seen) => Self::outside(seen, *byte, out),
            };
        }
    }

    fn outside(seen: usize, byte: u8, out: &mut Vec<u8>) -> State {
        if PREFIX.get(seen) == Some(&byte) {
            return if seen + 1 == PREFIX.len() { State::Inside } else { State::Prefix(seen + 1) };
        }
        // Not the prefix after all; only its first byte can start it anew.
        out.extend_from_slice(&PREFIX[..seen]);
        if byte == PREFIX[0] {
            return State::Prefix(1);
        }
        if byte != b'\r' {
            out.push(byte);
        }
        State::Start
    }
}

#[cfg(test)]
mod tests {
    use super::XenLines;

    fn filtered(pieces: &[&str]) -> String {
        let mut filter = XenLines::default();
        let mut out = Vec::new();
        for piece in pieces {
            filter.filter(piece.as_bytes(), &mut out);
        }
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn hypervisor_line_inside_a_line_is_removed() {
        assert_eq!(filtered(&["one (XEN) d1v0 noise\r\ntwo\r\n"]), "one two\n");
    }

    #[test]
    fn prefix_split_over_pieces_is_recognised() {
        assert_eq!(filtered(&["a(X", "EN", ") b\nc"]), "ac");
    }

    #[test]
    fn near_misses_are_kept() {
        assert_eq!(filtered(&["((XEN) x\n(XE(XEN) y\n(XENO)"]), "((XE(XENO)");
    }
}
