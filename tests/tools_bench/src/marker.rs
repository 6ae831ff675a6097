//! Markers: `movz xzr, #number`, an instruction that does nothing and that the counting plugin looks for.

/// Executes the marker at the start of a batch.
pub fn start<const ROW: u16>() {
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the instruction changes no register.
    unsafe {
        core::arch::asm!(".inst 0xd280001f + ({} << 5)", const ROW * 2, options(nostack));
    }
}

/// Executes the marker at its end.
pub fn end<const ROW: u16>() {
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as in `start`.
    unsafe {
        core::arch::asm!(".inst 0xd280001f + ({} << 5)", const ROW * 2 + 1, options(nostack));
    }
}
