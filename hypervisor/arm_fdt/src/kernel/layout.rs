//! Where kernel, device tree and RAM disk go in a domain's memory.
use super::{Image, KernelError};
use crate::range::Range;

/// Room for the device tree in bytes: the most that a kernel accepts.
pub const DTB_ROOM: u64 = 2 << 20;
/// Everything is placed at multiples of this many bytes.
const ALIGN: u64 = 2 << 20;
/// Where device tree and RAM disk go if they fit there, in bytes from the start of RAM.
const USUAL: u64 = 128 << 20;

/// Places in guest-physical memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// The kernel with its BSS: it is copied to the start and entered there.
    pub kernel: Range,
    /// [`DTB_ROOM`] bytes for the device tree.
    pub dtb: Range,
    /// The RAM disk, to the byte; empty without one.
    pub initrd: Range,
}

/// Finds places in a domain's first memory bank. The kernel goes to its start; the device tree and
/// behind it the RAM disk go 128 MiB above that, or else to the bank's end, or between the start
/// and a kernel that is far from it.
pub fn place(bank: Range, image: &Image, initrd_size: u64) -> Result<Layout, KernelError> {
    let initrd_room = initrd_size.checked_next_multiple_of(ALIGN);
    let need = initrd_room
        .and_then(|room| room.checked_add(DTB_ROOM))
        .and_then(|modules| modules.checked_add(image.text_offset)?.checked_add(image.size));
    let no_room = KernelError::NoRoom { need: need.unwrap_or(u64::MAX), have: bank.size() };
    let attempt = || {
        let modules = initrd_room?.checked_add(DTB_ROOM)?;
        let bank = bank.align_in(ALIGN)?;
        let kernel = Range::new(bank.start().checked_add(image.text_offset)?, image.size)?;
        let behind = kernel.end().checked_next_multiple_of(ALIGN)?;
        let usual = bank.start().checked_add(USUAL)?;
        let below_end = bank.end().checked_sub(modules);
        let fits = |start: u64| below_end.is_some_and(|last| start <= last);
        let start = if kernel.end() <= usual && fits(usual) {
            usual
        } else if fits(behind) {
            below_end?
        } else if bank.contains(&kernel) && image.text_offset >= modules {
            bank.start()
        } else {
            return None;
        };
        let dtb = Range::new(start, DTB_ROOM)?;
        Some(Layout { kernel, dtb, initrd: Range::new(dtb.end(), initrd_size)? })
    };
    attempt().ok_or(no_room)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    fn image(text_offset: u64, size: u64) -> Image {
        Image { text_offset, size, size_known: true, page_size: None, anywhere: true }
    }

    fn bank(start: u64, size: u64) -> Range {
        Range::new(start * MIB, size * MIB).unwrap()
    }

    #[test]
    fn large_bank_has_tree_and_ram_disk_at_128_mib() {
        let layout = place(bank(1024, 512), &image(0, 30 * MIB), 20 * MIB + 5).unwrap();
        assert_eq!(layout.kernel, bank(1024, 30));
        assert_eq!(layout.dtb, bank(1152, 2));
        assert_eq!(layout.initrd, Range::new(1154 * MIB, 20 * MIB + 5).unwrap());
    }

    #[test]
    fn small_bank_has_them_at_its_end() {
        let layout = place(bank(1024, 100), &image(0, 30 * MIB), 20 * MIB).unwrap();
        assert_eq!(layout.dtb, bank(1024 + 78, 2));
        assert_eq!(layout.initrd.end(), 1124 * MIB);
    }

    #[test]
    fn kernel_high_up_leaves_the_start() {
        let layout = place(bank(0, 64), &image(40 * MIB, 23 * MIB), 10 * MIB).unwrap();
        assert_eq!(layout.dtb, bank(0, 2));
    }

    #[test]
    fn too_small_a_bank_is_an_error_with_both_sizes() {
        assert_eq!(
            place(bank(0, 32), &image(0, 30 * MIB), MIB),
            Err(KernelError::NoRoom { need: 34 * MIB, have: 32 * MIB })
        );
        assert!(place(bank(0, 32), &image(0, u64::MAX), u64::MAX).is_err());
    }

    proptest! {
        #[test]
        fn what_is_placed_is_apart_and_inside(
            start in 0u64..4096, size in 0u64..400, offset in 0u64..64,
            kernel in 1u64..(200 << 20), initrd in 0u64..(200 << 20),
        ) {
            let bank = bank(start, size);
            if let Ok(l) = place(bank, &image(offset * MIB, kernel), initrd) {
                prop_assert!(bank.contains(&l.kernel) && bank.contains(&l.dtb));
                prop_assert!(bank.contains(&l.initrd));
                prop_assert!(!l.kernel.overlaps(&l.dtb) && !l.kernel.overlaps(&l.initrd));
                prop_assert!(!l.dtb.overlaps(&l.initrd));
                prop_assert_eq!((l.kernel.size(), l.initrd.size()), (kernel, initrd));
            }
        }
    }
}
