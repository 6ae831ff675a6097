//! Xenstore behind a socket, on a thread: for the tests of whoever is its client.

use crate::Client;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, spawn};
use xen_abi::Errno;
use xenstore_store::{ConnectionId, Host, Peer, Quotas, Store};
use xenstore_wire::Domid;

/// Domains' rings are taken for granted.
struct NoRings;

impl Host for NoRings {
    fn introduce(&mut self, _: Domid, _: u64, _: u32, _: u32) -> Result<(), Errno> {
        Ok(())
    }

    fn release(&mut self, _: Domid) {}
}

/// What a daemon does of itself now and then.
type Chore = Arc<dyn Fn(&mut Store) + Send + Sync>;
/// What the real daemon keeps in files.
type State = Vec<u8>;

/// A daemon that can be restarted. It ends when it is dropped.
pub struct FakeDaemon {
    socket: PathBuf,
    chore: Chore,
    process: Mutex<Option<Process>>,
}

/// Its thread, which gives the state in the end.
struct Process {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<State>,
}

impl Default for FakeDaemon {
    fn default() -> Self {
        Self::new(|_| {})
    }
}

impl FakeDaemon {
    /// Starts one that listens in the folder for temporary files, and does its `chore` after each round of requests, and
    /// fifty times a second: to learn of domains' ends, for instance.
    pub fn new(chore: impl Fn(&mut Store) + Send + Sync + 'static) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let socket = std::env::temp_dir().join(format!("xenstore-fake-{}-{number}", std::process::id()));
        let daemon = Self { socket, chore: Arc::new(chore), process: Mutex::default() };
        daemon.run(Store::new(Quotas::default()).save());
        daemon
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// A client of it.
    #[expect(clippy::missing_panics_doc, reason = "it listens while it lives")]
    pub fn client(&self) -> Client {
        Client::connect(&self.socket).expect("the daemon listens")
    }

    /// Ends it without a word to its clients, and starts it again with what the real one would have kept.
    #[expect(clippy::missing_panics_doc, reason = "a daemon that has panicked fails the test")]
    pub fn restart(&self, meanwhile: impl FnOnce()) {
        let state = self.stop().expect("the daemon runs");
        meanwhile();
        self.run(state);
    }

    fn run(&self, state: State) {
        // The socket of the daemon before.
        let _ = std::fs::remove_file(&self.socket);
        let listener = UnixListener::bind(&self.socket).expect("the temporary folder can be written");
        let (stop, chore) = (Arc::new(AtomicBool::new(false)), Arc::clone(&self.chore));
        let stopped = Arc::clone(&stop);
        let thread = spawn(move || serve(&state, &listener, &stopped, &chore));
        *self.process() = Some(Process { stop, thread });
    }

    /// Stops it and gives what it kept; `None` when it had panicked, which has been printed.
    fn stop(&self) -> Option<State> {
        let Process { stop, thread } = self.process().take()?;
        stop.store(true, Ordering::Relaxed);
        thread.join().ok()
    }

    fn process(&self) -> std::sync::MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Drop for FakeDaemon {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_file(&self.socket);
    }
}

fn serve(state: &State, listener: &UnixListener, stop: &AtomicBool, chore: &Chore) -> State {
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
        chore(&mut store);
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
