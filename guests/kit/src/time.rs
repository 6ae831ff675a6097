//! The architectural timers and the counter.

use crate::{cpu, read_register, write_register};

/// PPI of the virtual timer.
pub const VIRTUAL_PPI: u32 = 27;
/// PPI of the physical timer.
pub const PHYSICAL_PPI: u32 = 30;

/// `ENABLE`.
pub const ENABLE: u64 = 1;
/// `IMASK`.
pub const MASK: u64 = 2;
/// `ISTATUS`.
pub const STATUS: u64 = 4;

/// The virtual counter.
pub fn now() -> u64 {
    read_register!("cntvct_el0")
}

/// Ticks per second.
pub fn frequency() -> u64 {
    read_register!("cntfrq_el0")
}

/// Ticks in some microseconds.
pub fn microseconds(count: u64) -> u64 {
    frequency() * count / 1_000_000
}

/// Spins until `done`, for at most `limit` microseconds; whether it was done.
pub fn spin_until(limit: u64, mut done: impl FnMut() -> bool) -> bool {
    let end = now() + microseconds(limit);
    loop {
        if done() {
            return true;
        }
        if now() >= end {
            return false;
        }
        core::hint::spin_loop();
    }
}

/// Sets the virtual timer to fire `microseconds` from now.
pub fn set_virtual(microseconds_ahead: u64) {
    write_register!("cntv_cval_el0", now() + microseconds(microseconds_ahead));
    write_register!("cntv_ctl_el0", ENABLE);
}

/// Sets the physical timer to fire `microseconds` from now.
pub fn set_physical(microseconds_ahead: u64) {
    write_register!("cntp_cval_el0", read_register!("cntpct_el0") + microseconds(microseconds_ahead));
    write_register!("cntp_ctl_el0", ENABLE);
}

/// Lets others run for some microseconds. The virtual timer's interrupt must be enabled and served.
pub fn sleep(microseconds: u64) {
    set_virtual(microseconds);
    cpu::wait();
    cpu::unmask_interrupts();
    cpu::mask_interrupts();
}

/// Stops both timers.
pub fn stop() {
    write_register!("cntv_ctl_el0", 0);
    write_register!("cntp_ctl_el0", 0);
}
