//! `features.h`: bits that `XENVER_get_features` reports.

use bitflags::bitflags;

abi_consts! { CONSTS, Both;
    /// Page tables need no write protection.
    pub const XENFEAT_writable_page_tables: u32 = 0;
    /// Descriptor tables need no write protection (x86).
    pub const XENFEAT_writable_descriptor_tables: u32 = 1;
    /// Guest frame numbers are translated for the guest.
    pub const XENFEAT_auto_translated_physmap: u32 = 2;
    /// The kernel runs in supervisor mode.
    pub const XENFEAT_supervisor_mode_kernel: u32 = 3;
    /// PAE directories may lie above 4 GiB (x86).
    pub const XENFEAT_pae_pgdir_above_4gb: u32 = 4;
    /// `MMU_PT_UPDATE_PRESERVE_AD` works (x86 PV).
    pub const XENFEAT_mmu_pt_update_preserve_ad: u32 = 5;
    /// `MMUEXT_CLEAR_PAGE` and `MMUEXT_COPY_PAGE` work (x86 PV).
    pub const XENFEAT_highmem_assist: u32 = 6;
    /// Grant maps honour the software bits of page table entries (x86 PV).
    pub const XENFEAT_gnttab_map_avail_bits: u32 = 7;
    /// Events can come as an interrupt vector (x86).
    pub const XENFEAT_hvm_callback_vector: u32 = 8;
    /// The PV clock is safe to use (x86).
    pub const XENFEAT_hvm_safe_pvclock: u32 = 9;
    /// Physical interrupts can be bound to event channels (x86 HVM).
    pub const XENFEAT_hvm_pirqs: u32 = 10;
    /// The caller is the initial domain.
    pub const XENFEAT_dom0: u32 = 11;
    /// `XENMEMF_vnode` works.
    pub const XENFEAT_memory_op_vnode_supported: u32 = 13;
    /// The hypervisor speaks SMCCC (arm).
    pub const XENFEAT_ARM_SMCCC_supported: u32 = 14;
    /// The ACPI root pointer may lie anywhere (x86 PVH).
    pub const XENFEAT_linux_rsdp_unrestricted: u32 = 15;
    /// The domain's frame numbers are not the machine's.
    pub const XENFEAT_not_direct_mapped: u32 = 16;
    /// The domain's frame numbers are the machine's.
    pub const XENFEAT_direct_mapped: u32 = 17;
    /// Number of feature words.
    pub const XENFEAT_NR_SUBMAPS: u32 = 1;
}

bitflags! {
    /// Feature word 0.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Features: u32 {
        /// [`XENFEAT_writable_page_tables`].
        const WRITABLE_PAGE_TABLES = 1 << XENFEAT_writable_page_tables;
        /// [`XENFEAT_writable_descriptor_tables`].
        const WRITABLE_DESCRIPTOR_TABLES = 1 << XENFEAT_writable_descriptor_tables;
        /// [`XENFEAT_auto_translated_physmap`].
        const AUTO_TRANSLATED_PHYSMAP = 1 << XENFEAT_auto_translated_physmap;
        /// [`XENFEAT_supervisor_mode_kernel`].
        const SUPERVISOR_MODE_KERNEL = 1 << XENFEAT_supervisor_mode_kernel;
        /// [`XENFEAT_pae_pgdir_above_4gb`].
        const PAE_PGDIR_ABOVE_4GB = 1 << XENFEAT_pae_pgdir_above_4gb;
        /// [`XENFEAT_mmu_pt_update_preserve_ad`].
        const MMU_PT_UPDATE_PRESERVE_AD = 1 << XENFEAT_mmu_pt_update_preserve_ad;
        /// [`XENFEAT_highmem_assist`].
        const HIGHMEM_ASSIST = 1 << XENFEAT_highmem_assist;
        /// [`XENFEAT_gnttab_map_avail_bits`].
        const GNTTAB_MAP_AVAIL_BITS = 1 << XENFEAT_gnttab_map_avail_bits;
        /// [`XENFEAT_hvm_callback_vector`].
        const HVM_CALLBACK_VECTOR = 1 << XENFEAT_hvm_callback_vector;
        /// [`XENFEAT_hvm_safe_pvclock`].
        const HVM_SAFE_PVCLOCK = 1 << XENFEAT_hvm_safe_pvclock;
        /// [`XENFEAT_hvm_pirqs`].
        const HVM_PIRQS = 1 << XENFEAT_hvm_pirqs;
        /// [`XENFEAT_dom0`].
        const DOM0 = 1 << XENFEAT_dom0;
        /// [`XENFEAT_memory_op_vnode_supported`].
        const MEMORY_OP_VNODE_SUPPORTED = 1 << XENFEAT_memory_op_vnode_supported;
        /// [`XENFEAT_ARM_SMCCC_supported`].
        const ARM_SMCCC_SUPPORTED = 1 << XENFEAT_ARM_SMCCC_supported;
        /// [`XENFEAT_linux_rsdp_unrestricted`].
        const LINUX_RSDP_UNRESTRICTED = 1 << XENFEAT_linux_rsdp_unrestricted;
        /// [`XENFEAT_not_direct_mapped`].
        const NOT_DIRECT_MAPPED = 1 << XENFEAT_not_direct_mapped;
        /// [`XENFEAT_direct_mapped`].
        const DIRECT_MAPPED = 1 << XENFEAT_direct_mapped;
    }
}
