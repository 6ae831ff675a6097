//! Instructions and addresses that trap: system registers, hints, calls, and memory with nothing behind it.

use core::arch::asm;
use guest_kit::gic::mmio;
use guest_kit::trap::{self, Fault};
use guest_kit::{Boot, cpu, hypercall, memory, read_register, write_register};

use crate::report::Report;
use crate::show;

pub fn run(report: Report, boot: &Boot) {
    registers(report);
    hints(report);
    calls(report);
    addresses(report, boot);
}

/// The class and the rest of a fault's syndrome.
fn kind(fault: Option<Fault>) -> Option<(u64, u64)> {
    fault.map(|fault| (fault.class(), fault.syndrome & 0x1ff_ffff))
}

macro_rules! show_registers {
    ($report:expr; $($name:literal),* $(,)?) => {$(
        let mut value = 0;
        let fault = trap::attempt(|| value = read_register!($name));
        show!($report, concat!("read-", $name), "{value:#x} {:x?}", kind(fault));
    )*};
}

macro_rules! show_writes {
    ($report:expr; $($name:literal),* $(,)?) => {$(
        let fault = trap::attempt(|| write_register!($name, 0));
        show!($report, concat!("write-", $name), "{:x?}", kind(fault));
    )*};
}

fn registers(report: Report) {
    show_registers!(report;
        "midr_el1", "mpidr_el1", "revidr_el1", "id_aa64pfr0_el1", "id_aa64pfr1_el1", "id_aa64dfr0_el1",
        "id_aa64dfr1_el1", "id_aa64afr0_el1", "id_aa64afr1_el1", "id_aa64isar0_el1", "id_aa64isar1_el1",
        "id_aa64mmfr0_el1", "id_aa64mmfr1_el1", "id_pfr0_el1", "id_pfr1_el1", "id_dfr0_el1", "id_afr0_el1",
        "id_mmfr0_el1", "id_mmfr1_el1", "id_mmfr2_el1", "id_mmfr3_el1", "id_isar0_el1", "id_isar1_el1",
        "id_isar2_el1", "id_isar3_el1", "id_isar4_el1", "id_isar5_el1", "mvfr0_el1", "mvfr1_el1", "mvfr2_el1",
        "S3_0_C0_C2_7", "S3_0_C0_C4_2", "S3_0_C0_C4_4", "S3_0_C0_C6_2", "S3_0_C0_C7_2", "S3_0_C0_C7_7",
        "ctr_el0", "dczid_el0", "clidr_el1", "aidr_el1", "actlr_el1", "cpacr_el1",
        "S3_1_C15_C0_0", "S3_1_C15_C2_0", "S3_0_C15_C0_0",
        "mdccsr_el0", "mdscr_el1", "oslsr_el1", "osdlr_el1", "dbgauthstatus_el1", "dbgbcr0_el1", "dbgwcr0_el1",
        "dbgbvr0_el1", "dbgwvr0_el1", "mdrar_el1", "dbgprcr_el1", "dbgclaimset_el1", "mdccint_el1",
        "pmcr_el0", "pmuserenr_el0", "pmccntr_el0", "pmcntenset_el0", "pmintenset_el1", "pmceid0_el0",
        "pmevcntr0_el0", "pmccfiltr_el0", "pmselr_el0",
        "S3_0_C5_C3_0", "S3_0_C10_C4_4", "S3_4_C1_C1_0", "S3_6_C1_C1_0",
        "S3_0_C12_C12_5", "S3_0_C12_C12_4", "S3_0_C12_C12_6", "S3_0_C12_C12_7", "S3_0_C12_C8_3",
        "S3_0_C12_C11_3", "S3_0_C4_C6_0", "S3_0_C12_C8_0", "S3_0_C12_C8_2", "S3_0_C12_C9_0",
        "cntfrq_el0", "cntkctl_el1", "S3_7_C14_C2_1", "amair_el1", "contextidr_el1", "S3_0_C10_C4_3",
        "S3_0_C2_C1_0", "S3_3_C13_C0_7",
    );
    show_writes!(report;
        "oslar_el1", "osdlr_el1", "mdscr_el1", "dbgbcr0_el1", "dbgbvr0_el1", "dbgwcr0_el1", "dbgwvr0_el1",
        "mdccint_el1", "dbgclaimclr_el1", "dbgprcr_el1",
        "pmcr_el0", "pmuserenr_el0", "pmcntenclr_el0", "pmintenclr_el1", "pmovsclr_el0", "pmselr_el0",
        "pmswinc_el0", "pmccntr_el0",
        "actlr_el1", "contextidr_el1", "amair_el1", "S3_0_C12_C8_2", "S3_0_C12_C11_7", "S3_0_C12_C11_6",
        "S3_4_C1_C1_0", "cntfrq_el0",
    );
}

fn hints(report: Report) {
    let fault = trap::attempt(cpu::wait_for_event);
    show!(report, "wfe", "{:x?}", kind(fault));
    macro_rules! instruction {
        ($name:literal, $($text:literal),*) => {
            let fault = trap::attempt(|| {
                // SAFETY: has no effect or traps, which is expected; registers that change are named.
                unsafe { asm!($($text),*, out("x0") _, options(nostack)) };
            });
            show!(report, $name, "{:x?}", kind(fault));
        };
    }
    instruction!("undefined", ".inst 0x00000000");
    instruction!("breakpoint", "brk #7");
    instruction!("halt", "hlt #7");
    instruction!("system-call-from-el1", "smc #0");
    instruction!("smc-1", "smc #1");
    instruction!("dcc-read", "mrs x0, dbgdtr_el0");
    instruction!("cache-by-set", "mov x0, #0", "dc cisw, x0");
    instruction!("cache-all", "ic ialluis");
    instruction!("tlb-stage-2", "mov x0, #0", ".inst 0xd50c8020");
    instruction!("address-translation-stage-12", "mov x0, #0", ".inst 0xd50c7880");
    instruction!("random-number", "mrs x0, S3_3_C2_C4_0");
    instruction!("impl-defined-sys", "sys #0, c11, c0, #0, x0");
    instruction!("unallocated-sys", "sys #5, c7, c0, #0, x0");
}

