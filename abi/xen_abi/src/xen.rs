//! `xen.h`: hypercall numbers, domain ids, virtual interrupts, time and multicall structures.
//!
//! `vcpu_info` and `shared_info` differ between CPUs: see [`crate::arch_arm`] and [`crate::arch_x86`].

use crate::GuestHandle;

/// Identifies the owner of a domain on the tools' side: a UUID in network order.
pub type DomainHandle = [u8; 16];

/// Byte size of a page on both CPUs, for frames in the ABI.
pub const PAGE_SIZE: u64 = 4096;

abi_consts! { HYPERCALLS, Both;
    /// Installs the virtual IDT (x86 PV).
    pub const __HYPERVISOR_set_trap_table: u32 = 0;
    /// Validated page table writes (x86 PV).
    pub const __HYPERVISOR_mmu_update: u32 = 1;
    /// Replaces the GDT (x86 PV).
    pub const __HYPERVISOR_set_gdt: u32 = 2;
    /// Sets the kernel stack (x86 PV).
    pub const __HYPERVISOR_stack_switch: u32 = 3;
    /// Old callback registration (x86 PV).
    pub const __HYPERVISOR_set_callbacks: u32 = 4;
    /// Sets or clears CR0.TS (x86 PV).
    pub const __HYPERVISOR_fpu_taskswitch: u32 = 5;
    /// Old form of `sched_op`.
    pub const __HYPERVISOR_sched_op_compat: u32 = 6;
    /// Platform operations of the control domain.
    pub const __HYPERVISOR_platform_op: u32 = 7;
    /// Writes a debug register (x86 PV).
    pub const __HYPERVISOR_set_debugreg: u32 = 8;
    /// Reads a debug register (x86 PV).
    pub const __HYPERVISOR_get_debugreg: u32 = 9;
    /// Writes a descriptor (x86 PV).
    pub const __HYPERVISOR_update_descriptor: u32 = 10;
    /// Memory reservations and the physical map.
    pub const __HYPERVISOR_memory_op: u32 = 12;
    /// A list of hypercalls in one.
    pub const __HYPERVISOR_multicall: u32 = 13;
    /// Writes the page table entry of a virtual address (x86 PV).
    pub const __HYPERVISOR_update_va_mapping: u32 = 14;
    /// Arms the one-shot timer of the calling vCPU.
    pub const __HYPERVISOR_set_timer_op: u32 = 15;
    /// Old form of `event_channel_op`.
    pub const __HYPERVISOR_event_channel_op_compat: u32 = 16;
    /// Version and features.
    pub const __HYPERVISOR_xen_version: u32 = 17;
    /// The hypervisor's console.
    pub const __HYPERVISOR_console_io: u32 = 18;
    /// Old form of `physdev_op`.
    pub const __HYPERVISOR_physdev_op_compat: u32 = 19;
    /// Grant tables.
    pub const __HYPERVISOR_grant_table_op: u32 = 20;
    /// Switches optional behaviours on and off.
    pub const __HYPERVISOR_vm_assist: u32 = 21;
    /// `update_va_mapping` with another domain's frames (x86 PV).
    pub const __HYPERVISOR_update_va_mapping_otherdomain: u32 = 22;
    /// Returns to guest code (x86 PV).
    pub const __HYPERVISOR_iret: u32 = 23;
    /// vCPU state, timers and registered areas.
    pub const __HYPERVISOR_vcpu_op: u32 = 24;
    /// Sets FS and GS bases (x86 PV).
    pub const __HYPERVISOR_set_segment_base: u32 = 25;
    /// Page table pinning and TLB work (x86 PV).
    pub const __HYPERVISOR_mmuext_op: u32 = 26;
    /// The security module.
    pub const __HYPERVISOR_xsm_op: u32 = 27;
    /// NMI callback (x86 PV).
    pub const __HYPERVISOR_nmi_op: u32 = 28;
    /// Yield, block, shut down, poll.
    pub const __HYPERVISOR_sched_op: u32 = 29;
    /// Registers event callbacks (x86 PV).
    pub const __HYPERVISOR_callback_op: u32 = 30;
    /// Profiling (x86).
    pub const __HYPERVISOR_xenoprof_op: u32 = 31;
    /// Event channels.
    pub const __HYPERVISOR_event_channel_op: u32 = 32;
    /// Physical interrupts and PCI devices.
    pub const __HYPERVISOR_physdev_op: u32 = 33;
    /// Parameters of translated guests.
    pub const __HYPERVISOR_hvm_op: u32 = 34;
    /// Control of the host.
    pub const __HYPERVISOR_sysctl: u32 = 35;
    /// Control of domains.
    pub const __HYPERVISOR_domctl: u32 = 36;
    /// Loads and starts a crash kernel (x86).
    pub const __HYPERVISOR_kexec_op: u32 = 37;
    /// Transcendent memory; removed, the number stays taken.
    pub const __HYPERVISOR_tmem_op: u32 = 38;
    /// Argo message rings.
    pub const __HYPERVISOR_argo_op: u32 = 39;
    /// Performance counters (x86).
    pub const __HYPERVISOR_xenpmu_op: u32 = 40;
    /// Device models.
    pub const __HYPERVISOR_dm_op: u32 = 41;
    /// Run-time parameters as a file system.
    pub const __HYPERVISOR_hypfs_op: u32 = 42;
    /// First number with a meaning per CPU; `mca` on x86.
    pub const __HYPERVISOR_arch_0: u32 = 48;
    /// Second number with a meaning per CPU; `paging_domctl_cont` on x86.
    pub const __HYPERVISOR_arch_1: u32 = 49;
    /// Third number with a meaning per CPU.
    pub const __HYPERVISOR_arch_2: u32 = 50;
    /// Fourth number with a meaning per CPU.
    pub const __HYPERVISOR_arch_3: u32 = 51;
    /// Fifth number with a meaning per CPU.
    pub const __HYPERVISOR_arch_4: u32 = 52;
    /// Sixth number with a meaning per CPU.
    pub const __HYPERVISOR_arch_5: u32 = 53;
    /// Seventh number with a meaning per CPU.
    pub const __HYPERVISOR_arch_6: u32 = 54;
    /// Eighth number with a meaning per CPU.
    pub const __HYPERVISOR_arch_7: u32 = 55;
}

