// Copying and filling memory, cache maintenance by address.
//
// The copy reads each byte once, so it also serves memory that a guest changes meanwhile. It uses
// general registers only: the vector registers hold the guest's values.

.section .text.memory, "ax"

// void *memcpy(void *to, const void *from, size_t len)
// void copy_shared(u8 *to, const u8 *from, size_t len)
.balign 64
.globl memcpy
.globl copy_shared
memcpy:
copy_shared:
        mov     x3, x0
        subs    x2, x2, #128
        b.lo    3f                      // from here on only the low bits of the length count
        subs    x2, x2, #128
        b.lo    2f
1:      ldp     x4, x5, [x1], #256
        ldp     x6, x7, [x1, #-240]
        ldp     x8, x9, [x1, #-224]
        ldp     x10, x11, [x1, #-208]
        ldp     x12, x13, [x1, #-192]
        ldp     x14, x15, [x1, #-176]
        ldp     x16, x17, [x1, #-160]
        stp     x4, x5, [x3], #256
        ldp     x4, x5, [x1, #-144]
        stp     x6, x7, [x3, #-240]
        ldp     x6, x7, [x1, #-128]
        stp     x8, x9, [x3, #-224]
        ldp     x8, x9, [x1, #-112]
        stp     x10, x11, [x3, #-208]
        ldp     x10, x11, [x1, #-96]
        stp     x12, x13, [x3, #-192]
        ldp     x12, x13, [x1, #-80]
        stp     x14, x15, [x3, #-176]
        ldp     x14, x15, [x1, #-64]
        stp     x16, x17, [x3, #-160]
        ldp     x16, x17, [x1, #-48]
        stp     x4, x5, [x3, #-144]
        ldp     x4, x5, [x1, #-32]
        stp     x6, x7, [x3, #-128]
        ldp     x6, x7, [x1, #-16]
        stp     x8, x9, [x3, #-112]
        stp     x10, x11, [x3, #-96]
        stp     x12, x13, [x3, #-80]
        stp     x14, x15, [x3, #-64]
        stp     x16, x17, [x3, #-48]
        stp     x4, x5, [x3, #-32]
        stp     x6, x7, [x3, #-16]
        subs    x2, x2, #256
        b.hs    1b
2:      tbz     x2, #7, 3f
        ldp     x4, x5, [x1], #128
        ldp     x6, x7, [x1, #-112]
        ldp     x8, x9, [x1, #-96]
        ldp     x10, x11, [x1, #-80]
        ldp     x12, x13, [x1, #-64]
        ldp     x14, x15, [x1, #-48]
        ldp     x16, x17, [x1, #-32]
        stp     x4, x5, [x3], #128
        ldp     x4, x5, [x1, #-16]
        stp     x6, x7, [x3, #-112]
        stp     x8, x9, [x3, #-96]
        stp     x10, x11, [x3, #-80]
        stp     x12, x13, [x3, #-64]
        stp     x14, x15, [x3, #-48]
        stp     x16, x17, [x3, #-32]
        stp     x4, x5, [x3, #-16]
3:      tbz     x2, #6, 4f
        ldp     x4, x5, [x1], #64
        ldp     x6, x7, [x1, #-48]
        ldp     x8, x9, [x1, #-32]
        ldp     x10, x11, [x1, #-16]
        stp     x4, x5, [x3], #64
        stp     x6, x7, [x3, #-48]
        stp     x8, x9, [x3, #-32]
        stp     x10, x11, [x3, #-16]
4:      tbz     x2, #5, 5f
        ldp     x4, x5, [x1], #32
        ldp     x6, x7, [x1, #-16]
        stp     x4, x5, [x3], #32
        stp     x6, x7, [x3, #-16]
5:      tbz     x2, #4, 6f
        ldp     x4, x5, [x1], #16
        stp     x4, x5, [x3], #16
6:      tbz     x2, #3, 7f
        ldr     x4, [x1], #8
        str     x4, [x3], #8
7:      tbz     x2, #2, 8f
        ldr     w4, [x1], #4
        str     w4, [x3], #4
8:      tbz     x2, #1, 9f
        ldrh    w4, [x1], #2
        strh    w4, [x3], #2
9:      tbz     x2, #0, 10f
        ldrb    w4, [x1]
        strb    w4, [x3]
10:     ret

// void *memmove(void *to, const void *from, size_t len)
.globl memmove
memmove:
        sub     x4, x0, x1
        cmp     x4, x2
        b.hs    memcpy
        add     x1, x1, x2
        add     x3, x0, x2
1:      subs    x2, x2, #16
        b.lo    2f
        ldp     x4, x5, [x1, #-16]!
        stp     x4, x5, [x3, #-16]!
        b       1b
2:      adds    x2, x2, #16
        b.eq    4f
3:      ldrb    w4, [x1, #-1]!
        strb    w4, [x3, #-1]!
        subs    x2, x2, #1
        b.ne    3b
4:      ret

// void *memset(void *to, int byte, size_t len)
.globl memset
memset:
        and     x1, x1, #0xff
        orr     x1, x1, x1, lsl #8
        orr     x1, x1, x1, lsl #16
        orr     x1, x1, x1, lsl #32
        mov     x3, x0
        subs    x2, x2, #64
        b.lo    2f
1:      stp     x1, x1, [x3], #64
        stp     x1, x1, [x3, #-48]
        stp     x1, x1, [x3, #-32]
        stp     x1, x1, [x3, #-16]
        subs    x2, x2, #64
        b.hs    1b
2:      tbz     x2, #5, 3f
        stp     x1, x1, [x3], #32
        stp     x1, x1, [x3, #-16]
3:      tbz     x2, #4, 4f
        stp     x1, x1, [x3], #16
4:      tbz     x2, #3, 5f
        str     x1, [x3], #8
5:      tbz     x2, #2, 6f
        str     w1, [x3], #4
6:      tbz     x2, #1, 7f
        strh    w1, [x3], #2
7:      tbz     x2, #0, 8f
        strb    w1, [x3]
8:      ret

// void zero_pages(u8 *at, u8 *end): page-aligned, not empty.
.globl zero_pages
zero_pages:
        mrs     x3, dczid_el0
        and     x3, x3, #15
        mov     x2, #4
        lsl     x2, x2, x3              // bytes that DC ZVA clears, at most 2 KiB
        cmp     x2, #512
        b.hi    2f
1:
.rept 8
        dc      zva, x0
        add     x0, x0, x2
.endr
        cmp     x0, x1
        b.lo    1b
        ret
2:      dc      zva, x0                 // fewer than eight are in a page
        add     x0, x0, x2
        cmp     x0, x1
        b.lo    2b
        ret

// void clean_range(u8 *at, u8 *end): cleans and invalidates data caches to the point of coherency.
// Works in steps of eight lines, which divide a page, so only pages that the range touches.
.globl clean_range
clean_range:
        mrs     x3, ctr_el0
        ubfx    x3, x3, #16, #4
        mov     x2, #4
        lsl     x2, x2, x3              // the smallest line
        lsl     x4, x2, #3
        sub     x4, x4, #1
        bic     x0, x0, x4
1:
.rept 8
        dc      civac, x0
        add     x0, x0, x2
.endr
        cmp     x0, x1
        b.lo    1b
        dsb     sy
        ret

// void zero_and_clean_pages(u8 *at, u8 *end): zero_pages and clean_range. A line is cleaned as soon as it is zeroed: in
// one line the second is after the first without a barrier.
.globl zero_and_clean_pages
zero_and_clean_pages:
        mrs     x3, dczid_el0
        and     x3, x3, #15
        mov     x2, #4
        lsl     x3, x2, x3              // bytes that DC ZVA clears
        mrs     x4, ctr_el0
        ubfx    x4, x4, #16, #4
        lsl     x2, x2, x4              // the smallest line
        cmp     x2, x3
        b.ne    2f
        cmp     x2, #512
        b.hi    2f
1:
.rept 8
        dc      zva, x0
        dc      civac, x0
        add     x0, x0, x2
.endr
        cmp     x0, x1
        b.lo    1b
        dsb     sy
        ret
2:      stp     x30, x0, [sp, #-32]!
        str     x1, [sp, #16]
        bl      zero_pages
        ldr     x1, [sp, #16]
        ldp     x30, x0, [sp], #32
        b       clean_range
