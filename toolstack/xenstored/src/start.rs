//! Starting: into the background, one daemon at a time, and from the files that the last one left.

use crate::daemon::Daemon;
use crate::machine::Machine;
use crate::options::Options;
use crate::persist::Persist;
use crate::socket::Listener;
use anyhow::{Context as _, Result, bail};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

/// What the process in the background writes when it serves.
const READY: &[u8] = b"ready\n";

/// Starts a second process that serves, and returns when it does.
///
/// # Errors
/// When it ends before that; it has said why.
pub fn in_background() -> Result<()> {
    let program = std::env::current_exe().context("cannot find the program's own file")?;
    let mut child = Command::new(program)
        .args(std::env::args_os().skip(1))
        .arg("--no-fork")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .context("cannot start the process in the background")?;
    let mut said = vec![0; READY.len()];
    let is_ready = child.stdout.take().is_some_and(|mut out| out.read_exact(&mut said).is_ok());
    if !is_ready || said != READY {
        bail!("the daemon did not start: {}", child.wait()?);
    }
    Ok(())
}

/// Serves for ever, after writing `ready` to standard output.
///
/// # Errors
/// What keeps the daemon from starting, or from going on.
pub fn serve(options: &Options) -> Result<()> {
    // No file system is to be kept from being unmounted; all paths are absolute.
    std::env::set_current_dir("/").context("cannot leave the current folder")?;
    let folder = &options.run_dir;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let _lock = write_pid_file(options)?;
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
    let daemon = Daemon::new(store, persist, machine, listeners);
    let mut out = std::io::stdout();
    // Whoever started this may have stopped listening.
    let _ = out.write_all(READY).and_then(|()| out.flush());
    daemon.run().context("cannot wait for events")
}

/// Writes the pid file and locks it, for as long as the file is open.
fn write_pid_file(options: &Options) -> Result<File> {
    let path = &options.pid_file;
    let named = || format!("cannot write {}", path.display());
    let mut file =
        File::options().read(true).write(true).create(true).truncate(false).open(path).with_context(named)?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut other = String::new();
        file.read_to_string(&mut other).with_context(named)?;
        bail!("xenstored runs already, as process {}", other.trim());
    }
    file.set_len(0).with_context(named)?;
    writeln!(file, "{}", std::process::id()).with_context(named)?;
    Ok(file)
}
