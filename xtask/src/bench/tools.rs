//! The tools' rows: instructions of hypervisor, kernel and user space that Dom0's tools cost on one CPU.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::boot::{self, Plugin};
use super::counts::total_per_operation;
use crate::build::BootFiles;
use crate::cli::{Hypervisor, Tools};
use crate::image;
use crate::machine::Machine;
use crate::machine::config::{Dom0Console, Emulation, MachineConfig, StoreDaemon};
use crate::machine::console::Echo;
use crate::machine::dom0::Dom0;
use crate::workspace::Workspace;

/// Memory of the machine in MiB: enough for all paused domains.
const MEMORY: u32 = 10 * 1024;
/// The last of the paused domains, which shall cost what the first did.
const DOMAINS: u32 = 100;
/// For all rows; creating the paused domains takes longest.
const TIME: Duration = Duration::from_secs(3600);

/// Instructions per operation, by the rows' names.
pub type Totals = BTreeMap<String, f64>;

/// Runs all rows with `tools` on `hypervisor`.
///
/// # Errors
/// When the machine does not get through, or what it printed makes no sense.
pub fn run(
    workspace: &Workspace,
    plugin: &Path,
    files: BootFiles,
    hypervisor: Hypervisor,
    tools: Tools,
) -> Result<Totals> {
    let name = match hypervisor {
        Hypervisor::Ours => "bench-tools-ours",
        Hypervisor::Debian => "bench-tools-debian",
    };
    let output = workspace.logs()?.join(format!("{name}.counts"));
    let config = MachineConfig {
        files,
        gic: 3,
        cpus: 1,
        memory: MEMORY,
        emulation: Emulation::InTurn,
        dom0_console: Dom0Console::Agent,
        tools,
        store: StoreDaemon::OCaml,
    };
    let command = boot::counting_command(
        u64::from(MEMORY),
        &Plugin { file: plugin, output: &output, profiled: None },
        &config.files,
        &config.hypervisor_arguments(),
        &format!("{} {}", boot::STEADY_KERNEL, config.kernel_arguments()),
    );
    let mut dom0 = Dom0::connect(Machine::start_command(workspace, name, command, Echo::Hidden)?)?;
    let text = match dom0.run_for(&format!("/{} {DOMAINS}", image::COUNTING), TIME) {
        Ok(text) => text,
        Err(error) => return Err(dom0.machine().explain(error)),
    };
    drop(dom0);
    let counted =
        fs::read_to_string(&output).with_context(|| format!("no counts in {}", output.display()))?;
    total_per_operation(&text, &counted).with_context(|| format!("counts in {}", workspace.show(&output)))
}
