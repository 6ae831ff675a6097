//! Accesses to device registers and system registers that make no sense.

use guest_kit::gic::{Gic, mmio};
use guest_kit::{cpu, psci, read_register, time, write_register};

use super::random::Random;

/// Makes one.
pub fn access(random: &mut Random, gic: Gic) {
    match random.below(8) {
        0..4 => device(random, gic),
        4 => firmware(random),
        5 => timers(random),
        6 => wait(random),
        _ => registers(random),
    }
}

fn device(random: &mut Random, gic: Gic) {
    let base = match random.below(8) {
        0..3 => gic.distributor(),
        3..6 => gic.private(random.below(3) as usize),
        6 => random.below(0x3800_0000),
        // No address that is RAM or a magic page: a write there could end the guest.
        _ => 0x100_0000_0000 + (random.word() & 0xff_ffff_ffff),
    };
    let at = base + if random.below(2) == 0 { random.below(0x1000) } else { random.below(0x1_0000) };
    let value = random.odd();
    match random.below(8) {
        0 => {
            mmio::read8(at);
        }
        1 => {
            mmio::read16(at);
        }
        2 => {
            mmio::read32(at & !3);
        }
        3 => {
            mmio::read64(at & !7);
        }
        4 => mmio::write8(at, value as u8),
        5 => mmio::write16(at, value as u16),
        6 => mmio::write32(at & !3, value as u32),
        _ => mmio::write64(at & !7, value),
    }
}

/// Calls of the firmware, but those that end the guest or take this vCPU down.
fn firmware(random: &mut Random) {
    let function = match random.below(4) {
        0 => 0x8400_0000 + random.below(32) as u32,
        1 => 0xc400_0000 + random.below(32) as u32,
        2 => 0x8000_0000 + random.below(0x10) as u32 + (random.below(2) as u32) * 0x7ff8,
        _ => random.word() as u32,
    };
    let low = function & 0x1f;
    let own = matches!(function & 0xbfff_ffe0, 0x8400_0000);
    // Power calls: CPU_SUSPEND waits for what may never come, CPU_ON would run the image's start on a vCPU again.
    if !(own && matches!(low, 1..4 | 8 | 9 | 0xc..0x13)) && function != 2 && function != 1 && function != 0 {
        psci::smccc(function, [random.odd(), random.odd(), random.odd()]);
    }
}

/// The virtual timer gets no value that ends past the counter's: QEMU before 8.2 adds the counter's offset without
/// looking for an overflow, takes the sum for a time long gone, and does nothing else from then on.
fn timers(random: &mut Random) {
    match random.below(6) {
        0 => write_register!("cntv_cval_el0", random.odd() >> 1),
        1 => write_register!("cntp_cval_el0", random.odd()),
        2 => write_register!("cntv_ctl_el0", random.odd()),
        3 => write_register!("cntp_ctl_el0", random.odd()),
        4 => write_register!("cntv_tval_el0", random.odd() & 0x7fff_ffff),
        _ => write_register!("cntp_tval_el0", random.odd()),
    }
}

/// Lets interrupts in for a moment; at times gives way before, which in QEMU lets the other CPU run for 100 ms. No WFI:
/// the guest breaks its own interrupt controller, and then nothing would end it.
fn wait(random: &mut Random) {
    time::set_virtual(random.below(100));
    if random.below(64) == 0 {
        cpu::wait_for_event();
    }
    cpu::unmask_interrupts();
    cpu::mask_interrupts();
}

fn registers(random: &mut Random) {
    let value = random.odd();
    macro_rules! one_of {
        ($($name:literal),*) => {{
            let accesses: &[fn(u64)] = &[$(
                |_| { read_register!($name); },
                |value| write_register!($name, value),
            )*
                // ICC_BPR1_EL1: QEMU 7.2 takes more than the field holds for zero, and aborts.
                |value| write_register!("S3_0_C12_C12_3", value & 7),
            ];
            random.one_of(accesses)(value);
        }};
    }
    one_of!(
        "S3_0_C12_C11_5",
        "S3_0_C12_C11_7",
        "S3_0_C12_C12_1",
        "S3_0_C12_C11_1",
        "S3_0_C4_C6_0",
        "S3_0_C12_C12_4",
        "S3_0_C12_C9_0",
        "S3_0_C12_C12_0",
        "actlr_el1",
        "mdscr_el1",
        "dbgbvr0_el1",
        "pmcr_el0",
        "pmccntr_el0",
        "osdlr_el1",
        "S2_0_C1_C0_4",
        "cntkctl_el1",
        "contextidr_el1",
        "S3_4_C1_C1_0",
        "S3_1_C15_C0_0",
        "S3_6_C1_C1_0",
        "S3_0_C5_C3_0",
        "S3_3_C15_C15_7"
    );
}
