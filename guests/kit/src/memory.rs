//! The guest's memory: pages of its own, and pages by their frame number.

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Where `link.ld` links the image.
const LINKED: usize = 0xaaaa_8000_0000;
/// Bytes mapped for it there.
const IMAGE_ROOM: u64 = 8 << 20;
const PAGE: usize = 4096;
/// Pages that programs can have.
const POOL: usize = 1024;

unsafe extern "C" {
    /// Behind the image's last byte (`link.ld`).
    static image_end: u8;
}

/// Where the image was loaded.
static IMAGE: AtomicU64 = AtomicU64::new(0);
static TAKEN: AtomicUsize = AtomicUsize::new(0);
static PAGES: [Page; POOL] = [const { Page([const { AtomicU64::new(0) }; PAGE / 8]) }; POOL];

/// A page that others may see and change.
#[repr(C, align(4096))]
pub struct Page([AtomicU64; PAGE / 8]);

pub(crate) fn set_image(at: u64) {
    IMAGE.store(at, Ordering::Relaxed);
}

/// The guest's physical address of what the image holds at a virtual one.
pub fn physical(address: usize) -> u64 {
    (address - LINKED) as u64 + IMAGE.load(Ordering::Relaxed)
}

/// The frames of the image, from the first to the one behind the last.
pub fn image_frames() -> (u64, u64) {
    let start = IMAGE.load(Ordering::Relaxed);
    (start >> 12, (start + IMAGE_ROOM) >> 12)
}

/// `count` pages in a row, zeroed, for ever.
pub fn take(count: usize) -> &'static [Page] {
    let at = TAKEN.fetch_add(count, Ordering::Relaxed);
    PAGES.get(at..at + count).expect("no page is left")
}

/// The last `count` pages of the image's room, behind which nothing is mapped. Not zeroed; everybody gets the same.
pub fn last(count: usize) -> &'static [Page] {
    let bytes = count * PAGE;
    let end = LINKED + IMAGE_ROOM as usize;
    assert!(
        (&raw const image_end).addr() + bytes <= end,
        "the image reaches into the last {count} pages of its room"
    );
    // SAFETY: mapped for ever, of no other object by the check above, and every content is a value of its atomics.
    unsafe { core::slice::from_raw_parts(core::ptr::with_exposed_provenance(end - bytes), count) }
}

/// One page, zeroed, for ever.
pub fn take_one() -> &'static Page {
    &take(1)[0]
}

impl Page {
    /// The page with a frame number. An access to one that is not there traps.
    pub fn at(frame: u64) -> &'static Page {
        let (first, end) = image_frames();
        assert!(!(first..end).contains(&frame), "frame {frame:#x} is of the image");
        let page = core::ptr::with_exposed_provenance::<Page>((frame << 12) as usize);
        // SAFETY: all low addresses are mapped at themselves, and every content is a value of its atomics.
        unsafe { &*page }
    }

    /// Its frame number.
    pub fn frame(&self) -> u64 {
        let address = (&raw const *self).addr();
        if address >= LINKED { physical(address) >> 12 } else { address as u64 >> 12 }
    }

    /// Its address.
    pub fn address(&self) -> u64 {
        (&raw const *self).expose_provenance() as u64
    }

    /// A 64-bit word.
    pub fn word(&self, index: usize) -> &AtomicU64 {
        &self.0[index]
    }

    /// A 32-bit word.
    pub fn half(&self, index: usize) -> &AtomicU32 {
        assert!(index < PAGE / 4);
        // SAFETY: inside the page, aligned, and atomics are shared.
        unsafe { &*(&raw const self.0).cast::<AtomicU32>().add(index) }
    }

    /// A byte.
    pub fn byte(&self, index: usize) -> &AtomicU8 {
        assert!(index < PAGE);
        // SAFETY: inside the page, and atomics are shared.
        unsafe { &*(&raw const self.0).cast::<AtomicU8>().add(index) }
    }

    /// Fills it with a word.
    pub fn fill(&self, value: u64) {
        for word in &self.0 {
            word.store(value, Ordering::Relaxed);
        }
    }
}
