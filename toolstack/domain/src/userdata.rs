//! Files about domains, in the folder and under the names of libxl's user data: written whole or not at all, and still
//! there after a crash of the host.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open, rename, unlink};
use rustix::io::Errno;
use xen_dev::Domid;
use xl_config::Uuid;

use crate::DomainError;
use crate::lock_file::LockFile;

/// Where libxl keeps them.
pub(crate) const FOLDER: &str = "/var/lib/xen";
/// Largest file in bytes that is read.
const MAX_BYTES: u64 = 4 << 20;

/// The files of all domains.
pub(crate) struct UserData {
    folder: PathBuf,
}

/// Whose files. The UUID tells a domain from an earlier one of the same id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub(crate) domid: Domid,
    pub(crate) uuid: Uuid,
}

impl Owner {
    /// The beginning of the names of files of a kind: `d` for data, `n` for what is being written, `l` for the lock.
    fn prefix(self, kind: char) -> String {
        format!("userdata-{kind}.{}.{}.", self.domid, self.uuid)
    }
}

impl UserData {
    pub(crate) fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    fn path(&self, kind: char, owner: Owner, name: &str) -> PathBuf {
        self.folder.join(owner.prefix(kind) + name)
    }

    /// Keeps all others, libxl's tools among them, from changing a domain's files while the lock is there.
    pub(crate) fn lock(&self, owner: Owner) -> Result<LockFile, DomainError> {
        self.lock_at(&self.path('l', owner, "domain-userdata-lock"))
    }

    /// Keeps others of these tools from giving devices to domains while the lock is there.
    pub(crate) fn lock_devices(&self) -> Result<LockFile, DomainError> {
        self.lock_at(&self.folder.join("xenoxide-devices-lock"))
    }

    fn lock_at(&self, path: &Path) -> Result<LockFile, DomainError> {
        std::fs::create_dir_all(&self.folder).map_err(failed("make", &self.folder))?;
        LockFile::take(path).map_err(failed("lock", path))
    }

    /// What a file says, if it is there.
    pub(crate) fn read(&self, owner: Owner, name: &str) -> Result<Option<Vec<u8>>, DomainError> {
        let path = self.path('d', owner, name);
        let file = match open(&path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(failed("read", &path)(errno)),
        };
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed("read", &path))?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(failed("read", &path)(Errno::FBIG));
        }
        Ok(Some(bytes))
    }

    /// Writes a file anew.
    pub(crate) fn write(
        &self,
        owner: Owner,
        name: &str,
        bytes: &[u8],
        _: &LockFile,
    ) -> Result<(), DomainError> {
        let (path, new) = (self.path('d', owner, name), self.path('n', owner, name));
        let written = self.replace(&path, &new, bytes);
        written.map_err(|error| {
            // It may not have been made; the error is told.
            let _ = unlink(&new);
            failed("write", &path)(error)
        })
    }

    fn replace(&self, path: &Path, new: &Path, bytes: &[u8]) -> io::Result<()> {
        // What a crash left.
        match unlink(new) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut file = File::from(open(new, flags, Mode::RUSR | Mode::WUSR)?);
        file.write_all(bytes)?;
        file.sync_all()?;
        rename(new, path)?;
        File::open(&self.folder)?.sync_all()
    }

    /// Removes all files of a domain but its lock.
    pub(crate) fn remove_all(&self, owner: Owner) -> Result<(), DomainError> {
        if !self.folder.exists() {
            return Ok(());
        }
        let _lock = self.lock(owner)?;
        let prefixes = ['d', 'n'].map(|kind| owner.prefix(kind));
        let entries = std::fs::read_dir(&self.folder).map_err(failed("read", &self.folder))?;
        for entry in entries {
            let entry = entry.map_err(failed("read", &self.folder))?;
            let name = entry.file_name();
            if prefixes.iter().any(|prefix| name.as_encoded_bytes().starts_with(prefix.as_bytes())) {
                match unlink(entry.path()) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(errno) => return Err(failed("remove", &entry.path())(errno)),
                }
            }
        }
        Ok(())
    }
}

