//! Synchronous xenstore client, over the daemon's socket or the kernel's device `/dev/xen/xenbus`.
//!
//! A [`Client`] reads and writes through the trait [`Operations`], which a [`Transaction`] has as well:
//!
//! ```no_run
//! use xenstore_client::{Client, Operations};
//! # fn main() -> Result<(), xenstore_client::Error> {
//! let mut store = Client::open()?;
//! store.transaction(|transaction| {
//!     let count: u32 = transaction.read_string("/count")?.parse().unwrap_or(0);
//!     transaction.write("/count", (count + 1).to_string())
//! })?;
//! store.watch("/count", "counter")?;
//! while let Some(event) = store.wait_event(None)? {
//!     println!("{} changed", event.path);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! When the daemon is restarted, a client on a socket connects again, sets its watches again (each fires once, so no
//! change stays unseen) and repeats the request. Transactions start over. Only a commit whose answer was lost cannot
//! be repeated: it fails with [`Error::Lost`].
#![forbid(unsafe_code)]

mod client;
mod error;
#[cfg(feature = "fake")]
pub mod fake;
mod operations;
mod transaction;
mod transport;

pub use client::{Client, WatchEvent};
pub use error::Error;
pub use operations::Operations;
pub use transaction::Transaction;
pub use transport::default_path;
