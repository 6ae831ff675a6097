//! `arch-x86/xen.h`, `arch-x86/xen-x86_64.h` and the x86_64 forms of the structures in `xen.h`.
//!
//! A hypercall has its number in rax, arguments in rdi, rsi, rdx, r10 and r8, and its result in rax.

use crate::xen::VcpuTimeInfo;

abi_consts! { CONSTS, X86_64;
    /// vCPUs with a `vcpu_info` in the shared information page.
    pub const XEN_LEGACY_MAX_VCPUS: u32 = 32;
    /// First GDT page that the hypervisor keeps.
    pub const FIRST_RESERVED_GDT_PAGE: u32 = 14;
    /// First GDT byte that the hypervisor keeps.
    pub const FIRST_RESERVED_GDT_BYTE: u32 = 14 * 4096;
    /// First GDT entry that the hypervisor keeps.
    pub const FIRST_RESERVED_GDT_ENTRY: u32 = 14 * 512;

    /// 32-bit user code segment.
    pub const FLAT_RING3_CS32: u16 = 0xe023;
    /// 64-bit user code segment.
    pub const FLAT_RING3_CS64: u16 = 0xe033;
    /// 32-bit user data segment.
    pub const FLAT_RING3_DS32: u16 = 0xe02b;
    /// 64-bit user data segment.
    pub const FLAT_RING3_DS64: u16 = 0;
    /// 32-bit user stack segment.
    pub const FLAT_RING3_SS32: u16 = 0xe02b;
    /// 64-bit user stack segment.
    pub const FLAT_RING3_SS64: u16 = 0xe02b;

    /// First virtual address that the hypervisor keeps.
    pub const HYPERVISOR_VIRT_START: u64 = 0xffff_8000_0000_0000;
    /// Address after the last that it keeps.
    pub const HYPERVISOR_VIRT_END: u64 = 0xffff_8800_0000_0000;
    /// Machine-to-physical table.
    pub const MACH2PHYS_VIRT_START: u64 = 0xffff_8000_0000_0000;
    /// Its end.
    pub const MACH2PHYS_VIRT_END: u64 = 0xffff_8040_0000_0000;

    /// `set_segment_base`: FS.
    pub const SEGBASE_FS: u32 = 0;
    /// `set_segment_base`: user GS.
    pub const SEGBASE_GS_USER: u32 = 1;
    /// `set_segment_base`: kernel GS.
    pub const SEGBASE_GS_KERNEL: u32 = 2;
    /// `set_segment_base`: user GS selector.
    pub const SEGBASE_GS_USER_SEL: u32 = 3;

    /// Context flag: floating point state is valid.
    pub const VGCF_i387_valid: u64 = 1 << 0;
    /// Context flag: in kernel mode.
    pub const VGCF_in_kernel: u64 = 1 << 2;
    /// Context flag: the failsafe callback runs with events off.
    pub const VGCF_failsafe_disables_events: u64 = 1 << 3;
    /// Context flag: the system call entry runs with events off.
    pub const VGCF_syscall_disables_events: u64 = 1 << 4;
    /// Context flag: the vCPU is online.
    pub const VGCF_online: u64 = 1 << 5;
    /// `iret` flag: return as from a system call.
    pub const VGCF_in_syscall: u64 = 1 << 8;

    /// Emulate the local APIC.
    pub const XEN_X86_EMU_LAPIC: u32 = 1 << 0;
    /// Emulate the HPET.
    pub const XEN_X86_EMU_HPET: u32 = 1 << 1;
    /// Emulate power management.
    pub const XEN_X86_EMU_PM: u32 = 1 << 2;
    /// Emulate the real-time clock.
    pub const XEN_X86_EMU_RTC: u32 = 1 << 3;
    /// Emulate the I/O APIC.
    pub const XEN_X86_EMU_IOAPIC: u32 = 1 << 4;
    /// Emulate the PIC.
    pub const XEN_X86_EMU_PIC: u32 = 1 << 5;
    /// Emulate VGA memory.
    pub const XEN_X86_EMU_VGA: u32 = 1 << 6;
    /// Emulate an IOMMU.
    pub const XEN_X86_EMU_IOMMU: u32 = 1 << 7;
    /// Emulate the PIT.
    pub const XEN_X86_EMU_PIT: u32 = 1 << 8;
    /// Physical interrupts can be bound to event channels.
    pub const XEN_X86_EMU_USE_PIRQ: u32 = 1 << 9;
    /// Emulate PCI configuration space.
    pub const XEN_X86_EMU_VPCI: u32 = 1 << 10;
    /// All of them.
    pub const XEN_X86_EMU_ALL: u32 = 0x7ff;
    /// `misc_flags`: unknown MSRs read as zero.
    pub const XEN_X86_MSR_RELAXED: u32 = 1;
    /// A CPUID leaf without subleaves.
    pub const XEN_CPUID_NO_SUBLEAF: u32 = 0xffff_ffff;
    /// Port to which a guest may write console characters.
    pub const XEN_HVM_DEBUGCONS_IOPORT: u16 = 0xe9;
}

