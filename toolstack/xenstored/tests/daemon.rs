//! The daemon over a fake Xen: rings, sockets, and being killed at any turn.

#![allow(clippy::octal_escapes, reason = "NUL ends a string on the wire, and a digit may follow it")]

use proptest::prelude::*;
use rustix::event::Timespec;
use std::cell::RefCell;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use xen_dev::SharedMemory;
use xen_dev::fake::FakeXen;
use xenstore_store::Quotas;
use xenstore_wire::{
    Decoder, Domid, Message,
    MessageType::{self, *},
};
use xenstored::daemon::Daemon;
use xenstored::machine::{Fate, Machine};
use xenstored::persist::Persist;
use xenstored::socket::Listener;

const PORT: u32 = 5;
const GFN: u64 = 10;

fn folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("xenstored-test-{}-{number}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

struct Rig {
    xen: FakeXen,
    folder: PathBuf,
    domains: Rc<RefCell<Vec<(Domid, Fate)>>>,
    daemon: Option<Daemon>,
    client: UnixStream,
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Rig {
    fn new() -> Self {
        let (client, _) = UnixStream::pair().unwrap();
        let (folder, xen) = (folder(), FakeXen::default());
        let mut rig = Self { xen, folder, domains: Rc::default(), daemon: None, client };
        rig.start();
        rig
    }

    fn start(&mut self) {
        let (persist, store) = Persist::open(&self.folder, Quotas::default()).unwrap();
        let domains = Rc::clone(&self.domains);
        let census = Box::new(move || Ok(domains.borrow().clone()));
        let machine =
            Machine::new(Box::new(self.xen.event_channels()), Box::new(self.xen.clone()), census).unwrap();
        let socket = self.folder.join("socket");
        let listener = Listener::bind(&socket, false).unwrap();
        self.daemon = Some(Daemon::new(store, persist, Some(machine), vec![listener]).unwrap());
        self.client = UnixStream::connect(&socket).unwrap();
        self.client.set_nonblocking(true).unwrap();
    }

    /// As `kill -9`: nothing is written any more; what was mapped and bound is let go of by the kernel.
    fn kill(&mut self) {
        self.daemon = None;
        self.xen.offer_port(guest_domid(), PORT);
    }

    fn restart(&mut self) {
        self.kill();
        self.start();
    }

    fn turn(&mut self) {
        let daemon = self.daemon.as_mut().unwrap();
        daemon.turn(Some(Timespec { tv_sec: 0, tv_nsec: 1_000_000 })).unwrap();
    }

    /// A request of dom0, on the socket.
    fn ask(&mut self, kind: MessageType, payload: &str) -> String {
        let request = Message::new(kind, 1, 0, payload.into()).unwrap();
        self.client.write_all(&request.encode()).unwrap();
        let mut decoder = Decoder::default();
        loop {
            self.turn();
            let mut buffer = [0; 8192];
            if let Ok(count) = self.client.read(&mut buffer) {
                assert!(count > 0, "the daemon hung up");
                decoder.push(&buffer[..count]);
            }
            while let Some(message) = decoder.next_message().unwrap() {
                if message.kind != WatchEvent.number() {
                    return String::from_utf8(message.payload).unwrap();
                }
            }
        }
    }

    /// Creates domain 3 with a home of its own, and introduces it.
    fn guest(&mut self) -> Guest {
        let domid = guest_domid();
        self.xen.add_frames(domid, GFN, 1);
        self.xen.grant(domid, 1, GFN);
        self.xen.offer_port(domid, PORT);
        self.domains.borrow_mut().push((Domid(3), Fate::Alive));
        self.ask(Mkdir, "/local/domain/3\0");
        self.ask(SetPerms, "/local/domain/3\0n3\0");
        assert_eq!(self.ask(Introduce, &format!("3\0{GFN}\0{PORT}\0")), "OK\0");
        Guest { page: self.xen.guest_memory(domid, GFN, 1).unwrap(), decoder: Decoder::default() }
    }

    fn kick(&self) {
        if let Some(port) = self.xen.port_of(guest_domid(), PORT) {
            self.xen.signal(port);
        }
    }

    /// Turns until nothing more comes.
    fn settle(&mut self, guest: &mut Guest) -> Vec<Message> {
        let mut all = Vec::new();
        loop {
            self.kick();
            self.turn();
            let more = guest.take();
            if more.is_empty() {
                self.kick();
                self.turn();
                let last = guest.take();
                if last.is_empty() {
                    return all;
                }
                all.extend(last);
            }
            all.extend(more);
        }
    }
}

fn guest_domid() -> xen_dev::Domid {
    xen_dev::Domid::new(3).unwrap()
}

/// The domain's side of its ring.
struct Guest {
    page: SharedMemory,
    decoder: Decoder,
}

impl Guest {
    fn index(&self, offset: usize) -> u32 {
        self.page.load_u32(offset).unwrap()
    }

    fn set(&self, offset: usize, value: u32) {
        self.page.store_u32(offset, value).unwrap();
    }

    /// Puts what fits of a request into the ring; gives what does not.
    fn put<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let (cons, prod) = (self.index(2048), self.index(2052));
        let room = 1024 - prod.wrapping_sub(cons) as usize;
        let (now, later) = bytes.split_at(room.min(bytes.len()));
        for (at, byte) in now.iter().enumerate() {
            self.page.write((prod as usize + at) % 1024, &[*byte]).unwrap();
        }
        self.set(2052, prod.wrapping_add(now.len() as u32));
        later
    }

    /// Takes the messages that have arrived.
    fn take(&mut self) -> Vec<Message> {
        let (cons, prod) = (self.index(2056), self.index(2060));
        let mut bytes = vec![0; prod.wrapping_sub(cons) as usize];
        for (at, byte) in bytes.iter_mut().enumerate() {
            self.page.read(1024 + (cons as usize + at) % 1024, std::slice::from_mut(byte)).unwrap();
        }
        self.set(2056, prod);
        self.decoder.push(&bytes);
        std::iter::from_fn(|| self.decoder.next_message().unwrap()).collect()
    }
}

fn request(kind: MessageType, number: u32, payload: &str) -> Vec<u8> {
    Message::new(kind, number, 0, payload.into()).unwrap().encode()
}

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
