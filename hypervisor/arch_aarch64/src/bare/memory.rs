//! Copying, clearing and cleaning memory, in assembly; see `memory.S`. The file also defines the
//! compiler's `memcpy`, `memmove` and `memset`.

use core::arch::global_asm;

global_asm!(include_str!("memory.S"));

// SAFETY: `memory.S` defines these with these arguments; what they need is with each.
unsafe extern "C" {
    /// Copies `len` bytes that others may change meanwhile, each read once.
    pub(super) fn copy_shared(to: *mut u8, from: *const u8, len: usize);
    /// Clears the pages from `at` to `end`.
    pub(super) fn zero_pages(at: *mut u8, end: *mut u8);
    /// Cleans and invalidates the data caches for the bytes from `at` to `end`, which are mapped.
    pub(super) fn clean_range(at: *mut u8, end: *mut u8);
    /// Clears the pages from `at` to `end`, and cleans and invalidates the data caches for them.
    pub(super) fn zero_and_clean_pages(at: *mut u8, end: *mut u8);
}
