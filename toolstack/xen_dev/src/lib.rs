//! Linux's Xen devices as safe types: hypercalls, memory of other domains, event channels and grants.
//!
//! Each device is a trait with one implementation over the kernel ([`linux`]) and one in memory (`fake`, behind the
//! feature of that name), so that everything above can be tested on any machine:
//!
//! * [`Privcmd`][]: `/dev/xen/privcmd`, with argument buffers from `/dev/xen/hypercall`, and copies by
//!   `/dev/xen/gntdev`;
//! * [`EventChannels`][]: `/dev/xen/evtchn`;
//! * [`GrantMapper`][]: `/dev/xen/gntdev`, which maps what other domains grant;
//! * [`GrantAllocator`][]: `/dev/xen/gntalloc`, which grants pages to others.
//!
//! Memory that another domain can change is [`SharedMemory`]: it is copied in and out with atomic accesses and never
//! seen through a reference. The facts come from Linux's `include/uapi/xen/*.h`.
//!
//! All `unsafe` of the tools is here: in `ioctl`, `mapping`, `shared` and `linux::privcmd`. [`loop_device`] is here
//! for the same reason, though it has nothing to do with Xen.
#![deny(unsafe_code)]

mod byte_ring;
mod copy;
mod domid;
mod error;
mod evtchn;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
mod grants;
mod hypercall;
mod ioctl;
pub mod linux;
pub mod loop_device;
mod mapping;
mod privcmd;
mod shared;

pub use byte_ring::{ByteRing, RingError};
pub use copy::{MappedFile, Source};
pub use domid::Domid;
pub use error::{CopyError, MapError, OpenError};
pub use evtchn::{EventChannels, Port};
pub use grants::{GrantAllocator, GrantMapper, GrantedPages, MAX_GRANTS, UnmapNotify};
pub use hypercall::{BufferId, Hypercall, MAX_HYPERCALL_BYTES};
pub use privcmd::{Access, MAX_FOREIGN_FRAMES, Privcmd, Resource};
pub use rustix::io::Errno;
pub use shared::{AccessError, SharedMemory};
