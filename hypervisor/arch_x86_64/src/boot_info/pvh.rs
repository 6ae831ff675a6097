//! Xen's PVH start information (public/arch-x86/hvm/start_info.h: hvm_start_info and its lists).

use super::cursor::{Cursor, text_at};
use super::{BootError, BootInfo, BootMemory, Module, Part, RegionKind};
use crate::span::Span;

/// At the beginning of the structure.
pub const MAGIC: u32 = 0x336e_c578;

/// Bytes of version 1.
const SIZE: u64 = 56;
const MODULE_SIZE: u64 = 32;
const MAP_ENTRY: u64 = 24;

pub(super) fn read(info: &mut BootInfo, at: u32, memory: &dyn BootMemory) -> Result<(), BootError> {
    let mut main = Cursor::new(memory, Part::Information, at.into(), SIZE);
    let found = main.u32()?;
    if found != MAGIC {
        return Err(BootError::WrongMagic { found });
    }
    let version = main.u32()?;
    main.skip(4)?; // flags
    let module_count = u64::from(main.u32()?);
    let modules = main.u64()?;
    info.command_line = text_at(memory, Part::CommandLine, main.u64()?)?;
    if version == 0 {
        // Has no field for a memory map.
        return Err(BootError::Missing(Part::MemoryMap));
    }
    main.skip(8)?; // ACPI root
    let map = main.u64()?;
    let len = u64::from(main.u32()?).saturating_mul(MAP_ENTRY);
    let mut map = Cursor::new(memory, Part::MemoryMap, map, len);
    while !map.is_at_end() {
        info.memory.add(map.u64()?, map.u64()?, RegionKind::from_number(map.u32()?))?;
        map.skip(4)?;
    }
    let len = module_count.saturating_mul(MODULE_SIZE);
    let mut list = Cursor::new(memory, Part::Modules, modules, len);
    while !list.is_at_end() {
        let start = list.u64()?;
        let end = start.saturating_add(list.u64()?);
        let text = text_at(memory, Part::ModuleText, list.u64()?)?;
        list.skip(8)?;
        Module::add(info, Span { start, end }, text)?;
    }
    Ok(())
}
