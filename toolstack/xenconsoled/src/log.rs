//! A log file of a console: timestamps, escapes made harmless, rotation by size.
//!
//! Whoever writes it notes elsewhere up to where its output is in the log, in one step with how much output was taken.
//! If it is killed before, the next daemon [cuts the log back](Log::cut_back) to what was noted: that output comes
//! again, and is in the log once.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::clock::stamp;

/// The escape character, which a terminal that shows the log would obey.
const ESCAPE: u8 = 0x1b;

/// Most bytes that one piece of output is in a log. What is longer, somebody else wrote.
const PIECE_MAX: u64 = 1 << 20;

/// Where a log ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogEnd {
    /// The file, which another one follows when it is moved away; 0 is none.
    pub inode: u64,
    /// Bytes that it has.
    pub size: u64,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogStyle {
    /// Each line begins with the time at which its first byte came.
    pub timestamps: bool,
    /// Escape characters become dots.
    pub replace_escape: bool,
    /// Bytes that a file may have before it is moved away; 0 for no limit.
    pub max_size: u64,
    /// Files kept that were moved away.
    pub keep: u32,
}

/// A log file, open for appending.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    style: LogStyle,
    file: Option<File>,
    end: LogEnd,
    is_at_line_start: bool,
}

impl Log {
    /// Appends to the log at this path.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: PathBuf, style: LogStyle) -> io::Result<Self> {
        let mut log = Self { path, style, file: None, end: LogEnd::default(), is_at_line_start: true };
        log.reopen()?;
        Ok(log)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file again, as one does after it was moved away.
    ///
    /// # Errors
    /// When it cannot be opened; the next [`append`](Self::append) tries again.
    pub fn reopen(&mut self) -> io::Result<()> {
        self.file = None;
        let file = File::options().read(true).append(true).create(true).open(&self.path)?;
        self.end = end_of(&file)?;
        let mut last = *b"\n";
        if let Some(at) = self.end.size.checked_sub(1) {
            file.read_exact_at(&mut last, at)?;
        }
        self.is_at_line_start = last == *b"\n";
        self.file = Some(file);
        Ok(())
    }

    /// Where it ends.
    pub fn end(&self) -> LogEnd {
        self.end
    }

