//! Starting: with the kernel's devices.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use daemon::{Ready, on_signals};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use xen_abi::domctl::v4_17::DominfFlags;
use xen_abi::xen::VIRQ_CON_RING;
use xen_ctrl::XenCtrl;
use xen_dev::linux::{LinuxEventChannels, LinuxGrantMapper, LinuxPrivcmd};
use xen_dev::{Domid, EventChannels, GrantMapper, Privcmd};

use crate::daemon::{Daemon, Settings, Signals};
use crate::finder::{Census, Finder};
use crate::hypervisor_log::HypervisorLog;
use crate::log::{Log, LogStyle};
use crate::machine::Machine;
use crate::mailbox::mailbox;
use crate::options::{Options, Overflow};
use crate::report;

/// Serves until SIGTERM or SIGINT, after saying that it does.
///
/// # Errors
/// What keeps the daemon from starting, or from going on.
pub fn serve(options: &Options, ready: Ready) -> Result<()> {
    report::set_verbose(options.verbose);
    make_folder(&options.state_dir, 0o700)?;
    if !options.interactive || options.log.guest() || options.log.hv() {
        make_folder(&options.log_dir, 0o755)?;
    }
    raise_file_limit();
    let daemon = assemble(options)?;
    if !options.interactive {
        let path = options.log_dir.join("xenconsoled.log");
        let own = File::options().append(true).create(true).open(&path);
        let own = own.with_context(|| format!("cannot write {}", path.display()))?;
        rustix::stdio::dup2_stderr(&own).context("cannot leave the standard error")?;
    }
    ready.tell()?;
    daemon.run().context("cannot go on")
}

/// Opens all that the daemon needs and starts the thread that finds consoles.
fn assemble(options: &Options) -> Result<Daemon> {
    let foreign: Arc<dyn Privcmd> = Arc::new(LinuxPrivcmd::open()?);
    let control = || XenCtrl::new(Arc::clone(&foreign), xen_ctrl::Cpu::host());
    let events = LinuxEventChannels::open()?;
    let style = |timestamps| LogStyle {
        timestamps,
        replace_escape: options.replace_escape,
        max_size: options.log_size,
        keep: options.log_keep,
    };
    let hypervisor = match options.log.hv() {
        false => None,
        true => {
            let port = events.bind_virq(VIRQ_CON_RING);
            let port = port.context(
                "cannot be told of the hypervisor's console (VIRQ_CON_RING); is another console daemon running?",
            )?;
            let control = control()?;
            let path = options.log_dir.join("hypervisor.log");
            let log = Log::open(path.clone(), style(options.timestamp.hv()));
            let log = log.with_context(|| format!("cannot write {}", path.display()))?;
            let position = options.state_dir.join("hypervisor-position");
            Some(HypervisorLog::new(Box::new(move |from| control.read_console(from)), port, log, position))
        }
    };
    let grants = LinuxGrantMapper::open().ok().map(|grants| Box::new(grants) as Box<dyn GrantMapper>);
    let machine = Machine::new(Box::new(events), grants, Arc::clone(&foreign), Machine::ask(control()?));
    let settings = Settings {
        state_dir: options.state_dir.clone(),
        guest_logs: options.log.guest().then(|| options.log_dir.clone()),
        guest_log_style: style(options.timestamp.guest()),
        history: options.history,
        keeps_all: options.overflow_data == Overflow::Keep,
    };
    let listener = listen(&crate::socket_path(&options.state_dir))?;
    let signals = Signals { reopen: on_signals(&[SIGHUP])?, end: on_signals(&[SIGTERM, SIGINT])? };
    let (news, news_of) = mailbox().context("cannot make an event file")?;
    let (ttys_for, ttys) = mailbox().context("cannot make an event file")?;
    let store = xenstore_client::default_path();
    let finder = Finder { store, census: census(control()?), news, ttys };
    finder.start().context("cannot start a thread")?;
    Ok(Daemon::new(settings, machine, listener, (news_of, ttys_for), hypervisor, signals))
}

/// Domain 0 has no console, and a domain that is being destroyed has said its last.
fn census(control: XenCtrl) -> Census {
    Box::new(move || {
        let domains = control.domains()?.into_iter();
        let served =
            domains.filter(|info| info.domid != Domid::DOM0 && !info.flags.contains(DominfFlags::DYING));
        Ok(served.map(|info| (info.domid, info.handle)).collect())
    })
}

fn make_folder(path: &Path, mode: u32) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .with_context(|| format!("cannot make {}", path.display()))
}

/// Listens for viewers: root only, since who attaches to a console may well be root in the guest.
fn listen(path: &Path) -> Result<UnixListener> {
    let named = || format!("cannot listen at {}", path.display());
    // The lock on the pid file says that no daemon is behind it.
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).with_context(named),
        _ => {}
    }
    let listener = UnixListener::bind(path).with_context(named)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).with_context(named)?;
    listener.set_nonblocking(true).with_context(named)?;
    Ok(listener)
}

/// Each console needs files for its history, its log and both ends of its terminal.
fn raise_file_limit() {
    let now = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, ..now }) {
        report::warn(format_args!("cannot raise the limit of open files: {error}"));
    }
}
