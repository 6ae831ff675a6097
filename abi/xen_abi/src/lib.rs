//! Xen's public ABI: numbers, structures and errno, formats only.
//!
//! One module per public header, shared by the hypervisor, the tools and the guests. Nothing here decides
//! anything: a structure is plain data that can be copied from and to guest bytes without `unsafe`, a number
//! that a guest may send stays an integer, and a pointer is a [`GuestHandle`], an address and nothing more.
//!
//! * Constants keep the spelling of their header (`EVTCHNOP_send`), so that a search finds them.
//! * Structures have CamelCase names; the C name is a documentation alias. Padding that C leaves implicit is
//!   written out as fields named `_gap…`; every structure is [`Plain`].
//! * The 64-bit layouts are given. Where arm64 and x86_64 differ there are two structures, in [`arch_arm`]
//!   and [`arch_x86`] (or in the `arm64` and `x86_64` modules of [`domctl::v4_17`]), and [`Arch`] names the
//!   pair that belongs to a CPU, so that common code needs no `cfg`.
//! * A C union is an array of words with typed views: `read_payload::<T>()` and `write_payload(&value)`.
//! * [`layout`] lists sizes, offsets and values; a test compares all of them with the reference headers.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![allow(
    non_upper_case_globals,
    reason = "constants keep their header spelling so that they can be found by it"
)]

#[macro_use]
mod macros;

pub mod arch;
pub mod arch_arm;
pub mod arch_x86;
pub mod argo;
pub mod callback;
pub mod device_tree_defs;
pub mod domctl;
pub mod elfnote;
pub mod errno;
pub mod event_channel;
pub mod features;
pub mod grant_table;
pub mod guest_handle;
pub mod hvm;
pub mod hypfs;
pub mod io;
pub mod kexec;
pub mod layout;
pub mod memory;
pub mod nmi;
pub mod physdev;
pub mod platform;
pub mod pmu;
pub mod sched;
pub mod sysctl;
pub mod vcpu;
pub mod version;
pub mod vm_event;
pub mod xen;
pub mod xsm;

pub use arch::{Arch, Arm64, X86_64};
pub use errno::Errno;
pub use guest_handle::GuestHandle;
pub use zerocopy;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Data that is valid for any bytes, has no padding and can be copied from and to guest memory as it stands.
///
/// Implemented by every type that qualifies; a zeroed value is `zerocopy::FromZeros::new_zeroed()`.
pub trait Plain: FromBytes + IntoBytes + Immutable + KnownLayout + Copy + 'static {}

impl<T: FromBytes + IntoBytes + Immutable + KnownLayout + Copy + 'static> Plain for T {}
