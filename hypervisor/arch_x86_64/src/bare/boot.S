// From the boot loader to Rust: builds the page tables, enters 64-bit mode, sets a stack.
//
// Entered in 32-bit protected mode without paging, interrupts masked, flat segments, ebx the boot
// loader's data; eax its number with multiboot. The boot loader has put the image where it is
// linked for and has zeroed what the file does not hold. Section .boot is linked at its physical
// address; all else at virtual addresses of the hypervisor's own range. Names that end in _phys are
// physical addresses, from the linker script.

.equ MULTIBOOT1_HEADER, 0x1badb002
.equ MULTIBOOT1_FLAGS,  3               // modules in whole pages; memory information
.equ MULTIBOOT2_HEADER, 0xe85250d6

.equ TABLE,     3                       // present, writable
.equ LARGE,     0x80
.equ TEXT,      1
.equ DATA,      3
.equ NX,        0x80000000              // bit 63, in an entry's upper half

.equ EFER,      0xc0000080
.equ EFER_BITS, 0x900                   // long mode, no-execute
.equ CR4_BITS,  0x60                    // PAE, machine checks
.equ CR0_BITS,  0x80010033              // paging, write protection for ring 0 too, FPU errors, PE
.equ CPU_BITS,  0x20100000              // long mode and NX, in edx of CPUID leaf 0x80000001

.equ COM1,      0x3f8

// How QEMU and Xen find the entry for PVH (public/elfnote.h: XEN_ELFNOTE_PHYS32_ENTRY).
.section .note.Xen, "a", @note
.balign 4
        .long   4, 4, 18
        .asciz  "Xen"
        .long   pvh_start

.section .boot, "ax"
.balign 8
multiboot2_header:
        .long   MULTIBOOT2_HEADER
        .long   0                       // i386, 32-bit
        .long   multiboot2_end - multiboot2_header
        .long   -(MULTIBOOT2_HEADER + (multiboot2_end - multiboot2_header))
        .short  1, 0                    // must be passed: the memory map
        .long   12, 6
        .balign 8
        .short  6, 0                    // modules in whole pages
        .long   8
        .short  0, 0
        .long   8
multiboot2_end:

.balign 4
multiboot1_header:
        .long   MULTIBOOT1_HEADER
        .long   MULTIBOOT1_FLAGS
        .long   -(MULTIBOOT1_HEADER + MULTIBOOT1_FLAGS)

.balign 8
boot_gdt:
        .quad   0
        .quad   {code_segment}
boot_gdt_pointer:
        .short  boot_gdt_pointer - boot_gdt - 1
        .long   boot_gdt

unfit:
        .ascii  "\r\nXenoxide: this CPU cannot run it: it needs 64-bit mode and no-execute pages.\r\n"
        .asciz  "They may be switched off in the firmware's setup. The machine stops here.\r\n"

// 115200 baud, 8N1: port and value, up to port 0.
com1_setup:
        .short  COM1 + 1, 0
        .short  COM1 + 3, 0x80
        .short  COM1, 1
        .short  COM1 + 1, 0
        .short  COM1 + 3, 3
        .short  0

// Fills the last level for the image's pages from \from to \to, physical. Clobbers eax, ecx.
.macro map_image from, to, low, high
        mov     eax, offset \from
1:      cmp     eax, offset \to
        jae     2f
        mov     ecx, eax
        shr     ecx, 9
        and     ecx, 511 * 8
        or      eax, \low
        mov     [ecx + boot_tables_phys + {image_l1}], eax
        mov     dword ptr [ecx + boot_tables_phys + {image_l1} + 4], \high
        and     eax, ~4095
        add     eax, 4096
        jmp     1b
2:
.endm

// Makes an entry for a table; \table and \entry are offsets in the tables.
.macro link_table entry, table
        mov     dword ptr [boot_tables_phys + \entry], offset boot_tables_phys + \table + TABLE
.endm

