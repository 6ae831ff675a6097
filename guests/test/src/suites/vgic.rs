//! The virtual interrupt controller: its registers, and what becomes of interrupts.

use guest_kit::gic::{Gic, mmio, register};
use guest_kit::{Boot, cpu, read_register, time, trap, write_register};

use super::SURELY;
use crate::report::Report;
use crate::show;

/// A shared interrupt that no device of a DomU has.
const SPI: u32 = 40;

pub fn run(report: Report, boot: &Boot) {
    let gic = boot.gic;
    distributor(report, gic);
    redistributor(report, gic);
    writes(report, gic);
    gic.switch_on();
    trap::serve(gic);
    // What earlier suites left pending.
    loop {
        let acknowledged = gic.acknowledge();
        if acknowledged & 0x3ff >= 1020 {
            break;
        }
        gic.end(acknowledged);
    }
    interface(report, gic);
    sgis(report, gic);
    pending(report, gic);
    active(report, gic);
    priorities(report, gic);
}

/// A word, or the fault's syndrome.
fn word(address: u64) -> Result<u32, u64> {
    let mut value = 0;
    match trap::attempt(|| value = mmio::read32(address)) {
        None => Ok(value),
        Some(fault) => Err(fault.syndrome & 0x3ff_ffff),
    }
}

fn distributor(report: Report, gic: Gic) {
    let base = gic.distributor();
    for offset in [
        0x0, 0x4, 0x8, 0xc, 0x10, 0x20, 0x40, 0x48, 0x50, 0x58, 0x80, 0x84, 0x88, 0xfc, 0x100, 0x104, 0x180,
        0x184, 0x200, 0x204, 0x280, 0x284, 0x300, 0x304, 0x380, 0x384, 0x400, 0x41c, 0x420, 0x428, 0x43c,
        0x7f8, 0x800, 0x820, 0xbf8, 0xc00, 0xc04, 0xc08, 0xc0c, 0xcfc, 0xd00, 0xd04, 0xdfc, 0xe00, 0xe04,
        0xf00, 0xf10, 0xf20, 0xf30, 0xfd0, 0xfe0, 0xfe8, 0xffc, 0x6000, 0x6100, 0x6140, 0x7fd8, 0xc000,
        0xffe0, 0xffe8, 0xfffc,
    ] {
        show!(report, format_args!("gicd-{offset:#x}"), "{:x?}", word(base + offset));
    }
    for (name, offset) in [("typer", 4u64), ("enable", 0x104), ("priority", 0x420), ("router", 0x6140)] {
        let byte = trap::attempt(|| {
            mmio::read8(base + offset);
        });
        let half = trap::attempt(|| {
            mmio::read16(base + offset);
        });
        let double = trap::attempt(|| {
            mmio::read64(base + offset);
        });
        let faults = [byte, half, double].map(|fault| fault.map(|fault| fault.syndrome & 0x3ff_ffff));
        show!(report, format_args!("gicd-{name}-widths"), "{faults:x?}");
    }
}

fn redistributor(report: Report, gic: Gic) {
    for vcpu in [0, 1, 2] {
        let Some(base) = gic.redistributor(vcpu) else { return };
        for offset in [
            0x0, 0x4, 0x8, 0xc, 0x10, 0x14, 0x40, 0x70, 0x78, 0xa0, 0xb0, 0xc0, 0x100, 0x110, 0xc000, 0xffd0,
            0xffe0, 0xffe8, 0xfffc,
        ] {
            show!(report, format_args!("gicr-{vcpu}-{offset:#x}"), "{:x?}", word(base + offset));
        }
        for offset in [
            0x80u64, 0x84, 0x100, 0x180, 0x200, 0x280, 0x300, 0x380, 0x400, 0x41c, 0x420, 0xc00, 0xc04,
            0xd00, 0xe00,
        ] {
            show!(
                report,
                format_args!("gicr-{vcpu}-sgi-{offset:#x}"),
                "{:x?}",
                word(base + 0x1_0000 + offset)
            );
        }
    }
}

/// Writes a word and reads it back; the old word is written again.
fn written(address: u64, value: u32) -> Result<u32, u64> {
    let old = word(address)?;
    match trap::attempt(|| mmio::write32(address, value)) {
        Some(fault) => Err(fault.syndrome & 0x3ff_ffff),
        None => {
            let new = word(address);
            mmio::write32(address, old);
            new
        }
    }
}

