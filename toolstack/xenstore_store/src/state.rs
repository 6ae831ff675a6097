//! The whole state as bytes, and back.
//!
//! Open transactions are not kept: they are told to retry (`EAGAIN`), after saving just as after loading, so that
//! the store that was saved and the one that is loaded go on alike.

use crate::codec::{Reader, Writer, checksum};
use crate::connection::{Connection, ConnectionId, Peer};
use crate::domains::Domain;
use crate::queue::Outgoing;
use crate::quota::Quotas;
use crate::settings::Own;
use crate::store::Store;
use crate::transaction::Transaction;
use crate::tree::{Node, Tree};
use crate::watch::Watch;
use std::rc::Rc;
use thiserror::Error;
use xenstore_wire::message::{HEADER_SIZE, PAYLOAD_MAX};
use xenstore_wire::{Access, Domid, Path, Permission};

/// First bytes of a saved state; the number is the version of the layout.
const MAGIC: &[u8; 8] = b"XOSTORE2";
/// Nodes above each other in the longest possible path.
const DEPTH_MAX: usize = 1600;
/// How far counters can be: none reaches half of its range in any time that a host runs.
const COUNTER_MAX: u64 = u64::MAX / 2;

/// Bytes are no saved state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum StateError {
    /// They begin otherwise.
    #[error("this is no saved state of xenstore, or one of another version")]
    Foreign,
    /// They were changed or cut off.
    #[error("the saved state of xenstore is damaged")]
    Damaged,
}

impl Store {
    /// Writes the state down. Open transactions will be told to retry.
    pub fn save(&mut self) -> Vec<u8> {
        for connection in self.connections.values_mut() {
            for transaction in connection.transactions.values_mut() {
                *transaction = Transaction::doomed(&self.tree);
            }
        }
        let mut out = Writer(MAGIC.to_vec());
        put_quotas(&mut out, &self.settings.quotas);
        out.u64(self.tree.generation());
        put_node(&mut out, self.tree.root());
        for list in &self.special_permissions {
            put_permissions(&mut out, list);
        }
        out.u64(self.next_connection);
        out.u64(self.next_watch);
        out.u64(self.revision);
        out.u64(self.aged_at);
        out.list(self.connections.iter(), |out, (id, connection)| put_connection(out, *id, connection));
        out.list(self.domains.iter(), |out, (domid, domain)| {
            out.u16(domid.0);
            out.u64(domain.connection.0);
            out.u64(domain.gfn);
            out.u32(domain.port);
            out.u8(domain.is_shutdown.into());
            out.list(domain.target.iter(), |out, target| out.u16(target.0));
        });
        out.list(self.settings.own.iter(), |out, (domid, own)| {
            out.u16(domid.0);
            put_quotas(out, &own.quotas);
            out.u32(own.features);
        });
        let sum = checksum(&out.0);
        out.u64(sum);
        out.0
    }

    /// The store that these bytes are the state of.
    ///
    /// # Errors
    /// [`StateError`] when they are not a state that [`Store::save`] wrote.
    pub fn load(bytes: &[u8]) -> Result<Self, StateError> {
        let (body, sum) = bytes.split_last_chunk().ok_or(StateError::Foreign)?;
        let rest = body.strip_prefix(MAGIC).ok_or(StateError::Foreign)?;
        if checksum(body) != u64::from_le_bytes(*sum) {
            return Err(StateError::Damaged);
        }
        get_store(&mut Reader(rest)).ok_or(StateError::Damaged)
    }
}

fn put_quotas(out: &mut Writer, quotas: &Quotas) {
    for (_, value) in quotas.list() {
        out.u64(value);
    }
}

fn put_node(out: &mut Writer, node: &Node) {
    out.bytes(node.name.as_bytes());
    out.bytes(&node.value);
    put_permissions(out, &node.permissions);
    out.u64(node.generation);
    out.list(node.children.iter(), |out, child| put_node(out, child));
}

fn put_permissions(out: &mut Writer, list: &[Permission]) {
    out.list(list.iter(), |out, permission| {
        out.u16(permission.domid.0);
        out.u8(u8::from(permission.access.read) | u8::from(permission.access.write) << 1);
    });
}

fn put_connection(out: &mut Writer, id: ConnectionId, connection: &Connection) {
    out.u64(id.0);
    match connection.peer {
        Peer::Socket { read_only } => {
            out.u8(0);
            out.u16(read_only.into());
        }
        Peer::Domain(domid) => {
            out.u8(1);
            out.u16(domid.0);
        }
    }
    out.u8(connection.is_ignored.into());
    out.u32(connection.received);
    out.u32(connection.sent);
    out.bytes(connection.decoder.rest());
    out.u32(connection.next_transaction);
    out.list(connection.transactions.keys(), |out, number| out.u32(*number));
    out.list(connection.watches.iter(), |out, watch| {
        out.bytes(watch.path.as_bytes());
        out.u32(watch.hidden as u32);
        out.bytes(&watch.token);
        out.list(watch.depth.iter(), |out, depth| out.u32(*depth));
        out.u64(watch.serial);
    });
    let (messages, begun) = connection.queue.parts();
    out.list(messages, |out, message| {
        out.u8(message.is_event.into());
        out.bytes(&message.bytes);
    });
    out.u32(begun as u32);
}

