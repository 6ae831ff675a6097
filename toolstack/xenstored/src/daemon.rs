//! The loop: take in, write down, give out.
//!
//! Each turn has three steps, and their order is what makes a killed daemon lose nothing: all that came is handed to
//! the store and noted; what has to be is written to the journal; only then are answers sent and indices of rings
//! moved.

use crate::machine::{Fate, Machine};
use crate::persist::Persist;
use crate::socket::{Client, Listener};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use xen_abi::Errno;
use xen_abi::io::xs_wire::{XENSTORE_ERROR_PROTO, XENSTORE_ERROR_RINGIDX};
use xen_dev::RingError;
use xenstore_store::{ConnectionId, Host, Peer, Record, Store};
use xenstore_wire::Domid;

/// Bytes taken from or given to one socket in a turn.
const SOCKET_TURN: usize = 32 << 10;

/// What is done to a ring once the journal is written.
#[derive(Clone, Copy)]
enum After {
    /// The requests that were read are freed.
    Consume,
    /// The ring starts anew, as its domain asked.
    Reset,
    /// The domain is told why it is not heard any more.
    Report(u32),
}

/// The daemon.
pub struct Daemon {
    store: Store,
    persist: Persist,
    machine: Option<Machine>,
    listeners: Vec<Listener>,
    clients: Vec<Client>,
    /// Domains whose rings have something to read left.
    waiting: BTreeSet<Domid>,
    /// Whether the last write of the journal failed, which was then said.
    is_failing: bool,
}

