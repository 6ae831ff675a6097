//! Devices, each from a text of parameters between commas.
mod channel;
mod disk;
mod p9;
mod spec;
mod vif;

pub use channel::{Channel, Connection};
pub use disk::Disk;
pub use p9::P9;
pub(crate) use spec::SpecError;
pub use vif::Vif;

#[cfg(test)]
mod tests;
