//! `./x run`: the demonstration.

use anyhow::Result;

use crate::build;
use crate::cli::MachineOptions;
use crate::machine::config::{Dom0Console, MachineConfig};
use crate::machine::console::Echo;
use crate::machine::dom0::Dom0;
use crate::machine::{Machine, terminal};
use crate::report;
use crate::scenarios::demo;
use crate::workspace::Workspace;

/// Boots hypervisor, Dom0 and DomU. With a terminal the user goes on from there; without, every step of the
/// demonstration is checked to its end.
pub fn run(workspace: &Workspace, options: &MachineOptions) -> Result<()> {
    let files = build::boot_files(workspace, options.arch, options.hypervisor, options.kernel)?;
    let config = MachineConfig::new(files, options, Dom0Console::Agent);
    let step = report::step(format!(
        "Booting {} with Dom0 (Linux {}) and {} (arm64, GICv{}, {} CPUs, {} MiB)",
        options.hypervisor, options.kernel, options.tools, options.gic, options.cpus, options.memory
    ));
    let machine = Machine::start(workspace, "run", &config, Echo::Shown)?;
    let mut dom0 = Dom0::connect(machine)?;
    dom0.machine().console.set_echo(Echo::Hidden);
    step.done();

    let log = dom0.machine().log().clone();
    if terminal::is_present() {
        demo::start_guest(&mut dom0).map_err(|error| dom0.machine().explain(error))?;
        println!();
        println!(
            "This is Dom0; the DomU \"demo\" is running. Try: xl list, xl console demo (leave that with Ctrl-])."
        );
        println!("Leave with {} (stops the machine), or with `poweroff`.", terminal::LEAVE_NAME);
        return terminal::connect(&mut dom0.into_shell()?);
    }
    demo::whole(&mut dom0).map_err(|error| dom0.machine().explain(error))?;
    let step = report::step("Switching the machine off from Dom0");
    dom0.power_off()?;
    step.done();
    report::note(format!("All steps passed. The whole console output: {}", workspace.show(&log)));
    Ok(())
}