fn writes(report: Report, gic: Gic) {
    let base = gic.distributor();
    for (offset, value) in [
        (0x0, u32::MAX),
        (0x0, 0),
        (0x0, 0x13),
        (0x4, u32::MAX),
        (0x8, u32::MAX),
        (0x84, u32::MAX),
        (0x420, u32::MAX),
        (0x428, 0x1234_5678),
        (0x820, u32::MAX),
        (0xc00, u32::MAX),
        (0xc04, u32::MAX),
        (0xc08, u32::MAX),
        (0xc0c, 0x5555_5555),
        (0xd04, u32::MAX),
        (0xfe8, u32::MAX),
        (0x6140, u32::MAX),
        (0x6140, 1),
        (0xffe8, u32::MAX),
    ] {
        show!(
            report,
            format_args!("gicd-write-{offset:#x}-{value:#x}"),
            "{:x?}",
            written(base + offset, value)
        );
    }
    let private = gic.private(0);
    for (offset, value) in [
        (0x80, u32::MAX),
        (0x400, u32::MAX),
        (0x41c, 0x1122_3344),
        (0xc00, u32::MAX),
        (0xc04, u32::MAX),
        (0xd00, 1),
    ] {
        show!(
            report,
            format_args!("private-write-{offset:#x}-{value:#x}"),
            "{:x?}",
            written(private + offset, value)
        );
    }
    if let Some(redistributor) = gic.redistributor(0) {
        for (offset, value) in [
            (0x0, u32::MAX),
            (0x0, 1),
            (0x10, u32::MAX),
            (0x14, 2),
            (0x14, 0),
            (0x70, u32::MAX),
            (0x78, u32::MAX),
        ] {
            show!(
                report,
                format_args!("gicr-write-{offset:#x}-{value:#x}"),
                "{:x?}",
                written(redistributor + offset, value)
            );
        }
    }
    mmio::write32(base + register::SET_ENABLE + 4, 1 << (SPI - 32));
    let on = word(base + register::CLEAR_ENABLE + 4);
    mmio::write32(base + register::CLEAR_ENABLE + 4, 1 << (SPI - 32));
    show!(report, "enable-and-disable", "{on:x?} {:x?}", word(base + register::SET_ENABLE + 4));
    mmio::write32(private + register::CLEAR_ENABLE, u32::MAX);
    show!(report, "private-disabled", "{:x?}", word(private + register::SET_ENABLE));
    mmio::write32(private + register::SET_ENABLE, u32::MAX);
    show!(report, "private-enabled", "{:x?}", word(private + register::SET_ENABLE));
    mmio::write32(private + register::CLEAR_ENABLE, u32::MAX);
}

/// The CPU interface's registers, by writes of all ones.
fn interface(report: Report, gic: Gic) {
    if matches!(gic, Gic::V2 { .. }) {
        return;
    }
    macro_rules! written {
        ($($name:literal $register:literal $restore:expr;)*) => {$(
            let mut value = 0;
            let fault = trap::attempt(|| {
                write_register!($register, 0xffff_ffff);
                value = read_register!($register);
                write_register!($register, $restore);
            });
            show!(report, concat!("interface-", $name), "{value:#x} {:?}", fault.map(|fault| fault.class()));
        )*};
    }
    written! {
        "pmr" "S3_0_C4_C6_0" 0xff;
        "bpr0" "S3_0_C12_C8_3" 2;
        "bpr1" "S3_0_C12_C12_3" 3;
        "ctlr" "S3_0_C12_C12_4" 0;
        "grpen1" "S3_0_C12_C12_7" 1;
        "sre" "S3_0_C12_C12_5" 7;
    }
    show!(report, "idle-running-priority", "{:#x}", read_register!("S3_0_C12_C11_3"));
    show!(report, "idle-acknowledge", "{}", gic.acknowledge());
    show!(report, "idle-highest", "{}", gic.highest_pending());
}

fn sgis(report: Report, gic: Gic) {
    trap::forget();
    for intid in 0..16 {
        gic.enable(0, intid);
        gic.set_priority(0, intid, 0xa0);
    }
    cpu::mask_interrupts();
    for intid in [3, 0, 15, 7] {
        gic.send_sgi(0, intid);
    }
    show!(
        report,
        "sgis-pending",
        "{:x?} {}",
        word(gic.private(0) + register::SET_PENDING),
        gic.highest_pending()
    );
    cpu::unmask_interrupts();
    time::spin_until(SURELY, || trap::taken(7) + trap::taken(15) == 2);
    cpu::mask_interrupts();
    show!(report, "sgis-order", "{:?}", trap::order::<5>());
    trap::forget();
    gic.send_sgi(0, 5);
    gic.send_sgi(0, 5);
    cpu::unmask_interrupts();
    time::spin_until(5000, || false);
    cpu::mask_interrupts();
    show!(report, "sgi-twice", "{}", trap::taken(5));
    trap::forget();
    gic.send_sgi(1, 5);
    gic.send_sgi(3, 5);
    show!(report, "sgi-to-vcpu-that-is-off", "{:x?}", word(gic.private(1) + register::SET_PENDING));
    mmio::write32(gic.private(0) + register::CLEAR_ENABLE, 1 << 4);
    gic.send_sgi(0, 4);
    cpu::unmask_interrupts();
    time::spin_until(5000, || false);
    let before = trap::taken(4);
    gic.enable(0, 4);
    time::spin_until(5000, || false);
    cpu::mask_interrupts();
    show!(report, "sgi-while-disabled", "{before} {}", trap::taken(4));
}

