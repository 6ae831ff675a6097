//! A whole Dom0 on the machine that counts.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::boot::{self, Plugin};
use super::counts::{self, Cost};
use crate::build::BootFiles;
use crate::cli::{Hypervisor, Tools};
use crate::machine::Machine;
use crate::machine::config::{Dom0Console, Emulation, MachineConfig, StoreDaemon};
use crate::machine::console::Echo;
use crate::machine::dom0::Dom0;
use crate::workspace::Workspace;

/// A hypervisor and the tools on it.
#[derive(Clone, Copy, Debug)]
pub struct Stack {
    /// The hypervisor.
    pub hypervisor: Hypervisor,
    /// Dom0's tools.
    pub tools: Tools,
}

/// A Dom0 whose instructions are counted.
pub struct CountedDom0 {
    /// Runs commands in it.
    pub dom0: Dom0,
    output: PathBuf,
}

impl CountedDom0 {
    /// Boots it on a machine with `memory` MiB; its logs are named for `name`.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn boot(
        workspace: &Workspace,
        name: &str,
        plugin: &Path,
        files: BootFiles,
        stack: Stack,
        memory: u32,
    ) -> Result<Self> {
        let name = match stack.hypervisor {
            Hypervisor::Ours => format!("bench-{name}-ours"),
            Hypervisor::Debian => format!("bench-{name}-debian"),
        };
        let output = workspace.logs()?.join(format!("{name}.counts"));
        let config = MachineConfig {
            files,
            gic: 3,
            cpus: 1,
            memory,
            emulation: Emulation::InTurn,
            dom0_console: Dom0Console::Agent,
            tools: stack.tools,
            store: StoreDaemon::OCaml,
            hypervisor_options: "",
        };
        let command = boot::counting_command(
            u64::from(memory),
            &Plugin { file: plugin, output: &output, profiled: None },
            &config.files,
            &config.hypervisor_arguments(),
            &format!("{} {}", boot::STEADY_KERNEL, config.kernel_arguments()),
        );
        let dom0 = Dom0::connect(Machine::start_command(workspace, &name, command, Echo::Hidden)?)?;
        Ok(Self { dom0, output })
    }

    /// Runs steps whose result is the text with the rows' descriptions, stops the machine, and reads what each row cost.
    ///
    /// # Errors
    /// When a step fails, or what was printed or counted makes no sense.
    pub fn measure(
        mut self,
        steps: impl FnOnce(&mut Dom0) -> Result<String>,
    ) -> Result<BTreeMap<String, Cost>> {
        let text = steps(&mut self.dom0).map_err(|error| self.dom0.machine().explain(error))?;
        drop(self.dom0);
        let counted = fs::read_to_string(&self.output)
            .with_context(|| format!("no counts in {}", self.output.display()))?;
        counts::costs(&text, &counted).with_context(|| format!("counts in {}", self.output.display()))
    }
}
