//! Where kernel, device tree and RAM disk go: as libxenguest puts them, but with room for all that the kernel uses.
use kernel_header::Image;

use crate::error::BuildError;
use crate::memory::Bank;

/// Room for the device tree: the most bytes that a kernel accepts.
pub(crate) const TREE_ROOM: u64 = 2 << 20;
/// Everything begins at a multiple of this many bytes, except a kernel that wants it otherwise.
const ALIGN: u64 = 2 << 20;
/// Where device tree and RAM disk go if they fit there, in bytes from the start of RAM.
const USUAL: u64 = 128 << 20;

/// Addresses in the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) kernel: u64,
    /// [`TREE_ROOM`] bytes.
    pub(crate) tree: u64,
    /// Behind the device tree.
    pub(crate) ramdisk: u64,
}

/// Finds room in the guest's first bank.
pub(crate) fn place(bank: Bank, kernel: &Image, ramdisk_bytes: u64) -> Result<Layout, BuildError> {
    let room = |modules: u64| kernel.text_offset.saturating_add(kernel.size).saturating_add(modules);
    let modules = ramdisk_bytes.checked_next_multiple_of(ALIGN).and_then(|room| room.checked_add(TREE_ROOM));
    let attempt = || {
        let modules = modules?;
        let start = bank.base.checked_add(kernel.text_offset)?;
        let end = start.checked_add(kernel.size)?;
        let behind = end.checked_next_multiple_of(ALIGN)?;
        let last = (bank.end() / ALIGN * ALIGN).checked_sub(modules)?;
        let usual = bank.base.checked_add(USUAL)?;
        let tree = if end <= usual && usual <= last {
            usual
        } else if behind <= last {
            last
        } else if end <= bank.end() && modules <= kernel.text_offset {
            bank.base
        } else {
            return None;
        };
        Some(Layout { kernel: start, tree, ramdisk: tree + TREE_ROOM })
    };
    attempt().ok_or_else(|| BuildError::NoRoom {
        need_mib: room(modules.unwrap_or(u64::MAX)).div_ceil(1 << 20),
        have_mib: bank.size >> 20,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;
    const BASE: u64 = 0x4000_0000;

    fn place_in(mib: u64, offset: u64, size: u64, ramdisk: u64) -> Result<Layout, BuildError> {
        let kernel = Image { text_offset: offset, size, size_known: true, page_size: None, anywhere: false };
        place(Bank { base: BASE, size: mib * MIB }, &kernel, ramdisk)
    }

    #[test]
    fn large_guest_has_tree_and_ram_disk_at_128_mib() {
        let layout = place_in(256, 0, 30 * MIB, 20 * MIB + 5).unwrap();
        let tree = BASE + 128 * MIB;
        assert_eq!(layout, Layout { kernel: BASE, tree, ramdisk: tree + 2 * MIB });
    }

    #[test]
    fn small_guest_has_them_at_its_end() {
        let layout = place_in(100, 0x8_0000, 30 * MIB, 20 * MIB).unwrap();
        assert_eq!((layout.kernel, layout.tree), (BASE + 0x8_0000, BASE + 78 * MIB));
    }

    #[test]
    fn kernel_high_up_has_them_below() {
        assert_eq!(place_in(64, 40 * MIB, 23 * MIB, 10 * MIB).unwrap().tree, BASE);
    }

    #[test]
    fn too_little_memory_is_an_error_with_both_sizes() {
        assert_eq!(place_in(32, 0, 30 * MIB, MIB), Err(BuildError::NoRoom { need_mib: 34, have_mib: 32 }));
        assert!(place_in(32, 0, u64::MAX, u64::MAX).is_err());
        assert!(place_in(32, u64::MAX, 1, 0).is_err());
    }

    proptest! {
        #[test]
        fn what_is_placed_is_apart_and_inside(
            mib in 0u64..400, offset in 0u64..64 * MIB, size in 1u64..200 * MIB, ramdisk in 0u64..200 * MIB,
        ) {
            if let Ok(l) = place_in(mib, offset, size, ramdisk) {
                let mut parts = [(l.kernel, size), (l.tree, TREE_ROOM), (l.ramdisk, ramdisk)];
                parts.sort();
                let mut free = BASE;
                for (start, size) in parts {
                    prop_assert!(start >= free);
                    free = start + size;
                }
                prop_assert!(free <= BASE + mib * MIB);
                prop_assert_eq!(l.tree % ALIGN, 0);
            } else {
                // Enough room for any order is never refused.
                prop_assert!(mib * MIB < offset + size + ramdisk + 4 * ALIGN);
            }
        }
    }
}
