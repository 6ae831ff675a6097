//! What is said before the core has its console: shown at once, and kept for its log.
//!
//! Why the machine stops is shown even if nothing else is.

use core::fmt::{self, Write};

use arch_aarch64::console::Emergency;
use lock::Mutex;

/// What is kept; a boot says less.
const SIZE: usize = 2048;

struct Log {
    hidden: bool,
    bytes: [u8; SIZE],
    len: usize,
}

static LOG: Mutex<Log, 21> = Mutex::new(Log { hidden: false, bytes: [0; SIZE], len: 0 });

impl Write for Log {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for (slot, byte) in self.bytes.iter_mut().skip(self.len).zip(s.bytes()) {
            *slot = byte;
            self.len += 1;
        }
        if self.hidden { Ok(()) } else { Emergency.write_str(s) }
    }
}

/// Says one line.
pub fn line(text: fmt::Arguments<'_>) {
    // Writing to the console cannot fail.
    let _ = writeln!(LOG.lock(), "(XEN) {text}");
}

/// Says the last line.
pub fn last_line(text: fmt::Arguments<'_>) {
    let _ = writeln!(Emergency, "(XEN) {text}");
}

/// From now on lines are kept, but not shown.
pub fn hide() {
    LOG.lock().hidden = true;
}

/// Runs `f` with all that was said.
pub fn with<R>(f: impl FnOnce(&[u8]) -> R) -> R {
    let log = LOG.lock();
    f(log.bytes.get(..log.len).unwrap_or_default())
}
