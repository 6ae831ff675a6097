//! Numbers as guests may write them, from small random ones.

use crate::testkit::{GRANTS, GUEST_PAGES, GUEST_RAM, LISTS};
use hal::Gfn;
use xen_abi::xen::{DOMID_INVALID, DOMID_IO, DOMID_SELF};

/// A guest frame: of memory, of a block, a hole, far away, or of no guest.
pub(in crate::testkit) fn gfn(n: u8) -> Gfn {
    let low = u64::from(n % 16);
    match n / 16 {
        0..4 => GUEST_RAM.plus(low),
        4 => Gfn(0x300 + low),
        5 => GRANTS.plus(low % 5),
        6 => Gfn(low << 18),
        7 => Gfn(0x90000 + low),
        8 => Gfn(0x90000 + low * 31),
        9 => Gfn((0x90000 + low) & !511),
        10 => GUEST_RAM.plus(GUEST_PAGES - 9 + low % 10),
        11 => Gfn(u64::MAX - low),
        12 => Gfn((1 << 28) - 8 + low),
        _ => GUEST_RAM.plus(16 + low),
    }
}

/// The order of an extent, mostly of one page.
pub(in crate::testkit) fn order(n: u8) -> u32 {
    match n {
        0..160 => 0,
        160..200 => u32::from(n % 4),
        200..240 => 9,
        _ => u32::from(n - 240),
    }
}

/// A domain number, or something for it.
pub(in crate::testkit) fn domid(n: u8) -> u16 {
    match n % 8 {
        0..3 => u16::from(n % 3),
        3 | 4 => DOMID_SELF,
        5 => 1,
        6 => 2,
        _ => [7, DOMID_IO, DOMID_INVALID, 0xffff][usize::from(n) / 8 % 4],
    }
}

/// A word as it may stand anywhere.
pub(in crate::testkit) fn word(n: u8) -> u64 {
    let low = u64::from(n % 32);
    match n / 32 {
        0 => low,
        1 => u64::from(domid(n)),
        2 => gfn(n).0,
        3 => LISTS.0 + low * 8,
        4 => gfn(n.wrapping_mul(7)).addr().0,
        5 => (low << 32) | (low / 2),
        6 => 1 << (low * 2),
        _ => u64::MAX - low,
    }
}

/// The other domain that an act speaks of, as a number that is there.
pub(in crate::testkit) fn peer(n: u8) -> u16 {
    u16::from(n % 3)
}
