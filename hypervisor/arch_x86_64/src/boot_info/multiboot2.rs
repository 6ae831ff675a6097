//! Multiboot 2.0, section 3.6: boot information format.

use super::cursor::Cursor;
use super::{BootError, BootInfo, BootMemory, Module, Part, RegionKind};
use crate::span::Span;

/// In eax at entry.
pub const MAGIC: u32 = 0x36d7_6289;

/// The structure's own header, and the tag that ends it.
const SMALLEST: u32 = 16;
/// Far more than any loader passes; bounds the number of tags.
const LARGEST: u32 = 1 << 20;
const TAG_HEADER: u32 = 8;
/// What is defined of an entry of the memory map; a loader's may be longer.
const MAP_ENTRY: u32 = 24;

pub(super) fn read(info: &mut BootInfo, at: u32, memory: &dyn BootMemory) -> Result<(), BootError> {
    let size = Cursor::new(memory, Part::Information, at.into(), 4).u32()?;
    if !(SMALLEST..=LARGEST).contains(&size) {
        return Err(BootError::BadSize { part: Part::Information, size });
    }
    let start = Cursor::new(memory, Part::Information, at.into(), size.into());
    let mut tags = start;
    tags.skip(8)?;
    loop {
        let kind = tags.u32()?;
        let size = tags.u32()?;
        let content =
            size.checked_sub(TAG_HEADER).ok_or(BootError::BadSize { part: Part::Information, size })?;
        let mut part = |part| tags.split(content.into(), part);
        match kind {
            0 => return Ok(()),
            1 => info.command_line = part(Part::CommandLine)?.text()?,
            2 => info.loader = part(Part::LoaderName)?.text()?,
            3 => {
                let mut module = part(Part::Modules)?;
                let span = Span { start: module.u32()?.into(), end: module.u32()?.into() };
                let len = content.saturating_sub(8).into();
                Module::add(info, span, module.split(len, Part::ModuleText)?.text()?)?;
            }
            6 => read_map(info, part(Part::MemoryMap)?)?,
            _ => {
                part(Part::Information)?;
            }
        }
        tags.align_8(start)?;
    }
}

fn read_map(info: &mut BootInfo, mut map: Cursor<'_>) -> Result<(), BootError> {
    let size = map.u32()?;
    map.skip(4)?; // version: later ones only add to the entries
    if size < MAP_ENTRY {
        return Err(BootError::BadSize { part: Part::MemoryMap, size });
    }
    while !map.is_at_end() {
        let mut entry = map.split(size.into(), Part::MemoryMap)?;
        info.memory.add(entry.u64()?, entry.u64()?, RegionKind::from_number(entry.u32()?))?;
    }
    Ok(())
}
