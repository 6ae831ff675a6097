//! The command line.

use clap::Parser;
use daemon::{Role, Service};
use std::path::PathBuf;
use xenstore_store::Quotas;

/// The xenstore daemon: keeps the tree that Dom0 and the domains share.
///
/// It can be killed at any time: domains' connections, watches and data stay. In the background, a second process then
/// starts it again; the pid file names the first, and a SIGTERM to that one ends both.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Options {
    /// Write the daemon's process id here
    #[arg(short = 'F', long, default_value = "/run/xenstored.pid", value_parser = absolute)]
    pub pid_file: PathBuf,
    /// Folder of the sockets and of the state
    #[arg(long, env = "XENSTORED_RUNDIR", default_value = "/run/xenstored", value_parser = absolute)]
    pub run_dir: PathBuf,
    /// Stay in the foreground
    #[arg(short = 'N', long)]
    pub no_fork: bool,
    /// Serve sockets only: do not use Xen, and do not connect Dom0's kernel
    #[arg(short = 'D', long)]
    pub no_domain_init: bool,
    /// Limit what an unprivileged domain may use, such as nodes=2000, or 0 for no limit; `xenstore-control quota` lists the names
    #[arg(short = 'Q', long, value_name = "NAME=VALUE", value_parser = quota)]
    pub quota: Vec<(String, u64)>,
    #[command(flatten)]
    role: Role,
}

impl Options {
    /// How the daemon is to be started.
    pub fn service(&self) -> Service<'_> {
        let Self { ref pid_file, no_fork, role, .. } = *self;
        Service { name: "xenstored", pid_file, foreground: no_fork, role }
    }

    /// The default quotas with those of the command line.
    pub fn quotas(&self) -> Quotas {
        let mut quotas = Quotas::default();
        for (name, value) in &self.quota {
            quotas.set(name, *value);
        }
        quotas
    }
}

/// The daemon leaves the folder that a relative path starts in.
fn absolute(text: &str) -> std::io::Result<PathBuf> {
    std::path::absolute(text)
}

fn quota(text: &str) -> Result<(String, u64), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    let value = value.parse().map_err(|_| format!("{value:?} is no number"))?;
    let known = Quotas::default().list().map(|(name, _)| name);
    if !known.contains(&name) {
        return Err(format!("there is no quota {name:?}; there are {}", known.join(", ")));
    }
    Ok((name.to_owned(), value))
}
