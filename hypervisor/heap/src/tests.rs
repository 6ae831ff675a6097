//! The heap on the host, with pages from the host's allocator.

use super::*;
use proptest::prelude::*;
use std::sync::Mutex;

/// Hands out pages of the host, at most `limit` at a time, and knows which are out.
struct HostPages {
    out: Mutex<Vec<(usize, u32)>>,
    limit: usize,
}

impl HostPages {
    fn leak(limit: usize) -> &'static Self {
        Box::leak(Box::new(Self { out: Mutex::new(Vec::new()), limit }))
    }

    fn pages_out(&self) -> usize {
        self.out.lock().unwrap().iter().map(|&(_, order)| 1 << order).sum()
    }
}

fn block_layout(order: u32) -> Layout {
    Layout::from_size_align(PAGE_SIZE << order, PAGE_SIZE << order).unwrap()
}

impl PageSource for HostPages {
    fn take(&self, order: u32) -> Option<Block> {
        if self.pages_out() + (1 << order) > self.limit {
            return None;
        }
        // SAFETY: the layout's size is not zero.
        let base = NonNull::new(unsafe { std::alloc::alloc(block_layout(order)) }).unwrap();
        self.out.lock().unwrap().push((base.addr().get(), order));
        // SAFETY: freshly allocated with that size and alignment.
        Some(unsafe { Block::from_raw(base, order) })
    }

    fn give(&self, block: Block) {
        let (base, order) = block.into_raw();
        let mut out = self.out.lock().unwrap();
        let found = out.iter().position(|&b| b == (base.addr().get(), order)).expect("not given out");
        out.swap_remove(found);
        // SAFETY: allocated in `take` with this layout, and no longer used.
        unsafe { std::alloc::dealloc(base.as_ptr(), block_layout(order)) };
    }
}

/// A piece in use, filled with a byte of its own.
struct Piece {
    at: *mut u8,
    layout: Layout,
    fill: u8,
}

fn get<const N: usize>(heap: &Heap<N>, layout: Layout, fill: u8) -> Option<Piece> {
    // SAFETY: layouts in these tests are not empty.
    let at = unsafe { heap.alloc(layout) };
    if at.is_null() {
        return None;
    }
    assert_eq!(at as usize % layout.align(), 0);
    // SAFETY: the piece is that long.
    unsafe { at.write_bytes(fill, layout.size()) };
    Some(Piece { at, layout, fill })
}

fn put<const N: usize>(heap: &Heap<N>, piece: &Piece) {
    // SAFETY: the piece is that long and initialised.
    let bytes = unsafe { std::slice::from_raw_parts(piece.at, piece.layout.size()) };
    assert!(bytes.iter().all(|&b| b == piece.fill), "a piece was overwritten");
    // SAFETY: allocated with this layout, freed once.
    unsafe { heap.dealloc(piece.at, piece.layout) };
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

#[test]
fn own_pages_serve_before_there_is_a_source() {
    let heap = Heap::<4>::new();
    let small = get(&heap, layout(100, 8), 1).unwrap();
    let page = get(&heap, layout(PAGE_SIZE, 8), 2).unwrap();
    assert_eq!(heap.pool.used(), 2);
    assert!(get(&heap, layout(4 * PAGE_SIZE, 8), 3).is_none());
    put(&heap, &small);
    put(&heap, &page);
    assert_eq!(heap.pool.used(), 0);
}

#[test]
fn exhausted_source_refuses_and_recovers() {
    let heap = Heap::<0>::new();
    let pages = HostPages::leak(2);
    heap.set_source(pages);
    let first = get(&heap, layout(2016, 8), 1).unwrap();
    let second = get(&heap, layout(PAGE_SIZE, 8), 2).unwrap();
    assert!(get(&heap, layout(3000, 8), 3).is_none());
    let third = get(&heap, layout(2000, 8), 4).unwrap();
    for piece in [&first, &second, &third] {
        put(&heap, piece);
    }
    assert_eq!((pages.pages_out(), heap.source_pages()), (0, 0));
}

#[test]
fn page_returns_with_its_last_piece() {
    let heap = Heap::<0>::new();
    let pages = HostPages::leak(100);
    heap.set_source(pages);
    let capacity = size_class::capacity(3);
    let mut pieces: Vec<_> =
        (0..2 * capacity).map(|i| get(&heap, layout(64, 64), i as u8).unwrap()).collect();
    assert_eq!(pages.pages_out(), 2);
    for piece in pieces.drain(..capacity) {
        put(&heap, &piece);
    }
    assert_eq!(pages.pages_out(), 1);
    for piece in pieces {
        put(&heap, &piece);
    }
    assert_eq!(pages.pages_out(), 0);
}

#[test]
#[should_panic(expected = "freed twice")]
fn second_free_of_a_piece_stops_loudly() {
    let heap = Heap::<1>::new();
    let kept = get(&heap, layout(16, 8), 1).unwrap();
    let piece = get(&heap, layout(16, 8), 2).unwrap();
    put(&heap, &piece);
    assert_ne!(kept.at, piece.at);
    // SAFETY: deliberately wrong; the heap checks before it changes anything.
    unsafe { heap.dealloc(piece.at, piece.layout) };
}

#[test]
fn pieces_from_four_threads_stay_apart() {
    let heap: &'static Heap<8> = Box::leak(Box::new(Heap::new()));
    let pages = HostPages::leak(10_000);
    heap.set_source(pages);
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            scope.spawn(move || {
                let mut held = Vec::new();
                for i in 0..700usize {
                    held.push(
                        get(heap, layout(16 + i * 37 % 3000, 16), thread * 64 + (i % 64) as u8).unwrap(),
                    );
                    if i % 3 == 0 {
                        put(heap, &held.swap_remove(i * 7 % held.len()));
                    }
                }
                for piece in held {
                    put(heap, &piece);
                }
            });
        }
    });
    assert_eq!((pages.pages_out(), heap.pool.used()), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn pieces_never_overlap_and_everything_returns(
        steps in proptest::collection::vec((1usize..9000, 0u32..8, any::<bool>(), any::<u16>()), 1..300)
    ) {
        let heap = Heap::<5>::new();
        let pages = HostPages::leak(120);
        heap.set_source(pages);
        let mut held: Vec<Piece> = Vec::new();
        for (i, (size, align, free, which)) in steps.into_iter().enumerate() {
            if free && !held.is_empty() {
                let piece = held.swap_remove(usize::from(which) % held.len());
                put(&heap, &piece);
            } else if let Some(piece) = get(&heap, layout(size, 1 << align), i as u8) {
                held.push(piece);
            }
        }
        for piece in held {
            put(&heap, &piece);
        }
        prop_assert_eq!((pages.pages_out(), heap.source_pages(), heap.pool.used()), (0, 0, 0));
    }
}