/// One more than the largest hypercall number.
pub const NR_HYPERCALLS: u32 = __HYPERVISOR_arch_7 + 1;

abi_consts! { CONSTS, Both;
    /// Newest interface version that these layouts describe (`__XEN_LATEST_INTERFACE_VERSION__`, Xen 4.17).
    pub const __XEN_LATEST_INTERFACE_VERSION__: u32 = 0x0004_0e00;

    /// Timer; per vCPU.
    pub const VIRQ_TIMER: u32 = 0;
    /// Asks for a debug dump; per vCPU.
    pub const VIRQ_DEBUG: u32 = 1;
    /// Input for the hardware domain's console; global.
    pub const VIRQ_CONSOLE: u32 = 2;
    /// A domain changed state (shut down, died); global, bound by xenstored.
    pub const VIRQ_DOM_EXC: u32 = 3;
    /// Trace buffer has records; global.
    pub const VIRQ_TBUF: u32 = 4;
    /// A domain paused for its debugger; global.
    pub const VIRQ_DEBUGGER: u32 = 6;
    /// Profile sample; per vCPU.
    pub const VIRQ_XENOPROF: u32 = 7;
    /// Output in the hypervisor's console ring; global.
    pub const VIRQ_CON_RING: u32 = 8;
    /// A physical CPU changed state; global.
    pub const VIRQ_PCPU_STATE: u32 = 9;
    /// A memory event happened; global.
    pub const VIRQ_MEM_EVENT: u32 = 10;
    /// Argo notification; global, in any domain.
    pub const VIRQ_ARGO: u32 = 11;
    /// Memory runs low; global.
    pub const VIRQ_ENOMEM: u32 = 12;
    /// Performance counter overflow; per vCPU.
    pub const VIRQ_XENPMU: u32 = 13;
    /// First with a meaning per CPU; machine check on x86.
    pub const VIRQ_ARCH_0: u32 = 16;
    /// Second with a meaning per CPU.
    pub const VIRQ_ARCH_1: u32 = 17;
    /// Third with a meaning per CPU.
    pub const VIRQ_ARCH_2: u32 = 18;
    /// Fourth with a meaning per CPU.
    pub const VIRQ_ARCH_3: u32 = 19;
    /// Fifth with a meaning per CPU.
    pub const VIRQ_ARCH_4: u32 = 20;
    /// Sixth with a meaning per CPU.
    pub const VIRQ_ARCH_5: u32 = 21;
    /// Seventh with a meaning per CPU.
    pub const VIRQ_ARCH_6: u32 = 22;
    /// Eighth with a meaning per CPU.
    pub const VIRQ_ARCH_7: u32 = 23;
    /// Number of virtual interrupts.
    pub const NR_VIRQS: u32 = 24;

    /// `console_io`: writes `count` bytes from the buffer.
    pub const CONSOLEIO_write: u32 = 0;
    /// `console_io`: reads up to `count` bytes; returns how many.
    pub const CONSOLEIO_read: u32 = 1;

    /// `vm_assist`: switches on.
    pub const VMASST_CMD_enable: u32 = 0;
    /// `vm_assist`: switches off.
    pub const VMASST_CMD_disable: u32 = 1;
    /// Emulates 4 GiB segments (32-bit PV).
    pub const VMASST_TYPE_4gb_segments: u32 = 0;
    /// Tells the guest when that emulation happens (32-bit PV).
    pub const VMASST_TYPE_4gb_segments_notify: u32 = 1;
    /// Emulates direct page table writes (PV).
    pub const VMASST_TYPE_writable_pagetables: u32 = 2;
    /// Page directories above 4 GiB (32-bit PV).
    pub const VMASST_TYPE_pae_extended_cr3: u32 = 3;
    /// IOPL as on hardware (PV).
    pub const VMASST_TYPE_architectural_iopl: u32 = 4;
    /// Marks the runstate area while it is being updated (`XEN_RUNSTATE_UPDATE`).
    pub const VMASST_TYPE_runstate_update_flag: u32 = 5;
    /// Hides the machine-to-physical table from user mode (64-bit PV).
    pub const VMASST_TYPE_m2p_strict: u32 = 32;

    /// First id that no domain can have.
    pub const DOMID_FIRST_RESERVED: u16 = 0x7ff0;
    /// The caller.
    pub const DOMID_SELF: u16 = 0x7ff0;
    /// Owner of device memory.
    pub const DOMID_IO: u16 = 0x7ff1;
    /// Owner of the hypervisor's own memory.
    pub const DOMID_XEN: u16 = 0x7ff2;
    /// Owner of shared (copy on write) memory.
    pub const DOMID_COW: u16 = 0x7ff3;
    /// No domain.
    pub const DOMID_INVALID: u16 = 0x7ff4;
    /// The idle domain.
    pub const DOMID_IDLE: u16 = 0x7fff;
    /// Bits that a domain id may use.
    pub const DOMID_MASK: u16 = 0x7fff;

    /// Time stamp counter is stable over CPUs (`vcpu_time_info.flags`).
    pub const XEN_PVCLOCK_TSC_STABLE_BIT: u8 = 1;
    /// The host stopped the guest for a while (`vcpu_time_info.flags`).
    pub const XEN_PVCLOCK_GUEST_STOPPED: u8 = 2;

    /// `start_info.flags`: privileged domain.
    pub const SIF_PRIVILEGED: u32 = 1 << 0;
    /// `start_info.flags`: initial control domain.
    pub const SIF_INITDOMAIN: u32 = 1 << 1;
    /// `start_info.flags`: `mod_start` is a module list.
    pub const SIF_MULTIBOOT_MOD: u32 = 1 << 2;
    /// `start_info.flags`: `mod_start` is a frame number.
    pub const SIF_MOD_START_PFN: u32 = 1 << 3;
    /// `start_info.flags`: the tools understand a linear p2m list.
    pub const SIF_VIRT_P2M_4TOOLS: u32 = 1 << 4;
    /// `start_info.flags`: power management options.
    pub const SIF_PM_MASK: u32 = 0xff << 8;

    /// Console of `dom0_vga_console_info`: VGA text mode 3.
    pub const XEN_VGATYPE_TEXT_MODE_3: u8 = 0x03;
    /// Console of `dom0_vga_console_info`: VESA linear frame buffer.
    pub const XEN_VGATYPE_VESA_LFB: u8 = 0x23;
    /// Console of `dom0_vga_console_info`: EFI linear frame buffer.
    pub const XEN_VGATYPE_EFI_LFB: u8 = 0x70;

    /// `mmu_update`: checked write of a page table entry. In the low two bits of `ptr`.
    pub const MMU_NORMAL_PT_UPDATE: u32 = 0;
    /// `mmu_update`: writes the machine-to-physical table.
    pub const MMU_MACHPHYS_UPDATE: u32 = 1;
    /// `mmu_update`: as the first, but keeps accessed and dirty bits.
    pub const MMU_PT_UPDATE_PRESERVE_AD: u32 = 2;
    /// `mmu_update`: as the first, but the value is never translated.
    pub const MMU_PT_UPDATE_NO_TRANSLATE: u32 = 3;

    /// `mmuext_op`: validates and pins a level 1 table.
    pub const MMUEXT_PIN_L1_TABLE: u32 = 0;
    /// `mmuext_op`: validates and pins a level 2 table.
    pub const MMUEXT_PIN_L2_TABLE: u32 = 1;
    /// `mmuext_op`: validates and pins a level 3 table.
    pub const MMUEXT_PIN_L3_TABLE: u32 = 2;
    /// `mmuext_op`: validates and pins a level 4 table.
    pub const MMUEXT_PIN_L4_TABLE: u32 = 3;
    /// `mmuext_op`: drops a pin.
    pub const MMUEXT_UNPIN_TABLE: u32 = 4;
    /// `mmuext_op`: new kernel page table root.
    pub const MMUEXT_NEW_BASEPTR: u32 = 5;
    /// `mmuext_op`: flushes this vCPU's TLB.
    pub const MMUEXT_TLB_FLUSH_LOCAL: u32 = 6;
    /// `mmuext_op`: flushes one address here.
    pub const MMUEXT_INVLPG_LOCAL: u32 = 7;
    /// `mmuext_op`: flushes the TLB of a set of vCPUs.
    pub const MMUEXT_TLB_FLUSH_MULTI: u32 = 8;
    /// `mmuext_op`: flushes one address on a set of vCPUs.
    pub const MMUEXT_INVLPG_MULTI: u32 = 9;
    /// `mmuext_op`: flushes all vCPUs' TLBs.
    pub const MMUEXT_TLB_FLUSH_ALL: u32 = 10;
    /// `mmuext_op`: flushes one address everywhere.
    pub const MMUEXT_INVLPG_ALL: u32 = 11;
    /// `mmuext_op`: writes back caches here.
    pub const MMUEXT_FLUSH_CACHE: u32 = 12;
    /// `mmuext_op`: sets the LDT.
    pub const MMUEXT_SET_LDT: u32 = 13;
    /// `mmuext_op`: new user page table root.
    pub const MMUEXT_NEW_USER_BASEPTR: u32 = 15;
    /// `mmuext_op`: zeroes a page.
    pub const MMUEXT_CLEAR_PAGE: u32 = 16;
    /// `mmuext_op`: copies a page.
    pub const MMUEXT_COPY_PAGE: u32 = 17;
    /// `mmuext_op`: writes back caches everywhere.
    pub const MMUEXT_FLUSH_CACHE_GLOBAL: u32 = 18;
    /// `mmuext_op`: marks a superpage.
    pub const MMUEXT_MARK_SUPER: u32 = 19;
    /// `mmuext_op`: unmarks a superpage.
    pub const MMUEXT_UNMARK_SUPER: u32 = 20;

    /// `update_va_mapping`: no flush.
    pub const UVMF_NONE: u64 = 0;
    /// `update_va_mapping`: flush the TLB.
    pub const UVMF_TLB_FLUSH: u64 = 1;
    /// `update_va_mapping`: flush the address.
    pub const UVMF_INVLPG: u64 = 2;
    /// `update_va_mapping`: bits that hold the kind of flush.
    pub const UVMF_FLUSHTYPE_MASK: u64 = 3;
    /// `update_va_mapping`: flush on the vCPUs of a set.
    pub const UVMF_MULTI: u64 = 0;
    /// `update_va_mapping`: flush here.
    pub const UVMF_LOCAL: u64 = 0;
    /// `update_va_mapping`: flush on all vCPUs.
    pub const UVMF_ALL: u64 = 1 << 2;
}

