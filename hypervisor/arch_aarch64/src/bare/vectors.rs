//! The exception vectors, and what the image hands to this crate.
//!
//! The vectors call the image's handlers directly, so their text is a macro that the image expands
//! with [`crate::image!`]: no pointer is loaded on the way.
//!
//! Four tables differ in what they do on entry from a guest, so that it cannot steer the branch
//! predictor of the hypervisor (`cpu_bugs::Hardening`); each CPU uses the one that it needs.

use core::sync::atomic::AtomicU32;

/// How many branches the loop of `guest_vectors_loop` takes.
pub static HARDENING_LOOPS: AtomicU32 = AtomicU32::new(0);
/// The firmware function that `guest_vectors_firmware` calls.
pub static HARDENING_FUNCTION: AtomicU32 = AtomicU32::new(0);

// SAFETY: the macro below defines these symbols; only their addresses are used.
unsafe extern "C" {
    pub(super) safe static guest_vectors: u8;
    pub(super) safe static guest_vectors_loop: u8;
    pub(super) safe static guest_vectors_clear: u8;
    pub(super) safe static guest_vectors_firmware: u8;
}

/// Places the exception vectors and ties the image's functions to them:
///
/// - `main: fn(u64, u64, u64) -> !`, entered on the boot CPU with the fields of [`crate::Entry`];
/// - `secondary: fn(u32) -> !`, entered on each other pCPU with its index;
/// - `sync`, `irq`, `serror: fn(&mut GuestRegs)`, called when a guest trapped, was interrupted, or
///   caused an asynchronous abort; on their return the guest in the frame runs on.
///
/// All are `extern "C"`. Handlers run with interrupts masked, on the pCPU's stack, whose top is the
/// frame.
#[macro_export]
macro_rules! image {
    (main: $main:path, secondary: $secondary:path, sync: $sync:path, irq: $irq:path, serror: $serror:path $(,)?) => {
        const _: extern "C" fn(u64, u64, u64) -> ! = $main;
        const _: extern "C" fn(u32) -> ! = $secondary;
        const _: [extern "C" fn(&mut $crate::GuestRegs); 3] = [$sync, $irq, $serror];

        ::core::arch::global_asm!(
            r#"
.section .text.vectors, "ax"
.globl image_main
image_main:
        b       {main}
.globl image_secondary
image_secondary:
        b       {secondary}

// Stores the guest's registers in a frame on the stack; x21, x22 are free afterwards.
.macro store_guest
        sub     sp, sp, #{frame}
        stp     x0, x1, [sp, #0]
        stp     x2, x3, [sp, #16]
        stp     x4, x5, [sp, #32]
        stp     x6, x7, [sp, #48]
        stp     x8, x9, [sp, #64]
        stp     x10, x11, [sp, #80]
        stp     x12, x13, [sp, #96]
        stp     x14, x15, [sp, #112]
        stp     x16, x17, [sp, #128]
        stp     x18, x19, [sp, #144]
        stp     x20, x21, [sp, #160]
        stp     x22, x23, [sp, #176]
        stp     x24, x25, [sp, #192]
        stp     x26, x27, [sp, #208]
        stp     x28, x29, [sp, #224]
        mrs     x21, elr_el2
        mrs     x22, spsr_el2
        str     x30, [sp, #240]
        stp     x21, x22, [sp, #{pc}]
.endm

// Returns to the guest in the frame. Nothing after ERET is executed, not even speculatively.
.macro leave_to_guest
        ldp     x21, x22, [sp, #{pc}]
        msr     elr_el2, x21
        msr     spsr_el2, x22
        ldp     x0, x1, [sp, #0]
        ldp     x2, x3, [sp, #16]
        ldp     x4, x5, [sp, #32]
        ldp     x6, x7, [sp, #48]
        ldp     x8, x9, [sp, #64]
        ldp     x10, x11, [sp, #80]
        ldp     x12, x13, [sp, #96]
        ldp     x14, x15, [sp, #112]
        ldp     x16, x17, [sp, #128]
        ldp     x18, x19, [sp, #144]
        ldp     x20, x21, [sp, #160]
        ldp     x22, x23, [sp, #176]
        ldp     x24, x25, [sp, #192]
        ldp     x26, x27, [sp, #208]
        ldp     x28, x29, [sp, #224]
        ldr     x30, [sp, #240]
        add     sp, sp, #{frame}
        eret
        dsb     nsh
        isb
.endm

guest_return:
        leave_to_guest
// For CPUs with erratum 1508412: loads end before the guest may read PAR_EL1.
guest_return_loop:
        dmb     sy
        leave_to_guest

// Branch predictor hardening, with all registers stored.
.macro harden_none
.endm
.macro harden_loop
        dmb     sy
        adrp    x0, {loops}
        ldr     w0, [x0, #:lo12:{loops}]
1:      b       . + 4
        subs    w0, w0, #1
        b.ne    1b
        dsb     nsh
        isb
.endm
.macro harden_clear
        hint    #22
        isb
.endm
.macro harden_firmware
        adrp    x0, {function}
        ldr     w0, [x0, #:lo12:{function}]
        smc     #0
.endm

.macro from_guest handler, harden, back
        store_guest
        \harden
        mov     x0, sp
        bl      \handler
        b       \back
.endm

// A guest in AArch32 state: the upper halves of its registers are not its own.
.macro from_guest32_body handler, harden, back
        .irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30
        mov     w\n, w\n
        .endr
        store_guest
        \harden
        mov     x0, sp
        bl      \handler
        b       \back
.endm

// An exception in the hypervisor. Nothing is returned to, so guests' registers serve as scratch.
.macro from_hypervisor kind
        msr     tpidr_el1, x0
        mov     x0, #\kind
        b       fatal_exception
.endm

.macro vector_table name, harden, back
        .balign 2048
.globl \name
\name:
        .org    \name + 0x000
        from_hypervisor 0
        .org    \name + 0x080
        from_hypervisor 1
        .org    \name + 0x100
        from_hypervisor 2
        .org    \name + 0x180
        from_hypervisor 3
        .org    \name + 0x200
        from_hypervisor 0
        .org    \name + 0x280
        from_hypervisor 1
        .org    \name + 0x300
        from_hypervisor 2
        .org    \name + 0x380
        b       hypervisor_serror
        .org    \name + 0x400
        from_guest {sync}, \harden, \back
        .org    \name + 0x480
        from_guest {irq}, \harden, \back
        .org    \name + 0x500
        from_guest {irq}, \harden, \back
        .org    \name + 0x580
        from_guest {serror}, \harden, \back
        .org    \name + 0x600
        b       \name\()_sync32
        .org    \name + 0x680
        b       \name\()_irq32
        .org    \name + 0x700
        b       \name\()_irq32
        .org    \name + 0x780
        b       \name\()_serror32
\name\()_sync32:
        from_guest32_body {sync}, \harden, \back
\name\()_irq32:
        from_guest32_body {irq}, \harden, \back
\name\()_serror32:
        from_guest32_body {serror}, \harden, \back
.endm

vector_table guest_vectors, harden_none, guest_return
vector_table guest_vectors_loop, harden_loop, guest_return_loop
vector_table guest_vectors_clear, harden_clear, guest_return
vector_table guest_vectors_firmware, harden_firmware, guest_return

// void enter_guest(const GuestRegs *regs): drops the stack and enters a guest.
.globl enter_guest
enter_guest:
        sub     x1, sp, #1
        orr     x1, x1, #{slot_mask}
        add     x1, x1, #1
        add     x0, x0, #{frame}
        mov     x2, #{frame} / 16
1:      ldp     x3, x4, [x0, #-16]!     // downwards: the registers may lie on this stack
        stp     x3, x4, [x1, #-16]!
        subs    x2, x2, #1
        b.ne    1b
        mov     sp, x1
        b       guest_return
"#,
            main = sym $main,
            secondary = sym $secondary,
            sync = sym $sync,
            irq = sym $irq,
            serror = sym $serror,
            loops = sym $crate::HARDENING_LOOPS,
            function = sym $crate::HARDENING_FUNCTION,
            frame = const ::core::mem::size_of::<$crate::GuestRegs>(),
            pc = const ::core::mem::offset_of!($crate::GuestRegs, pc),
            slot_mask = const $crate::STACK_SLOT_MASK,
        );
    };
}
