//! What happened to a store, written down: inputs that lead from a saved state to the present one.
//!
//! A store depends on nothing but its inputs, so a daemon that appends each to a file before it acts on the outcome
//! (sends an answer, moves a ring's index) can be killed at any moment: [`replay`] leads to where it was.

use crate::codec::{Reader, Writer, checksum};
use crate::connection::{ConnectionId, Peer};
use crate::store::{Host, Store};
use std::collections::VecDeque;
use thiserror::Error;
use xen_abi::Errno;
use xenstore_wire::Domid;

/// One input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// [`Store::connect`] for a socket.
    Connect {
        /// Whether the socket may only read.
        read_only: bool,
    },
    /// [`Store::connect_dom0`].
    ConnectDom0 {
        /// Port of the event channel.
        port: u32,
        /// Consumer index of requests.
        received: u32,
        /// Producer index of responses.
        sent: u32,
    },
    /// [`Store::disconnect`].
    Disconnect(ConnectionId),
    /// [`Store::receive`]. May be left out for sockets where that had no [effect](crate::Effect).
    Receive(ConnectionId, &'a [u8]),
    /// [`Store::sent`] to a domain. What goes to sockets is not noted: they end with the daemon.
    Sent(ConnectionId, u32),
    /// [`Store::reset`].
    Reset(ConnectionId),
    /// [`Store::ignore`].
    Ignore(ConnectionId),
    /// [`Store::domain_shutdown`].
    Shutdown(Domid),
    /// [`Store::domain_gone`].
    Gone(Domid),
    /// What [`Host::introduce`] returned while the next [`Receive`](Self::Receive) ran.
    HostAnswer(Result<(), Errno>),
}

/// A journal holds something else than records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the journal is damaged at byte {offset}")]
pub struct JournalError {
    /// Where the record starts that is damaged.
    pub offset: usize,
}

impl Record<'_> {
    /// Appends the record to a journal.
    pub fn append(&self, journal: &mut Vec<u8>) {
        let mut body = Writer::default();
        match *self {
            Self::Connect { read_only } => {
                body.u8(0);
                body.u8(read_only.into());
            }
            Self::ConnectDom0 { port, received, sent } => {
                body.u8(1);
                body.u32(port);
                body.u32(received);
                body.u32(sent);
            }
            Self::Disconnect(ConnectionId(id)) => {
                body.u8(2);
                body.u64(id);
            }
            Self::Receive(ConnectionId(id), bytes) => {
                body.u8(3);
                body.u64(id);
                body.bytes(bytes);
            }
            Self::Sent(ConnectionId(id), count) => {
                body.u8(4);
                body.u64(id);
                body.u32(count);
            }
            Self::Reset(ConnectionId(id)) => {
                body.u8(5);
                body.u64(id);
            }
            Self::Ignore(ConnectionId(id)) => {
                body.u8(9);
                body.u64(id);
            }
            Self::Shutdown(Domid(domid)) => {
                body.u8(6);
                body.u16(domid);
            }
            Self::Gone(Domid(domid)) => {
                body.u8(7);
                body.u16(domid);
            }
            Self::HostAnswer(answer) => {
                body.u8(8);
                body.u8(answer.err().map_or(0, Errno::code));
            }
        }
        let mut record = Writer(std::mem::take(journal));
        record.bytes(&body.0);
        record.u64(checksum(&body.0));
        *journal = record.0;
    }

    /// The record in `body`.
    fn decode(body: &[u8]) -> Option<Record<'_>> {
        let mut body = Reader(body);
        let record = match body.u8()? {
            0 => Record::Connect { read_only: body.u8()? != 0 },
            1 => Record::ConnectDom0 { port: body.u32()?, received: body.u32()?, sent: body.u32()? },
            2 => Record::Disconnect(ConnectionId(body.u64()?)),
            3 => Record::Receive(ConnectionId(body.u64()?), body.bytes()?),
            4 => Record::Sent(ConnectionId(body.u64()?), body.u32()?),
            5 => Record::Reset(ConnectionId(body.u64()?)),
            6 => Record::Shutdown(Domid(body.u16()?)),
            7 => Record::Gone(Domid(body.u16()?)),
            8 => Record::HostAnswer(match body.u8()? {
                0 => Ok(()),
                code => Err(Errno::from_code(code.into())?),
            }),
            9 => Record::Ignore(ConnectionId(body.u64()?)),
            _ => return None,
        };
        body.0.is_empty().then_some(record)
    }
}

/// Does again what the journal says. A record that is cut off at the end was being written when the daemon was
/// killed: nothing followed from it, and it is left out.
///
/// # Errors
/// [`JournalError`] when anything else than the end is damaged; the store is then to be thrown away.
pub fn replay(store: &mut Store, journal: &[u8]) -> Result<(), JournalError> {
    let mut reader = Reader(journal);
    let mut host = Recorded::default();
    loop {
        let offset = journal.len() - reader.0.len();
        let (Some(body), Some(sum)) = (reader.bytes(), reader.u64()) else { return Ok(()) };
        let record = Record::decode(body).filter(|_| sum == checksum(body)).ok_or(JournalError { offset })?;
        match record {
            Record::Connect { read_only } => {
                store.connect(Peer::Socket { read_only });
            }
            Record::ConnectDom0 { port, received, sent } => {
                store.connect_dom0(port, received, sent);
            }
            Record::Disconnect(id) => store.disconnect(id),
            Record::Receive(id, bytes) => {
                // What an error led to, follows.
                let _ = store.receive(id, bytes, &mut host);
                store.forget_pending_of_socket(id);
            }
            Record::Sent(id, count) => store.sent(id, count as usize),
            Record::Reset(id) => store.reset(id),
            Record::Ignore(id) => store.ignore(id),
            Record::Shutdown(domid) => store.domain_shutdown(domid),
            Record::Gone(domid) => store.domain_gone(domid),
            Record::HostAnswer(answer) => host.0.push_back(answer),
        }
    }
}

/// Answers as the journal has them.
#[derive(Default)]
struct Recorded(VecDeque<Result<(), Errno>>);

impl Host for Recorded {
    fn introduce(&mut self, _domid: Domid, _gfn: u64, _port: u32, _features: u32) -> Result<(), Errno> {
        self.0.pop_front().unwrap_or(Err(Errno::EIO))
    }

    fn release(&mut self, _domid: Domid) {}
}
