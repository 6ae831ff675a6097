//! Domains: introduction, release, death, and acting for another.
#![allow(clippy::octal_escapes, reason = "NUL ends a string on the wire, and a digit may follow it")]

mod common;
use common::Rig;
use xen_abi::Errno;
use xenstore_store::Quotas;
use xenstore_wire::Domid;
use xenstore_wire::MessageType::*;

#[test]
fn introduction_asks_the_machine_and_tells_the_client_when_that_fails() {
    let mut rig = Rig::new();
    rig.machine.refuse = Some(Errno::EINVAL);
    assert_eq!(rig.ask(rig.dom0, Introduce, 0, "3\0-5\07\0"), Err(Errno::EINVAL));
    assert_eq!(rig.ok(rig.dom0, IsDomainIntroduced, 0, "3\0"), b"F\0");
    rig.machine.refuse = None;
    rig.ok(rig.dom0, Introduce, 0, "3\0-5\07\0");
    assert_eq!(rig.machine.introduced.last(), Some(&(Domid(3), (-5i64) as u64, 7, 7)));
    assert_eq!(rig.ok(rig.dom0, IsDomainIntroduced, 0, "3\0"), b"T\0");
    assert_eq!(rig.ok(rig.dom0, IsDomainIntroduced, 0, "32752\0"), b"T\0", "DOMID_SELF");
}

#[test]
fn a_second_introduction_starts_the_connection_anew() {
    let mut rig = Rig::new();
    let guest = rig.domain(3);
    rig.watch(guest, "n", "t");
    rig.watch(rig.dom0, "@introduceDomain", "t");
    rig.write(rig.dom0, "/local/domain/3/n", "").unwrap();
    assert!(rig.store.has_pending(guest));
    rig.introduce(3);
    assert_eq!(rig.connection(3), guest);
    assert!(!rig.store.has_pending(guest));
    let ring = rig.store.rings()[0];
    assert_eq!((ring.received, ring.sent), (0, 0));
    rig.write(rig.dom0, "/local/domain/3/n", "").unwrap();
    assert_eq!(rig.fired(guest), [""; 0]);
    assert_eq!(rig.fired(rig.dom0), [""; 0], "it was known already");
}

#[test]
fn when_a_domain_is_gone_nothing_of_it_stays() {
    let mut rig = Rig::new();
    let (guest, other) = (rig.domain(3), rig.domain(4));
    rig.watch(rig.dom0, "/backend", "t");
    rig.write(guest, "data/x", "").unwrap();
    rig.write(rig.dom0, "/backend/3/deep", "").unwrap();
    rig.ok(rig.dom0, SetPerms, 0, "/backend/3\0n3\0");
    rig.write(rig.dom0, "/shared", "").unwrap();
    rig.ok(rig.dom0, SetPerms, 0, "/shared\0n4\0r3\0r0\0");
    rig.ok(rig.dom0, SetPerms, 0, "@releaseDomain\0n0\0r3\0");
    rig.ok(rig.dom0, SetTarget, 0, "4\03\0");
    rig.take(rig.dom0);
    assert_eq!(rig.store.known_domains(), [Domid(3), Domid(4)]);

    rig.store.domain_gone(Domid(3));
    assert!(!rig.store.is_connected(guest));
    assert_eq!(rig.store.known_domains(), [Domid(4)]);
    assert_eq!(rig.list(rig.dom0, "/local/domain"), "4");
    assert_eq!(rig.list(rig.dom0, "/backend"), "");
    assert_eq!(rig.permissions(rig.dom0, "/shared"), "n4 r0");
    assert_eq!(rig.ok(rig.dom0, Control, 0, "check\0"), b"OK\0");

    let again = rig.domain(3);
    assert_eq!(rig.read(again, "/shared"), Err(Errno::EACCES), "a new domain 3 is another");
    rig.watch(again, "@releaseDomain", "t");
    rig.write(again, "n", "").unwrap();
    assert_eq!(rig.read(other, "/local/domain/3/n"), Err(Errno::EACCES), "the target is gone");
    rig.store.domain_gone(Domid(4));
    assert_eq!(rig.fired(again), [""; 0]);
}

#[test]
fn nodes_of_a_domain_that_was_never_introduced_are_known_and_go() {
    let mut rig = Rig::new();
    rig.write(rig.dom0, "/local/domain/9/x", "").unwrap();
    rig.ok(rig.dom0, SetPerms, 0, "/local/domain/9\0n9\0");
    rig.watch(rig.dom0, "@releaseDomain", "t");
    assert_eq!(rig.store.known_domains(), [Domid(9)]);
    rig.store.domain_gone(Domid(9));
    assert_eq!(rig.list(rig.dom0, "/local/domain"), "");
    assert_eq!(rig.fired(rig.dom0), [""; 0]);
}

