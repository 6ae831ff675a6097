//! Multiboot 0.6.96, section 3.3: boot information format.

use super::cursor::{Cursor, text_at};
use super::{BootError, BootInfo, BootMemory, Module, Part, RegionKind};
use crate::span::Span;

/// In eax at entry.
pub const MAGIC: u32 = 0x2bad_b002;

/// Bytes of the structure up to the last field that is used.
const SIZE: u64 = 68;
const HAS_COMMAND_LINE: u32 = 1 << 2;
const HAS_MODULES: u32 = 1 << 3;
const HAS_MEMORY_MAP: u32 = 1 << 6;
const HAS_LOADER_NAME: u32 = 1 << 9;
const MODULE_SIZE: u64 = 16;

pub(super) fn read(info: &mut BootInfo, at: u32, memory: &dyn BootMemory) -> Result<(), BootError> {
    let mut main = Cursor::new(memory, Part::Information, at.into(), SIZE);
    let flags = main.u32()?;
    main.skip(12)?; // memory sizes, boot device
    let command_line = main.u32()?;
    let modules = (main.u32()?, main.u32()?);
    main.skip(16)?; // symbols
    let map = (main.u32()?, main.u32()?);
    main.skip(12)?; // drives, configuration table
    let loader = main.u32()?;

    if flags & HAS_LOADER_NAME != 0 {
        info.loader = text_at(memory, Part::LoaderName, loader.into())?;
    }
    if flags & HAS_COMMAND_LINE != 0 {
        info.command_line = text_at(memory, Part::CommandLine, command_line.into())?;
    }
    if flags & HAS_MEMORY_MAP != 0 {
        let (len, at) = map;
        let mut map = Cursor::new(memory, Part::MemoryMap, at.into(), len.into());
        while !map.is_at_end() {
            // The size does not count itself.
            let size = map.u32()?;
            let mut entry = map.split(size.into(), Part::MemoryMap)?;
            info.memory.add(entry.u64()?, entry.u64()?, RegionKind::from_number(entry.u32()?))?;
        }
    }
    if flags & HAS_MODULES != 0 {
        let (count, at) = modules;
        let len = u64::from(count).saturating_mul(MODULE_SIZE);
        let mut list = Cursor::new(memory, Part::Modules, at.into(), len);
        while !list.is_at_end() {
            let span = Span { start: list.u32()?.into(), end: list.u32()?.into() };
            let text = text_at(memory, Part::ModuleText, list.u32()?.into())?;
            list.skip(4)?;
            Module::add(info, span, text)?;
        }
    }
    Ok(())
}
