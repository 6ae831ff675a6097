//! Watches: when they fire, with which path, in which order, and for whom.
#![allow(clippy::octal_escapes, reason = "NUL ends a string on the wire, and a digit may follow it")]

mod common;
use common::Rig;
use xen_abi::Errno;
use xenstore_wire::MessageType::{self, *};

fn pair(path: &str, token: &str) -> (String, String) {
    (path.to_owned(), token.to_owned())
}

#[test]
fn a_watch_fires_once_when_it_is_set_after_the_answer() {
    let mut rig = Rig::new();
    let (answer, events) = rig.exchange(rig.dom0, Watch.number(), 0, b"/missing\0tok\0");
    assert_eq!(answer.unwrap().payload, b"OK\0");
    assert_eq!(events, [pair("/missing", "tok")]);
    let (answer, events) = rig.exchange(rig.dom0, Watch.number(), 0, b"/missing\0tok\0");
    assert_eq!((answer.unwrap().payload, events), (b"EEXIST\0".to_vec(), vec![]));
}

#[test]
fn changes_of_the_node_and_below_fire_and_others_do_not() {
    let mut rig = Rig::new();
    let watcher = rig.store.connect(xenstore_store::Peer::Socket { read_only: false });
    rig.watch(watcher, "/a", "t");
    rig.write(rig.dom0, "/a/b/c", "1").unwrap();
    rig.write(rig.dom0, "/ab", "1").unwrap();
    rig.ok(rig.dom0, Mkdir, 0, "/a/d\0");
    rig.ok(rig.dom0, Mkdir, 0, "/a/b\0");
    rig.ok(rig.dom0, SetPerms, 0, "/a/d\0r0\0");
    rig.read(rig.dom0, "/a/b/c").unwrap();
    rig.ok(rig.dom0, Rm, 0, "/a/b\0");
    assert_eq!(rig.fired(watcher), ["/a/b/c", "/a/d", "/a/b"]);
    rig.ok(rig.dom0, Rm, 0, "/a/b\0");
    assert_eq!(rig.fired(watcher), [""; 0], "nothing was removed");
    rig.ok(watcher, Unwatch, 0, "/a\0t\0");
    rig.write(rig.dom0, "/a", "2").unwrap();
    assert_eq!(rig.fired(watcher), [""; 0]);
    assert_eq!(rig.ask(watcher, Unwatch, 0, "/a\0t\0"), Err(Errno::ENOENT));
}

#[test]
fn removing_a_tree_fires_watches_on_nodes_in_it_with_their_own_path() {
    let mut rig = Rig::new();
    let watcher = rig.store.connect(xenstore_store::Peer::Socket { read_only: false });
    rig.write(rig.dom0, "/a/b/c", "").unwrap();
    for path in ["/a/b/c", "/a/b/none", "/a/b", "/a"] {
        rig.watch(watcher, path, path);
    }
    rig.ok(rig.dom0, Rm, 0, "/a/b\0");
    assert_eq!(rig.events(watcher), [pair("/a/b", "/a/b"), pair("/a/b", "/a"), pair("/a/b/c", "/a/b/c")]);
}

#[test]
fn a_relative_watch_reports_relative_paths() {
    let mut rig = Rig::new();
    let guest = rig.domain(3);
    let (_, events) = rig.exchange(guest, Watch.number(), 0, b"data\0t\0");
    assert_eq!(events, [pair("data", "t")]);
    rig.write(rig.dom0, "/local/domain/3/data/x", "").unwrap();
    assert_eq!(rig.fired(guest), ["data/x"]);
    rig.ok(guest, Unwatch, 0, "data\0t\0");
}

#[test]
fn depth_limits_how_far_below_a_watch_looks() {
    let mut rig = Rig::new();
    let watcher = rig.store.connect(xenstore_store::Peer::Socket { read_only: false });
    for depth in 0..3 {
        rig.ok(watcher, Watch, 0, format!("/a\0depth{depth}\0{depth}\0"));
    }
    rig.take(watcher);
    rig.write(rig.dom0, "/a/b", "").unwrap();
    rig.write(rig.dom0, "/a", "").unwrap();
    let tokens: Vec<_> =
        rig.events(watcher).into_iter().map(|(path, token)| format!("{path} {token}")).collect();
    assert_eq!(tokens, ["/a/b depth1", "/a/b depth2", "/a depth0", "/a depth1", "/a depth2"]);
}

#[test]
fn a_guest_is_told_only_of_what_it_may_read_or_could_until_now() {
    let mut rig = Rig::new();
    let guest = rig.domain(3);
    rig.watch(guest, "/x", "t");
    rig.write(rig.dom0, "/x/secret", "").unwrap();
    assert_eq!(rig.fired(guest), [""; 0]);
    rig.ok(rig.dom0, SetPerms, 0, "/x/secret\0n0\0r3\0");
    assert_eq!(rig.fired(guest), ["/x/secret"], "may read it from now");
    rig.ok(rig.dom0, SetPerms, 0, "/x/secret\0n0\0");
    assert_eq!(rig.fired(guest), ["/x/secret"], "could read it until now");
    rig.ok(rig.dom0, SetPerms, 0, "/x\0r0\0");
    rig.take(guest);
    rig.write(rig.dom0, "/x/secret", "1").unwrap();
    assert_eq!(rig.fired(guest), ["/x/secret"], "may read the parent, so it can know the names");
    rig.ok(rig.dom0, SetPerms, 0, "/x/secret\0n0\0r3\0");
    rig.ok(rig.dom0, SetPerms, 0, "/x\0n0\0");
    rig.take(guest);
    rig.ok(rig.dom0, Rm, 0, "/x/secret\0");
    assert_eq!(rig.fired(guest), ["/x/secret"], "could read what was removed");
}

