//! The firmware's power calls. The other vCPU is brought up and goes down.

use core::sync::atomic::{AtomicU32, Ordering};
use guest_kit::psci::{self, call};
use guest_kit::{Boot, cpu, start_by_affinity, start_vcpu, time};

use super::SURELY;
use crate::report::Report;
use crate::show;

static RUNS: AtomicU32 = AtomicU32::new(0);
static STAY: AtomicU32 = AtomicU32::new(0);

pub fn run(report: Report, _boot: &Boot) {
    show!(report, "version", "{:#x}", call(psci::VERSION, [0; 3]));
    for function in (0x8400_0000u32..0x8400_0016).chain(0xc400_0000..0xc400_0016).chain([
        0x8000_0000,
        0x9500_0001,
        0x95c1_ba5e,
    ]) {
        let result = call(psci::FEATURES, [u64::from(function), 0, 0]);
        show!(report, format_args!("features-{function:#x}"), "{result}");
    }
    show!(report, "migrate-type", "{}", call(psci::MIGRATE_INFO_TYPE, [0; 3]));
    for function in [
        0x8400_0005u32,
        0x8400_0007,
        0x8400_000b,
        0x8400_000d,
        0x8400_000e,
        0x8400_0010,
        0x8400_0012,
        0xc400_0010,
        0x8400_001f,
    ] {
        show!(report, format_args!("call-{function:#x}"), "{}", call(function, [0; 3]));
    }
    for affinity in [0u64, 1, 2, 16, 0x100, 1 << 32, 1 << 24, u64::MAX] {
        let info = call(psci::AFFINITY_INFO, [affinity, 0, 0]);
        let short = call(0x8400_0004, [affinity, 0, 0]);
        show!(report, format_args!("affinity-{affinity:#x}"), "{info} {short}");
    }
    for level in [1, 2, 3, 4, u64::MAX] {
        show!(report, format_args!("affinity-level-{level}"), "{}", call(psci::AFFINITY_INFO, [0, level, 0]));
    }
    show!(report, "on-itself", "{}", psci::cpu_on(cpu::affinity(), 0x4000_0000, 0));
    for affinity in [2u64, 0x100, 1 << 24 | 1, 1 << 32 | 1, u64::MAX] {
        // Where it is vCPU 1 after all, that goes down again.
        show!(report, format_args!("on-{affinity:#x}"), "{}", start_by_affinity(affinity, 1, || {}));
        time::spin_until(SURELY, || psci::affinity_info(1) == 1);
    }
    for entry in [1u64, 2, 0x4000_0001, 0x3a00_0000, 1 << 50, u64::MAX] {
        // Where it is accepted that vCPU would fetch from nowhere, so only what should be refused.
        if entry & 1 != 0 {
            show!(report, format_args!("on-entry-{entry:#x}"), "{}", psci::cpu_on(1, entry, 0));
        }
    }
    on_and_off(report);
    suspend(report);
}

fn on_and_off(report: Report) {
    let off = || time::spin_until(SURELY, || psci::affinity_info(1) == 1);
    for round in 0..3 {
        STAY.store(1, Ordering::SeqCst);
        let started = start_vcpu(1, || {
            RUNS.fetch_add(1, Ordering::SeqCst);
            while STAY.load(Ordering::SeqCst) != 0 {
                guest_kit::hypercall::yield_now();
            }
        });
        let ran = time::spin_until(SURELY, || RUNS.load(Ordering::SeqCst) == round + 1);
        let again = psci::cpu_on(1, 0x4000_0000, 0);
        let is_on = psci::affinity_info(1);
        STAY.store(0, Ordering::SeqCst);
        show!(report, format_args!("on-{round}"), "{started} {ran} {again} {is_on} {}", off());
    }
}

fn suspend(report: Report) {
    // An interrupt that is pending and masked ends it.
    time::set_virtual(10_000);
    let start = time::now();
    let result = psci::call(psci::CPU_SUSPEND, [0, 0, 0]);
    let waited = time::now() - start >= time::microseconds(9_000);
    time::stop();
    show!(report, "suspend", "{result} {waited}");
}
