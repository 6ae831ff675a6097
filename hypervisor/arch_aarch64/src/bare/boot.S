// From the boot loader to Rust: builds the image's page tables, turns the MMU on, sets a stack.
//
// Entered as the arm64 boot protocol says: MMU and data cache off, interrupts masked, x0 the
// device tree, at EL2, loaded anywhere at a multiple of 2 MiB (a multiple of 4 KiB is enough here).
// The MMU is turned on without an identity map: the next instruction fetch faults, and the vector
// base already holds the link address of where to go on.
//
// Entered at EL1 instead, it does the same with EL1's registers, so that Rust can say what is
// wrong; see `Entry::level`.

.equ ATTR_TEXT,   0x783         // page, normal memory, read-only, inner shareable, accessed
.equ ATTR_RODATA, 0x783
.equ ATTR_DATA,   0x703
.equ ATTR_AP1,    0x40          // RES1 at EL2; at EL1 it would let EL0 in
.equ NX_HIGH,     0x60          // bits 54 (XN, UXN) and 53 (PXN), in the top halfword
.equ TABLE,       3

.section .head, "ax"
.globl image_head
image_head:
        b       start
        .long   0
        .quad   0                       // text_offset
        .quad   image_memory_size       // from the linker script: with the zeroed data
        .quad   0xa                     // little-endian, 4 KiB pages, anywhere
        .quad   0, 0, 0
        .ascii  "ARM\x64"
        .long   0

// Maps the image's pages from \from to \to. x22: image, x25: its level-3 table, x26: ATTR_AP1 or 0.
.macro map_image from, to, attributes, high
        adrp    x1, \from
        adrp    x2, \to
        sub     x3, x1, x22
        add     x3, x25, x3, lsr #9
        mov     x4, #\attributes
        movk    x4, #\high, lsl #48
        orr     x4, x4, x26
1:      cmp     x1, x2
        b.hs    2f
        orr     x5, x1, x4
        str     x5, [x3], #8
        add     x1, x1, #4096
        b       1b
2:
.endm

// Turns the MMU on and goes on at the virtual address in x19. Clobbers x0-x3.
.macro mmu_on level
        adrp    x0, boot_tables
        msr     ttbr0_el\level, x0
        ldr     x1, ={mair}
        msr     mair_el\level, x1
        mrs     x1, id_aa64mmfr0_el1    // PARange
        and     x1, x1, #15
        mov     x2, #5                  // at most 48 bits
        cmp     x1, x2
        csel    x1, x1, x2, ls
.if \level == 2
        mov     x2, #0x3510             // TG0 4 KiB, inner shareable, write-back, T0SZ 16
        movk    x2, #0x8080, lsl #16    // RES1
        orr     x1, x2, x1, lsl #16     // PS
.else
        mov     x2, #0x3510
        movk    x2, #0x0080, lsl #16    // EPD1
        orr     x1, x2, x1, lsl #32     // IPS
.endif
        msr     tcr_el\level, x1
        ldr     x1, =boot_vectors
        msr     vbar_el\level, x1
        msr     spsel, #1
.if \level == 2
        tlbi    alle2
        ldr     x1, =0x30cd183d         // RES1, WXN, I, SA, C, M
.else
        tlbi    vmalle1
        ldr     x1, =0x30d0199d         // RES1, I, SA, C, M
.endif
        dsb     nsh
        ic      iallu
        dsb     nsh
        isb
        msr     sctlr_el\level, x1
        isb
        b       .                       // the fetch faults before this is reached
.endm

.section .text.boot, "ax"
start:
        msr     daifset, #15
        mov     x20, x0
        mrs     x21, CurrentEL
        lsr     x21, x21, #2
        cmp     x21, #3
        b.eq    park
        adrp    x22, image_head

        // The page tables, zeroed: with the cache off, and no stale line may come back over them.
        adrp    x23, boot_tables
        add     x1, x23, #{table_pages} * 4096
        mov     x0, x23
