//! What a viewer says when it connects, and what it is told.
//!
//! The viewer sends one line, `attach DOMID KIND FROM`, where FROM is `start` (the oldest output that is kept), `end`
//! (only what comes), or the position in the console's output at which it left off. The answer is one line:
//!
//! * `ok POSITION`: the console's output from that position on follows, and what the viewer sends is typed there;
//! * `none`: the domain, or that console of it, does not exist;
//! * `error TEXT`: the request makes no sense.
//!
//! Since a viewer can count what it gets, it can go on without loss or repetition after a restart of the daemon. One
//! that falls behind so far that output it did not have is dropped is disconnected, and learns from the `POSITION`
//! when it comes back how much it missed.

use std::fmt;

use xen_dev::Domid;

use crate::identity::{ConsoleId, Kind};

/// Bytes of the longest line.
pub const MAX_LINE: usize = 64;

/// Where a viewer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// With the oldest output that is kept.
    Start,
    /// With what comes.
    End,
    /// Behind so many bytes of output.
    Position(u64),
}

/// What a viewer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attach {
    /// The console.
    pub console: ConsoleId,
    /// Where to begin.
    pub from: Begin,
}

/// What it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The console's bytes follow, from this position on.
    Attached(u64),
    /// There is no such console.
    None,
    /// The request makes no sense.
    Error(String),
}

impl Attach {
    /// Reads a line, without its end.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(line).ok()?.split(' ');
        let mut word = || words.next();
        if word() != Some("attach") {
            return None;
        }
        let domid = Domid::new(word()?.parse().ok()?)?;
        let kind: Kind = word()?.parse().ok()?;
        let from = match word()? {
            "start" => Begin::Start,
            "end" => Begin::End,
            position => Begin::Position(position.parse().ok()?),
        };
        word().is_none().then_some(Self { console: ConsoleId { domid, kind }, from })
    }
}

impl fmt::Display for Attach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attach {} {} ", self.console.domid, self.console.kind)?;
        match self.from {
            Begin::Start => f.write_str("start"),
            Begin::End => f.write_str("end"),
            Begin::Position(position) => position.fmt(f),
        }
    }
}

impl Answer {
    /// Reads a line, without its end.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let line = std::str::from_utf8(line).ok()?;
        match line.split_once(' ').unwrap_or((line, "")) {
            ("ok", position) => position.parse().ok().map(Self::Attached),
            ("none", "") => Some(Self::None),
            ("error", text) => Some(Self::Error(text.to_owned())),
            _ => None,
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attached(position) => write!(f, "ok {position}"),
            Self::None => f.write_str("none"),
            Self::Error(text) => write!(f, "error {text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn requests_that_make_no_sense_are_refused() {
        for line in [
            "",
            "attach",
            "attach 1",
            "attach 1 pv",
            "attach 1 pv start more",
            "attach 1 pv start ",
            "attach 32752 pv start",
            "attach 65536 pv start",
            "attach -1 pv start",
            "attach 1 serial start",
            "attach 1 pv -5",
            "attach 1 pv 18446744073709551616",
            "Attach 1 pv start",
        ] {
            assert_eq!(Attach::parse(line.as_bytes()), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn requests_and_answers_are_read_as_they_were_written(
            domid in 0u16..0x7ff0,
            vuart: bool,
            position: u64,
            form in 0..3usize,
            text in "[ -~]*",
        ) {
            let kind = if vuart { Kind::Vuart } else { Kind::Pv };
            let console = ConsoleId { domid: Domid::new(domid).unwrap(), kind };
            let from = [Begin::Start, Begin::End, Begin::Position(position)][form];
            let attach = Attach { console, from };
            prop_assert!(attach.to_string().len() < MAX_LINE);
            prop_assert_eq!(Attach::parse(attach.to_string().as_bytes()), Some(attach));
            for answer in [Answer::Attached(position), Answer::None, Answer::Error(text)] {
                prop_assert_eq!(Answer::parse(answer.to_string().as_bytes()), Some(answer.clone()));
            }
        }

        #[test]
        fn no_line_makes_the_parsers_panic(line: Vec<u8>) {
            let _ = (Attach::parse(&line), Answer::parse(&line));
        }
    }
}
