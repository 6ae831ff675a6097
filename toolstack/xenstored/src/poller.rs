//! What the loop waits for.

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use xenstore_store::ConnectionId;

/// Things that are looked at in one turn; those that are left are first in the next.
const TURN: usize = 64;

/// What something has happened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A client wants to connect to this listener.
    Listener(usize),
    /// A client sent something, took something, or is gone.
    Client(ConnectionId),
    /// An event channel fired.
    Events,
}

impl Source {
    /// The lowest two bits say which.
    fn to_data(self) -> EventData {
        EventData::new_u64(match self {
            Self::Listener(at) => (at as u64) << 2,
            Self::Client(ConnectionId(id)) => id << 2 | 1,
            Self::Events => 2,
        })
    }

    fn from_data(data: EventData) -> Self {
        let data = data.u64();
        match data & 3 {
            0 => Self::Listener((data >> 2) as usize),
            1 => Self::Client(ConnectionId(data >> 2)),
            _ => Self::Events,
        }
    }
}

/// Waits for any of many files. One that is closed is not waited for any more.
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poller {
    /// Waits for nothing yet.
    ///
    /// # Errors
    /// What the kernel says, as for all of these.
    pub fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)?, events: Vec::with_capacity(TURN) })
    }

    /// Waits for this file to be readable.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn add(&self, file: impl AsFd, source: Source) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, file, source.to_data(), EventFlags::IN)?)
    }

    /// Waits for this file to be readable, or only for its end.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_reads(&self, file: impl AsFd, source: Source, reads: bool) -> io::Result<()> {
        let flags = if reads { EventFlags::IN } else { EventFlags::empty() };
        Ok(epoll::modify(&self.epoll, file, source.to_data(), flags)?)
    }

    /// Waits for this file to be writable besides readable, or not any more.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_writes(&self, file: impl AsFd, source: Source, writes: bool) -> io::Result<()> {
        let more = if writes { EventFlags::OUT } else { EventFlags::empty() };
        Ok(epoll::modify(&self.epoll, file, source.to_data(), EventFlags::IN | more)?)
    }

    /// Waits until something happens, or at most so long. Fills `ready` with what it happened to, and whether there is
    /// something to read or an end to be seen.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn wait(&mut self, timeout: Option<&Timespec>, ready: &mut Vec<(Source, bool)>) -> io::Result<()> {
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), timeout) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        ready.clear();
        ready.extend(self.events.iter().map(|event| {
            let (flags, data) = (event.flags, event.data);
            (Source::from_data(data), flags != EventFlags::OUT)
        }));
        Ok(())
    }
}
