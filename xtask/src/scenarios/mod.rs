//! The system tests: each boots a machine and checks what Dom0's tools and a DomU do on it.

mod amd64_entry;
mod bad_boot;
mod bad_input;
mod checks;
mod cycles;
pub mod demo;
mod footprint;
mod guest_suites;
mod hostile;
mod hotplug;
mod kills;
mod newer_linux;
mod several;
mod shares;
mod tools;
mod verbs;

pub use checks::{DOMAIN_CHANGE, wait_for_boot};

use anyhow::{Context, Result};

use crate::build;
use crate::cli::{Arch, Hypervisor, Kernel, Tools};
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
    Dom0(OnDom0),
    /// Boots of our hypervisor that get to no Dom0.
    OursAlone { arch: Arch, boots: fn(&Workspace) -> Result<()> },
}

/// A machine with a Dom0, and what is done there.
#[derive(Clone, Copy)]
struct OnDom0 {
    gic: u8,
    cpus: u8,
    /// In MiB.
    memory: u32,
    /// Those on that hypervisor, or what was asked for.
    stack: Option<(Hypervisor, Tools)>,
    /// That one in Dom0 and DomUs, or what was asked for.
    kernel: Option<Kernel>,
    store: StoreDaemon,
    emulation: Emulation,
    /// More of the hypervisor's command line, after a space.
    hypervisor_options: &'static str,
    steps: fn(&mut Dom0) -> Result<()>,
}

/// An arm64 machine as most scenarios want it.
const fn on_two_cpus(steps: fn(&mut Dom0) -> Result<()>) -> OnDom0 {
    OnDom0 {
        gic: 3,
        cpus: 2,
        memory: MEMORY,
        stack: None,
        kernel: None,
        store: StoreDaemon::OCaml,
        emulation: Emulation::InTurn,
        hypervisor_options: "",
        steps,
    }
}

/// The same on one hypervisor with one set of tools, whatever was asked for.
const fn stacked(stack: (Hypervisor, Tools), steps: fn(&mut Dom0) -> Result<()>) -> OnDom0 {
    OnDom0 { stack: Some(stack), ..on_two_cpus(steps) }
}

/// What a scenario runs on where it does not say.
#[derive(Clone, Copy)]
pub struct Asked {
    /// The hypervisor.
    pub hypervisor: Hypervisor,
    /// Dom0's tools.
    pub tools: Tools,
    /// Linux of Dom0 and DomUs.
    pub kernel: Kernel,
    /// Whether all CPUs are emulated at once, whatever the scenario says.
    pub parallel: bool,
}

