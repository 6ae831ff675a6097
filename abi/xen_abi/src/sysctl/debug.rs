//! Sysctl structures about traces, counters and coverage, and the x86 policies.

use crate::GuestHandle;
use crate::xen::XenctlBitmap;

abi_consts! { DEBUG_CONSTS, Both;
    /// Trace: where the buffers are.
    pub const XEN_SYSCTL_TBUFOP_get_info: u32 = 0;
    /// Trace: which CPUs.
    pub const XEN_SYSCTL_TBUFOP_set_cpu_mask: u32 = 1;
    /// Trace: which events.
    pub const XEN_SYSCTL_TBUFOP_set_evt_mask: u32 = 2;
    /// Trace: size of the buffers.
    pub const XEN_SYSCTL_TBUFOP_set_size: u32 = 3;
    /// Trace: start.
    pub const XEN_SYSCTL_TBUFOP_enable: u32 = 4;
    /// Trace: stop.
    pub const XEN_SYSCTL_TBUFOP_disable: u32 = 5;

    /// Counters: set to 0.
    pub const XEN_SYSCTL_PERFCOP_reset: u32 = 1;
    /// Counters: read.
    pub const XEN_SYSCTL_PERFCOP_query: u32 = 2;

    /// Locks: set to 0.
    pub const XEN_SYSCTL_LOCKPROF_reset: u32 = 1;
    /// Locks: read.
    pub const XEN_SYSCTL_LOCKPROF_query: u32 = 2;
    /// Lock: one for all.
    pub const LOCKPROF_TYPE_GLOBAL: i32 = 0;
    /// Lock: one per domain.
    pub const LOCKPROF_TYPE_PERDOM: i32 = 1;
    /// Number of lock types.
    pub const LOCKPROF_TYPE_N: i32 = 2;

    /// First word of coverage data.
    pub const XEN_GCOV_FORMAT_MAGIC: u32 = 0x5843_4f56;
    /// Coverage: size.
    pub const XEN_SYSCTL_COVERAGE_get_size: u32 = 0;
    /// Coverage: read.
    pub const XEN_SYSCTL_COVERAGE_read: u32 = 1;
    /// Coverage: set to 0.
    pub const XEN_SYSCTL_COVERAGE_reset: u32 = 2;

    /// Feature set: the hardware's.
    pub const XEN_SYSCTL_cpu_featureset_raw: u32 = 0;
    /// Feature set: the hypervisor's.
    pub const XEN_SYSCTL_cpu_featureset_host: u32 = 1;
    /// Feature set: default of PV guests.
    pub const XEN_SYSCTL_cpu_featureset_pv: u32 = 2;
    /// Feature set: default of translated guests.
    pub const XEN_SYSCTL_cpu_featureset_hvm: u32 = 3;
    /// Feature set: largest for PV guests.
    pub const XEN_SYSCTL_cpu_featureset_pv_max: u32 = 4;
    /// Feature set: largest for translated guests.
    pub const XEN_SYSCTL_cpu_featureset_hvm_max: u32 = 5;
}

abi_consts! { DEBUG_CONSTS_X86_64, X86_64;
    /// Policy: the hardware's.
    pub const XEN_SYSCTL_cpu_policy_raw: u32 = 0;
    /// Policy: the hypervisor's.
    pub const XEN_SYSCTL_cpu_policy_host: u32 = 1;
    /// Policy: largest for PV guests.
    pub const XEN_SYSCTL_cpu_policy_pv_max: u32 = 2;
    /// Policy: largest for translated guests.
    pub const XEN_SYSCTL_cpu_policy_hvm_max: u32 = 3;
    /// Policy: default of PV guests.
    pub const XEN_SYSCTL_cpu_policy_pv_default: u32 = 4;
    /// Policy: default of translated guests.
    pub const XEN_SYSCTL_cpu_policy_hvm_default: u32 = 5;
}

