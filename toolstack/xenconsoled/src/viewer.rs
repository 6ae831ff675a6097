//! A connection to the daemon's socket.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use crate::history::History;
use crate::identity::ConsoleId;
use crate::outlet::Outlet;
use crate::protocol::{Answer, Attach, Begin, MAX_LINE};

/// What a viewer is doing.
enum Stage {
    /// It has sent so much of its request.
    Asking(Vec<u8>),
    /// It reads a console.
    Attached(ConsoleId, Outlet),
}

/// A viewer.
pub struct Viewer {
    stream: UnixStream,
    stage: Stage,
    types: bool,
}

/// The viewer is to be disconnected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaves;

impl Viewer {
    /// A viewer that has connected.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, stage: Stage::Asking(Vec::new()), types: true })
    }

    /// The console that it is attached to.
    pub fn console(&self) -> Option<ConsoleId> {
        match &self.stage {
            Stage::Asking(_) => None,
            Stage::Attached(console, _) => Some(*console),
        }
    }

    /// Whether it may still send something.
    pub fn types(&self) -> bool {
        self.types
    }

    /// Whether there is something to send to it.
    pub fn is_behind(&self, history: &History) -> bool {
        matches!(&self.stage, Stage::Attached(_, outlet) if outlet.is_behind(history))
    }

    /// Takes more of the request in, and gives it when it is whole. One that makes no sense is answered at once.
    ///
    /// # Errors
    /// [`Leaves`].
    pub fn read_request(&mut self) -> Result<Option<Attach>, Leaves> {
        let Stage::Asking(line) = &mut self.stage else { return Ok(None) };
        // Byte by byte: what follows the line is for the console.
        let mut byte = [0];
        while line.len() < MAX_LINE {
            match self.stream.read(&mut byte) {
                Ok(0) => return Err(Leaves),
                Ok(_) if byte == *b"\n" => {
                    let attach = Attach::parse(line);
                    if attach.is_none() {
                        self.refuse(&Answer::Error(
                            "expected: attach DOMID pv|vuart start|end|POSITION".into(),
                        ));
                    }
                    return attach.map(Some).ok_or(Leaves);
                }
                Ok(_) => line.push(byte[0]),
                Err(error) => return if is_busy(&error) { Ok(None) } else { Err(Leaves) },
            }
        }
        self.refuse(&Answer::Error("the request is too long".into()));
        Err(Leaves)
    }

    /// Tells it why it is disconnected, if it still listens.
    pub fn refuse(&mut self, answer: &Answer) {
        let _ = writeln!(self.stream, "{answer}");
    }

    /// Attaches it.
    pub fn attach(&mut self, attach: Attach, history: &History) {
        let position = match attach.from {
            Begin::Start => history.start(),
            Begin::End => history.end(),
            Begin::Position(position) => position.clamp(history.start(), history.end()),
        };
        let greeting = format!("{}\n", Answer::Attached(position));
        self.stage = Stage::Attached(attach.console, Outlet::with_greeting(position, greeting));
    }

    /// Sends output, as much as its socket takes at once.
    ///
    /// # Errors
    /// [`Leaves`], also when output was dropped that it did not have: it can come back and learn how much.
    pub fn feed(&mut self, history: &History) -> Result<(), Leaves> {
        let Stage::Attached(_, outlet) = &mut self.stage else { return Ok(()) };
        if outlet.is_overrun(history) {
            return Err(Leaves);
        }
        let bytes = outlet.pending(history, |_| String::new()).map_err(|_| Leaves)?;
        match self.stream.write(bytes) {
            Ok(count) => outlet.advance(count),
            Err(error) if is_busy(&error) => {}
            Err(_) => return Err(Leaves),
        }
        Ok(())
    }

    /// Sends what its socket takes of the rest of a console's output.
    pub fn feed_last(&mut self, history: &History) {
        let most = history.capacity() / 1024 + 2;
        for _ in 0..most {
            if !self.is_behind(history) || self.feed(history).is_err() {
                return;
            }
        }
    }

    /// Reads what is typed.
    ///
    /// # Errors
    /// [`Leaves`].
    pub fn read_typed(&mut self, bytes: &mut [u8]) -> Result<usize, Leaves> {
        match self.stream.read(bytes) {
            Ok(count) => {
                // It may have ended its side and still read.
                self.types = count > 0 || bytes.is_empty();
                Ok(count)
            }
            Err(error) if is_busy(&error) => Ok(0),
            Err(_) => Err(Leaves),
        }
    }
}

fn is_busy(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

impl AsFd for Viewer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
