//! The hypervisor's heap.
//!
//! Small objects lie in slabs: pages cut into pieces of one size, with a bitmap of the pieces in
//! use at the page's start. A page whose last piece is freed goes back to where it came from at
//! once, so memory returns exactly. Larger requests are whole pages, 2^n of them. Pages come first
//! from a small pool inside the heap, so that it works before any memory is known, and then from a
//! [`PageSource`].
//!
//! Requests are refused, never fatal: a null pointer tells. The heap's lock is not held while the
//! page source is called.
#![cfg_attr(not(test), no_std)]

mod pool;
mod size_class;
mod slab;

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicUsize, Ordering};

use lock::Mutex;
use lock::Once;

use pool::Pool;
use size_class::{CLASSES, Request};
use slab::{Emptied, Slabs};

/// The size of a page in bytes.
pub const PAGE_SIZE: usize = 4096;

/// 2^order pages that belong to whoever holds this.
#[derive(Debug, PartialEq, Eq)]
pub struct Block {
    base: NonNull<u8>,
    order: u32,
}

impl Block {
    /// Takes over 2^`order` pages at `base`.
    ///
    /// # Safety
    /// `base` is aligned to the block's size. The memory is mapped for reading and writing, and
    /// nothing else uses it until the block is taken apart again with [`Block::into_raw`].
    pub unsafe fn from_raw(base: NonNull<u8>, order: u32) -> Self {
        Self { base, order }
    }

    /// The block's first byte and its order; the caller now owns the memory.
    pub fn into_raw(self) -> (NonNull<u8>, u32) {
        (self.base, self.order)
    }
}

/// Where the heap gets its pages.
pub trait PageSource: Sync {
    /// 2^`order` pages, aligned to their size; `None` when there are none.
    fn take(&self, order: u32) -> Option<Block>;
    /// Takes back a block that came from [`PageSource::take`].
    fn give(&self, block: Block);
}

/// A heap with `POOL` pages (at most 64) of its own.
pub struct Heap<const POOL: usize> {
    pool: Pool<POOL>,
    source: Once<&'static dyn PageSource>,
    slabs: Mutex<Slabs, 19>,
    pages: AtomicUsize,
}

impl<const POOL: usize> Heap<POOL> {
    /// A heap that has only its own pages.
    pub const fn new() -> Self {
        Self {
            pool: Pool::new(),
            source: Once::new(),
            slabs: Mutex::new(Slabs::new()),
            pages: AtomicUsize::new(0),
        }
    }

    /// Sets where pages come from when the heap's own are used up. Only the first call counts.
    pub fn set_source(&self, source: &'static dyn PageSource) {
        self.source.call_once(|| source);
    }

    /// The number of pages taken from the source and not given back.
    pub fn source_pages(&self) -> usize {
        self.pages.load(Ordering::Relaxed)
    }

    fn take(&self, order: u32) -> Option<Block> {
        if let Some(block) = self.pool.take(order) {
            return Some(block);
        }
        let block = self.source.get()?.take(order)?;
        self.pages.fetch_add(1 << order, Ordering::Relaxed);
        Some(block)
    }

    fn give(&self, block: Block) {
        let Err(block) = self.pool.give(block) else { return };
        if let Some(source) = self.source.get() {
            self.pages.fetch_sub(1 << block.order, Ordering::Relaxed);
            source.give(block);
        }
    }

    fn alloc_small(&self, class: usize) -> Option<NonNull<u8>> {
        if let Some(piece) = self.slabs.lock().alloc(class) {
            return Some(piece);
        }
        let block = self.take(0)?;
        let mut slabs = self.slabs.lock();
        slabs.add(class, block);
        slabs.alloc(class)
    }
}

impl<const POOL: usize> Default for Heap<POOL> {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: a piece is given out once until it is freed (bitmap under the lock; whole blocks by
// their source), is at least as large and as aligned as asked for (`size_class`), and allocating
// never unwinds.
unsafe impl<const POOL: usize> GlobalAlloc for Heap<POOL> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let piece = match Request::of(layout) {
            Some(Request::Small(class)) => self.alloc_small(class),
            Some(Request::Pages(order)) => self.take(order).map(|block| block.into_raw().0),
            None => None,
        };
        piece.map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        let Some(piece) = NonNull::new(piece) else { return };
        match Request::of(layout) {
            Some(Request::Small(class)) => {
                let emptied = self.slabs.lock().free(class, piece);
                if let Some(Emptied(block)) = emptied {
                    self.give(block);
                }
            }
            // SAFETY: the caller gives back what `alloc` took from a block of this order.
            Some(Request::Pages(order)) => self.give(unsafe { Block::from_raw(piece, order) }),
            None => {}
        }
    }
}

const _: () = assert!(CLASSES.len() < 64);

#[cfg(test)]
mod tests;
