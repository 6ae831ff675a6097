//! What the host's device tree says about the machine and about what to boot.
//!
//! Early, when there is no console yet: [`command_lines`], then [`uart::find`]. Later, with a
//! console for the warnings: [`HostInfo::parse`].
mod checks;
mod command_line;
mod cpu;
mod gic;
mod memory;
mod modules;
mod psci;
mod timer;
pub mod uart;

#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use crate::fault::{Fault, Problem};
use crate::fdt::{NodeId, Tree};
use crate::range::{Range, RangeSet};

pub use command_line::{CommandLines, MAX_COMMAND_LINE, command_lines};
pub use cpu::{Cpu, EnableMethod, MAX_CPUS};
pub use gic::{Gic, GicVersion, Its};
pub use memory::Reserved;
pub use modules::{MAX_MODULES, Module, ModuleKind};
pub use psci::{Conduit, Psci, PsciVersion};
pub use timer::Timer;

pub(crate) use gic::is_gic;
pub(crate) use memory::is_memory;
pub(crate) use modules::MODULE;

/// Called with each thing that is wrong but does not stop the boot.
pub type Warn<'w> = dyn FnMut(&Fault) + 'w;

/// What the parser must know besides the tree.
pub struct HostInput<'c> {
    /// Physical addresses of the hypervisor's image, with what it uses behind the file's end.
    pub image: Range,
    /// Physical addresses of the device tree.
    pub fdt: Range,
    /// Reads a little-endian word of RAM, to tell a security policy from a RAM disk when the boot
    /// loader gives no type. `None` when the address is not readable.
    pub read_u32: &'c dyn Fn(u64) -> Option<u32>,
}

/// The host as its device tree describes it.
#[derive(Debug)]
pub struct HostInfo<'a> {
    /// RAM, in whole pages, sorted and merged. Nothing is taken out yet.
    pub memory: RangeSet,
    /// RAM, or parts of it, that somebody else uses.
    pub reserved: Vec<Reserved>,
    /// What the boot loader loaded, dom0's kernel among it: at most one kernel and one RAM disk.
    pub modules: Vec<Module<'a>>,
    /// The command lines.
    pub command_lines: CommandLines<'a>,
    /// The CPUs in the tree's order; at least one, at most [`MAX_CPUS`].
    pub cpus: Vec<Cpu<'a>>,
    /// The firmware's power interface.
    pub psci: Option<Psci>,
    /// The interrupt controller.
    pub gic: Gic,
    /// The architected timer.
    pub timer: Timer,
}

impl<'a> HostInfo<'a> {
    /// Reads the tree and checks it: everything needed is there, ranges make sense, and boot
    /// modules, image and tree are in RAM and apart from each other and from reserved memory.
    pub fn parse(tree: &Tree<'a>, input: &HostInput<'_>, warn: &mut Warn<'_>) -> Result<Self, Fault> {
        let memory = memory::banks(tree, warn)?;
        let reserved = memory::reserved(tree)?;
        let modules = modules::parse(tree, input.read_u32, warn)?;
        checks::check(tree, input, &memory, &reserved, &modules)?;
        let command_lines = command_lines(tree)?;
        let found = Found::search(tree);
        let cpus = cpu::parse(tree, warn)?;
        let psci = found.psci.map(|node| psci::parse(tree, node)).transpose()?;
        if psci.is_none() && cpus.iter().any(|c| c.enable == EnableMethod::Psci) {
            warn(&Fault::general(Problem::NoPsci));
        }
        let none = |problem| move || Fault::general(problem);
        let gic = gic::parse(tree, found.gic.ok_or_else(none(Problem::NoGic))?, warn)?;
        let timer_node = found.timer.ok_or_else(none(Problem::NoTimer))?;
        let timer = timer::parse(tree, timer_node, gic.node)?;
        Ok(Self { memory, reserved, modules, command_lines, cpus, psci, gic, timer })
    }

    /// Dom0's kernel; the parser has made sure that there is one.
    pub fn kernel(&self) -> Option<&Module<'a>> {
        self.module(ModuleKind::Kernel)
    }

    /// Dom0's RAM disk.
    pub fn ramdisk(&self) -> Option<&Module<'a>> {
        self.module(ModuleKind::Ramdisk)
    }

    fn module(&self, kind: ModuleKind) -> Option<&Module<'a>> {
        self.modules.iter().find(|m| m.kind == kind)
    }
}

/// Nodes known by their `compatible`, found in one walk.
#[derive(Default)]
struct Found {
    psci: Option<NodeId>,
    gic: Option<NodeId>,
    timer: Option<NodeId>,
}

impl Found {
    fn search(tree: &Tree<'_>) -> Self {
        let mut found = Self::default();
        for node in tree.nodes().filter(|n| tree.enabled(*n)) {
            let Some(compatible) = tree.property(node, "compatible") else {
                continue;
            };
            let is = |names| crate::fdt::value::has_text(compatible, names);
            let first = |slot: &mut Option<NodeId>, fits| {
                if slot.is_none() && fits {
                    *slot = Some(node);
                }
            };
            first(&mut found.psci, is(psci::COMPATIBLE));
            first(&mut found.timer, is(timer::COMPATIBLE));
            first(&mut found.gic, gic::is_gic(compatible) && gic::is_primary(tree, node));
        }
        found
    }
}
