//! The format of stage-2 tables: VMSAv8-64, 4 KiB granule, 40-bit guest addresses.
//!
//! A 40-bit space starts at level 1 with two concatenated tables (Arm ARM, D8.2: concatenated
//! translation tables). In the core's counting, where the leaf is level 0, that is level 2.

use hal::{MapAttr, Mfn, PteView, Stage2Format};

const VALID: u64 = 1;
/// A table at levels above the last, a page at the last.
const TABLE_OR_PAGE: u64 = 1 << 1;
/// MemAttr 0b1111: normal, write-back inside and outside.
const NORMAL: u64 = 0xf << 2;
/// MemAttr 0b0001: device nGnRE.
const DEVICE: u64 = 0x1 << 2;
const MEMORY_TYPE: u64 = 0xf << 2;
/// S2AP: read.
const READ: u64 = 1 << 6;
/// S2AP: write.
const WRITE: u64 = 1 << 7;
const INNER_SHAREABLE: u64 = 3 << 8;
const ACCESSED: u64 = 1 << 10;
/// XN with bit 53 zero: no execution at EL1 and EL0.
const EXECUTE_NEVER: u64 = 1 << 54;
/// Bits that hardware ignores.
const SOFT_SHIFT: u32 = 55;
const SOFT_MASK: u64 = 0xf;
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;

/// VTCR_EL2 without the physical address size and the VMID size: T0SZ 24, SL0 1, inner shareable
/// write-back table walks, 4 KiB granule, RES1 bit 31.
pub(crate) const VTCR: u64 = 24 | 1 << 6 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 31;

/// Stage-2 tables of arm64.
pub struct Stage2;

impl Stage2Format for Stage2 {
    const ROOT_ORDER: u32 = 1;
    const ROOT_LEVEL: u32 = 2;
    const MAX_LEAF_LEVEL: u32 = 2;
    const GUEST_ADDR_BITS: u32 = 40;

    #[inline]
    fn leaf(mfn: Mfn, level: u32, attr: MapAttr, soft: u8) -> u64 {
        let mut pte = VALID | READ | ACCESSED | INNER_SHAREABLE | (mfn.addr().0 & ADDRESS);
        pte |= (u64::from(soft) & SOFT_MASK) << SOFT_SHIFT;
        pte |= if attr.device { DEVICE } else { NORMAL };
        if level == 0 {
            pte |= TABLE_OR_PAGE;
        }
        if attr.write {
            pte |= WRITE;
        }
        if !attr.exec {
            pte |= EXECUTE_NEVER;
        }
        pte
    }

    #[inline]
    fn table(mfn: Mfn) -> u64 {
        VALID | TABLE_OR_PAGE | (mfn.addr().0 & ADDRESS)
    }

    #[inline]
    fn view(pte: u64, level: u32) -> PteView {
        if pte & VALID == 0 {
            return PteView::Empty;
        }
        let mfn = hal::Maddr(pte & ADDRESS).frame();
        if level != 0 && pte & TABLE_OR_PAGE != 0 {
            return PteView::Table(mfn);
        }
        PteView::Leaf {
            mfn,
            attr: MapAttr {
                write: pte & WRITE != 0,
                exec: pte & EXECUTE_NEVER == 0,
                device: pte & MEMORY_TYPE == DEVICE,
            },
            soft: (pte >> SOFT_SHIFT & SOFT_MASK) as u8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn leaf_taken_apart_gives_what_it_was_made_of(
            frame in 0u64..1 << 36, level in 0u32..3, write: bool, exec: bool, device: bool, soft in 0u8..16,
        ) {
            let mfn = Mfn(frame & !((1 << (9 * level)) - 1));
            let attr = MapAttr { write, exec, device };
            let pte = Stage2::leaf(mfn, level, attr, soft);
            prop_assert_eq!(Stage2::view(pte, level), PteView::Leaf { mfn, attr, soft });
        }
    }

    #[test]
    fn empty_and_table_entries_are_recognised() {
        assert_eq!(Stage2::view(0, 2), PteView::Empty);
        assert_eq!(Stage2::view(Stage2::table(Mfn(5)), 2), PteView::Table(Mfn(5)));
        assert_eq!(Stage2::view(Stage2::table(Mfn(5)), 1), PteView::Table(Mfn(5)));
    }

    #[test]
    fn entries_are_those_of_the_architecture() {
        // Page, read/write/execute: S2AP 11, SH 11, AF, MemAttr 1111, type 11.
        assert_eq!(Stage2::leaf(Mfn(0x40000), 0, MapAttr::RAM, 0), 0x4000_07ff);
        // 1 GiB block of read-only data: type 01, XN.
        assert_eq!(Stage2::leaf(Mfn(0x40000), 2, MapAttr::RAM_RO, 0), 0x0040_0000_4000_077d);
        assert_eq!(Stage2::leaf(Mfn(0x9000), 0, MapAttr::DEVICE, 0), 0x0040_0000_0900_07c7);
        assert_eq!(VTCR, 0x8000_3558);
    }
}