/// All system tests, in the order they run.
pub static ALL: [Scenario; 18] = [
    Scenario {
        name: "demo-gicv3",
        about: "the demonstration of ./x run: DomU with console, disk and network, on GICv3",
        smoke: true,
        kind: Kind::Dom0(on_two_cpus(demo::whole)),
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
        kind: Kind::Dom0(OnDom0 {
            gic: 2,
            stack: Some((Hypervisor::Ours, Tools::Debian)),
            store: StoreDaemon::C,
            emulation: Emulation::Parallel,
            ..on_two_cpus(demo::whole)
        }),
    },
    Scenario {
        name: "our-tools",
        about: "the demonstration with our tools in Dom0 and the CPUs emulated in parallel",
        smoke: false,
        kind: Kind::Dom0(OnDom0 {
            stack: Some((Hypervisor::Ours, Tools::Ours)),
            emulation: Emulation::Parallel,
            ..on_two_cpus(tools::demonstration)
        }),
    },
    Scenario {
        name: "xl-verbs",
        about: "xl's verbs do to a DomU what they say",
        smoke: false,
        kind: Kind::Dom0(on_two_cpus(verbs::steps)),
    },
    Scenario {
        name: "xl-verbs-debian-tools",
        about: "the same with Debian's tools on our hypervisor",
        smoke: false,
        kind: Kind::Dom0(stacked((Hypervisor::Ours, Tools::Debian), verbs::steps)),
    },
    Scenario {
        name: "xl-verbs-on-xen",
        about: "the same with our tools on Debian's Xen",
        smoke: false,
        kind: Kind::Dom0(stacked((Hypervisor::Debian, Tools::Ours), verbs::steps)),
    },
    Scenario {
        name: "xl-verbs-reference",
        about: "the same with Debian's tools on Debian's Xen",
        smoke: false,
        kind: Kind::Dom0(stacked((Hypervisor::Debian, Tools::Debian), verbs::steps)),
    },
    Scenario {
        name: "guest-suites",
        about: "a bare guest's tests of one behaviour each give what docs/guest-tests.md says",
        smoke: false,
        kind: Kind::Dom0(stacked((Hypervisor::Ours, Tools::Ours), guest_suites::ours)),
    },
    Scenario {
        name: "guest-suites-on-xen",
        about: "the same guest on Debian's Xen",
        smoke: false,
        kind: Kind::Dom0(OnDom0 {
            // Without it DomUs cannot grant to each other.
            hypervisor_options: " xsm=dummy",
            ..stacked((Hypervisor::Debian, Tools::Ours), guest_suites::xen)
        }),
    },
    Scenario {
        name: "hostile",
        about: "a DomU makes 100,000 hostile calls, and neither the hypervisor nor a neighbour minds",
        smoke: false,
        kind: Kind::Dom0(stacked((Hypervisor::Ours, Tools::Ours), hostile::short)),
    },
    Scenario {
        name: "bad-input",
        about: "what our xl is asked for and cannot be had gets one clear line, and leaves nothing behind",
        smoke: false,
        kind: Kind::Dom0(stacked((Hypervisor::Ours, Tools::Ours), bad_input::steps)),
    },
    Scenario {
        name: "kills",
        about: "xenstored and xenconsoled are killed under load, and nothing is lost",
        smoke: false,
        kind: Kind::Dom0(stacked((Hypervisor::Ours, Tools::Ours), kills::few)),
    },
    Scenario {
        name: "linux-6.12",
        about: "Linux 6.12 as Dom0 and DomU: disk, network, console, memory, vCPUs, dump and watchdogs",
        smoke: false,
        kind: Kind::Dom0(OnDom0 { kernel: Some(Kernel::V6_12), ..on_two_cpus(newer_linux::steps) }),
    },
    Scenario {
        name: "cycles",
        about: "20 DomUs created and destroyed leave nothing behind",
        smoke: false,
        kind: Kind::Dom0(on_two_cpus(cycles::twenty)),
    },
    Scenario {
        name: "several",
        about: "three DomUs at once on four CPUs",
        smoke: false,
        kind: Kind::Dom0(OnDom0 { cpus: 4, ..on_two_cpus(several::three_guests) }),
    },
    Scenario {
        name: "one-cpu",
        about: "Dom0 and a DomU with two vCPUs share one CPU",
        smoke: false,
        kind: Kind::Dom0(OnDom0 { cpus: 1, ..on_two_cpus(several::shared_cpu) }),
    },
];

/// What takes long, for `./x soak`.
pub static SOAK: [Scenario; 5] = [
    Scenario {
        name: "soak-cycles",
        about: "1,000 DomUs created and destroyed leave nothing behind",
        smoke: false,
        kind: Kind::Dom0(on_two_cpus(cycles::thousand)),
    },
    Scenario {
        name: "soak-many",
        about: "20 DomUs at once on two CPUs, all busy with disk and network",
        smoke: false,
        kind: Kind::Dom0(OnDom0 { memory: 2 * MEMORY, ..on_two_cpus(several::twenty_guests) }),
    },
    Scenario {
        name: "soak-shares",
        about: "busy DomUs get of a CPU by their weights, and no more than their caps",
        smoke: false,
        kind: Kind::Dom0(on_two_cpus(shares::follow_weights_and_caps)),
    },
    Scenario {
        name: "soak-hostile",
        about: "twelve DomUs one after the other make 300,000 hostile calls each",
        smoke: false,
        kind: Kind::Dom0(stacked((Hypervisor::Ours, Tools::Ours), hostile::long)),
    },
    Scenario {
        name: "soak-kills",
        about: "xenstored and xenconsoled are killed a hundred times under load, and nothing is lost",
        smoke: false,
        kind: Kind::Dom0(stacked((Hypervisor::Ours, Tools::Ours), kills::hundred)),
    },
];

