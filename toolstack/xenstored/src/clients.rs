//! The loop's part for programs on sockets: accepting, taking in, giving out.

use crate::daemon::{Daemon, NotingHost, say};
use crate::poller::{Poller, Source};
use crate::socket::{Client, Listener};
use std::collections::BTreeMap;
use std::io;
use xenstore_store::{ConnectionId, Effect, Peer, Record};

/// Bytes taken from or given to one socket in a turn.
const SOCKET_TURN: usize = 32 << 10;

/// Programs that are connected.
#[derive(Debug)]
pub(crate) struct Clients {
    listeners: Vec<Listener>,
    /// Whether listeners are waited for: not for a while when another file cannot be opened.
    accepts: bool,
    /// Whether it was said that a client cannot be accepted, and none has been since.
    is_refusing: bool,
    connected: BTreeMap<ConnectionId, Client>,
    /// What came in goes through this,
    input: Vec<u8>,
    /// and what goes out through this.
    output: Vec<u8>,
}

impl Clients {
    /// None yet, but they may come.
    pub(crate) fn new(listeners: Vec<Listener>, poller: &Poller) -> io::Result<Self> {
        for (at, listener) in listeners.iter().enumerate() {
            poller.add(listener, Source::Listener(at))?;
        }
        let (connected, input, output) = (BTreeMap::new(), vec![0; SOCKET_TURN], Vec::new());
        Ok(Self { listeners, accepts: true, is_refusing: false, connected, input, output })
    }

    pub(crate) fn take_buffer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    pub(crate) fn put_buffer(&mut self, buffer: Vec<u8>) {
        self.output = buffer;
    }

    /// Whether new clients are waited for.
    pub(crate) fn accepts(&self) -> bool {
        self.accepts
    }

    /// Waits for new clients, or not any more.
    pub(crate) fn accept_more(&mut self, poller: &Poller, accepts: bool) {
        if accepts != self.accepts {
            self.accepts = accepts;
            for (at, listener) in self.listeners.iter().enumerate() {
                // They are in the set: to change how does not fail.
                let _ = poller.set_reads(listener, Source::Listener(at), accepts);
            }
        }
    }
}

impl Daemon {
    pub(crate) fn accept(&mut self, at: usize) {
        let Some(listener) = self.clients.listeners.get(at) else { return };
        let read_only = listener.read_only;
        let accepted = listener.accept().and_then(|fd| {
            let Some(fd) = fd else { return Ok(()) };
            self.clients.is_refusing = false;
            let id = self.store.connect(Peer::Socket { read_only });
            self.persist.note(&Record::Connect { read_only });
            self.clients.connected.insert(id, Client { fd, writes: false });
            let added = self.clients.connected.get(&id).map(|it| self.poller.add(&it.fd, Source::Client(id)));
            if let Some(Err(error)) = added {
                self.disconnect(id);
                return Err(error);
            }
            Ok(())
        });
        if let Err(error) = accepted {
            if !std::mem::replace(&mut self.clients.is_refusing, true) {
                say(format_args!("no further client can be accepted for now: {error}"));
            }
            self.clients.accept_more(&self.poller, false);
        }
    }

    /// Takes in what a client on a socket sent.
    pub(crate) fn hear(&mut self, id: ConnectionId) {
        let Some(client) = self.clients.connected.get(&id) else { return };
        let Some(bytes) = client.receive(&mut self.clients.input) else { return self.disconnect(id) };
        if bytes.is_empty() {
            return;
        }
        let mut host = NotingHost { machine: &mut self.machine, persist: &mut self.persist };
        let outcome = self.store.receive(id, bytes, &mut host);
        if outcome != Ok(Effect::None) {
            self.persist.note(&Record::Receive(id, bytes));
        }
        if let Err(error) = outcome {
            say(format_args!("a client on a socket is dropped: {error}"));
            self.disconnect(id);
        }
    }

    /// Sends what waits for a client on a socket, as much as it takes.
    pub(crate) fn give_to_client(&mut self, id: ConnectionId, bytes: &mut Vec<u8>) {
        self.store.pending(id, bytes, SOCKET_TURN);
        let Some(client) = self.clients.connected.get_mut(&id) else { return };
        let Some(count) = client.send(bytes) else { return self.disconnect(id) };
        self.store.sent(id, count);
        let writes = self.store.has_pending(id);
        if writes != client.writes {
            client.writes = writes;
            // It is in the set: to change how does not fail.
            let _ = self.poller.set_writes(&client.fd, Source::Client(id), writes);
        }
        if self.store.is_stuck(id) {
            say(format_args!("a client on a socket is dropped: it does not take what it asked for"));
            self.disconnect(id);
        }
    }

    /// Ends a client's connection.
    pub(crate) fn disconnect(&mut self, id: ConnectionId) {
        self.store.disconnect(id);
        self.persist.note(&Record::Disconnect(id));
        self.clients.connected.remove(&id);
        self.clients.accept_more(&self.poller, true);
    }
}
