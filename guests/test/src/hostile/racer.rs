//! The second vCPU: changes the arguments of the first one's calls, flips its grants, closes its ports and takes its
//! memory, all the time.

use core::sync::atomic::{AtomicU64, Ordering};
use guest_kit::{cpu, grant, trap};

use super::arena::Arena;
use super::calls;
use super::random::Random;

/// Of so many changes one is a call.
const CALL_SHARE: u64 = 32;

static SEED: AtomicU64 = AtomicU64::new(0);

/// Says what to change, before the vCPU is brought up.
pub fn prepare(seed: u64) {
    SEED.store(!seed, Ordering::SeqCst);
}

/// Runs on that vCPU, for ever.
pub fn run() {
    let mut random = Random::new(SEED.load(Ordering::SeqCst));
    let arena = Arena::new();
    loop {
        trap::attempt(|| match random.below(CALL_SHARE) {
            0 => calls::make(&mut random, arena),
            1..8 => {
                let (head, frame) = grant::entry(8 + random.below(64) as u32);
                head.store(random.word() as u32 & 0xffff_011f, Ordering::SeqCst);
                frame.store(arena.frame(&mut random) as u32, Ordering::SeqCst);
            }
            _ => {
                let page = &arena.arguments[random.below(arena.arguments.len() as u64) as usize];
                let value = if random.below(2) == 0 { arena.frame(&mut random) } else { random.odd() };
                page.word(random.below(512) as usize).store(value, Ordering::SeqCst);
            }
        });
        if cpu::number() != 1 {
            return;
        }
    }
}
