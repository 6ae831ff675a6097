// From the loader to Rust: page tables, MMU, stack.
//
// Entered as the arm64 boot protocol says, at EL1: MMU and data cache off, interrupts masked, x0 the device tree,
// loaded at a multiple of 2 MiB. All addresses below 512 GiB are mapped at themselves: the first 896 MiB as device
// registers, what is above (grant table, magic pages, RAM) as normal memory. The image is also mapped where it is
// linked to run.

.equ NORMAL, 0x701              // block, attributes 0, inner shareable, accessed
.equ DEVICE, 0x405              // block, attributes 1, accessed
.equ TABLE,  3

.section .head, "ax"
.globl image_head
image_head:
        b       start
        .long   0
        .quad   0xa00000                // text_offset: in the midst of RAM, away from the frames that hostile calls hit
        .quad   image_memory_size       // from the linker script: with the zeroed data
        .quad   0xa                     // little-endian, 4 KiB pages, anywhere
        .quad   0, 0, 0
        .ascii  "ARM\x64"
        .long   0

// Turns the MMU on. Clobbers x0-x2.
.macro mmu_on
        adrp    x0, boot_tables
        msr     ttbr0_el1, x0
        mov     x1, #0x04ff             // write-back; device, early acknowledgement
        msr     mair_el1, x1
        mrs     x1, id_aa64mmfr0_el1    // PARange
        and     x1, x1, #15
        mov     x2, #5                  // at most 48 bits
        cmp     x1, x2
        csel    x1, x1, x2, ls
        mov     x2, #0x3510             // TG0 4 KiB, inner shareable, write-back, T0SZ 16
        movk    x2, #0x0080, lsl #16    // EPD1
        orr     x1, x2, x1, lsl #32     // IPS
        msr     tcr_el1, x1
        tlbi    vmalle1
        dsb     nsh
        ic      iallu
        dsb     nsh
        isb
        ldr     x1, =0x30d0180d         // RES1, I, SA, C, M
        msr     sctlr_el1, x1
        isb
        ldr     x1, =kit_vectors
        msr     vbar_el1, x1
        isb
.endm

start:
        msr     daifset, #15
        msr     spsel, #1
        mov     x20, x0
        adrp    x22, image_head

        // The page tables, zeroed: root, addresses below 512 GiB, image's level 1, first GiB, image's level 2.
        adrp    x23, boot_tables
        add     x1, x23, #5 * 4096
        mov     x0, x23
1:      stp     xzr, xzr, [x0], #16
        cmp     x0, x1
        b.lo    1b

        add     x0, x23, #1 * 4096
        orr     x0, x0, #TABLE
        str     x0, [x23]
        add     x0, x23, #2 * 4096
        orr     x0, x0, #TABLE
        str     x0, [x23, #(0xaaaa80000000 >> 39) * 8]
        add     x24, x23, #1 * 4096
        add     x0, x23, #3 * 4096
        orr     x0, x0, #TABLE
        str     x0, [x24]
        mov     x1, #1
2:      lsl     x0, x1, #30
        mov     x2, #NORMAL
        orr     x0, x0, x2
        str     x0, [x24, x1, lsl #3]
        add     x1, x1, #1
        cmp     x1, #512
        b.lo    2b

        add     x24, x23, #3 * 4096
        mov     x1, #0
3:      lsl     x0, x1, #21
        mov     x2, #DEVICE
        mov     x3, #NORMAL
        cmp     x1, #0x38000000 >> 21
        csel    x2, x2, x3, lo
        orr     x0, x0, x2
        str     x0, [x24, x1, lsl #3]
        add     x1, x1, #1
        cmp     x1, #512
        b.lo    3b

        add     x24, x23, #2 * 4096
        add     x0, x23, #4 * 4096
        orr     x0, x0, #TABLE
        str     x0, [x24, #((0xaaaa80000000 >> 30) & 511) * 8]
        add     x24, x23, #4 * 4096
        mov     x1, #0
4:      add     x0, x22, x1, lsl #21
        mov     x2, #NORMAL
        orr     x0, x0, x2
        str     x0, [x24, x1, lsl #3]
        add     x1, x1, #1
        cmp     x1, #4
        b.lo    4b

        // No stale line may come back over what was written with the cache off.
        mov     x0, x23
        add     x1, x23, #5 * 4096
        dmb     sy
5:      dc      ivac, x0
        add     x0, x0, #64             // no line is shorter than 16 words
        cmp     x0, x1
        b.lo    5b
        dsb     sy

        mmu_on
        ldr     x0, =start_mapped
        br      x0

start_mapped:
        adrp    x0, bss_start
        adrp    x1, image_end
1:      cmp     x0, x1
        b.hs    2f
        stp     xzr, xzr, [x0], #16
        b       1b
2:      msr     tpidr_el1, xzr
        ldr     x0, ={stacks} + {stack_size}
        mov     sp, x0
        mov     x29, xzr
        mov     x30, xzr
        mov     x0, x20
        mov     x1, x22
        bl      {main}

// A vCPU that was brought up by PSCI; x0 is its number.
.globl secondary_start
secondary_start:
        msr     daifset, #15
        msr     spsel, #1
        mov     x20, x0
        mmu_on
        ldr     x0, =secondary_mapped
        br      x0

secondary_mapped:
        msr     tpidr_el1, x20
        ldr     x0, ={stacks} + {stack_size}
        mov     x1, #{stack_size}
        madd    x0, x20, x1, x0
        mov     sp, x0
        mov     x29, xzr
        mov     x30, xzr
        mov     x0, x20
        bl      {secondary}

.ltorg

.macro vector number
        .balign 128
        sub     sp, sp, #272
        stp     x0, x1, [sp]
        mov     x0, #\number
        b       trapped
.endm

.section .text.vectors, "ax"
.balign 2048
kit_vectors:
        vector  0
        vector  1
        vector  2
        vector  3
        vector  4
        vector  5
        vector  6
        vector  7
        vector  8
        vector  9
        vector  10
        vector  11
        vector  12
        vector  13
        vector  14
        vector  15

trapped:
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
        mrs     x1, elr_el1
        stp     x30, x1, [sp, #240]
        mrs     x1, spsr_el1
        str     x1, [sp, #256]
        mov     x1, sp
        bl      {trap}
        ldr     x1, [sp, #256]
        msr     spsr_el1, x1
        ldp     x30, x1, [sp, #240]
        msr     elr_el1, x1
        ldp     x28, x29, [sp, #224]
        ldp     x26, x27, [sp, #208]
        ldp     x24, x25, [sp, #192]
        ldp     x22, x23, [sp, #176]
        ldp     x20, x21, [sp, #160]
        ldp     x18, x19, [sp, #144]
        ldp     x16, x17, [sp, #128]
        ldp     x14, x15, [sp, #112]
        ldp     x12, x13, [sp, #96]
        ldp     x10, x11, [sp, #80]
        ldp     x8, x9, [sp, #64]
        ldp     x6, x7, [sp, #48]
        ldp     x4, x5, [sp, #32]
        ldp     x2, x3, [sp, #16]
        ldp     x0, x1, [sp], #272
        eret

// Zeroed by the code above, not with the rest of the zeroed data.
.section .bss.tables, "aw", %nobits
.balign 4096
boot_tables:
        .space  5 * 4096