abi_structs! { STRUCTS, X86_64;
    /// One entry of the virtual IDT.
    #[c = "struct trap_info"]
    pub struct TrapInfo {
        /// Exception vector.
        pub vector: u8,
        /// Bits 0 and 1: privilege level; bit 2: events off.
        pub flags: u8,
        /// Code segment.
        pub cs: u16,
        /// C padding.
        pub _gap0: u32,
        /// Handler; 0 ends a list.
        pub address: u64,
    }

    /// Registers of a vCPU.
    #[c = "struct cpu_user_regs"]
    pub struct CpuUserRegs {
        /// r15.
        pub r15: u64,
        /// r14.
        pub r14: u64,
        /// r13.
        pub r13: u64,
        /// r12.
        pub r12: u64,
        /// rbp.
        pub rbp: u64,
        /// rbx.
        pub rbx: u64,
        /// r11.
        pub r11: u64,
        /// r10.
        pub r10: u64,
        /// r9.
        pub r9: u64,
        /// r8.
        pub r8: u64,
        /// rax.
        pub rax: u64,
        /// rcx.
        pub rcx: u64,
        /// rdx.
        pub rdx: u64,
        /// rsi.
        pub rsi: u64,
        /// rdi.
        pub rdi: u64,
        /// Private to the hypervisor.
        pub error_code: u32,
        /// Private to the hypervisor.
        pub entry_vector: u32,
        /// rip.
        pub rip: u64,
        /// cs.
        pub cs: u16,
        /// Unused.
        pub _pad0: [u16; 1],
        /// Event mask at the time.
        pub saved_upcall_mask: u8,
        /// Unused.
        pub _pad1: [u8; 3],
        /// rflags; its IF is the event mask negated.
        pub rflags: u64,
        /// rsp.
        pub rsp: u64,
        /// ss.
        pub ss: u16,
        /// Unused.
        pub _pad2: [u16; 3],
        /// es.
        pub es: u16,
        /// Unused.
        pub _pad3: [u16; 3],
        /// ds.
        pub ds: u16,
        /// Unused.
        pub _pad4: [u16; 3],
        /// fs.
        pub fs: u16,
        /// Unused.
        pub _pad5: [u16; 3],
        /// gs.
        pub gs: u16,
        /// Unused.
        pub _pad6: [u16; 3],
    }

    /// Frame that `iret` takes from the kernel stack.
    #[c = "struct iret_context"]
    pub struct IretContext {
        /// rax.
        pub rax: u64,
        /// r11.
        pub r11: u64,
        /// rcx.
        pub rcx: u64,
        /// `VGCF_in_syscall`.
        pub flags: u64,
        /// rip.
        pub rip: u64,
        /// cs.
        pub cs: u64,
        /// rflags.
        pub rflags: u64,
        /// rsp.
        pub rsp: u64,
        /// ss.
        pub ss: u64,
    }

    /// State of a PV vCPU as the tools or a guest kernel set it.
    #[c = "struct vcpu_guest_context"]
    pub struct VcpuGuestContext {
        /// FXSAVE area.
        pub fpu_ctxt: [u8; 512],
        /// `VGCF_*`.
        pub flags: u64,
        /// Registers.
        pub user_regs: CpuUserRegs,
        /// Virtual IDT.
        pub trap_ctxt: [TrapInfo; 256],
        /// LDT address.
        pub ldt_base: u64,
        /// LDT entries.
        pub ldt_ents: u64,
        /// GDT frames.
        pub gdt_frames: [u64; 16],
        /// GDT entries.
        pub gdt_ents: u64,
        /// Kernel stack segment.
        pub kernel_ss: u64,
        /// Kernel stack pointer.
        pub kernel_sp: u64,
        /// cr0 to cr7; the user page table is in cr1.
        pub ctrlreg: [u64; 8],
        /// dr0 to dr7.
        pub debugreg: [u64; 8],
        /// Event callback.
        pub event_callback_eip: u64,
        /// Failsafe callback.
        pub failsafe_callback_eip: u64,
        /// System call callback.
        pub syscall_callback_eip: u64,
        /// Bit per `VMASST_TYPE_*`.
        pub vm_assist: u64,
        /// FS base.
        pub fs_base: u64,
        /// Kernel GS base.
        pub gs_base_kernel: u64,
        /// User GS base.
        pub gs_base_user: u64,
    }

    /// x86 part of `vcpu_info`.
    #[c = "struct arch_vcpu_info"]
    pub struct ArchVcpuInfo {
        /// Fault address (PV).
        pub cr2: u64,
        /// Unused.
        pub pad: u64,
    }

    /// Event and time state of a vCPU, in the guest's memory.
    #[c = "struct vcpu_info"]
    pub struct VcpuInfo {
        /// Nonzero: events are pending.
        pub evtchn_upcall_pending: u8,
        /// Nonzero: no upcalls (PV).
        pub evtchn_upcall_mask: u8,
        /// C padding.
        pub _gap0: [u16; 3],
        /// Bit per word of `evtchn_pending` that has news.
        pub evtchn_pending_sel: u64,
        /// x86 part.
        pub arch: ArchVcpuInfo,
        /// System time.
        pub time: VcpuTimeInfo,
    }

    /// x86 part of `shared_info`.
    #[c = "struct arch_shared_info"]
    pub struct ArchSharedInfo {
        /// Valid entries in the p2m tables.
        pub max_pfn: u64,
        /// Frame of the three-level p2m; all ones when it is not used.
        pub pfn_to_mfn_frame_list_list: u64,
        /// `XEN_NMIREASON_*`.
        pub nmi_reason: u64,
        /// Address space in which `p2m_vaddr` holds; 0 when there is no linear p2m.
        pub p2m_cr3: u64,
        /// Linear p2m.
        pub p2m_vaddr: u64,
        /// Odd while the guest changes the p2m's mappings.
        pub p2m_generation: u64,
    }

    /// The shared information page.
    #[c = "struct shared_info"]
    pub struct SharedInfo {
        /// vCPU 0 to 31, until they register their own.
        pub vcpu_info: [VcpuInfo; 32],
        /// Pending bit per port (2-level interface).
        pub evtchn_pending: [u64; 64],
        /// Mask bit per port; written by the guest.
        pub evtchn_mask: [u64; 64],
        /// Wall clock: odd during an update.
        pub wc_version: u32,
        /// Wall clock at system time 0: seconds since 1970, low half.
        pub wc_sec: u32,
        /// Wall clock: nanoseconds.
        pub wc_nsec: u32,
        /// Wall clock: seconds, high half.
        pub wc_sec_hi: u32,
        /// x86 part.
        pub arch: ArchSharedInfo,
    }

    /// What a PV kernel is started with.
    #[c = "struct start_info"]
    pub struct StartInfo {
        /// `xen-<version>-<platform>`, ended by zero.
        pub magic: [u8; 32],
        /// Pages of the domain.
        pub nr_pages: u64,
        /// Machine address of the shared information page.
        pub shared_info: u64,
        /// `SIF_*`.
        pub flags: u32,
        /// C padding.
        pub _gap0: u32,
        /// Machine frame of the xenstore ring.
        pub store_mfn: u64,
        /// Port of xenstore.
        pub store_evtchn: u32,
        /// C padding.
        pub _gap1: u32,
        /// [`StartInfoConsoleDomU`] or [`StartInfoConsoleDom0`].
        pub console: [u64; 2],
        /// Address of the page table root.
        pub pt_base: u64,
        /// Frames of the boot page tables.
        pub nr_pt_frames: u64,
        /// Address of the p2m list.
        pub mfn_list: u64,
        /// Address of the module, or its frame with `SIF_MOD_START_PFN`.
        pub mod_start: u64,
        /// Its length in bytes.
        pub mod_len: u64,
        /// Command line, ended by zero.
        pub cmd_line: [u8; 1024],
        /// First frame of the p2m list.
        pub first_p2m_pfn: u64,
        /// Its frames.
        pub nr_p2m_frames: u64,
    }

    /// Console of a DomU in [`StartInfo`].
    #[c = "__typeof__(((struct start_info *)0)->console.domU)"]
    pub struct StartInfoConsoleDomU {
        /// Machine frame of the ring.
        pub mfn: u64,
        /// Port.
        pub evtchn: u32,
        /// C padding.
        pub _gap0: u32,
    }

    /// Console of Dom0 in [`StartInfo`].
    #[c = "__typeof__(((struct start_info *)0)->console.dom0)"]
    pub struct StartInfoConsoleDom0 {
        /// Offset of the video information behind the structure.
        pub info_off: u32,
        /// Its size.
        pub info_size: u32,
    }

    /// One CPUID leaf.
    #[c = "struct xen_cpuid_leaf"]
    pub struct CpuidLeaf {
        /// Leaf.
        pub leaf: u32,
        /// Subleaf, or `XEN_CPUID_NO_SUBLEAF`.
        pub subleaf: u32,
        /// eax.
        pub a: u32,
        /// ebx.
        pub b: u32,
        /// ecx.
        pub c: u32,
        /// edx.
        pub d: u32,
    }

    /// One model-specific register.
    #[c = "struct xen_msr_entry"]
    pub struct MsrEntry {
        /// Its number.
        pub idx: u32,
        /// 0.
        pub flags: u32,
        /// Its value.
        pub val: u64,
    }
}

abi_payload! {
    StartInfo.console: [u64; 2];
}
