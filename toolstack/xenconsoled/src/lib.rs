//! The console daemon, and what attaches to it.
//!
//! The daemon's core is without Xen: [`ring`] (the shared page with its hostile indices), [`history`] (what is kept, and
//! how it survives the daemon), [`outlet`] (readers of different speed), [`allowance`] (a limit for floods), [`log`]
//! (rotation, timestamps), [`protocol`] (what viewers say). A [`console`] puts them together; [`daemon`] waits and
//! serves; [`finder`] follows domains in xenstore on a thread; [`machine`] is Xen. [`start`] opens the real devices.
//!
//! Viewers come over a socket ([`viewer`]) or, as those of Xen's own tools, over a terminal whose name is in xenstore
//! ([`pty`]). [`attach`] is the other side of both, and [`session`] puts it on a terminal.
#![forbid(unsafe_code)]

pub mod allowance;
pub mod attach;
pub mod clock;
pub mod console;
pub mod daemon;
pub mod finder;
pub mod history;
pub mod hypervisor_log;
pub mod identity;
pub mod link;
pub mod log;
pub mod machine;
pub mod mailbox;
pub mod options;
pub mod outlet;
pub mod protocol;
pub mod pty;
pub mod report;
pub mod ring;
pub mod session;
pub mod start;
pub mod terminal;
pub mod viewer;

#[cfg(test)]
mod testkit;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

/// Where the daemon keeps its state unless told otherwise. It is lost with the host, as domains are.
pub const STATE_DIR: &str = "/run/xenconsoled";

/// Where the daemon that keeps its state in this folder listens for viewers.
pub fn socket_path(state_dir: &Path) -> PathBuf {
    state_dir.join("socket")
}
