//! The hypervisor's own page tables: stage 1 of EL2, 4 KiB granule, four levels.
//!
//! Entries only go from empty to mapped and, for single pages, back: a live entry is never changed
//! in place, so no break-before-make is needed. (Arm ARM, D8.3: VMSAv8-64 descriptor formats.)

const VALID: u64 = 1;
/// A table at levels 0 to 2, a page at level 3.
const TABLE_OR_PAGE: u64 = 1 << 1;
/// AP[1] is RES1 in the EL2 regime.
const AP1: u64 = 1 << 6;
const READ_ONLY: u64 = 1 << 7;
const INNER_SHAREABLE: u64 = 3 << 8;
const ACCESSED: u64 = 1 << 10;
const EXECUTE_NEVER: u64 = 1 << 54;
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;
const PAGE_SHIFT: u32 = 12;
const LEVEL_BITS: u32 = 9;
const LAST_LEVEL: u32 = 3;

/// MAIR_EL2: attribute 0 is normal write-back memory, attribute 1 is device nGnRE.
pub const MAIR: u64 = 0x04ff;
const DEVICE_ATTR: u64 = 1 << 2;

/// What a mapping is for. None is both writable and executable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Use {
    /// Data that is only read.
    ReadOnly,
    /// Data.
    Data,
    /// Device registers.
    Device,
}

impl Use {
    const fn bits(self) -> u64 {
        let common = VALID | AP1 | ACCESSED | INNER_SHAREABLE | EXECUTE_NEVER;
        match self {
            Self::ReadOnly => common | READ_ONLY,
            Self::Data => common,
            Self::Device => common | DEVICE_ATTR,
        }
    }
}

/// Why a mapping was not made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapError {
    /// No memory for a table.
    NoTable,
    /// Something is mapped there already.
    Occupied,
    /// An address or the length is not a multiple of the page size.
    Misaligned,
}

/// Access to the memory that tables lie in. Tables are named by physical address.
pub trait TableMemory {
    /// Reads an entry.
    fn read(&self, table: u64, index: usize) -> u64;
    /// Writes an entry.
    fn write(&mut self, table: u64, index: usize, entry: u64);
    /// A new table, all zero.
    fn allocate(&mut self) -> Option<u64>;
}

/// log2 of what an entry at `level` maps.
const fn shift_of(level: u32) -> u32 {
    PAGE_SHIFT + (LAST_LEVEL - level) * LEVEL_BITS
}

const fn index_of(va: u64, level: u32) -> usize {
    (va >> shift_of(level)) as usize & ((1 << LEVEL_BITS) - 1)
}

const fn is_table(entry: u64) -> bool {
    entry & (VALID | TABLE_OR_PAGE) == VALID | TABLE_OR_PAGE
}

/// Maps `len` bytes at `va` to `pa`, in the largest blocks that fit.
///
/// On an error, what was mapped before it stays.
pub fn map(
    memory: &mut impl TableMemory,
    root: u64,
    va: u64,
    pa: u64,
    len: u64,
    purpose: Use,
) -> Result<(), MapError> {
    if (va | pa | len) & ((1 << PAGE_SHIFT) - 1) != 0 {
        return Err(MapError::Misaligned);
    }
    let mut done = 0;
    while done < len {
        let (va, pa, left) = (va + done, pa + done, len - done);
        let fits = |level: u32| (va | pa) & ((1 << shift_of(level)) - 1) == 0 && left >> shift_of(level) != 0;
        let leaf_level = if fits(1) {
            1
        } else if fits(2) {
            2
        } else {
            LAST_LEVEL
        };
        let table = descend(memory, root, va, leaf_level)?;
        let index = index_of(va, leaf_level);
        if memory.read(table, index) & VALID != 0 {
            return Err(MapError::Occupied);
        }
        let kind = if leaf_level == LAST_LEVEL { TABLE_OR_PAGE } else { 0 };
        memory.write(table, index, pa | purpose.bits() | kind);
        done += 1 << shift_of(leaf_level);
    }
    Ok(())
}

/// Removes the mappings of single pages; blocks and empty entries are left alone. The caller
/// flushes the TLB.
pub fn unmap_pages(memory: &mut impl TableMemory, root: u64, va: u64, len: u64) {
    for page in (va..va + len).step_by(1 << PAGE_SHIFT) {
        let mut table = root;
        let mut level = 0;
        while level < LAST_LEVEL {
            let entry = memory.read(table, index_of(page, level));
            if !is_table(entry) {
                break;
            }
            table = entry & ADDRESS;
            level += 1;
        }
        if level == LAST_LEVEL {
            memory.write(table, index_of(page, LAST_LEVEL), 0);
        }
    }
}

