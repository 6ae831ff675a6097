//! What supervisors keep on the host while domains live: a lock for each, and notes of restarts that have begun.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use xen_dev::Domid;
use xl_config::{DomainConfig, Uuid};

use crate::DomainError;
use crate::lock_file::LockFile;

/// A restart that has begun: all that is needed to bring it to its end, whatever happens to the domain that was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Restart {
    /// The domain that has ended.
    pub(crate) domid: Domid,
    /// Whether it stays, under another name.
    pub(crate) stays: bool,
    /// What the new one is made from.
    pub(crate) config: DomainConfig,
}

/// The words of a note for what becomes of the domain that has ended.
const STAYS: &str = "rename";
const GOES: &str = "destroy";

/// The folder. It must go with the host's memory, as the domains do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Folder<'a>(pub(crate) &'a Path);

impl Folder<'_> {
    fn lock_path(self, uuid: Uuid) -> PathBuf {
        self.0.join(format!("supervise-{uuid}.lock"))
    }

    fn note_path(self, uuid: Uuid) -> PathBuf {
        self.0.join(format!("{NOTE}{uuid}"))
    }

    /// Takes the right to look after a domain; `None` when another process has it.
    pub(crate) fn lock(self, uuid: Uuid) -> Result<Option<LockFile>, DomainError> {
        fs::create_dir_all(self.0).map_err(failed("make", self.0))?;
        let path = self.lock_path(uuid);
        LockFile::try_take(&path).map_err(|errno| failed("lock", &path)(errno.into()))
    }

    /// Notes that a restart begins.
    pub(crate) fn note(self, uuid: Uuid, restart: &Restart) -> Result<(), DomainError> {
        let path = self.note_path(uuid);
        let new = self.0.join(format!("new-{NOTE}{uuid}"));
        let json = restart.config.to_json().map_err(|error| failed("write", &path)(error.into()))?;
        let what = if restart.stays { STAYS } else { GOES };
        let write = || -> io::Result<()> {
            let mut file =
                fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            writeln!(file, "{what} {}", restart.domid)?;
            file.write_all(json.as_bytes())?;
            fs::rename(&new, &path)
        };
        write().map_err(failed("write", &path))
    }

    /// The restart that has begun, if one has.
    pub(crate) fn noted(self, uuid: Uuid) -> Result<Option<Restart>, DomainError> {
        let path = self.note_path(uuid);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(failed("read", &path))?,
        };
        let nonsense = || failed("read", &path)(io::ErrorKind::InvalidData.into());
        parse(&text).map(Some).ok_or_else(nonsense)
    }

    /// Notes that the restart is over.
    pub(crate) fn forget(self, uuid: Uuid) -> Result<(), DomainError> {
        let path = self.note_path(uuid);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &path)(error)),
            _ => Ok(()),
        }
    }

    /// UUIDs of the domains whose restart has begun.
    pub(crate) fn all_noted(self) -> Result<Vec<Uuid>, DomainError> {
        let entries = match fs::read_dir(self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(failed("read", self.0))?,
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter_map(|name| name.strip_prefix(NOTE)?.parse().ok()).collect())
    }
}

/// Beginning of the notes' names.
const NOTE: &str = "restart-";

/// A note: a line with what becomes of which domain, then the configuration as JSON.
fn parse(text: &str) -> Option<Restart> {
    let (line, json) = text.split_once('\n')?;
    let (what, domid) = line.split_once(' ')?;
    let stays = match what {
        STAYS => true,
        GOES => false,
        _ => return None,
    };
    let domid = Domid::new(domid.parse().ok()?)?;
    Some(Restart { domid, stays, config: DomainConfig::from_json(json).ok()? })
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DomainError {
    let path = path.to_owned();
    move |source| DomainError::UserData { what, path, source }
}
