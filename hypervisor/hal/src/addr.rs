//! Frame numbers and addresses by kind, so that one can never stand for another.
//!
//! `Mfn` counts frames of the machine, `Gfn` frames as a guest sees them; `Maddr` and `Gaddr` are
//! the byte addresses. All pages are 4 KiB.

use core::fmt;

/// log2 of the page size.
pub const PAGE_SHIFT: u32 = 12;
/// The size of a page in bytes.
pub const PAGE_SIZE: usize = 1 << PAGE_SHIFT;

macro_rules! frame_number {
    ($(#[$doc:meta])* $frame:ident, $addr:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(transparent)]
        pub struct $frame(pub u64);

        impl $frame {
            /// The number `n` frames further on, or `None` past the end of the number space.
            pub const fn checked_add(self, n: u64) -> Option<Self> {
                match self.0.checked_add(n) {
                    Some(v) => Some(Self(v)),
                    None => None,
                }
            }

            /// The number `n` frames further on, wrapping; for numbers already validated.
            pub const fn plus(self, n: u64) -> Self {
                Self(self.0.wrapping_add(n))
            }

            /// The byte address of the frame's first byte.
            pub const fn addr(self) -> $addr {
                $addr(self.0 << PAGE_SHIFT)
            }

            /// Whether the number is a multiple of 2^`order` frames.
            pub const fn is_aligned(self, order: u32) -> bool {
                order < 64 && self.0 & ((1u64 << order) - 1) == 0
            }
        }

        impl fmt::LowerHex for $frame {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::LowerHex::fmt(&self.0, f)
            }
        }

        #[doc = concat!("A byte address in ", $what, ".")]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(transparent)]
        pub struct $addr(pub u64);

        impl $addr {
            /// The frame that holds this byte.
            pub const fn frame(self) -> $frame {
                $frame(self.0 >> PAGE_SHIFT)
            }

            /// The byte's offset in its frame.
            pub const fn page_offset(self) -> usize {
                (self.0 as usize) & (PAGE_SIZE - 1)
            }

            /// The address `n` bytes further on, wrapping; for addresses already validated.
            pub const fn plus(self, n: u64) -> Self {
                Self(self.0.wrapping_add(n))
            }
        }

        impl fmt::LowerHex for $addr {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::LowerHex::fmt(&self.0, f)
            }
        }
    };
}

frame_number!(
    /// A frame number of the machine's physical memory.
    Mfn, Maddr, "the machine's physical memory"
);
frame_number!(
    /// A frame number in a guest's physical address space.
    Gfn, Gaddr, "a guest's physical address space"
);

/// A domain's number, always below `DOMID_FIRST_RESERVED` (0x7ff0, xen.h): a special domid such as
/// `DOMID_SELF` is resolved before a `Domid` is made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct Domid(u16);

impl Domid {
    /// The control domain.
    pub const DOM0: Domid = Domid(0);
    /// The first number that no domain can have.
    pub const FIRST_RESERVED: u16 = 0x7ff0;

    /// The domid for a raw number, or `None` for a reserved one.
    pub const fn new(raw: u16) -> Option<Self> {
        if raw < Self::FIRST_RESERVED { Some(Self(raw)) } else { None }
    }

    /// The number.
    pub const fn raw(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Domid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A physical CPU by its index: 0 is the boot CPU.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct PcpuId(pub u32);

impl PcpuId {
    /// The index for tables.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_numbers_are_no_domids() {
        assert_eq!(Domid::new(0x7fef).map(Domid::raw), Some(0x7fef));
        assert_eq!(Domid::new(0x7ff0), None);
        assert_eq!(Domid::new(0xffff), None);
    }

    #[test]
    fn frame_and_address_convert_both_ways() {
        assert_eq!(Mfn(0x40000).addr(), Maddr(0x4000_0000));
        assert_eq!(Maddr(0x4000_0fff).frame(), Mfn(0x40000));
        assert_eq!(Gaddr(0x1234).page_offset(), 0x234);
        assert!(Gfn(0x200).is_aligned(9));
        assert!(!Gfn(0x201).is_aligned(9));
        assert!(!Gfn(0).is_aligned(64));
    }
}
