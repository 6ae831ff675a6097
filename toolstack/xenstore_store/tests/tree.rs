//! Reading, writing and permissions.
#![allow(clippy::octal_escapes, reason = "NUL ends a string on the wire, and a digit may follow it")]

mod common;
use common::Rig;
use xen_abi::Errno;
use xenstore_store::Quotas;
use xenstore_wire::MessageType::*;

#[test]
fn a_new_store_has_the_nodes_of_xens_daemons() {
    let mut rig = Rig::new();
    assert_eq!(rig.list(rig.dom0, "/"), "tool");
    assert_eq!(rig.list(rig.dom0, "/tool"), "xenstored");
    assert_eq!(rig.permissions(rig.dom0, "/"), "n0");
}

#[test]
fn write_makes_missing_parents_and_values_may_hold_any_byte() {
    let mut rig = Rig::new();
    rig.write(rig.dom0, "/a/b/c", "x\0y\0").unwrap();
    assert_eq!(rig.read(rig.dom0, "/a/b/c").unwrap(), b"x\0y\0");
    assert_eq!(rig.read(rig.dom0, "/a/b").unwrap(), b"");
    rig.write(rig.dom0, "rel", "1").unwrap();
    assert_eq!(rig.read(rig.dom0, "/local/domain/0/rel").unwrap(), b"1");
}

#[test]
fn listing_is_sorted() {
    let mut rig = Rig::new();
    for name in ["b", "a", "c", "B"] {
        rig.write(rig.dom0, &format!("/d/{name}"), "").unwrap();
    }
    assert_eq!(rig.list(rig.dom0, "/d"), "B a b c");
}

#[test]
fn mkdir_leaves_what_exists_alone() {
    let mut rig = Rig::new();
    rig.write(rig.dom0, "/a", "1").unwrap();
    rig.ok(rig.dom0, Mkdir, 0, "/a\0");
    rig.ok(rig.dom0, Mkdir, 0, "/a/b/c\0");
    assert_eq!(rig.read(rig.dom0, "/a").unwrap(), b"1");
    assert_eq!(rig.list(rig.dom0, "/a/b"), "c");
}

#[test]
fn rm_takes_all_below_and_minds_only_a_missing_parent() {
    let mut rig = Rig::new();
    rig.write(rig.dom0, "/a/b/c", "1").unwrap();
    rig.ok(rig.dom0, Rm, 0, "/a/b\0");
    rig.ok(rig.dom0, Rm, 0, "/a/b\0");
    assert_eq!(rig.read(rig.dom0, "/a/b/c"), Err(Errno::ENOENT));
    assert_eq!(rig.ask(rig.dom0, Rm, 0, "/a/b/c\0"), Err(Errno::ENOENT));
    assert_eq!(rig.ask(rig.dom0, Rm, 0, "/\0"), Err(Errno::EINVAL));
}

#[test]
fn malformed_requests_are_refused_and_change_nothing() {
    let mut rig = Rig::new();
    let before = rig.store.revision();
    for (kind, payload) in [
        (Read, ""),
        (Read, "/a"),
        (Read, "/a\0/b\0"),
        (Read, "\0"),
        (Read, "/a/\0"),
        (Read, "//a\0"),
        (Read, "/a b\0"),
        (Read, "@releaseDomain\0"),
        (Write, "/a"),
        (Write, "\0x"),
        (Mkdir, "/a\0x"),
        (SetPerms, "/tool\0"),
        (SetPerms, "/tool\0x0\0"),
        (SetPerms, "/tool\0r0"),
        (SetPerms, "@nothing\0r0\0"),
        (DirectoryPart, "/\0"),
        (DirectoryPart, "/\0x\0"),
        (Watch, "/a\0"),
        (Watch, "/a\0t\0x\0"),
        (Watch, "@releaseDomain\0t\02\0"),
        (Unwatch, "/a\0"),
        (TransactionEnd, "X\0"),
        (Introduce, "0\01\02\0"),
        (Introduce, "5\01\00\0"),
        (Introduce, "40000\01\02\0"),
        (Introduce, "5\01\0"),
        (Release, "0\0"),
        (Release, "-1\0"),
        (GetDomainPath, "x\0"),
        (Control, "nonsense\0"),
    ] {
        assert_eq!(rig.ask(rig.dom0, kind, 0, payload), Err(Errno::EINVAL), "{kind:?} {payload:?}");
    }
    for number in [20, 27, 15, 16, 0xffff, u32::MAX] {
        let (answer, _) = rig.exchange(rig.dom0, number, 0, b"/\0");
        assert_eq!(answer.unwrap().payload, b"ENOSYS\0");
    }
    assert_eq!(rig.store.revision(), before);
}

