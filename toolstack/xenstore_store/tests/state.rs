//! Saving, loading, and the journal: nothing is lost, damage is refused.
#![allow(clippy::octal_escapes, reason = "NUL ends a string on the wire, and a digit may follow it")]

mod common;
use common::{Machine, Rig};
use proptest::prelude::*;
use xen_abi::Errno;
use xenstore_store::journal::replay;
use xenstore_store::{ConnectionId, Effect, Host, JournalError, Peer, Record, StateError, Store};
use xenstore_wire::{Domid, MessageType::*};

/// A store with something of everything.
fn busy() -> Rig {
    let mut rig = Rig::new();
    let guest = rig.domain(3);
    rig.domain(4);
    rig.ok(rig.dom0, SetTarget, 0, "4\03\0");
    rig.watch(guest, "data", "relative");
    rig.ok(guest, Watch, 0, "@releaseDomain/4\0s\01\0");
    rig.ok(rig.dom0, SetPerms, 0, "@releaseDomain\0n0\0r3\0");
    rig.start(guest);
    rig.write(guest, "data/x", "bytes \u{1}").unwrap();
    rig.write(rig.dom0, "/local/domain/3/data/y", "").unwrap();
    rig.store.sent(guest, 5);
    rig.store.receive(guest, b"\x02\0\0\0\x07", &mut rig.machine).unwrap();
    rig.store.domain_shutdown(Domid(4));
    rig
}

#[test]
fn a_loaded_store_goes_on_where_the_saved_one_was() {
    let mut rig = busy();
    let guest = rig.connection(3);
    let number = rig.start(rig.dom0);
    let saved = rig.store.save();
    let (rings, revision) = (rig.store.rings(), rig.store.revision());
    let mut waiting = Vec::new();
    rig.store.pending(guest, &mut waiting, usize::MAX);
    assert!(!waiting.is_empty());

    rig.store = Store::load(&saved).unwrap();
    assert_eq!((rig.store.rings(), rig.store.revision()), (rings, revision));
    let mut loaded = Vec::new();
    rig.store.pending(guest, &mut loaded, usize::MAX);
    assert_eq!(loaded, waiting);
    rig.store.sent(guest, waiting.len());

    let rest = b"\0\0\0\0\0\0\0\x07\0\0\0data/x\0";
    rig.store.receive(guest, rest, &mut rig.machine).unwrap();
    let (answers, _) = rig.take(guest);
    assert_eq!(
        (answers[0].request, &*answers[0].payload),
        (7, &b"bytes \x01"[..]),
        "the request was cut in two"
    );

    rig.write(rig.dom0, "/local/domain/3/data/z", "").unwrap();
    assert_eq!(rig.fired(guest), ["data/z"]);
    rig.store.domain_gone(Domid(4));
    assert_eq!(rig.fired(guest), ["@releaseDomain/4"]);
    assert_eq!(rig.commit(rig.dom0, number), Err(Errno::EAGAIN));
    assert_eq!(rig.ok(rig.dom0, Control, 0, "check\0"), b"OK\0");
}

#[test]
fn the_saved_store_goes_on_as_the_loaded_one_does() {
    let mut rig = busy();
    let number = rig.start(rig.dom0);
    rig.ok(rig.dom0, Write, number, "/in-transaction\0");
    rig.store.save();
    assert_eq!(rig.commit(rig.dom0, number), Err(Errno::EAGAIN));
    assert_eq!(rig.read(rig.dom0, "/in-transaction"), Err(Errno::ENOENT));
}

#[test]
fn foreign_and_damaged_states_are_refused() {
    let saved = busy().store.save();
    assert_eq!(Store::load(b"").err(), Some(StateError::Foreign));
    assert_eq!(Store::load(b"some other file").err(), Some(StateError::Foreign));
    for end in 8..saved.len() {
        assert!(Store::load(&saved[..end]).is_err(), "cut off at {end}");
    }
    for at in 8..saved.len() {
        let mut damaged = saved.clone();
        damaged[at] ^= 0x10;
        assert_eq!(Store::load(&damaged).err(), Some(StateError::Damaged), "changed at {at}");
    }
}

/// As the store computes it.
fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    let step = |sum: u64, &byte: &u8| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let sum = bytes.iter().fold(0xcbf2_9ce4_8422_2325, step);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

proptest! {
    #[test]
    fn states_that_lie_are_refused_or_harmless(at in 8usize..2000, byte: u8, cut in 0usize..64) {
        let saved = busy().store.save();
        let mut body = saved[..saved.len() - 8].to_vec();
        let at = at % body.len();
        body[at] = byte;
        body.truncate(body.len() - cut.min(body.len() / 2));
        if let Ok(mut store) = Store::load(&with_checksum(body)) {
            store.domain_gone(Domid(3));
            let saved = store.save();
            prop_assert!(Store::load(&saved).is_ok());
        }
    }
}