abi_structs! { DEBUG_STRUCTS, Both;
    /// `XEN_SYSCTL_tbuf_op`.
    #[c = "struct xen_sysctl_tbuf_op"]
    pub struct TbufOp {
        /// IN: `XEN_SYSCTL_TBUFOP_*`.
        pub cmd: u32,
        /// C padding.
        pub _gap0: u32,
        /// IN: CPUs.
        pub cpu_mask: XenctlBitmap,
        /// IN, OUT: events.
        pub evt_mask: u32,
        /// C padding.
        pub _gap1: u32,
        /// OUT: machine frame of the information.
        pub buffer_mfn: u64,
        /// IN, OUT: size.
        pub size: u32,
        /// C padding.
        pub _gap2: u32,
    }

    /// Name of a counter.
    #[c = "struct xen_sysctl_perfc_desc"]
    pub struct PerfcDesc {
        /// Text, ended by zero.
        pub name: [u8; 80],
        /// Values it has.
        pub nr_vals: u32,
    }

    /// `XEN_SYSCTL_perfc_op`.
    #[c = "struct xen_sysctl_perfc_op"]
    pub struct PerfcOp {
        /// IN: `XEN_SYSCTL_PERFCOP_*`.
        pub cmd: u32,
        /// OUT: counters.
        pub nr_counters: u32,
        /// OUT: values.
        pub nr_vals: u32,
        /// C padding.
        pub _gap0: u32,
        /// IN: array of [`PerfcDesc`], or null.
        pub desc: GuestHandle,
        /// IN: array of values (`u32`), or null.
        pub val: GuestHandle,
    }

    /// Statistics of one lock.
    #[c = "struct xen_sysctl_lockprof_data"]
    pub struct LockprofData {
        /// Text, ended by zero.
        pub name: [u8; 40],
        /// `LOCKPROF_TYPE_*`.
        #[c = "type"]
        pub type_: i32,
        /// Domain, for a lock per domain.
        pub idx: i32,
        /// Times taken.
        pub lock_cnt: u64,
        /// Times waited.
        pub block_cnt: u64,
        /// Nanoseconds held.
        pub lock_time: u64,
        /// Nanoseconds waited.
        pub block_time: u64,
    }

    /// `XEN_SYSCTL_lockprof_op`.
    #[c = "struct xen_sysctl_lockprof_op"]
    pub struct LockprofOp {
        /// IN: `XEN_SYSCTL_LOCKPROF_*`.
        pub cmd: u32,
        /// IN: room in the array.
        pub max_elem: u32,
        /// OUT: entries.
        pub nr_elem: u32,
        /// C padding.
        pub _gap0: u32,
        /// OUT: nanoseconds measured.
        pub time: u64,
        /// IN: array of [`LockprofData`].
        pub data: GuestHandle,
    }

    /// `XEN_SYSCTL_coverage_op`.
    #[c = "struct xen_sysctl_coverage_op"]
    pub struct CoverageOp {
        /// IN: `XEN_SYSCTL_COVERAGE_*`.
        pub cmd: u32,
        /// IN, OUT: bytes.
        pub size: u32,
        /// OUT: the data.
        pub buffer: GuestHandle,
    }

    /// `XEN_SYSCTL_get_cpu_levelling_caps`.
    #[c = "struct xen_sysctl_cpu_levelling_caps"]
    pub struct CpuLevellingCaps {
        /// OUT: bits.
        pub caps: u32,
    }

    /// `XEN_SYSCTL_get_cpu_featureset`.
    #[c = "struct xen_sysctl_cpu_featureset"]
    pub struct CpuFeatureset {
        /// IN: `XEN_SYSCTL_cpu_featureset_*`.
        pub index: u32,
        /// IN: room; OUT: words.
        pub nr_features: u32,
        /// OUT: array of words (`u32`).
        pub features: GuestHandle,
    }
}

abi_structs! { DEBUG_STRUCTS_X86_64, X86_64;
    /// `XEN_SYSCTL_get_cpu_policy`.
    #[c = "struct xen_sysctl_cpu_policy"]
    pub struct CpuPolicy {
        /// IN: `XEN_SYSCTL_cpu_policy_*`.
        pub index: u32,
        /// IN: room; OUT: leaves.
        pub nr_leaves: u32,
        /// IN: room; OUT: model-specific registers.
        pub nr_msrs: u32,
        /// 0.
        pub _rsvd: u32,
        /// OUT: array of [`crate::arch_x86::CpuidLeaf`].
        pub leaves: GuestHandle,
        /// OUT: array of [`crate::arch_x86::MsrEntry`].
        pub msrs: GuestHandle,
    }
}
