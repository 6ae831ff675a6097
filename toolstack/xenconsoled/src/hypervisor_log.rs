//! The hypervisor's own console, written to a log.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use xen_ctrl::{ConsoleText, CtrlError};
use xen_dev::{EventChannels, Port};

use crate::log::{Log, LogEnd};
use crate::report;

/// Readings at a time. The hypervisor keeps less than that many, unless it is told to keep very much.
const READINGS: usize = 64;

/// Reads the hypervisor's console ring from an index on.
pub type ReadConsole = Box<dyn FnMut(Option<u32>) -> Result<ConsoleText, CtrlError>>;

/// The hypervisor's console and its log.
pub struct HypervisorLog {
    read: ReadConsole,
    port: Port,
    log: Log,
    /// Also for the next daemon.
    position: Position,
    position_file: PathBuf,
    is_complained: bool,
}

/// How far the text is in the log.
#[derive(Clone, Copy, Default)]
struct Position {
    /// The index behind the last text.
    next: u32,
    /// Where the log ended then, or when it was opened.
    log: LogEnd,
}

impl Position {
    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split_whitespace();
        let next = numbers.next()?.parse().ok()?;
        let (inode, size) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
        Some(Self { next, log: LogEnd { inode, size } })
    }

    /// Writes it down. The text has always the same length: the file is never half of one and half of another.
    fn note(&self, path: &Path) -> io::Result<()> {
        let text = format!("{:010} {:020} {:020}\n", self.next, self.log.inode, self.log.size);
        let file = File::options().write(true).create(true).truncate(false).open(path)?;
        file.write_all_at(text.as_bytes(), 0)
    }
}

impl HypervisorLog {
    /// Logs what the hypervisor has to say from now on, and what it said since the last daemon, or since it began.
    /// `port` is that of the virtual interrupt `VIRQ_CON_RING`.
    pub fn new(read: ReadConsole, port: Port, log: Log, position_file: PathBuf) -> Self {
        let noted = fs::read_to_string(&position_file).ok();
        let position = noted.and_then(|text| Position::parse(&text)).unwrap_or_default();
        let mut new = Self { read, port, log, position, position_file, is_complained: false };
        if let Err(error) = new.log.cut_back(position.log) {
            new.complain(&format!("cannot write {}: {error}", new.log.path().display()));
        }
        new.take();
        new
    }

    /// Our port.
    pub fn port(&self) -> Port {
        self.port
    }

    /// Its log.
    pub fn log_mut(&mut self) -> &mut Log {
        &mut self.log
    }

    /// Answers the virtual interrupt.
    pub fn on_event(&mut self, events: &dyn EventChannels) {
        self.take();
        // The port is ours and bound.
        let _ = events.unmask(self.port);
    }

    fn take(&mut self) {
        for _ in 0..READINGS {
            let text = match (self.read)(Some(self.position.next)) {
                Ok(text) => text,
                Err(error) => {
                    return self.complain(&format!("cannot read the hypervisor's console: {error}"));
                }
            };
            if text.bytes.is_empty() {
                return;
            }
            let Self { position, position_file, .. } = self;
            let outcome = self.log.append(&text.bytes, SystemTime::now(), |log| {
                let is_noted = std::mem::replace(&mut position.log, log) == log;
                if is_noted { Ok(()) } else { position.note(position_file) }
            });
            if let Err(error) = outcome {
                self.complain(&format!("cannot write {}: {error}", self.log.path().display()));
            }
            self.position = Position { next: text.next, log: self.log.end() };
            if let Err(error) = self.position.note(&self.position_file) {
                self.complain(&format!("cannot write {}: {error}", self.position_file.display()));
            }
        }
    }

    /// Says once that something is wrong.
    fn complain(&mut self, text: &str) {
        if !self.is_complained {
            self.is_complained = true;
            report::warn(format_args!("{text}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::LogStyle;
    use crate::testkit::Folder;
    use std::sync::{Arc, Mutex};
    use xen_dev::fake::FakeXen;

    /// A console ring that gives ten bytes at a time.
    fn reader(ring: &Arc<Mutex<Vec<u8>>>) -> ReadConsole {
        let ring = Arc::clone(ring);
        Box::new(move |from| {
            let ring = ring.lock().unwrap();
            let rest = ring.get(from.unwrap_or(0) as usize..).unwrap_or_default();
            let bytes = rest[..rest.len().min(10)].to_vec();
            let next = from.unwrap_or(0) + bytes.len() as u32;
            Ok(ConsoleText { bytes, next })
        })
    }

    #[test]
    fn text_is_logged_once_also_over_a_restart() {
        let folder = Folder::new();
        let path = folder.path().join("hypervisor.log");
        let style = LogStyle { timestamps: false, replace_escape: false, max_size: 0, keep: 0 };
        let xen = FakeXen::default();
        let events = xen.event_channels();
        let port = events.bind_virq(8).unwrap();
        let ring = Arc::new(Mutex::new(b"(XEN) a boot message\n".to_vec()));
        let start = || {
            let log = Log::open(path.clone(), style).unwrap();
            HypervisorLog::new(reader(&ring), port, log, folder.path().join("position"))
        };
        let mut log = start();
        ring.lock().unwrap().extend_from_slice(b"(XEN) more\n");
        xen.signal(port);
        assert_eq!(events.pending().unwrap(), [log.port()]);
        log.on_event(&events);
        ring.lock().unwrap().extend_from_slice(b"(XEN) while nobody listened\n");
        drop(log);
        // As of one that was killed before it had noted what it logged.
        let mut half = fs::read(&path).unwrap();
        half.extend_from_slice(b"(XEN) whi");
        fs::write(&path, half).unwrap();
        start();
        let expected = "(XEN) a boot message\n(XEN) more\n(XEN) while nobody listened\n";
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        xen.signal(port);
        assert_eq!(events.pending().unwrap(), [port], "the interrupt was unmasked");
    }
}
