//! The daemon over a fake Xen: rings, sockets, and being killed at any turn.

#![allow(clippy::octal_escapes, reason = "NUL ends a string on the wire, and a digit may follow it")]

mod rig;

use proptest::prelude::*;
use rig::{PORT, Rig, guest_domid, request};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use xenstore_store::Quotas;
use xenstore_wire::MessageType::*;
use xenstored::persist::Persist;

#[test]
fn a_domain_is_served_on_its_ring() {
    let mut rig = Rig::new();
    let mut guest = rig.guest();
    assert_eq!(guest.index(2064), 7, "the features are announced");
    assert!(guest.put(&request(Write, 1, "data\0value")).is_empty());
    assert!(guest.put(&request(Read, 2, "data\0")).is_empty());
    let answers = rig.settle(&mut guest);
    assert_eq!(
        answers.iter().map(|it| (it.request, &*it.payload)).collect::<Vec<_>>(),
        [(1, &b"OK\0"[..]), (2, b"value")]
    );
    assert_eq!(rig.ask(Read, "/local/domain/3/data\0"), "value");
    let port = rig.xen.port_of(guest_domid(), PORT).unwrap();
    assert!(rig.xen.take_notifications(port) > 0);
}

#[test]
fn requests_and_answers_longer_than_the_ring_pass() {
    let mut rig = Rig::new();
    let mut guest = rig.guest();
    let value = "v".repeat(1900);
    let bytes = [request(Write, 1, &format!("long\0{value}")), request(Read, 2, "long\0")].concat();
    let mut rest = &bytes[..];
    let mut answers = Vec::new();
    while !rest.is_empty() {
        rest = guest.put(rest);
        answers.extend(rig.settle(&mut guest));
    }
    assert_eq!(
        (answers[0].payload.as_slice(), answers[1].payload.as_slice()),
        (&b"OK\0"[..], value.as_bytes())
    );
}

#[test]
fn impossible_indices_end_the_connection_until_the_domain_starts_anew() {
    let mut rig = Rig::new();
    let mut guest = rig.guest();
    guest.set(2052, 5000);
    rig.settle(&mut guest);
    assert_eq!(guest.index(2072), 2, "the domain is told");
    guest.set(2052, 0);
    guest.put(&request(Read, 1, "x\0"));
    assert!(rig.settle(&mut guest).is_empty());
    guest.set(2068, 1);
    rig.kick();
    rig.turn();
    assert_eq!((guest.index(2068), guest.index(2052), guest.index(2072)), (0, 0, 0));
    guest.put(&request(Read, 1, ".\0"));
    assert_eq!(rig.settle(&mut guest)[0].payload, b"EINVAL\0");
    assert_eq!(rig.ask(Control, "check\0"), "OK\0");
}

#[test]
fn a_message_that_is_too_long_ends_the_connection() {
    let mut rig = Rig::new();
    let mut guest = rig.guest();
    guest.put(&[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 16, 0, 0]);
    rig.settle(&mut guest);
    assert_eq!(guest.index(2072), 3);
}

#[test]
fn a_domain_that_ends_is_reported_and_its_nodes_go() {
    let mut rig = Rig::new();
    let mut guest = rig.guest();
    rig.settle(&mut guest);
    rig.domains.borrow_mut().clear();
    rig.xen.signal(rig.xen.virq_port(3).unwrap());
    rig.turn();
    assert_eq!(rig.ask(IsDomainIntroduced, "3\0"), "F\0");
    assert_eq!(rig.ask(Read, "/local/domain/3\0"), "ENOENT\0");
    assert_eq!(rig.xen.live_mappings(), 0);
}

#[test]
fn a_domain_that_ended_while_no_daemon_ran_is_noticed() {
    let mut rig = Rig::new();
    rig.guest();
    rig.kill();
    rig.domains.borrow_mut().clear();
    rig.start();
    assert_eq!(rig.ask(Read, "/local/domain/3\0"), "ENOENT\0");
}

#[test]
fn an_introduction_that_xen_refuses_is_an_error_and_leaves_nothing() {
    let mut rig = Rig::new();
    assert_eq!(rig.ask(Introduce, "3\010\05\0"), "EINVAL\0");
    assert_eq!(rig.ask(IsDomainIntroduced, "3\0"), "F\0");
    assert_eq!(rig.xen.live_mappings(), 0);
}

