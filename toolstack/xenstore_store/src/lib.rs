//! Xenstore itself: tree, permissions, transactions, watches, quotas and domains, as a library without I/O.
//!
//! A [`Store`] is a machine that bytes go into and bytes come out of. A daemon tells it of connections
//! ([`Store::connect`]), feeds it what they sent ([`Store::receive`], or [`Store::handle`] for one request), and takes
//! what is to be sent ([`Store::pending`], [`Store::sent`]). What only the machine around it can do, such as mapping
//! a domain's ring, it asks of a [`Host`].
//!
//! * Same inputs, same state: nothing here reads a clock or draws a random number. So a daemon can keep a [`journal`]
//!   of inputs beside a saved [`state`](Store::save) and lose nothing when it is killed.
//! * Nodes are shared, unchanging trees: a transaction starts by keeping a pointer. It commits at once if nothing else
//!   changed; otherwise its requests run again on the present tree, and only a different answer to one of them is a
//!   conflict (`EAGAIN`).
//! * Whatever a guest can make grow is under a [quota](Quotas).
//!
//! Semantics are those of Xen's `docs/misc/xenstore.txt`; where that is silent, those of Xen 4.17's daemons.
#![forbid(unsafe_code)]

mod caller;
mod codec;
mod connection;
mod control;
mod domains;
mod events;
pub mod journal;
mod operation;
mod queue;
mod quota;
mod request;
mod settings;
mod state;
mod store;
mod stream;
mod transaction;
mod tree;
mod watch;

pub use connection::{ConnectionId, Peer};
pub use domains::DomainRing;
pub use journal::{JournalError, Record};
pub use quota::Quotas;
pub use state::StateError;
pub use store::{Host, Store};
pub use stream::{Effect, ReceiveError};
