//! The last output of a console, in a file that outlives the daemon.
//!
//! The file is the history: nothing of it is kept in memory, and a viewer is no more than a position. A file of its own
//! and not the log, because the log is optional, has timestamps, and is moved away by rotation. It lies where files are
//! lost with the host, as domains are.
//!
//! Output is [committed](History::commit) in two writes: the bytes, beyond what is readable, then the header, which
//! makes them part of the history together with the ring's index behind them. A daemon killed at any point leaves
//! either all or nothing of a piece, so output is neither lost nor repeated.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::log::LogEnd;
use crate::ring::MAX_OUTPUT;

/// What the file begins with.
const MAGIC: [u8; 8] = *b"XENCON02";
/// Bytes of the header, those not used included.
const HEADER: usize = 128;

/// A domain's UUID: ids of domains are used again, and this tells which one a file is about.
pub type DomainUuid = [u8; 16];

/// The history of a console. Positions count bytes since the domain began.
#[derive(Debug)]
pub struct History {
    file: File,
    uuid: DomainUuid,
    capacity: u64,
    end: u64,
    taken: Option<u32>,
    shown: u64,
    log: LogEnd,
}

impl History {
    /// Opens the history in this file for a console of this domain, or begins a new one there when the file is
    /// missing, damaged, or about another domain. `capacity` is how many bytes a new one keeps.
    ///
    /// # Errors
    /// When the file can be neither read nor written.
    pub fn open(path: &Path, uuid: DomainUuid, capacity: u32) -> io::Result<Self> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut header = [0; HEADER];
        let read = file.read_exact_at(&mut header, 0);
        match read.ok().and_then(|()| Header::decode(&header)).filter(|found| found.uuid == uuid) {
            Some(Header { capacity, end, taken, shown, log, .. }) => {
                Ok(Self { file, uuid, capacity: capacity.into(), end, taken, shown, log })
            }
            None => {
                file.set_len(0)?;
                let capacity = capacity.max(1).into();
                let log = LogEnd::default();
                let new = Self { file, uuid, capacity, end: 0, taken: None, shown: 0, log };
                new.reserve()?;
                Ok(new)
            }
        }
    }

    /// The position behind the last byte.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The position of the oldest byte that is kept.
    pub fn start(&self) -> u64 {
        self.end.saturating_sub(self.capacity)
    }

    /// Bytes that it keeps.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// The ring's index behind the output committed last, if any was.
    pub fn taken(&self) -> Option<u32> {
        self.taken
    }

    /// The position up to which the terminal's reader surely had the output.
    pub fn shown(&self) -> u64 {
        self.shown
    }

    /// Where the log ended when the output that is in it became part of the history, or when the log was opened.
    pub fn log(&self) -> LogEnd {
        self.log
    }

    /// Notes where the log ends together with the next output.
    pub fn set_log(&mut self, log: LogEnd) {
        self.log = log;
    }

    /// Notes where the log ends now.
    ///
    /// # Errors
    /// When the file cannot be written; nothing has changed.
    pub fn note_log(&mut self, log: LogEnd) -> io::Result<()> {
        if log != self.log {
            self.write_header(&Header { log, ..self.header() })?;
            self.log = log;
        }
        Ok(())
    }

    /// Makes output part of the history. `taken` is the ring's index behind it. At most [`MAX_OUTPUT`] bytes.
    ///
    /// # Errors
    /// When the file cannot be written; the history is as it was.
    pub fn commit(&mut self, bytes: &[u8], taken: u32) -> io::Result<()> {
        if bytes.len() > MAX_OUTPUT {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let at = self.place(self.end);
        let (head, tail) = bytes.split_at(bytes.len().min((self.size() - at) as usize));
        self.file.write_all_at(head, HEADER as u64 + at)?;
        self.file.write_all_at(tail, HEADER as u64)?;
        let (end, taken) = (self.end + bytes.len() as u64, Some(taken));
        self.write_header(&Header { end, taken, ..self.header() })?;
        (self.end, self.taken) = (end, taken);
        Ok(())
    }

    /// Notes how far the terminal's reader surely is.
    ///
    /// # Errors
    /// When the file cannot be written; nothing has changed.
    pub fn set_shown(&mut self, shown: u64) -> io::Result<()> {
        let shown = shown.min(self.end);
        if shown != self.shown {
            self.write_header(&Header { shown, ..self.header() })?;
            self.shown = shown;
        }
        Ok(())
    }

    /// Reads from a position on, or from the oldest byte if that is later. Gives the position of the first byte read
    /// and how many were.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&self, from: u64, bytes: &mut [u8]) -> io::Result<(u64, usize)> {
        let from = from.clamp(self.start(), self.end);
        let count = bytes.len().min((self.end - from) as usize);
        let at = self.place(from);
        let (head, tail) = bytes[..count].split_at_mut(count.min((self.size() - at) as usize));
        self.file.read_exact_at(head, HEADER as u64 + at)?;
        self.file.read_exact_at(tail, HEADER as u64)?;
        Ok((from, count))
    }

    /// Bytes of the file's ring: room for a piece that is not committed yet is not readable.
    fn size(&self) -> u64 {
        self.capacity + MAX_OUTPUT as u64
    }

    /// Takes all of the file's room now, so that it does not run out later. Some file systems cannot.
    fn reserve(&self) -> io::Result<()> {
        match fallocate(&self.file, FallocateFlags::empty(), 0, HEADER as u64 + self.size()) {
            Err(Errno::OPNOTSUPP) => Ok(()),
            other => Ok(other?),
        }
    }

    fn place(&self, position: u64) -> u64 {
        position % self.size()
    }

    fn header(&self) -> Header {
        let Self { uuid, end, taken, shown, log, .. } = *self;
        Header { uuid, capacity: self.capacity as u32, end, taken, shown, log }
    }

    fn write_header(&self, header: &Header) -> io::Result<()> {
        self.file.write_all_at(&header.encode(), 0)
    }
}

