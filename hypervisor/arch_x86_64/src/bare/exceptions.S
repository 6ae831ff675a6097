// Exceptions: all are fatal. A stub for each, 16 bytes apart, then the report.

.section .text.exceptions, "ax"
.balign 16
.globl exception_stubs
exception_stubs:
.set vector, 0
.rept {vectors}
        .balign 16
.if ({with_error_code} >> vector) & 1 == 0
        push    0
.endif
        push    vector
        jmp     exception
.set vector, vector + 1
.endr

// The stack pointer was a multiple of 16 before the CPU's 5 words, the error code and the vector.
exception:
        push    r15
        push    r14
        push    r13
        push    r12
        push    r11
        push    r10
        push    r9
        push    r8
        push    rdi
        push    rsi
        push    rbp
        push    rbx
        push    rdx
        push    rcx
        push    rax
        mov     rax, cr3
        push    rax
        mov     rax, cr2
        push    rax
        cld
        mov     rdi, rsp
        call    {report}
        ud2

// Loads the tables at rdi (GDT) and rsi (IDT): 10 bytes each, limit and address. Selectors: code in
// edx, task in ecx.
.globl load_tables
load_tables:
        lgdt    [rdi]
        lidt    [rsi]
        ltr     cx
        pop     rax
        push    rdx
        push    rax
        retfq