fn pending(report: Report, gic: Gic) {
    trap::forget();
    let base = gic.distributor();
    let bit = 1 << (SPI - 32);
    mmio::write32(base + register::SET_PENDING + 4, bit);
    show!(
        report,
        "spi-set-pending",
        "{:x?} {}",
        word(base + register::SET_PENDING + 4),
        gic.highest_pending()
    );
    gic.set_priority(0, SPI, 0x80);
    gic.enable(0, SPI);
    show!(report, "spi-enabled", "{:x?} {}", word(base + register::SET_PENDING + 4), gic.highest_pending());
    cpu::unmask_interrupts();
    time::spin_until(5000, || false);
    cpu::mask_interrupts();
    show!(report, "spi-taken", "{} {:x?}", trap::taken(SPI), word(base + register::SET_PENDING + 4));
    mmio::write32(base + register::SET_PENDING + 4, bit);
    mmio::write32(base + register::CLEAR_PENDING + 4, bit);
    cpu::unmask_interrupts();
    time::spin_until(5000, || false);
    cpu::mask_interrupts();
    show!(report, "spi-cleared", "{}", trap::taken(SPI));
    trap::forget();
    mmio::write32(gic.private(0) + register::SET_PENDING, 1 << 9);
    cpu::unmask_interrupts();
    time::spin_until(5000, || false);
    cpu::mask_interrupts();
    show!(report, "sgi-set-pending", "{}", trap::taken(9));
}

fn active(report: Report, gic: Gic) {
    trap::forget();
    gic.send_sgi(0, 6);
    let acknowledged = gic.acknowledge();
    show!(
        report,
        "acknowledged",
        "{} {:x?} {:x?}",
        acknowledged & 0x3ff,
        word(gic.private(0) + register::SET_ACTIVE),
        word(gic.private(0) + register::SET_PENDING)
    );
    gic.send_sgi(0, 6);
    show!(
        report,
        "sent-while-active",
        "{:x?} {}",
        word(gic.private(0) + register::SET_PENDING),
        gic.highest_pending()
    );
    gic.end(acknowledged);
    show!(report, "ended", "{:x?} {}", word(gic.private(0) + register::SET_ACTIVE), gic.highest_pending());
    let again = gic.acknowledge();
    gic.end(again);
    show!(report, "again", "{} {}", again & 0x3ff, gic.highest_pending());
    for (name, offset) in [("set-active", register::SET_ACTIVE), ("clear-active", register::CLEAR_ACTIVE)] {
        let fault = trap::attempt(|| mmio::write32(gic.private(0) + offset, 1 << 8));
        show!(
            report,
            name,
            "{:x?} {:x?}",
            fault.map(|fault| fault.syndrome & 0x3ff_ffff),
            word(gic.private(0) + register::SET_ACTIVE)
        );
    }
}

fn priorities(report: Report, gic: Gic) {
    trap::forget();
    for (intid, priority) in [(1, 0xc0), (2, 0x40), (3, 0x80), (4, 0x40)] {
        gic.set_priority(0, intid, priority);
    }
    for intid in 1..5 {
        gic.send_sgi(0, intid);
    }
    cpu::unmask_interrupts();
    time::spin_until(SURELY, || trap::taken(1) == 1);
    cpu::mask_interrupts();
    show!(report, "by-priority", "{:?}", trap::order::<5>());
    trap::forget();
    gic.set_priority_mask(0x60);
    gic.send_sgi(0, 1);
    gic.send_sgi(0, 2);
    cpu::unmask_interrupts();
    time::spin_until(5000, || false);
    show!(report, "priority-mask", "{:?} {}", trap::order::<2>(), gic.highest_pending());
    gic.set_priority_mask(0xff);
    time::spin_until(SURELY, || trap::taken(1) == 1);
    cpu::mask_interrupts();
    show!(report, "priority-mask-lifted", "{:?}", trap::order::<3>());
    gic.send_sgi(0, 3);
    let acknowledged = gic.acknowledge();
    gic.send_sgi(0, 1);
    let lower = gic.highest_pending();
    cpu::unmask_interrupts();
    time::spin_until(5000, || false);
    cpu::mask_interrupts();
    let while_active = trap::taken(1);
    gic.send_sgi(0, 2);
    cpu::unmask_interrupts();
    time::spin_until(SURELY, || trap::taken(2) == 2);
    cpu::mask_interrupts();
    show!(report, "preemption", "{} {lower} {while_active} {}", acknowledged & 0x3ff, trap::taken(2));
    gic.end(acknowledged);
    cpu::unmask_interrupts();
    time::spin_until(SURELY, || trap::taken(1) == 2);
    cpu::mask_interrupts();
    show!(report, "after-preemption", "{}", trap::taken(1));
}
