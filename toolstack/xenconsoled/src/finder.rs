//! Finds the consoles of domains through xenstore, on a thread of its own: consoles go on while xenstored is away.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use xen_ctrl::CtrlError;
use xen_dev::Domid;
use xenstore_client::{Client, Error, Operations};

use crate::history::DomainUuid;
use crate::identity::{ConsoleId, Kind, Placement};
use crate::mailbox::{Receiver, Sender};
use crate::report;

/// Token of the watches that tell of domains which come and go.
const DOMAINS: &str = "domains";
/// Pause before another attempt to reach xenstored.
const RETRY: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// A console that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which domain it is.
    pub uuid: DomainUuid,
    /// The domain's name, if it has one.
    pub name: Option<String>,
    /// Where the ring is.
    pub placement: Placement,
    /// Most bytes of output that are to be kept, if the toolstack says so.
    pub limit: Option<u32>,
}

/// What the thread tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A console is there, or something about it has changed.
    Console(ConsoleId, Found),
    /// A domain is gone or going.
    Gone(Domid),
    /// All domains that are there have been told of.
    Ready,
}

/// What the thread is told: the file name of a console's terminal.
pub type TtyName = (ConsoleId, String);

/// Lists all domains, other than this one, that are not being destroyed.
pub type Census = Box<dyn Fn() -> Result<BTreeMap<Domid, DomainUuid>, CtrlError> + Send>;

/// The thread's work.
pub struct Finder {
    /// Where xenstored listens.
    pub store: PathBuf,
    /// Lists the domains.
    pub census: Census,
    /// Where to tell.
    pub news: Sender<News>,
    /// Names of terminals to write into xenstore.
    pub ttys: Receiver<TtyName>,
}

/// What outlives a connection to xenstored.
#[derive(Default)]
struct State {
    known: BTreeMap<Domid, DomainUuid>,
    unwritten: BTreeMap<ConsoleId, String>,
}

