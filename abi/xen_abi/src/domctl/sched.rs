//! Domctl structures about scheduling.

use crate::GuestHandle;

abi_consts! { SCHED_CONSTS, Both;
    /// Scheduler: credit.
    pub const XEN_SCHEDULER_CREDIT: u32 = 5;
    /// Scheduler: credit2.
    pub const XEN_SCHEDULER_CREDIT2: u32 = 6;
    /// Scheduler: ARINC 653.
    pub const XEN_SCHEDULER_ARINC653: u32 = 7;
    /// Scheduler: real-time.
    pub const XEN_SCHEDULER_RTDS: u32 = 8;
    /// Scheduler: one vCPU per physical CPU.
    pub const XEN_SCHEDULER_NULL: u32 = 9;

    /// Sets the domain's parameters.
    pub const XEN_DOMCTL_SCHEDOP_putinfo: u32 = 0;
    /// Reads the domain's parameters.
    pub const XEN_DOMCTL_SCHEDOP_getinfo: u32 = 1;
    /// Sets parameters per vCPU.
    pub const XEN_DOMCTL_SCHEDOP_putvcpuinfo: u32 = 2;
    /// Reads parameters per vCPU.
    pub const XEN_DOMCTL_SCHEDOP_getvcpuinfo: u32 = 3;

    /// Real-time flag: may use spare time.
    pub const XEN_DOMCTL_SCHEDRT_extra: u32 = 1;
}

abi_structs! { SCHED_STRUCTS, Both;
    /// Parameters of credit.
    #[c = "struct xen_domctl_sched_credit"]
    pub struct SchedCredit {
        /// Share; 256 is usual.
        pub weight: u16,
        /// Limit in percent of a CPU; 0 is none.
        pub cap: u16,
    }

    /// Parameters of credit2.
    #[c = "struct xen_domctl_sched_credit2"]
    pub struct SchedCredit2 {
        /// Share; 256 is usual.
        pub weight: u16,
        /// Limit in percent of a CPU; 0 is none.
        pub cap: u16,
    }

    /// Parameters of the real-time scheduler.
    #[c = "struct xen_domctl_sched_rtds"]
    pub struct SchedRtds {
        /// Microseconds.
        pub period: u32,
        /// Microseconds.
        pub budget: u32,
        /// `XEN_DOMCTL_SCHEDRT_*`.
        pub flags: u32,
    }

    /// Parameters of one vCPU.
    #[c = "struct xen_domctl_schedparam_vcpu"]
    pub struct SchedparamVcpu {
        /// [`SchedCredit`], [`SchedCredit2`] or [`SchedRtds`], by scheduler.
        pub u: [u32; 3],
        /// The vCPU.
        pub vcpuid: u32,
    }

    /// `XEN_DOMCTL_scheduler_op`.
    #[c = "struct xen_domctl_scheduler_op"]
    pub struct SchedulerOp {
        /// IN: `XEN_SCHEDULER_*`.
        pub sched_id: u32,
        /// IN: `XEN_DOMCTL_SCHEDOP_*`.
        pub cmd: u32,
        /// IN, OUT: [`SchedCredit`], [`SchedCredit2`], [`SchedRtds`] or [`SchedulerOpVcpus`].
        pub u: [u64; 2],
    }

    /// List of vCPUs in [`SchedulerOp`].
    #[c = "__typeof__(((struct xen_domctl_scheduler_op *)0)->u.v)"]
    pub struct SchedulerOpVcpus {
        /// Array of [`SchedparamVcpu`].
        pub vcpus: GuestHandle,
        /// IN: elements; OUT: elements done.
        pub nr_vcpus: u32,
        /// Unused.
        pub padding: u32,
    }
}

abi_payload! {
    SchedparamVcpu.u: [u32; 3];
    SchedulerOp.u: [u64; 2];
}