#[test]
fn a_socket_client_that_breaks_the_protocol_is_dropped_and_others_go_on() {
    let mut rig = Rig::new();
    let mut bad = UnixStream::connect(rig.folder.join("socket")).unwrap();
    bad.write_all(&[0xff; 64]).unwrap();
    rig.ask(Read, "/\0");
    rig.turn();
    assert_eq!(bad.read(&mut [0; 8]).unwrap(), 0);
    assert_eq!(rig.ask(Control, "check\0"), "OK\0");
}

#[test]
fn a_new_state_is_written_when_the_journal_is_long() {
    let mut rig = Rig::new();
    let value = "v".repeat(4000);
    for number in 0..1500 {
        rig.ask(Write, &format!("/n\0{number}{value}"));
    }
    let sizes: Vec<u64> = std::fs::read_dir(&rig.folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name().to_str().unwrap().starts_with("journal"))
        .map(|entry| entry.metadata().unwrap().len())
        .collect();
    assert_eq!(sizes.len(), 1);
    assert!(sizes[0] < 4 << 20, "{sizes:?}");
    rig.restart();
    assert!(rig.ask(Read, "/n\0").starts_with("1499v"));
}

#[test]
fn a_damaged_state_is_refused_with_the_file_and_what_to_do() {
    let mut rig = Rig::new();
    rig.ask(Write, "/n\0");
    rig.kill();
    let path = rig.folder.join("state");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[30] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = Persist::open(&rig.folder, Quotas::default()).unwrap_err().to_string();
    assert!(error.starts_with(path.to_str().unwrap()) && error.ends_with("remove the file"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The guest writes, reads and watches while the daemon is killed after any turn (1), or in it, after the journal
    /// was written and before a ring's index was moved (2): each request is answered exactly once, in order.
    #[test]
    fn killing_the_daemon_loses_no_request_answer_or_event(
        sizes in proptest::collection::vec(1usize..1500, 1..12),
        kills in proptest::collection::vec(0u8..3, 64),
    ) {
        let mut rig = Rig::new();
        let mut guest = rig.guest();
        let mut stream = request(Watch, 0, "n\0token\0");
        for (at, size) in sizes.iter().enumerate() {
            let value = format!("{at}:{}", "v".repeat(*size));
            stream.extend(request(Write, 2 * at as u32 + 1, &format!("n\0{value}")));
            stream.extend(request(Read, 2 * at as u32 + 2, "n\0"));
        }
        let mut rest = &stream[..];
        let mut kills = kills.iter();
        let (mut answers, mut events) = (Vec::new(), 0);
        let mut quiet = 0;
        while quiet < 4 {
            rest = guest.put(rest);
            rig.kick();
            let indices = [2048, 2060].map(|offset| (offset, guest.index(offset)));
            rig.turn();
            let kill = kills.next().copied().unwrap_or(0);
            match kill {
                1 => rig.restart(),
                2 => {
                    rig.kill();
                    indices.into_iter().for_each(|(offset, index)| guest.set(offset, index));
                    rig.start();
                }
                _ => {}
            }
            let messages = guest.take();
            let is_quiet = messages.is_empty() && rest.is_empty();
            quiet = if is_quiet { quiet + usize::from(kill == 0) } else { 0 };
            for message in messages {
                if message.kind == WatchEvent.number() {
                    prop_assert_eq!(&*message.payload, b"n\0token\0");
                    events += 1;
                } else {
                    answers.push(message);
                }
            }
        }
        prop_assert_eq!(answers.len(), 1 + 2 * sizes.len());
        for (at, answer) in answers.iter().enumerate() {
            prop_assert_eq!(answer.request as usize, at);
            if at > 0 && at % 2 == 0 {
                let expected = format!("{}:{}", at / 2 - 1, "v".repeat(sizes[at / 2 - 1]));
                prop_assert_eq!(String::from_utf8_lossy(&answer.payload), expected);
            }
        }
        prop_assert!(events >= 1 && events <= 1 + sizes.len());
        prop_assert_eq!(rig.ask(Control, "check\0"), "OK\0");
    }
}
