//! `platform.h`: what the hardware domain's kernel asks about the machine. On arm64 only `XENPF_settime64`
//! exists.

use crate::GuestHandle;

abi_consts! { CONSTS, Both;
    /// Interface version; the same in all releases so far.
    pub const XENPF_INTERFACE_VERSION: u32 = 0x0300_0001;

    /// Sets the wall clock, 32-bit seconds.
    pub const XENPF_settime32: u32 = 17;
    /// Adds a memory type range (x86).
    pub const XENPF_add_memtype: u32 = 31;
    /// Removes a memory type range (x86).
    pub const XENPF_del_memtype: u32 = 32;
    /// Reads a memory type range (x86).
    pub const XENPF_read_memtype: u32 = 33;
    /// Loads microcode (x86).
    pub const XENPF_microcode_update: u32 = 35;
    /// Reports a quirk (x86).
    pub const XENPF_platform_quirk: u32 = 39;
    /// Vendor, family, model and stepping of a CPU (x86).
    pub const XENPF_get_cpu_version: u32 = 48;
    /// Calls EFI.
    pub const XENPF_efi_runtime_call: u32 = 49;
    /// What the firmware left.
    pub const XENPF_firmware_info: u32 = 50;
    /// Enters an ACPI sleep state.
    pub const XENPF_enter_acpi_sleep: u32 = 51;
    /// Reports a frequency change.
    pub const XENPF_change_freq: u32 = 52;
    /// Idle times.
    pub const XENPF_getidletime: u32 = 53;
    /// Uploads ACPI processor data.
    pub const XENPF_set_processor_pminfo: u32 = 54;
    /// Describes a CPU.
    pub const XENPF_get_cpuinfo: u32 = 55;
    /// Brings a CPU up.
    pub const XENPF_cpu_online: u32 = 56;
    /// Takes a CPU down.
    pub const XENPF_cpu_offline: u32 = 57;
    /// Adds a CPU.
    pub const XENPF_cpu_hotadd: u32 = 58;
    /// Adds memory.
    pub const XENPF_mem_hotadd: u32 = 59;
    /// Parks cores.
    pub const XENPF_core_parking: u32 = 60;
    /// Reads and writes model-specific registers of a CPU (x86).
    pub const XENPF_resource_op: u32 = 61;
    /// Sets the wall clock.
    pub const XENPF_settime64: u32 = 62;
    /// Looks up a symbol of the hypervisor.
    pub const XENPF_get_symbol: u32 = 63;

    /// Firmware: disk parameters.
    pub const XEN_FW_DISK_INFO: u32 = 1;
    /// Firmware: disk signature.
    pub const XEN_FW_DISK_MBR_SIGNATURE: u32 = 2;
    /// Firmware: display identification.
    pub const XEN_FW_VBEDDC_INFO: u32 = 3;
    /// Firmware: EFI.
    pub const XEN_FW_EFI_INFO: u32 = 4;
    /// Firmware: keyboard state.
    pub const XEN_FW_KBD_SHIFT_FLAGS: u32 = 5;
    /// Sleep: the registers are the reduced ones.
    pub const XENPF_ACPI_SLEEP_EXTENDED: u32 = 1;
    /// CPU: online.
    pub const XEN_PCPU_FLAGS_ONLINE: u32 = 1;
    /// CPU: not there.
    pub const XEN_PCPU_FLAGS_INVALID: u32 = 2;
    /// Resource: read a register.
    pub const XEN_RESOURCE_OP_MSR_READ: u32 = 0;
    /// Resource: write a register.
    pub const XEN_RESOURCE_OP_MSR_WRITE: u32 = 1;
}

/// Describes the hardware domain's video console. Not in 4.17; Linux 6.12 asks.
pub const XENPF_get_dom0_console: u32 = 64;

abi_structs! { STRUCTS, Both;
    /// What every platform call passes.
    #[c = "struct xen_platform_op"]
    pub struct PlatformOp {
        /// `XENPF_*`.
        pub cmd: u32,
        /// `XENPF_INTERFACE_VERSION`; any other is refused with `EACCES`.
        pub interface_version: u32,
        /// The operation's structure.
        pub u: [u64; 16],
    }

    /// `XENPF_settime32`.
    #[c = "struct xenpf_settime32"]
    pub struct Settime32 {
        /// IN: seconds since 1970.
        pub secs: u32,
        /// IN: nanoseconds.
        pub nsecs: u32,
        /// IN: system time at that moment.
        pub system_time: u64,
    }

    /// `XENPF_settime64`.
    #[c = "struct xenpf_settime64"]
    pub struct Settime64 {
        /// IN: seconds since 1970.
        pub secs: u64,
        /// IN: nanoseconds.
        pub nsecs: u32,
        /// IN: 0.
        pub mbz: u32,
        /// IN: system time at that moment.
        pub system_time: u64,
    }

    /// `XENPF_enter_acpi_sleep`.
    #[c = "struct xenpf_enter_acpi_sleep"]
    pub struct EnterAcpiSleep {
        /// IN: value for the first register.
        pub val_a: u16,
        /// IN: value for the second register.
        pub val_b: u16,
        /// IN: state.
        pub sleep_state: u32,
        /// IN: `XENPF_ACPI_SLEEP_EXTENDED`.
        pub flags: u32,
    }

    /// `XENPF_getidletime`.
    #[c = "struct xenpf_getidletime"]
    pub struct Getidletime {
        /// IN: CPUs wanted; OUT: CPUs there.
        pub cpumap_bitmap: GuestHandle,
        /// IN: bits.
        pub cpumap_nr_cpus: u32,
        /// C padding.
        pub _gap0: u32,
        /// OUT: array of nanoseconds (`u64`).
        pub idletime: GuestHandle,
        /// OUT: system time.
        pub now: u64,
    }

    /// `XENPF_get_cpuinfo`.
    #[c = "struct xenpf_pcpuinfo"]
    pub struct Pcpuinfo {
        /// IN: the CPU.
        pub xen_cpuid: u32,
        /// OUT: largest CPU.
        pub max_present: u32,
        /// OUT: `XEN_PCPU_FLAGS_*`.
        pub flags: u32,
        /// OUT: APIC id.
        pub apic_id: u32,
        /// OUT: ACPI id.
        pub acpi_id: u32,
    }

    /// `XENPF_cpu_online` and `XENPF_cpu_offline`.
    #[c = "struct xenpf_cpu_ol"]
    pub struct CpuOl {
        /// IN: the CPU.
        pub cpuid: u32,
    }

    /// One register of [`ResourceOp`].
    #[c = "struct xenpf_resource_entry"]
    pub struct ResourceEntry {
        /// IN: `XEN_RESOURCE_OP_*`; OUT: 0 or a negative error.
        pub u: u32,
        /// 0.
        pub rsvd: u32,
        /// IN: its number.
        pub idx: u64,
        /// IN or OUT: its value.
        pub val: u64,
    }

    /// `XENPF_resource_op`.
    #[c = "struct xenpf_resource_op"]
    pub struct ResourceOp {
        /// IN: entries.
        pub nr_entries: u32,
        /// IN: the CPU.
        pub cpu: u32,
        /// IN, OUT: array of [`ResourceEntry`].
        pub entries: GuestHandle,
    }
}

abi_payload! {
    PlatformOp.u: [u64; 16];
}
