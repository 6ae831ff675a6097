//! The way to the daemon: a unix socket, or the kernel's device.

use crate::error::Error;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::net;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where the daemon listens: `$XENSTORED_PATH`, else `socket` in `$XENSTORED_RUNDIR` or `/run/xenstored`, else the
/// kernel's device, as with Xen's library.
pub fn default_path() -> PathBuf {
    if let Some(path) = std::env::var_os("XENSTORED_PATH") {
        return path.into();
    }
    let folder = std::env::var_os("XENSTORED_RUNDIR").unwrap_or_else(|| "/run/xenstored".into());
    let socket = Path::new(&folder).join("socket");
    if socket.exists() { socket } else { "/dev/xen/xenbus".into() }
}

/// An open way.
#[derive(Debug)]
pub(crate) struct Transport {
    fd: OwnedFd,
    /// A socket, on which one can connect again.
    pub(crate) is_socket: bool,
}

impl Transport {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let failed = |errno: Errno| Error::Connect { path: path.to_owned(), cause: errno.into() };
        let kind = rustix::fs::stat(path).map_err(failed)?.st_mode;
        if FileType::from_raw_mode(kind) != FileType::Socket {
            let flags = OFlags::RDWR | OFlags::CLOEXEC;
            let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(failed)?;
            return Ok(Self { fd, is_socket: false });
        }
        let flags = net::SocketFlags::CLOEXEC;
        let address = net::SocketAddrUnix::new(path).map_err(failed)?;
        let fd = net::socket_with(net::AddressFamily::UNIX, net::SocketType::STREAM, flags, None)
            .map_err(failed)?;
        net::connect(&fd, &address).map_err(failed)?;
        Ok(Self { fd, is_socket: true })
    }

    /// Sends all bytes.
    pub(crate) fn send(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let sent = if self.is_socket {
                // A daemon that is gone is an error here, not a signal.
                net::send(&self.fd, bytes, net::SendFlags::NOSIGNAL)
            } else {
                rustix::io::write(&self.fd, bytes)
            };
            match sent {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Receives some bytes; an error if the other side is gone.
    pub(crate) fn receive<'a>(&self, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
        loop {
            match rustix::io::read(&self.fd, &mut *buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => return Ok(&buffer[..count]),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until there is something to receive; `false` if there is nothing until `deadline`.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> io::Result<bool> {
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let timeout = left.map(timespec);
            match poll(&mut [PollFd::new(&self.fd, PollFlags::IN)], timeout.as_ref()) {
                Ok(0) => return Ok(false),
                Ok(_) => return Ok(true),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The duration as the kernel takes it; more than it can hold is for ever in practice.
fn timespec(duration: Duration) -> Timespec {
    let tv_sec = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    Timespec { tv_sec, tv_nsec: duration.subsec_nanos().into() }
}
