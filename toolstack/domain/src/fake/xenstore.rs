//! Xenstore behind a socket, on a thread.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, spawn};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use xen_abi::Errno;
use xenstore_client::Client;
use xenstore_store::{ConnectionId, Host, Peer, Quotas, Store};
use xenstore_wire::Domid;

use super::hypervisor::Hypervisor;
use super::lock;

/// Domains' rings are taken for granted.
struct NoRings;

impl Host for NoRings {
    fn introduce(&mut self, _: Domid, _: u64, _: u32) -> Result<(), Errno> {
        Ok(())
    }

    fn release(&mut self, _: Domid) {}
}

/// The daemon.
pub(super) struct Xenstore {
    socket: PathBuf,
    hypervisor: Arc<Mutex<Hypervisor>>,
    process: Mutex<Option<Process>>,
}

/// Its thread, which gives the state in the end.
struct Process {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<State>,
}

/// What the real daemon keeps in files.
type State = Vec<u8>;

impl Xenstore {
    /// Starts it; it learns of domains' ends from this hypervisor.
    pub(super) fn start(hypervisor: Arc<Mutex<Hypervisor>>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let socket = std::env::temp_dir().join(format!("xenoxide-fake-{}-{number}", std::process::id()));
        let this = Self { socket, hypervisor, process: Mutex::default() };
        this.run(Store::new(Quotas::default()).save());
        this
    }

    fn run(&self, state: State) {
        // The socket of the daemon before.
        let _ = std::fs::remove_file(&self.socket);
        let listener = UnixListener::bind(&self.socket).expect("the temporary folder can be written");
        let (stop, hypervisor) = (Arc::new(AtomicBool::new(false)), Arc::clone(&self.hypervisor));
        let stopped = Arc::clone(&stop);
        let thread = spawn(move || serve(&state, &listener, &stopped, &hypervisor));
        *lock(&self.process) = Some(Process { stop, thread });
    }

    /// Stops it and gives what it kept; `None` when it had panicked, which has been printed.
    fn stop(&self) -> Option<State> {
        let Process { stop, thread } = lock(&self.process).take()?;
        stop.store(true, Ordering::Relaxed);
        thread.join().ok()
    }

    pub(super) fn restart(&self, meanwhile: impl FnOnce()) {
        let state = self.stop().expect("the daemon runs");
        meanwhile();
        self.run(state);
    }

    pub(super) fn client(&self) -> Client {
        Client::connect(&self.socket).expect("the daemon listens")
    }
}

impl Drop for Xenstore {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_file(&self.socket);
    }
}

fn serve(state: &State, listener: &UnixListener, stop: &AtomicBool, hypervisor: &Mutex<Hypervisor>) -> State {
    let mut store = Store::load(state).expect("the store wrote it");
    let mut clients: Vec<(UnixStream, ConnectionId)> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let mut fds = vec![PollFd::new(listener, PollFlags::IN)];
        fds.extend(clients.iter().map(|(stream, _)| PollFd::new(stream, PollFlags::IN)));
        let tick = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        poll(&mut fds, Some(&tick)).expect("the sockets are open");
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        for ((stream, id), _) in clients.iter_mut().zip(&ready[1..]).filter(|(_, ready)| **ready) {
            let mut buffer = [0; 4096];
            let count = stream.read(&mut buffer).unwrap_or(0);
            if count == 0 || store.receive(*id, &buffer[..count], &mut NoRings).is_err() {
                store.disconnect(*id);
            }
        }
        clients.retain(|(_, id)| store.is_connected(*id));
        look_for_ends(&mut store, hypervisor);
        for (stream, id) in &mut clients {
            let mut bytes = Vec::new();
            store.pending(*id, &mut bytes, usize::MAX);
            // Who does not read is noticed above.
            let _ = stream.write_all(&bytes);
            store.sent(*id, bytes.len());
        }
        if ready[0] {
            let (stream, _) = listener.accept().expect("somebody connects");
            clients.push((stream, store.connect(Peer::Socket { read_only: false })));
        }
    }
    clients.iter().for_each(|(_, id)| store.disconnect(*id));
    store.save()
}

/// Tells the store which of its domains have shut down or are gone, as the daemon does after the hypervisor's interrupt.
fn look_for_ends(store: &mut Store, hypervisor: &Mutex<Hypervisor>) {
    for domid in store.known_domains() {
        let is_shutdown = lock(hypervisor).domains.get(&domid.0).map(|domain| domain.shutdown.is_some());
        match is_shutdown {
            None => store.domain_gone(domid),
            Some(true) => store.domain_shutdown(domid),
            Some(false) => {}
        }
    }
}
