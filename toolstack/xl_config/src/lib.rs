//! xl.cfg, the configuration of a domain: text in, types out.
//!
//! [`Document`] knows the grammar alone: keys, strings, numbers, lists, and where each stands in the file.
//! [`DomainConfig`] gives the keys their meaning. Whatever is wrong is a [`Diagnostic`] that says what, where
//! and what to do; all faults of a file are reported at once, as a [`Report`].
//!
//! The grammar is that of xl 4.17, with these differences, each to say more and none to read a valid file in
//! another way: text must be UTF-8; `\xHH` and `\OOO` in strings give the character that they name (xl drops it);
//! a value of the wrong type or out of range is an error (xl warns and takes the default); a number of megabytes
//! may have a unit when it is quoted (`memory = "2g"`).
#![forbid(unsafe_code)]

mod config;
mod devices;
mod document;
mod keys;
mod lexer;
mod parser;
mod reader;
mod report;
mod source;
mod types;

pub use config::{DomainConfig, Parsed};
pub use devices::{Channel, Connection, Disk, P9, Vif};
pub use document::{Atom, Document, List, Setting, Value};
pub use parser::{MAX_CONFIG_BYTES, MAX_DEPTH};
pub use report::{Diagnostic, Position, Report, Severity};
pub use source::Span;
pub use types::{
    Action, Affinity, BadValue, CpuList, DomainName, GicVersion, GuestType, InterfaceName, Mac, MemorySize,
    Rate, Text, TscMode, Uuid, Vdev, Vuart,
};
