//! The system tests: each boots a machine and checks what Dom0's tools and a DomU do on it.

mod checks;
mod cycles;
pub mod demo;
mod several;
mod verbs;

use anyhow::{Context, Result};

use crate::build::BootFiles;
use crate::cli::Hypervisor;
use crate::machine::Machine;
use crate::machine::config::{Dom0Console, Emulation, MachineConfig, StoreDaemon};
use crate::machine::console::Echo;
use crate::machine::dom0::Dom0;
use crate::workspace::Workspace;

/// A system test.
pub struct Scenario {
    /// Its name, for `--only`.
    pub name: &'static str,
    /// What it shows, in one line.
    pub about: &'static str,
    /// Whether it belongs to the quick subset.
    pub smoke: bool,
    gic: u8,
    cpus: u8,
    store: StoreDaemon,
    emulation: Emulation,
    steps: fn(&mut Dom0) -> Result<()>,
}

/// All system tests, in the order they run.
pub static ALL: [Scenario; 6] = [
    Scenario {
        name: "demo-gicv3",
        about: "the demonstration of ./x run: DomU with console, disk and network, on GICv3",
        smoke: true,
        gic: 3,
        cpus: 2,
        store: StoreDaemon::OCaml,
        emulation: Emulation::InTurn,
        steps: demo::whole,
    },
    Scenario {
        name: "demo-gicv2",
        about: "the same on GICv2, with the C xenstored and the CPUs emulated in parallel",
        smoke: false,
        gic: 2,
        cpus: 2,
        store: StoreDaemon::C,
        emulation: Emulation::Parallel,
        steps: demo::whole,
    },
    Scenario {
        name: "xl-verbs",
        about: "xl's verbs do to a DomU what they say",
        smoke: false,
        gic: 3,
        cpus: 2,
        store: StoreDaemon::OCaml,
        emulation: Emulation::InTurn,
        steps: verbs::steps,
    },
    Scenario {
        name: "cycles",
        about: "20 DomUs created and destroyed give all memory back",
        smoke: false,
        gic: 3,
        cpus: 2,
        store: StoreDaemon::OCaml,
        emulation: Emulation::InTurn,
        steps: cycles::steps,
    },
    Scenario {
        name: "several",
        about: "three DomUs at once on four CPUs",
        smoke: false,
        gic: 3,
        cpus: 4,
        store: StoreDaemon::OCaml,
        emulation: Emulation::InTurn,
        steps: several::three_guests,
    },
    Scenario {
        name: "one-cpu",
        about: "Dom0 and a DomU with two vCPUs share one CPU",
        smoke: false,
        gic: 3,
        cpus: 1,
        store: StoreDaemon::OCaml,
        emulation: Emulation::InTurn,
        steps: several::shared_cpu,
    },
];

/// Memory of the machines, in MiB.
const MEMORY: u32 = 2048;

impl Scenario {
    /// Boots the scenario's machine and runs its steps; the machine switches itself off in the end. `parallel`
    /// emulates all CPUs at once whatever the scenario says.
    ///
    /// # Errors
    /// The first step that failed, with the end of the log.
    pub fn run(
        &self,
        workspace: &Workspace,
        files: &BootFiles,
        hypervisor: Hypervisor,
        parallel: bool,
    ) -> Result<()> {
        let config = MachineConfig {
            files: files.clone(),
            gic: self.gic,
            cpus: self.cpus,
            memory: MEMORY,
            emulation: if parallel { Emulation::Parallel } else { self.emulation },
            dom0_console: Dom0Console::Agent,
            store: self.store,
        };
        let prefix = match hypervisor {
            Hypervisor::Ours => "ours",
            Hypervisor::Debian => "debian",
        };
        let machine = Machine::start(workspace, &format!("{prefix}-{}", self.name), &config, Echo::Hidden)?;
        let mut dom0 = Dom0::connect(machine)?;
        (self.steps)(&mut dom0).map_err(|error| dom0.machine().explain(error))?;
        dom0.power_off().context("switching the machine off")
    }
}

#[cfg(test)]
mod tests {
    use super::ALL;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_distinct() {
        let names: BTreeSet<_> = ALL.iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), ALL.len());
    }

    #[test]
    fn smoke_subset_is_not_empty() {
        assert!(ALL.iter().any(|scenario| scenario.smoke));
    }
}