struct Header {
    uuid: DomainUuid,
    capacity: u32,
    end: u64,
    taken: Option<u32>,
    shown: u64,
    log: LogEnd,
}

impl Header {
    fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..24].copy_from_slice(&self.uuid);
        bytes[24..28].copy_from_slice(&self.capacity.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.taken.unwrap_or(0).to_le_bytes());
        bytes[32..40].copy_from_slice(&self.end.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.shown.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.log.inode.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.log.size.to_le_bytes());
        bytes[64] = self.taken.is_some().into();
        bytes
    }

    fn decode(bytes: &[u8; HEADER]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (uuid, rest) = rest.split_first_chunk()?;
        let (capacity, rest) = rest.split_first_chunk()?;
        let (taken, rest) = rest.split_first_chunk()?;
        let (end, rest) = rest.split_first_chunk()?;
        let (shown, rest) = rest.split_first_chunk()?;
        let (inode, rest) = rest.split_first_chunk()?;
        let (size, rest) = rest.split_first_chunk()?;
        let has_taken = *rest.first()? != 0;
        let header = Self {
            uuid: *uuid,
            capacity: u32::from_le_bytes(*capacity),
            taken: has_taken.then_some(u32::from_le_bytes(*taken)),
            end: u64::from_le_bytes(*end),
            shown: u64::from_le_bytes(*shown),
            log: LogEnd { inode: u64::from_le_bytes(*inode), size: u64::from_le_bytes(*size) },
        };
        // A position cannot reach half of its range in any time that a host runs.
        let is_sound = header.capacity != 0 && header.shown <= header.end && header.end <= u64::MAX / 2;
        (*magic == MAGIC && is_sound).then_some(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::Folder;
    use proptest::prelude::*;

    fn contents(history: &History) -> Vec<u8> {
        let mut bytes = vec![0; history.capacity() as usize + 10];
        let (from, count) = history.read(0, &mut bytes).unwrap();
        assert_eq!(from, history.start());
        bytes.truncate(count);
        bytes
    }

    #[test]
    fn history_of_another_domain_of_the_same_id_is_not_shown() {
        let folder = Folder::new();
        let path = folder.path().join("5");
        History::open(&path, [1; 16], 100).unwrap().commit(b"secret", 6).unwrap();
        assert_eq!(contents(&History::open(&path, [1; 16], 50).unwrap()), b"secret");
        let other = History::open(&path, [2; 16], 100).unwrap();
        assert_eq!((contents(&other), other.taken()), (Vec::new(), None));
    }

    #[test]
    fn damaged_file_is_begun_anew() {
        let folder = Folder::new();
        let path = folder.path().join("5");
        let mut good =
            Header { uuid: [1; 16], capacity: 100, end: 9, taken: Some(9), shown: 0, log: LogEnd::default() };
        good.end = u64::MAX;
        let endless = good.encode();
        good.capacity = 0;
        for damage in [&b""[..], b"XENCON02", &[0xff; 200], &endless, &good.encode()] {
            std::fs::write(&path, damage).unwrap();
            let mut history = History::open(&path, [1; 16], 100).unwrap();
            assert_eq!((history.end(), history.taken()), (0, None));
            history.commit(b"abc", 3).unwrap();
            assert_eq!(contents(&history), b"abc");
        }
    }

    #[test]
    fn end_of_the_log_is_kept_with_the_output_that_is_in_it_or_at_once() {
        let folder = Folder::new();
        let path = folder.path().join("5");
        let open = || History::open(&path, [1; 16], 100).unwrap();
        let mut history = open();
        let [begun, longer] = [0, 3].map(|size| LogEnd { inode: 7, size });
        history.note_log(begun).unwrap();
        assert_eq!((open().log(), open().taken()), (begun, None));
        history.set_log(longer);
        assert_eq!(open().log(), begun);
        history.commit(b"abc", 3).unwrap();
        assert_eq!((open().log(), open().taken()), (longer, Some(3)));
    }

    #[test]
    fn file_cut_short_behind_its_header_is_an_error_and_no_panic() {
        let folder = Folder::new();
        let path = folder.path().join("5");
        History::open(&path, [1; 16], 100).unwrap().commit(b"abc", 3).unwrap();
        File::options().write(true).open(&path).unwrap().set_len(HEADER as u64 + 1).unwrap();
        let history = History::open(&path, [1; 16], 100).unwrap();
        assert!(history.read(0, &mut [0; 10]).is_err());
    }

    #[test]
    fn daemon_killed_before_the_header_was_written_leaves_the_old_history() {
        let folder = Folder::new();
        let path = folder.path().join("5");
        let mut history = History::open(&path, [1; 16], 3000).unwrap();
        history.commit(&[b'a'; MAX_OUTPUT], 2048).unwrap();
        history.commit(&[b'b'; MAX_OUTPUT], 4096).unwrap();
        let before = contents(&history);
        let header = std::fs::read(&path).unwrap()[..HEADER].to_vec();
        history.commit(&[b'c'; MAX_OUTPUT], 6144).unwrap();
        history.file.write_all_at(&header, 0).unwrap();
        let again = History::open(&path, [1; 16], 3000).unwrap();
        assert_eq!((contents(&again), again.taken()), (before, Some(4096)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_last_bytes_are_kept_also_over_restarts(
            capacity in 1u32..5000,
            pieces in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..2048), any::<bool>()), 0..12),
        ) {
            let folder = Folder::new();
            let path = folder.path().join("5");
            let mut history = History::open(&path, [1; 16], capacity).unwrap();
            let mut all = Vec::new();
            for (piece, restart) in pieces {
                all.extend_from_slice(&piece);
                history.commit(&piece, all.len() as u32).unwrap();
                history.set_shown(all.len() as u64 / 2).unwrap();
                if restart {
                    history = History::open(&path, [1; 16], 1).unwrap();
                }
                let kept = &all[all.len().saturating_sub(capacity as usize)..];
                prop_assert_eq!(&contents(&history)[..], kept);
                prop_assert_eq!((history.end(), history.shown()), (all.len() as u64, all.len() as u64 / 2));
                prop_assert_eq!(history.taken(), Some(all.len() as u32));
            }
        }
    }
}
