//! The system tests: each boots a machine and checks what Dom0's tools and a DomU do on it.

mod amd64_entry;
mod bad_boot;
mod bad_input;
mod checks;
mod cycles;
pub mod demo;
mod hotplug;
mod kills;
mod several;
mod tools;
mod verbs;

use anyhow::{Context, Result};

use crate::build;
use crate::cli::{Arch, Hypervisor, Tools};
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
    kind: Kind,
}

enum Kind {
    /// Steps in a Dom0 on an arm64 machine, the same on every hypervisor.
    Dom0 {
        gic: u8,
        cpus: u8,
        /// In MiB.
        memory: u32,
        /// Those on that hypervisor, or what was asked for.
        stack: Option<(Hypervisor, Tools)>,
        store: StoreDaemon,
        emulation: Emulation,
        steps: fn(&mut Dom0) -> Result<()>,
    },
    /// Boots of our hypervisor that get to no Dom0.
    OursAlone { arch: Arch, boots: fn(&Workspace) -> Result<()> },
}

/// An arm64 machine as most scenarios want it.
const fn on_two_cpus(steps: fn(&mut Dom0) -> Result<()>) -> Kind {
    Kind::Dom0 {
        gic: 3,
        cpus: 2,
        memory: MEMORY,
        stack: None,
        store: StoreDaemon::OCaml,
        emulation: Emulation::InTurn,
        steps,
    }
}

/// The same on one hypervisor with one set of tools, whatever was asked for.
const fn stacked(stack: (Hypervisor, Tools), steps: fn(&mut Dom0) -> Result<()>) -> Kind {
    Kind::Dom0 {
        gic: 3,
        cpus: 2,
        memory: MEMORY,
        stack: Some(stack),
        store: StoreDaemon::OCaml,
        emulation: Emulation::InTurn,
        steps,
    }
}

/// All system tests, in the order they run.
pub static ALL: [Scenario; 14] = [
    Scenario {
        name: "demo-gicv3",
        about: "the demonstration of ./x run: DomU with console, disk and network, on GICv3",
        smoke: true,
        kind: on_two_cpus(demo::whole),
    },
    Scenario {
        name: "bad-boot",
        about: "what cannot be booted is refused with a line that says why, and the machine goes off",
        smoke: true,
        kind: Kind::OursAlone { arch: Arch::Arm64, boots: bad_boot::boots },
    },
    Scenario {
        name: "amd64-entry",
        about: "on amd64 the hypervisor shows what it was booted with, and stops",
        smoke: true,
        kind: Kind::OursAlone { arch: Arch::Amd64, boots: amd64_entry::boots },
    },
    Scenario {
        name: "demo-gicv2",
        about: "the demonstration on GICv2, with Debian's tools, the C xenstored and the CPUs emulated in parallel",
        smoke: false,
        kind: Kind::Dom0 {
            gic: 2,
            cpus: 2,
            memory: MEMORY,
            stack: Some((Hypervisor::Ours, Tools::Debian)),
            store: StoreDaemon::C,
            emulation: Emulation::Parallel,
            steps: demo::whole,
        },
    },
    Scenario {
        name: "our-tools",
        about: "the demonstration with our tools in Dom0 and the CPUs emulated in parallel",
        smoke: false,
        kind: Kind::Dom0 {
            gic: 3,
            cpus: 2,
            memory: MEMORY,
            stack: Some((Hypervisor::Ours, Tools::Ours)),
            store: StoreDaemon::OCaml,
            emulation: Emulation::Parallel,
            steps: tools::demonstration,
        },
    },
    Scenario {
        name: "xl-verbs",
        about: "xl's verbs do to a DomU what they say",
        smoke: false,
        kind: on_two_cpus(verbs::steps),
    },
    Scenario {
        name: "xl-verbs-debian-tools",
        about: "the same with Debian's tools on our hypervisor",
        smoke: false,
        kind: stacked((Hypervisor::Ours, Tools::Debian), verbs::steps),
    },
    Scenario {
        name: "xl-verbs-on-xen",
        about: "the same with our tools on Debian's Xen",
        smoke: false,
        kind: stacked((Hypervisor::Debian, Tools::Ours), verbs::steps),
    },
    Scenario {
        name: "xl-verbs-reference",
        about: "the same with Debian's tools on Debian's Xen",
        smoke: false,
        kind: stacked((Hypervisor::Debian, Tools::Debian), verbs::steps),
    },
    Scenario {
        name: "bad-input",
        about: "what our xl is asked for and cannot be had gets one clear line, and leaves nothing behind",
        smoke: false,
        kind: stacked((Hypervisor::Ours, Tools::Ours), bad_input::steps),
    },
    Scenario {
        name: "kills",
        about: "xenstored and xenconsoled are killed under load, and nothing is lost",
        smoke: false,
        kind: stacked((Hypervisor::Ours, Tools::Ours), kills::few),
    },
    Scenario {
        name: "cycles",
        about: "20 DomUs created and destroyed give all memory back",
        smoke: false,
        kind: on_two_cpus(cycles::twenty),
    },
    Scenario {
        name: "several",
        about: "three DomUs at once on four CPUs",
        smoke: false,
        kind: Kind::Dom0 {
            gic: 3,
            cpus: 4,
            memory: MEMORY,
            stack: None,
            store: StoreDaemon::OCaml,
            emulation: Emulation::InTurn,
            steps: several::three_guests,
        },
    },
    Scenario {
        name: "one-cpu",
        about: "Dom0 and a DomU with two vCPUs share one CPU",
        smoke: false,
        kind: Kind::Dom0 {
            gic: 3,
            cpus: 1,
            memory: MEMORY,
            stack: None,
            store: StoreDaemon::OCaml,
            emulation: Emulation::InTurn,
            steps: several::shared_cpu,
        },
    },
];

