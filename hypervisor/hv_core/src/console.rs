//! The console: what the hypervisor says, what dom0 and guests write, what is typed.
//!
//! Everything said goes to the machine's console at once, and into a ring that tools read
//! (XEN_SYSCTL_readconsole). What is typed goes to dom0, or after a key pressed three times (Ctrl-A
//! if nobody chose another) to the hypervisor, where each key asks for a report.

use crate::Hypervisor;
use crate::pcpu::Work;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};
use core::sync::atomic::{AtomicU32, Ordering};
use hal::MachineOps as _;
use lock::Mutex;
use xen_abi::xen::{VIRQ_CON_RING, VIRQ_CONSOLE};

/// The least that is kept of what was said; a power of two.
const MIN_RING_SIZE: usize = 4096;
/// The ring is locked while so much of it is copied at most.
const MAX_READ: u32 = 64 << 10;
/// How much typed text waits for dom0 at most; a power of two.
const INPUT_SIZE: usize = 256;
/// So many times in a row the key switches the input.
const SWITCH_COUNT: u8 = 3;
/// Of limited messages so many are said in a period, which is this long.
const LIMIT: u32 = 10;
const LIMIT_PERIOD_NS: u64 = 5_000_000_000;
/// No debug key waits.
const NO_KEY: u32 = 0;

/// How much a message matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// Something failed.
    Error,
    /// Something is not as it should be.
    Warning,
    /// What goes on.
    Info,
    /// Details.
    Debug,
}

/// Which messages are shown; `None` stands for none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Levels {
    /// Up to this level all of them.
    pub always: Option<Level>,
    /// Above that and up to this level a few in a time.
    pub limited: Option<Level>,
}

impl Levels {
    /// All messages up to this level, and no other.
    pub const fn up_to(level: Level) -> Self {
        Self { always: Some(level), limited: None }
    }
}

/// What stands before each line, after the prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stamps {
    /// Nothing.
    None,
    /// The date and the time of day; before dom0 has set the clock, as `Boot`.
    Date,
    /// The same with milliseconds.
    DateMs,
    /// Seconds and microseconds of the machine's clock.
    Boot,
    /// The machine's counter.
    Raw,
}

/// What the console does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Output goes to the machine's console; else into the ring only.
    pub shown: bool,
    /// How much is kept of what was said; it becomes a power of two.
    pub ring_size: usize,
    /// What stands before each line.
    pub stamps: Stamps,
    /// What dom0 writes is kept, too.
    pub keeps_dom0: bool,
    /// The letter, `a` to `z`, that switches the input when it is pressed with Ctrl.
    pub switch_letter: u8,
    /// Input goes to the hypervisor until it is switched.
    pub input_to_hypervisor: bool,
    /// Messages that are shown.
    pub own: Levels,
    /// Messages that are shown of those that guests cause.
    pub guests: Levels,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            shown: true,
            ring_size: 16 << 10,
            stamps: Stamps::None,
            keeps_dom0: false,
            switch_letter: b'a',
            input_to_hypervisor: false,
            own: Levels::up_to(Level::Warning),
            guests: Levels { always: None, limited: Some(Level::Warning) },
        }
    }
}

/// The console's state.
#[derive(Debug)]
pub struct Console {
    settings: Settings,
    ring: Mutex<Ring, 15>,
    input: Mutex<Input, 15>,
    debug_key: AtomicU32,
}

#[derive(Debug, Default)]
struct Ring {
    /// None, or a power of two.
    bytes: Vec<u8>,
    /// Bytes ever written, and the first still of interest after a clear. Both count on past the
    /// ring's size and wrap.
    produced: u32,
    cleared: u32,
    limiter: Limiter,
}

/// Keeps messages that something causes again and again from filling the console.
#[derive(Debug, Default)]
struct Limiter {
    period_start: u64,
    said: u32,
    suppressed: u32,
}

#[derive(Debug)]
struct Input {
    bytes: [u8; INPUT_SIZE],
    produced: usize,
    consumed: usize,
    to_hypervisor: bool,
    switches: u8,
}