.code32
.globl pvh_start
pvh_start:
        mov     eax, {pvh_magic}
.globl multiboot_start
multiboot_start:
        cli
        cld
        mov     ebp, eax
        mov     esi, ebx

        mov     eax, 0x80000000
        cpuid
        cmp     eax, 0x80000001
        jb      refuse
        mov     eax, 0x80000001
        cpuid
        and     edx, CPU_BITS
        cmp     edx, CPU_BITS
        jne     refuse

        // Low memory where it is, for as long as this code runs; the page it is in, executable.
        link_table 0, {low_l3}
        link_table {low_l3}, {low_l2}
        mov     dword ptr [boot_tables_phys + {low_l2} + ({load_address} >> 21) * 8], {load_address} + TEXT + LARGE

        // The image, without the page of this code, and without the page below the stack.
        link_table {image_l4_entry}, {image_l3}
        link_table {image_l3}, {image_l2}
        link_table {image_l2}, {image_l1}
        map_image text_start_phys, text_end_phys, TEXT, 0
        map_image text_end_phys, rodata_end_phys, TEXT, NX
        map_image rodata_end_phys, stack_guard_phys, DATA, NX
        map_image stack_bottom_phys, image_end_phys, DATA, NX

        // The first 4 GiB, to read only.
        link_table {direct_l4_entry}, {direct_l3}
        xor     ecx, ecx
3:      mov     eax, ecx
        shl     eax, 12
        lea     eax, [eax + boot_tables_phys + {direct_l2} + TABLE]
        mov     [ecx * 8 + boot_tables_phys + {direct_l3}], eax
        inc     ecx
        cmp     ecx, 4
        jb      3b
        xor     ecx, ecx
4:      mov     eax, ecx
        shl     eax, 21
        or      eax, TEXT + LARGE
        mov     [ecx * 8 + boot_tables_phys + {direct_l2}], eax
        mov     dword ptr [ecx * 8 + boot_tables_phys + {direct_l2} + 4], NX
        inc     ecx
        cmp     ecx, 2048
        jb      4b

        mov     eax, CR4_BITS
        mov     cr4, eax
        mov     eax, offset boot_tables_phys
        mov     cr3, eax
        mov     ecx, EFER
        rdmsr
        or      eax, EFER_BITS
        wrmsr
        mov     eax, CR0_BITS
        mov     cr0, eax
        lgdt    [boot_gdt_pointer]
        ljmp    {code}, offset start_64

// Says on COM1 what is missing, and stops.
refuse:
        mov     edi, offset com1_setup
5:      movzx   edx, word ptr [edi]
        test    edx, edx
        jz      6f
        mov     al, [edi + 2]
        out     dx, al
        add     edi, 4
        jmp     5b
6:      mov     esi, offset unfit
7:      lodsb
        test    al, al
        jz      9f
        mov     ah, al
        mov     dx, COM1 + 5
8:      in      al, dx
        test    al, 0x20
        jz      8b
        mov     dx, COM1
        mov     al, ah
        out     dx, al
        jmp     7b
9:      hlt
        jmp     9b

.code64
start_64:
        movabs  rax, offset start_mapped
        jmp     rax

.section .text.boot, "ax"
start_mapped:
        lea     rsp, [rip + stack_top]
        xor     eax, eax
        mov     ds, eax
        mov     es, eax
        mov     ss, eax
        mov     fs, eax
        mov     gs, eax
        mov     [rip + boot_tables], rax        // the low mapping is gone
        mov     rax, cr3
        mov     cr3, rax
        mov     edi, ebp
        mov     esi, esi
        xor     ebp, ebp
        call    image_main
        ud2

.globl park
park:
        cli
1:      hlt
        jmp     1b

.section .bss.tables, "aw", @nobits
.balign 4096
.globl boot_tables
boot_tables:
        .space  {tables_size}

// The linker script leaves a page free below it, and names its ends.
.section .bss.stack, "aw", @nobits
.balign 4096
        .space  {stack_size}
