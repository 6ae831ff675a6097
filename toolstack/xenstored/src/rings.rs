//! The loop's part for domains' rings: connecting them, taking in, giving out.

use crate::daemon::{Daemon, NotingHost, say};
use crate::machine::Fate;
use std::collections::{BTreeMap, BTreeSet};
use xen_abi::io::xs_wire::{XENSTORE_ERROR_PROTO, XENSTORE_ERROR_RINGIDX};
use xen_dev::RingError;
use xenstore_store::{ConnectionId, Record};
use xenstore_wire::Domid;

/// What is done to a ring once the journal is written.
#[derive(Clone, Copy)]
pub(crate) enum After {
    /// The requests that were read are freed.
    Consume,
    /// The ring starts anew, as its domain asked.
    Reset,
    /// The domain is told why it is not heard any more.
    Report(u32),
}

impl Daemon {
    /// Adds the domains whose event channels have fired, and looks for domains that have ended.
    pub(crate) fn take_events(&mut self, rings: &mut BTreeSet<Domid>) {
        let Some(machine) = &self.machine else { return };
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

    /// Takes in what a domain put into its ring. `None` when there is no ring, or nothing came of it.
    pub(crate) fn take_requests(&mut self, domid: Domid) -> Option<After> {
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
            Ok(_) => Some(After::Consume),
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

    pub(crate) fn finish(&mut self, domid: Domid, done: After) {
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

    pub(crate) fn give_to_domain(&mut self, domid: Domid, bytes: &mut Vec<u8>) {
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
    pub(crate) fn look_again(&mut self, domid: Domid) {
        let ring = self.machine.as_ref().and_then(|machine| machine.rings.get(&domid));
        if let (Some(connected), Some(state)) = (ring, self.store.ring(domid))
            && self.store.may_receive(state.connection)
            && connected.ring.available(state.received) != Ok(0)
        {
            self.waiting.insert(domid);
        }
    }

    /// Compares the domains that the store knows with those that there are.
    pub(crate) fn look_for_ended(&mut self) {
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
    pub(crate) fn connect_dom0(&mut self) {
        let Some(machine) = &mut self.machine else { return };
        let outcome = machine
            .connect_dom0(self.store.features(Domid::DOM0))
            .and_then(|(ring, port)| Ok((ring.own_indices()?, port)));
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
    pub(crate) fn reconnect(&mut self, domid: Domid) {
        let (Some(machine), Some(state)) = (&mut self.machine, self.store.ring(domid)) else { return };
        match machine.connect(domid, state.port, state.features) {
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
