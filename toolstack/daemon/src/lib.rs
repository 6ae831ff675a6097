//! What starts a daemon: into the background with word when it serves, one at a time, and again when it dies.
//!
//! In the background a daemon is two processes. The *worker* does the work. The *keeper*, its parent, waits for it to
//! end: a worker that was killed or failed is followed by the next at once, so that clients wait some milliseconds and
//! nobody has to notice. A keeper holds no state and talks to nobody but its worker, so there is little that it could
//! die of; if it is killed, its worker goes on alone.
//!
//! The pid file names the worker: `kill` with it ends the daemon in order, keeper included, and `kill -9` costs no more
//! than a new worker. The keeper goes by the name of `keeper` among the processes, so that `pkill` and `killall` mean
//! the worker as well. The file is locked for as long as either lives: there is one daemon at a time.
//!
//! In the foreground, as under systemd, there is no keeper: whoever started the daemon is that.
#![forbid(unsafe_code)]

mod keeper;
mod pid_file;
mod report;
mod service;
mod signals;

pub use report::{exit, say};
pub use service::{Ready, Role, Service};
pub use signals::on_signals;
