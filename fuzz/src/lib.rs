//! Fuzz targets: each takes any bytes and panics when something is wrong.
//!
//! `./x fuzz` lets an engine look for bytes that do; the tests of this crate replay the corpus in `corpus/TARGET`.
#![forbid(unsafe_code)]

mod console_history;
mod device_tree;
mod hypercalls;
mod input;
mod kernel;
mod xenstore;
mod xenstore_state;
mod xl_cfg;

/// A fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its folder under `corpus/`.
    pub name: &'static str,
    /// Reads the bytes; panics when something is wrong.
    pub one_input: fn(&[u8]),
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "console_history", one_input: console_history::one_input },
    Target { name: "device_tree", one_input: device_tree::one_input },
    Target { name: "hypercalls", one_input: hypercalls::one_input },
    Target { name: "kernel", one_input: kernel::one_input },
    Target { name: "xenstore", one_input: xenstore::one_input },
    Target { name: "xenstore_state", one_input: xenstore_state::one_input },
    Target { name: "xl_cfg", one_input: xl_cfg::one_input },
];

/// The target of this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().copied().find(|target| target.name == name)
}
