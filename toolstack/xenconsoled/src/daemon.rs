//! The daemon: it waits for whatever comes first, and hands it to whom it concerns.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use xen_dev::{Domid, Port};

use crate::console::Console;
use crate::finder::{Found, News, TtyName};
use crate::hypervisor_log::HypervisorLog;
use crate::identity::ConsoleId;
use crate::log::{Log, LogStyle, file_name};
use crate::machine::Machine;
use crate::mailbox::{Receiver, Sender};
use crate::protocol::Answer;
use crate::report;
use crate::viewer::{Leaves, Viewer};

/// Connections to the socket at a time; more wait.
const MAX_VIEWERS: usize = 256;
/// What the files of histories begin with.
const HISTORY: &str = "history-";

/// What the daemon is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where histories are.
    pub state_dir: PathBuf,
    /// Where guests' logs are written, if they are.
    pub guest_logs: Option<PathBuf>,
    /// How they are written.
    pub guest_log_style: LogStyle,
    /// Bytes of history of a console at most.
    pub history: u32,
    /// A guest waits for the terminal's reader instead of going on without.
    pub keeps_all: bool,
}

/// Files that become readable when a signal has come.
#[derive(Debug)]
pub struct Signals {
    /// Log files are to be opened again.
    pub reopen: UnixStream,
    /// The daemon is to end.
    pub end: UnixStream,
}

/// The daemon.
pub struct Daemon {
    settings: Settings,
    machine: Machine,
    listener: UnixListener,
    news: Receiver<News>,
    ttys: Sender<TtyName>,
    hypervisor: Option<HypervisorLog>,
    signals: Signals,
    consoles: BTreeMap<ConsoleId, Console>,
    viewers: Vec<Viewer>,
    /// All consoles are known: before, a viewer cannot be told that there is none.
    is_ready: bool,
}

/// What is waited for.
#[derive(Clone, Copy)]
enum Source {
    News,
    Events,
    Reopen,
    End,
    Listener,
    Terminal(ConsoleId),
    Viewer(usize),
}

impl Daemon {
    /// A daemon that knows no console yet.
    pub fn new(
        settings: Settings,
        machine: Machine,
        listener: UnixListener,
        (news, ttys): (Receiver<News>, Sender<TtyName>),
        hypervisor: Option<HypervisorLog>,
        signals: Signals,
    ) -> Self {
        Self {
            settings,
            machine,
            listener,
            news,
            ttys,
            hypervisor,
            signals,
            consoles: BTreeMap::new(),
            viewers: Vec::new(),
            is_ready: false,
        }
    }

    /// Serves until a signal says that it is enough.
    ///
    /// # Errors
    /// When the daemon cannot wait for events, or nobody tells it of domains any more.
    pub fn run(mut self) -> io::Result<()> {
        while self.turn()? {}
        self.consoles.values_mut().for_each(Console::note_last_shown);
        Ok(())
    }

    /// Waits once and does what has come: for each console and viewer at most one piece, so that nobody starves.
    /// Says whether to go on.
    fn turn(&mut self) -> io::Result<bool> {
        let ready = self.wait()?;
        let now = Instant::now();
        let mut leaving = vec![false; self.viewers.len()];
        for (source, events) in ready {
            match source {
                Source::News => self.take_news()?,
                Source::Events => self.take_events(now)?,
                Source::Reopen => self.reopen_logs(),
                Source::End => return Ok(false),
                Source::Listener => self.accept(),
                Source::Terminal(id) => {
                    if let Some(console) = self.consoles.get_mut(&id) {
                        if events.intersects(PollFlags::OUT) {
                            console.feed_terminal(&self.machine, now);
                        }
                        if events.intersects(PollFlags::IN) {
                            console.read_terminal(&self.machine, now);
                        }
                    }
                }
                Source::Viewer(index) => {
                    if let Some(leaves) = leaving.get_mut(index) {
                        *leaves = self.serve(index, events).is_err();
                    }
                }
            }
        }
        for console in self.consoles.values_mut() {
            console.on_time(&self.machine, now);
        }
        let mut leaving = leaving.into_iter();
        let consoles = &self.consoles;
        self.viewers.retain(|viewer| {
            let is_alone = viewer.console().is_some_and(|id| !consoles.contains_key(&id));
            !leaving.next().unwrap_or(false) && !is_alone
        });
        Ok(true)
    }

