//! Dom0's own devices, which stand behind those of guests: files as disks, block devices, bridges and network
//! interfaces. By system calls and netlink; [`Script`] is for those who want a hotplug
//! script instead.
//!
//! * [`LoopDevice`] shows a file as a block device, [`BlockDevice`] is one that is there.
//! * [`Links`] finds network interfaces and changes them; [`Links::plug`] puts one into a bridge.
//!
//! Nothing here knows of domains. What is made here goes when its value is dropped, or is undone by the call beside it.
#![forbid(unsafe_code)]

mod block;
mod bridge;
mod error;
mod link;
mod links;
mod loops;
mod netlink;
mod script;

pub use block::BlockDevice;
pub use error::HostError;
pub use link::{InterfaceName, Link};
pub use links::Links;
pub use loops::LoopDevice;
pub use script::Script;
