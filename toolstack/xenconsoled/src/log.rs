//! A log file of a console: timestamps, escapes made harmless, rotation by size.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::clock::stamp;

/// The escape character, which a terminal that shows the log would obey.
const ESCAPE: u8 = 0x1b;

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
    size: u64,
    is_at_line_start: bool,
}

impl Log {
    /// Appends to the log at this path.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: PathBuf, style: LogStyle) -> io::Result<Self> {
        let mut log = Self { path, style, file: None, size: 0, is_at_line_start: true };
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
        let file = File::options().append(true).create(true).open(&self.path)?;
        self.size = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }

    /// Appends output of the console. A line longer than the limit of the size can be broken by a rotation.
    ///
    /// # Errors
    /// When the file cannot be written or moved; the rest of the output is not logged then.
    pub fn append(&mut self, bytes: &[u8], now: SystemTime) -> io::Result<()> {
        let text = self.format(bytes, now);
        if text.is_empty() {
            return Ok(());
        }
        let is_full = self.style.max_size != 0 && self.size + text.len() as u64 > self.style.max_size;
        if self.size != 0 && is_full {
            self.rotate()?;
        }
        if self.file.is_none() {
            self.reopen()?;
        }
        if let Some(file) = &mut self.file {
            file.write_all(&text)?;
            self.size += text.len() as u64;
        }
        Ok(())
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
            log.append(piece.as_bytes(), at(second)).unwrap();
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
            log.append(b"a\x1b[1mb", SystemTime::now()).unwrap();
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
            Log::open(path.clone(), style).unwrap().append(piece.as_bytes(), SystemTime::now()).unwrap();
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
            log.append(piece.as_bytes(), SystemTime::now()).unwrap();
        }
        assert_eq!(read(&folder, "log"), "5678");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn log_moved_away_by_others_is_opened_again() {
        let folder = Folder::new();
        let mut log = Log::open(folder.path().join("log"), PLAIN).unwrap();
        log.append(b"old", SystemTime::now()).unwrap();
        fs::rename(log.path(), folder.path().join("moved")).unwrap();
        log.append(b" still", SystemTime::now()).unwrap();
        log.reopen().unwrap();
        log.append(b"new", SystemTime::now()).unwrap();
        assert_eq!((&*read(&folder, "moved"), &*read(&folder, "log")), ("old still", "new"));
    }

    #[test]
    fn log_whose_folder_went_is_written_again_when_it_is_back() {
        let folder = Folder::new();
        let path = folder.path().join("logs");
        fs::create_dir(&path).unwrap();
        let mut log = Log::open(path.join("log"), PLAIN).unwrap();
        fs::remove_dir_all(&path).unwrap();
        assert!(log.reopen().is_err() && log.append(b"lost", SystemTime::now()).is_err());
        fs::create_dir(&path).unwrap();
        log.append(b"back", SystemTime::now()).unwrap();
        assert_eq!(read(&folder, "logs/log"), "back");
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
