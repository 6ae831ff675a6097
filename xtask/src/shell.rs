//! `./x shell`: Dom0 with its tools, and a shell on its console.

use anyhow::Result;
use std::time::Duration;

use crate::build;
use crate::cli::MachineOptions;
use crate::machine::config::{Dom0Console, MachineConfig};
use crate::machine::console::Echo;
use crate::machine::{Machine, terminal};
use crate::report;
use crate::workspace::Workspace;

const BOOT_TIME: Duration = Duration::from_secs(400);

/// Boots Dom0 and connects the terminal; without one, runs the commands on standard input and switches off.
pub fn shell(workspace: &Workspace, options: &MachineOptions) -> Result<()> {
    let files = build::boot_files(workspace, options.arch, options.hypervisor, options.kernel)?;
    let config = MachineConfig::new(files, options, Dom0Console::Shell);
    report::step(format!("Booting {} with Dom0", options.hypervisor));
    let present = terminal::is_present();
    if present {
        report::note(format!("Leave with {} (stops the machine), or with `poweroff`.", terminal::LEAVE_NAME));
    }
    let mut machine = Machine::start(workspace, "shell", &config, Echo::Shown)?;
    let outcome = if present {
        terminal::connect(&mut machine)
    } else {
        let ready = machine.console.wait_for("Dom0 shell.", BOOT_TIME);
        ready.and_then(|_| terminal::feed(&mut machine))
    };
    outcome.map_err(|error| machine.explain(error))
}
