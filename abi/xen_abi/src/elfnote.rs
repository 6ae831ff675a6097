//! `elfnote.h`: numbers of the notes in a guest kernel's ELF file.

abi_consts! { CONSTS, Both;
    /// Text form of the notes.
    pub const XEN_ELFNOTE_INFO: u32 = 0;
    /// Entry point.
    pub const XEN_ELFNOTE_ENTRY: u32 = 1;
    /// Hypercall page.
    pub const XEN_ELFNOTE_HYPERCALL_PAGE: u32 = 2;
    /// Virtual address at which the kernel is mapped.
    pub const XEN_ELFNOTE_VIRT_BASE: u32 = 3;
    /// Offset of the file's physical addresses.
    pub const XEN_ELFNOTE_PADDR_OFFSET: u32 = 4;
    /// Version of the hypervisor.
    pub const XEN_ELFNOTE_XEN_VERSION: u32 = 5;
    /// Name of the guest.
    pub const XEN_ELFNOTE_GUEST_OS: u32 = 6;
    /// Version of the guest.
    pub const XEN_ELFNOTE_GUEST_VERSION: u32 = 7;
    /// Kind of loader.
    pub const XEN_ELFNOTE_LOADER: u32 = 8;
    /// PAE mode.
    pub const XEN_ELFNOTE_PAE_MODE: u32 = 9;
    /// Features as text.
    pub const XEN_ELFNOTE_FEATURES: u32 = 10;
    /// Whether the symbol table is loaded.
    pub const XEN_ELFNOTE_BSD_SYMTAB: u32 = 11;
    /// Lowest address of the hypervisor.
    pub const XEN_ELFNOTE_HV_START_LOW: u32 = 12;
    /// Which page table entries are frames.
    pub const XEN_ELFNOTE_L1_MFN_VALID: u32 = 13;
    /// Suspend may be cancelled.
    pub const XEN_ELFNOTE_SUSPEND_CANCEL: u32 = 14;
    /// Address of the first p2m list.
    pub const XEN_ELFNOTE_INIT_P2M: u32 = 15;
    /// The module is given by frame.
    pub const XEN_ELFNOTE_MOD_START_PFN: u32 = 16;
    /// Features as bits.
    pub const XEN_ELFNOTE_SUPPORTED_FEATURES: u32 = 17;
    /// Entry point for PVH.
    pub const XEN_ELFNOTE_PHYS32_ENTRY: u32 = 18;
    /// Largest of these.
    pub const XEN_ELFNOTE_MAX: u32 = 18;
    /// Crash: the hypervisor.
    pub const XEN_ELFNOTE_CRASH_INFO: u32 = 0x100_0001;
    /// Crash: a CPU.
    pub const XEN_ELFNOTE_CRASH_REGS: u32 = 0x100_0002;
    /// Memory dump: nothing.
    pub const XEN_ELFNOTE_DUMPCORE_NONE: u32 = 0x200_0000;
    /// Memory dump: header.
    pub const XEN_ELFNOTE_DUMPCORE_HEADER: u32 = 0x200_0001;
    /// Memory dump: version of the hypervisor.
    pub const XEN_ELFNOTE_DUMPCORE_XEN_VERSION: u32 = 0x200_0002;
    /// Memory dump: version of the format.
    pub const XEN_ELFNOTE_DUMPCORE_FORMAT_VERSION: u32 = 0x200_0003;
}
