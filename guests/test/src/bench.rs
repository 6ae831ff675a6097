//! Rows of the benchmark that need a guest of their own: a Dom0 with two vCPUs on one CPU and nothing else to do.
//!
//! What a row means is said in `xtask/src/bench/table.rs`; markers and lines are those of `guests/bench`.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use guest_kit::gic::Gic;
use guest_kit::{Boot, cpu, hypercall, println, psci, start_vcpu, time, trap};

/// How often a row is measured; the best counts.
const BATCHES: u32 = 16;
/// Operations in a batch.
const CALLS: u32 = 64;
/// The interrupts of vCPU 0 and of vCPU 1.
const SGI: u32 = 3;
const OTHERS_SGI: u32 = 4;
/// Until a timer ends a wait, in microseconds.
const WAIT: u64 = 50;

/// What the other vCPU counts.
static TURNS: AtomicU32 = AtomicU32::new(0);
static STOP: AtomicBool = AtomicBool::new(false);

/// Measures all rows.
pub fn run(boot: &Boot) {
    prepare(boot.gic, 0);
    let gic = boot.gic;
    row::<16>("ipi-self", 1, || {
        let before = trap::taken(SGI);
        gic.send_sgi(0, SGI);
        while trap::taken(SGI) == before {}
    });
    cpu::mask_interrupts();
    row::<17>("wait", 1, || time::sleep(WAIT));

    with_other(
        || {
            while !STOP.load(Ordering::SeqCst) {
                TURNS.fetch_add(1, Ordering::SeqCst);
                hypercall::yield_now();
            }
        },
        || {
            row::<18>("switch", 2, || {
                let before = TURNS.load(Ordering::SeqCst);
                while TURNS.load(Ordering::SeqCst) == before {
                    hypercall::yield_now();
                }
            })
        },
    );

    // Both wait for the other's interrupt and answer it.
    with_other(
        || {
            let gic = trap::served().expect("a controller");
            prepare(gic, 1);
            cpu::mask_interrupts();
            let mut seen = trap::taken(OTHERS_SGI);
            while !STOP.load(Ordering::SeqCst) {
                wait_for(OTHERS_SGI, &mut seen);
                gic.send_sgi(0, SGI);
            }
        },
        || {
            let mut seen = trap::taken(SGI);
            row::<19>("ipi-wake", 2, || {
                gic.send_sgi(1, OTHERS_SGI);
                wait_for(SGI, &mut seen);
            });
            STOP.store(true, Ordering::SeqCst);
            gic.send_sgi(1, OTHERS_SGI);
        },
    );
    println!("bench: done");
}

/// Makes this vCPU take its own interrupts.
fn prepare(gic: Gic, vcpu: usize) {
    gic.switch_on();
    trap::serve(gic);
    gic.enable(vcpu, if vcpu == 0 { SGI } else { OTHERS_SGI });
    gic.enable(vcpu, time::VIRTUAL_PPI);
    cpu::unmask_interrupts();
}

/// Waits, with interrupts masked, until one more was taken than were seen.
fn wait_for(intid: u32, seen: &mut u32) {
    while trap::taken(intid) == *seen {
        cpu::wait();
        cpu::unmask_interrupts();
        cpu::mask_interrupts();
    }
    *seen = trap::taken(intid);
}

/// Runs `work` while the other vCPU runs `other`, and waits for its end.
fn with_other(other: fn(), work: impl FnOnce()) {
    STOP.store(false, Ordering::SeqCst);
    if start_vcpu(1, other) != 0 {
        println!("bench: failed vcpu-1");
        return;
    }
    // Until it waits or yields for the first time.
    for _ in 0..100 {
        hypercall::yield_now();
    }
    work();
    STOP.store(true, Ordering::SeqCst);
    while psci::affinity_info(1) == 0 {
        hypercall::yield_now();
    }
}

/// Measures `operation`, which counts as `parts`.
fn row<const ID: u16>(name: &str, parts: u32, mut operation: impl FnMut()) {
    for _ in 0..BATCHES {
        marker::start::<ID>();
        for _ in 0..CALLS {
            operation();
        }
        marker::end::<ID>();
    }
    println!("bench: row {ID} {name} {CALLS} {parts} 0");
}
