//! The life of domains and their devices: the library under `xl`, for daemons and tests as well; the role of libxl.
//!
//! [`Toolstack`] holds the ways to the hypervisor and to xenstore. Its methods are the operations: list and
//! [find](Toolstack::find) domains, create, pause, [ask](Toolstack::request) them to shut down, [wait for their
//! end](Toolstack::wait_for_end), [destroy](Toolstack::destroy).
//!
//! What stands in xenstore has libxl's layout: its `xl` works on domains of ours, and ours on its. There are no hotplug
//! scripts: what they do is done here, in order, and each step's failure is the operation's.
#![forbid(unsafe_code)]

mod create;
mod device;
mod dom0;
mod error;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
mod find;
mod host;
mod kept;
mod libxl_json;
mod life;
mod lock_file;
mod nodes;
mod pools;
mod progress;
mod random;
mod supervise;
mod toolstack;
mod tune;
mod userdata;

pub use device::{Detach, DeviceStatus, DiskStatus, VifStatus};
pub use error::DomainError;
pub use find::Domain;
pub use host::{Host, HostDisk};
pub use life::{End, Request};
pub use progress::Progress;
pub use toolstack::Toolstack;
pub use tune::vcpus;

#[cfg(test)]
mod tests;
