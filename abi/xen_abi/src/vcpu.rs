//! `vcpu.h`: vCPU life cycle, timers, and areas that a guest registers for time and state.

use crate::GuestHandle;

abi_consts! { CONSTS, Both;
    /// Gives a vCPU its first state.
    pub const VCPUOP_initialise: u32 = 0;
    /// Makes a vCPU runnable.
    pub const VCPUOP_up: u32 = 1;
    /// Takes a vCPU down.
    pub const VCPUOP_down: u32 = 2;
    /// Returns 1 when the vCPU is up.
    pub const VCPUOP_is_up: u32 = 3;
    /// Copies the runstate out.
    pub const VCPUOP_get_runstate_info: u32 = 4;
    /// Registers a runstate area.
    pub const VCPUOP_register_runstate_memory_area: u32 = 5;
    /// Starts the periodic timer.
    pub const VCPUOP_set_periodic_timer: u32 = 6;
    /// Stops the periodic timer.
    pub const VCPUOP_stop_periodic_timer: u32 = 7;
    /// Arms the one-shot timer.
    pub const VCPUOP_set_singleshot_timer: u32 = 8;
    /// Stops the one-shot timer.
    pub const VCPUOP_stop_singleshot_timer: u32 = 9;
    /// Places the vCPU's `vcpu_info`.
    pub const VCPUOP_register_vcpu_info: u32 = 10;
    /// Sends an NMI.
    pub const VCPUOP_send_nmi: u32 = 11;
    /// Physical id of a pinned vCPU's CPU.
    pub const VCPUOP_get_physid: u32 = 12;
    /// Registers a second copy of the time information.
    pub const VCPUOP_register_vcpu_time_memory_area: u32 = 13;

    /// In `state_entry_time`: an update of the area is under way.
    pub const XEN_RUNSTATE_UPDATE: u64 = 1 << 63;
    /// Runs on a physical CPU.
    pub const RUNSTATE_running: u32 = 0;
    /// Could run, but waits for a physical CPU.
    pub const RUNSTATE_runnable: u32 = 1;
    /// Waits for an event.
    pub const RUNSTATE_blocked: u32 = 2;
    /// Neither runnable nor blocked: paused or down.
    pub const RUNSTATE_offline: u32 = 3;

    /// One-shot timer: refuse a time in the past. The hypervisor may ignore it.
    pub const VCPU_SSHOTTMR_future: u32 = 1;
}

abi_structs! { STRUCTS, Both;
    /// State and times of a vCPU.
    #[c = "struct vcpu_runstate_info"]
    pub struct VcpuRunstateInfo {
        /// `RUNSTATE_*`.
        pub state: u32,
        /// C padding.
        pub _gap0: u32,
        /// System time in nanoseconds at which the state began; see `XEN_RUNSTATE_UPDATE`.
        pub state_entry_time: u64,
        /// Nanoseconds spent in each state.
        pub time: [u64; 4],
    }

    /// `VCPUOP_register_runstate_memory_area`.
    #[c = "struct vcpu_register_runstate_memory_area"]
    pub struct VcpuRegisterRunstateMemoryArea {
        /// Guest virtual address of a [`VcpuRunstateInfo`].
        pub addr: GuestHandle,
    }

    /// `VCPUOP_set_periodic_timer`.
    #[c = "struct vcpu_set_periodic_timer"]
    pub struct VcpuSetPeriodicTimer {
        /// Period in nanoseconds.
        pub period_ns: u64,
    }

    /// `VCPUOP_set_singleshot_timer`.
    #[c = "struct vcpu_set_singleshot_timer"]
    pub struct VcpuSetSingleshotTimer {
        /// Absolute system time in nanoseconds.
        pub timeout_abs_ns: u64,
        /// `VCPU_SSHOTTMR_*`.
        pub flags: u32,
        /// C padding.
        pub _gap0: u32,
    }

    /// `VCPUOP_register_vcpu_info`.
    #[c = "struct vcpu_register_vcpu_info"]
    pub struct VcpuRegisterVcpuInfo {
        /// Guest frame for the `vcpu_info`.
        pub mfn: u64,
        /// Its offset; the structure may not cross the end of the frame.
        pub offset: u32,
        /// Unused.
        pub rsvd: u32,
    }

    /// `VCPUOP_get_physid`.
    #[c = "struct vcpu_get_physid"]
    pub struct VcpuGetPhysid {
        /// On x86 the APIC id in the low half and the ACPI id in the high one.
        pub phys_id: u64,
    }

    /// `VCPUOP_register_vcpu_time_memory_area`.
    #[c = "struct vcpu_register_time_memory_area"]
    pub struct VcpuRegisterTimeMemoryArea {
        /// Guest virtual address of a [`crate::xen::VcpuTimeInfo`].
        pub addr: GuestHandle,
    }
}
