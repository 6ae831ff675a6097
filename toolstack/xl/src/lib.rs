//! The command line for domains, with the verbs, options and columns of Xen's `xl`.
//!
//! [`Options`] is the command line, [`run`] does what it says. Logic about domains is in [`domain`]; here is what people
//! type and see. Verbs that list take `--json`; the types in [`json`] are its schema.
#![forbid(unsafe_code)]

mod cli;
mod commands;
mod completion;
mod format;
pub mod json;
mod outside;
mod top;

#[cfg(test)]
mod tests;

pub use cli::{Options, Verb};
pub use commands::{message, run};
pub use outside::{Outside, ProgressLine, RealOutside};
pub use top::{Key, Screen, Terminal};