impl Console {
    /// A console without a ring.
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            ring: Mutex::new(Ring::default()),
            input: Mutex::new(Input {
                bytes: [0; INPUT_SIZE],
                produced: 0,
                consumed: 0,
                to_hypervisor: settings.input_to_hypervisor,
                switches: 0,
            }),
            debug_key: AtomicU32::new(NO_KEY),
        }
    }

    /// Makes the ring, smaller than asked for if there is not so much memory, and puts into it what
    /// was said before. False without memory.
    #[must_use]
    pub fn open(&self, said: &[u8]) -> bool {
        let wanted = self.settings.ring_size.max(MIN_RING_SIZE);
        let mut size = wanted.checked_next_power_of_two().unwrap_or(MIN_RING_SIZE);
        let mut bytes = Vec::new();
        while bytes.try_reserve_exact(size).is_err() {
            size /= 2;
            if size < MIN_RING_SIZE {
                return false;
            }
        }
        bytes.resize(size, 0);
        let mut ring = self.ring.lock();
        ring.bytes = bytes;
        ring.push(said);
        true
    }

    /// The debug key that waits to be handled.
    pub(crate) fn take_debug_key(&self) -> Option<u8> {
        match self.debug_key.swap(NO_KEY, Ordering::Relaxed) {
            NO_KEY => None,
            key => Some(key as u8),
        }
    }

    /// Copies typed bytes that wait for dom0 to `buf` and hands them to `f`; they are taken if it
    /// does not fail. Returns how many.
    ///
    /// # Errors
    /// That of `f`.
    pub(crate) fn take_input<E>(
        &self,
        buf: &mut [u8],
        f: impl FnOnce(&[u8]) -> Result<(), E>,
    ) -> Result<usize, E> {
        let mut input = self.input.lock();
        let waiting = input.produced.wrapping_sub(input.consumed).min(buf.len());
        for (n, byte) in buf.iter_mut().take(waiting).enumerate() {
            let at = input.consumed.wrapping_add(n) % INPUT_SIZE;
            *byte = input.bytes.get(at).copied().unwrap_or(0);
        }
        f(buf.get(..waiting).unwrap_or(&[]))?;
        input.consumed = input.consumed.wrapping_add(waiting);
        Ok(waiting)
    }

    /// Copies what the ring has from `index` on into `out`, by pieces; returns how much, and the
    /// index after it. `index` before the ring's start is moved there.
    pub(crate) fn read(
        &self,
        incremental: bool,
        index: u32,
        count: u32,
        mut out: impl FnMut(u32, &[u8]) -> bool,
    ) -> Option<(u32, u32)> {
        let ring = self.ring.lock();
        let size = ring.bytes.len() as u32;
        let oldest = match ring.produced.wrapping_sub(ring.cleared) {
            kept if kept <= size => ring.cleared,
            _ => ring.produced.wrapping_sub(size),
        };
        let mut from = oldest;
        if incremental && ring.produced.wrapping_sub(index) <= ring.produced.wrapping_sub(oldest) {
            from = index;
        }
        let len = ring.produced.wrapping_sub(from).min(count).min(MAX_READ);
        let mut done = 0;
        while done < len {
            let at = (from.wrapping_add(done) % size) as usize;
            let piece = ((len - done) as usize).min(ring.bytes.len() - at);
            if !out(done, ring.bytes.get(at..at + piece)?) {
                return None;
            }
            done += piece as u32;
        }
        Some((len, from.wrapping_add(len)))
    }

    /// Forgets what was said before `index`, which [`read`](Self::read) returned.
    pub(crate) fn clear(&self, index: u32) {
        self.ring.lock().cleared = index;
    }
}

impl Ring {
    fn push(&mut self, bytes: &[u8]) {
        let mask = self.bytes.len().wrapping_sub(1);
        for &byte in bytes {
            if let Some(slot) = self.bytes.get_mut(self.produced as usize & mask) {
                *slot = byte;
            }
            self.produced = self.produced.wrapping_add(1);
        }
    }
}

impl Limiter {
    /// Whether one more message may be said; then, how many were not since the last that was.
    fn admit(&mut self, now: u64) -> Option<u32> {
        if now.saturating_sub(self.period_start) >= LIMIT_PERIOD_NS {
            self.period_start = now;
            self.said = 0;
        }
        if self.said == LIMIT {
            self.suppressed = self.suppressed.saturating_add(1);
            return None;
        }
        self.said += 1;
        Some(core::mem::take(&mut self.suppressed))
    }
}

/// One line on its way out, whole: its pieces leave as they are formatted.
struct Line<'a> {
    hv: &'a Hypervisor,
    ring: lock::MutexGuard<'a, Ring, 15>,
}

impl fmt::Write for Line<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.hv.show(s.as_bytes());
        self.ring.push(s.as_bytes());
        Ok(())
    }
}

impl Line<'_> {
    /// Writes what stands before each line.
    fn start(&mut self) -> fmt::Result {
        self.write_str(PREFIX)?;
        let hv = self.hv;
        let stamps = hv.console.settings.stamps;
        let now = hv.machine.now_ns();
        let date = match stamps {
            Stamps::Date | Stamps::DateMs => hv.wall_clock.date(now),
            _ => None,
        };
        match (stamps, date) {
            (Stamps::None, _) => Ok(()),
            (Stamps::Raw, _) => write!(self, "[{:016x}] ", hv.machine.ticks()),
            (Stamps::Date, Some(date)) => write!(self, "[{date}] "),
            (Stamps::DateMs, Some(date)) => write!(self, "[{date}.{:03}] ", date.ms),
            (Stamps::Boot | Stamps::Date | Stamps::DateMs, _) => {
                write!(self, "[{:5}.{:06}] ", now / 1_000_000_000, now / 1000 % 1_000_000)
            }
        }
    }

    /// Writes a whole line.
    fn say(&mut self, line: fmt::Arguments<'_>) -> fmt::Result {
        self.start()?;
        writeln!(self, "{line}")
    }
}

/// What every line of ours begins with, so that it is told from what dom0 writes.
const PREFIX: &str = "(XEN) ";