#[test]
fn guests_read_and_write_what_permissions_grant() {
    let mut rig = Rig::new();
    let guest = rig.domain(3);
    rig.write(rig.dom0, "/secret/x", "1").unwrap();
    rig.write(rig.dom0, "/shown", "2").unwrap();
    rig.ok(rig.dom0, SetPerms, 0, "/shown\0n0\0r3\0");
    assert_eq!(rig.read(guest, "/secret/x"), Err(Errno::EACCES));
    assert_eq!(rig.read(guest, "/secret/missing"), Err(Errno::EACCES), "what is missing is not told");
    assert_eq!(rig.read(guest, "/shown").unwrap(), b"2");
    assert_eq!(rig.read(guest, "/shown/missing"), Err(Errno::ENOENT));
    assert_eq!(rig.write(guest, "/shown", "3"), Err(Errno::EACCES));
    assert_eq!(rig.write(guest, "/shown/new", "3"), Err(Errno::EACCES));
    assert_eq!(rig.ask(guest, Rm, 0, "/shown\0"), Err(Errno::EACCES));
    rig.write(guest, "own", "4").unwrap();
    assert_eq!(rig.read(rig.dom0, "/local/domain/3/own").unwrap(), b"4");
}

#[test]
fn new_nodes_have_the_parents_permissions_and_a_guests_nodes_are_its_own() {
    let mut rig = Rig::new();
    let guest = rig.domain(3);
    rig.write(rig.dom0, "/p", "").unwrap();
    rig.ok(rig.dom0, SetPerms, 0, "/p\0r0\0b3\0r4\0");
    rig.write(guest, "/p/by-guest/deep", "").unwrap();
    assert_eq!(rig.permissions(rig.dom0, "/p/by-guest"), "r3 b3 r4");
    assert_eq!(rig.permissions(rig.dom0, "/p/by-guest/deep"), "r3 b3 r4");
    rig.write(rig.dom0, "/p/by-guest/dom0", "").unwrap();
    assert_eq!(rig.permissions(rig.dom0, "/p/by-guest/dom0"), "r3 b3 r4", "dom0 inherits the owner too");
}

#[test]
fn only_the_owner_sets_permissions_and_only_dom0_gives_a_node_away() {
    let mut rig = Rig::new();
    let (guest, other) = (rig.domain(3), rig.domain(4));
    rig.write(guest, "n", "").unwrap();
    rig.ok(guest, SetPerms, 0, "n\0n3\0b4\0");
    assert_eq!(rig.ask(guest, SetPerms, 0, "n\0n4\0"), Err(Errno::EPERM));
    assert_eq!(rig.ask(other, SetPerms, 0, "/local/domain/3/n\0n3\0"), Err(Errno::EACCES));
    rig.ok(rig.dom0, SetPerms, 0, "/local/domain/3/n\0n4\0");
    assert_eq!(rig.read(guest, "n"), Err(Errno::EACCES));
}

#[test]
fn guests_may_not_do_what_is_dom0s() {
    let mut rig = Rig::new();
    let guest = rig.domain(3);
    for (kind, payload) in [
        (Introduce, "4\01\02\0"),
        (Release, "3\0"),
        (Resume, "3\0"),
        (SetTarget, "3\00\0"),
        (IsDomainIntroduced, "3\0"),
        (Control, "check\0"),
    ] {
        assert_eq!(rig.ask(guest, kind, 0, payload), Err(Errno::EACCES), "{kind:?}");
    }
    assert_eq!(rig.ok(guest, GetDomainPath, 0, "7\0"), b"/local/domain/7\0");
}

