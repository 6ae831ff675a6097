//! The memory map: what firmware says is where.

use core::fmt;

use super::{BootError, Part};
use crate::list::List;
use crate::span::Span;

/// The most regions that are kept.
pub const MAX_REGIONS: usize = 256;
/// No x86_64 CPU has physical addresses above 52 bits (AMD APM volume 2, 5.3).
const PHYSICAL_END: u64 = 1 << 52;

/// What a region is for (ACPI 6.4, 15.1: address range types).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RegionKind {
    /// RAM, free for use.
    Ram,
    /// Not to be used.
    #[default]
    Reserved,
    /// RAM, free for use once the ACPI tables in it are no longer needed.
    AcpiTables,
    /// Firmware's; kept over sleep.
    AcpiNvs,
    /// RAM with errors.
    Bad,
    /// A type without a name here; not to be used.
    Other(u32),
}

impl RegionKind {
    /// The kind with a number, which is the same in all three protocols.
    pub const fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Ram,
            2 => Self::Reserved,
            3 => Self::AcpiTables,
            4 => Self::AcpiNvs,
            5 => Self::Bad,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for RegionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ram => "RAM",
            Self::Reserved => "reserved",
            Self::AcpiTables => "ACPI tables",
            Self::AcpiNvs => "ACPI NVS",
            Self::Bad => "bad RAM",
            Self::Other(number) => return write!(f, "type {number}"),
        })
    }
}

/// A region of physical addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Region {
    /// Where; never empty.
    pub span: Span,
    /// What for.
    pub kind: RegionKind,
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.span, self.kind)
    }
}

/// Why a memory map cannot be right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapError {
    /// A region goes beyond what any CPU can address.
    TooHigh {
        /// Its first address.
        start: u64,
        /// Its length in bytes.
        len: u64,
    },
    /// RAM lies over another region.
    Overlap {
        /// The one with the lower start.
        first: Region,
        /// The other.
        second: Region,
    },
    /// There is no RAM.
    NoRam,
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooHigh { start, len } => {
                write!(f, "the memory map has {len:#x} bytes at {start:#x}, more than a CPU can address")
            }
            Self::Overlap { first, second } => {
                write!(f, "the memory map contradicts itself: {first} and {second} overlap")
            }
            Self::NoRam => f.write_str("the memory map has no RAM in it"),
        }
    }
}

/// How much RAM there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Usable {
    /// Bytes.
    pub bytes: u64,
    /// Regions.
    pub regions: usize,
}

/// The regions, by ascending start.
#[derive(Clone, Debug)]
pub struct MemoryMap {
    regions: List<Region, MAX_REGIONS>,
    /// Entries seen, empty ones too: what bounds the work.
    seen: usize,
}

impl MemoryMap {
    pub(super) fn new() -> Self {
        Self { regions: List::new(), seen: 0 }
    }

    /// Takes an entry of the boot loader's map; an empty one is left out.
    pub(super) fn add(&mut self, start: u64, len: u64, kind: RegionKind) -> Result<(), BootError> {
        let too_many = BootError::TooMany { part: Part::MemoryMap, most: MAX_REGIONS };
        self.seen = self.seen.saturating_add(1);
        if self.seen > MAX_REGIONS {
            return Err(too_many);
        }
        if len == 0 {
            return Ok(());
        }
        let end = start.checked_add(len).filter(|end| *end <= PHYSICAL_END);
        let span = Span { start, end: end.ok_or(MapError::TooHigh { start, len })? };
        let at = self.regions().partition_point(|region| region.span.start <= start);
        self.regions.insert(at, Region { span, kind }).map_err(|_| too_many)
    }

    /// The regions, by ascending start.
    pub fn regions(&self) -> &[Region] {
        self.regions.as_slice()
    }

    /// Whether all of `span` is RAM.
    pub fn is_ram(&self, span: Span) -> bool {
        let mut at = span.start;
        for region in self.regions().iter().filter(|region| region.kind == RegionKind::Ram) {
            if region.span.start <= at && at < region.span.end {
                at = region.span.end;
            }
        }
        at >= span.end
    }

    /// Sums up the RAM. Regions that are not RAM may lie over each other, as some firmware has it.
    ///
    /// # Errors
    /// When RAM lies over another region, or there is none.
    pub fn usable(&self) -> Result<Usable, MapError> {
        let mut usable = Usable { bytes: 0, regions: 0 };
        // Of those so far, the region and the RAM that reach highest.
        let mut highest: Option<Region> = None;
        let mut highest_ram: Option<Region> = None;
        for &region in self.regions() {
            let is_ram = region.kind == RegionKind::Ram;
            let against = if is_ram { highest } else { highest_ram };
            if let Some(first) = against.filter(|first| first.span.end > region.span.start) {
                return Err(MapError::Overlap { first, second: region });
            }
            let higher = |old: Option<Region>| match old {
                Some(old) if old.span.end >= region.span.end => Some(old),
                _ => Some(region),
            };
            highest = higher(highest);
            if is_ram {
                highest_ram = higher(highest_ram);
                // At most 2^52 bytes, as nothing is counted twice.
                usable.bytes = usable.bytes.saturating_add(region.span.len());
                usable.regions = usable.regions.saturating_add(1);
            }
        }
        if usable.regions == 0 { Err(MapError::NoRam) } else { Ok(usable) }
    }
}
