//! `kexec.h`: numbers of the crash kernel operations (x86).

abi_consts! { CONSTS, Both;
    /// Starts the loaded kernel.
    pub const KEXEC_CMD_kexec: u32 = 0;
    /// Loads a kernel; old form.
    pub const KEXEC_CMD_kexec_load_v1: u32 = 1;
    /// Unloads a kernel; old form.
    pub const KEXEC_CMD_kexec_unload_v1: u32 = 2;
    /// Reads a memory range.
    pub const KEXEC_CMD_kexec_get_range: u32 = 3;
    /// Loads a kernel.
    pub const KEXEC_CMD_kexec_load: u32 = 4;
    /// Unloads a kernel.
    pub const KEXEC_CMD_kexec_unload: u32 = 5;
    /// Whether a kernel is loaded.
    pub const KEXEC_CMD_kexec_status: u32 = 6;
    /// Kernel for a normal restart.
    pub const KEXEC_TYPE_DEFAULT: u32 = 0;
    /// Kernel for a crash.
    pub const KEXEC_TYPE_CRASH: u32 = 1;
    /// Range: kept for the crash kernel.
    pub const KEXEC_RANGE_MA_CRASH: u32 = 0;
    /// Range: the hypervisor.
    pub const KEXEC_RANGE_MA_XEN: u32 = 1;
    /// Range: crash notes of a CPU.
    pub const KEXEC_RANGE_MA_CPU: u32 = 2;
    /// Range: the hypervisor's heap.
    pub const KEXEC_RANGE_MA_XENHEAP: u32 = 3;
    /// Range: boot parameters.
    pub const KEXEC_RANGE_MA_BOOT_PARAM: u32 = 4;
    /// Range: EFI memory map.
    pub const KEXEC_RANGE_MA_EFI_MEMMAP: u32 = 5;
    /// Range: note for crash dumps.
    pub const KEXEC_RANGE_MA_VMCOREINFO: u32 = 6;
}
