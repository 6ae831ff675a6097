//! A domain's console on this program's own terminal, for `xenconsole` and `xl console`.

use std::io;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use daemon::on_signals;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use xen_dev::Domid;
use xenstore_client::{Client, Operations};

use crate::attach::{AttachError, attach, stdio};
use crate::identity::{ConsoleId, Kind};
use crate::link::Source;
use crate::socket_path;
use crate::terminal::RawMode;

/// The kinds of console that a domain can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Type {
    /// The PV console
    Pv,
    /// A serial port that QEMU emulates
    Serial,
    /// The serial port that the hypervisor emulates on Arm
    Vuart,
}

/// Which console, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session<'a> {
    /// Whose.
    pub domid: Domid,
    /// Its type; `None` for serial if there is one, else PV.
    pub console: Option<Type>,
    /// Which of that type.
    pub number: u32,
    /// Whether to type what comes from standard input even if that is no terminal.
    pub interactive: bool,
    /// Whether to show only what comes, not what was kept.
    pub live: bool,
    /// Where xenconsoled keeps its state.
    pub state_dir: &'a Path,
}

impl Session<'_> {
    /// Attaches until the user leaves or the console is gone. `attached` is called once, when that has worked.
    ///
    /// # Errors
    /// When there is no such console, or the daemon or `attached` fail.
    pub fn run(&self, attached: impl FnOnce() -> Result<()>) -> Result<()> {
        if self.domid == Domid::DOM0 {
            bail!("domain 0 has no console here: this is it");
        }
        let source = self.source()?;
        let stop = on_signals(&[SIGTERM, SIGHUP, SIGINT, SIGQUIT])?;
        let (input, output) = (io::stdin(), io::stdout());
        let types = self.interactive || RawMode::is_possible();
        let user = stdio(types, &input, &output, &stop);
        let mut failed = None;
        let begin = || {
            let raw = RawMode::enter().map_err(AttachError::io("cannot set the terminal's mode"))?;
            attached().map_err(|error| {
                failed = Some(error);
                AttachError::Interrupted
            })?;
            Ok(raw)
        };
        let ended = attach(source, &user, begin);
        match failed {
            Some(error) => Err(error),
            None => ended.map(drop).with_context(|| format!("domain {}", self.domid)),
        }
    }

    /// The way to the console.
    fn source(&self) -> Result<Source> {
        let domid = self.domid;
        let node = |folder: &str| format!("/local/domain/{domid}/{folder}/tty");
        let serial = node(&format!("serial/{}", self.number));
        let mut store = Client::open()?;
        let wanted = match self.console {
            Some(wanted) => wanted,
            None if store.read_optional(&serial)?.is_some() => Type::Serial,
            None => Type::Pv,
        };
        let kind = match (wanted, self.number) {
            (Type::Serial, _) => return Ok(Source::terminal(store, serial)?),
            (Type::Pv, 0) => Kind::Pv,
            (Type::Pv, number) => {
                return Ok(Source::terminal(store, node(&format!("device/console/{number}")))?);
            }
            (Type::Vuart, 0) => Kind::Vuart,
            (Type::Vuart, _) => bail!("a domain has one vuart, which is number 0"),
        };
        let socket = socket_path(self.state_dir);
        // Another console daemon has no such socket.
        if socket.exists() {
            Ok(Source::socket(ConsoleId { domid, kind }, socket, !self.live))
        } else {
            Ok(Source::terminal(store, node(kind.folder()))?)
        }
    }
}