/// What takes long, for `./x soak`.
pub static SOAK: [Scenario; 3] = [
    Scenario {
        name: "soak-cycles",
        about: "200 DomUs created and destroyed give all memory back",
        smoke: false,
        kind: on_two_cpus(cycles::two_hundred),
    },
    Scenario {
        name: "soak-many",
        about: "20 DomUs at once on two CPUs",
        smoke: false,
        kind: Kind::Dom0 {
            gic: 3,
            cpus: 2,
            memory: 2 * MEMORY,
            stack: None,
            store: StoreDaemon::OCaml,
            emulation: Emulation::InTurn,
            steps: several::twenty_guests,
        },
    },
    Scenario {
        name: "soak-kills",
        about: "xenstored and xenconsoled are killed a hundred times under load, and nothing is lost",
        smoke: false,
        kind: stacked((Hypervisor::Ours, Tools::Ours), kills::hundred),
    },
];

/// Memory of most machines, in MiB.
const MEMORY: u32 = 2048;

impl Scenario {
    /// Whether it can be run on a hypervisor for a CPU; `None` is any CPU.
    pub fn fits(&self, hypervisor: Hypervisor, wanted: Option<Arch>) -> bool {
        let arch = match self.kind {
            // With a stack of its own it runs once, among the tests of our hypervisor.
            Kind::Dom0 { stack: Some(_), .. } if hypervisor != Hypervisor::Ours => return false,
            Kind::Dom0 { .. } => Arch::Arm64,
            Kind::OursAlone { .. } if hypervisor != Hypervisor::Ours => return false,
            Kind::OursAlone { arch, .. } => arch,
        };
        wanted.is_none_or(|wanted| wanted == arch)
    }

    /// How often it may be tried. Where hypervisor and tools are both Debian's, a failure is theirs, not ours: libxl's
    /// hotplug scripts at times run into its own time-out of 40 s. What fails there twice is taken for a wrong step.
    pub fn tries(&self, hypervisor: Hypervisor, asked: Tools) -> u32 {
        let stack = match self.kind {
            Kind::Dom0 { stack, .. } => stack.unwrap_or((hypervisor, asked)),
            Kind::OursAlone { .. } => (Hypervisor::Ours, asked),
        };
        if stack == (Hypervisor::Debian, Tools::Debian) { 2 } else { 1 }
    }

    /// Boots the scenario's machine and runs its steps; the machine switches itself off in the end. `asked` are the tools
    /// where the scenario does not say; `parallel` emulates all CPUs at once whatever it says.
    ///
    /// # Errors
    /// The first step that failed, with the end of the log.
    pub fn run(
        &self,
        workspace: &Workspace,
        hypervisor: Hypervisor,
        asked: Tools,
        parallel: bool,
    ) -> Result<()> {
        let (gic, cpus, memory, (hypervisor, tools), store, emulation, steps) = match self.kind {
            Kind::OursAlone { boots, .. } => return boots(workspace),
            Kind::Dom0 { gic, cpus, memory, stack, store, emulation, steps } => {
                (gic, cpus, memory, stack.unwrap_or((hypervisor, asked)), store, emulation, steps)
            }
        };
        let config = MachineConfig {
            files: build::boot_files(workspace, Arch::Arm64, hypervisor)?,
            gic,
            cpus,
            memory,
            emulation: if parallel { Emulation::Parallel } else { emulation },
            dom0_console: Dom0Console::Agent,
            tools,
            store,
        };
        let prefix = match hypervisor {
            Hypervisor::Ours => "ours",
            Hypervisor::Debian => "debian",
        };
        let machine = Machine::start(workspace, &format!("{prefix}-{}", self.name), &config, Echo::Hidden)?;
        let mut dom0 = Dom0::connect(machine)?;
        steps(&mut dom0).map_err(|error| dom0.machine().explain(error))?;
        dom0.power_off().context("switching the machine off")
    }
}

#[cfg(test)]
mod tests {
    use super::{ALL, SOAK};
    use crate::cli::{Arch, Hypervisor, Tools};
    use std::collections::BTreeSet;

    #[test]
    fn names_are_distinct() {
        let names: BTreeSet<_> = ALL.iter().chain(&SOAK).map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), ALL.len() + SOAK.len());
    }

    #[test]
    fn only_debian_on_debian_is_tried_twice() {
        let twice = |hypervisor, tools| {
            let tried_again = |scenario: &&super::Scenario| scenario.tries(hypervisor, tools) > 1;
            ALL.iter().filter(tried_again).map(|scenario| scenario.name).collect::<Vec<_>>()
        };
        assert_eq!(twice(Hypervisor::Ours, Tools::Ours), ["xl-verbs-reference"]);
        assert!(twice(Hypervisor::Debian, Tools::Debian).contains(&"xl-verbs"));
        assert!(!twice(Hypervisor::Debian, Tools::Ours).contains(&"xl-verbs"));
    }

    #[test]
    fn smoke_subset_is_not_empty() {
        assert!(ALL.iter().any(|scenario| scenario.smoke));
    }

    #[test]
    fn scenarios_of_ours_alone_do_not_fit_the_reference() {
        let fitting =
            |hypervisor, arch| ALL.iter().filter(|scenario| scenario.fits(hypervisor, arch)).count();
        assert_eq!(fitting(Hypervisor::Ours, None), ALL.len());
        assert!(fitting(Hypervisor::Debian, None) < ALL.len());
        assert_eq!(fitting(Hypervisor::Debian, Some(Arch::Amd64)), 0);
    }
}
