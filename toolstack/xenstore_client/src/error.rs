//! What can go wrong.

use std::io;
use std::path::PathBuf;
use thiserror::Error;
use xen_abi::Errno;
use xenstore_wire::{MessageType, TooLong};

/// Why a request failed.
#[derive(Debug, Error)]
pub enum Error {
    /// No daemon answers.
    #[error("cannot connect to xenstore at {}: {cause}; is xenstored running?", path.display())]
    Connect {
        /// Socket or device.
        path: PathBuf,
        /// What the kernel said.
        cause: io::Error,
    },
    /// The daemon refused the request.
    #[error("xenstore refused {request:?} of {subject}: {}", errno.name())]
    Refused {
        /// What was asked.
        request: MessageType,
        /// The path, or what else the request was about.
        subject: String,
        /// The reason.
        errno: Errno,
    },
    /// The connection broke, and whether the request was done is not known.
    #[error("the connection to xenstore broke during a commit: it may have happened or not")]
    Lost,
    /// Sending or receiving failed.
    #[error("talking to xenstore failed: {0}")]
    Io(#[from] io::Error),
    /// The request does not fit into a message.
    #[error("the request is too long for xenstore: {0}")]
    TooLong(#[from] TooLong),
    /// A path, token or command holds a NUL byte.
    #[error("{0:?} holds a NUL byte, which xenstore cannot take")]
    Nul(String),
    /// The answer makes no sense.
    #[error("xenstore sent an answer that is none: {0}")]
    Answer(&'static str),
}

impl Error {
    /// The daemon's reason, if it refused.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused { errno, .. } => Some(*errno),
            _ => None,
        }
    }

    /// Whether the node does not exist.
    pub fn is_not_found(&self) -> bool {
        self.errno() == Some(Errno::ENOENT)
    }
}

impl From<rustix::io::Errno> for Error {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::Io(errno.into())
    }
}
