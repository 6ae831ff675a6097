//! Domains and their vCPUs: what they are, how they are found, created and taken down.

mod access;
mod create;
mod destroy;
mod guest_kind;
mod platform;
mod run_state;
mod state;
mod table;
mod vcpu;
mod vcpu_word;
#[cfg(test)]
mod vcpu_word_loom;
mod vnuma;
mod watchdog;

/// The atomics of the words of vCPUs; loom's stand in their place in its tests.
mod sync {
    pub(super) use core::sync::atomic::{AtomicU32, Ordering, fence};
}

pub use access::{Access, Ranges};
pub use create::CreateError;
pub use guest_kind::GuestKind;
pub use platform::Platform;
pub use state::{Domain, DomainConfig, DomainMemory, NR_PARAMS, ShutdownReason};
pub use table::{DomainTable, InsertError};
pub use vcpu::Vcpu;
pub use vnuma::Vnuma;
