//! Which machine to boot, with what.

use crate::build::BootFiles;
use crate::cli::{Hypervisor, MachineOptions, Tools};

/// Dom0's memory when the machine has plenty, in MiB.
const DOM0_MEMORY: u32 = 1024;

/// What the kernel command line tells Dom0's start-up to run on the console.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dom0Console {
    /// The agent that runs commands for the harness.
    Agent,
    /// A shell.
    Shell,
}

/// Which xenstore daemon Dom0 runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreDaemon {
    /// `oxenstored`, Debian's default.
    OCaml,
    /// `xenstored`, the C one.
    C,
}

/// How QEMU runs the emulated CPUs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Emulation {
    /// In turn on one host thread. A CPU that waits hands over at once, so this is the quicker one as long as the
    /// host has not a core to spare for each emulated CPU.
    InTurn,
    /// Each on a host thread of its own: true concurrency, for races that the other kind cannot show.
    Parallel,
}

impl Emulation {
    /// This one, or [`Emulation::Parallel`] where it is asked for or the hypervisor needs it: Xen flushes the TLBs of
    /// all CPUs for each used page that it gives out, and QEMU lets the next CPU in turn run for up to 100 ms then, so
    /// that creating a small DomU took up to 85 s on a busy host.
    pub fn under(self, hypervisor: Hypervisor, asked: bool) -> Self {
        if asked || hypervisor == Hypervisor::Debian { Self::Parallel } else { self }
    }
}

/// A machine with its boot files.
#[derive(Clone, Debug)]
pub struct MachineConfig {
    /// Hypervisor, kernel and initrd.
    pub files: BootFiles,
    /// GIC version, 2 or 3.
    pub gic: u8,
    /// Physical CPUs.
    pub cpus: u8,
    /// Memory in MiB.
    pub memory: u32,
    /// How its CPUs are run.
    pub emulation: Emulation,
    /// What runs on Dom0's console.
    pub dom0_console: Dom0Console,
    /// Dom0's tools.
    pub tools: Tools,
    /// Dom0's xenstore daemon among Debian's tools.
    pub store: StoreDaemon,
    /// More of the hypervisor's command line, after a space.
    pub hypervisor_options: &'static str,
}

impl MachineConfig {
    /// The machine that the user asked for.
    pub fn new(files: BootFiles, options: &MachineOptions, dom0_console: Dom0Console) -> Self {
        Self {
            files,
            gic: options.gic,
            cpus: options.cpus,
            memory: options.memory,
            emulation: Emulation::InTurn.under(options.hypervisor, options.parallel),
            dom0_console,
            tools: options.tools,
            store: StoreDaemon::OCaml,
            hypervisor_options: "",
        }
    }

    /// The hypervisor's command line.
    pub fn hypervisor_arguments(&self) -> String {
        // Half of a small machine stays free for guests.
        let dom0_memory = DOM0_MEMORY.min(self.memory / 2);
        let options = self.hypervisor_options;
        format!("dom0_mem={dom0_memory}M console=dtuart dtuart=/pl011@9000000 loglvl=all{options}")
    }

    /// Dom0's kernel command line. Sysrq is for [`crate::machine::console::Console::send_state_keys`].
    pub fn kernel_arguments(&self) -> String {
        let mut line = String::from("console=hvc0 earlycon=xenboot sysrq_always_enabled");
        if self.dom0_console == Dom0Console::Agent {
            line.push_str(" xenoxide.agent");
        }
        if self.tools == Tools::Ours {
            line.push_str(" xenoxide.tools=ours");
        }
        if self.store == StoreDaemon::C {
            line.push_str(" xenoxide.xenstored=c");
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::Emulation;
    use crate::cli::Hypervisor;

    #[test]
    fn cpus_of_debians_xen_are_never_in_turn() {
        let under = |hypervisor, asked| Emulation::InTurn.under(hypervisor, asked);
        assert_eq!(under(Hypervisor::Debian, false), Emulation::Parallel);
        assert_eq!(under(Hypervisor::Ours, true), Emulation::Parallel);
        assert_eq!(under(Hypervisor::Ours, false), Emulation::InTurn);
    }
}
