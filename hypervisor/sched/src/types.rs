//! What callers and schedulers exchange: handles, decisions, parameters, errors.

use core::num::NonZeroU64;

use crate::{CpuId, CpuMask};

/// Which scheduler a pool runs; numbers from `XEN_SCHEDULER_*` in `public/domctl.h`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SchedKind {
    /// Credit2: proportional shares, caps, affinities.
    Credit2,
    /// Null: each vCPU owns a pCPU.
    Null,
}

impl SchedKind {
    /// The number that tools use (`XEN_SCHEDULER_CREDIT2` is 6, `XEN_SCHEDULER_NULL` is 9).
    #[must_use]
    pub const fn abi_id(self) -> u32 {
        match self {
            Self::Credit2 => 6,
            Self::Null => 9,
        }
    }

    /// The scheduler with this number, or `None` for one that is not built.
    #[must_use]
    pub const fn from_abi_id(id: u32) -> Option<Self> {
        match id {
            6 => Some(Self::Credit2),
            9 => Some(Self::Null),
            _ => None,
        }
    }

    /// The name that the `sched=` option takes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Credit2 => "credit2",
            Self::Null => "null",
        }
    }

    /// The scheduler that the `sched=` option names.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Credit2, Self::Null].into_iter().find(|kind| kind.name() == name)
    }
}

/// Names a vCPU in the whole system. Aligned so that it is copied as one word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(align(4))]
pub struct UnitKey {
    /// The vCPU's domain.
    pub domid: u16,
    /// Its number in the domain.
    pub vcpu: u16,
}

/// Handle of a unit in one pool. A handle that outlives its unit, or is used on another
/// pool, is recognised and has no effect.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct UnitId(pub(crate) NonZeroU64);

impl UnitId {
    /// `serial` must not be 0; the low bits then never make the whole 0 either.
    pub(crate) fn new(pool: u16, serial: u32, index: u16) -> Self {
        let value = u64::from(serial) << 32 | u64::from(pool) << 16 | u64::from(index);
        Self(NonZeroU64::new(value).unwrap_or(NonZeroU64::MIN))
    }

    pub(crate) const fn index(self) -> u16 {
        self.0.get() as u16
    }

    /// The number that its pool was made with, low 16 bits.
    #[inline]
    #[must_use]
    pub const fn pool(self) -> u16 {
        (self.0.get() >> 16) as u16
    }

    /// The handle as a number that is not 0, to be kept where only numbers can be.
    #[inline]
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0.get()
    }

    /// The handle that [`to_bits`](Self::to_bits) made a number of; `None` for 0. A number that never
    /// was a handle is void.
    #[inline]
    #[must_use]
    pub const fn from_bits(bits: u64) -> Option<Self> {
        match NonZeroU64::new(bits) {
            Some(bits) => Some(Self(bits)),
            None => None,
        }
    }
}

/// What a pCPU does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decision {
    /// The unit to run; `None` means idle.
    pub next: Option<(UnitId, UnitKey)>,
    /// Call `schedule` on this pCPU again at this time at the latest (ns). `None`: only when kicked.
    pub deadline: Option<u64>,
    /// `next` differs from what ran: switch context, then call `switched_out` (needless when the
    /// pCPU was idle).
    pub switch: bool,
    /// Other pCPUs that must call `schedule` soon.
    pub kick: CpuMask,
}

/// Outcome of removing a unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Removal {
    /// The unit is gone. The pCPU, if any, should call `schedule`: it has become free for others.
    Done(Option<CpuId>),
    /// A pCPU still holds the unit's context: kick it. The unit is never chosen again and is
    /// gone once that pCPU has called `switched_out`; ask with `Pool::contains`.
    Pending(CpuId),
}

/// Outcome of taking a pCPU out of a pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CpuRemoval {
    /// The pCPU holds no unit any more and may be given to another pool. When false, kick
    /// and ask again.
    pub done: bool,
    /// pCPUs that must call `schedule`.
    pub kick: CpuMask,
    /// Units whose hard affinity named only pCPUs that left: they may now run anywhere.
    pub affinity_broken: u32,
}

/// pCPUs to kick after a domain has moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MoveKicks {
    /// In the pool that it left.
    pub left: CpuMask,
    /// In the pool that it joined.
    pub joined: CpuMask,
}

/// A domain's credit2 parameters, as in `xen_domctl_sched_credit2`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DomainParams {
    /// Share of the pool relative to others' weights, 1 to 65535.
    pub weight: u16,
    /// Limit in percent of one pCPU for the whole domain; 0 means none.
    pub cap: u16,
}

impl DomainParams {
    /// What a new domain gets, as in Xen.
    pub const DEFAULT: Self = Self { weight: 256, cap: 0 };
}

impl Default for DomainParams {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Where a unit is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnitState {
    /// Off every pCPU and not runnable.
    Blocked,
    /// Runnable and waiting for a pCPU.
    Waiting,
    /// Runnable, but its domain's cap is used up until the next refill.
    Capped,
    /// Chosen by this pCPU.
    Running(CpuId),
    /// This pCPU has chosen another unit and is still saving this one's context.
    Leaving(CpuId),
}

/// A unit as seen from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnitInfo {
    /// Whose it is.
    pub key: UnitKey,
    /// Where it is.
    pub state: UnitState,
    /// Does it want to run?
    pub runnable: bool,
    /// Time spent on pCPUs so far, in ns.
    pub runtime_ns: u64,
    /// The pCPU it is on or was on last.
    pub last_cpu: CpuId,
    /// Hard affinity as asked for.
    pub hard: CpuMask,
    /// Soft affinity as asked for.
    pub soft: CpuMask,
}

/// A pCPU as seen from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CpuInfo {
    /// The unit it runs; `None` when idle.
    pub running: Option<(UnitId, UnitKey)>,
    /// Time without a unit since it joined the pool, in ns (`xen_sysctl_cpuinfo.idletime`).
    pub idle_ns: u64,
}

/// Why a request was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// No memory (`ENOMEM`).
    NoMemory,
    /// The pool holds as many units or domains as it can number (`ENOSPC`).
    Full,
    /// No such domain or unit in this pool (`ESRCH`).
    NotFound,
    /// The domain or vCPU is already there (`EEXIST`).
    Exists,
    /// Still in use: a unit on a pCPU, units in a domain, domains on the last pCPU, a unit that is
    /// pinned (`EBUSY`).
    Busy,
    /// A value out of its range, or an affinity without any pCPU of the pool (`EINVAL`).
    Invalid,
    /// The pool has no pCPU (`ENODEV`).
    NoCpu,
    /// The pCPU is not in this pool, or is there already (`EADDRNOTAVAIL`).
    WrongCpu,
    /// The pool's scheduler has no such parameter. Xen answers 0 and changes nothing.
    NoParameters,
}