    fn wait(&self) -> io::Result<Vec<(Source, PollFlags)>> {
        let mut sources = Vec::new();
        let mut files = Vec::new();
        let mut watch = |source, file| {
            sources.push(source);
            files.push(file);
        };
        watch(Source::End, PollFd::new(&self.signals.end, PollFlags::IN));
        watch(Source::Reopen, PollFd::new(&self.signals.reopen, PollFlags::IN));
        watch(Source::News, PollFd::new(&self.news, PollFlags::IN));
        watch(Source::Events, PollFd::from_borrowed_fd(self.machine.events().as_fd(), PollFlags::IN));
        if self.is_ready && self.viewers.len() < MAX_VIEWERS {
            watch(Source::Listener, PollFd::new(&self.listener, PollFlags::IN));
        }
        for (&id, console) in &self.consoles {
            if let Some(pty) = console.pty() {
                let flags = wanted(console.room() > 0, console.is_terminal_behind());
                watch(Source::Terminal(id), PollFd::new(pty, flags));
            }
        }
        for (index, viewer) in self.viewers.iter().enumerate() {
            let console = viewer.console().and_then(|id| self.consoles.get(&id));
            let reads = console.is_none_or(|console| viewer.types() && console.room() > 0);
            let writes = console.is_some_and(|console| viewer.is_behind(console.history()));
            watch(Source::Viewer(index), PollFd::new(viewer, wanted(reads, writes)));
        }
        let next = self.consoles.values().filter_map(Console::next_time).min();
        let left = next.map(|next| next.saturating_duration_since(Instant::now()) + Duration::from_millis(1));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut files, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let came = files.iter().map(|file| file.revents());
        Ok(sources.into_iter().zip(came).filter(|(_, came)| !came.is_empty()).collect())
    }

    fn take_news(&mut self) -> io::Result<()> {
        let (news, is_more_to_come) = self.news.receive();
        for news in news {
            match news {
                News::Console(id, found) => self.update(id, found),
                News::Gone(domid) => self.forget(domid),
                News::Ready => self.become_ready(),
            }
        }
        if is_more_to_come { Ok(()) } else { Err(io::Error::other("the finder of consoles has ended")) }
    }

    /// Takes up a console, or what has changed about it.
    fn update(&mut self, id: ConsoleId, found: Found) {
        let console = match self.consoles.remove(&id) {
            Some(console) => console,
            None => {
                let path = self.history_path(id);
                let Settings { history, keeps_all, .. } = self.settings;
                match Console::new(id, found.clone(), &path, history, keeps_all) {
                    Ok(console) => console,
                    Err(error) => {
                        let path = path.display();
                        return report::warn(format_args!("cannot serve the {id}: {path}: {error}"));
                    }
                }
            }
        };
        let console = self.consoles.entry(id).insert_entry(console).into_mut();
        if let Err(error) = console.connect(&self.machine, found) {
            return report::warn(format_args!("cannot serve the {id}: {error}"));
        }
        match console.open_terminal() {
            Ok(Some(name)) => {
                report::note(format_args!("the {id} is at {name}"));
                self.ttys.send((id, name));
            }
            Ok(None) => {}
            Err(error) => report::warn(format_args!("cannot open a terminal for the {id}: {error}")),
        }
        if let Some(folder) = self.settings.guest_logs.as_ref().filter(|_| console.log_mut().is_none()) {
            let domain = console.found().name.as_deref().map_or_else(|| id.domid.to_string(), file_name);
            let path = folder.join(format!("guest-{domain}{}.log", id.kind.log_suffix()));
            let log = Log::open(path.clone(), self.settings.guest_log_style);
            if let Err(error) = log.and_then(|log| console.set_log(log)) {
                report::warn(format_args!("cannot write {}: {error}", path.display()));
            }
        }
    }

