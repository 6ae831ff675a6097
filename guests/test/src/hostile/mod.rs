//! A guest that attacks the hypervisor: random and well-formed hypercalls, storms of events and grants, wild device
//! and system registers, and a second vCPU that changes whatever the first one's calls look at.
//!
//! `hostile=SEED calls=COUNT` on the command line. The same seed makes the same calls, though not the same races. It
//! keeps its hands off its own image, and off its console until the end, so that it can tell how far it got; after the
//! last call it goes on until it is destroyed. What the second vCPU changes under a call may name any frame: the image
//! is loaded where no small number and no power of two is one of its frames.

mod arena;
mod calls;
mod devices;
mod racer;
mod random;

use guest_kit::{Boot, event, grant, println, start_vcpu, trap};

use arena::Arena;
use random::Random;

/// Calls between two lines of progress.
const PROGRESS: u64 = 10_000;
/// Of so many actions one is an access to devices or system registers.
const DEVICE_SHARE: u64 = 16;

/// Attacks until it is destroyed.
pub fn run(boot: &Boot, seed: u64, calls: u64) {
    println!("hostile: seed {seed}");
    let arena = Arena::new();
    event::register(super::suites::SHARED, 2);
    grant::map_table(0, 2);
    boot.gic.switch_on();
    trap::serve(boot.gic);
    racer::prepare(seed);
    start_vcpu(1, racer::run);
    let mut random = Random::new(seed);
    let mut made = 0;
    loop {
        // Faults are part of it, in the guest's own accesses too.
        trap::attempt(|| {
            if random.below(DEVICE_SHARE) == 0 {
                devices::access(&mut random, boot.gic);
            } else {
                calls::make(&mut random, arena);
            }
        });
        made += 1;
        if made % PROGRESS == 0 && made <= calls {
            println!("hostile: {made} calls");
        }
        if made == calls {
            println!("hostile: done");
        }
    }
}
