//! The memory that calls look at and the other vCPU changes.

use guest_kit::memory::{self, Page};

use super::random::Random;

/// Pages of arguments.
const PAGES: usize = 8;
/// RAM that nothing of the guest's is in, to be given back, taken and mapped over: from 20 MiB above the start of RAM.
const RAM: u64 = (0x4000_0000 + (20 << 20)) >> 12;
const RAM_FRAMES: u64 = 1024;
/// Frames without RAM, behind the room for the magic pages; the console's ring is one of those.
const HOLE: u64 = 0x3a00_0000 >> 12;
const HOLE_FRAMES: u64 = 4096;

/// All of it.
#[derive(Clone, Copy)]
pub struct Arena {
    /// Arguments of calls.
    pub arguments: &'static [Page],
}

impl Arena {
    /// All of it, for each vCPU. A list that goes on behind its end meets a fault there, not the guest's own data.
    pub fn new() -> Self {
        Self { arguments: memory::last(PAGES) }
    }

    /// The address of an argument: mostly in the arena, with room behind, sometimes over an edge or nowhere.
    pub fn pointer(self, random: &mut Random) -> u64 {
        let page = &self.arguments[random.below(PAGES as u64 - 1) as usize];
        match random.below(16) {
            0 => random.word(),
            1 => 0,
            2 => self.arguments[PAGES - 1].address() + 0x1000 - random.below(64),
            3 => page.address() + random.below(0x1000),
            _ => page.address() + random.below(0x180) * 8,
        }
    }

    /// A frame number: of RAM to play with, of a hole, or nonsense. Never of the image or the console.
    pub fn frame(self, random: &mut Random) -> u64 {
        match random.below(8) {
            0..4 => RAM + random.below(RAM_FRAMES),
            4 | 5 => HOLE + random.below(HOLE_FRAMES),
            // Far apart, so that each needs tables of its own.
            6 => 0x20_0000 + random.below(1 << 18) * 512,
            _ => {
                let frame = random.odd();
                let (first, end) = memory::image_frames();
                let own = (first..end).contains(&frame) || (0x39000..0x39010).contains(&frame);
                // Blocks of frames from there must not reach the image either.
                if own || frame < 1 << 20 { HOLE } else { frame }
            }
        }
    }

    /// Writes a word of the arguments at an address that [`Arena::pointer`] gave, if it is in the arena.
    pub fn write(self, at: u64, bytes: u64, value: u64) {
        use core::sync::atomic::Ordering::Relaxed;
        let first = self.arguments[0].address();
        let Some(offset) = at.checked_sub(first).filter(|offset| offset + bytes <= (PAGES as u64) << 12)
        else {
            return;
        };
        for index in 0..bytes {
            let at = offset + index;
            self.arguments[(at >> 12) as usize]
                .byte((at & 0xfff) as usize)
                .store((value >> (8 * index)) as u8, Relaxed);
        }
    }
}
