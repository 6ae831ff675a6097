//! The files that the state outlives the daemon in.
//!
//! `state` is a saved store with a number; `journal.<number>` holds every input since. An input is in the journal
//! before anything follows from it that others could see: an answer, or a ring's index. So whoever starts next is
//! where the killed one was, open transactions and half-read requests included; what a ring got beyond what the
//! journal knows is told by the ring's own index.
//!
//! Why this way: a journal of inputs needs no code for each kind of change, since the store does the same again with
//! the same inputs, and costs one write for all that one turn of the loop brings. What happens on sockets alone and
//! changes nothing for others (transactions before their end, watches) waits in memory until something must be written,
//! since sockets end with the daemon anyhow; what changes nothing at all (reading) is not noted. When a journal has
//! become much longer than the state, a new state is written: into a new file, renamed into place, with a new number,
//! so that state and journal always fit together.
//!
//! The files are in `/run`, in memory. They survive the daemon, not the host, and no domain survives that.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use thiserror::Error;
use xenstore_store::{JournalError, Quotas, Record, StateError, Store, journal};

/// Bytes of journal before a new state is written, at least.
const JOURNAL_MIN: usize = 4 << 20;
/// How much longer than the state a journal gets.
const JOURNAL_PER_STATE: usize = 4;
/// Bytes that may wait in memory.
const WAITING_MAX: usize = 64 << 10;

/// Why the state cannot be taken up.
#[derive(Debug, Error)]
pub enum PersistError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The saved state is none.
    #[error("{}: {source}; to start with an empty store, remove the file", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: StateError,
    },
    /// The journal is none.
    #[error("{}: {source}; to go back to the state before it, remove the file", path.display())]
    Journal {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: JournalError,
    },
}

/// State and journal on their way into files.
#[derive(Debug)]
pub struct Persist {
    folder: PathBuf,
    number: u64,
    file: Option<File>,
    /// Records that are not in the file yet.
    waiting: Vec<u8>,
    written: usize,
    /// Bytes of journal at which a new state is due.
    limit: usize,
    /// Revision of the store up to which the file goes.
    revision: u64,
    /// Something that waits must be in the file before anything follows from it.
    must_write: bool,
}

impl Persist {
    /// Takes up the store that the files in `folder` hold, or begins an empty one.
    ///
    /// # Errors
    /// [`PersistError`] when the files hold something else.
    pub fn open(folder: &Path, quotas: Quotas) -> Result<(Self, Store), PersistError> {
        let state = folder.join("state");
        let mut number = 0;
        let mut store = match read(&state)? {
            None => Store::new(quotas),
            Some(bytes) => {
                let failed = |source| PersistError::State { path: state.clone(), source };
                let (head, body) = bytes.split_first_chunk().ok_or(failed(StateError::Foreign))?;
                number = u64::from_le_bytes(*head);
                Store::load(body).map_err(failed)?
            }
        };
        let path = journal_path(folder, number);
        if let Some(bytes) = read(&path)? {
            journal::replay(&mut store, &bytes).map_err(|source| PersistError::Journal { path, source })?;
        }
        let persist = Self {
            folder: folder.to_owned(),
            number,
            file: None,
            waiting: Vec::new(),
            written: 0,
            limit: 0,
            revision: store.revision(),
            must_write: false,
        };
        Ok((persist, store))
    }

    /// Notes an input that changes nothing for others than one socket's client.
    pub fn note(&mut self, record: &Record<'_>) {
        record.append(&mut self.waiting);
    }

    /// Notes an input that has to be in the file before anything follows from it.
    pub fn note_durably(&mut self, record: &Record<'_>) {
        record.append(&mut self.waiting);
        self.must_write = true;
    }

    /// Brings what has to be there into the file. To be called before anything is sent.
    ///
    /// # Errors
    /// [`PersistError::Io`]. The store is whole in memory still; the next call begins with a new state.
    pub fn write(&mut self, store: &mut Store) -> Result<(), PersistError> {
        let is_due = self.must_write || store.revision() != self.revision || self.waiting.len() > WAITING_MAX;
        if !is_due {
            return Ok(());
        }
        let Some(file) = self.file.as_mut().filter(|_| self.written + self.waiting.len() < self.limit) else {
            return self.save(store).inspect_err(|_| self.begin_anew());
        };
        if let Err(source) = file.write_all(&self.waiting) {
            self.begin_anew();
            return Err(PersistError::Io { path: journal_path(&self.folder, self.number), source });
        }
        self.written += self.waiting.len();
        self.done(store);
        Ok(())
    }

    /// Writes a new state and begins a new journal.
    ///
    /// # Errors
    /// [`PersistError::Io`]; the files are then as before.
    pub fn save(&mut self, store: &mut Store) -> Result<(), PersistError> {
        let number = self.number + 1;
        let journal = journal_path(&self.folder, number);
        let file = create(&journal)?;
        let fresh = self.folder.join("state.new");
        let body = store.save();
        let failed = |source| PersistError::Io { path: fresh.clone(), source };
        let mut state = create(&fresh)?;
        state.write_all(&number.to_le_bytes()).and_then(|()| state.write_all(&body)).map_err(failed)?;
        fs::rename(&fresh, self.folder.join("state")).map_err(failed)?;
        // A journal that stays behind is in nobody's way: its number is not used again before it is emptied.
        let _ = fs::remove_file(journal_path(&self.folder, self.number));
        self.number = number;
        self.file = Some(file);
        self.written = 0;
        self.limit = JOURNAL_MIN.max(JOURNAL_PER_STATE * body.len());
        self.done(store);
        Ok(())
    }

    /// After a failure, the next write is of a new state, which has in it what waits.
    fn begin_anew(&mut self) {
        self.file = None;
        self.waiting.clear();
        self.must_write = true;
    }

    fn done(&mut self, store: &Store) {
        self.waiting.clear();
        self.must_write = false;
        self.revision = store.revision();
    }
}

fn journal_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("journal.{number}"))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, PersistError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(PersistError::Io { path: path.to_owned(), source }),
    }
}

/// An empty file that only root may read: it holds what guests wrote.
fn create(path: &Path) -> Result<File, PersistError> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.map_err(|source| PersistError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use xenstore_store::Peer;

    use super::*;

    #[test]
    fn disk_that_is_full_for_long_makes_nothing_grow_and_loses_nothing_once_there_is_room() {
        let folder = std::env::temp_dir().join(format!("xenstored-persist-{}", std::process::id()));
        let (mut persist, mut store) = Persist::open(&folder, Quotas::default()).unwrap();
        let mut connect = |persist: &mut Persist| {
            store.connect(Peer::Socket { read_only: false });
            persist.note_durably(&Record::Connect { read_only: false });
            persist.write(&mut store)
        };
        for _ in 0..100 {
            // There is no such folder.
            assert!(connect(&mut persist).is_err());
            assert_eq!(persist.waiting.len(), 0);
        }
        fs::create_dir(&folder).unwrap();
        connect(&mut persist).unwrap();
        connect(&mut persist).unwrap();
        let (_, again) = Persist::open(&folder, Quotas::default()).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(again.connections().count(), 102);
    }
}