#[test]
fn a_long_list_comes_in_parts() {
    let mut rig = Rig::new();
    let names: Vec<String> = (0..500).map(|number| format!("node-with-a-long-name-{number:04}")).collect();
    for name in &names {
        rig.write(rig.dom0, &format!("/big/{name}"), "").unwrap();
    }
    assert_eq!(rig.ask(rig.dom0, Directory, 0, "/big\0"), Err(Errno::E2BIG));
    let (mut all, mut generation) = (Vec::new(), None);
    loop {
        let part = rig.ok(rig.dom0, DirectoryPart, 0, format!("/big\0{}\0", all.len()));
        assert!(part.len() <= 4096);
        let end = part.iter().position(|&byte| byte == 0).unwrap();
        let seen = part[..end].to_vec();
        assert_eq!(generation.get_or_insert(seen.clone()), &seen);
        let names = &part[end + 1..];
        if let Some(last) = names.strip_suffix(b"\0").filter(|rest| rest.is_empty() || rest.ends_with(b"\0"))
        {
            all.extend_from_slice(last);
            break;
        }
        all.extend_from_slice(names);
    }
    assert_eq!(
        String::from_utf8(all).unwrap(),
        names.iter().map(|name| format!("{name}\0")).collect::<String>()
    );
    let part = rig.ok(rig.dom0, DirectoryPart, 0, "/big\099999999999\0");
    assert!(part.ends_with(b"\0\0"), "beyond the end there is only the end");
    rig.write(rig.dom0, "/big/another", "").unwrap();
    let part = rig.ok(rig.dom0, DirectoryPart, 0, "/big\00\0");
    assert!(!part.starts_with(&generation.unwrap()), "a change is seen");
}

#[test]
fn a_guest_cannot_grow_beyond_its_quotas() {
    let quotas = Quotas {
        nodes: 4,
        permissions: 2,
        path_length: 40,
        watches: 2,
        transactions: 2,
        ..Quotas::default()
    };
    let mut rig = Rig::with(quotas);
    let guest = rig.domain(3);
    rig.write(guest, "a/b", "").unwrap();
    assert_eq!(rig.write(guest, "c/d", ""), Err(Errno::ENOSPC), "two nodes more than allowed");
    assert_eq!(rig.read(guest, "c"), Err(Errno::ENOENT), "nothing was made");
    rig.write(guest, "c", "").unwrap();
    rig.write(rig.dom0, "/local/domain/3/by-dom0", "").unwrap();
    assert_eq!(rig.write(guest, "e", ""), Err(Errno::ENOSPC));
    rig.ok(guest, Rm, 0, "a\0");
    rig.write(guest, "e", "").unwrap();

    assert_eq!(rig.ask(guest, SetPerms, 0, "e\0n3\0r1\0r2\0"), Err(Errno::ENOSPC));
    assert_eq!(rig.write(guest, &"x".repeat(41), ""), Err(Errno::EINVAL));
    rig.watch(guest, "a", "1");
    rig.watch(guest, "a", "2");
    assert_eq!(rig.ask(guest, Watch, 0, "a\03\0"), Err(Errno::E2BIG));
    rig.start(guest);
    rig.start(guest);
    assert_eq!(rig.ask(guest, TransactionStart, 0, "\0"), Err(Errno::ENOSPC));
    assert_eq!(rig.ok(rig.dom0, Control, 0, "check\0"), b"OK\0");
}

