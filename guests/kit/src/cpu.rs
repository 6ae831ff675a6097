//! The vCPU that this runs on.

use core::arch::asm;

/// Reads a system register by its name or its `S3_…` encoding.
#[macro_export]
macro_rules! read_register {
    ($name:literal) => {{
        let value: u64;
        // SAFETY: a read of a system register changes nothing that the compiler knows of; where it is not allowed, it
        // traps.
        unsafe {
            core::arch::asm!(concat!("mrs {}, ", $name), inlateout(reg) 0u64 => value, options(nostack));
        }
        value
    }};
}

/// Writes a system register by its name or its `S3_…` encoding, and waits for the effect.
#[macro_export]
macro_rules! write_register {
    ($name:literal, $value:expr) => {{
        let value: u64 = $value;
        // SAFETY: the kit and its guests write registers of timers, interrupt controller and debugger, none of which
        // changes how memory is seen.
        unsafe { core::arch::asm!(concat!("msr ", $name, ", {}"), "isb", in(reg) value, options(nostack)) };
    }};
}

/// This vCPU's number.
pub fn number() -> usize {
    read_register!("tpidr_el1") as usize
}

/// Its affinity, as PSCI names it.
pub fn affinity() -> u64 {
    read_register!("mpidr_el1") & 0xff_00ff_ffff
}

/// Lets interrupts in.
pub fn unmask_interrupts() {
    // SAFETY: the vectors are in place, and handlers keep all registers.
    unsafe { asm!("msr daifclr, #2", "isb", options(nostack)) };
}

/// Keeps interrupts out.
pub fn mask_interrupts() {
    // SAFETY: changes nothing but when handlers run.
    unsafe { asm!("msr daifset, #2", options(nostack)) };
}

/// Waits for an interrupt, masked or not.
pub fn wait() {
    // SAFETY: a hint.
    unsafe { asm!("dsb sy", "wfi", options(nostack)) };
}

/// Waits for an event.
pub fn wait_for_event() {
    // SAFETY: a hint.
    unsafe { asm!("wfe", options(nostack)) };
}
