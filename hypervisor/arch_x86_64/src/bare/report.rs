//! The end: reports of exceptions and panics.

use core::fmt::Write as _;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use super::boot::{is_stack_guard, park};
use super::console::Emergency;
use crate::exception::{self, DOUBLE_FAULT, PAGE_FAULT};

/// Whether something is reported already.
static REPORTING: AtomicBool = AtomicBool::new(false);

/// What the assembly and the CPU stored.
#[repr(C)]
pub(super) struct Frame {
    cr2: u64,
    cr3: u64,
    rax: u64,
    rcx: u64,
    rdx: u64,
    rbx: u64,
    rbp: u64,
    rsi: u64,
    rdi: u64,
    r8: u64,
    r9: u64,
    r10: u64,
    r11: u64,
    r12: u64,
    r13: u64,
    r14: u64,
    r15: u64,
    vector: u64,
    error: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
}

/// Reports an exception, and stops the machine.
pub(super) extern "C" fn report(frame: &Frame) -> ! {
    once();
    let f = frame;
    let mut out = Emergency;
    let _ = writeln!(
        out,
        "\n*** Xenoxide: fatal exception {}: {}, error code {:#x}",
        f.vector,
        exception::name(f.vector),
        f.error
    );
    if f.vector == PAGE_FAULT {
        let (access, why) = exception::page_fault(f.error);
        let _ = writeln!(out, "{access} at {:#018x}: {why}", f.cr2);
    }
    if matches!(f.vector, PAGE_FAULT | DOUBLE_FAULT) && is_stack_guard(f.cr2) {
        let _ = writeln!(out, "{:#018x} is in the guard below the stack: the stack overflowed", f.cr2);
    }
    let rows = [
        [("rip", f.rip), ("rsp", f.rsp), ("rflags", f.rflags)],
        [("cs", f.cs), ("ss", f.ss), ("cr3", f.cr3)],
        [("rax", f.rax), ("rbx", f.rbx), ("rcx", f.rcx)],
        [("rdx", f.rdx), ("rsi", f.rsi), ("rdi", f.rdi)],
        [("rbp", f.rbp), ("r8", f.r8), ("r9", f.r9)],
        [("r10", f.r10), ("r11", f.r11), ("r12", f.r12)],
        [("r13", f.r13), ("r14", f.r14), ("r15", f.r15)],
    ];
    for row in rows {
        for (end, (name, value)) in ["  ", "  ", "\n"].into_iter().zip(row) {
            let _ = write!(out, "{name:<6} {value:#018x}{end}");
        }
    }
    stop()
}

/// Reports a panic, and stops the machine; for the image's panic handler.
pub fn panic(info: &PanicInfo<'_>) -> ! {
    once();
    let _ = writeln!(Emergency, "\n*** Xenoxide: {info}");
    stop()
}

/// Stops at once when the report itself fails.
fn once() {
    if REPORTING.swap(true, Ordering::AcqRel) {
        park();
    }
}

fn stop() -> ! {
    let _ = writeln!(Emergency, "*** the machine stops here");
    park()
}
