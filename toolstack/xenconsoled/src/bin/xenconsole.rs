//! Attaches the terminal to a domain's console.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{Parser, ValueEnum};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use xen_dev::Domid;
use xenconsoled::attach::{AttachError, attach, stdio};
use xenconsoled::identity::{ConsoleId, Kind};
use xenconsoled::link::Source;
use xenconsoled::terminal::RawMode;
use xenconsoled::{STATE_DIR, socket_path};
use xenstore_client::{Client, Operations};

/// The kinds of console that a domain can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Type {
    /// The PV console
    Pv,
    /// A serial port that QEMU emulates
    Serial,
    /// The serial port that the hypervisor emulates on Arm
    Vuart,
}

/// Attaches the terminal to a domain's console: first comes what was kept of its output. Ctrl-] leaves.
#[derive(Debug, Parser)]
#[command(name = "xenconsole", version)]
struct Options {
    /// Which of the consoles of that type
    #[arg(short, long, value_name = "N", default_value_t = 0)]
    num: u32,
    /// The type of console [default: serial if there is one, else pv]
    #[arg(short, long)]
    r#type: Option<Type>,
    /// Type what comes from standard input even if that is no terminal
    #[arg(short, long)]
    interactive: bool,
    /// Show only what comes, not what was kept
    #[arg(long)]
    live: bool,
    /// Write a zero byte to this open file when attached
    #[arg(long, value_name = "FD")]
    start_notify_fd: Option<u32>,
    /// Where xenconsoled keeps its state
    #[arg(long, value_name = "DIR", default_value = STATE_DIR)]
    state_dir: PathBuf,
    /// The domain's number
    domid: u16,
}

fn main() -> ExitCode {
    daemon::exit("xenconsole", run(&Options::parse()))
}

fn run(options: &Options) -> Result<()> {
    let domid = match Domid::new(options.domid) {
        Some(Domid::DOM0) => bail!("domain 0 has no console here: this is it"),
        Some(domid) => domid,
        None => bail!("{} is not the number of a domain", options.domid),
    };
    let source = source(options, domid)?;
    let stop = daemon::on_signals(&[SIGTERM, SIGHUP, SIGINT, SIGQUIT])?;
    let (input, output) = (io::stdin(), io::stdout());
    let types = options.interactive || RawMode::is_possible();
    let user = stdio(types, &input, &output, &stop);
    let attached = || {
        let raw = RawMode::enter().map_err(AttachError::io("cannot set the terminal's mode"))?;
        if let Some(fd) = options.start_notify_fd {
            // Whoever started this may have stopped listening.
            let _ = File::options()
                .write(true)
                .open(format!("/proc/self/fd/{fd}"))
                .and_then(|mut file| file.write_all(&[0]));
        }
        Ok(raw)
    };
    attach(source, &user, attached).with_context(|| format!("domain {domid}"))?;
    Ok(())
}

/// The way to the console that the options name.
fn source(options: &Options, domid: Domid) -> Result<Source> {
    let node = |folder: &str| format!("/local/domain/{domid}/{folder}/tty");
    let serial = node(&format!("serial/{}", options.num));
    let mut store = Client::open()?;
    let wanted = match options.r#type {
        Some(wanted) => wanted,
        None if store.read_optional(&serial)?.is_some() => Type::Serial,
        None => Type::Pv,
    };
    let kind = match (wanted, options.num) {
        (Type::Serial, _) => return Ok(Source::terminal(store, serial)?),
        (Type::Pv, 0) => Kind::Pv,
        (Type::Pv, number) => {
            return Ok(Source::terminal(store, node(&format!("device/console/{number}")))?);
        }
        (Type::Vuart, 0) => Kind::Vuart,
        (Type::Vuart, _) => bail!("a domain has one vuart, which is number 0"),
    };
    let console = ConsoleId { domid, kind };
    let socket = socket_path(&options.state_dir);
    // Another console daemon has no such socket.
    if socket.exists() {
        Ok(Source::socket(console, socket, !options.live))
    } else {
        Ok(Source::terminal(store, node(kind.folder()))?)
    }
}
