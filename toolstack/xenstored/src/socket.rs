//! Programs in dom0, on unix sockets.

use rustix::fs::{Mode, chmod};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 64;

/// A socket that accepts clients.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    /// Whether its clients may only read.
    pub read_only: bool,
}

impl Listener {
    /// Listens at `path`, where a daemon before this one may have left its socket.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn bind(path: &Path, read_only: bool) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        net::bind(&fd, &SocketAddrUnix::new(path)?)?;
        chmod(path, if read_only { Mode::from(0o660) } else { Mode::from(0o600) })?;
        net::listen(&fd, BACKLOG)?;
        Ok(Self { fd, read_only })
    }

    /// The next client that waits, if one does.
    ///
    /// # Errors
    /// What the kernel says, such as `EMFILE`.
    pub fn accept(&self) -> io::Result<Option<OwnedFd>> {
        match net::accept_with(&self.fd, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::AGAIN | Errno::CONNABORTED | Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A client on a socket.
#[derive(Debug)]
pub struct Client {
    /// Its socket.
    pub fd: OwnedFd,
    /// Whether it is waited for that it takes more.
    pub writes: bool,
}

impl Client {
    /// What the client sent; `None` when it is gone, nothing when it sent nothing.
    pub fn receive<'a>(&self, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
        match net::recv(&self.fd, &mut *buffer, RecvFlags::DONTWAIT) {
            Ok((0, _)) => None,
            Ok((count, _)) => Some(&buffer[..count]),
            Err(Errno::AGAIN | Errno::INTR) => Some(&[]),
            Err(_) => None,
        }
    }

    /// Sends what fits now, and says how much that was; `None` when the client is gone.
    pub fn send(&self, bytes: &[u8]) -> Option<usize> {
        match net::send(&self.fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(count) => Some(count),
            Err(Errno::AGAIN | Errno::INTR) => Some(0),
            Err(_) => None,
        }
    }
}