fn failed<E: Into<io::Error>>(what: &'static str, path: &Path) -> impl FnOnce(E) -> DomainError {
    let path = path.to_owned();
    move |error| DomainError::UserData { what, path, source: error.into() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::fake::TemporaryFolder;

    fn owner(domid: u16) -> Owner {
        Owner { domid: Domid::new(domid).unwrap(), uuid: Uuid([domid as u8; 16]) }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn file_is_written_for_root_alone_under_the_name_of_libxl() {
        let folder = TemporaryFolder::new("userdata");
        let data = UserData::new(folder.path().join("below"));
        assert_eq!(data.read(owner(7), "xl").unwrap(), None);
        data.write(owner(7), "xl", b"one", &data.lock(owner(7)).unwrap()).unwrap();
        data.write(owner(7), "xl", b"two", &data.lock(owner(7)).unwrap()).unwrap();
        assert_eq!(data.read(owner(7), "xl").unwrap().as_deref(), Some(&b"two"[..]));
        assert_eq!(data.read(owner(8), "xl").unwrap(), None);
        assert_eq!(
            names(&data.folder),
            ["userdata-d.7.07070707-0707-0707-0707-070707070707.xl"],
            "no lock, no draft"
        );
        let path = data.path('d', owner(7), "xl");
        assert_eq!(std::fs::metadata(path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn draft_that_a_crash_left_is_replaced_and_not_followed() {
        let folder = TemporaryFolder::new("userdata");
        let data = UserData::new(folder.path());
        let other = folder.path().join("other");
        std::fs::write(&other, "untouched").unwrap();
        symlink(&other, data.path('n', owner(7), "xl")).unwrap();
        data.write(owner(7), "xl", b"new", &data.lock(owner(7)).unwrap()).unwrap();
        assert_eq!(std::fs::read(&other).unwrap(), b"untouched");
        assert_eq!(data.read(owner(7), "xl").unwrap().as_deref(), Some(&b"new"[..]));
    }

    #[test]
    fn write_that_fails_keeps_what_was_there_and_says_where() {
        let folder = TemporaryFolder::new("userdata");
        let data = UserData::new(folder.path());
        let path = data.path('d', owner(7), "xl");
        std::fs::create_dir(&path).unwrap();
        let error = data.write(owner(7), "xl", b"new", &data.lock(owner(7)).unwrap()).unwrap_err();
        assert!(error.to_string().starts_with(&format!("cannot write {}: ", path.display())), "{error}");
        assert_eq!(names(folder.path()).len(), 1, "no draft is left");
    }

    #[test]
    fn file_that_is_too_large_is_not_read() {
        let folder = TemporaryFolder::new("userdata");
        let data = UserData::new(folder.path());
        let file = File::create(data.path('d', owner(7), "xl")).unwrap();
        file.set_len(MAX_BYTES).unwrap();
        assert!(data.read(owner(7), "xl").is_ok());
        file.set_len(MAX_BYTES + 1).unwrap();
        assert!(data.read(owner(7), "xl").is_err());
    }

    #[test]
    fn files_of_one_domain_are_removed_and_those_of_others_stay() {
        let folder = TemporaryFolder::new("userdata");
        let data = UserData::new(folder.path());
        for (domid, name) in [(7, "xl"), (7, "libxl-json"), (77, "xl")] {
            data.write(owner(domid), name, b"text", &data.lock(owner(domid)).unwrap()).unwrap();
        }
        data.remove_all(owner(7)).unwrap();
        assert_eq!(names(folder.path()), ["userdata-d.77.4d4d4d4d-4d4d-4d4d-4d4d-4d4d4d4d4d4d.xl"]);
        UserData::new(folder.path().join("none")).remove_all(owner(7)).unwrap();
    }

    #[test]
    fn only_one_has_the_lock() {
        let folder = TemporaryFolder::new("userdata");
        let data = UserData::new(folder.path());
        let inside = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let _lock = data.lock(owner(7)).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(names(folder.path()).is_empty());
    }
}
