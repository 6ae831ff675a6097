//! The pseudoterminal of a console, by which Xen's own `xl console` reaches it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, ioctl_fionread, read, write};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

/// A pseudoterminal in raw mode.
#[derive(Debug)]
pub struct Pty {
    master: OwnedFd,
    /// Held open, so that the terminal stays when the last reader goes.
    slave: OwnedFd,
    name: String,
}

impl Pty {
    /// A new pseudoterminal.
    ///
    /// # Errors
    /// What the kernel says, for instance when there are too many.
    pub fn open() -> Result<Self, Errno> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let slave = ioctl_tiocgptpeer(&master, flags)?;
        let mut mode = tcgetattr(&slave)?;
        mode.make_raw();
        tcsetattr(&slave, OptionalActions::Now, &mode)?;
        rustix::io::ioctl_fionbio(&master, true)?;
        let name = ptsname(&master, Vec::new())?.into_string().map_err(|_| Errno::INVAL)?;
        Ok(Self { master, slave, name })
    }

    /// The file that readers open.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes output, as much as there is room for.
    ///
    /// # Errors
    /// What the kernel says, other than that there is no room.
    pub fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        nothing_when_busy(write(&self.master, bytes))
    }

    /// Reads what was typed, if anything was.
    ///
    /// # Errors
    /// What the kernel says, other than that there is nothing.
    pub fn read(&self, bytes: &mut [u8]) -> Result<usize, Errno> {
        nothing_when_busy(read(&self.master, bytes))
    }

    /// Bytes written that no reader has had. When it is half of the kernel's 4 KiB buffer or more, there may be more of
    /// them than that: `None`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn unread(&self) -> Result<Option<u64>, Errno> {
        Ok(Some(ioctl_fionread(&self.slave)?).filter(|&count| count < 2048))
    }
}

fn nothing_when_busy(result: Result<usize, Errno>) -> Result<usize, Errno> {
    match result {
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        other => other,
    }
}

impl AsFd for Pty {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read as _, Write as _};

    #[test]
    fn bytes_pass_unchanged_and_a_reader_who_leaves_ends_nothing() {
        let pty = Pty::open().unwrap();
        for round in 0..2 {
            let mut reader = File::options().read(true).write(true).open(pty.name()).unwrap();
            assert_eq!(pty.write(b"a\r\n\x03\x1d\x7f"), Ok(6), "{round}");
            let mut bytes = [0; 6];
            reader.read_exact(&mut bytes).unwrap();
            assert_eq!(&bytes, b"a\r\n\x03\x1d\x7f");
            reader.write_all(b"\x03b\r").unwrap();
            let mut typed = [0; 10];
            while pty.read(&mut typed) == Ok(0) {}
            assert_eq!(&typed[..3], b"\x03b\r");
        }
    }

    #[test]
    fn terminal_that_nobody_reads_takes_a_bounded_amount() {
        let pty = Pty::open().unwrap();
        assert_eq!(pty.unread(), Ok(Some(0)));
        let taken: usize = (0..1000).map(|_| pty.write(&[b'x'; 1024]).unwrap()).sum();
        assert!((4096..500_000).contains(&taken), "{taken}");
        assert_eq!(pty.write(b"x"), Ok(0));
    }
}
