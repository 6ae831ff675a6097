//! One console: its ring, what is kept of it, and those who read it and type into it.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use xen_dev::Port;

use crate::allowance::Allowance;
use crate::finder::Found;
use crate::history::History;
use crate::identity::ConsoleId;
use crate::log::Log;
use crate::machine::{ConnectError, Machine};
use crate::outlet::Outlet;
use crate::pty::Pty;
use crate::report;
use crate::ring::{MAX_OUTPUT, Ring};

/// How long after output went to the terminal it is looked what its reader has had.
const SETTLE: Duration = Duration::from_millis(50);
/// Least bytes of history, whatever the toolstack's limit: a ring must fit in while the reader has not read.
const LEAST_HISTORY: u32 = 2 * MAX_OUTPUT as u32;
/// Bytes that are typed at a time.
const TYPED: usize = 512;

/// A connected ring.
struct Link {
    ring: Ring,
    port: Port,
}

/// The terminal and its reader.
struct Terminal {
    pty: Pty,
    outlet: Outlet,
    settle: Option<Instant>,
}

/// A console.
pub struct Console {
    id: ConsoleId,
    found: Found,
    link: Option<Link>,
    history: History,
    /// Where the daemon before this one was, until that has been used.
    resume: Option<u32>,
    log: Option<Log>,
    terminal: Option<Terminal>,
    /// Guests are not read ahead of the terminal's reader by more than the history holds.
    keeps_all: bool,
    allowance: Allowance,
    /// The port stays masked until then.
    asleep_until: Option<Instant>,
    /// The port stays masked until the terminal's reader has read.
    is_held: bool,
    is_complained: bool,
}

impl Console {
    /// A console that is not connected yet, with the history that a daemon before this one left.
    ///
    /// # Errors
    /// When the history cannot be kept.
    pub fn new(
        id: ConsoleId,
        found: Found,
        history: &Path,
        capacity: u32,
        keeps_all: bool,
    ) -> io::Result<Self> {
        let capacity = found.limit.map_or(capacity, |limit| limit.min(capacity));
        let capacity = capacity.max(LEAST_HISTORY);
        let history = History::open(history, found.uuid, capacity)?;
        let resume = history.taken();
        Ok(Self {
            id,
            found,
            link: None,
            resume,
            log: None,
            terminal: None,
            keeps_all,
            allowance: Allowance::new(Instant::now()),
            asleep_until: None,
            is_held: false,
            is_complained: false,
            history,
        })
    }

    /// What is known of it.
    pub fn found(&self) -> &Found {
        &self.found
    }

    /// Its output.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Our end of its event channel.
    pub fn port(&self) -> Option<Port> {
        self.link.as_ref().map(|link| link.port)
    }

    /// Its log.
    pub fn log_mut(&mut self) -> Option<&mut Log> {
        self.log.as_mut()
    }