/// HVC and SMC with other numbers than those of hypercalls and firmware calls.
fn calls(report: Report) {
    macro_rules! call {
        ($name:literal, $text:literal, $x0:expr) => {
            let (first, result): (u64, u64) = ($x0, 0);
            let mut result = result;
            let fault = trap::attempt(|| {
                // SAFETY: a call that is refused, or one of the firmware's that changes the registers named.
                unsafe {
                    asm!($text, inlateout("x0") first => result, in("x16") 17u64,
                        lateout("x1") _, lateout("x2") _, lateout("x3") _, options(nostack));
                }
            });
            show!(report, $name, "{:#x} {:x?}", result, kind(fault));
        };
    }
    call!("hvc-1", "hvc #1", 7);
    call!("hvc-ea0", "hvc #0xea0", 7);
    call!("hvc-ea2", "hvc #0xea2", 7);
    call!("hvc-ffff", "hvc #0xffff", 7);
    call!("hvc-0-unknown", "hvc #0", 0x8600_ffff);
    call!("hvc-0-arch-version", "hvc #0", 0x8000_0000);
    call!("hvc-0-arch-features", "hvc #0", 0x8000_0001);
    call!("hvc-0-arch-unknown", "hvc #0", 0x8000_7fff);
    call!("hvc-0-hypervisor-count", "hvc #0", 0x8600_ff00);
    call!("hvc-0-hypervisor-uid", "hvc #0", 0x8600_ff01);
    call!("hvc-0-hypervisor-revision", "hvc #0", 0x8600_ff03);
    call!("hvc-0-standard-count", "hvc #0", 0x8400_ff00);
    call!("hvc-0-standard-uid", "hvc #0", 0x8400_ff01);
    call!("hvc-0-standard-revision", "hvc #0", 0x8400_ff03);
    call!("hvc-0-oem", "hvc #0", 0x8300_0000);
    call!("hvc-0-sip", "hvc #0", 0x8200_0000);
    call!("hvc-0-yielding", "hvc #0", 0x3200_0000);
    call!("hvc-0-psci-0.1", "hvc #0", 2);
    call!("smc-version", "smc #0", 0x8000_0000);
    call!("smc-psci-version", "smc #0", 0x8400_0000);
    for id in [0x8000_0000u32, 0x8000_7fff, 0x8000_8000, 0x8000_3fff, 0x8400_0000, 0xc400_0003] {
        let result = guest_kit::psci::smccc(0x8000_0001, [u64::from(id), 0, 0])[0] as i32;
        show!(report, format_args!("arch-features-{id:#x}"), "{result}");
    }
    show!(report, "hypervisor-uid", "{:x?}", guest_kit::psci::smccc(0x8600_ff01, [0; 3]));
    show!(report, "hypercall-after", "{}", hypercall::yield_now());
}

fn addresses(report: Report, boot: &Boot) {
    for address in [
        0u64,
        0x1000,
        0x0200_0000,
        0x0300_0000,
        0x0900_0000,
        0x2200_0000,
        0x37ff_f000,
        0x3a00_0000,
        0xb_0000_0000,
    ] {
        let read = trap::attempt(|| {
            mmio::read32(address);
        });
        let write = trap::attempt(|| mmio::write32(address, 0));
        show!(report, format_args!("address-{address:#x}"), "{:x?} {:x?}", kind(read), kind(write));
    }
    let distributor = boot.gic.distributor();
    macro_rules! access {
        ($name:literal, $address:expr, $($text:literal),*) => {
            let address: u64 = $address;
            let fault = trap::attempt(|| {
                // SAFETY: an access to device registers that faults or has no effect on memory.
                unsafe { asm!($($text),*, inout("x1") address => _, out("x2") _, out("x3") _, options(nostack)) };
            });
            show!(report, $name, "{:x?}", kind(fault));
        };
    }
    access!("pair-of-registers", distributor, "ldp w2, w3, [x1]");
    access!("post-indexed", distributor, "ldr w2, [x1], #4");
    access!("to-zero-register", distributor, "ldr wzr, [x1]");
    access!("sign-extended", distributor, "ldrsw x2, [x1]");
    access!("exclusive", distributor, "ldxr w2, [x1]");
    access!("unaligned", distributor + 2, "ldr w2, [x1]");
    access!("byte-of-word", distributor + 4, "ldrb w2, [x1]");
    access!("half-of-word", distributor + 4, "ldrh w2, [x1]");
    access!("double-of-word", distributor, "ldr x2, [x1]");
    access!("zeroed-line", distributor, "dc zva, x1");
    access!("cleaned-line", distributor, "dc cvac, x1");
    access!("invalidated-line", distributor, "dc ivac, x1");
    access!("fetched-nothing", 0x3a00_0000, "adr x30, 1f", "br x1", "1: nop");
    access!("exclusive-nothing", 0x3a00_0000, "ldxr w2, [x1]");
    access!("page-table-walk-nothing", 0x100_0000_0000, "ldr w2, [x1]");
    let page = memory::take_one();
    access!("ram", page.address(), "ldr w2, [x1]");
}
