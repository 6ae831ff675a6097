//! The heap's own pages, for the time before the machine's memory is known.

use core::cell::UnsafeCell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::{Block, PAGE_SIZE};

#[repr(C, align(4096))]
struct Page([u8; PAGE_SIZE]);

/// `N` pages, at most 64.
pub struct Pool<const N: usize> {
    pages: UnsafeCell<[Page; N]>,
    /// A bit for each page in use.
    used: AtomicU64,
}

// SAFETY: the pages are reached only through blocks, and a bit is set in `used` by one caller at a
// time, so each page has one owner.
unsafe impl<const N: usize> Sync for Pool<N> {}

impl<const N: usize> Pool<N> {
    pub const fn new() -> Self {
        assert!(N <= 64);
        Self { pages: UnsafeCell::new([const { Page([0; PAGE_SIZE]) }; N]), used: AtomicU64::new(0) }
    }

    fn base(&self) -> NonNull<u8> {
        NonNull::from(&self.pages).cast()
    }

    /// The position, in pages, of a block; `None` if it is not the pool's.
    fn position(&self, block: &Block) -> Option<usize> {
        let offset = block.base.addr().get().wrapping_sub(self.base().addr().get());
        (offset < N * PAGE_SIZE).then_some(offset / PAGE_SIZE)
    }

    fn mask(position: usize, order: u32) -> u64 {
        u64::MAX >> (64 - (1u32 << order)) << position
    }

    /// 2^`order` pages aligned to their size.
    pub fn take(&self, order: u32) -> Option<Block> {
        let n = 1usize.checked_shl(order).filter(|&n| n <= N)?;
        // The pool itself is only aligned to a page.
        let first = self.base().addr().get() / PAGE_SIZE;
        let skip = first.wrapping_neg() % n;
        for position in (skip..).step_by(n).take_while(|p| p + n <= N) {
            let mask = Self::mask(position, order);
            let claimed = self.used.fetch_update(Ordering::Acquire, Ordering::Relaxed, |used| {
                (used & mask == 0).then_some(used | mask)
            });
            if claimed.is_ok() {
                let base = self.base().map_addr(|a| a.saturating_add(position * PAGE_SIZE));
                // SAFETY: the pages are in the pool, aligned by the choice of `position`, and the
                // bits just set make the caller their only owner.
                return Some(unsafe { Block::from_raw(base, order) });
            }
        }
        None
    }

    /// Takes back a block, if it is the pool's.
    pub fn give(&self, block: Block) -> Result<(), Block> {
        let Some(position) = self.position(&block) else { return Err(block) };
        let (_, order) = block.into_raw();
        self.used.fetch_and(!Self::mask(position, order), Ordering::Release);
        Ok(())
    }

    /// The number of pages in use.
    #[cfg(test)]
    pub fn used(&self) -> u32 {
        self.used.load(Ordering::Relaxed).count_ones()
    }
}
