//! The machine's serial line: a thread reads it, and the caller waits for text with a deadline.

use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::xen_lines::XenLines;

/// Text that no machine survives; waiting for anything else is pointless once it came.
const FATAL: [&str; 3] = ["Kernel panic - not syncing", "(XEN) Panic on CPU", "dom0: FAILED"];

/// So many bytes go to the serial line at once, which is what a UART and a hypervisor buffer for certain.
const PIECE: usize = 32;
const PAUSE_BETWEEN_PIECES: Duration = Duration::from_millis(4);

/// For one of the answers to [`Console::send_state_keys`] to be written.
const TIME_FOR_STATE: Duration = Duration::from_secs(1);

/// Whether serial output is also shown to the user while it comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Echo {
    /// Shown as it comes, byte for byte.
    Shown,
    /// Only kept in the log.
    Hidden,
}

/// The serial line.
pub struct Console {
    shared: Arc<Shared>,
    input: ChildStdin,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Dom0's output, without the hypervisor's lines.
    text: Vec<u8>,
    /// How much of `text` has been consumed by [`Console::wait_for`].
    consumed: usize,
    /// The line with text that is fatal.
    trouble: Option<String>,
    ended: bool,
    echo: Echo,
}

impl Console {
    /// Starts reading `output` into `log` and memory.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub fn new(output: ChildStdout, input: ChildStdin, log: &Path, echo: Echo) -> Result<Self> {
        let log = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let state = State { text: Vec::new(), consumed: 0, trouble: None, ended: false, echo };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let for_reader = Arc::clone(&shared);
        thread::spawn(move || read_all(output, log, &for_reader));
        Ok(Self { shared, input })
    }

    /// Changes whether output is shown.
    pub fn set_echo(&self, echo: Echo) {
        self.shared.lock().echo = echo;
    }

    /// Whether the line has ended: QEMU is gone.
    pub fn has_ended(&self) -> bool {
        self.shared.lock().ended
    }

    /// Forgets all text that has come so far.
    pub fn skip_to_now(&mut self) {
        let mut state = self.shared.lock();
        state.consumed = state.text.len();
    }

    /// Waits until `needle` comes; hands back the text before it and consumes both.
    ///
    /// # Errors
    /// When it did not come within `timeout`, the machine ended, or something fatal was printed.
    pub fn wait_for(&mut self, needle: &str, timeout: Duration) -> Result<Vec<u8>> {
        let deadline = Instant::now() + timeout;
        let mut state = self.shared.lock();
        loop {
            let start = state.consumed;
            if let Some(at) = find(&state.text[start..], needle.as_bytes()) {
                let before = state.text[start..start + at].to_vec();
                state.consumed = start + at + needle.len();
                return Ok(before);
            }
            if let Some(line) = &state.trouble {
                bail!("waiting for \"{}\", but the machine printed: {line}", needle.trim());
            }
            if state.ended {
                bail!("waiting for \"{}\", but the machine ended", needle.trim());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("waited {} s in vain for \"{}\"", timeout.as_secs(), needle.trim());
            }
            state = self.shared.wait(state, left);
        }
    }

    /// Waits until the line ends.
    ///
    /// # Errors
    /// When it has not ended within `timeout`.
    pub fn wait_for_end(&mut self, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        let mut state = self.shared.lock();
        while !state.ended {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("still running after {} s", timeout.as_secs());
            }
            state = self.shared.wait(state, left);
        }
        Ok(())
    }

    /// Asks Dom0's kernel (at log level 7) and then the hypervisor for their state, which goes to the log: Dom0's blocked tasks,
    /// its CPUs' back-traces and timers by sysrq (Ctrl-O and a letter on a Xen console), the hypervisor's
    /// registers, run queues, domains, timers and event channels by its debug keys (after three times Ctrl-A).
    pub fn send_state_keys(&mut self) {
        for keys in ["\x0f7", "\x0fw", "\x0fl", "\x0fq", "\x01\x01\x01", "d", "r", "q", "a", "e"] {
            if self.send(keys.as_bytes()).is_err() {
                return;
            }
            thread::sleep(TIME_FOR_STATE);
        }
    }

    /// Sends bytes, slowly enough that no buffer on the way overflows.
    ///
    /// # Errors
    /// When the machine has ended.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(PIECE) {
            self.input.write_all(piece).and_then(|()| self.input.flush()).context("the machine has ended")?;
            thread::sleep(PAUSE_BETWEEN_PIECES);
        }
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, guard: MutexGuard<'a, State>, timeout: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(guard, timeout).unwrap_or_else(PoisonError::into_inner).0
    }
}

fn read_all(mut output: ChildStdout, mut log: File, shared: &Shared) {
    let mut filter = XenLines::default();
    let mut line = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let size = output.read(&mut piece).unwrap_or(0);
        let piece = &piece[..size];
        // A full disk must not stop a boot.
        let _ = log.write_all(piece);
        let mut state = shared.lock();
        if state.echo == Echo::Shown {
            let mut terminal = std::io::stdout().lock();
            let _ = terminal.write_all(piece).and_then(|()| terminal.flush());
        }
        let trouble = fatal_line(&mut line, piece);
        if state.trouble.is_none() {
            state.trouble = trouble;
        }
        filter.filter(piece, &mut state.text);
        state.ended = size == 0;
        shared.changed.notify_all();
        if state.ended {
            return;
        }
    }
}

/// Completes `line` with what came, and finds fatal text in the lines that ended.
fn fatal_line(line: &mut Vec<u8>, piece: &[u8]) -> Option<String> {
    let mut trouble = None;
    for byte in piece {
        if *byte != b'\n' {
            line.push(*byte);
            continue;
        }
        let text = String::from_utf8_lossy(line);
        if trouble.is_none() && FATAL.iter().any(|fatal| text.contains(fatal)) {
            trouble = Some(text.trim().to_owned());
        }
        line.clear();
    }
    trouble
}

/// The first place of `needle` in `text`.
pub fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    text.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::{fatal_line, find};

    #[test]
    fn fatal_text_is_found_across_pieces() {
        let mut line = Vec::new();
        assert_eq!(fatal_line(&mut line, b"[ 1.0] Kernel panic - not"), None);
        assert_eq!(
            fatal_line(&mut line, b" syncing: x\r\nmore"),
            Some("[ 1.0] Kernel panic - not syncing: x".to_owned())
        );
        assert_eq!(line, b"more");
    }

    #[test]
    fn needle_is_found_where_it_starts() {
        assert_eq!(find(b"abcabd", b"abd"), Some(3));
        assert_eq!(find(b"ab", b"abc"), None);
    }
}
