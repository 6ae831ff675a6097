//! Sysctl structures that only x86 implements: power management, CPU hotplug, cache control, page retirement.

use crate::GuestHandle;

abi_consts! { POWER_CONSTS, Both;
    /// Statistics: bits of the kind.
    pub const PMSTAT_CATEGORY_MASK: u32 = 0xf0;
    /// Statistics: frequencies.
    pub const PMSTAT_PX: u32 = 0x10;
    /// Statistics: idle states.
    pub const PMSTAT_CX: u32 = 0x20;
    /// Statistics: number of frequencies.
    pub const PMSTAT_get_max_px: u32 = 0x11;
    /// Statistics: read frequencies.
    pub const PMSTAT_get_pxstat: u32 = 0x12;
    /// Statistics: reset frequencies.
    pub const PMSTAT_reset_pxstat: u32 = 0x13;
    /// Statistics: number of idle states.
    pub const PMSTAT_get_max_cx: u32 = 0x21;
    /// Statistics: read idle states.
    pub const PMSTAT_get_cxstat: u32 = 0x22;
    /// Statistics: reset idle states.
    pub const PMSTAT_reset_cxstat: u32 = 0x23;

    /// Hotplug: CPU on.
    pub const XEN_SYSCTL_CPU_HOTPLUG_ONLINE: u32 = 0;
    /// Hotplug: CPU off.
    pub const XEN_SYSCTL_CPU_HOTPLUG_OFFLINE: u32 = 1;
    /// Hotplug: all second threads on.
    pub const XEN_SYSCTL_CPU_HOTPLUG_SMT_ENABLE: u32 = 2;
    /// Hotplug: all second threads off.
    pub const XEN_SYSCTL_CPU_HOTPLUG_SMT_DISABLE: u32 = 3;

    /// Length of a governor's or driver's name.
    pub const CPUFREQ_NAME_LEN: usize = 16;
    /// Governor parameter: highest frequency.
    pub const SCALING_MAX_FREQ: u32 = 1;
    /// Governor parameter: lowest frequency.
    pub const SCALING_MIN_FREQ: u32 = 2;
    /// Governor parameter: the frequency.
    pub const SCALING_SETSPEED: u32 = 3;
    /// Governor parameter: sampling rate.
    pub const SAMPLING_RATE: u32 = 4;
    /// Governor parameter: threshold.
    pub const UP_THRESHOLD: u32 = 5;
    /// Power: bits of the kind.
    pub const PM_PARA_CATEGORY_MASK: u32 = 0xf0;
    /// Power: frequencies.
    pub const CPUFREQ_PARA: u32 = 0x10;
    /// Power: read the parameters.
    pub const GET_CPUFREQ_PARA: u32 = 0x11;
    /// Power: choose a governor.
    pub const SET_CPUFREQ_GOV: u32 = 0x12;
    /// Power: set a parameter.
    pub const SET_CPUFREQ_PARA: u32 = 0x13;
    /// Power: average frequency.
    pub const GET_CPUFREQ_AVGFREQ: u32 = 0x14;
    /// Power: scheduler saves power.
    pub const XEN_SYSCTL_pm_op_set_sched_opt_smt: u32 = 0x21;
    /// Power: deepest idle state.
    pub const XEN_SYSCTL_pm_op_get_max_cstate: u32 = 0x22;
    /// Power: set the deepest idle state.
    pub const XEN_SYSCTL_pm_op_set_max_cstate: u32 = 0x23;
    /// Power: set the cost of a migration.
    pub const XEN_SYSCTL_pm_op_set_vcpu_migration_delay: u32 = 0x24;
    /// Power: cost of a migration.
    pub const XEN_SYSCTL_pm_op_get_vcpu_migration_delay: u32 = 0x25;
    /// Power: turbo on.
    pub const XEN_SYSCTL_pm_op_enable_turbo: u32 = 0x26;
    /// Power: turbo off.
    pub const XEN_SYSCTL_pm_op_disable_turbo: u32 = 0x27;
    /// Power: no limit to idle states.
    pub const XEN_SYSCTL_CX_UNLIMITED: u32 = 0xffff_ffff;

    /// Page: retire.
    pub const sysctl_page_offline: u32 = 1;
    /// Page: use again.
    pub const sysctl_page_online: u32 = 2;
    /// Page: state.
    pub const sysctl_query_page_offline: u32 = 3;

    /// Cache monitoring: number of ids.
    pub const XEN_SYSCTL_PSR_CMT_get_total_rmid: u32 = 0;
    /// Cache monitoring: unit of the counters.
    pub const XEN_SYSCTL_PSR_CMT_get_l3_upscaling_factor: u32 = 1;
    /// Cache monitoring: size of the cache.
    pub const XEN_SYSCTL_PSR_CMT_get_l3_cache_size: u32 = 2;
    /// Cache monitoring: whether it is on.
    pub const XEN_SYSCTL_PSR_CMT_enabled: u32 = 3;
    /// Cache monitoring: which events there are.
    pub const XEN_SYSCTL_PSR_CMT_get_l3_event_mask: u32 = 4;
    /// Cache allocation: level 3.
    pub const XEN_SYSCTL_PSR_get_l3_info: u32 = 0;
    /// Cache allocation: level 2.
    pub const XEN_SYSCTL_PSR_get_l2_info: u32 = 1;
    /// Cache allocation: memory bandwidth.
    pub const XEN_SYSCTL_PSR_get_mba_info: u32 = 2;
    /// Cache allocation: code and data apart.
    pub const XEN_SYSCTL_PSR_CAT_L3_CDP: u32 = 1;
    /// Memory bandwidth: throttle values are linear.
    pub const XEN_SYSCTL_PSR_MBA_LINEAR: u32 = 1;

    /// Levelling: CPUID can fault.
    pub const XEN_SYSCTL_CPU_LEVELCAP_faulting: u32 = 1 << 0;
    /// Levelling: leaf 1 ecx.
    pub const XEN_SYSCTL_CPU_LEVELCAP_ecx: u32 = 1 << 1;
    /// Levelling: leaf 1 edx.
    pub const XEN_SYSCTL_CPU_LEVELCAP_edx: u32 = 1 << 2;
    /// Levelling: extended leaf 1 ecx.
    pub const XEN_SYSCTL_CPU_LEVELCAP_extd_ecx: u32 = 1 << 3;
    /// Levelling: extended leaf 1 edx.
    pub const XEN_SYSCTL_CPU_LEVELCAP_extd_edx: u32 = 1 << 4;
    /// Levelling: leaf 13 subleaf 1 eax.
    pub const XEN_SYSCTL_CPU_LEVELCAP_xsave_eax: u32 = 1 << 5;
    /// Levelling: leaf 6 ecx.
    pub const XEN_SYSCTL_CPU_LEVELCAP_thermal_ecx: u32 = 1 << 6;
    /// Levelling: leaf 7 eax.
    pub const XEN_SYSCTL_CPU_LEVELCAP_l7s0_eax: u32 = 1 << 7;
    /// Levelling: leaf 7 ebx.
    pub const XEN_SYSCTL_CPU_LEVELCAP_l7s0_ebx: u32 = 1 << 8;
}