/// Memory of most machines, in MiB.
const MEMORY: u32 = 2048;

impl Scenario {
    /// Whether it can be run on a hypervisor for a CPU; `None` is any CPU.
    pub fn fits(&self, hypervisor: Hypervisor, wanted: Option<Arch>) -> bool {
        let arch = match self.kind {
            // With a stack of its own it runs once, among the tests of our hypervisor.
            Kind::Dom0(OnDom0 { stack: Some(_), .. }) if hypervisor != Hypervisor::Ours => return false,
            Kind::Dom0(_) => Arch::Arm64,
            Kind::OursAlone { .. } if hypervisor != Hypervisor::Ours => return false,
            Kind::OursAlone { arch, .. } => arch,
        };
        wanted.is_none_or(|wanted| wanted == arch)
    }

    /// How often it may be tried. Where hypervisor and tools are both Debian's, a failure is theirs, not ours: libxl's
    /// hotplug scripts at times run into its own time-out of 40 s. What fails there twice is taken for a wrong step.
    pub fn tries(&self, asked: Asked) -> u32 {
        let stack = match self.kind {
            Kind::Dom0(on) => on.stack.unwrap_or((asked.hypervisor, asked.tools)),
            Kind::OursAlone { .. } => (Hypervisor::Ours, asked.tools),
        };
        if stack == (Hypervisor::Debian, Tools::Debian) { 2 } else { 1 }
    }

    /// Boots the scenario's machine and runs its steps; the machine switches itself off in the end.
    ///
    /// # Errors
    /// The first step that failed, with the end of the log.
    pub fn run(&self, workspace: &Workspace, asked: Asked) -> Result<()> {
        let on = match self.kind {
            Kind::OursAlone { boots, .. } => return boots(workspace),
            Kind::Dom0(on) => on,
        };
        let (hypervisor, tools) = on.stack.unwrap_or((asked.hypervisor, asked.tools));
        let kernel = on.kernel.unwrap_or(asked.kernel);
        let config = MachineConfig {
            files: build::boot_files(workspace, Arch::Arm64, hypervisor, kernel)?,
            gic: on.gic,
            cpus: on.cpus,
            memory: on.memory,
            emulation: on.emulation.under(hypervisor, asked.parallel),
            dom0_console: Dom0Console::Agent,
            tools,
            store: on.store,
            hypervisor_options: on.hypervisor_options,
        };
        let prefix = match hypervisor {
            Hypervisor::Ours => "ours",
            Hypervisor::Debian => "debian",
        };
        let machine = Machine::start(workspace, &format!("{prefix}-{}", self.name), &config, Echo::Hidden)?;
        let mut dom0 = Dom0::connect(machine)?;
        (on.steps)(&mut dom0).map_err(|error| dom0.machine().explain(error))?;
        dom0.power_off().context("switching the machine off")
    }
}

#[cfg(test)]
mod tests {
    use super::{ALL, Asked, SOAK};
    use crate::cli::{Arch, Hypervisor, Kernel, Tools};
    use std::collections::BTreeSet;

    #[test]
    fn names_are_distinct() {
        let names: BTreeSet<_> = ALL.iter().chain(&SOAK).map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), ALL.len() + SOAK.len());
    }

    #[test]
    fn only_debian_on_debian_is_tried_twice() {
        let twice = |hypervisor, tools| {
            let asked = Asked { hypervisor, tools, kernel: Kernel::V6_1, parallel: false };
            let tried_again = |scenario: &&super::Scenario| scenario.tries(asked) > 1;
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
