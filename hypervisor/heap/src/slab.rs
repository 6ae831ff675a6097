//! Slabs: pages cut into pieces of one size.
//!
//! Each class has a list of the pages that have a free piece. A full page is in no list; it is
//! found again from the address of a piece.

use core::num::NonZero;
use core::ptr::NonNull;

use crate::size_class::{CLASSES, HEADER, capacity};
use crate::{Block, PAGE_SIZE};

const WORD_BITS: usize = u64::BITS as usize;
const WORDS: usize = 4;

/// The start of a slab page.
#[repr(C)]
struct Header {
    /// A bit for each piece in use.
    used: [u64; WORDS],
    /// The number of those bits.
    count: u16,
    /// Neighbours in the list of pages with free pieces.
    next: Option<Page>,
    previous: Option<Page>,
}

const _: () = assert!(size_of::<Header>() <= HEADER);
const _: () = assert!(capacity(0) <= WORDS * WORD_BITS);

/// A slab page. Only [`Slabs`] makes and keeps these, under the heap's lock.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Page(NonNull<Header>);

impl Page {
    fn new(block: Block) -> Self {
        let page = Self(block.into_raw().0.cast());
        // SAFETY: the block was ours alone, is mapped and page-aligned, and a header fits.
        unsafe { page.0.write(Header { used: [0; WORDS], count: 0, next: None, previous: None }) };
        page
    }

    fn of(piece: NonNull<u8>) -> Self {
        Self(piece.map_addr(|a| NonZero::new(a.get() & !(PAGE_SIZE - 1)).unwrap_or(a)).cast())
    }

    /// The page's header, for one field access at a time.
    fn header<'a>(self) -> &'a mut Header {
        // SAFETY: a page is known here only between `new` and its return to the source, in which
        // time its first bytes are a header; the lock makes this the only access, and no caller
        // holds the reference while it asks for another.
        unsafe { &mut *self.0.as_ptr() }
    }

    fn into_block(self) -> Block {
        // SAFETY: no piece of the page is in use and no list has it, so the memory taken over in
        // `new` is again only ours.
        unsafe { Block::from_raw(self.0.cast(), 0) }
    }

    /// Takes a free piece; there is one.
    fn take_piece(self, class: usize) -> Option<NonNull<u8>> {
        let header = self.header();
        let word = header.used.iter().position(|&w| w != u64::MAX)?;
        let bit = header.used[word].trailing_ones() as usize;
        header.used[word] |= 1 << bit;
        header.count += 1;
        let offset = HEADER + (word * WORD_BITS + bit) * usize::from(CLASSES[class]);
        Some(self.0.cast::<u8>().map_addr(|a| a.saturating_add(offset)))
    }

    /// Frees a piece; returns how many are left in use.
    fn free_piece(self, class: usize, piece: NonNull<u8>) -> usize {
        let offset = piece.addr().get() % PAGE_SIZE - HEADER;
        let index = offset / usize::from(CLASSES[class]);
        let header = self.header();
        let bit = 1 << (index % WORD_BITS);
        assert!(header.used[index / WORD_BITS] & bit != 0, "heap: freed twice");
        header.used[index / WORD_BITS] &= !bit;
        header.count -= 1;
        usize::from(header.count)
    }
}

/// A page that holds nothing any more.
pub struct Emptied(pub Block);

/// All slabs.
pub struct Slabs {
    /// For each class, the first page with a free piece.
    open: [Option<Page>; CLASSES.len()],
}

// SAFETY: the pages belong to the heap, whichever pCPU uses it.
unsafe impl Send for Slabs {}

impl Slabs {
    pub const fn new() -> Self {
        Self { open: [None; CLASSES.len()] }
    }

    /// Makes `block`, one page, a slab of `class`.
    pub fn add(&mut self, class: usize, block: Block) {
        self.link(class, Page::new(block));
    }

    /// A piece of `class`, or `None` if a page is needed for it.
    pub fn alloc(&mut self, class: usize) -> Option<NonNull<u8>> {
        let page = self.open[class]?;
        let piece = page.take_piece(class);
        if usize::from(page.header().count) == capacity(class) {
            self.unlink(class, page);
        }
        piece
    }

    /// Frees a piece of `class`; returns its page when that was the last piece in use.
    pub fn free(&mut self, class: usize, piece: NonNull<u8>) -> Option<Emptied> {
        let page = Page::of(piece);
        let left = page.free_piece(class, piece);
        let was_full = left + 1 == capacity(class);
        if left == 0 {
            if !was_full {
                self.unlink(class, page);
            }
            return Some(Emptied(page.into_block()));
        }
        if was_full {
            self.link(class, page);
        }
        None
    }

    fn link(&mut self, class: usize, page: Page) {
        let first = self.open[class].replace(page);
        if let Some(first) = first {
            first.header().previous = Some(page);
        }
        let header = page.header();
        header.next = first;
        header.previous = None;
    }

    fn unlink(&mut self, class: usize, page: Page) {
        let (next, previous) = (page.header().next, page.header().previous);
        if let Some(next) = next {
            next.header().previous = previous;
        }
        match previous {
            Some(previous) => previous.header().next = next,
            None => self.open[class] = next,
        }
    }
}