#[test]
fn an_event_that_waits_is_not_sent_twice() {
    let mut rig = Rig::new();
    let guest = rig.domain(3);
    rig.watch(guest, "n", "t");
    for _ in 0..5 {
        rig.write(rig.dom0, "/local/domain/3/n", "").unwrap();
    }
    assert_eq!(rig.fired(guest), ["n"]);
}

#[test]
fn domains_that_come_and_go_are_reported_to_dom0_and_to_whom_it_allows() {
    let mut rig = Rig::new();
    let watcher = rig.store.connect(xenstore_store::Peer::Socket { read_only: false });
    let guest = rig.domain(3);
    for id in [watcher, guest] {
        rig.watch(id, "@introduceDomain", "i");
        rig.watch(id, "@releaseDomain", "r");
        rig.watch(id, "@releaseDomain/7", "seven");
        rig.ok(id, Watch, 0, "@releaseDomain\0deep\01\0");
        rig.take(id);
    }
    rig.domain(7);
    rig.domain(8);
    assert_eq!(rig.events(watcher), [pair("@introduceDomain", "i"), pair("@introduceDomain", "i")]);
    rig.store.domain_shutdown(xenstore_wire::Domid(8));
    rig.store.domain_shutdown(xenstore_wire::Domid(8));
    assert_eq!(rig.events(watcher), [pair("@releaseDomain", "r"), pair("@releaseDomain/8", "deep")]);
    assert_eq!(rig.fired(guest), [""; 0]);
    rig.ok(rig.dom0, SetPerms, 0, "@releaseDomain\0n0\0r3\0");
    rig.ok(rig.dom0, Release, 0, "7\0");
    let seven =
        [pair("@releaseDomain", "r"), pair("@releaseDomain/7", "seven"), pair("@releaseDomain/7", "deep")];
    assert_eq!(rig.events(watcher), seven);
    assert_eq!(rig.events(guest), seven);
    assert_eq!(rig.ask(guest, SetPerms, 0, "@releaseDomain\0b3\0"), Err(Errno::EACCES));
    assert_eq!(rig.permissions(guest, "@releaseDomain"), "n0 r3");
    assert_eq!(rig.ask(guest, GetPerms, 0, "@introduceDomain\0"), Err(Errno::EACCES));
    assert_eq!(rig.permissions(rig.dom0, "@introduceDomain"), "n0");
    rig.ok(rig.dom0, Resume, 0, "8\0");
    rig.store.domain_shutdown(xenstore_wire::Domid(8));
    assert_eq!(rig.fired(guest).len(), 2, "after RESUME a shutdown is reported again");
}

#[test]
fn reset_takes_watches_and_transactions() {
    let mut rig = Rig::new();
    let guest = rig.domain(3);
    rig.watch(guest, "n", "t");
    let number = rig.start(guest);
    rig.ok(guest, ResetWatches, 0, "\0");
    rig.write(rig.dom0, "/local/domain/3/n", "").unwrap();
    assert_eq!(rig.fired(guest), [""; 0]);
    assert_eq!(rig.commit(guest, number), Err(Errno::ENOENT));
    assert_eq!(rig.ok(rig.dom0, MessageType::Control, 0, "check\0"), b"OK\0");
}

#[test]
fn an_event_too_long_for_a_message_is_dropped() {
    let mut rig = Rig::new();
    let watcher = rig.store.connect(xenstore_store::Peer::Socket { read_only: false });
    let token = "t".repeat(3000);
    rig.watch(watcher, "/a", &token);
    rig.write(rig.dom0, &format!("/a/{}", "x".repeat(1500)), "").unwrap();
    rig.write(rig.dom0, "/a/y", "").unwrap();
    assert_eq!(rig.fired(watcher), ["/a/y"]);
}

#[test]
fn reset_inside_a_transaction_ends_it() {
    let mut rig = Rig::new();
    let guest = rig.domain(3);
    let number = rig.start(guest);
    rig.ok(guest, Write, number, "n\0v");
    rig.ok(guest, ResetWatches, number, "\0");
    assert_eq!(rig.commit(guest, number), Err(Errno::ENOENT));
    assert_eq!(rig.read(guest, "n"), Err(Errno::ENOENT), "nothing of it was done");
    let next = rig.start(guest);
    rig.commit(guest, next).unwrap();
    assert_eq!(rig.ok(rig.dom0, MessageType::Control, 0, "check\0"), b"OK\0");
}
