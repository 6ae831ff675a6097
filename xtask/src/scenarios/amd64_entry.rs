//! The hypervisor on amd64, which has no guests yet: it says what it was booted with, and stops.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::checks::step;
use crate::build;
use crate::cli::Arch;
use crate::machine::console::Echo;
use crate::machine::{Machine, qemu};
use crate::report;
use crate::workspace::Workspace;

const TIME: Duration = Duration::from_secs(120);
const ARGUMENTS: &str = "console=com1 loglvl=all";

/// A boot with a module, and one without.
pub fn boots(workspace: &Workspace) -> Result<()> {
    let hypervisor = build::hypervisor_image(workspace, Arch::Amd64)?;
    let module = workspace.logs()?.join("amd64.module");
    fs::write(&module, [0x5a; 5000]).with_context(|| format!("cannot write {}", module.display()))?;
    step("Booted with 256 MiB and a module", || {
        let mut command = machine(&hypervisor, 256);
        command.arg("-initrd").arg(&module);
        let output = boot(workspace, command)?;
        for wanted in ["Command line: ", ARGUMENTS, "Module 0: ", "5000 bytes"] {
            ensure!(output.contains(wanted), "no \"{wanted}\" in:\n{output}");
        }
        ram_is(&output, 254..=256)
    })?;
    step("Booted with 3 GiB and no module", || {
        let output = boot(workspace, machine(&hypervisor, 3072))?;
        ensure!(output.contains("Modules: none"), "modules are shown:\n{output}");
        ram_is(&output, 3070..=3072)
    })
}

fn machine(hypervisor: &Path, memory: u32) -> Command {
    let mut command = qemu::program(Arch::Amd64);
    command.args(["-M", "q35", "-accel", "tcg", "-m", &memory.to_string()]);
    command.args(["-nodefaults", "-no-reboot", "-display", "none", "-monitor", "none"]);
    command.args(["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]);
    command.arg("-kernel").arg(hypervisor).args(["-append", ARGUMENTS]);
    command
}

/// Boots to the hypervisor's last line, and hands back what it printed.
fn boot(workspace: &Workspace, command: Command) -> Result<String> {
    let mut machine = Machine::start_command(workspace, "ours-amd64-entry", command, Echo::Hidden)?;
    if let Err(error) = machine.console.wait_for("The machine stops here.", TIME) {
        return Err(machine.explain(error));
    }
    let output = machine.output();
    let from = output.find("Xenoxide").context("the hypervisor did not name itself")?;
    report::quote("amd64", &output[from..]);
    ensure!(!output.contains("cannot start"), "the hypervisor refused");
    Ok(output)
}

/// Checks the MiB in the "RAM:" line; firmware keeps a little for itself.
fn ram_is(output: &str, expected: std::ops::RangeInclusive<u32>) -> Result<()> {
    let mib = output
        .lines()
        .find_map(|line| line.trim().strip_prefix("RAM: ")?.split('.').next()?.parse::<u32>().ok())
        .context("no RAM is shown")?;
    ensure!(expected.contains(&mib), "{mib} MiB of RAM are shown, not {expected:?}");
    Ok(())
}
