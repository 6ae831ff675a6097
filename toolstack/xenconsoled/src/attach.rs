//! Attaching to a console, for `xenconsole` and `xl console`: what is typed goes there, what it says is shown, and
//! Ctrl-] leaves. A restart of the daemon in between is not noticed: the viewer goes on where it was.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read, write};
use thiserror::Error;

use crate::link::Source;

/// The key that leaves: Ctrl-].
const ESCAPE: u8 = 0x1d;
/// Bytes that may wait to be typed. What is typed while the guest takes nothing is dropped beyond that.
const MAX_TYPED: usize = 4096;

/// How attaching ended without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The user left, or what is typed has ended, or a signal came.
    Left,
    /// The console is gone, with its domain.
    Gone,
}

/// Why one cannot attach, or go on.
#[derive(Debug, Error)]
pub enum AttachError {
    /// The console did not appear.
    #[error("{0}: there is none (is the domain running? `xl list` shows it)")]
    NoConsole(String),
    /// The daemon is away and does not come back.
    #[error("no console daemon answers at {0}; is xenconsoled running?")]
    NoDaemon(String),
    /// The daemon does not understand.
    #[error("the console daemon refuses: {0}")]
    Refused(String),
    /// Xenstore does not work.
    #[error(transparent)]
    Store(#[from] xenstore_client::Error),
    /// Something cannot be read or written.
    #[error("{what}: {errno}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        errno: Errno,
    },
    /// The user does not want to wait.
    #[error("interrupted")]
    Interrupted,
}

impl AttachError {
    /// Says what was tried when the kernel refused.
    pub fn io(what: &'static str) -> impl FnOnce(Errno) -> Self {
        move |errno| Self::Io { what, errno }
    }
}

/// The user's side.
#[derive(Debug)]
pub struct User<'a> {
    /// Where he types, if he does.
    pub input: Option<BorrowedFd<'a>>,
    /// Where he reads.
    pub output: BorrowedFd<'a>,
    /// Becomes readable when a signal says that he leaves.
    pub stop: BorrowedFd<'a>,
}

impl User<'_> {
    /// Waits for `time`; fails if the user leaves meanwhile. Anything else that is typed is dropped.
    pub(crate) fn wait(&self, time: Duration) -> Result<(), AttachError> {
        let deadline = Instant::now() + time;
        loop {
            let mut files = vec![PollFd::new(&self.stop, PollFlags::IN)];
            files.extend(self.input.as_ref().map(|input| PollFd::new(input, PollFlags::IN)));
            let left = deadline.saturating_duration_since(Instant::now());
            let came = poll(&mut files, Timespec::try_from(left).ok().as_ref());
            let ready: Vec<bool> = files.iter().map(|file| !file.revents().is_empty()).collect();
            match came {
                Ok(0) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(AttachError::Io { what: "cannot wait", errno }),
                Ok(_) => {}
            }
            if ready[0] || self.typed(&mut Vec::new())? {
                return Err(AttachError::Interrupted);
            }
        }
    }

    /// Takes in what is typed, and says whether the user leaves.
    fn typed(&self, typed: &mut Vec<u8>) -> Result<bool, AttachError> {
        let Some(input) = self.input else { return Ok(false) };
        let mut bytes = [0; 512];
        match read(input, &mut bytes) {
            Ok(0) => Ok(true),
            Ok(count) => {
                let (before, leaves) = until_escape(&bytes[..count]);
                let room = MAX_TYPED.saturating_sub(typed.len());
                typed.extend_from_slice(&before[..before.len().min(room)]);
                Ok(leaves)
            }
            Err(Errno::INTR | Errno::AGAIN) => Ok(false),
            Err(errno) => Err(AttachError::Io { what: "cannot read what is typed", errno }),
        }
    }

    pub(crate) fn show(&self, mut bytes: &[u8]) -> Result<(), AttachError> {
        while !bytes.is_empty() {
            match write(self.output, bytes) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let waited = poll(&mut [PollFd::new(&self.output, PollFlags::OUT)], None);
                    waited.map_err(AttachError::io("cannot wait"))?;
                }
                Err(errno) => return Err(AttachError::Io { what: "cannot write the output", errno }),
            }
        }
        Ok(())
    }
}

/// How a connection to a console ended.
enum Cut {
    Left,
    Lost,
}

/// Attaches the user to a console. `attached` is called once, when that has worked, and what it gives is held until the
/// end: the place to make his terminal raw.
///
/// # Errors
/// [`AttachError`].
pub fn attach<T>(
    mut source: Source,
    user: &User<'_>,
    attached: impl FnOnce() -> Result<T, AttachError>,
) -> Result<End, AttachError> {
    let first = source.open(user)?;
    let _held = attached()?;
    let mut link = Some(first);
    while let Some(open) = link {
        match shuttle(&open, &mut source, user)? {
            Cut::Left => return Ok(End::Left),
            Cut::Lost => {}
        }
        drop(open);
        link = match source.reopen(user) {
            Err(AttachError::Interrupted) => return Ok(End::Left),
            other => other?,
        };
    }
    Ok(End::Gone)
}

/// Carries bytes until one side ends.
fn shuttle(link: &OwnedFd, source: &mut Source, user: &User<'_>) -> Result<Cut, AttachError> {
    let mut typed = Vec::new();
    loop {
        let flags = if typed.is_empty() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
        let mut files = vec![PollFd::new(&user.stop, PollFlags::IN), PollFd::new(link, flags)];
        files.extend(user.input.as_ref().map(|input| PollFd::new(input, PollFlags::IN)));
        match poll(&mut files, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(AttachError::Io { what: "cannot wait", errno }),
        }
        let ready: Vec<PollFlags> = files.iter().map(|file| file.revents()).collect();
        let at = |index: usize| ready.get(index).copied().unwrap_or(PollFlags::empty());
        if !at(0).is_empty() {
            return Ok(Cut::Left);
        }
        if at(1).intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            let mut bytes = [0; 4096];
            match read(link, &mut bytes) {
                Ok(0) => return Ok(Cut::Lost),
                Ok(count) => {
                    user.show(&bytes[..count])?;
                    source.received(count);
                }
                Err(Errno::AGAIN | Errno::INTR) => {}
                // A terminal whose other side is closed says EIO, a socket says that it was reset.
                Err(_) => return Ok(Cut::Lost),
            }
        }
        let leaves = !at(2).is_empty() && user.typed(&mut typed)?;
        if !typed.is_empty() {
            match write(link, &typed) {
                Ok(count) => drop(typed.drain(..count.min(typed.len()))),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => return Ok(if leaves { Cut::Left } else { Cut::Lost }),
            }
        }
        if leaves {
            return Ok(Cut::Left);
        }
    }
}

/// What is before the key that leaves, and whether that is there.
fn until_escape(typed: &[u8]) -> (&[u8], bool) {
    match typed.iter().position(|&byte| byte == ESCAPE) {
        Some(at) => (&typed[..at], true),
        None => (typed, false),
    }
}

/// Standard input and output as the user's side.
pub fn stdio<'a>(types: bool, stdin: &'a impl AsFd, stdout: &'a impl AsFd, stop: &'a impl AsFd) -> User<'a> {
    User { input: types.then(|| stdin.as_fd()), output: stdout.as_fd(), stop: stop.as_fd() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_escape_key_leaves_wherever_it_is_in_what_is_typed() {
        assert_eq!(until_escape(b"ls\r"), (&b"ls\r"[..], false));
        assert_eq!(until_escape(b"\x1d"), (&b""[..], true));
        assert_eq!(until_escape(b"abc\x1ddef"), (&b"abc"[..], true));
    }
}