abi_structs! { POWER_STRUCTS, Both;
    /// One frequency in [`PmPxStat`].
    #[c = "struct pm_px_val"]
    pub struct PmPxVal {
        /// MHz.
        pub freq: u64,
        /// Nanoseconds.
        pub residency: u64,
        /// Times entered.
        pub count: u64,
    }

    /// Frequencies in [`GetPmstat`].
    #[c = "struct pm_px_stat"]
    pub struct PmPxStat {
        /// All.
        pub total: u8,
        /// Usable.
        pub usable: u8,
        /// The last.
        pub last: u8,
        /// The current.
        pub cur: u8,
        /// C padding.
        pub _gap0: u32,
        /// OUT: square array of transitions (`u64`).
        pub trans_pt: GuestHandle,
        /// OUT: array of [`PmPxVal`].
        pub pt: GuestHandle,
    }

    /// Idle states in [`GetPmstat`].
    #[c = "struct pm_cx_stat"]
    pub struct PmCxStat {
        /// States.
        pub nr: u32,
        /// The last.
        pub last: u32,
        /// Nanoseconds idle since boot.
        pub idle_time: u64,
        /// OUT: array of counts (`u64`).
        pub triggers: GuestHandle,
        /// OUT: array of nanoseconds (`u64`).
        pub residencies: GuestHandle,
        /// Package states.
        pub nr_pc: u32,
        /// Core states.
        pub nr_cc: u32,
        /// OUT: array of package times (`u64`).
        pub pc: GuestHandle,
        /// OUT: array of core times (`u64`).
        pub cc: GuestHandle,
    }

    /// `XEN_SYSCTL_get_pmstat`.
    #[c = "struct xen_sysctl_get_pmstat"]
    pub struct GetPmstat {
        /// IN: `PMSTAT_*`.
        #[c = "type"]
        pub type_: u32,
        /// IN: the CPU.
        pub cpuid: u32,
        /// IN, OUT: [`PmPxStat`] or [`PmCxStat`].
        pub u: [u64; 7],
    }

    /// `XEN_SYSCTL_cpu_hotplug`.
    #[c = "struct xen_sysctl_cpu_hotplug"]
    pub struct CpuHotplug {
        /// IN: the CPU.
        pub cpu: u32,
        /// IN: `XEN_SYSCTL_CPU_HOTPLUG_*`.
        pub op: u32,
    }

    /// Parameters of the governor userspace.
    #[c = "struct xen_userspace"]
    pub struct Userspace {
        /// kHz.
        pub scaling_setspeed: u32,
    }

    /// Parameters of the governor ondemand.
    #[c = "struct xen_ondemand"]
    pub struct Ondemand {
        /// Longest interval.
        pub sampling_rate_max: u32,
        /// Shortest interval.
        pub sampling_rate_min: u32,
        /// Interval.
        pub sampling_rate: u32,
        /// Percent.
        pub up_threshold: u32,
    }

    /// `GET_CPUFREQ_PARA` in [`PmOp`].
    #[c = "struct xen_get_cpufreq_para"]
    pub struct GetCpufreqPara {
        /// IN, OUT: CPUs.
        pub cpu_num: u32,
        /// IN, OUT: frequencies.
        pub freq_num: u32,
        /// IN, OUT: governors.
        pub gov_num: u32,
        /// C padding.
        pub _gap0: u32,
        /// OUT: array of CPUs (`u32`).
        pub affected_cpus: GuestHandle,
        /// OUT: array of kHz (`u32`).
        pub scaling_available_frequencies: GuestHandle,
        /// OUT: names.
        pub scaling_available_governors: GuestHandle,
        /// OUT: driver.
        pub scaling_driver: [u8; CPUFREQ_NAME_LEN],
        /// OUT: kHz now.
        pub cpuinfo_cur_freq: u32,
        /// OUT: kHz at most.
        pub cpuinfo_max_freq: u32,
        /// OUT: kHz at least.
        pub cpuinfo_min_freq: u32,
        /// OUT: kHz chosen.
        pub scaling_cur_freq: u32,
        /// OUT: governor.
        pub scaling_governor: [u8; CPUFREQ_NAME_LEN],
        /// OUT: upper limit in kHz.
        pub scaling_max_freq: u32,
        /// OUT: lower limit in kHz.
        pub scaling_min_freq: u32,
        /// OUT: [`Userspace`] or [`Ondemand`].
        pub u: [u32; 4],
        /// OUT: 1 with turbo.
        pub turbo_enabled: i32,
        /// C padding.
        pub _gap1: u32,
    }

    /// `SET_CPUFREQ_GOV` in [`PmOp`].
    #[c = "struct xen_set_cpufreq_gov"]
    pub struct SetCpufreqGov {
        /// IN: governor.
        pub scaling_governor: [u8; CPUFREQ_NAME_LEN],
    }

    /// `SET_CPUFREQ_PARA` in [`PmOp`].
    #[c = "struct xen_set_cpufreq_para"]
    pub struct SetCpufreqPara {
        /// IN: parameter.
        pub ctrl_type: u32,
        /// IN: value.
        pub ctrl_value: u32,
    }

    /// `XEN_SYSCTL_pm_op`.
    #[c = "struct xen_sysctl_pm_op"]
    pub struct PmOp {
        /// IN: command.
        pub cmd: u32,
        /// IN: the CPU.
        pub cpuid: u32,
        /// IN, OUT: [`GetCpufreqPara`], [`SetCpufreqGov`], [`SetCpufreqPara`], a `u64` average frequency or a
        /// `u32`.
        pub u: [u64; 15],
    }

    /// `XEN_SYSCTL_page_offline_op`.
    #[c = "struct xen_sysctl_page_offline_op"]
    pub struct PageOfflineOp {
        /// IN: `sysctl_page_offline` and its like.
        pub cmd: u32,
        /// IN: first machine frame.
        pub start: u32,
        /// IN: last machine frame.
        pub end: u32,
        /// C padding.
        pub _gap0: u32,
        /// OUT: array of results (`u32`).
        pub status: GuestHandle,
    }

    /// `XEN_SYSCTL_psr_cmt_op`.
    #[c = "struct xen_sysctl_psr_cmt_op"]
    pub struct PsrCmtOp {
        /// IN: `XEN_SYSCTL_PSR_CMT_*`.
        pub cmd: u32,
        /// Unused.
        pub flags: u32,
        /// IN: the CPU (low half); OUT: the answer.
        pub u: u64,
    }

    /// `XEN_SYSCTL_psr_alloc`.
    #[c = "struct xen_sysctl_psr_alloc"]
    pub struct PsrAlloc {
        /// IN: `XEN_SYSCTL_PSR_get_*`.
        pub cmd: u32,
        /// IN: socket.
        pub target: u32,
        /// OUT: mask length or largest throttle, largest class, flags.
        pub u: [u32; 3],
    }
}

abi_payload! {
    GetPmstat.u: [u64; 7];
    GetCpufreqPara.u: [u32; 4];
    PmOp.u: [u64; 15];
}