impl Daemon {
    /// Takes up where a daemon before this one ended. Its sockets ended with it; rings of domains that still exist
    /// are connected again.
    pub fn new(store: Store, persist: Persist, machine: Option<Machine>, listeners: Vec<Listener>) -> Self {
        let clients = Vec::new();
        let waiting = BTreeSet::new();
        let mut daemon = Self { store, persist, machine, listeners, clients, waiting, is_failing: false };
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
        daemon
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
        let ready = self.wait(wait)?;
        let mut after = BTreeMap::new();
        for domid in self.take_in(&ready) {
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

    /// Waits, and says which of listeners, clients and events are ready, in this order.
    fn wait(&mut self, wait: Option<Timespec>) -> io::Result<Vec<PollFlags>> {
        let mut fds: Vec<PollFd<'_>> =
            self.listeners.iter().map(|it| PollFd::new(it, PollFlags::IN)).collect();
        for client in &self.clients {
            let more = if self.store.has_pending(client.id) { PollFlags::OUT } else { PollFlags::empty() };
            fds.push(PollFd::new(&client.fd, PollFlags::IN | more));
        }
        if let Some(machine) = &self.machine {
            fds.push(PollFd::from_borrowed_fd(machine.events().as_fd(), PollFlags::IN));
        }
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let wait = if self.waiting.is_empty() { wait } else { Some(at_once) };
        match poll(&mut fds, wait.as_ref()) {
            Ok(_) => Ok(fds.iter().map(PollFd::revents).collect()),
            Err(rustix::io::Errno::INTR) => Ok(vec![PollFlags::empty(); fds.len()]),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes in what came on sockets and what happened to domains; gives the domains whose rings are to be looked at.
    fn take_in(&mut self, ready: &[PollFlags]) -> BTreeSet<Domid> {
        let mut flags = ready.iter();
        let listening: Vec<bool> =
            flags.by_ref().take(self.listeners.len()).map(|flags| !flags.is_empty()).collect();
        let readable = PollFlags::IN | PollFlags::HUP | PollFlags::ERR;
        let talking: Vec<bool> =
            flags.by_ref().take(self.clients.len()).map(|flags| flags.intersects(readable)).collect();
        let has_events = flags.next().is_some_and(|flags| !flags.is_empty());
        for at in (0..self.clients.len()).filter(|&at| talking[at]) {
            self.hear(at);
        }
        self.clients.retain(|client| self.store.is_connected(client.id));
        for at in (0..self.listeners.len()).filter(|&at| listening[at]) {
            self.accept(at);
        }
        let mut rings = std::mem::take(&mut self.waiting);
        if let Some(machine) = self.machine.as_ref().filter(|_| has_events) {
            match machine.take_events() {
                Ok((domains, ended)) => {
                    rings.extend(domains);
                    if ended {
                        self.look_for_ended();
                    }
                }
                Err(error) => say(format_args!("event channels cannot be read: {error}")),
            }
        }
        rings
    }

    fn accept(&mut self, at: usize) {
        let Listener { read_only, .. } = self.listeners[at];
        match self.listeners[at].accept() {
            Ok(None) => {}
            Ok(Some(fd)) => {
                let id = self.store.connect(Peer::Socket { read_only });
                self.persist.note(&Record::Connect { read_only });
                self.clients.push(Client { id, fd });
            }
            Err(error) => say(format_args!("a client cannot be accepted: {error}")),
        }
    }

    /// Takes in what a client on a socket sent.
    fn hear(&mut self, at: usize) {
        let mut buffer = [0; SOCKET_TURN];
        let Client { id, .. } = self.clients[at];
        let Some(bytes) = self.clients[at].receive(&mut buffer) else { return self.disconnect(id) };
        if bytes.is_empty() {
            return;
        }
        let mut host = NotingHost { machine: &mut self.machine, persist: &mut self.persist };
        let outcome = self.store.receive(id, bytes, &mut host);
        self.persist.note(&Record::Receive(id, bytes));
        if let Err(error) = outcome {
            say(format_args!("a client on a socket is dropped: {error}"));
            self.disconnect(id);
        }
    }

    fn disconnect(&mut self, id: ConnectionId) {
        self.store.disconnect(id);
        self.persist.note(&Record::Disconnect(id));
    }

    /// Takes in what a domain put into its ring. `None` when there is no ring, or nothing came of it.
    fn take_requests(&mut self, domid: Domid) -> Option<After> {
        let state = self.store.ring(domid)?;
        let ring = &self.machine.as_ref()?.rings.get(&domid)?.ring;
        if ring.wants_reset().ok()? {
            self.store.reset(state.connection);
            self.persist.note_durably(&Record::Reset(state.connection));
            return Some(After::Reset);
        }
        if !self.store.may_receive(state.connection) {
            return Some(After::Consume).filter(|_| self.store.has_pending(state.connection));
        }
        let mut bytes = Vec::new();
        if ring.peek(state.received, &mut bytes).is_err() {
            return Some(self.ignore(domid, state.connection));
        }
        if bytes.is_empty() {
            return Some(After::Consume);
        }
        let mut host = NotingHost { machine: &mut self.machine, persist: &mut self.persist };
        let outcome = self.store.receive(state.connection, &bytes, &mut host);
        self.persist.note_durably(&Record::Receive(state.connection, &bytes));
        match outcome {
            Ok(()) => Some(After::Consume),
            Err(error) => {
                say(format_args!("domain {domid} is not heard any more: {error}"));
                Some(After::Report(XENSTORE_ERROR_PROTO))
            }
        }
    }

    /// Stops dealing with a domain whose ring cannot be right.
    fn ignore(&mut self, domid: Domid, id: ConnectionId) -> After {
        say(format_args!("domain {domid} is not heard any more: {}", RingError::Index));
        self.store.ignore(id);
        self.persist.note_durably(&Record::Ignore(id));
        After::Report(XENSTORE_ERROR_RINGIDX)
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

    fn finish(&mut self, domid: Domid, done: After) {
        let Some(machine) = &self.machine else { return };
        let (Some(connected), Some(state)) = (machine.rings.get(&domid), self.store.ring(domid)) else {
            return;
        };
        // The memory is mapped and large enough: the accesses do not fail.
        let _ = match done {
            After::Consume => connected.ring.consume(state.received),
            After::Reset => connected.ring.reset(),
            After::Report(error) => connected.ring.report(error),
        };
        machine.notify(domid);
    }

    /// Gives out what waits, as far as there is room.
    fn give_out(&mut self) {
        let mut bytes = Vec::new();
        for (id, peer) in self.store.with_pending() {
            bytes.clear();
            match peer {
                Peer::Domain(domid) => self.give_to_domain(domid, &mut bytes),
                Peer::Socket { .. } => {
                    self.store.pending(id, &mut bytes, SOCKET_TURN);
                    let client = self.clients.iter().find(|client| client.id == id);
                    match client.and_then(|client| client.send(&bytes)) {
                        Some(count) => {
                            self.store.sent(id, count);
                            self.persist.note(&Record::Sent(id, count as u32));
                        }
                        None => self.disconnect(id),
                    }
                    if self.store.is_stuck(id) {
                        say(format_args!(
                            "a client on a socket is dropped: it does not take what it asked for"
                        ));
                        self.disconnect(id);
                    }
                }
            }
        }
        self.clients.retain(|client| self.store.is_connected(client.id));
    }

    fn give_to_domain(&mut self, domid: Domid, bytes: &mut Vec<u8>) {
        let Some(machine) = &self.machine else { return };
        let (Some(connected), Some(state)) = (machine.rings.get(&domid), self.store.ring(domid)) else {
            return;
        };
        let room = connected.ring.room(state.sent);
        self.store.pending(state.connection, bytes, *room.as_ref().unwrap_or(&0));
        if room.is_err() || connected.ring.produce(state.sent, bytes).is_err() {
            let report = self.ignore(domid, state.connection);
            self.finish(domid, report);
        } else if !bytes.is_empty() {
            machine.notify(domid);
            self.note_sent(state.connection, bytes.len());
        }
    }

    /// Notes what a ring got. It is written before the ring gets more, so that what a ring holds beyond the journal
    /// is never more than the ring is long: its index can then tell how much that is.
    fn note_sent(&mut self, id: ConnectionId, count: usize) {
        self.store.sent(id, count);
        self.persist.note_durably(&Record::Sent(id, count as u32));
    }

    /// Marks a domain's ring if there is more to read in it already.
    fn look_again(&mut self, domid: Domid) {
        let ring = self.machine.as_ref().and_then(|machine| machine.rings.get(&domid));
        if let (Some(connected), Some(state)) = (ring, self.store.ring(domid))
            && self.store.may_receive(state.connection)
            && connected.ring.available(state.received) != Ok(0)
        {
            self.waiting.insert(domid);
        }
    }

    /// Compares the domains that the store knows with those that there are.
    fn look_for_ended(&mut self) {
        let Some(machine) = &mut self.machine else { return };
        let fates: BTreeMap<Domid, Fate> = match machine.domains() {
            Ok(domains) => domains.into_iter().collect(),
            Err(error) => return say(format_args!("domains cannot be listed: {error}")),
        };
        for domid in self.store.known_domains() {
            match fates.get(&domid) {
                Some(Fate::Alive) => {}
                Some(Fate::Shutdown) => {
                    self.store.domain_shutdown(domid);
                    self.persist.note_durably(&Record::Shutdown(domid));
                }
                Some(Fate::Dying) | None => {
                    machine.disconnect(domid);
                    self.store.domain_gone(domid);
                    self.persist.note_durably(&Record::Gone(domid));
                }
            }
        }
    }

    /// Connects Dom0's kernel: again where the last daemon was, or for the first time where its indices stand.
    fn connect_dom0(&mut self) {
        let Some(machine) = &mut self.machine else { return };
        let outcome = machine.connect_dom0().and_then(|(ring, port)| Ok((ring.own_indices()?, port)));
        let ((received, sent), port) = match outcome {
            Ok(found) => found,
            Err(error) => return say(format_args!("Dom0's kernel is not connected: {error}")),
        };
        match self.store.ring(Domid::DOM0) {
            Some(_) => self.catch_up(Domid::DOM0),
            None => {
                self.store.connect_dom0(port, received, sent);
                self.persist.note_durably(&Record::ConnectDom0 { port, received, sent });
            }
        }
        self.waiting.insert(Domid::DOM0);
    }

    /// Connects the ring of a domain that was connected to the last daemon.
    fn reconnect(&mut self, domid: Domid) {
        let (Some(machine), Some(state)) = (&mut self.machine, self.store.ring(domid)) else { return };
        match machine.connect(domid, state.port) {
            Ok(_) => self.catch_up(domid),
            Err(error) => say(format_args!("domain {domid} is not connected again: {error}")),
        }
    }

    /// Takes up a ring: the last daemon may have put more into it than it noted, and not freed what it had read.
    fn catch_up(&mut self, domid: Domid) {
        let ring = self.machine.as_ref().and_then(|machine| machine.rings.get(&domid));
        let (Some(connected), Some(state)) = (ring, self.store.ring(domid)) else { return };
        match connected.ring.produced_since(state.sent) {
            Ok(count) => self.note_sent(state.connection, count),
            Err(_) if connected.ring.wants_reset() == Ok(true) => {}
            Err(_) => {
                let report = self.ignore(domid, state.connection);
                return self.finish(domid, report);
            }
        }
        self.finish(domid, After::Consume);
        self.waiting.insert(domid);
    }
}

/// Does what the store asks for, and notes how it went.
struct NotingHost<'a> {
    machine: &'a mut Option<Machine>,
    persist: &'a mut Persist,
}

impl Host for NotingHost<'_> {
    fn introduce(&mut self, domid: Domid, _gfn: u64, port: u32) -> Result<(), Errno> {
        let answer = match self.machine {
            None => Err(Errno::ENOSYS),
            Some(machine) => match machine.connect(domid, port).and_then(|ring| Ok(ring.reset()?)) {
                Ok(()) => {
                    machine.notify(domid);
                    Ok(())
                }
                Err(error) => {
                    say(format_args!("domain {domid} cannot be introduced: {error}"));
                    Err(Errno::EINVAL)
                }
            },
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
fn say(text: std::fmt::Arguments<'_>) {
    daemon::say(format_args!("xenstored: {text}"));
}
