//! The way from the boot loader to Rust, and the image's place in memory.

use core::arch::global_asm;

use crate::boot_info::Protocol;
use crate::descriptor::{CODE, CODE_SEGMENT};
use crate::layout::{DIRECT_BASE, IMAGE_BASE, LOAD_ADDRESS, STACK_SIZE};
use crate::span::Span;

const PAGE: usize = 4096;

/// The offset in the root table of the entry for an address.
const fn root_entry(va: u64) -> u64 {
    (va >> 39 & 511) << 3
}

global_asm!(
    include_str!("boot.S"),
    code = const CODE,
    code_segment = const CODE_SEGMENT,
    pvh_magic = const Protocol::PVH_MAGIC,
    load_address = const LOAD_ADDRESS,
    image_l4_entry = const root_entry(IMAGE_BASE),
    direct_l4_entry = const root_entry(DIRECT_BASE),
    // Offsets of the tables below the root.
    low_l3 = const PAGE,
    low_l2 = const 2 * PAGE,
    image_l3 = const 3 * PAGE,
    image_l2 = const 4 * PAGE,
    image_l1 = const 5 * PAGE,
    direct_l3 = const 6 * PAGE,
    direct_l2 = const 7 * PAGE,
    tables_size = const 11 * PAGE,
    stack_size = const STACK_SIZE,
);

// SAFETY: the linker script defines the statics, of which only the addresses are used; `boot.S`
// defines the function, which may be called from anywhere.
unsafe extern "C" {
    safe static stack_guard: u8;
    safe static stack_bottom: u8;
    safe static image_end: u8;
    /// Stops this CPU for good.
    pub safe fn park() -> !;
}

fn address(symbol: &'static u8) -> u64 {
    core::ptr::from_ref(symbol).addr() as u64
}

/// The physical memory that the image and its zeroed data lie in.
pub fn image_span() -> Span {
    let len = address(&image_end).wrapping_sub(IMAGE_BASE);
    Span { start: LOAD_ADDRESS, end: LOAD_ADDRESS.wrapping_add(len) }
}

/// Whether `va` is in the page below the stack, which is never mapped.
pub(super) fn is_stack_guard(va: u64) -> bool {
    (address(&stack_guard)..address(&stack_bottom)).contains(&va)
}

/// Gives the entry code the function that runs on from there: of the boot loader's number, which
/// [`Protocol::from_magic`](crate::Protocol::from_magic) knows, and the physical address of its data.
#[macro_export]
macro_rules! image {
    (main: $main:path $(,)?) => {
        const _: extern "C" fn(u32, u32) -> ! = $main;

        ::core::arch::global_asm!(
            ".section .text.boot, \"ax\"",
            ".globl image_main",
            "image_main:",
            "jmp {main}",
            main = sym $main,
        );
    };
}