#[test]
fn a_domain_acts_for_its_target() {
    let mut rig = Rig::new();
    let (helper, guest) = (rig.domain(3), rig.domain(4));
    rig.write(guest, "own", "1").unwrap();
    rig.write(rig.dom0, "/granted", "2").unwrap();
    rig.ok(rig.dom0, SetPerms, 0, "/granted\0n0\0r4\0");
    assert_eq!(rig.read(helper, "/local/domain/4/own"), Err(Errno::EACCES));
    assert_eq!(rig.ask(rig.dom0, SetTarget, 0, "3\05\0"), Err(Errno::ENOENT));
    rig.ok(rig.dom0, SetTarget, 0, "3\04\0");
    assert_eq!(rig.read(helper, "/local/domain/4/own").unwrap(), b"1");
    assert_eq!(rig.read(helper, "/granted").unwrap(), b"2");
    rig.ok(helper, SetPerms, 0, "/local/domain/4/own\0n4\0r3\0");
}

#[test]
fn a_domain_that_breaks_the_protocol_is_ignored_until_its_ring_starts_anew() {
    let mut rig = Rig::new();
    let guest = rig.domain(3);
    rig.watch(guest, "n", "t");
    let too_long = [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 16, 0, 0];
    assert!(rig.store.receive(guest, &too_long, &mut rig.machine).is_err());
    assert!(rig.store.is_connected(guest) && !rig.store.may_receive(guest));
    assert!(rig.store.receive(guest, b"x", &mut rig.machine).is_err());
    rig.write(rig.dom0, "/local/domain/3/n", "").unwrap();
    assert!(!rig.store.has_pending(guest));
    rig.store.reset(guest);
    assert!(rig.store.may_receive(guest));
    assert_eq!(rig.read(guest, "n").unwrap(), b"");
    assert_eq!(rig.ok(rig.dom0, Control, 0, "check\0"), b"OK\0");
}

#[test]
fn release_lets_go_of_the_ring_and_unknown_domains_are_refused() {
    let mut rig = Rig::new();
    let guest = rig.domain(3);
    rig.ok(rig.dom0, Release, 0, "3\0");
    assert_eq!(rig.machine.released, [Domid(3)]);
    assert!(!rig.store.is_connected(guest));
    for (kind, payload) in [(Release, "3\0"), (Resume, "3\0"), (Control, "quota\03\0")] {
        assert_eq!(rig.ask(rig.dom0, kind, 0, payload), Err(Errno::ENOENT));
    }
}

#[test]
fn quotas_of_one_domain_hold_for_it_alone_and_go_with_it() {
    let mut rig = Rig::new();
    let (guest, other) = (rig.domain(3), rig.domain(4));
    let names = String::from_utf8(rig.ok(rig.dom0, GetQuota, 0, "")).unwrap();
    assert!(names.starts_with("nodes node-size watches transactions ") && names.ends_with('\0'), "{names}");
    assert_eq!(rig.ok(rig.dom0, GetQuota, 0, "3\0nodes\0"), b"1000\0");
    rig.ok(rig.dom0, SetQuota, 0, "3\0nodes\01\0");
    assert_eq!(rig.write(guest, "n", ""), Err(Errno::ENOSPC));
    rig.write(other, "n", "").unwrap();
    assert_eq!(rig.ok(rig.dom0, GetQuota, 0, "3\0nodes\0"), b"1\0");
    assert_eq!(rig.ok(rig.dom0, GetQuota, 0, "nodes\0"), b"1000\0");
    rig.ok(rig.dom0, SetQuota, 0, "nodes\01\0");
    assert_eq!(rig.write(other, "m", ""), Err(Errno::ENOSPC));
    rig.ok(rig.dom0, SetQuota, 0, "3\0nodes\00\0");
    assert_eq!(rig.ok(rig.dom0, GetQuota, 0, "3\0nodes\0"), b"0\0");
    for number in 0..1100 {
        rig.write(guest, &format!("n{}/{number}", number / 30), "").unwrap();
    }
    rig.ok(rig.dom0, Release, 0, "3\0");
    assert_eq!(rig.ok(rig.dom0, GetQuota, 0, "3\0nodes\0"), b"1\0");
}

#[test]
fn features_are_set_before_a_domain_is_introduced_and_hold_for_its_ring() {
    let mut rig = Rig::new();
    assert_eq!(rig.ok(rig.dom0, GetFeature, 0, ""), b"7\0");
    rig.ok(rig.dom0, SetFeature, 0, "3\03\0");
    assert_eq!(rig.store.known_domains(), [Domid(3)], "it is noticed when it ends");
    let guest = rig.domain(3);
    assert_eq!(rig.machine.introduced.last(), Some(&(Domid(3), 1, 5, 3)));
    assert_eq!(rig.store.ring(Domid(3)).unwrap().features, 3);
    assert_eq!(rig.ok(guest, GetFeature, 0, ""), b"3\0");
    assert_eq!(rig.ok(rig.dom0, GetFeature, 0, "3\0"), b"3\0");
    assert_eq!(rig.ask(guest, Watch, 0, "n\0t\01\0"), Err(Errno::EINVAL), "no depth");
    let mut again = xenstore_store::Store::load(&rig.store.save()).unwrap();
    assert_eq!(again.ring(Domid(3)).unwrap().features, 3);
    again.domain_gone(Domid(3));
    assert_eq!(again.features(Domid(3)), 7);
}

