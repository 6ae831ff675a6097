//! Files that are there only to be locked, and go with the lock.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, open, stat, unlink};
use rustix::io::{Errno, retry_on_intr};

/// A lock that this process has. Its file goes when this is dropped, and the lock with the process at the latest.
#[derive(Debug)]
pub(crate) struct LockFile {
    path: PathBuf,
    _file: OwnedFd,
}

impl LockFile {
    /// Takes the lock with this name; waits while another has it.
    pub(crate) fn take(path: &Path) -> Result<Self, Errno> {
        Self::locked(path, FlockOperation::LockExclusive)
    }

    /// Takes the lock with this name; `None` when another has it.
    pub(crate) fn try_take(path: &Path) -> Result<Option<Self>, Errno> {
        match Self::locked(path, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => Ok(None),
            other => other.map(Some),
        }
    }

    fn locked(path: &Path, how: FlockOperation) -> Result<Self, Errno> {
        loop {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let file = open(path, flags, Mode::RUSR | Mode::WUSR)?;
            retry_on_intr(|| flock(&file, how))?;
            let ours = fstat(&file)?;
            match stat(path) {
                Ok(there) if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino) => {
                    return Ok(Self { path: path.to_owned(), _file: file });
                }
                // Who had the lock has removed its file: others would lock another.
                Ok(_) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // Before it is unlocked: who locks it then sees that it is no longer the one of that name. If it cannot be
        // removed, it is there for the next.
        let _ = unlink(&self.path);
    }
}
