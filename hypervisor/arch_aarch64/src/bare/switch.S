// Saving and loading a guest's system and floating-point registers, and the fatal exceptions.

.arch_extension fp
.arch_extension simd

.section .text.switch, "ax"

.macro each_fp op, base
        \op     q0, q1, [\base, #0]
        \op     q2, q3, [\base, #32]
        \op     q4, q5, [\base, #64]
        \op     q6, q7, [\base, #96]
        \op     q8, q9, [\base, #128]
        \op     q10, q11, [\base, #160]
        \op     q12, q13, [\base, #192]
        \op     q14, q15, [\base, #224]
        \op     q16, q17, [\base, #256]
        \op     q18, q19, [\base, #288]
        \op     q20, q21, [\base, #320]
        \op     q22, q23, [\base, #352]
        \op     q24, q25, [\base, #384]
        \op     q26, q27, [\base, #416]
        \op     q28, q29, [\base, #448]
        \op     q30, q31, [\base, #480]
.endm

// The system registers in the order of arm_regs::SysRegs, in pairs.
.macro store_pair a, b, index
        mrs     x2, \a
        mrs     x3, \b
        stp     x2, x3, [x1, #\index * 8]
.endm

.macro load_pair a, b, index
        ldp     x2, x3, [x1, #\index * 8]
        msr     \a, x2
        msr     \b, x3
.endm

.macro each_pair op
        \op     sp_el0, sp_el1, 0
        \op     elr_el1, spsr_el1, 2
        \op     sctlr_el1, cpacr_el1, 4
        \op     ttbr0_el1, ttbr1_el1, 6
        \op     tcr_el1, mair_el1, 8
        \op     amair_el1, vbar_el1, 10
        \op     esr_el1, far_el1, 12
        \op     afsr0_el1, afsr1_el1, 14
        \op     par_el1, contextidr_el1, 16
        \op     tpidr_el0, tpidrro_el0, 18
        \op     tpidr_el1, csselr_el1, 20
.endm

// void save_guest(Context *): x0. The virtual timer is stopped, so that it cannot interrupt later.
.globl save_guest
save_guest:
        add     x1, x0, #{fp}
        each_fp stp, x1
        mrs     x2, fpsr
        mrs     x3, fpcr
        add     x1, x1, #512
        stp     x2, x3, [x1]
        add     x1, x0, #{sys}
        each_pair store_pair
        mrs     x2, cntkctl_el1
        mrs     x3, cntv_ctl_el0
        stp     x2, x3, [x1, #22 * 8]
        msr     cntv_ctl_el0, xzr
        store_pair cntv_cval_el0, vmpidr_el2, 24
        mrs     x2, cntvoff_el2
        str     x2, [x1, #26 * 8]
        ret

// void load_guest(const Context *): x0. The virtual timer starts last, when its offset is right.
.globl load_guest
load_guest:
        add     x1, x0, #{fp}
        each_fp ldp, x1
        add     x1, x1, #512
        ldp     x2, x3, [x1]
        msr     fpsr, x2
        msr     fpcr, x3
        add     x1, x0, #{sys}
        each_pair load_pair
        load_pair cntv_cval_el0, vmpidr_el2, 24
        ldr     x2, [x1, #26 * 8]
        msr     cntvoff_el2, x2
        ldp     x2, x3, [x1, #22 * 8]
        msr     cntkctl_el1, x2
        isb
        msr     cntv_ctl_el0, x3
        ret

// u64 guest_serror_pending(void): lets an asynchronous abort that the guest caused arrive now; 1 if
// one did.
.globl guest_serror_pending
guest_serror_pending:
        mov     x0, #0
        dsb     sy
        msr     daifclr, #4
serror_window:
        isb
serror_window_end:
        msr     daifset, #4
        ret

// An asynchronous abort in the hypervisor: expected in the window above, fatal elsewhere. It is
// masked elsewhere, so the stack is sound here.
.globl hypervisor_serror
hypervisor_serror:
        stp     x1, x2, [sp, #-16]!
        mrs     x1, elr_el2
        adr     x2, serror_window
        cmp     x1, x2
        b.lo    1f
        adr     x2, serror_window_end
        cmp     x1, x2
        b.hi    1f
        mrs     x1, spsr_el2
        orr     x1, x1, #1 << 8                 // mask further ones
        msr     spsr_el2, x1
        ldp     x1, x2, [sp], #16
        mov     x0, #1
        eret
        dsb     nsh
        isb
1:      ldp     x1, x2, [sp], #16
        msr     tpidr_el1, x0
        mov     x0, #3
        b       fatal_exception

// An exception that the hypervisor cannot recover from: x0 is its kind, the old x0 in TPIDR_EL1.
// Reports it from a stack of its own, since this CPU's may be what failed. Another CPU that gets
// here later stops; the same CPU here again is switched off at once.
.globl fatal_exception
fatal_exception:
        msr     tpidr_el0, x1
        mrs     x1, CurrentEL
        cmp     x1, #2 << 2
        b.ne    3f
        msr     tpidrro_el0, x2
        msr     far_el1, x3
        adrp    x1, {owner}
        add     x1, x1, :lo12:{owner}
        mrs     x2, tpidr_el2
        add     w2, w2, #1
1:      ldaxr   w3, [x1]
        cbnz    w3, 2f
        stxr    w3, w2, [x1]
        cbnz    w3, 1b

        adrp    x1, {stack}
        add     x1, x1, :lo12:{stack}
        add     x1, x1, #{stack_size}
        mov     x2, sp
        sub     sp, x1, #{fatal_frame}
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
        mrs     x4, elr_el2
        stp     x30, x4, [sp, #240]
        mrs     x4, spsr_el2
        stp     x4, x2, [sp, #256]
        mrs     x4, esr_el2
        mrs     x5, far_el2
        stp     x4, x5, [sp, #272]
        str     x0, [sp, #288]
        mrs     x4, tpidr_el1
        mrs     x5, tpidr_el0
        stp     x4, x5, [sp, #0]
        mrs     x4, tpidrro_el0
        mrs     x5, far_el1
        stp     x4, x5, [sp, #16]
        mov     x0, sp
        mov     x29, xzr
        bl      {report}

2:      cmp     w3, w2
        b.ne    3f
        mov     w3, #-1
        str     w3, [x1]
        ldr     w0, =0x84000008                 // PSCI SYSTEM_OFF
        smc     #0
3:      wfi
        b       3b
.ltorg
