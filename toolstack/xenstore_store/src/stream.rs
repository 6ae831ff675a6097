//! Connections as streams of bytes: what comes in, what goes out, and when one ends.

use crate::connection::{Connection, ConnectionId, Peer};
use crate::queue::Queue;
use crate::request;
use crate::store::{Host, Store};
use thiserror::Error;
use xenstore_wire::{Domid, TooLong};

/// Bytes that may wait for a privileged client before it counts as one that does not read.
const PRIVILEGED_QUEUE_MAX: u64 = 64 << 20;

/// What taking in bytes has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The store is as before but for answers: there were whole requests only, and they only read.
    None,
    /// The store may be different.
    Some,
}

/// Nothing more is taken in on this connection; a socket is to be [disconnected](Store::disconnect).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReceiveError {
    /// A message was longer than the protocol allows.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// The connection does not exist, or is ignored since an error before.
    #[error("the connection is not in use")]
    NotInUse,
}

impl Store {
    /// Adds a connection. Domains' rings are connected by `INTRODUCE` and [`Store::connect_dom0`].
    pub fn connect(&mut self, peer: Peer) -> ConnectionId {
        let id = ConnectionId(self.next_connection);
        self.next_connection += 1;
        self.connections.insert(id, Connection::new(peer));
        id
    }

    /// Ends a socket's connection with its watches and transactions. A domain's ends with the domain only: it is
    /// [ignored](Self::ignore).
    pub fn disconnect(&mut self, id: ConnectionId) {
        self.ignore(id);
        if self.connections.get(&id).is_some_and(|connection| matches!(connection.peer, Peer::Socket { .. }))
        {
            self.connections.remove(&id);
        }
    }

    /// Starts a connection anew: both directions empty and at position 0, no watches, no transactions.
    pub fn reset(&mut self, id: ConnectionId) {
        self.talkative.remove(&id);
        if let Some(connection) = self.connections.get_mut(&id) {
            let fresh = Connection::new(connection.peer);
            for watch in std::mem::replace(connection, fresh).watches {
                self.watches.remove(&watch);
            }
        }
    }

    /// Stops dealing with a client that broke the protocol, until a [reset](Self::reset).
    pub fn ignore(&mut self, id: ConnectionId) {
        self.reset(id);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.is_ignored = true;
        }
    }

    /// Connections and their peers.
    pub fn connections(&self) -> impl Iterator<Item = (ConnectionId, Peer)> {
        self.connections.iter().map(|(&id, connection)| (id, connection.peer))
    }

    /// Connections that something waits to be sent on, and their peers.
    pub fn with_pending(&self) -> Vec<(ConnectionId, Peer)> {
        let waiting = self.talkative.iter().filter(|&&id| self.has_pending(id));
        waiting.filter_map(|&id| Some((id, self.connections.get(&id)?.peer))).collect()
    }

    /// Whether the connection exists.
    pub fn is_connected(&self, id: ConnectionId) -> bool {
        self.connections.contains_key(&id)
    }

    /// Takes in bytes that a client sent, and answers every request that is whole.
    ///
    /// # Errors
    /// [`ReceiveError`] when the connection cannot go on.
    pub fn receive(
        &mut self,
        id: ConnectionId,
        bytes: &[u8],
        host: &mut dyn Host,
    ) -> Result<Effect, ReceiveError> {
        let connection = self.connections.get_mut(&id).filter(|connection| !connection.is_ignored);
        let connection = connection.ok_or(ReceiveError::NotInUse)?;
        let mut only_reads = connection.decoder.rest().is_empty();
        connection.received = connection.received.wrapping_add(bytes.len() as u32);
        connection.decoder.push(bytes);
        // A request may end or reset the very connection that it came on.
        while let Some(connection) = self.connections.get_mut(&id) {
            match connection.decoder.next_message() {
                Ok(Some(message)) => {
                    only_reads &= request::only_reads(&message);
                    self.handle(id, &message, host);
                }
                Ok(None) => {
                    only_reads &= connection.decoder.rest().is_empty();
                    break;
                }
                Err(error) => {
                    self.ignore(id);
                    return Err(error.into());
                }
            }
        }
        Ok(if only_reads { Effect::None } else { Effect::Some })
    }

    /// Whether the client may send: an unprivileged one that does not take its answers has to wait.
    pub fn may_receive(&self, id: ConnectionId) -> bool {
        let Some(connection) = self.connections.get(&id).filter(|connection| !connection.is_ignored) else {
            return false;
        };
        let domid = connection.peer.domid();
        domid == Domid::DOM0 || connection.queue.answers() < self.settings.quotas(domid).outstanding
    }

    /// Whether the client has left so much waiting that it is to be given up.
    pub fn is_stuck(&self, id: ConnectionId) -> bool {
        self.connections.get(&id).is_some_and(|connection| connection.queue.bytes() > PRIVILEGED_QUEUE_MAX)
    }

    /// Whether anything waits to be sent.
    pub fn has_pending(&self, id: ConnectionId) -> bool {
        self.connections.get(&id).is_some_and(|connection| connection.queue.bytes() > 0)
    }

    /// Appends up to `max` of the bytes to be sent next to `buffer`.
    pub fn pending(&self, id: ConnectionId, buffer: &mut Vec<u8>, max: usize) {
        if let Some(connection) = self.connections.get(&id) {
            connection.queue.peek(buffer, max);
        }
    }

    /// Drops what waits for a socket that is gone, while its connection is not.
    pub(crate) fn forget_pending_of_socket(&mut self, id: ConnectionId) {
        let connection = self.connections.get_mut(&id);
        if let Some(connection) = connection.filter(|it| matches!(it.peer, Peer::Socket { .. })) {
            connection.queue = Queue::default();
            self.talkative.remove(&id);
        }
    }

    /// Takes note that the first `count` of the pending bytes are sent.
    pub fn sent(&mut self, id: ConnectionId, count: usize) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.sent = connection.sent.wrapping_add(count as u32);
            connection.queue.sent(count);
        }
        if !self.has_pending(id) {
            self.talkative.remove(&id);
        }
    }
}
