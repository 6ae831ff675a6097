//! The terminal as a screen that is drawn again and again.

use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::Signal;
use rustix::termios::tcgetwinsize;
use xenconsoled::terminal::RawMode;

/// To the other screen, without cursor (`xterm`'s private modes 1049 and 25).
const BEGIN: &str = "\x1b[?1049h\x1b[?25l";
/// Back, with cursor.
const END: &str = "\x1b[?25h\x1b[?1049l";
/// Ctrl-C, which is a key like others in raw mode.
const INTERRUPT: u8 = 3;

/// What was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A letter.
    Letter(char),
    /// Whatever means that the user leaves.
    Leave,
}

/// Where a table is shown, and keys are typed.
pub trait Screen {
    /// Shows a table, as much of it as there is room for, and a last line.
    ///
    /// # Errors
    /// When the terminal is gone.
    fn show(&mut self, table: &str, last: &str) -> Result<()>;

    /// The next key, if one is typed in this time.
    ///
    /// # Errors
    /// When the terminal is gone.
    fn key(&mut self, time: Duration) -> Result<Option<Key>>;
}

/// This program's terminal. It is as before when this is dropped.
pub struct Terminal {
    _raw: RawMode,
    stop: UnixStream,
}

impl Terminal {
    /// Takes the terminal.
    ///
    /// # Errors
    /// When there is none.
    pub fn open() -> Result<Self> {
        let signals = [Signal::TERM, Signal::HUP, Signal::INT, Signal::QUIT].map(Signal::as_raw);
        let stop = daemon::on_signals(&signals)?;
        let Some(raw) = RawMode::enter().context("cannot set the terminal's mode")? else {
            bail!("standard input or output is no terminal (try: --batch)");
        };
        let this = Self { _raw: raw, stop };
        write(BEGIN)?;
        Ok(this)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may be gone.
        let _ = write(END);
    }
}

impl Screen for Terminal {
    fn show(&mut self, table: &str, last: &str) -> Result<()> {
        let size = tcgetwinsize(io::stdout()).context("cannot ask for the terminal's size")?;
        write(&picture(table, last, size.ws_col.into(), size.ws_row.into()))
    }

    fn key(&mut self, time: Duration) -> Result<Option<Key>> {
        let input = io::stdin();
        let mut files =
            [PollFd::from_borrowed_fd(input.as_fd(), PollFlags::IN), PollFd::new(&self.stop, PollFlags::IN)];
        match poll(&mut files, Timespec::try_from(time).ok().as_ref()) {
            Ok(0) => return Ok(None),
            // The size may have changed: it is time to draw again.
            Err(Errno::INTR) => return Ok(None),
            other => other.context("cannot wait for a key")?,
        };
        if !files[1].revents().is_empty() {
            return Ok(Some(Key::Leave));
        }
        let mut bytes = [0; 32];
        let count = rustix::io::read(&input, &mut bytes).context("cannot read a key")?;
        Ok(Some(meaning(&bytes[..count])))
    }
}

/// What these bytes of a terminal mean. Keys of several bytes, such as arrows, mean nothing.
fn meaning(typed: &[u8]) -> Key {
    match typed {
        [] | [b'q' | b'Q' | INTERRUPT] => Key::Leave,
        [letter] => Key::Letter(char::from(*letter)),
        _ => Key::Letter(' '),
    }
}

/// The bytes that draw a table on a screen of so many columns and rows, with the last line at the bottom.
fn picture(table: &str, last: &str, columns: usize, rows: usize) -> String {
    let clipped = |line: &str| line.chars().take(columns).collect::<String>();
    let room = rows.saturating_sub(1);
    let lines: Vec<&str> = table.lines().collect();
    let mut text = "\x1b[H".to_owned();
    for line in lines.iter().take(room) {
        text += &format!("{}\x1b[K\r\n", clipped(line));
    }
    let hidden = lines.len().saturating_sub(room);
    let more = if hidden > 0 { format!("{hidden} more   ") } else { String::new() };
    text + &format!("\x1b[J\x1b[{rows};1H\x1b[7m{}\x1b[0m", clipped(&format!("{more}{last}")))
}

fn write(text: &str) -> Result<()> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot write to the terminal")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picture_fits_and_says_what_it_hides() {
        let text = picture("one\ntwo long\nthree", "keys", 5, 3);
        assert_eq!(text, "\x1b[Hone\x1b[K\r\ntwo l\x1b[K\r\n\x1b[J\x1b[3;1H\x1b[7m1 mor\x1b[0m");
        assert!(picture("one", "keys", 80, 24).ends_with("\x1b[24;1H\x1b[7mkeys\x1b[0m"));
        for (columns, rows) in [(0, 0), (1, 1), (0, 9)] {
            picture("one\ntwo", "keys", columns, rows);
        }
    }

    #[test]
    fn keys_have_their_meaning_and_arrows_have_none() {
        assert_eq!([meaning(b"q"), meaning(b"\x03"), meaning(b"")], [Key::Leave; 3]);
        assert_eq!(meaning(b"c"), Key::Letter('c'));
        assert_eq!(meaning(b"\x1b[A"), Key::Letter(' '));
        assert_eq!(meaning(b"\xff"), Key::Letter('\u{ff}'));
    }
}
