//! The firmware's power calls.

use core::arch::asm;

/// `PSCI_VERSION`.
pub const VERSION: u32 = 0x8400_0000;
/// `CPU_SUSPEND`.
pub const CPU_SUSPEND: u32 = 0xc400_0001;
/// `CPU_OFF`.
pub const CPU_OFF: u32 = 0x8400_0002;
/// `CPU_ON`.
pub const CPU_ON: u32 = 0xc400_0003;
/// `AFFINITY_INFO`.
pub const AFFINITY_INFO: u32 = 0xc400_0004;
/// `MIGRATE_INFO_TYPE`.
pub const MIGRATE_INFO_TYPE: u32 = 0x8400_0006;
/// `SYSTEM_OFF`.
pub const SYSTEM_OFF: u32 = 0x8400_0008;
/// `SYSTEM_RESET`.
pub const SYSTEM_RESET: u32 = 0x8400_0009;
/// `PSCI_FEATURES`.
pub const FEATURES: u32 = 0x8400_000a;

/// A call by the SMC calling convention through HVC #0; the first four results.
pub fn smccc(function: u32, arguments: [u64; 3]) -> [u64; 4] {
    let [a, b, c] = arguments;
    let mut result = [0; 4];
    // SAFETY: x0 to x17 are the call's; memory is touched by none of the calls made here.
    unsafe {
        asm!(
            "hvc #0",
            inlateout("x0") u64::from(function) => result[0],
            inlateout("x1") a => result[1],
            inlateout("x2") b => result[2],
            inlateout("x3") c => result[3],
            lateout("x4") _, lateout("x5") _, lateout("x6") _, lateout("x7") _, lateout("x8") _, lateout("x9") _,
            lateout("x10") _, lateout("x11") _, lateout("x12") _, lateout("x13") _, lateout("x14") _,
            lateout("x15") _, lateout("x16") _, lateout("x17") _,
            options(nostack),
        );
    }
    result
}

/// A PSCI call; its result is a signed number of 32 bits.
pub fn call(function: u32, arguments: [u64; 3]) -> i64 {
    i64::from(smccc(function, arguments)[0] as i32)
}

/// Brings a vCPU up.
pub fn cpu_on(affinity: u64, entry: u64, context: u64) -> i64 {
    call(CPU_ON, [affinity, entry, context])
}

/// Takes this vCPU down; comes back only if that is refused.
pub fn cpu_off() -> i64 {
    call(CPU_OFF, [0; 3])
}

/// Whether a vCPU is on (0) or off (1).
pub fn affinity_info(affinity: u64) -> i64 {
    call(AFFINITY_INFO, [affinity, 0, 0])
}

/// Ends the guest.
pub fn system_off() -> ! {
    loop {
        system_off_try();
    }
}

pub(crate) fn system_off_try() {
    call(SYSTEM_OFF, [0; 3]);
}
