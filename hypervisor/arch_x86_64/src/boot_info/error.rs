//! What can be wrong with a boot loader's data, in words for the person at the console.

use core::fmt;

use super::MapError;
use crate::span::Span;

/// A part of the boot loader's data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// The structure that the rest hangs on.
    Information,
    /// The boot loader's name.
    LoaderName,
    /// The hypervisor's command line.
    CommandLine,
    /// The memory map.
    MemoryMap,
    /// The list of modules.
    Modules,
    /// A module's command line.
    ModuleText,
}

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Information => "information structure",
            Self::LoaderName => "name of itself",
            Self::CommandLine => "command line",
            Self::MemoryMap => "memory map",
            Self::Modules => "module list",
            Self::ModuleText => "module's command line",
        }
    }
}

/// Why a boot loader's data cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BootError {
    /// Entered with a number that is of no known protocol.
    UnknownProtocol {
        /// The number.
        magic: u32,
    },
    /// The data does not begin with its number.
    WrongMagic {
        /// What it begins with.
        found: u32,
    },
    /// A part lies, at least partly, where there is no memory that can be read.
    Unreadable {
        /// Which.
        part: Part,
        /// The physical address.
        at: u64,
    },
    /// A part ends before its content does.
    Truncated(Part),
    /// A part's size, or the size of one of its entries, is impossible.
    BadSize {
        /// Which.
        part: Part,
        /// The size in bytes.
        size: u32,
    },
    /// A part is not there.
    Missing(Part),
    /// A part has more entries than can be kept.
    TooMany {
        /// Which.
        part: Part,
        /// The most that can be kept.
        most: usize,
    },
    /// The memory map is impossible.
    Map(MapError),
    /// A module has no byte, or ends before it starts.
    EmptyModule {
        /// Its place in the list, from 0.
        index: usize,
    },
    /// A module is not, or not wholly, in RAM.
    ModuleNotInRam {
        /// Its place in the list, from 0.
        index: usize,
        /// Where it is.
        span: Span,
    },
    /// A module lies over the hypervisor.
    ModuleInImage {
        /// Its place in the list, from 0.
        index: usize,
        /// Where it is.
        span: Span,
    },
    /// Two modules lie over each other.
    ModulesOverlap {
        /// The place in the list of one, from 0.
        first: usize,
        /// The place in the list of the other.
        second: usize,
    },
}

impl From<MapError> for BootError {
    fn from(error: MapError) -> Self {
        Self::Map(error)
    }
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let advice = match *self {
            Self::UnknownProtocol { magic } => {
                write!(f, "entered with {magic:#x}, which no known boot protocol passes")?;
                "start it with multiboot, multiboot2 or PVH"
            }
            Self::WrongMagic { found } => {
                write!(f, "the boot loader's data begins with {found:#x}, not with its number")?;
                "use another boot loader"
            }
            Self::Unreadable { part, at } => {
                write!(f, "the boot loader's {} is at {at:#x}, where nothing can be read", part.name())?;
                "it must be in memory below 4 GiB, and not in the hypervisor's image"
            }
            Self::Truncated(part) => {
                write!(f, "the boot loader's {} ends too early", part.name())?;
                "use another boot loader"
            }
            Self::BadSize { part, size } => {
                write!(f, "a size of {size} bytes in the boot loader's {} is impossible", part.name())?;
                "use another boot loader"
            }
            Self::Missing(part) => {
                write!(f, "the boot loader passed no {}", part.name())?;
                "use a newer boot loader, or another boot protocol"
            }
            Self::TooMany { part: Part::Modules, most } => {
                write!(f, "there are more than {most} boot modules")?;
                "load fewer"
            }
            Self::TooMany { part, most } => {
                write!(f, "the boot loader's {} has more than {most} entries", part.name())?;
                "use another boot loader"
            }
            Self::Map(ref error) => {
                fmt::Display::fmt(error, f)?;
                "look for a newer firmware, or use another boot loader"
            }
            Self::EmptyModule { index } => {
                write!(f, "boot module {index} is empty")?;
                "is its file empty, or not there?"
            }
            Self::ModuleNotInRam { index, span } => {
                write!(f, "boot module {index}, at {span}, is not in RAM")?;
                "is its file larger than the memory?"
            }
            Self::ModuleInImage { index, span } => {
                write!(f, "boot module {index}, at {span}, lies over the hypervisor")?;
                "use another boot loader"
            }
            Self::ModulesOverlap { first, second } => {
                write!(f, "boot modules {first} and {second} lie over each other")?;
                "use another boot loader"
            }
        };
        write!(f, " ({advice})")
    }
}
