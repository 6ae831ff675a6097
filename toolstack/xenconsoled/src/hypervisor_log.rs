//! The hypervisor's own console, written to a log.

use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use xen_ctrl::{ConsoleText, CtrlError};
use xen_dev::{EventChannels, Port};

use crate::log::Log;
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
    /// The index up to which text is in the log, also for the next daemon.
    position: Option<u32>,
    position_file: PathBuf,
    is_complained: bool,
}

impl HypervisorLog {
    /// Logs what the hypervisor has to say from now on, and what it said since the last daemon, or since it began.
    /// `port` is that of the virtual interrupt `VIRQ_CON_RING`.
    pub fn new(read: ReadConsole, port: Port, log: Log, position_file: PathBuf) -> Self {
        let position = fs::read_to_string(&position_file).ok().and_then(|text| text.trim().parse().ok());
        let mut new = Self { read, port, log, position, position_file, is_complained: false };
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
            let text = match (self.read)(self.position) {
                Ok(text) => text,
                Err(error) => {
                    return self.complain(&format!("cannot read the hypervisor's console: {error}"));
                }
            };
            if text.bytes.is_empty() {
                return;
            }
            if let Err(error) = self.log.append(&text.bytes, SystemTime::now()) {
                self.complain(&format!("cannot write {}: {error}", self.log.path().display()));
            }
            self.position = Some(text.next);
            if let Err(error) = fs::write(&self.position_file, text.next.to_string()) {
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
        start();
        let expected = "(XEN) a boot message\n(XEN) more\n(XEN) while nobody listened\n";
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        xen.signal(port);
        assert_eq!(events.pending().unwrap(), [port], "the interrupt was unmasked");
    }
}
