//! What xenstored leaves for its successor: the saved state and the journal.
//!
//! A checksum guards both, which an engine would not get past. So the target puts right checksums around the bytes,
//! as well as taking them as they come.

use xen_abi::Errno;
use xenstore_store::journal::replay;
use xenstore_store::{ConnectionId, Host, Store};
use xenstore_wire::{Domid, Message, MessageType};

use crate::input::Input;

/// First bytes of a saved state.
const MAGIC: &[u8] = b"XOSTORE1";

pub(crate) fn one_input(bytes: &[u8]) {
    let mut input = Input(bytes);
    match input.byte().map(|way| way % 4) {
        Some(0) => state(input.0),
        Some(1) => state(&with_checksum([MAGIC, input.0].concat())),
        Some(2) => journal(input.0),
        Some(_) => journal(&records(input)),
        None => {}
    }
}

/// A state is refused, or a store that goes on as any other.
fn state(bytes: &[u8]) {
    if let Ok(store) = Store::load(bytes) {
        use_up(store);
    }
}

/// A journal leads somewhere or is refused.
fn journal(bytes: &[u8]) {
    let mut store = Store::new(Default::default());
    if let Err(error) = replay(&mut store, bytes) {
        assert!(error.offset <= bytes.len());
    }
    use_up(store);
}

/// Does with a store what a daemon does that takes it up.
fn use_up(mut store: Store) {
    assert_eq!(store.check(), None);
    let saved = store.save();
    store = Store::load(&saved).expect("what is saved can be loaded");
    assert_eq!(store.save(), saved, "a store survives being saved");
    let peers: Vec<_> = store.connections().collect();
    for (id, _) in &peers {
        let mut waiting = Vec::new();
        store.pending(*id, &mut waiting, 64);
        store.sent(*id, waiting.len());
        let read = Message { kind: MessageType::Read.number(), request: 1, transaction: 1, payload: vec![0] };
        if store.may_receive(*id) {
            // What waited from before may be no message.
            let _ = store.receive(*id, &read.encode(), &mut Nobody);
        }
    }
    for ring in store.rings() {
        store.domain_shutdown(ring.domid);
    }
    let dom0 = store.connect_dom0(3, 0, 0);
    let write =
        Message { kind: MessageType::Write.number(), request: 1, transaction: 0, payload: b"/a\0b".into() };
    store.receive(dom0, &write.encode(), &mut Nobody).expect("a new connection is heard");
    for domid in store.known_domains() {
        store.domain_gone(domid);
    }
    assert!(store.known_domains().is_empty(), "who is gone is forgotten");
    for (id, _) in peers.into_iter().chain([(ConnectionId(u64::MAX), xenstore_store::Peer::Domain(Domid(1)))])
    {
        store.disconnect(id);
    }
    assert_eq!(store.check(), None);
    let saved = store.save();
    assert!(Store::load(&saved).is_ok());
}

/// A host whose domains are gone.
struct Nobody;

impl Host for Nobody {
    fn introduce(&mut self, _domid: Domid, _gfn: u64, _port: u32, _features: u32) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn release(&mut self, _domid: Domid) {}
}

/// A journal of records, each with its length before it.
fn records(mut input: Input<'_>) -> Vec<u8> {
    let mut journal = Vec::new();
    while let Some(length) = input.byte() {
        let body = input.take(length.into());
        journal.extend_from_slice(&(body.len() as u32).to_le_bytes());
        journal.extend_from_slice(body);
        journal.extend_from_slice(&checksum(body));
    }
    journal
}

fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.extend_from_slice(&checksum(&bytes));
    bytes
}

/// FNV-1a, as the store computes it.
fn checksum(bytes: &[u8]) -> [u8; 8] {
    let step = |sum: u64, &byte: &u8| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step).to_le_bytes()
}
