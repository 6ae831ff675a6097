//! The fake machine's stage-2 entries. Their layout is unlike any real one, so that code which
//! looks at bits instead of asking the format goes wrong.
//!
//! ```text
//! 63..62  kind: 0 empty, 1 table, 2 leaf, 3 never valid
//! 61..60  a leaf's level
//! 59..57  device, exec, write
//! 39..4   frame number, scrambled
//! 3..0    the core's soft bits
//! ```

use hal::{MapAttr, Mfn, PteView, Stage2Format};

const KIND_SHIFT: u32 = 62;
const KIND_TABLE: u64 = 1;
const KIND_LEAF: u64 = 2;
const LEVEL_SHIFT: u32 = 60;
const WRITE: u64 = 1 << 57;
const EXEC: u64 = 1 << 58;
const DEVICE: u64 = 1 << 59;
const MFN_SHIFT: u32 = 4;
const MFN_BITS: u32 = 36;
const MFN_MASK: u64 = (1 << MFN_BITS) - 1;
/// Frame numbers are stored exclusive-or this.
const SCRAMBLE: u64 = 0x5_a3c1_9e77 & MFN_MASK;
const SOFT_MASK: u64 = 0xf;

/// The fake machine's format; its geometry is arm64's with 40-bit guest addresses.
#[derive(Clone, Copy, Debug)]
pub struct FakeStage2;

fn put_mfn(mfn: Mfn) -> u64 {
    assert!(mfn.0 <= MFN_MASK, "frame number {:#x} does not fit a table entry", mfn.0);
    (mfn.0 ^ SCRAMBLE) << MFN_SHIFT
}

fn get_mfn(pte: u64) -> Mfn {
    Mfn(((pte >> MFN_SHIFT) & MFN_MASK) ^ SCRAMBLE)
}

/// Whether an entry is none that the format makes for this level: a leaf of another level, a table
/// below the last one, or a kind that does not exist.
pub(crate) fn is_malformed(pte: u64, level: u32) -> bool {
    match pte >> KIND_SHIFT {
        0 => false,
        KIND_TABLE => level == 0,
        KIND_LEAF => {
            let own = (pte >> LEVEL_SHIFT) & 3;
            own != u64::from(level) || !get_mfn(pte).is_aligned(9 * level)
        }
        _ => true,
    }
}

impl Stage2Format for FakeStage2 {
    const ROOT_ORDER: u32 = 1;
    const ROOT_LEVEL: u32 = 2;
    const MAX_LEAF_LEVEL: u32 = 2;
    const GUEST_ADDR_BITS: u32 = 40;

    fn leaf(mfn: Mfn, level: u32, attr: MapAttr, soft: u8) -> u64 {
        assert!(level <= Self::MAX_LEAF_LEVEL, "no leaf can stand at level {level}");
        assert!(mfn.is_aligned(9 * level), "frame {:#x} is not aligned to level {level}", mfn.0);
        assert!(u64::from(soft) <= SOFT_MASK, "soft value {soft:#x} has more than four bits");
        let mut pte = KIND_LEAF << KIND_SHIFT | u64::from(level) << LEVEL_SHIFT;
        pte |= put_mfn(mfn) | u64::from(soft);
        for (on, bit) in [(attr.write, WRITE), (attr.exec, EXEC), (attr.device, DEVICE)] {
            if on {
                pte |= bit;
            }
        }
        pte
    }

    fn table(mfn: Mfn) -> u64 {
        KIND_TABLE << KIND_SHIFT | put_mfn(mfn)
    }

    fn view(pte: u64, level: u32) -> PteView {
        match pte >> KIND_SHIFT {
            _ if is_malformed(pte, level) => PteView::Empty,
            KIND_TABLE => PteView::Table(get_mfn(pte)),
            KIND_LEAF => PteView::Leaf {
                mfn: get_mfn(pte),
                attr: MapAttr { write: pte & WRITE != 0, exec: pte & EXEC != 0, device: pte & DEVICE != 0 },
                soft: (pte & SOFT_MASK) as u8,
            },
            _ => PteView::Empty,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn zero_is_empty_at_every_level() {
        for level in 0..=2 {
            assert_eq!(FakeStage2::view(0, level), PteView::Empty);
        }
    }

    #[test]
    fn leaf_of_another_level_is_malformed() {
        let pte = FakeStage2::leaf(Mfn(0x200), 1, MapAttr::RAM, 0);
        assert!(!is_malformed(pte, 1));
        assert!(is_malformed(pte, 0));
        assert_eq!(FakeStage2::view(pte, 0), PteView::Empty);
        assert!(is_malformed(FakeStage2::table(Mfn(1)), 0));
    }

    #[test]
    fn default_fill_of_ram_is_malformed() {
        let junk = crate::Config::default().fill;
        assert!((0..=2).all(|level| is_malformed(junk, level)));
    }

    proptest! {
        #[test]
        fn entries_come_apart_as_they_were_made(
            mfn in 0u64..1 << 18, level in 0u32..=2, soft in 0u8..16,
            write: bool, exec: bool, device: bool,
        ) {
            let mfn = Mfn(mfn << (9 * level));
            let attr = MapAttr { write, exec, device };
            let pte = FakeStage2::leaf(mfn, level, attr, soft);
            prop_assert_eq!(FakeStage2::view(pte, level), PteView::Leaf { mfn, attr, soft });
            prop_assert_eq!(FakeStage2::view(FakeStage2::table(mfn), 1), PteView::Table(mfn));
        }
    }
}