1:      stp     xzr, xzr, [x0], #16
        cmp     x0, x1
        b.lo    1b

        add     x24, x23, #2 * 4096             // level 2
        add     x25, x23, #3 * 4096             // level 3 of the image
        add     x27, x23, #4 * 4096             // level 3 of the first stacks
        add     x0, x23, #4096                  // level 1
        add     x0, x0, #TABLE
        str     x0, [x23, #({image_base} >> 39) * 8]
        add     x0, x24, #TABLE
        str     x0, [x23, #4096]
        add     x0, x25, #TABLE
        str     x0, [x24]
        add     x0, x27, #TABLE
        str     x0, [x24, #(({stack_base} - {image_base}) >> 21) * 8]

        cmp     x21, #2
        mov     x26, #ATTR_AP1
        csel    x26, x26, xzr, eq
        map_image image_head, text_end, ATTR_TEXT, 0
        map_image text_end, rodata_end, ATTR_RODATA, NX_HIGH
        map_image rodata_end, image_end, ATTR_DATA, NX_HIGH

        // The boot CPU's stack, in the upper half of the first slot.
        adrp    x1, boot_stack
        add     x2, x1, #{stack_size}
        add     x3, x27, #({stack_size} >> 12) * 8
        mov     x4, #ATTR_DATA
        movk    x4, #NX_HIGH, lsl #48
        orr     x4, x4, x26
2:      orr     x5, x1, x4
        str     x5, [x3], #8
        add     x1, x1, #4096
        cmp     x1, x2
        b.lo    2b

        mov     x0, x23
        add     x1, x23, #{table_pages} * 4096
        dmb     sy
3:      dc      ivac, x0
        add     x0, x0, #64             // no line is shorter than 16 words
        cmp     x0, x1
        b.lo    3b
        dsb     sy

        ldr     x19, =start_mapped
        cmp     x21, #2
        b.ne    4f
        mmu_on  2
4:      mmu_on  1

// A CPU that was started by another; see smp.rs. Its record says where its stack is.
.globl secondary_start
secondary_start:
        msr     daifset, #15
        mrs     x0, CurrentEL
        cmp     x0, #2 << 2
        b.ne    park
        ldr     x19, =secondary_mapped
        mmu_on  2

.globl park
park:
        wfi
        b       park

.ltorg

// Where the first fetch with the MMU on traps to.
.balign 2048
boot_vectors:
        .space  0x200
        br      x19

start_mapped:
        ldr     x0, ={stack_base} + 2 * {stack_size}
        mov     sp, x0
        mov     x29, xzr
        mov     x30, xzr
        adrp    x0, bss_start
        adrp    x1, image_end
1:      cmp     x0, x1
        b.hs    2f
        stp     xzr, xzr, [x0], #16
        stp     xzr, xzr, [x0], #16
        b       1b
2:      adrp    x0, guest_vectors
        cmp     x21, #2
        b.ne    3f
        msr     vbar_el2, x0
        msr     tpidr_el2, xzr
        b       4f
3:      msr     vbar_el1, x0
4:      isb
        mov     x0, x20
        mov     x1, x22
        mov     x2, x21
        b       image_main

secondary_mapped:
        adrp    x0, {record}
        add     x0, x0, :lo12:{record}
        add     x4, x0, #{record_mpidr}
        mrs     x1, mpidr_el1
        ldr     x2, ={mpidr_mask}
        and     x1, x1, x2
        mov     x2, #{arrived}
1:      ldaxr   x3, [x4]
        cmp     x1, x3
        b.ne    2f                      // not the one that is expected: too late, or a stranger
        stlxr   w5, x2, [x4]
        cbnz    w5, 1b
        adrp    x1, guest_vectors
        msr     vbar_el2, x1
        ldr     x1, [x0, #{record_stack}]
        mov     sp, x1
        ldr     x0, [x0, #{record_cpu}]
        msr     tpidr_el2, x0
        isb
        mov     x29, xzr
        mov     x30, xzr
        b       image_secondary
2:      wfi
        b       2b

.ltorg

// Zeroed by the code above, not with the rest of the zeroed data.
.section .bss.tables, "aw", %nobits
.balign 4096
.globl boot_tables
boot_tables:
        .space  {table_pages} * 4096
boot_stack:
        .space  {stack_size}
