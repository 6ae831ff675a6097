//! What the command line said, for common code.

use crate::console::Settings;
use sched::SchedKind;

/// The options. Their syntax and their defaults stand in the table of the boot code.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// What the console does.
    pub console: Settings,
    /// The scheduler.
    pub scheduler: SchedKind,
    /// How long a vCPU runs at least, in microseconds.
    pub ratelimit_us: u32,
    /// How often a domain with a cap gets its time anew, in milliseconds.
    pub cap_period_ms: u32,
    /// Stay off after a crash instead of starting again.
    pub no_reboot: bool,
    /// A guest's asynchronous abort is the machine's end.
    pub fatal_aborts: bool,
    /// Grant table pages of a domain that does not say.
    pub grant_frames: u32,
    /// Maptrack pages of a domain that does not say.
    pub maptrack_frames: u32,
    /// The command line as it was given.
    pub command_line: alloc::string::String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            console: Settings::default(),
            scheduler: SchedKind::Credit2,
            ratelimit_us: 1000,
            cap_period_ms: 10,
            no_reboot: false,
            fatal_aborts: false,
            grant_frames: 64,
            maptrack_frames: 1024,
            command_line: alloc::string::String::new(),
        }
    }
}
