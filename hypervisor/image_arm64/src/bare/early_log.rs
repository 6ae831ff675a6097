//! What is said before the core has its console: shown at once, and kept for its log.

use core::fmt::{self, Write};

use arch_aarch64::console::Emergency;
use lock::Mutex;

/// What is kept; a boot says less.
const SIZE: usize = 2048;

struct Log {
    bytes: [u8; SIZE],
    len: usize,
}

static LOG: Mutex<Log> = Mutex::new(Log { bytes: [0; SIZE], len: 0 });

impl Write for Log {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for (slot, byte) in self.bytes.iter_mut().skip(self.len).zip(s.bytes()) {
            *slot = byte;
            self.len += 1;
        }
        Emergency.write_str(s)
    }
}

/// Says one line.
pub fn line(text: fmt::Arguments<'_>) {
    // Writing to the console cannot fail.
    let _ = writeln!(LOG.lock(), "(XEN) {text}");
}

/// Runs `f` with all that was said.
pub fn with(f: impl FnOnce(&[u8])) {
    let log = LOG.lock();
    f(log.bytes.get(..log.len).unwrap_or_default());
}
