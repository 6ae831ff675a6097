//! `pmu.h`: performance counters for guests (x86).

abi_consts! { CONSTS, Both;
    /// Major interface version.
    pub const XENPMU_VER_MAJ: u32 = 0;
    /// Minor interface version.
    pub const XENPMU_VER_MIN: u32 = 1;
    /// Reads the mode.
    pub const XENPMU_mode_get: u32 = 0;
    /// Sets the mode.
    pub const XENPMU_mode_set: u32 = 1;
    /// Reads the features.
    pub const XENPMU_feature_get: u32 = 2;
    /// Sets the features.
    pub const XENPMU_feature_set: u32 = 3;
    /// Starts on a vCPU.
    pub const XENPMU_init: u32 = 4;
    /// Stops on a vCPU.
    pub const XENPMU_finish: u32 = 5;
    /// Sets the interrupt's mask.
    pub const XENPMU_lvtpc_set: u32 = 6;
    /// Writes the state back.
    pub const XENPMU_flush: u32 = 7;
    /// Mode: off.
    pub const XENPMU_MODE_OFF: u64 = 0;
    /// Mode: each guest sees itself.
    pub const XENPMU_MODE_SELF: u64 = 1 << 0;
    /// Mode: the hardware domain sees the hypervisor too.
    pub const XENPMU_MODE_HV: u64 = 1 << 1;
    /// Mode: the hardware domain sees all.
    pub const XENPMU_MODE_ALL: u64 = 1 << 2;
    /// Feature: branch trace store.
    pub const XENPMU_FEATURE_INTEL_BTS: u64 = 1 << 0;
    /// Feature: only cycles and instructions.
    pub const XENPMU_FEATURE_IPC_ONLY: u64 = 1 << 1;
    /// Feature: only architectural events.
    pub const XENPMU_FEATURE_ARCH_ONLY: u64 = 1 << 2;
}

abi_structs! { STRUCTS, Both;
    /// Argument of all operations.
    #[c = "struct xen_pmu_params"]
    pub struct PmuParams {
        /// IN, OUT: major and minor version.
        pub version: [u32; 2],
        /// IN or OUT: value.
        pub val: u64,
        /// IN: the vCPU.
        pub vcpu: u32,
        /// Unused.
        pub pad: u32,
    }
}
