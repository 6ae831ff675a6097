//! The console: what the hypervisor says, what dom0 and guests write, what is typed.
//!
//! Everything said goes to the machine's console at once, and into a ring that tools read
//! (XEN_SYSCTL_readconsole). What is typed goes to dom0, or after three Ctrl-A to the hypervisor,
//! where each key asks for a report.

use crate::Hypervisor;
use crate::pcpu::Work;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use hal::MachineOps as _;
use lock::Mutex;
use xen_abi::xen::{VIRQ_CON_RING, VIRQ_CONSOLE};

/// How much is kept of what was said; a power of two.
const RING_SIZE: usize = 16 * 1024;
/// How much typed text waits for dom0 at most; a power of two.
const INPUT_SIZE: usize = 256;
/// Ctrl-A.
const SWITCH_KEY: u8 = 1;
/// So many times in a row it switches the input.
const SWITCH_COUNT: u8 = 3;
/// No debug key waits.
const NO_KEY: u32 = 0;

/// How much a message matters; those above the threshold are not shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Level {
    /// Something failed.
    Error = 0,
    /// Something is not as it should be.
    Warning = 1,
    /// What goes on.
    Info = 2,
    /// Details.
    Debug = 3,
}

/// The console's state.
#[derive(Debug)]
pub struct Console {
    ring: Mutex<Ring>,
    input: Mutex<Input>,
    threshold: AtomicU8,
    debug_key: AtomicU32,
}

#[derive(Debug)]
struct Ring {
    bytes: Vec<u8>,
    /// Bytes ever written, and the first still of interest after a clear. Both count on past the
    /// ring's size and wrap.
    produced: u32,
    cleared: u32,
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
    /// A console that shows messages up to `threshold`; `None` without memory for the ring.
    pub fn new(threshold: Level) -> Option<Self> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(RING_SIZE).ok()?;
        bytes.resize(RING_SIZE, 0);
        Some(Self {
            ring: Mutex::new(Ring { bytes, produced: 0, cleared: 0 }),
            input: Mutex::new(Input {
                bytes: [0; INPUT_SIZE],
                produced: 0,
                consumed: 0,
                to_hypervisor: false,
                switches: 0,
            }),
            threshold: AtomicU8::new(threshold as u8),
            debug_key: AtomicU32::new(NO_KEY),
        })
    }

    /// Puts into the log what was said before there was one.
    pub fn import(&self, text: &[u8]) {
        self.ring.lock().push(text);
    }

    /// Whether a message of that level is shown.
    pub fn shows(&self, level: Level) -> bool {
        level as u8 <= self.threshold.load(Ordering::Relaxed)
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
        let size = RING_SIZE as u32;
        let oldest = match ring.produced.wrapping_sub(ring.cleared) {
            kept if kept <= size => ring.cleared,
            _ => ring.produced.wrapping_sub(size),
        };
        let mut from = oldest;
        if incremental && ring.produced.wrapping_sub(index) <= ring.produced.wrapping_sub(oldest) {
            from = index;
        }
        let len = ring.produced.wrapping_sub(from).min(count);
        let mut done = 0;
        while done < len {
            let at = (from.wrapping_add(done) % size) as usize;
            let piece = ((len - done) as usize).min(RING_SIZE - at);
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
        for &byte in bytes {
            if let Some(slot) = self.bytes.get_mut(self.produced as usize % RING_SIZE) {
                *slot = byte;
            }
            self.produced = self.produced.wrapping_add(1);
        }
    }
}

/// One line on its way out, whole: its pieces leave as they are formatted.
struct Line<'a> {
    hv: &'a Hypervisor,
    ring: lock::MutexGuard<'a, Ring>,
}

impl fmt::Write for Line<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.hv.machine.console_write(s.as_bytes());
        self.ring.push(s.as_bytes());
        Ok(())
    }
}

/// What every line of ours begins with, so that it is told from what dom0 writes.
const PREFIX: &str = "(XEN) ";

/// A report on its way out; lines get their prefix if they have none. The console is locked piece by
/// piece, since what is reported takes locks of its own.
struct Report<'a> {
    hv: &'a Hypervisor,
    at_start: bool,
}

impl fmt::Write for Report<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for piece in s.split_inclusive('\n') {
            let mut line = Line { hv: self.hv, ring: self.hv.console.ring.lock() };
            if self.at_start && !piece.starts_with(PREFIX) {
                line.write_str(PREFIX)?;
            }
            line.write_str(piece)?;
            self.at_start = piece.ends_with('\n');
        }
        Ok(())
    }
}

impl Hypervisor {
    /// Says one line.
    pub fn say(&self, level: Level, line: fmt::Arguments<'_>) {
        if !self.console.shows(level) {
            return;
        }
        {
            let mut out = Line { hv: self, ring: self.console.ring.lock() };
            // Writing to the console cannot fail.
            let _ = writeln!(out, "(XEN) {line}");
        }
        self.send_global_virq(VIRQ_CON_RING);
    }

    /// Runs `f` with a writer for many lines, as debug keys do.
    pub fn report(&self, f: impl FnOnce(&mut dyn fmt::Write)) {
        f(&mut Report { hv: self, at_start: true });
        self.send_global_virq(VIRQ_CON_RING);
    }

    /// Writes what dom0 says: to the machine's console, as it is.
    pub(crate) fn write_dom0_output(&self, bytes: &[u8]) {
        let _ring = self.console.ring.lock();
        self.machine.console_write(bytes);
    }

    /// Takes a typed byte, from the console's interrupt.
    pub fn console_input(&self, byte: u8) {
        let mut input = self.console.input.lock();
        if byte == SWITCH_KEY {
            input.switches += 1;
            if input.switches == SWITCH_COUNT {
                input.switches = 0;
                input.to_hypervisor = !input.to_hypervisor;
                let to = if input.to_hypervisor { "Xenoxide" } else { "Dom0" };
                drop(input);
                self.say(
                    Level::Error,
                    format_args!("*** Serial input to {to} (type 'CTRL-a' three times to switch input)"),
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
