//! Xenstore behind a socket, on a thread.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{JoinHandle, spawn};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use xen_abi::Errno;
use xenstore_client::Client;
use xenstore_store::{ConnectionId, Host, Peer, Quotas, Store};
use xenstore_wire::Domid;

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
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Xenstore {
    pub(super) fn start() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let socket = std::env::temp_dir().join(format!("xenoxide-fake-{}-{number}", std::process::id()));
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).expect("the temporary folder can be written");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = Some(spawn(move || serve(&listener, &stopped)));
        Self { socket, stop, thread }
    }

    pub(super) fn client(&self) -> Client {
        Client::connect(&self.socket).expect("the daemon listens")
    }
}

impl Drop for Xenstore {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed.
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.socket);
    }
}

fn serve(listener: &UnixListener, stop: &AtomicBool) {
    let mut store = Store::new(Quotas::default());
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
}
