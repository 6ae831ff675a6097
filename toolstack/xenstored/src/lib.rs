//! The xenstore daemon: it carries bytes between sockets, domains' rings and [`xenstore_store`], and writes down
//! enough to go on after being killed.
//!
//! * [`ring`]: the page that a domain shares, and its hostile indices.
//! * [`persist`]: files that the state outlives the process in, and why nothing is lost.
//! * [`machine`]: what Xen does for the daemon.
//! * [`socket`]: programs in dom0.
//! * [`poller`]: what is waited for.
//! * [`daemon`]: the loop; `clients` and `rings` are its parts for sockets and domains.
#![forbid(unsafe_code)]

mod clients;
pub mod daemon;
pub mod machine;
pub mod options;
pub mod persist;
pub mod poller;
pub mod ring;
mod rings;
pub mod socket;
pub mod start;