/// Whether a virtual interrupt is bound once per vCPU; the others are bound once per domain, first on vCPU 0.
///
/// `None` for numbers that this header gives no kind (unused ones and those with a meaning per CPU).
pub const fn virq_is_per_vcpu(virq: u32) -> Option<bool> {
    match virq {
        VIRQ_TIMER | VIRQ_DEBUG | VIRQ_XENOPROF | VIRQ_XENPMU => Some(true),
        VIRQ_CONSOLE | VIRQ_DOM_EXC | VIRQ_TBUF | VIRQ_DEBUGGER | VIRQ_CON_RING | VIRQ_PCPU_STATE
        | VIRQ_MEM_EVENT | VIRQ_ARGO | VIRQ_ENOMEM => Some(false),
        _ => None,
    }
}

abi_structs! { STRUCTS, Both;
    /// One page table write of `mmu_update`.
    #[c = "struct mmu_update"]
    pub struct MmuUpdate {
        /// Machine address of the entry; the low two bits hold an `MMU_*` command.
        pub ptr: u64,
        /// New value.
        pub val: u64,
    }

    /// One call of a multicall list.
    #[c = "struct multicall_entry"]
    pub struct MulticallEntry {
        /// IN: hypercall number.
        pub op: u64,
        /// OUT: its result.
        pub result: u64,
        /// IN: its arguments.
        pub args: [u64; 6],
    }

    /// System time as a function of the counter; `version` is odd while the hypervisor updates it.
    #[c = "struct vcpu_time_info"]
    pub struct VcpuTimeInfo {
        /// Changes with each update; odd during one.
        pub version: u32,
        /// Unused.
        pub pad0: u32,
        /// Counter at the last update.
        pub tsc_timestamp: u64,
        /// Nanoseconds since boot at the last update.
        pub system_time: u64,
        /// 32.32 fixed-point multiplier from shifted ticks to nanoseconds.
        pub tsc_to_system_mul: u32,
        /// Shift of the tick difference before the multiplication; negative shifts right.
        pub tsc_shift: i8,
        /// `XEN_PVCLOCK_*` bits.
        pub flags: u8,
        /// Unused.
        pub pad1: [u8; 2],
    }

    /// One module of a list given in `start_info.mod_start`.
    #[c = "struct xen_multiboot_mod_list"]
    pub struct MultibootModList {
        /// First byte.
        pub mod_start: u32,
        /// Last byte.
        pub mod_end: u32,
        /// Its command line.
        pub cmdline: u32,
        /// Zero.
        pub pad: u32,
    }

    /// A bitmap in the caller's memory, least significant bit first.
    #[c = "struct xenctl_bitmap"]
    pub struct XenctlBitmap {
        /// Address of the bytes.
        pub bitmap: GuestHandle,
        /// Number of bits.
        pub nr_bits: u32,
        /// C padding.
        pub _gap0: u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virqs_have_the_kind_the_header_gives_them() {
        assert_eq!(virq_is_per_vcpu(VIRQ_TIMER), Some(true));
        assert_eq!(virq_is_per_vcpu(VIRQ_CON_RING), Some(false));
        assert_eq!(virq_is_per_vcpu(5), None);
        assert_eq!(virq_is_per_vcpu(VIRQ_ARCH_0), None);
        assert_eq!(virq_is_per_vcpu(NR_VIRQS), None);
    }
}