fn get_store(from: &mut Reader) -> Option<Store> {
    let quotas = get_quotas(from)?;
    let generation = get_counter(from)?;
    let root = get_node(from, 0, generation).filter(|root| root.name.is_empty())?;
    let mut store = Store::with_tree(quotas, Tree::new(root, generation));
    store.special_permissions = [get_permissions(from)?, get_permissions(from)?];
    store.next_connection = get_counter(from)?;
    store.next_watch = get_counter(from)?;
    store.revision = get_counter(from)?;
    store.aged_at = get_counter(from)?;
    from.list(|from| get_connection(from, &mut store))?;
    from.list(|from| get_domain(from, &mut store))?;
    for (domid, own) in from.list(|from| {
        let domid = Domid(from.u16()?);
        Some((domid, Own { quotas: get_quotas(from)?, features: from.u32()? }))
    })? {
        store.settings.own.insert(domid, own);
    }
    let domains = store.connections.values().filter(|connection| matches!(connection.peer, Peer::Domain(_)));
    (from.0.is_empty() && domains.count() == store.domains.len()).then_some(store)
}

fn get_counter(from: &mut Reader) -> Option<u64> {
    from.u64().filter(|&counter| counter <= COUNTER_MAX)
}

fn get_quotas(from: &mut Reader) -> Option<Quotas> {
    let mut quotas = Quotas::default();
    for (name, _) in Quotas::default().list() {
        quotas.set(name, from.u64()?);
    }
    Some(quotas)
}

fn get_node(from: &mut Reader, depth: usize, newest: u64) -> Option<Node> {
    let name = std::str::from_utf8(from.bytes()?).ok()?;
    let is_name = || Path::root().join(name).is_ok() && !name.contains('/');
    if depth > DEPTH_MAX || (depth > 0 && !is_name()) {
        return None;
    }
    let value = from.bytes()?.into();
    let permissions = get_permissions(from)?;
    let generation = from.u64().filter(|&generation| generation <= newest)?;
    let children = from.list(|from| get_node(from, depth + 1, newest).map(Rc::new))?;
    let is_sorted = children.is_sorted_by(|one, next| one.name < next.name);
    is_sorted.then(|| Node { name: name.into(), value, permissions, generation, children })
}

fn get_permissions(from: &mut Reader) -> Option<Rc<[Permission]>> {
    let list = from.list(|from| {
        let domid = Domid(from.u16()?);
        let bits = from.u8().filter(|&bits| bits < 4)?;
        Some(Permission { domid, access: Access { read: bits & 1 != 0, write: bits & 2 != 0 } })
    })?;
    (!list.is_empty()).then(|| list.into())
}

fn get_connection(from: &mut Reader, store: &mut Store) -> Option<()> {
    let id = ConnectionId(from.u64().filter(|&id| id < store.next_connection)?);
    let peer = match (from.u8()?, from.u16()?) {
        (0, flag) => Peer::Socket { read_only: flag != 0 },
        (1, domid) => Peer::Domain(Domid(domid)),
        _ => return None,
    };
    let mut connection = Connection::new(peer);
    connection.is_ignored = from.u8()? != 0;
    connection.received = from.u32()?;
    connection.sent = from.u32()?;
    let unfinished = from.bytes()?;
    connection.decoder.push(unfinished);
    connection.next_transaction = from.u32()?;
    for number in from.list(Reader::u32)? {
        if number == 0 {
            return None;
        }
        connection.transactions.insert(number, Transaction::doomed(&store.tree));
    }
    for watch in from.list(|from| get_watch(from, id, store.next_watch))? {
        let watch = Rc::new(watch);
        store.watches.insert(Rc::clone(&watch));
        connection.watches.push(watch);
    }
    let messages = from.list(|from| {
        let is_event = from.u8()? != 0;
        let bytes = from.bytes()?;
        (HEADER_SIZE..=HEADER_SIZE + PAYLOAD_MAX).contains(&bytes.len()).then(|| (is_event, bytes.into()))
    })?;
    let begun = from.u32()? as usize;
    if begun > 0 && messages.first().is_none_or(|(_, first): &(bool, Rc<[u8]>)| begun >= first.len()) {
        return None;
    }
    for (is_event, bytes) in messages {
        connection.queue.push(Outgoing { bytes, is_event }, true);
    }
    connection.queue.sent(begun);
    store.talkative.insert(id);
    store.connections.insert(id, connection).is_none().then_some(())
}

fn get_watch(from: &mut Reader, connection: ConnectionId, next: u64) -> Option<Watch> {
    let path: Rc<str> = std::str::from_utf8(from.bytes()?).ok()?.into();
    if !path.starts_with('@') {
        Path::parse(path.as_bytes()).ok()?;
    }
    let hidden = from.u32().filter(|&hidden| (hidden as usize) < path.len())? as usize;
    let token = from.bytes().filter(|token| !token.contains(&0))?.into();
    let depth = from.list(Reader::u32)?.first().copied();
    let serial = from.u64().filter(|&serial| serial < next)?;
    Some(Watch { connection, path, hidden, token, depth, serial })
}

fn get_domain(from: &mut Reader, store: &mut Store) -> Option<()> {
    let domid = Domid(from.u16()?);
    let connection = ConnectionId(from.u64()?);
    if store.connections.get(&connection)?.peer != Peer::Domain(domid) {
        return None;
    }
    let (gfn, port, is_shutdown) = (from.u64()?, from.u32()?, from.u8()? != 0);
    let target = from.list(Reader::u16)?.first().copied().map(Domid);
    store.domains.insert(domid, Domain { connection, gfn, port, is_shutdown, target }).is_none().then_some(())
}