#[test]
fn quotas_and_features_that_are_none_or_another_s_are_refused() {
    let mut rig = Rig::new();
    let guest = rig.domain(3);
    for (kind, payload, errno) in [
        (SetQuota, "none\01\0", Errno::EINVAL),
        (SetQuota, "4\0none\01\0", Errno::EINVAL),
        (SetQuota, "nodes\0-1\0", Errno::EINVAL),
        (SetQuota, "32752\0nodes\01\0", Errno::EINVAL),
        (SetQuota, "nodes\0", Errno::EINVAL),
        (GetQuota, "none\0", Errno::EINVAL),
        (GetQuota, "3\0nodes\0x\0", Errno::EINVAL),
        (SetFeature, "4\08\0", Errno::EINVAL),
        (SetFeature, "3\01\0", Errno::EBUSY),
        (SetFeature, "4\0", Errno::EINVAL),
    ] {
        assert_eq!(rig.ask(rig.dom0, kind, 0, payload), Err(errno), "{kind:?} {payload:?}");
        assert_eq!(rig.ask(guest, kind, 0, payload), Err(Errno::EACCES));
    }
    assert_eq!(rig.ask(guest, GetFeature, 0, "4\0"), Err(Errno::EACCES));
    assert_eq!(rig.store.known_domains(), [Domid(3)], "what was refused left nothing");
}

#[test]
fn quotas_are_shown_and_set() {
    let mut rig = Rig::new();
    let guest = rig.domain(3);
    rig.write(guest, "n", "").unwrap();
    let text = String::from_utf8(rig.ok(rig.dom0, Control, 0, "quota\03")).unwrap();
    assert!(text.starts_with("Domain 3:\nnodes               :        2\n"), "{text}");
    rig.ok(rig.dom0, Control, 0, "quota\0set\0nodes\02\0");
    let text = String::from_utf8(rig.ok(rig.dom0, Control, 0, "quota\0")).unwrap();
    assert!(text.contains("nodes               :        2\n"), "{text}");
    assert_eq!(rig.write(guest, "m", ""), Err(Errno::ENOSPC));
    assert_eq!(rig.ask(rig.dom0, Control, 0, "quota\0set\0none\02\0"), Err(Errno::EINVAL));
}

#[test]
fn next_domain_of_a_number_has_the_whole_quota() {
    let mut rig = Rig::with(Quotas { nodes: 4, watches: 2, ..Quotas::default() });
    for _ in 0..3 {
        let guest = rig.domain(3);
        for name in ["a", "b", "c"] {
            rig.write(guest, name, "").unwrap();
        }
        assert_eq!(rig.write(guest, "d", ""), Err(Errno::ENOSPC));
        rig.watch(guest, "a", "1");
        rig.watch(guest, "a", "2");
        assert_eq!(rig.ask(guest, Watch, 0, "a\03\0"), Err(Errno::E2BIG));
        rig.store.domain_gone(Domid(3));
    }
    assert_eq!(rig.ok(rig.dom0, Control, 0, "check\0"), b"OK\0");
}

#[test]
fn watches_and_transactions_do_not_add_up_over_new_starts() {
    let mut rig = Rig::with(Quotas { watches: 2, transactions: 1, ..Quotas::default() });
    let guest = rig.domain(3);
    for _ in 0..20 {
        rig.watch(guest, "n", "1");
        rig.watch(guest, "n", "2");
        rig.start(guest);
        rig.store.reset(guest);
    }
    rig.write(rig.dom0, "/local/domain/3/n", "").unwrap();
    assert_eq!(rig.fired(guest), [""; 0]);
    assert_eq!(rig.ok(rig.dom0, Control, 0, "check\0"), b"OK\0");
}

#[test]
fn domain_that_breaks_the_protocol_is_not_told_as_ended_and_its_end_is() {
    let mut rig = Rig::new();
    let guest = rig.domain(3);
    rig.watch(rig.dom0, "@releaseDomain", "t");
    let too_long = [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 16, 0, 0];
    assert!(rig.store.receive(guest, &too_long, &mut rig.machine).is_err());
    assert_eq!(rig.fired(rig.dom0), [""; 0]);
    assert_eq!(rig.store.known_domains(), [Domid(3)]);
    rig.store.domain_gone(Domid(3));
    assert_eq!(rig.fired(rig.dom0), ["@releaseDomain"]);
}