    /// Removes a piece of output behind the `noted` end, if there is one in this file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn cut_back(&mut self, noted: LogEnd) -> io::Result<()> {
        let piece = self.end.size.saturating_sub(noted.size);
        if let Some(file) = &self.file
            && self.end.inode == noted.inode
            && (1..=PIECE_MAX).contains(&piece)
        {
            file.set_len(noted.size)?;
            self.reopen()?;
        }
        Ok(())
    }

    /// Appends output of the console. A line longer than the limit of the size can be broken by a rotation. `note` is
    /// told before where the log ends, which is in another file after a rotation.
    ///
    /// # Errors
    /// When the file cannot be written or moved; the rest of the output is not logged then.
    pub fn append(
        &mut self,
        bytes: &[u8],
        now: SystemTime,
        note: impl FnOnce(LogEnd) -> io::Result<()>,
    ) -> io::Result<()> {
        let text = self.format(bytes, now);
        if text.is_empty() {
            return Ok(());
        }
        let is_full = self.style.max_size != 0 && self.end.size + text.len() as u64 > self.style.max_size;
        if self.end.size != 0 && is_full {
            self.rotate()?;
        }
        if self.file.is_none() {
            self.reopen()?;
        }
        note(self.end)?;
        let Some(file) = &mut self.file else { return Ok(()) };
        let outcome = file.write_all(&text);
        // A full disk may have taken a part.
        self.end = end_of(file)?;
        outcome
    }

    fn format(&mut self, bytes: &[u8], now: SystemTime) -> Vec<u8> {
        let mut text = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            if self.style.timestamps {
                // A carriage return behind the end of a line would be a line of its own.
                if self.is_at_line_start && byte == b'\r' {
                    continue;
                }
                if self.is_at_line_start {
                    text.extend_from_slice(stamp(now).as_bytes());
                }
                self.is_at_line_start = byte == b'\n';
            }
            text.push(if self.style.replace_escape && byte == ESCAPE { b'.' } else { byte });
        }
        text
    }

    /// Moves `log` to `log.1`, `log.1` to `log.2` and so on; the oldest is overwritten.
    fn rotate(&mut self) -> io::Result<()> {
        let numbered = |number: u32| {
            let mut name = self.path.clone().into_os_string();
            if number > 0 {
                name.push(format!(".{number}"));
            }
            PathBuf::from(name)
        };
        if self.style.keep == 0 {
            fs::remove_file(&self.path)?;
        }
        for number in (0..self.style.keep).rev() {
            match fs::rename(numbered(number), numbered(number + 1)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
        self.reopen()
    }
}

fn end_of(file: &File) -> io::Result<LogEnd> {
    let metadata = file.metadata()?;
    Ok(LogEnd { inode: metadata.ino(), size: metadata.len() })
}

/// The name of a domain as part of a file's name: one that would lead elsewhere, or that is no text, is made harmless.
pub fn file_name(domain: &str) -> String {
    let is_plain = |letter: &char| !letter.is_control() && *letter != '/';
    domain.chars().map(|letter| if is_plain(&letter) { letter } else { '_' }).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::Folder;
    use proptest::prelude::*;
    use std::time::{Duration, UNIX_EPOCH};

    const PLAIN: LogStyle = LogStyle { timestamps: false, replace_escape: false, max_size: 0, keep: 0 };

    fn read(folder: &Folder, name: &str) -> String {
        fs::read_to_string(folder.path().join(name)).unwrap_or_default()
    }

    #[test]
    fn each_line_gets_one_timestamp_however_it_arrives() {
        let folder = Folder::new();
        let style = LogStyle { timestamps: true, ..PLAIN };
        let mut log = Log::open(folder.path().join("log"), style).unwrap();
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        for (second, piece) in [(1, "one"), (2, " line\n"), (3, "\r\ntwo\r\n"), (4, "\rthree")] {
            log.append(piece.as_bytes(), at(second), |_| Ok(())).unwrap();
        }
        let day = "[1970-01-01 00:00:0";
        let expected = format!("{day}1Z] one line\n{day}3Z] \n{day}3Z] two\r\n{day}4Z] three");
        assert_eq!(read(&folder, "log"), expected);
    }

    #[test]
    fn escapes_are_replaced_when_asked_for() {
        let folder = Folder::new();
        for (style, expected) in
            [(PLAIN, "a\x1b[1mb"), (LogStyle { replace_escape: true, ..PLAIN }, "a.[1mb")]
        {
            let mut log = Log::open(folder.path().join(expected), style).unwrap();
            log.append(b"a\x1b[1mb", SystemTime::now(), |_| Ok(())).unwrap();
            assert_eq!(read(&folder, expected), expected);
        }
    }

    #[test]
    fn full_log_is_moved_away_and_the_oldest_goes() {
        let folder = Folder::new();
        let style = LogStyle { max_size: 10, keep: 2, ..PLAIN };
        let path = folder.path().join("log");
        for piece in ["first line", "second", "3rd", "fourth one", "a line that is too long"] {
            // A daemon that is started again counts on.
            Log::open(path.clone(), style)
                .unwrap()
                .append(piece.as_bytes(), SystemTime::now(), |_| Ok(()))
                .unwrap();
        }
        assert_eq!(read(&folder, "log"), "a line that is too long");
        assert_eq!(read(&folder, "log.1"), "fourth one");
        assert_eq!(read(&folder, "log.2"), "second3rd");
        assert!(!folder.path().join("log.3").exists());
    }

    #[test]
    fn nothing_is_kept_when_no_old_logs_are_wanted() {
        let folder = Folder::new();
        let style = LogStyle { max_size: 4, ..PLAIN };
        let mut log = Log::open(folder.path().join("log"), style).unwrap();
        for piece in ["1234", "5678"] {
            log.append(piece.as_bytes(), SystemTime::now(), |_| Ok(())).unwrap();
        }
        assert_eq!(read(&folder, "log"), "5678");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn log_moved_away_by_others_is_opened_again() {
        let folder = Folder::new();
        let mut log = Log::open(folder.path().join("log"), PLAIN).unwrap();
        log.append(b"old", SystemTime::now(), |_| Ok(())).unwrap();
        fs::rename(log.path(), folder.path().join("moved")).unwrap();
        log.append(b" still", SystemTime::now(), |_| Ok(())).unwrap();
        log.reopen().unwrap();
        log.append(b"new", SystemTime::now(), |_| Ok(())).unwrap();
        assert_eq!((&*read(&folder, "moved"), &*read(&folder, "log")), ("old still", "new"));
    }

    #[test]
    fn log_whose_folder_went_is_written_again_when_it_is_back() {
        let folder = Folder::new();
        let path = folder.path().join("logs");
        fs::create_dir(&path).unwrap();
        let mut log = Log::open(path.join("log"), PLAIN).unwrap();
        fs::remove_dir_all(&path).unwrap();
        assert!(log.reopen().is_err() && log.append(b"lost", SystemTime::now(), |_| Ok(())).is_err());
        fs::create_dir(&path).unwrap();
        log.append(b"back", SystemTime::now(), |_| Ok(())).unwrap();
        assert_eq!(read(&folder, "logs/log"), "back");
    }

    #[test]
    fn piece_that_was_not_noted_is_cut_off_and_nothing_that_others_wrote() {
        let folder = Folder::new();
        let path = folder.path().join("log");
        let mut log = Log::open(path.clone(), LogStyle { timestamps: true, ..PLAIN }).unwrap();
        let mut noted = Vec::new();
        for piece in ["noted\n", "lost"] {
            log.append(piece.as_bytes(), UNIX_EPOCH, |end| {
                noted.push(end);
                Ok(())
            })
            .unwrap();
        }
        assert_eq!(noted[1], LogEnd { inode: noted[0].inode, size: 29 });
        let style = LogStyle { timestamps: true, ..PLAIN };
        let mut again = Log::open(path.clone(), style).unwrap();
        let elsewhere = LogEnd { inode: noted[1].inode + 1, ..noted[1] };
        let beyond = LogEnd { size: 1000, ..noted[1] };
        for end in [LogEnd::default(), elsewhere, beyond, log.end()] {
            again.cut_back(end).unwrap();
            assert_eq!(again.end(), log.end());
        }
        again.cut_back(noted[1]).unwrap();
        assert_eq!(read(&folder, "log"), "[1970-01-01 00:00:00Z] noted\n");
        // In the middle of a line no time is due, and it is known where a line begins.
        again.append(b"once", UNIX_EPOCH, |_| Ok(())).unwrap();
        Log::open(path, style).unwrap().append(b" more", UNIX_EPOCH, |_| Ok(())).unwrap();
        let line = "[1970-01-01 00:00:00Z] ";
        assert_eq!(read(&folder, "log"), format!("{line}noted\n{line}once more"));
    }

    #[test]
    fn file_that_follows_a_full_one_is_noted_before_anything_is_in_it() {
        let folder = Folder::new();
        let style = LogStyle { max_size: 4, keep: 1, ..PLAIN };
        let mut log = Log::open(folder.path().join("log"), style).unwrap();
        log.append(b"full", UNIX_EPOCH, |_| Ok(())).unwrap();
        let full = log.end();
        log.append(b"next", UNIX_EPOCH, |end| {
            assert_ne!(end.inode, full.inode);
            assert_eq!(end.size, 0);
            Ok(())
        })
        .unwrap();
    }

    proptest! {
        #[test]
        fn no_name_of_a_domain_leads_out_of_the_folder(name: String) {
            let path = Path::new("/logs").join(format!("guest-{}.log", file_name(&name)));
            prop_assert_eq!(path.parent(), Some(Path::new("/logs")));
            prop_assert!(!file_name(&name).contains(['/', '\0', '\n']));
        }
    }
}