    /// Logs its output from now on. What the daemon before this one logged and then could not commit is taken out of
    /// the log: it comes again.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub fn set_log(&mut self, mut log: Log) -> io::Result<()> {
        log.cut_back(self.history.log())?;
        self.log = Some(log);
        Ok(())
    }

    /// Its terminal.
    pub fn pty(&self) -> Option<&Pty> {
        self.terminal.as_ref().map(|terminal| &terminal.pty)
    }

    /// Connects it where it is found now, unless it is connected there.
    ///
    /// # Errors
    /// [`ConnectError`]; the console is not connected then.
    pub fn connect(&mut self, machine: &Machine, found: Found) -> Result<(), ConnectError> {
        let is_same = found.placement == self.found.placement;
        if let Some(link) = self.link.take_if(|link| !is_same || !machine.is_connected(link.port)) {
            // The guest may have closed it.
            let _ = machine.events().unbind(link.port);
        }
        self.found = found;
        if self.link.is_none() {
            let (ring, port) = machine.connect(self.id.domid, self.id.kind, self.found.placement)?;
            self.link = Some(Link { ring, port });
            (self.asleep_until, self.is_held) = (None, false);
        }
        Ok(())
    }

    /// Gives it a terminal, if it has none, and returns the terminal's name.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open_terminal(&mut self) -> io::Result<Option<String>> {
        if self.terminal.is_some() {
            return Ok(None);
        }
        let pty = Pty::open()?;
        let name = pty.name().to_owned();
        self.terminal = Some(Terminal { pty, outlet: Outlet::new(self.history.shown()), settle: None });
        Ok(Some(name))
    }

    /// Answers an event: takes the output, and lets the guest send the next event unless it sends too many.
    pub fn on_event(&mut self, machine: &Machine, now: Instant) {
        self.take_output(machine);
        if !self.allowance.take(now) {
            self.asleep_until = Some(self.allowance.renewed_at());
        }
        self.unmask(machine);
    }

    /// Does what is due.
    pub fn on_time(&mut self, machine: &Machine, now: Instant) {
        if self.asleep_until.take_if(|until| *until <= now).is_some() {
            self.unmask(machine);
        }
        let settle = self.terminal.as_mut().and_then(|terminal| terminal.settle.take_if(|at| *at <= now));
        if settle.is_some() && self.note_shown() {
            self.settle_at(now + SETTLE);
        }
    }

    /// Notes what the terminal's reader has had, before the daemon ends. What went there just now the kernel may not
    /// count as unread yet.
    pub fn note_last_shown(&mut self) {
        if self.terminal.as_ref().is_some_and(|terminal| terminal.settle.is_none()) {
            self.note_shown();
        }
    }

    /// Notes what the terminal's reader has had, for the next daemon. Says whether he has read and has more to read.
    fn note_shown(&mut self) -> bool {
        let Some(terminal) = &self.terminal else { return false };
        let Ok(Some(unread)) = terminal.pty.unread() else { return false };
        let shown = terminal.outlet.sent_up_to().saturating_sub(unread);
        let has_read = shown != self.history.shown();
        if let Err(error) = self.history.set_shown(shown) {
            self.complain(format_args!("cannot note what was shown: {error}"));
            return false;
        }
        has_read && unread > 0
    }

    fn settle_at(&mut self, time: Instant) {
        if let Some(terminal) = &mut self.terminal {
            terminal.settle.get_or_insert(time);
        }
    }

    /// When [`on_time`](Self::on_time) has something to do next.
    pub fn next_time(&self) -> Option<Instant> {
        let settle = self.terminal.as_ref().and_then(|terminal| terminal.settle);
        [self.asleep_until, settle].into_iter().flatten().min()
    }

    fn unmask(&mut self, machine: &Machine) {
        if let Some(link) = self.link.as_ref().filter(|_| self.asleep_until.is_none() && !self.is_held) {
            // The channel may be closed, together with the domain.
            let _ = machine.events().unmask(link.port);
        }
    }

    /// Takes the output that waits in the ring. Log, history and ring follow each other in this order: the commit to
    /// the history is what counts after a restart. Of one before it, the log is cut back; of one behind it, the ring.
    pub fn take_output(&mut self, machine: &Machine) {
        let Some(link) = &self.link else { return };
        self.is_held = self.keeps_all && self.reader_lag() + MAX_OUTPUT as u64 > self.history.capacity();
        if self.is_held {
            return;
        }
        let mut bytes = Vec::new();
        let taken = match link.ring.peek(self.resume, &mut bytes) {
            Ok(taken) => taken,
            Err(error) => {
                return self.complain(format_args!("output waits until the guest rights it: {error}"));
            }
        };
        self.resume = None;
        if let Some(log) = &mut self.log {
            let outcome = log.append(&bytes, SystemTime::now(), |end| self.history.note_log(end));
            self.history.set_log(log.end());
            if let Err(error) = outcome {
                let text = format!("cannot write {}: {error}; output is missing there", log.path().display());
                self.complain(format_args!("{text}"));
            }
        }
        if let Err(error) = self.history.commit(&bytes, taken) {
            self.complain(format_args!("cannot keep output: {error}; viewers do not see it"));
        }
        if let Some(link) = &self.link
            && !bytes.is_empty()
        {
            let done = link.ring.consume(taken);
            debug_assert_eq!(done, Ok(()), "a page mapped for writing");
            // The guest may be gone.
            let _ = machine.events().notify(link.port);
        }
    }

    /// Bytes that the terminal's reader has not had.
    fn reader_lag(&self) -> u64 {
        let reader = self.terminal.as_ref().map(|terminal| terminal.outlet.sent_up_to());
        reader.map_or(0, |reader| self.history.end().saturating_sub(reader))
    }

    /// Bytes that can be typed now.
    pub fn room(&self) -> usize {
        self.link.as_ref().and_then(|link| link.ring.room().ok()).unwrap_or(0).min(TYPED)
    }

    /// Types bytes, of which there must be [`room`](Self::room) for all. A guest that changes its mind about the room
    /// loses some.
    pub fn send(&self, machine: &Machine, bytes: &[u8]) {
        if let Some(link) = &self.link
            && link.ring.send(bytes).is_ok_and(|sent| sent > 0)
        {
            // The guest may be gone.
            let _ = machine.events().notify(link.port);
        }
    }

    /// Whether there is output for the terminal.
    pub fn is_terminal_behind(&self) -> bool {
        self.terminal.as_ref().is_some_and(|terminal| terminal.outlet.is_behind(&self.history))
    }

    /// Sends output to the terminal, as much as it takes.
    pub fn feed_terminal(&mut self, machine: &Machine, now: Instant) {
        let Some(terminal) = &mut self.terminal else { return };
        let lost = |count| format!("\r\n[xenconsoled: {count} bytes of output were dropped here]\r\n");
        let fed = terminal.outlet.pending(&self.history, lost);
        let fed = fed.and_then(|bytes| terminal.pty.write(bytes).map_err(io::Error::from));
        match fed {
            Ok(count) => {
                terminal.outlet.advance(count);
                self.settle_at(now + SETTLE);
            }
            Err(error) => self.lose_terminal(&error),
        }
        if self.is_held {
            self.take_output(machine);
            self.unmask(machine);
        }
    }

    /// Types what comes from the terminal. Who types has read.
    pub fn read_terminal(&mut self, machine: &Machine, now: Instant) {
        let mut typed = [0; TYPED];
        let room = self.room();
        match self.terminal.as_ref().map(|terminal| terminal.pty.read(&mut typed[..room])) {
            Some(Ok(count)) => {
                self.send(machine, &typed[..count]);
                self.settle_at(now + SETTLE);
            }
            Some(Err(error)) => self.lose_terminal(&error.into()),
            None => {}
        }
    }

    fn lose_terminal(&mut self, error: &io::Error) {
        report::warn(format_args!("the terminal of the {} is lost: {error}", self.id));
        self.terminal = None;
    }

    /// Takes the last output and lets go of the ring: the domain is gone or going.
    pub fn finish(&mut self, machine: &Machine) {
        self.keeps_all = false;
        self.take_output(machine);
        if let Some(link) = self.link.take() {
            // It may be closed, together with the domain.
            let _ = machine.events().unbind(link.port);
        }
    }

    /// Says once that something is wrong: what a guest can cause must not fill a disk.
    fn complain(&mut self, text: std::fmt::Arguments<'_>) {
        if !self.is_complained {
            self.is_complained = true;
            report::warn(format_args!("{}: {text}", self.id));
        }
    }
}
