//! The ways from a viewer to a console: the daemon's socket, or the terminal whose name is in xenstore.

use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use xenstore_client::{Client, Operations};

use crate::attach::{AttachError, User};
use crate::identity::ConsoleId;
use crate::protocol::{Answer, Attach, Begin};

/// How long a console may take to appear: a domain that was made just now has none yet.
const APPEAR: Duration = Duration::from_secs(5);
/// How long a daemon may take to come back.
const RETURN: Duration = Duration::from_secs(10);
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(100);
/// Bytes of the longest answer of the daemon.
const MAX_ANSWER: usize = 256;

/// Where a console is reached.
#[derive(Debug)]
pub struct Source(Way);

#[derive(Debug)]
enum Way {
    Socket { console: ConsoleId, path: PathBuf, from: Begin },
    Terminal { store: Box<Client>, node: String },
}

/// What an attempt to open brought.
enum Attempt {
    Open(OwnedFd),
    /// It may work later.
    NotNow(AttachError),
    /// The console is not there.
    Missing,
}

impl Source {
    /// A console of this project's daemon that listens at `path`. `from_start` shows what was kept of its output.
    pub fn socket(console: ConsoleId, path: PathBuf, from_start: bool) -> Self {
        Self(Way::Socket { console, path, from: if from_start { Begin::Start } else { Begin::End } })
    }

    /// A terminal whose name is in a node of xenstore, as every console daemon and QEMU offer it.
    ///
    /// # Errors
    /// [`AttachError::Store`].
    pub fn terminal(mut store: Client, node: String) -> Result<Self, AttachError> {
        store.watch(&node, "tty")?;
        Ok(Self(Way::Terminal { store: Box::new(store), node }))
    }

    /// Notes that so many bytes of output have arrived.
    pub(crate) fn received(&mut self, count: usize) {
        if let Way::Socket { from: Begin::Position(position), .. } = &mut self.0 {
            *position = position.saturating_add(count as u64);
        }
    }

    /// Opens the way for the first time.
    pub(crate) fn open(&mut self, user: &User<'_>) -> Result<OwnedFd, AttachError> {
        let deadline = Instant::now() + APPEAR;
        loop {
            let missing = match self.attempt(user, deadline)? {
                Attempt::Open(link) => return Ok(link),
                Attempt::NotNow(why) => why,
                Attempt::Missing => AttachError::NoConsole(self.name()),
            };
            if Instant::now() >= deadline {
                return Err(missing);
            }
            user.wait(PAUSE)?;
        }
    }

    /// Opens the way again after it was lost; `None` if the console is gone.
    pub(crate) fn reopen(&mut self, user: &User<'_>) -> Result<Option<OwnedFd>, AttachError> {
        let deadline = Instant::now() + RETURN;
        loop {
            // A terminal of the same name may be someone else's by now: only one that is announced counts.
            let is_worth_it = match &mut self.0 {
                Way::Socket { .. } => true,
                Way::Terminal { store, .. } => store.wait_event(Some(Duration::ZERO))?.is_some(),
            };
            if is_worth_it {
                match self.attempt(user, deadline)? {
                    Attempt::Open(link) => return Ok(Some(link)),
                    Attempt::Missing => return Ok(None),
                    Attempt::NotNow(why) if Instant::now() >= deadline => return Err(why),
                    Attempt::NotNow(_) => {}
                }
            } else if Instant::now() >= deadline {
                return Err(AttachError::NoDaemon(self.name()));
            }
            user.wait(PAUSE)?;
        }
    }

    fn name(&self) -> String {
        match &self.0 {
            Way::Socket { console, .. } => console.to_string(),
            Way::Terminal { node, .. } => node.clone(),
        }
    }

    fn attempt(&mut self, user: &User<'_>, deadline: Instant) -> Result<Attempt, AttachError> {
        match &mut self.0 {
            Way::Terminal { store, node } => open_terminal(store, node),
            Way::Socket { console, path, from } => {
                let answer = UnixStream::connect(&*path).and_then(|mut stream| {
                    let answer = ask(&mut stream, Attach { console: *console, from: *from }, deadline)?;
                    Ok((stream, answer))
                });
                let (stream, answer) = match answer {
                    Ok(found) => found,
                    Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                        return Err(AttachError::Io {
                            what: "cannot connect to xenconsoled",
                            errno: Errno::ACCESS,
                        });
                    }
                    Err(_) => return Ok(Attempt::NotNow(AttachError::NoDaemon(path.display().to_string()))),
                };
                match answer {
                    Some(Answer::Attached(position)) => {
                        if let Begin::Position(wanted) = *from
                            && position > wanted
                        {
                            let lost = position - wanted;
                            user.show(
                                format!("\r\n[{lost} bytes of output were missed here]\r\n").as_bytes(),
                            )?;
                        }
                        *from = Begin::Position(position);
                        let link = OwnedFd::from(stream);
                        ioctl_fionbio(&link, true).map_err(AttachError::io("cannot set up a socket"))?;
                        Ok(Attempt::Open(link))
                    }
                    Some(Answer::None) => Ok(Attempt::Missing),
                    Some(Answer::Error(text)) => Err(AttachError::Refused(text)),
                    None => Err(AttachError::Refused("its answer is none that is known".to_owned())),
                }
            }
        }
    }
}

/// Sends a request and gives the answer, if it makes sense.
fn ask(stream: &mut UnixStream, attach: Attach, deadline: Instant) -> io::Result<Option<Answer>> {
    // A time of zero would mean for ever.
    let left = deadline.saturating_duration_since(Instant::now()).max(PAUSE);
    stream.set_read_timeout(Some(left))?;
    writeln!(stream, "{attach}")?;
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < MAX_ANSWER {
        // Byte by byte: what follows the line is the console's.
        stream.read_exact(&mut byte)?;
        if byte == *b"\n" {
            return Ok(Answer::parse(&line));
        }
        line.push(byte[0]);
    }
    Ok(None)
}

fn open_terminal(store: &mut Client, node: &str) -> Result<Attempt, AttachError> {
    let name = match store.read_optional(node)? {
        Some(name) if !name.is_empty() => name,
        Some(_) => return Ok(Attempt::NotNow(AttachError::NoConsole(node.to_owned()))),
        None => return Ok(Attempt::Missing),
    };
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let what = "cannot open the console's terminal";
    let terminal = match open(&*name, flags, Mode::empty()) {
        Ok(terminal) => terminal,
        Err(errno) => return Ok(Attempt::NotNow(AttachError::Io { what, errno })),
    };
    let raw = tcgetattr(&terminal).and_then(|mut mode| {
        mode.make_raw();
        tcsetattr(&terminal, OptionalActions::Now, &mode)
    });
    raw.map_err(AttachError::io(what))?;
    Ok(Attempt::Open(terminal))
}
