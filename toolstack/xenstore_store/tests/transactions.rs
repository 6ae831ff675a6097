//! Transactions: isolation, conflicts, events at commit.
#![allow(clippy::octal_escapes, reason = "NUL ends a string on the wire, and a digit may follow it")]

mod common;
use common::Rig;
use xen_abi::Errno;
use xenstore_store::{ConnectionId, Quotas};
use xenstore_wire::MessageType::{self, *};

fn write_in(rig: &mut Rig, id: ConnectionId, transaction: u32, path: &str, value: &str) {
    rig.ok(id, Write, transaction, format!("{path}\0{value}"));
}

fn read_in(rig: &mut Rig, id: ConnectionId, transaction: u32, path: &str) -> common::Answer {
    rig.ask(id, Read, transaction, format!("{path}\0"))
}

#[test]
fn a_transaction_sees_the_store_as_it_was_and_its_own_changes() {
    let mut rig = Rig::new();
    let dom0 = rig.dom0;
    rig.write(dom0, "/a", "old").unwrap();
    let one = rig.start(dom0);
    write_in(&mut rig, dom0, one, "/b", "mine");
    rig.write(dom0, "/a", "new").unwrap();
    assert_eq!(read_in(&mut rig, dom0, one, "/a").unwrap(), b"old");
    assert_eq!(read_in(&mut rig, dom0, one, "/b").unwrap(), b"mine");
    assert_eq!(rig.read(dom0, "/b"), Err(Errno::ENOENT));
}

#[test]
fn transactions_on_different_nodes_both_commit() {
    let mut rig = Rig::new();
    let dom0 = rig.dom0;
    rig.write(dom0, "/d/seen", "").unwrap();
    let (one, two) = (rig.start(dom0), rig.start(dom0));
    for (number, path) in [(one, "/d/one"), (two, "/d/two")] {
        assert_eq!(read_in(&mut rig, dom0, number, path), Err(Errno::ENOENT));
        write_in(&mut rig, dom0, number, path, path);
        read_in(&mut rig, dom0, number, "/d/seen").unwrap();
    }
    rig.commit(dom0, one).unwrap();
    rig.commit(dom0, two).unwrap();
    assert_eq!(rig.list(dom0, "/d"), "one seen two");
}

