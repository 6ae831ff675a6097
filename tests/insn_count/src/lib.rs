//! QEMU plugin (API version 1) that counts executed instructions.
//!
//! Every instruction adds to the counter of who executes it, and the hypervisor's also to the counter of its kind
//! ([`classify`]). A line with all counters goes to the file given as `out=PATH` whenever the benchmark program
//! executes a marker, and once each when Dom0's kernel and its user space execute their first instruction:
//! `WHAT NUMBER COUNTERS...`. Made for a machine with one CPU: counters are not added to atomically.
//!
//! With `profile=NUMBER`, every hypervisor instruction executed between the first marker of that number and the
//! next marker is written with its count: `at ADDRESS COUNT`.

#[cfg(not(test))]
mod api;
mod classify;
#[cfg(not(test))]
mod plugin;
