//! The file that names a daemon's process, and whose lock says that the daemon runs.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// A pid file that is locked for as long as it, or what [`share`](Self::share) gives, is open.
#[derive(Debug)]
pub(crate) struct PidFile {
    file: File,
    path: PathBuf,
}

impl PidFile {
    /// Locks the file, which is made if it is missing.
    ///
    /// # Errors
    /// When it cannot be written, or `name` runs already.
    pub(crate) fn lock(path: &Path, name: &str) -> Result<Self> {
        let named = || format!("cannot write {}", path.display());
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(named)?;
        }
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = file.with_context(named)?;
        if let Err(errno) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if errno != Errno::WOULDBLOCK {
                return Err(errno).with_context(|| format!("cannot lock {}", path.display()));
            }
            let mut other = String::new();
            file.read_to_string(&mut other).with_context(named)?;
            bail!("{name} runs already, as process {}", other.trim());
        }
        Ok(Self { file, path: path.to_owned() })
    }

    /// Writes this process into it. Whoever reads meanwhile finds the last one, this one or nothing, and no mixture.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn write(&self, pid: u32) -> Result<()> {
        let text = format!("{pid}\n");
        let failed = || format!("cannot write {}", self.path.display());
        if self.file.metadata().with_context(failed)?.len() > text.len() as u64 {
            self.file.set_len(0).with_context(failed)?;
        }
        self.file.write_all_at(text.as_bytes(), 0).with_context(failed)
    }

    /// The open file for another process: it then holds the lock as well.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn share(&self) -> Result<Stdio> {
        Ok(self.file.try_clone().context("cannot hand on the pid file")?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_one_process_and_whoever_comes_second_is_told_which() {
        let folder = std::env::temp_dir().join(format!("daemon-pid-{}", std::process::id()));
        let path = folder.join("run/some.pid");
        let first = PidFile::lock(&path, "some").unwrap();
        for (pid, text) in [(123_456, "123456\n"), (99, "99\n"), (100_000, "100000\n")] {
            first.write(pid).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        let second = PidFile::lock(&path, "some").unwrap_err().to_string();
        assert_eq!(second, "some runs already, as process 100000");
        let _shared = first.share().unwrap();
        drop(first);
        assert!(PidFile::lock(&path, "some").is_err(), "the lock is held by who shares it");
        fs::remove_dir_all(&folder).unwrap();
    }
}