/// A daemon's side of a store: each input is written down before it is acted on.
struct Journaled {
    store: Store,
    machine: Machine,
    journal: Vec<u8>,
}

struct Noted<'a> {
    machine: &'a mut Machine,
    journal: &'a mut Vec<u8>,
}

impl Host for Noted<'_> {
    fn introduce(&mut self, domid: Domid, gfn: u64, port: u32, features: u32) -> Result<(), Errno> {
        let answer = self.machine.introduce(domid, gfn, port, features);
        Record::HostAnswer(answer).append(self.journal);
        answer
    }

    fn release(&mut self, domid: Domid) {
        self.machine.release(domid);
    }
}

impl Journaled {
    fn receive(&mut self, id: ConnectionId, bytes: &[u8]) {
        let mut host = Noted { machine: &mut self.machine, journal: &mut self.journal };
        let outcome = self.store.receive(id, bytes, &mut host);
        if outcome != Ok(Effect::None) || !self.is_socket(id) {
            Record::Receive(id, bytes).append(&mut self.journal);
        }
        if outcome.is_err() {
            self.store.disconnect(id);
            Record::Disconnect(id).append(&mut self.journal);
        }
    }

    fn send(&mut self, id: ConnectionId, max: usize) {
        let mut bytes = Vec::new();
        self.store.pending(id, &mut bytes, max);
        self.store.sent(id, bytes.len());
        if !self.is_socket(id) {
            Record::Sent(id, bytes.len() as u32).append(&mut self.journal);
        }
    }

    fn is_socket(&self, id: ConnectionId) -> bool {
        self.store.connections().any(|(other, peer)| other == id && matches!(peer, Peer::Socket { .. }))
    }
}

fn requests() -> impl Strategy<Value = Vec<(usize, u32, Vec<u8>, usize)>> {
    let payloads: Vec<&[u8]> = vec![
        &b"/a\0x"[..],
        b"/a\0",
        b"a/b\0",
        b"a\0t\0",
        b"\0",
        b"T\0",
        b"5\01\02\0",
        b"5\0",
        b"@releaseDomain\0t\0",
        b"/a\0b0\0",
        b"junk",
    ];
    let payload = proptest::sample::select(payloads);
    let request = (0usize..3, 0u32..24, payload.prop_map(<[u8]>::to_vec), 1usize..60);
    proptest::collection::vec(request, 1..40)
}

proptest! {
    #[test]
    fn a_journal_leads_to_the_same_state(requests in requests(), save_at in 0usize..40) {
        let mut rig = busy();
        let clients = [rig.dom0, rig.connection(3), rig.connection(4)];
        let mut saved = rig.store.save();
        let mut live = Journaled { store: rig.store, machine: rig.machine, journal: Vec::new() };
        live.machine.refuse = (save_at % 2 == 0).then_some(Errno::EINVAL);
        for (at, (client, kind, payload, take)) in requests.into_iter().enumerate() {
            if at == save_at {
                saved = live.store.save();
                live.journal.clear();
            }
            let message = xenstore_wire::Message { kind, request: 1, transaction: kind % 2, payload };
            live.receive(clients[client], &message.encode());
            live.send(clients[(client + 1) % 3], take);
        }
        let mut again = Store::load(&saved).unwrap();
        replay(&mut again, &live.journal).unwrap();
        // Sockets end with the daemon.
        for store in [&mut again, &mut live.store] {
            store.disconnect(clients[0]);
        }
        prop_assert_eq!(again.save(), live.store.save());
    }

    #[test]
    fn a_journal_may_be_cut_off_but_not_changed(cut in 0usize..200, at in 0usize..200) {
        let mut journal = Vec::new();
        Record::Connect { read_only: false }.append(&mut journal);
        let first = journal.len();
        Record::Receive(ConnectionId(1), b"\x0b\0\0\0\0\0\0\0\0\0\0\0\x03\0\0\0/a\0").append(&mut journal);
        Record::Gone(Domid(3)).append(&mut journal);
        Record::HostAnswer(Err(Errno::EIO)).append(&mut journal);
        let mut store = Store::new(Default::default());
        let cut = cut % journal.len();
        prop_assert_eq!(replay(&mut store, &journal[..cut]), Ok(()));
        prop_assert_eq!(store.is_connected(ConnectionId(1)), cut >= first);
        let at = at % journal.len();
        journal[at] ^= 1;
        match replay(&mut Store::new(Default::default()), &journal) {
            Ok(()) => {}
            Err(JournalError { offset }) => prop_assert!(offset <= at),
        }
    }
}
