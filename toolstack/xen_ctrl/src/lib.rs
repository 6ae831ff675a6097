//! Control of the hypervisor: typed calls over [`xen_dev`], the role of libxenctrl.
//!
//! [`XenCtrl`] asks when it opens which version of the unstable interfaces (domctl, sysctl) the hypervisor speaks, and
//! lays requests out for it; 4.17 to 4.22 are known. Calls are methods, in one module per topic. Every error names the
//! call, the domain and the reason: see [`CtrlError`].
//!
//! Facts: Xen's public headers, by way of [`xen_abi`]; names of calls in errors are theirs.
#![forbid(unsafe_code)]
#![allow(non_upper_case_globals, reason = "the ABI's constants keep their header spelling, in patterns too")]

mod bitmap;
mod channels;
mod cpupool;
mod create;
mod ctrl;
mod domain;
mod error;
mod grants;
mod host;
mod hvm;
mod memory;
mod sched;
mod vcpu;
mod version;

#[cfg(test)]
mod testkit;

pub use bitmap::{BITMAP_BITS, Bitmap};
pub use channels::PortStatus;
pub use cpupool::Cpupool;
pub use create::{ArchConfig, CreateConfig, Created};
pub use ctrl::{Cpu, XenCtrl};
pub use domain::{DomainInfo, ShutdownReason};
pub use error::CtrlError;
pub use grants::SeededGrant;
pub use host::{ConsoleText, Node};
pub use vcpu::{Affinity, Registers};
pub use version::CompileInfo;