impl Finder {
    /// Starts the thread, which ends when nobody sends it names of terminals any more.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(mut self) -> io::Result<JoinHandle<()>> {
        thread::Builder::new().name("finder".to_owned()).spawn(move || {
            let mut state = State::default();
            let mut last = String::new();
            while let Err(error) = self.follow(&mut state) {
                let error = error.to_string();
                if error != last {
                    report::warn(format_args!("consoles that come and go are not noticed: {error}"));
                    last = error;
                }
                if !self.wait(None, Some(&RETRY), &mut state) {
                    break;
                }
            }
        })
    }

    /// Follows the domains until nobody wants to know any more.
    fn follow(&mut self, state: &mut State) -> Result<(), Error> {
        let mut store = Client::connect(&self.store)?;
        store.watch("@introduceDomain", DOMAINS)?;
        store.watch("@releaseDomain", DOMAINS)?;
        for (&domid, &uuid) in &state.known {
            self.watch(&mut store, domid, uuid)?;
        }
        self.count(&mut store, &mut state.known)?;
        self.news.send(News::Ready);
        loop {
            if let Some(event) = store.wait_event(Some(Duration::ZERO))? {
                if event.token == DOMAINS {
                    self.count(&mut store, &mut state.known)?;
                } else if let Some((id, uuid)) = watched(&event.token, &state.known) {
                    self.examine(&mut store, id, uuid)?;
                }
            } else if let Some((&id, name)) = state.unwritten.first_key_value() {
                write_tty(&mut store, id, name)?;
                state.unwritten.remove(&id);
            } else if !self.wait(Some(&store), None, state) {
                return Ok(());
            }
        }
    }

    /// Waits for xenstore or for names of terminals, and takes in the latter. Says whether anyone is still there.
    fn wait(&self, store: Option<&Client>, timeout: Option<&Timespec>, state: &mut State) -> bool {
        let mut files = vec![PollFd::new(&self.ttys, PollFlags::IN)];
        files.extend(store.map(|store| PollFd::new(store, PollFlags::IN)));
        // When a signal came first, there is one more round.
        let _ = poll(&mut files, timeout);
        let (names, is_wanted) = self.ttys.receive();
        state.unwritten.extend(names);
        is_wanted
    }

    /// Looks which domains there are, watches those that are new, and tells of those that are gone.
    fn count(&self, store: &mut Client, known: &mut BTreeMap<Domid, DomainUuid>) -> Result<(), Error> {
        let now = match (self.census)() {
            Ok(now) => now,
            Err(error) => {
                report::warn(format_args!("cannot list domains: {error}"));
                return Ok(());
            }
        };
        let gone = known.extract_if(.., |domid, uuid| now.get(domid) != Some(uuid));
        for (domid, _) in gone.collect::<Vec<_>>() {
            for id in consoles(domid) {
                let unwatched = store.unwatch(&id.folder(), &token(id));
                unwatched.or_else(|error| if error.is_not_found() { Ok(()) } else { Err(error) })?;
            }
            self.news.send(News::Gone(domid));
        }
        for (domid, uuid) in now {
            if known.contains_key(&domid) {
                continue;
            }
            self.watch(store, domid, uuid)?;
            known.insert(domid, uuid);
        }
        Ok(())
    }

    /// Watches the consoles of a domain, and tells of those that are there already.
    fn watch(&self, store: &mut Client, domid: Domid, uuid: DomainUuid) -> Result<(), Error> {
        for id in consoles(domid) {
            store.watch(&id.folder(), &token(id))?;
            self.examine(store, id, uuid)?;
        }
        Ok(())
    }

    /// Tells of a console if it is there and ours to serve.
    fn examine(&self, store: &mut Client, id: ConsoleId, uuid: DomainUuid) -> Result<(), Error> {
        let folder = id.folder();
        let mut text = |path: String| -> Result<Option<String>, Error> {
            let value = store.read_optional(&path)?;
            Ok(value.and_then(|value| String::from_utf8(value).ok()))
        };
        let gfn = text(format!("{folder}/ring-ref"))?.and_then(|gfn| gfn.parse().ok());
        let port = text(format!("{folder}/port"))?.and_then(|port| port.parse().ok());
        let (Some(gfn), Some(port)) = (gfn, port) else { return Ok(()) };
        // QEMU serves the consoles of the other type.
        if text(format!("{folder}/type"))?.is_some_and(|kind| kind != "xenconsoled") {
            return Ok(());
        }
        let limit = text(format!("{folder}/limit"))?.and_then(|limit| limit.parse().ok());
        let name = text(format!("/local/domain/{}/name", id.domid))?.filter(|name| !name.is_empty());
        self.news.send(News::Console(id, Found { uuid, name, placement: Placement { gfn, port }, limit }));
        Ok(())
    }
}

/// Writes the name of a terminal, unless the console is gone: a write would make its folder again.
fn write_tty(store: &mut Client, id: ConsoleId, name: &str) -> Result<(), Error> {
    let folder = id.folder();
    store.transaction(|transaction| match transaction.read_optional(&format!("{folder}/ring-ref"))? {
        Some(_) => transaction.write(&format!("{folder}/tty"), name),
        None => Ok(()),
    })
}

fn consoles(domid: Domid) -> [ConsoleId; Kind::ALL.len()] {
    Kind::ALL.map(|kind| ConsoleId { domid, kind })
}

fn token(id: ConsoleId) -> String {
    format!("{} {}", id.kind, id.domid)
}

/// The console that a token is about, and which domain it belongs to, if that is still there.
fn watched(token: &str, known: &BTreeMap<Domid, DomainUuid>) -> Option<(ConsoleId, DomainUuid)> {
    let (kind, domid) = token.split_once(' ')?;
    let id = ConsoleId { domid: Domid::new(domid.parse().ok()?)?, kind: kind.parse().ok()? };
    Some((id, *known.get(&id.domid)?))
}
