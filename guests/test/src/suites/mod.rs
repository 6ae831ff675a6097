//! Suites of tests. Each test shows one behaviour of the hypervisor as a value that is the same in each run; what the
//! values are on Debian's Xen and on ours is compared by the harness.

mod events;
mod fifo;
mod grants;
mod hypercalls;
mod memory;
pub mod peer;
mod power;
mod timers;
mod traps;
mod vgic;

use guest_kit::{Boot, println};

use crate::report::Report;

type Suite = (&'static str, fn(Report, &Boot));

/// In the order in which `all` runs them. A domain cannot go back from FIFO event channels, and the last suite takes
/// the other vCPU down.
const SUITES: [Suite; 9] = [
    ("hypercalls", hypercalls::run),
    ("memory", memory::run),
    ("events", events::run),
    ("grants", grants::run),
    ("traps", traps::run),
    ("vgic", vgic::run),
    ("timers", timers::run),
    ("fifo", fifo::run),
    ("power", power::run),
];

/// Runs the suites that are named, separated by commas, or `all`.
pub fn run(boot: &Boot, names: &str) {
    // All suites see events in the shared page.
    guest_kit::event::register(SHARED, 2);
    for (name, suite) in SUITES {
        if names == "all" || names.split(',').any(|wanted| wanted == name) {
            println!("suite {name}");
            suite(Report(name), boot);
        }
    }
}

/// For what is sure to come, in microseconds: more than a busy machine needs.
pub const SURELY: u64 = 20_000_000;

/// A frame where a DomU has nothing: behind the room for the grant table.
pub const SHARED: u64 = 0x3880_0000 >> 12;
