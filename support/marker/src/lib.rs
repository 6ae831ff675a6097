//! Marks a span of instructions for the plugin that counts them (`tests/insn_count`): `movz xzr, #number`, an
//! instruction without effect that no compiler emits. On other CPUs than arm64 there is nothing to count.
#![no_std]

/// Executes the marker at the start of a batch.
#[inline(always)]
pub fn start<const ROW: u16>() {
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the instruction changes no register.
    unsafe {
        core::arch::asm!(".inst 0xd280001f + ({} << 5)", const ROW * 2, options(nostack));
    }
}

/// Executes the marker at its end.
#[inline(always)]
pub fn end<const ROW: u16>() {
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as in `start`.
    unsafe {
        core::arch::asm!(".inst 0xd280001f + ({} << 5)", const ROW * 2 + 1, options(nostack));
    }
}