#[test]
fn a_guests_nodes_have_a_largest_size() {
    let mut rig = Rig::with(Quotas { node_size: 200, ..Quotas::default() });
    let guest = rig.domain(3);
    rig.write(guest, "fits", &"x".repeat(168)).unwrap();
    assert_eq!(rig.write(guest, "fits", &"x".repeat(169)), Err(Errno::ENOSPC));
    assert_eq!(rig.write(guest, "new", &"x".repeat(169)), Err(Errno::ENOSPC));
    let mut made = 0;
    while rig.write(guest, &format!("parent/child-{made:04}"), "").is_ok() {
        made += 1;
    }
    assert!((10..20).contains(&made), "names of children count: {made}");
}

#[test]
fn a_guest_that_takes_no_answers_is_not_read_from_and_its_events_end() {
    let mut rig = Rig::with(Quotas { memory: 20_000, outstanding: 3, ..Quotas::default() });
    let guest = rig.domain(3);
    rig.watch(guest, "/local/domain/3", "t");
    for number in 0..3 {
        assert!(rig.store.may_receive(guest), "{number}");
        let request = xenstore_wire::Message::new(Read, 0, 0, b"x\0".to_vec()).unwrap();
        rig.store.receive(guest, &request.encode(), &mut rig.machine).unwrap();
    }
    assert!(!rig.store.may_receive(guest));
    for number in 0..2000 {
        rig.write(rig.dom0, &format!("/local/domain/3/{number}"), "").unwrap();
    }
    let mut waiting = Vec::new();
    rig.store.pending(guest, &mut waiting, usize::MAX);
    assert!(waiting.len() < 25_000, "{}", waiting.len());
    assert!(rig.fired_after_answers(guest));
    assert!(rig.store.may_receive(guest));
}

impl Rig {
    fn fired_after_answers(&mut self, id: xenstore_store::ConnectionId) -> bool {
        let (answers, events) = self.take(id);
        answers.len() == 3 && !events.is_empty()
    }
}

#[test]
fn a_read_only_socket_changes_nothing() {
    let mut rig = Rig::new();
    let reader = rig.store.connect(xenstore_store::Peer::Socket { read_only: true });
    rig.write(rig.dom0, "/a", "1").unwrap();
    assert_eq!(rig.read(reader, "/a").unwrap(), b"1");
    assert_eq!(rig.write(reader, "/a", "2"), Err(Errno::EROFS));
    assert_eq!(rig.ask(reader, Introduce, 0, "3\01\02\0"), Err(Errno::EROFS));
    rig.watch(reader, "/a", "t");
    let number = rig.start(reader);
    assert_eq!(rig.ask(reader, Rm, number, "/a\0"), Err(Errno::EROFS));
    rig.commit(reader, number).unwrap();
}

#[test]
fn the_root_is_not_a_guests() {
    let mut rig = Rig::new();
    let guest = rig.domain(3);
    assert_eq!(rig.ask(guest, SetPerms, 0, "/\0n3\0"), Err(Errno::EACCES));
    assert_eq!(rig.write(guest, "/", "v"), Err(Errno::EACCES));
    assert_eq!(rig.write(guest, "/new", "v"), Err(Errno::EACCES));
    assert_eq!(rig.ask(guest, Mkdir, 0, "/new\0"), Err(Errno::EACCES));
    assert!(rig.ask(guest, Rm, 0, "/\0").is_err());
    assert_eq!(rig.permissions(rig.dom0, "/"), "n0");
}

#[test]
fn the_deepest_path_is_made_removed_and_committed() {
    let mut rig = Rig::with(Quotas { nodes: 2000, ..Quotas::default() });
    let guest = rig.domain(3);
    let deepest = |letter: &str| [letter; 1024].join("/");
    rig.write(guest, &deepest("a"), "v").unwrap();
    assert_eq!(rig.write(guest, &format!("{}/b", deepest("a")), "v"), Err(Errno::EINVAL), "too long");
    rig.ok(guest, Rm, 0, "a\0");
    let number = rig.start(guest);
    rig.ok(guest, Write, number, format!("{}\0", deepest("b")));
    rig.commit(guest, number).unwrap();
    rig.store.domain_gone(xenstore_wire::Domid(3));
    assert_eq!(rig.ok(rig.dom0, Control, 0, "check\0"), b"OK\0");
}
