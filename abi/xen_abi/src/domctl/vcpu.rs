//! Domctl structures about vCPUs.

use bitflags::bitflags;

use crate::GuestHandle;
use crate::xen::XenctlBitmap;

abi_consts! { VCPU_CONSTS, Both;
    /// Affinity: where the vCPU may run.
    pub const XEN_VCPUAFFINITY_HARD: u32 = 1 << 0;
    /// Affinity: where it prefers to run.
    pub const XEN_VCPUAFFINITY_SOFT: u32 = 1 << 1;
    /// Affinity: end a `SCHEDOP_pin_override`.
    pub const XEN_VCPUAFFINITY_FORCE: u32 = 1 << 2;

    /// Debug: single step off.
    pub const XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_OFF: u32 = 0;
    /// Debug: single step on.
    pub const XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_ON: u32 = 1;

    /// Trace: start.
    pub const XEN_DOMCTL_vmtrace_enable: u32 = 1;
    /// Trace: stop.
    pub const XEN_DOMCTL_vmtrace_disable: u32 = 2;
    /// Trace: start from the beginning.
    pub const XEN_DOMCTL_vmtrace_reset_and_enable: u32 = 3;
    /// Trace: position in the buffer.
    pub const XEN_DOMCTL_vmtrace_output_position: u32 = 4;
    /// Trace: read an option.
    pub const XEN_DOMCTL_vmtrace_get_option: u32 = 5;
    /// Trace: set an option.
    pub const XEN_DOMCTL_vmtrace_set_option: u32 = 6;
}

bitflags! {
    /// Which affinity is meant (`XEN_VCPUAFFINITY_*`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct VcpuAffinityFlags: u32 {
        /// [`XEN_VCPUAFFINITY_HARD`].
        const HARD = XEN_VCPUAFFINITY_HARD;
        /// [`XEN_VCPUAFFINITY_SOFT`].
        const SOFT = XEN_VCPUAFFINITY_SOFT;
        /// [`XEN_VCPUAFFINITY_FORCE`].
        const FORCE = XEN_VCPUAFFINITY_FORCE;
    }
}