/// The table at `level` that covers `va`, made where it is missing.
fn descend(memory: &mut impl TableMemory, root: u64, va: u64, level: u32) -> Result<u64, MapError> {
    let mut table = root;
    for above in 0..level {
        let index = index_of(va, above);
        let entry = memory.read(table, index);
        table = if is_table(entry) {
            entry & ADDRESS
        } else if entry & VALID != 0 {
            return Err(MapError::Occupied);
        } else {
            let new = memory.allocate().ok_or(MapError::NoTable)?;
            memory.write(table, index, new | VALID | TABLE_OR_PAGE);
            new
        };
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[derive(Default)]
    struct Tables {
        entries: HashMap<(u64, usize), u64>,
        made: u64,
        most: u64,
    }

    impl TableMemory for Tables {
        fn read(&self, table: u64, index: usize) -> u64 {
            self.entries.get(&(table, index)).copied().unwrap_or(0)
        }
        fn write(&mut self, table: u64, index: usize, entry: u64) {
            assert!(index < 512);
            self.entries.insert((table, index), entry);
        }
        fn allocate(&mut self) -> Option<u64> {
            self.made += 1;
            (self.made <= self.most).then_some(self.made << 12)
        }
    }

    /// Walks as the hardware does.
    fn walk(tables: &Tables, va: u64) -> Option<(u64, u64)> {
        let mut table = 0;
        for level in 0..4 {
            let entry = tables.read(table, index_of(va, level));
            if entry & VALID == 0 {
                return None;
            }
            if level == 3 || entry & TABLE_OR_PAGE == 0 {
                let inside = va & ((1 << shift_of(level)) - 1);
                return Some((entry & ADDRESS | inside, entry & !ADDRESS));
            }
            table = entry & ADDRESS;
        }
        None
    }

    #[test]
    fn range_with_ragged_ends_is_mapped_whole_and_in_large_blocks() {
        let mut tables = Tables { most: 10, ..Tables::default() };
        let (va, pa) = (0x1000_0000_0000 + 0x3fff_f000, 0x3fff_f000);
        let len = 0x1000 + (1 << 30) + (2 << 20) + 0x3000;
        map(&mut tables, 0, va, pa, len, Use::Data).unwrap();
        for offset in [0, 0xfff, 0x1000, 1 << 29, (1 << 30) + 0x1000, len - 1] {
            let (found, bits) = walk(&tables, va + offset).unwrap();
            assert_eq!(found, pa + offset);
            assert_ne!(bits & EXECUTE_NEVER, 0);
        }
        assert_eq!(walk(&tables, va - 1), None);
        assert_eq!(walk(&tables, va + len), None);
        // One level-1 table, then a level-2 and a level-3 table at each end.
        assert_eq!(tables.made, 5);
    }

    #[test]
    fn mapped_address_is_not_mapped_again() {
        let mut tables = Tables { most: 10, ..Tables::default() };
        map(&mut tables, 0, 1 << 21, 0, 2 << 20, Use::Data).unwrap();
        assert_eq!(map(&mut tables, 0, (1 << 21) + 4096, 0, 4096, Use::Data), Err(MapError::Occupied));
        assert_eq!(map(&mut tables, 0, 1 << 21, 0, 2 << 20, Use::Data), Err(MapError::Occupied));
    }

    #[test]
    fn missing_memory_and_bad_addresses_are_errors() {
        let mut tables = Tables { most: 2, ..Tables::default() };
        assert_eq!(map(&mut tables, 0, 0, 0, 4096, Use::Data), Err(MapError::NoTable));
        assert_eq!(map(&mut tables, 0, 1, 0, 4096, Use::Data), Err(MapError::Misaligned));
        assert_eq!(map(&mut tables, 0, 0, 0, 4095, Use::Data), Err(MapError::Misaligned));
    }

    #[test]
    fn unmapping_clears_pages_and_leaves_their_neighbours() {
        let mut tables = Tables { most: 10, ..Tables::default() };
        map(&mut tables, 0, 0, 0x8000, 0x4000, Use::ReadOnly).unwrap();
        unmap_pages(&mut tables, 0, 0x1000, 0x2000);
        assert!(walk(&tables, 0).is_some());
        assert_eq!(walk(&tables, 0x1000), None);
        assert_eq!(walk(&tables, 0x2000), None);
        assert!(walk(&tables, 0x3000).is_some());
        unmap_pages(&mut tables, 0, 1 << 40, 0x1000);
    }

    #[test]
    fn no_use_is_writable_and_executable() {
        for purpose in [Use::ReadOnly, Use::Data, Use::Device] {
            assert_ne!(purpose.bits() & EXECUTE_NEVER, 0);
        }
    }
}
