//! A host with a store, guests that print, and daemons that come and go.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use xen_abi::io::console::XenconsInterface;
use xen_dev::fake::FakeXen;
use xen_dev::{Domid, SharedMemory};
use xenstore_client::fake::FakeDaemon;
use xenstore_client::{Client, Operations};

use crate::daemon::{Daemon, Settings, Signals};
use crate::finder::{Census, Finder};
use crate::history::{DomainUuid, History};
use crate::log::LogStyle;
use crate::machine::Machine;
use crate::mailbox::mailbox;
use crate::testkit::Folder;

/// The guest of the tests.
pub const GUEST: Domid = Domid::new(5).unwrap();
/// The guest that floods.
const NOISY: Domid = Domid::new(6).unwrap();
pub const GFN: u64 = 0x40;
pub const PORT: u32 = 2;

const IN: usize = std::mem::offset_of!(XenconsInterface, input);
pub const OUT: usize = std::mem::offset_of!(XenconsInterface, output);
const IN_PROD: usize = std::mem::offset_of!(XenconsInterface, in_prod);
pub const OUT_CONS: usize = std::mem::offset_of!(XenconsInterface, out_cons);
pub const OUT_PROD: usize = std::mem::offset_of!(XenconsInterface, out_prod);

/// Waits until it is so.
pub fn until(mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "it did not happen in ten seconds");
        sleep(Duration::from_millis(5));
    }
}

pub struct Host {
    pub xen: FakeXen,
    folder: Folder,
    domains: Arc<Mutex<BTreeMap<Domid, DomainUuid>>>,
    store: FakeDaemon,
    client: Mutex<Client>,
}

