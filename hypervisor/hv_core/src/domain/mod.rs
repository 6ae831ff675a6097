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
mod vnuma;
mod watchdog;

pub use access::{Access, Ranges};
pub use create::CreateError;
pub use guest_kind::GuestKind;
pub use platform::Platform;
pub use state::{Domain, DomainConfig, DomainMemory, NR_PARAMS, ShutdownReason};
pub use table::{DomainTable, InsertError};
pub use vcpu::Vcpu;
pub use vnuma::Vnuma;
