//! One client of the store: what it sent in part, its transactions and watches, and what waits for it.

use crate::queue::Queue;
use crate::transaction::Transaction;
use crate::watch::Watch;
use std::collections::BTreeMap;
use std::rc::Rc;
use xenstore_wire::{Decoder, Domid};

/// Names a connection for as long as the store's state lives; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A program in dom0, on a socket: privileged.
    Socket {
        /// Requests that change anything are refused with `EROFS`.
        read_only: bool,
    },
    /// A domain, on its ring; dom0's is privileged.
    Domain(Domid),
}

impl Peer {
    /// The domain in whose home relative paths start.
    pub fn domid(self) -> Domid {
        match self {
            Self::Socket { .. } => Domid::DOM0,
            Self::Domain(domid) => domid,
        }
    }
}

/// State of one connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) peer: Peer,
    pub(crate) decoder: Decoder,
    pub(crate) transactions: BTreeMap<u32, Transaction>,
    pub(crate) next_transaction: u32,
    /// In the order of registration.
    pub(crate) watches: Vec<Rc<Watch>>,
    pub(crate) queue: Queue,
    /// The client broke the protocol: nothing of it is heard, and nothing is sent, until a reset.
    pub(crate) is_ignored: bool,
    /// Bytes taken in, modulo 2^32: the position in a ring.
    pub(crate) received: u32,
    /// Bytes sent, modulo 2^32.
    pub(crate) sent: u32,
}

impl Connection {
    pub(crate) fn new(peer: Peer) -> Self {
        Self {
            peer,
            decoder: Decoder::default(),
            transactions: BTreeMap::new(),
            next_transaction: 1,
            watches: Vec::new(),
            queue: Queue::default(),
            is_ignored: false,
            received: 0,
            sent: 0,
        }
    }

    /// An unused transaction number; 0 is none.
    pub(crate) fn unused_transaction(&mut self) -> u32 {
        loop {
            let number = self.next_transaction.max(1);
            self.next_transaction = number.wrapping_add(1);
            if !self.transactions.contains_key(&number) {
                return number;
            }
        }
    }

    /// Bytes that count against the memory quota, without nodes.
    pub(crate) fn memory(&self) -> u64 {
        let watches: u64 = self.watches.iter().map(|watch| watch.size()).sum();
        let transactions: u64 = self.transactions.values().map(Transaction::size).sum();
        watches + transactions + self.queue.bytes()
    }
}