impl Host {
    pub fn start() -> Self {
        let folder = Folder::new();
        for name in ["state", "logs"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let store = FakeDaemon::default();
        let client = Mutex::new(store.client());
        Self { xen: FakeXen::default(), folder, domains: Arc::default(), store, client }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where xenstore listens.
    pub fn store(&self) -> &Path {
        self.store.socket()
    }

    pub fn client(&self) -> Client {
        self.store.client()
    }

    pub fn socket(&self) -> PathBuf {
        crate::socket_path(&self.folder.path().join("state"))
    }

    pub fn log_path(&self, name: &str) -> PathBuf {
        self.folder.path().join("logs").join(name)
    }

    pub fn log(&self, name: &str) -> String {
        fs::read_to_string(self.log_path(name)).unwrap_or_default()
    }

    pub fn histories(&self) -> usize {
        let files = fs::read_dir(self.folder.path().join("state")).unwrap();
        files
            .filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().starts_with("history-"))
            .count()
    }

    pub fn add_guest(&self, name: &str) {
        self.xen.grant(GUEST, 0, GFN);
        self.add(GUEST, name);
    }

    fn add(&self, domid: Domid, name: &str) {
        self.xen.add_frames(domid, GFN, 1);
        self.xen.offer_port(domid, PORT);
        self.domains.lock().unwrap().insert(domid, [domid.get() as u8; 16]);
        let mut store = self.client.lock().unwrap();
        let folder = format!("/local/domain/{domid}");
        store.write(&format!("{folder}/name"), name).unwrap();
        for (node, value) in [("ring-ref", GFN), ("port", PORT.into()), ("limit", 1 << 20)] {
            store.write(&format!("{folder}/console/{node}"), value.to_string()).unwrap();
        }
        store.introduce(xenstore_wire::Domid(domid.get()), GFN + 1, 1).unwrap();
    }

    pub fn remove_guest(&self) {
        self.domains.lock().unwrap().remove(&GUEST);
        let mut store = self.client.lock().unwrap();
        store.release(xenstore_wire::Domid(GUEST.get())).unwrap();
        store.rm(&format!("/local/domain/{GUEST}")).unwrap();
    }

    /// The terminal of the guest's console, once there is one that can be opened.
    pub fn tty(&self) -> PathBuf {
        let mut name = PathBuf::new();
        until(|| {
            let node = format!("/local/domain/{GUEST}/console/tty");
            name = self.client.lock().unwrap().read_string(&node).unwrap_or_default().into();
            fs::File::open(&name).is_ok()
        });
        name
    }

    pub fn page(&self, domid: Domid) -> SharedMemory {
        self.xen.guest_memory(domid, GFN, 1).unwrap()
    }

    /// Up to where the daemon noted that the guest's output was read at the terminal.
    pub fn shown(&self) -> u64 {
        let path = self.folder.path().join("state").join(format!("history-{GUEST}-pv"));
        History::open(&path, [GUEST.get() as u8; 16], 1).unwrap().shown()
    }

    /// The guest prints and sends an event.
    pub fn prints(&self, bytes: &[u8]) {
        self.prints_silently(bytes);
        self.signal();
    }

    /// The guest prints and is destroyed before it can send an event.
    pub fn prints_silently(&self, bytes: &[u8]) {
        let page = self.page(GUEST);
        let producer = page.load_u32(OUT_PROD).unwrap();
        for (offset, byte) in bytes.iter().enumerate() {
            page.store_u8(OUT + (producer as usize + offset) % 2048, *byte).unwrap();
        }
        page.store_u32(OUT_PROD, producer + bytes.len() as u32).unwrap();
    }

    pub fn set_output_indices(&self, consumer: u32, producer: u32) {
        let page = self.page(GUEST);
        page.store_u32(OUT_CONS, consumer).unwrap();
        page.store_u32(OUT_PROD, producer).unwrap();
        self.signal();
        sleep(Duration::from_millis(20));
    }

    fn signal(&self) {
        if let Some(port) = self.xen.port_of(GUEST, PORT) {
            self.xen.signal(port);
        }
    }

    /// Whether all output was taken.
    pub fn is_drained(&self) -> bool {
        let page = self.page(GUEST);
        page.load_u32(OUT_CONS) == page.load_u32(OUT_PROD)
    }

    /// What was typed to the guest so far.
    pub fn typed(&self) -> Vec<u8> {
        let page = self.page(GUEST);
        let mut bytes = vec![0; page.load_u32(IN_PROD).unwrap() as usize];
        page.read(IN, &mut bytes).unwrap();
        bytes
    }

    /// Adds a guest that prints as fast as it can.
    pub fn flood(&self, name: &str) -> Flood {
        self.add(NOISY, name);
        let (xen, page) = (self.xen.clone(), self.page(NOISY));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = spawn(move || {
            let mut taken = 0;
            while !stopped.load(Ordering::Relaxed) {
                let consumer = page.load_u32(OUT_CONS).unwrap();
                page.store_u32(OUT_PROD, consumer.wrapping_add(2048)).unwrap();
                xen.port_of(NOISY, PORT).inspect(|&port| xen.signal(port));
                taken = consumer.into();
                sleep(Duration::from_micros(200));
            }
            taken
        });
        until(|| self.page(NOISY).load_u32(OUT_CONS).unwrap() > 4096);
        Flood { stop, thread }
    }

    /// Starts a daemon that drops what nobody reads.
    pub fn daemon(&self) -> Running {
        self.daemon_that(false)
    }

    /// Starts a daemon, which makes the guest wait for the terminal's reader if it `keeps_all`.
    pub fn daemon_that(&self, keeps_all: bool) -> Running {
        let (signal_reopen, reopen) = UnixStream::pair().unwrap();
        let (signal_end, end) = UnixStream::pair().unwrap();
        self.xen.offer_port(GUEST, PORT);
        if self.domains.lock().unwrap().contains_key(&GUEST) {
            // Another test may have a terminal of the last daemon's name by now.
            self.client.lock().unwrap().write(&format!("/local/domain/{GUEST}/console/tty"), "").unwrap();
        }
        let style = LogStyle { timestamps: false, replace_escape: false, max_size: 0, keep: 0 };
        let mut settings = settings(self.folder(), style);
        settings.keeps_all = keeps_all;
        let (xen, domains) = (self.xen.clone(), Arc::clone(&self.domains));
        let store = self.store().to_owned();
        let thread = spawn(move || {
            let census = Box::new(move || Ok(domains.lock().unwrap().clone()));
            run(settings, xen, store, census, Signals { reopen, end });
        });
        let running = Running { signal_reopen, signal_end, thread };
        until(|| UnixStream::connect(self.socket()).is_ok());
        if self.domains.lock().unwrap().contains_key(&GUEST) {
            until(|| self.xen.port_of(GUEST, PORT).is_some());
        }
        running
    }
}

/// Settings of a daemon that keeps its files in this folder.
pub fn settings(folder: &Path, guest_log_style: LogStyle) -> Settings {
    Settings {
        state_dir: folder.join("state"),
        guest_logs: Some(folder.join("logs")),
        guest_log_style,
        history: 16 << 10,
        keeps_all: false,
    }
}

/// Runs a daemon until it is told to end.
pub fn run(settings: Settings, xen: FakeXen, store: PathBuf, census: Census, signals: Signals) {
    let socket = crate::socket_path(&settings.state_dir);
    let _ = fs::remove_file(&socket);
    let listener = UnixListener::bind(socket).unwrap();
    listener.set_nonblocking(true).unwrap();
    let (news, news_of) = mailbox().unwrap();
    let (ttys_for, ttys) = mailbox().unwrap();
    let finder = Finder { store, census, news, ttys }.start().unwrap();
    let machine = Machine::new(
        Box::new(xen.event_channels()),
        Some(Box::new(xen.clone())),
        Arc::new(xen),
        Box::new(|_| true),
    );
    let daemon = Daemon::new(settings, machine, listener, (news_of, ttys_for), None, signals);
    daemon.run().unwrap();
    finder.join().unwrap();
}

/// A daemon that runs.
pub struct Running {
    signal_reopen: UnixStream,
    signal_end: UnixStream,
    thread: JoinHandle<()>,
}

impl Running {
    /// Ends the daemon, which does nothing more then: it could as well be killed.
    pub fn end(mut self) {
        self.signal_end.write_all(&[0]).unwrap();
        self.thread.join().unwrap();
    }

    pub fn reopen_logs(&self) {
        (&self.signal_reopen).write_all(&[0]).unwrap();
    }
}

/// A guest that prints as fast as it can.
pub struct Flood {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Flood {
    /// Ends it and gives how many bytes were taken from it.
    pub fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}
