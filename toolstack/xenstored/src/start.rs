//! Starting: with the kernel's devices, and from the files that the last daemon left.

use crate::daemon::Daemon;
use crate::machine::Machine;
use crate::options::Options;
use crate::persist::Persist;
use crate::socket::Listener;
use anyhow::{Context as _, Result};
use daemon::Ready;
use std::fs;

/// Serves for ever, after saying that it does.
///
/// # Errors
/// What keeps the daemon from starting, or from going on.
pub fn serve(options: &Options, ready: Ready) -> Result<()> {
    let folder = &options.run_dir;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let (persist, store) =
        Persist::open(folder, options.quotas()).context("cannot take up the state of the last daemon")?;
    let machine = match options.no_domain_init {
        true => None,
        false => {
            Some(Machine::open().context("cannot use Xen (--no-domain-init serves sockets without it)")?)
        }
    };
    let listen = |name, read_only| {
        let path = folder.join(name);
        Listener::bind(&path, read_only).with_context(|| format!("cannot listen at {}", path.display()))
    };
    let listeners = vec![listen("socket", false)?, listen("socket_ro", true)?];
    let daemon = Daemon::new(store, persist, machine, listeners).context("cannot wait for events")?;
    ready.tell()?;
    daemon.run().context("cannot wait for events")
}