abi_structs! { VCPU_STRUCTS, Both;
    /// `XEN_DOMCTL_setvcpucontext` and `XEN_DOMCTL_getvcpucontext`.
    #[c = "struct xen_domctl_vcpucontext"]
    pub struct VcpuContext {
        /// IN: the vCPU.
        pub vcpu: u32,
        /// C padding.
        pub _gap0: u32,
        /// IN, OUT: address of the CPU's `vcpu_guest_context`; null brings the vCPU's state to reset.
        pub ctxt: GuestHandle,
    }

    /// `XEN_DOMCTL_getvcpuinfo`.
    #[c = "struct xen_domctl_getvcpuinfo"]
    pub struct GetVcpuInfo {
        /// IN: the vCPU.
        pub vcpu: u32,
        /// OUT: 1 when it is online.
        pub online: u8,
        /// OUT: 1 when it waits for an event.
        pub blocked: u8,
        /// OUT: 1 when it runs.
        pub running: u8,
        /// C padding.
        pub _gap0: u8,
        /// OUT: nanoseconds of CPU time.
        pub cpu_time: u64,
        /// OUT: physical CPU.
        pub cpu: u32,
        /// C padding.
        pub _gap1: u32,
    }

    /// `XEN_DOMCTL_setvcpuaffinity` and `XEN_DOMCTL_getvcpuaffinity`.
    #[c = "struct xen_domctl_vcpuaffinity"]
    pub struct VcpuAffinity {
        /// IN: the vCPU.
        pub vcpu: u32,
        /// IN: `XEN_VCPUAFFINITY_*`.
        pub flags: u32,
        /// IN: wanted; OUT after set: what took effect; OUT after get: what was set.
        pub cpumap_hard: XenctlBitmap,
        /// The same for the preference.
        pub cpumap_soft: XenctlBitmap,
    }

    /// `XEN_DOMCTL_max_vcpus`.
    #[c = "struct xen_domctl_max_vcpus"]
    pub struct MaxVcpus {
        /// IN: the number with which the domain was created.
        pub max: u32,
    }

    /// `XEN_DOMCTL_debug_op`.
    #[c = "struct xen_domctl_debug_op"]
    pub struct DebugOp {
        /// IN: `XEN_DOMCTL_DEBUG_OP_*`.
        pub op: u32,
        /// IN: the vCPU.
        pub vcpu: u32,
    }

    /// `XEN_DOMCTL_gdbsx_guestmemio`.
    #[c = "struct xen_domctl_gdbsx_memio"]
    pub struct GdbsxMemio {
        /// IN: page table root, 0 for the current one.
        pub pgd3val: u64,
        /// IN: guest virtual address.
        pub gva: u64,
        /// IN: the caller's buffer.
        pub uva: u64,
        /// IN: bytes.
        pub len: u32,
        /// IN: 1 writes to the guest.
        pub gwr: u8,
        /// C padding.
        pub _gap0: [u8; 3],
        /// OUT: bytes not copied.
        pub remain: u32,
        /// C padding.
        pub _gap1: u32,
    }

    /// `XEN_DOMCTL_gdbsx_pausevcpu` and `XEN_DOMCTL_gdbsx_unpausevcpu`.
    #[c = "struct xen_domctl_gdbsx_pauseunp_vcpu"]
    pub struct GdbsxPauseunpVcpu {
        /// IN: the vCPU.
        pub vcpu: u32,
    }

    /// `XEN_DOMCTL_gdbsx_domstatus`.
    #[c = "struct xen_domctl_gdbsx_domstatus"]
    pub struct GdbsxDomstatus {
        /// OUT: 1 when the domain is paused.
        pub paused: u8,
        /// C padding.
        pub _gap0: [u8; 3],
        /// OUT: vCPU with an event.
        pub vcpu_id: u32,
        /// OUT: the event.
        pub vcpu_ev: u32,
    }

    /// `XEN_DOMCTL_vmtrace_op`.
    #[c = "struct xen_domctl_vmtrace_op"]
    pub struct VmtraceOp {
        /// IN: `XEN_DOMCTL_vmtrace_*`.
        pub cmd: u32,
        /// IN: the vCPU.
        pub vcpu: u32,
        /// IN: by command.
        pub key: u64,
        /// IN, OUT: by command.
        pub value: u64,
    }
}

abi_structs! { VCPU_STRUCTS_ARM64, Arm64;
    /// `XEN_DOMCTL_set_ext_vcpucontext` and `XEN_DOMCTL_get_ext_vcpucontext`; empty on arm64.
    #[c = "struct xen_domctl_ext_vcpucontext"]
    pub struct ExtVcpuContextArm64 {
        /// IN: the vCPU.
        pub vcpu: u32,
        /// IN, OUT: bytes of this structure.
        pub size: u32,
    }
}

abi_structs! { VCPU_STRUCTS_X86_64, X86_64;
    /// `XEN_DOMCTL_set_ext_vcpucontext` and `XEN_DOMCTL_get_ext_vcpucontext`.
    #[c = "struct xen_domctl_ext_vcpucontext"]
    pub struct ExtVcpuContextX86 {
        /// IN: the vCPU.
        pub vcpu: u32,
        /// IN, OUT: bytes of this structure.
        pub size: u32,
        /// 32-bit system call entry.
        pub syscall32_callback_eip: u64,
        /// SYSENTER entry.
        pub sysenter_callback_eip: u64,
        /// 32-bit system call entry: code segment.
        pub syscall32_callback_cs: u16,
        /// SYSENTER entry: code segment.
        pub sysenter_callback_cs: u16,
        /// 32-bit system call entry: events off.
        pub syscall32_disables_events: u8,
        /// SYSENTER entry: events off.
        pub sysenter_disables_events: u8,
        /// C padding.
        pub _gap0: u16,
        /// Machine check state.
        pub vmce: HvmVmceVcpu,
    }

    /// Machine check state of a vCPU (`arch-x86/hvm/save.h`).
    #[c = "struct hvm_vmce_vcpu"]
    pub struct HvmVmceVcpu {
        /// Abilities.
        pub caps: u64,
        /// Control of bank 0.
        pub mci_ctl2_bank0: u64,
        /// Control of bank 1.
        pub mci_ctl2_bank1: u64,
        /// Extended control.
        pub mcg_ext_ctl: u64,
    }
}