/// A report on its way out; lines get what stands before each, in place of a prefix of their own.
/// The console is locked piece by piece, since what is reported takes locks of its own.
struct Report<'a> {
    hv: &'a Hypervisor,
    at_start: bool,
}

impl fmt::Write for Report<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for piece in s.split_inclusive('\n') {
            let mut line = Line { hv: self.hv, ring: self.hv.console.ring.lock() };
            if self.at_start {
                line.start()?;
                line.write_str(piece.strip_prefix(PREFIX).unwrap_or(piece))?;
            } else {
                line.write_str(piece)?;
            }
            self.at_start = piece.ends_with('\n');
        }
        Ok(())
    }
}

impl Hypervisor {
    /// Says one line.
    pub fn say(&self, level: Level, line: fmt::Arguments<'_>) {
        self.say_if(self.console.settings.own, level, line);
    }

    /// Says one line that a guest caused.
    pub fn say_of_guest(&self, level: Level, line: fmt::Arguments<'_>) {
        self.say_if(self.console.settings.guests, level, line);
    }

    fn say_if(&self, shown: Levels, level: Level, line: fmt::Arguments<'_>) {
        let level = Some(level);
        if level > shown.always && level > shown.limited {
            return;
        }
        {
            let mut out = Line { hv: self, ring: self.console.ring.lock() };
            let mut suppressed = 0;
            if level > shown.always {
                let Some(count) = out.ring.limiter.admit(self.machine.now_ns()) else { return };
                suppressed = count;
            }
            // Writing to the console cannot fail.
            if suppressed > 0 {
                let _ = out.say(format_args!("{suppressed} messages suppressed"));
            }
            let _ = out.say(line);
        }
        self.send_global_virq(VIRQ_CON_RING);
    }

    /// Writes to the machine's console, if it is used.
    fn show(&self, bytes: &[u8]) {
        if self.console.settings.shown {
            self.machine.console_write(bytes);
        }
    }

    /// Runs `f` with a writer for many lines, as debug keys do.
    pub fn report(&self, f: impl FnOnce(&mut dyn fmt::Write)) {
        f(&mut Report { hv: self, at_start: true });
        self.send_global_virq(VIRQ_CON_RING);
    }

    /// Writes what dom0 says: to the machine's console, as it is.
    pub(crate) fn write_dom0_output(&self, bytes: &[u8]) {
        let keep = self.console.settings.keeps_dom0;
        {
            let mut ring = self.console.ring.lock();
            self.show(bytes);
            if keep {
                ring.push(bytes);
            }
        }
        if keep {
            self.send_global_virq(VIRQ_CON_RING);
        }
    }

    /// Takes a typed byte, from the console's interrupt.
    pub fn console_input(&self, byte: u8) {
        let mut input = self.console.input.lock();
        let letter = self.console.settings.switch_letter;
        // With Ctrl a letter's low five bits are sent.
        if byte == letter & 0x1f {
            input.switches += 1;
            if input.switches == SWITCH_COUNT {
                input.switches = 0;
                input.to_hypervisor = !input.to_hypervisor;
                let to = if input.to_hypervisor { "Xenoxide" } else { "Dom0" };
                drop(input);
                self.say(
                    Level::Error,
                    format_args!(
                        "*** Serial input to {to} (type 'CTRL-{}' three times to switch input)",
                        char::from(letter)
                    ),
                );
            }
            return;
        }
        input.switches = 0;
        if input.to_hypervisor {
            drop(input);
            self.debug_key(byte);
            return;
        }
        let at = input.produced;
        if at.wrapping_sub(input.consumed) < INPUT_SIZE {
            if let Some(slot) = input.bytes.get_mut(at % INPUT_SIZE) {
                *slot = byte;
            }
            input.produced = at.wrapping_add(1);
        }
        drop(input);
        self.send_global_virq(VIRQ_CONSOLE);
    }

    /// Asks for the report of a debug key; it is written before this pCPU enters a guest again.
    pub fn debug_key(&self, key: u8) {
        self.console.debug_key.store(u32::from(key), Ordering::Relaxed);
        self.raise(self.machine.this_cpu(), Work::DEBUG_KEY);
    }
}

/// Says an error.
#[macro_export]
macro_rules! error {
    ($hv:expr, $($arg:tt)*) => { $hv.say($crate::console::Level::Error, format_args!($($arg)*)) };
}

/// Says a warning.
#[macro_export]
macro_rules! warning {
    ($hv:expr, $($arg:tt)*) => { $hv.say($crate::console::Level::Warning, format_args!($($arg)*)) };
}

/// Says what goes on.
#[macro_export]
macro_rules! info {
    ($hv:expr, $($arg:tt)*) => { $hv.say($crate::console::Level::Info, format_args!($($arg)*)) };
}

/// Says something that a guest caused: `guest!(hv, Warning, "…")`.
#[macro_export]
macro_rules! guest {
    ($hv:expr, $level:ident, $($arg:tt)*) => {
        $hv.say_of_guest($crate::console::Level::$level, format_args!($($arg)*))
    };
}
