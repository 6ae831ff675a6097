//! What the boot loader says: command line, memory map, modules.
//!
//! Three boot protocols, one result. Everything comes from a boot loader and may be damaged:
//! whatever the bytes are, the answer is a value or a [`BootError`] that says what is wrong and
//! what to do. Each byte is read once, nothing panics, and all work is bounded.
#![forbid(unsafe_code)]

mod cursor;
mod error;
mod map;
mod modules;
mod multiboot1;
mod multiboot2;
mod pvh;
#[cfg(test)]
mod tests;

pub use cursor::{BootMemory, Unreadable};
pub use error::{BootError, Part};
pub use map::{MAX_REGIONS, MapError, MemoryMap, Region, RegionKind, Usable};
pub use modules::{MAX_MODULES, Module};

use crate::list::List;
use crate::span::Span;
use crate::text::Text;

/// The longest command line that is kept, in bytes. Xen keeps as many.
const COMMAND_LINE: usize = 1024;
/// The longest name of a boot loader that is kept, in bytes.
const LOADER_NAME: usize = 64;

/// How the hypervisor was entered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// Multiboot 0.6.96.
    Multiboot1,
    /// Multiboot 2.0.
    Multiboot2,
    /// Xen's PVH start of day, used by QEMU too (Xen: public/arch-x86/hvm/start_info.h).
    Pvh,
}

impl Protocol {
    /// PVH passes no number in a register; the entry code takes the one in PVH's data.
    pub const PVH_MAGIC: u32 = pvh::MAGIC;

    /// The protocol that belongs to the number which the boot loader passes in a register.
    pub const fn from_magic(magic: u32) -> Option<Self> {
        match magic {
            multiboot1::MAGIC => Some(Self::Multiboot1),
            multiboot2::MAGIC => Some(Self::Multiboot2),
            Self::PVH_MAGIC => Some(Self::Pvh),
            _ => None,
        }
    }

    /// The protocol's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Multiboot1 => "multiboot 1",
            Self::Multiboot2 => "multiboot 2",
            Self::Pvh => "PVH",
        }
    }
}

/// What the boot loader passed.
#[derive(Clone, Debug)]
pub struct BootInfo {
    /// How.
    pub protocol: Protocol,
    /// The boot loader's name for itself; may be empty.
    pub loader: Text<LOADER_NAME>,
    /// The hypervisor's command line; may be empty.
    pub command_line: Text<COMMAND_LINE>,
    /// The machine's memory.
    pub memory: MemoryMap,
    modules: List<Module, MAX_MODULES>,
}

impl BootInfo {
    /// Reads the information at physical address `at`, left by the boot loader that `magic` tells.
    ///
    /// # Errors
    /// When it is of no known protocol, lies where nothing can be read, contradicts itself, has more
    /// in it than can be kept, or has no memory map.
    pub fn read(magic: u32, at: u32, memory: &dyn BootMemory) -> Result<Self, BootError> {
        let protocol = Protocol::from_magic(magic).ok_or(BootError::UnknownProtocol { magic })?;
        let mut info = Self {
            protocol,
            loader: Text::new(),
            command_line: Text::new(),
            memory: MemoryMap::new(),
            modules: List::new(),
        };
        match protocol {
            Protocol::Multiboot1 => multiboot1::read(&mut info, at, memory)?,
            Protocol::Multiboot2 => multiboot2::read(&mut info, at, memory)?,
            Protocol::Pvh => pvh::read(&mut info, at, memory)?,
        }
        if info.memory.regions().is_empty() {
            return Err(BootError::Missing(Part::MemoryMap));
        }
        Ok(info)
    }

    /// The boot modules, in the boot loader's order.
    pub fn modules(&self) -> &[Module] {
        self.modules.as_slice()
    }

    /// Checks that all modules are in RAM and apart from each other and from the hypervisor's image.
    ///
    /// # Errors
    /// The first module of which that is not true.
    pub fn check_modules(&self, image: Span) -> Result<(), BootError> {
        let mut before = self.modules().iter().enumerate();
        while let Some((index, module)) = before.next_back() {
            if !self.memory.is_ram(module.span) {
                return Err(BootError::ModuleNotInRam { index, span: module.span });
            }
            if module.span.overlaps(&image) {
                return Err(BootError::ModuleInImage { index, span: module.span });
            }
            if let Some((other, _)) = before.clone().find(|(_, m)| m.span.overlaps(&module.span)) {
                return Err(BootError::ModulesOverlap { first: other, second: index });
            }
        }
        Ok(())
    }
}
