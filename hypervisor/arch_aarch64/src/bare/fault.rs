//! The end: reports of exceptions in the hypervisor and of panics, with a back-trace.

use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU32, Ordering};

use super::{boot, console, cpu, power};
use crate::{esr, layout};

/// The pCPU, plus one, that reports a fatal exception; others do not.
pub(super) static OWNER: AtomicU32 = AtomicU32::new(0);

/// The stack that the report runs on.
#[repr(C, align(16))]
pub(super) struct ReportStack([u8; REPORT_STACK]);
pub(super) const REPORT_STACK: usize = 8 << 10;
pub(super) static mut STACK: ReportStack = ReportStack([0; REPORT_STACK]);

/// What the assembly stored; the layout is known there.
#[repr(C, align(16))]
pub(super) struct FatalFrame {
    x: [u64; 31],
    pc: u64,
    spsr: u64,
    sp: u64,
    esr: u64,
    far: u64,
    kind: u64,
}

/// Reports an exception that the hypervisor took in itself, and stops the machine.
pub(super) extern "C" fn report(frame: &FatalFrame) -> ! {
    let mut out = console::Emergency;
    let cpu = cpu::this();
    let what = match frame.kind {
        0 => esr::class_name(frame.esr),
        1 => "interrupt",
        2 => "fast interrupt",
        _ => "SError",
    };
    let _ = writeln!(out, "\n(XEN) Panic on CPU {cpu}: {what} in the hypervisor");
    if frame.kind == 0 && esr::has_address(frame.esr) {
        let _ = writeln!(out, "(XEN) address {:#018x}: {}", frame.far, esr::fault_name(frame.esr));
        if let Some(owner) = layout::stack_guard_of(frame.far) {
            let _ = writeln!(
                out,
                "(XEN) this is the guard below the stack of pCPU {owner}: the stack overflowed"
            );
        }
    }
    let _ = writeln!(
        out,
        "pc {:#018x}  sp {:#018x}  spsr {:#x}  esr {:#x}",
        frame.pc, frame.sp, frame.spsr, frame.esr
    );
    for (n, value) in frame.x.iter().enumerate() {
        let end = if n % 4 == 3 || n == 30 { "\n" } else { "  " };
        let _ = write!(out, "x{n:<2} {value:#018x}{end}");
    }
    let _ = writeln!(out, "(XEN) called from: {:#x}", frame.x[30]);
    back_trace(&mut out, frame.x[29]);
    stop(&mut out)
}

/// Reports a panic and stops the machine; for the image's panic handler.
pub fn panic(info: &PanicInfo<'_>) -> ! {
    let mut out = console::Emergency;
    let me = cpu::this() + 1;
    if let Err(owner) = OWNER.compare_exchange(0, me, Ordering::AcqRel, Ordering::Acquire) {
        if owner == me {
            power::off();
        }
        cpu::park();
    }
    let _ = writeln!(out, "\n(XEN) Panic on CPU {}: {info}", me - 1);
    back_trace(&mut out, cpu::frame_pointer());
    stop(&mut out)
}

fn stop(out: &mut impl Write) -> ! {
    let _ = writeln!(out, "(XEN) The machine stops here.");
    power::off()
}

/// Prints the return addresses on this pCPU's stack, innermost first.
fn back_trace(out: &mut impl fmt::Write, frame_pointer: u64) {
    let (bottom, top) = (layout::stack_bottom(cpu::this()), layout::stack_top(cpu::this()));
    let mut at = frame_pointer;
    let mut above = bottom;
    while at >= above && at < top - 16 && at.is_multiple_of(8) {
        // SAFETY: two words within this pCPU's stack, which is mapped and initialised from its
        // top to the frame in use.
        let [next, back] =
            unsafe { core::ptr::with_exposed_provenance::<[u64; 2]>(at as usize).read_volatile() };
        if !boot::is_code(back) {
            break;
        }
        let _ = writeln!(out, "(XEN) called from: {back:#x}");
        above = at + 16;
        at = next;
    }
}