#[test]
fn what_was_read_and_is_otherwise_now_is_a_conflict() {
    let mut rig = Rig::new();
    let dom0 = rig.dom0;
    type Step = (MessageType, &'static str);
    let cases: [(Step, Step); 6] = [
        ((Read, "/a\0"), (Write, "/a\02")),
        ((Read, "/none\0"), (Write, "/none\0")),
        ((Directory, "/a\0"), (Mkdir, "/a/new\0")),
        ((DirectoryPart, "/a\00\0"), (Mkdir, "/a/new\0")),
        ((GetPerms, "/a\0"), (SetPerms, "/a\0b0\0")),
        ((Write, "/a/b/c\01"), (Write, "/unrelated\0")),
    ];
    for (inside, outside) in cases {
        rig.ok(dom0, Rm, 0, "/a\0");
        rig.ok(dom0, Rm, 0, "/none\0");
        rig.write(dom0, "/a", "1").unwrap();
        let number = rig.start(dom0);
        let _ = rig.ask(dom0, inside.0, number, inside.1);
        write_in(&mut rig, dom0, number, "/result", "x");
        rig.ok(dom0, outside.0, 0, outside.1);
        let expected = if inside.0 == Write { Ok(b"OK\0".to_vec()) } else { Err(Errno::EAGAIN) };
        assert_eq!(rig.commit(dom0, number), expected, "{inside:?} {outside:?}");
        assert_eq!(rig.read(dom0, "/result").is_ok(), inside.0 == Write);
        rig.ok(dom0, Rm, 0, "/result\0");
        assert_eq!(rig.ask(dom0, TransactionEnd, number, "T\0"), Err(Errno::ENOENT), "it is over either way");
    }
}

#[test]
fn counters_that_two_increment_do_not_lose_one() {
    let mut rig = Rig::new();
    let dom0 = rig.dom0;
    rig.write(dom0, "/n", "0").unwrap();
    let (one, two) = (rig.start(dom0), rig.start(dom0));
    for number in [one, two] {
        read_in(&mut rig, dom0, number, "/n").unwrap();
        write_in(&mut rig, dom0, number, "/n", "1");
    }
    rig.commit(dom0, one).unwrap();
    assert_eq!(rig.commit(dom0, two), Err(Errno::EAGAIN));
}

#[test]
fn events_come_after_the_commit_once_for_each_node() {
    let mut rig = Rig::new();
    let dom0 = rig.dom0;
    let watcher = rig.store.connect(xenstore_store::Peer::Socket { read_only: false });
    rig.write(dom0, "/gone/below", "").unwrap();
    rig.watch(watcher, "/", "t");
    rig.watch(watcher, "/gone/below", "below");
    let number = rig.start(dom0);
    for path in ["/b", "/a", "/b"] {
        write_in(&mut rig, dom0, number, path, "1");
    }
    rig.ok(dom0, Rm, number, "/gone\0");
    rig.ok(dom0, Mkdir, number, "/gone\0");
    assert_eq!(rig.fired(watcher), [""; 0]);
    rig.commit(dom0, number).unwrap();
    assert_eq!(rig.fired(watcher), ["/b", "/a", "/gone", "/gone/below"]);
    let number = rig.start(dom0);
    write_in(&mut rig, dom0, number, "/b", "2");
    rig.ok(dom0, TransactionEnd, number, "F\0");
    assert_eq!(rig.fired(watcher), [""; 0]);
    assert_eq!(rig.read(dom0, "/b").unwrap(), b"1");
}

#[test]
fn events_come_after_a_commit_that_ran_again_too() {
    let mut rig = Rig::new();
    let dom0 = rig.dom0;
    let watcher = rig.store.connect(xenstore_store::Peer::Socket { read_only: false });
    rig.watch(watcher, "/mine", "t");
    let number = rig.start(dom0);
    write_in(&mut rig, dom0, number, "/mine/x", "1");
    rig.write(dom0, "/other", "").unwrap();
    rig.commit(dom0, number).unwrap();
    assert_eq!(rig.fired(watcher), ["/mine/x"]);
}

#[test]
fn numbers_that_are_no_transaction_are_refused() {
    let mut rig = Rig::new();
    let dom0 = rig.dom0;
    let number = rig.start(dom0);
    assert_eq!(rig.ask(dom0, TransactionStart, number, "\0"), Err(Errno::EBUSY));
    assert_eq!(rig.ask(dom0, Read, number + 1, "/\0"), Err(Errno::ENOENT));
    assert_eq!(rig.ask(dom0, TransactionEnd, 0, "T\0"), Err(Errno::ENOENT));
    let other = rig.store.connect(xenstore_store::Peer::Socket { read_only: false });
    assert_eq!(rig.ask(other, Read, number, "/\0"), Err(Errno::ENOENT), "another client's");
    rig.ok(dom0, Watch, number + 1, "/a\0t\0");
}

#[test]
fn quotas_hold_inside_and_when_the_transaction_runs_again() {
    let mut rig = Rig::with(Quotas { nodes: 3, transaction_requests: 5, ..Quotas::default() });
    let guest = rig.domain(3);
    let number = rig.start(guest);
    write_in(&mut rig, guest, number, "a", "");
    write_in(&mut rig, guest, number, "b", "");
    assert_eq!(rig.ask(guest, Write, number, "c\0"), Err(Errno::ENOSPC));
    rig.write(guest, "d", "").unwrap();
    assert_eq!(rig.commit(guest, number), Err(Errno::EAGAIN), "there is no room for two any more");
    let number = rig.start(guest);
    for _ in 0..5 {
        let _ = read_in(&mut rig, guest, number, "d");
    }
    assert_eq!(read_in(&mut rig, guest, number, "d"), Err(Errno::ENOSPC));
}

#[test]
fn permissions_are_asked_again_when_the_transaction_runs_again() {
    let mut rig = Rig::new();
    let guest = rig.domain(3);
    rig.write(rig.dom0, "/shared", "").unwrap();
    rig.ok(rig.dom0, SetPerms, 0, "/shared\0b0\0");
    let number = rig.start(guest);
    write_in(&mut rig, guest, number, "/shared", "by guest");
    rig.ok(rig.dom0, SetPerms, 0, "/shared\0r0\0");
    assert_eq!(rig.commit(guest, number), Err(Errno::EAGAIN));
    assert_eq!(rig.read(rig.dom0, "/shared").unwrap(), b"");
}

#[test]
fn a_guest_cannot_hold_an_old_snapshot_for_ever() {
    let mut rig = Rig::new();
    let guest = rig.domain(3);
    rig.write(guest, "n", "old").unwrap();
    let number = rig.start(guest);
    assert_eq!(read_in(&mut rig, guest, number, "n").unwrap(), b"old");
    rig.write(guest, "n", "new").unwrap();
    for _ in 0..80_000 {
        let request = xenstore_wire::Message::new(Write, 0, 0, b"/x\0".to_vec()).unwrap();
        rig.store.handle(rig.dom0, &request, &mut rig.machine);
        rig.store.sent(rig.dom0, 19);
    }
    assert_eq!(read_in(&mut rig, guest, number, "n").unwrap(), b"new");
    assert_eq!(rig.commit(guest, number), Err(Errno::EAGAIN));
}

#[test]
fn node_removed_inside_and_outside_counts_once() {
    let mut rig = Rig::new();
    let guest = rig.domain(3);
    rig.write(guest, "a", "").unwrap();
    let number = rig.start(guest);
    rig.ok(guest, Rm, number, "a\0");
    rig.ok(guest, Rm, 0, "a\0");
    let _ = rig.commit(guest, number);
    assert_eq!(rig.ok(rig.dom0, Control, 0, "check\0"), b"OK\0");
    let number = rig.start(guest);
    rig.ok(guest, Write, number, "b\0");
    rig.ok(rig.dom0, Rm, 0, "/local/domain/3\0");
    let _ = rig.commit(guest, number);
    assert_eq!(rig.ok(rig.dom0, Control, 0, "check\0"), b"OK\0");
}
