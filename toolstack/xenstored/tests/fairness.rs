//! Guests that flood, or do not read, and those beside them.

#![allow(clippy::octal_escapes, reason = "NUL ends a string on the wire, and a digit may follow it")]

mod rig;

use rig::{Guest, Rig, request};
use std::io::{Read as _, Write as _};
use xen_dev::Domid;
use xenstore_wire::{Message, MessageType::*};

/// Rounds of the loop that are looked at.
const ROUNDS: u32 = 2000;
/// Answers that may wait for a guest: the quota, and what one full ring of the shortest requests gives.
const ANSWERS_MAX: u64 = 20 + 1024 / 16;

/// A quota's use as the daemon tells it.
fn usage(rig: &mut Rig, domid: u16, quota: &str) -> u64 {
    let text = rig.ask(Control, &format!("quota\0{domid}\0"));
    let line = text.lines().find(|line| line.starts_with(quota)).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Fills the ring, as far as there is room, and reads no answer.
fn flood(rig: &Rig, guest: &Guest, pending: &mut Vec<u8>, round: u32) {
    if pending.is_empty() {
        for number in 0..40 {
            pending.extend(request(Write, number, &format!("n{}\0{round}", number % 7)));
            pending.extend(request(Directory, number, "\0"));
        }
    }
    let rest = rig.send(guest, pending).len();
    pending.drain(..pending.len() - rest);
}

#[test]
fn client_beside_a_flood_and_a_guest_that_does_not_read_is_answered_in_the_same_round() {
    let mut rig = Rig::new();
    let [noisy, silent] = [3, 4].map(|domid| rig.add_guest(Domid::new(domid).unwrap()));
    let mut victim = rig.add_guest(Domid::new(5).unwrap());
    // The silent one wants to know of all that the noisy one does, and never looks.
    rig.ask(SetPerms, "/local/domain/3\0r3\0");
    rig.send(&silent, &request(Watch, 1, "/local/domain/3\0token\0"));
    let (mut floods, mut silence) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        flood(&rig, &noisy, &mut floods, round);
        flood(&rig, &silent, &mut silence, round);
        if round % 10 == 0 {
            // What floods does not read either, or it would wait for itself.
            noisy.skip();
        }
        assert!(rig.send(&victim, &request(Write, round, &format!("n\0{round}"))).is_empty());
        let question = Message::new(Read, round, 0, b"/local/domain/5\0".to_vec()).unwrap();
        rig.client.write_all(&question.encode()).unwrap();
        rig.turn();
        let answers = victim.take();
        assert_eq!(answers.iter().map(|it| it.request).collect::<Vec<_>>(), [round]);
        assert_eq!(answers[0].payload, b"OK\0");
        let mut head = [0; 16];
        rig.client.read_exact(&mut head).unwrap();
        assert_eq!((head[0], &head[4..8]), (2, &round.to_le_bytes()[..]));
    }
    for domid in [3, 4] {
        let (answers, memory) = (usage(&mut rig, domid, "outstanding"), usage(&mut rig, domid, "memory"));
        assert!(answers > 0 && answers <= ANSWERS_MAX, "{answers} answers wait");
        assert!(memory < 256 << 10, "{memory} bytes are held");
    }
    assert_eq!(rig.ask(Control, "check\0"), "OK\0");
}
