//! The loop: take in, write down, give out.
//!
//! Each turn has three steps, and their order is what makes a killed daemon lose nothing: all that came is handed to
//! the store and noted; what has to be is written to the journal; only then are answers sent and indices of rings
//! moved.

use crate::clients::Clients;
use crate::machine::Machine;
use crate::persist::Persist;
use crate::poller::{Poller, Source};
use crate::socket::Listener;
use rustix::event::Timespec;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use xen_abi::Errno;
use xenstore_store::{Host, Peer, Record, Store};
use xenstore_wire::Domid;

/// How long no client is accepted when one could not be, unless one goes.
const ACCEPT_PAUSE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// The daemon.
pub struct Daemon {
    pub(crate) store: Store,
    pub(crate) persist: Persist,
    pub(crate) machine: Option<Machine>,
    pub(crate) clients: Clients,
    pub(crate) poller: Poller,
    /// What the last wait has brought.
    ready: Vec<(Source, bool)>,
    /// Domains whose rings have something to read left.
    pub(crate) waiting: BTreeSet<Domid>,
    /// Whether the last write of the journal failed, which was then said.
    is_failing: bool,
}

impl Daemon {
    /// Takes up where a daemon before this one ended. Its sockets ended with it; rings of domains that still exist
    /// are connected again.
    ///
    /// # Errors
    /// What setting up the wait for events fails with.
    pub fn new(
        store: Store,
        persist: Persist,
        machine: Option<Machine>,
        listeners: Vec<Listener>,
    ) -> io::Result<Self> {
        let poller = Poller::new()?;
        let clients = Clients::new(listeners, &poller)?;
        if let Some(machine) = &machine {
            poller.add(machine.events().as_fd(), Source::Events)?;
        }
        let (ready, waiting) = (Vec::new(), BTreeSet::new());
        let mut daemon = Self { store, persist, machine, clients, poller, ready, waiting, is_failing: false };
        let sockets = daemon.store.connections().filter(|(_, peer)| matches!(peer, Peer::Socket { .. }));
        for id in sockets.map(|(id, _)| id).collect::<Vec<_>>() {
            daemon.disconnect(id);
        }
        daemon.connect_dom0();
        daemon.look_for_ended();
        for ring in daemon.store.rings() {
            if ring.domid != Domid::DOM0 {
                daemon.reconnect(ring.domid);
            }
        }
        Ok(daemon)
    }

    /// Runs for ever.
    ///
    /// # Errors
    /// What waiting for events fails with.
    pub fn run(mut self) -> io::Result<()> {
        loop {
            self.turn(None)?;
        }
    }

    /// One turn; waits for something to do at most `wait`, or for ever.
    ///
    /// # Errors
    /// What waiting for events fails with.
    pub fn turn(&mut self, wait: Option<Timespec>) -> io::Result<()> {
        let wait = match (self.waiting.is_empty(), self.clients.accepts()) {
            (false, _) => Some(Timespec { tv_sec: 0, tv_nsec: 0 }),
            (true, true) => wait,
            (true, false) => Some(wait.map_or(ACCEPT_PAUSE, |wait| wait.min(ACCEPT_PAUSE))),
        };
        self.poller.wait(wait.as_ref(), &mut self.ready)?;
        if self.ready.is_empty() {
            self.clients.accept_more(&self.poller, true);
        }
        let mut after = BTreeMap::new();
        for domid in self.take_in() {
            let done = self.take_requests(domid);
            after.extend(done.map(|done| (domid, done)));
        }
        self.write();
        for (&domid, &done) in &after {
            self.finish(domid, done);
        }
        self.give_out();
        for domid in after.into_keys() {
            self.look_again(domid);
        }
        Ok(())
    }

    /// Takes in what came on sockets and what happened to domains; gives the domains whose rings are to be looked at.
    fn take_in(&mut self) -> BTreeSet<Domid> {
        let mut rings = std::mem::take(&mut self.waiting);
        let ready = std::mem::take(&mut self.ready);
        for &(source, can_read) in &ready {
            match source {
                Source::Client(id) if can_read => self.hear(id),
                // There is room for more, which is given out at the end of the turn.
                Source::Client(_) => {}
                Source::Listener(at) => self.accept(at),
                Source::Events => self.take_events(&mut rings),
            }
        }
        self.ready = ready;
        rings
    }

    /// Brings to the journal what must be there. If that fails, service goes on, and it is said once.
    fn write(&mut self) {
        match self.persist.write(&mut self.store) {
            Ok(()) => self.is_failing = false,
            Err(error) if !self.is_failing => {
                say(format_args!("the state is not being kept: {error}; a restart would lose it"));
                self.is_failing = true;
            }
            Err(_) => {}
        }
    }

    /// Gives out what waits, as far as there is room.
    fn give_out(&mut self) {
        let mut bytes = self.clients.take_buffer();
        for (id, peer) in self.store.with_pending() {
            bytes.clear();
            match peer {
                Peer::Domain(domid) => self.give_to_domain(domid, &mut bytes),
                Peer::Socket { .. } => self.give_to_client(id, &mut bytes),
            }
        }
        self.clients.put_buffer(bytes);
    }
}

/// Does what the store asks for, and notes how it went.
pub(crate) struct NotingHost<'a> {
    pub(crate) machine: &'a mut Option<Machine>,
    pub(crate) persist: &'a mut Persist,
}

impl Host for NotingHost<'_> {
    fn introduce(&mut self, domid: Domid, _gfn: u64, port: u32, features: u32) -> Result<(), Errno> {
        let answer = match self.machine {
            None => Err(Errno::ENOSYS),
            Some(machine) => {
                match machine.connect(domid, port, features).and_then(|ring| Ok(ring.reset()?)) {
                    Ok(()) => {
                        machine.notify(domid);
                        Ok(())
                    }
                    Err(error) => {
                        say(format_args!("domain {domid} cannot be introduced: {error}"));
                        Err(Errno::EINVAL)
                    }
                }
            }
        };
        self.persist.note_durably(&Record::HostAnswer(answer));
        answer
    }

    fn release(&mut self, domid: Domid) {
        if let Some(machine) = self.machine {
            machine.disconnect(domid);
        }
    }
}

/// Tells the operator.
pub(crate) fn say(text: std::fmt::Arguments<'_>) {
    daemon::say(format_args!("xenstored: {text}"));
}
