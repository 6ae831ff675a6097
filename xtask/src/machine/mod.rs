//! A QEMU machine that boots a hypervisor and Dom0, and ways to talk to it.
//!
//! [`config`] says which machine, [`qemu`] starts it, [`console`] reads and writes its serial line with
//! deadlines, [`dom0`] runs commands in Dom0 over that line, [`terminal`] gives the line to the user.

pub mod config;
pub mod console;
pub mod dom0;
pub mod qemu;
pub mod terminal;
mod xen_lines;

use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::workspace::Workspace;
use config::MachineConfig;
use console::{Console, Echo};
use qemu::Qemu;

/// How much of a log is shown when something failed.
const TAIL_LINES: usize = 25;

/// A running machine. Its QEMU ends when this is dropped.
pub struct Machine {
    /// The serial line.
    pub console: Console,
    qemu: Qemu,
    log: PathBuf,
}

impl Machine {
    /// Starts a machine; its serial output is kept in `target/logs/NAME.log`.
    ///
    /// # Errors
    /// When QEMU cannot be started.
    pub fn start(workspace: &Workspace, name: &str, config: &MachineConfig, echo: Echo) -> Result<Self> {
        Self::start_command(workspace, name, qemu::command(config), echo)
    }

    /// As [`Machine::start`], by a QEMU command with its serial line on standard input and output.
    ///
    /// # Errors
    /// When QEMU cannot be started.
    pub fn start_command(workspace: &Workspace, name: &str, command: Command, echo: Echo) -> Result<Self> {
        let logs = workspace.logs()?;
        let log = logs.join(format!("{name}.log"));
        let (qemu, output, input) = Qemu::start(command, &logs.join(format!("{name}.qemu")))?;
        let console = Console::new(output, input, &log, echo)?;
        Ok(Self { console, qemu, log })
    }

    /// The file with all serial output.
    pub fn log(&self) -> &PathBuf {
        &self.log
    }

    /// All serial output so far.
    pub fn output(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Waits until the machine has switched itself off.
    ///
    /// # Errors
    /// When it is still running after `timeout`.
    pub fn wait_for_power_off(&mut self, timeout: Duration) -> Result<()> {
        self.console.wait_for_end(timeout).context("the machine did not switch itself off")?;
        self.qemu.wait()
    }

    /// Adds the end of the serial log and QEMU's own complaints to an error, and lets a machine that still runs
    /// write its state into the log.
    pub fn explain(&mut self, error: anyhow::Error) -> anyhow::Error {
        let text = self.output();
        let lines: Vec<_> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
        let complaints = self.qemu.complaints();
        let complaints =
            if complaints.is_empty() { String::new() } else { format!("\nQEMU said:\n{complaints}") };
        self.console.send_state_keys();
        error.context(format!(
            "the serial log ends with:\n{tail}\n(all of it: {}){complaints}\nfailed",
            self.log.display()
        ))
    }
}
