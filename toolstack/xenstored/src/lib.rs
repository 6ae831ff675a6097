//! The xenstore daemon: it carries bytes between sockets, domains' rings and [`xenstore_store`], and writes down
//! enough to go on after being killed.
//!
//! * [`ring`]: the page that a domain shares, and its hostile indices.
//! * [`persist`]: files that the state outlives the process in, and why nothing is lost.
//! * [`machine`]: what Xen does for the daemon.
//! * [`socket`]: programs in dom0.
//! * [`daemon`]: the loop.
#![forbid(unsafe_code)]

pub mod daemon;
pub mod machine;
pub mod options;
pub mod persist;
pub mod ring;
pub mod socket;
pub mod start;
