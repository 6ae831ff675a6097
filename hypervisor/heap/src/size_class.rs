//! Which piece size serves a request.

use core::alloc::Layout;

use crate::PAGE_SIZE;

/// The part of a slab page that describes it.
pub const HEADER: usize = 64;
/// What every piece is aligned to.
const MIN_ALIGN: usize = 16;
/// The largest order of a block of pages: 16 MiB.
const MAX_ORDER: u32 = 12;

/// The piece sizes: those that leave little of a page unused.
pub const CLASSES: [u16; 20] =
    [16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 240, 288, 336, 400, 496, 576, 672, 1008, 1344, 2016];

/// For each size in units of 16 bytes, less one, the first class that is large enough.
const CLASS_OF_UNITS: [u8; 126] = {
    let mut table = [0; 126];
    let mut units = 1;
    let mut class = 0;
    while units <= table.len() {
        while (CLASSES[class] as usize) < units * MIN_ALIGN {
            class += 1;
        }
        table[units - 1] = class as u8;
        units += 1;
    }
    table
};

/// How a request is served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// By a piece of this class.
    Small(usize),
    /// By 2^n pages.
    Pages(u32),
}

impl Request {
    /// The way for a layout; `None` when it is too large. The same layout always goes the same way.
    pub fn of(layout: Layout) -> Option<Self> {
        let (size, align) = (layout.size().max(1), layout.align());
        if align <= HEADER
            && let Some(&first) = CLASS_OF_UNITS.get((size - 1) / MIN_ALIGN)
        {
            let first = usize::from(first);
            // Pieces start at HEADER, a multiple of every alignment up to it, so a piece is aligned
            // when the class's size is.
            let rest = CLASSES.get(first..)?;
            if let Some(more) = rest.iter().position(|&c| usize::from(c).is_multiple_of(align)) {
                return Some(Self::Small(first + more));
            }
        }
        let pages = size.max(align).div_ceil(PAGE_SIZE).checked_next_power_of_two()?;
        let order = pages.trailing_zeros();
        (order <= MAX_ORDER).then_some(Self::Pages(order))
    }
}

/// The number of pieces in a page.
pub const fn capacity(class: usize) -> usize {
    (PAGE_SIZE - HEADER) / CLASSES[class] as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn classes_ascend_and_fill_their_page() {
        assert!(CLASSES.is_sorted());
        for (class, &size) in CLASSES.iter().enumerate() {
            let used = HEADER + capacity(class) * usize::from(size);
            assert!(PAGE_SIZE - used < PAGE_SIZE / 8, "class {size} wastes {}", PAGE_SIZE - used);
        }
    }

    #[test]
    fn request_beyond_the_largest_block_is_refused() {
        assert_eq!(Request::of(Layout::from_size_align(16 << 20, 1).unwrap()), Some(Request::Pages(12)));
        assert_eq!(Request::of(Layout::from_size_align((16 << 20) + 1, 1).unwrap()), None);
        assert_eq!(Request::of(Layout::from_size_align(1 << 62, 1).unwrap()), None);
    }

    proptest! {
        #[test]
        fn piece_is_large_and_aligned_enough(size in 0usize..20_000, align_log in 0u32..16) {
            let align = 1usize << align_log;
            match Request::of(Layout::from_size_align(size, align).unwrap()).unwrap() {
                Request::Small(class) => {
                    prop_assert!(usize::from(CLASSES[class]) >= size);
                    for piece in 0..capacity(class) {
                        prop_assert_eq!((HEADER + piece * usize::from(CLASSES[class])) % align, 0);
                    }
                }
                Request::Pages(order) => {
                    prop_assert!(PAGE_SIZE << order >= size.max(align));
                    prop_assert!(order == 0 || PAGE_SIZE << (order - 1) < size.max(align));
                }
            }
        }
    }
}
