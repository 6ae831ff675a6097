//! Sysctl structures about schedulers and CPU pools.

use crate::GuestHandle;
use crate::xen::{DomainHandle, XenctlBitmap};

abi_consts! { SCHED_CONSTS, Both;
    /// Pool: create.
    pub const XEN_SYSCTL_CPUPOOL_OP_CREATE: u32 = 1;
    /// Pool: destroy.
    pub const XEN_SYSCTL_CPUPOOL_OP_DESTROY: u32 = 2;
    /// Pool: describe the first from an id on.
    pub const XEN_SYSCTL_CPUPOOL_OP_INFO: u32 = 3;
    /// Pool: add a CPU.
    pub const XEN_SYSCTL_CPUPOOL_OP_ADDCPU: u32 = 4;
    /// Pool: remove a CPU.
    pub const XEN_SYSCTL_CPUPOOL_OP_RMCPU: u32 = 5;
    /// Pool: move a domain here.
    pub const XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN: u32 = 6;
    /// Pool: CPUs in no pool.
    pub const XEN_SYSCTL_CPUPOOL_OP_FREEINFO: u32 = 7;
    /// Pool: any id or CPU will do.
    pub const XEN_SYSCTL_CPUPOOL_PAR_ANY: u32 = 0xffff_ffff;

    /// Domains in an ARINC 653 schedule.
    pub const ARINC653_MAX_DOMAINS_PER_SCHEDULE: usize = 64;
    /// Largest rate limit in microseconds.
    pub const XEN_SYSCTL_SCHED_RATELIMIT_MAX: u32 = 500_000;
    /// Smallest rate limit in microseconds.
    pub const XEN_SYSCTL_SCHED_RATELIMIT_MIN: u32 = 100;
    /// Largest time slice of credit in milliseconds.
    pub const XEN_SYSCTL_CSCHED_TSLICE_MAX: u32 = 1000;
    /// Smallest time slice of credit in milliseconds.
    pub const XEN_SYSCTL_CSCHED_TSLICE_MIN: u32 = 1;
    /// Largest migration delay of credit in microseconds.
    pub const XEN_SYSCTL_CSCHED_MGR_DLY_MAX_US: u32 = 100_000;

    /// Sets a scheduler's parameters.
    pub const XEN_SYSCTL_SCHEDOP_putinfo: u32 = 0;
    /// Reads a scheduler's parameters.
    pub const XEN_SYSCTL_SCHEDOP_getinfo: u32 = 1;
}

abi_structs! { SCHED_STRUCTS, Both;
    /// `XEN_SYSCTL_sched_id`.
    #[c = "struct xen_sysctl_sched_id"]
    pub struct SchedId {
        /// OUT: `XEN_SCHEDULER_*`.
        pub sched_id: u32,
    }

    /// `XEN_SYSCTL_cpupool_op`.
    #[c = "struct xen_sysctl_cpupool_op"]
    pub struct CpupoolOp {
        /// IN: `XEN_SYSCTL_CPUPOOL_OP_*`.
        pub op: u32,
        /// IN: pool; OUT for create and info.
        pub cpupool_id: u32,
        /// IN for create, OUT for info: scheduler.
        pub sched_id: u32,
        /// IN for a move: the domain.
        pub domid: u32,
        /// IN: the CPU, or any.
        pub cpu: u32,
        /// OUT for info: domains in it.
        pub n_dom: u32,
        /// OUT for info and free info: its CPUs.
        pub cpumap: XenctlBitmap,
    }

    /// One slot of [`Arinc653Schedule`].
    #[c = "__typeof__(((struct xen_sysctl_arinc653_schedule *)0)->sched_entries[0])"]
    pub struct Arinc653Entry {
        /// UUID of the domain.
        pub dom_handle: DomainHandle,
        /// The vCPU.
        pub vcpu_id: u32,
        /// C padding.
        pub _gap0: u32,
        /// Nanoseconds.
        pub runtime: u64,
    }

    /// Schedule of ARINC 653.
    #[c = "struct xen_sysctl_arinc653_schedule"]
    pub struct Arinc653Schedule {
        /// Nanoseconds of the whole.
        pub major_frame: u64,
        /// Slots in use.
        pub num_sched_entries: u8,
        /// C padding.
        pub _gap0: [u8; 7],
        /// Slots.
        pub sched_entries: [Arinc653Entry; ARINC653_MAX_DOMAINS_PER_SCHEDULE],
    }

    /// ARINC 653 in [`SchedulerOp`].
    #[c = "struct xen_sysctl_sched_arinc653"]
    pub struct SchedArinc653 {
        /// Address of an [`Arinc653Schedule`].
        pub schedule: GuestHandle,
    }

    /// Parameters of credit.
    #[c = "struct xen_sysctl_credit_schedule"]
    pub struct CreditSchedule {
        /// Time slice in milliseconds.
        pub tslice_ms: u32,
        /// Rate limit in microseconds.
        pub ratelimit_us: u32,
        /// Migration delay in microseconds.
        pub vcpu_migr_delay_us: u32,
    }

    /// Parameters of credit2.
    #[c = "struct xen_sysctl_credit2_schedule"]
    pub struct Credit2Schedule {
        /// Rate limit in microseconds.
        pub ratelimit_us: u32,
    }

    /// `XEN_SYSCTL_scheduler_op`.
    #[c = "struct xen_sysctl_scheduler_op"]
    pub struct SchedulerOp {
        /// IN: pool.
        pub cpupool_id: u32,
        /// IN: `XEN_SCHEDULER_*`.
        pub sched_id: u32,
        /// IN: `XEN_SYSCTL_SCHEDOP_*`.
        pub cmd: u32,
        /// C padding.
        pub _gap0: u32,
        /// IN, OUT: [`SchedArinc653`], [`CreditSchedule`] or [`Credit2Schedule`].
        pub u: [u64; 2],
    }
}

abi_payload! {
    SchedulerOp.u: [u64; 2];
}