    /// Gives the viewers of a domain what there is, and forgets its consoles.
    fn forget(&mut self, domid: Domid) {
        let of_domain = |id: &ConsoleId| id.domid == domid;
        for (id, mut console) in self.consoles.extract_if(.., |id, _| of_domain(id)).collect::<Vec<_>>() {
            console.finish(&self.machine);
            for viewer in self.viewers.iter_mut().filter(|viewer| viewer.console() == Some(id)) {
                viewer.feed_last(console.history());
            }
            self.remove(&self.history_path(id));
        }
    }

    /// Removes the histories of domains that ended while no daemon was there, and lets viewers in.
    fn become_ready(&mut self) {
        self.is_ready = true;
        let Ok(entries) = std::fs::read_dir(&self.settings.state_dir) else { return };
        let kept: Vec<_> = self.consoles.keys().map(|id| self.history_path(*id)).collect();
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(HISTORY) && !kept.contains(&path) {
                self.remove(&path);
            }
        }
    }

    fn remove(&self, history: &std::path::Path) {
        if let Err(error) = std::fs::remove_file(history) {
            report::warn(format_args!("cannot remove {}: {error}", history.display()));
        }
    }

    fn history_path(&self, id: ConsoleId) -> PathBuf {
        self.settings.state_dir.join(format!("{HISTORY}{}-{}", id.domid, id.kind))
    }

    fn take_events(&mut self, now: Instant) -> io::Result<()> {
        for port in self.machine.events().pending()? {
            if let Some(hypervisor) = self.hypervisor.as_mut().filter(|log| log.port() == port) {
                hypervisor.on_event(self.machine.events());
            } else if let Some(console) = self.console_at(port) {
                let machine = &self.machine;
                if let Some(console) = self.consoles.get_mut(&console) {
                    console.on_event(machine, now);
                }
            }
        }
        Ok(())
    }

    fn console_at(&self, port: Port) -> Option<ConsoleId> {
        self.consoles.iter().find(|(_, console)| console.port() == Some(port)).map(|(&id, _)| id)
    }

    fn reopen_logs(&mut self) {
        // Several signals in one are one.
        let _ = rustix::io::read(&self.signals.reopen, &mut [0; 64]);
        let guests = self.consoles.values_mut().filter_map(Console::log_mut);
        for log in guests.chain(self.hypervisor.as_mut().map(HypervisorLog::log_mut)) {
            if let Err(error) = log.reopen() {
                report::warn(format_args!("cannot write {}: {error}", log.path().display()));
            }
        }
    }

    fn accept(&mut self) {
        // A viewer that has left already is none.
        if let Ok((stream, _)) = self.listener.accept()
            && let Ok(viewer) = Viewer::new(stream)
        {
            self.viewers.push(viewer);
        }
    }

    fn serve(&mut self, index: usize, events: PollFlags) -> Result<(), Leaves> {
        let Some(viewer) = self.viewers.get_mut(index) else { return Ok(()) };
        // What was sent before it went counts.
        let has_gone =
            events.intersects(PollFlags::HUP | PollFlags::ERR) && !events.intersects(PollFlags::IN);
        if has_gone {
            return Err(Leaves);
        }
        let Some(id) = viewer.console() else {
            if let Some(attach) = viewer.read_request()? {
                let Some(console) = self.consoles.get(&attach.console) else {
                    viewer.refuse(&Answer::None);
                    return Err(Leaves);
                };
                viewer.attach(attach, console.history());
            }
            return Ok(());
        };
        let Some(console) = self.consoles.get(&id) else { return Err(Leaves) };
        if events.intersects(PollFlags::OUT) {
            viewer.feed(console.history())?;
        }
        if events.intersects(PollFlags::IN) {
            let mut typed = [0; 512];
            let room = console.room().min(typed.len());
            let count = viewer.read_typed(&mut typed[..room])?;
            console.send(&self.machine, &typed[..count]);
        }
        Ok(())
    }
}

fn wanted(reads: bool, writes: bool) -> PollFlags {
    let reads = if reads { PollFlags::IN } else { PollFlags::empty() };
    reads | if writes { PollFlags::OUT } else { PollFlags::empty() }
}
