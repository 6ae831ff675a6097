//! `sched.h`: yield, block, shut down, poll, watchdog.

use crate::GuestHandle;

abi_consts! { CONSTS, Both;
    /// Lets others run.
    pub const SCHEDOP_yield: u32 = 0;
    /// Waits for an event.
    pub const SCHEDOP_block: u32 = 1;
    /// Shuts the calling domain down.
    pub const SCHEDOP_shutdown: u32 = 2;
    /// Waits for one of a set of ports.
    pub const SCHEDOP_poll: u32 = 3;
    /// Shuts another domain down.
    pub const SCHEDOP_remote_shutdown: u32 = 4;
    /// Remembers the reason for a later shutdown.
    pub const SCHEDOP_shutdown_code: u32 = 5;
    /// Watchdog timers.
    pub const SCHEDOP_watchdog: u32 = 6;
    /// Pins the vCPU for a while (hardware domain).
    pub const SCHEDOP_pin_override: u32 = 7;

    /// Reason: powered off.
    pub const SHUTDOWN_poweroff: u32 = 0;
    /// Reason: asks for a restart.
    pub const SHUTDOWN_reboot: u32 = 1;
    /// Reason: suspended, to be saved.
    pub const SHUTDOWN_suspend: u32 = 2;
    /// Reason: crashed.
    pub const SHUTDOWN_crash: u32 = 3;
    /// Reason: a watchdog expired.
    pub const SHUTDOWN_watchdog: u32 = 4;
    /// Reason: asks for a reset that keeps memory and vCPU state.
    pub const SHUTDOWN_soft_reset: u32 = 5;
    /// Largest valid reason.
    pub const SHUTDOWN_MAX: u32 = 5;
}

abi_structs! { STRUCTS, Both;
    /// `SCHEDOP_shutdown` and `SCHEDOP_shutdown_code`.
    #[c = "struct sched_shutdown"]
    pub struct SchedShutdown {
        /// `SHUTDOWN_*`.
        pub reason: u32,
    }

    /// `SCHEDOP_poll`.
    #[c = "struct sched_poll"]
    pub struct SchedPoll {
        /// Array of ports (`u32`).
        pub ports: GuestHandle,
        /// Its length.
        pub nr_ports: u32,
        /// C padding.
        pub _gap0: u32,
        /// Absolute system time in nanoseconds at which to give up; 0 is never.
        pub timeout: u64,
    }

    /// `SCHEDOP_remote_shutdown`.
    #[c = "struct sched_remote_shutdown"]
    pub struct SchedRemoteShutdown {
        /// Domain to shut down.
        pub domain_id: u16,
        /// C padding.
        pub _gap0: u16,
        /// `SHUTDOWN_*`.
        pub reason: u32,
    }

    /// `SCHEDOP_watchdog`.
    #[c = "struct sched_watchdog"]
    pub struct SchedWatchdog {
        /// 0 makes a new watchdog; otherwise the one to poke or, with timeout 0, to remove.
        pub id: u32,
        /// Seconds.
        pub timeout: u32,
    }

    /// `SCHEDOP_pin_override`.
    #[c = "struct sched_pin_override"]
    pub struct SchedPinOverride {
        /// Physical CPU; negative undoes the pin.
        pub pcpu: i32,
    }
}
