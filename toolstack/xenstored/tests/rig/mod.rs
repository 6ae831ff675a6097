//! A daemon over a fake Xen, with its domains and a client.
#![allow(dead_code, reason = "not every test uses every helper")]

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

pub const PORT: u32 = 5;
pub const GFN: u64 = 10;

pub fn folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("xenstored-test-{}-{number}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

pub struct Rig {
    pub xen: FakeXen,
    pub folder: PathBuf,
    pub domains: Rc<RefCell<Vec<(Domid, Fate)>>>,
    daemon: Option<Daemon>,
    pub client: UnixStream,
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Rig {
    pub fn new() -> Self {
        let (client, _) = UnixStream::pair().unwrap();
        let (folder, xen) = (folder(), FakeXen::default());
        let mut rig = Self { xen, folder, domains: Rc::default(), daemon: None, client };
        rig.start();
        rig
    }

    pub fn start(&mut self) {
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
    pub fn kill(&mut self) {
        self.daemon = None;
        self.xen.offer_port(guest_domid(), PORT);
    }

    pub fn restart(&mut self) {
        self.kill();
        self.start();
    }

    pub fn turn(&mut self) {
        let daemon = self.daemon.as_mut().unwrap();
        daemon.turn(Some(Timespec { tv_sec: 0, tv_nsec: 1_000_000 })).unwrap();
    }

    /// A request of dom0, on the socket.
    pub fn ask(&mut self, kind: MessageType, payload: &str) -> String {
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
    pub fn guest(&mut self) -> Guest {
        self.add_guest(guest_domid())
    }

    /// The same, of another number.
    pub fn add_guest(&mut self, domid: xen_dev::Domid) -> Guest {
        self.xen.add_frames(domid, GFN, 1);
        self.xen.grant(domid, 1, GFN);
        self.xen.offer_port(domid, PORT);
        self.domains.borrow_mut().push((Domid(domid.get()), Fate::Alive));
        self.ask(Mkdir, &format!("/local/domain/{domid}\0"));
        self.ask(SetPerms, &format!("/local/domain/{domid}\0n{domid}\0"));
        assert_eq!(self.ask(Introduce, &format!("{domid}\0{GFN}\0{PORT}\0")), "OK\0");
        Guest { domid, page: self.xen.guest_memory(domid, GFN, 1).unwrap(), decoder: Decoder::default() }
    }

    /// Domain 3 sends an event.
    pub fn kick(&self) {
        self.kick_for(guest_domid());
    }

    fn kick_for(&self, domid: xen_dev::Domid) {
        if let Some(port) = self.xen.port_of(domid, PORT) {
            self.xen.signal(port);
        }
    }

    /// The guest puts what fits into its ring and sends an event.
    pub fn send<'a>(&self, guest: &Guest, bytes: &'a [u8]) -> &'a [u8] {
        let rest = guest.put(bytes);
        self.kick_for(guest.domid);
        rest
    }

    /// Turns until nothing more comes.
    pub fn settle(&mut self, guest: &mut Guest) -> Vec<Message> {
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

pub fn guest_domid() -> xen_dev::Domid {
    xen_dev::Domid::new(3).unwrap()
}

/// The domain's side of its ring.
pub struct Guest {
    domid: xen_dev::Domid,
    page: SharedMemory,
    decoder: Decoder,
}

impl Guest {
    pub fn index(&self, offset: usize) -> u32 {
        self.page.load_u32(offset).unwrap()
    }

    pub fn set(&self, offset: usize, value: u32) {
        self.page.store_u32(offset, value).unwrap();
    }

    /// Puts what fits of a request into the ring; gives what does not.
    pub fn put<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let (cons, prod) = (self.index(2048), self.index(2052));
        let room = 1024 - prod.wrapping_sub(cons) as usize;
        let (now, later) = bytes.split_at(room.min(bytes.len()));
        for (at, byte) in now.iter().enumerate() {
            self.page.write((prod as usize + at) % 1024, &[*byte]).unwrap();
        }
        self.set(2052, prod.wrapping_add(now.len() as u32));
        later
    }

    /// Frees the room of all that has arrived, without a look at it.
    pub fn skip(&self) {
        self.set(2056, self.index(2060));
    }

    /// Takes the messages that have arrived.
    pub fn take(&mut self) -> Vec<Message> {
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

pub fn request(kind: MessageType, number: u32, payload: &str) -> Vec<u8> {
    Message::new(kind, number, 0, payload.into()).unwrap().encode()
}
