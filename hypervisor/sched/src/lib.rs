//! vCPU schedulers and cpupools as pure state machines: credit2 and null.
//!
//! A [`Pool`] owns a set of pCPUs, the domains that run on them, and a scheduler. It decides; its
//! caller acts. It knows nothing of hardware, memory or locks: the caller holds one lock per pool
//! around every call, with interrupts masked, passes the time, and carries decisions out. Times
//! are ns of one monotonic clock; a reading that is older than an earlier one counts as no time
//! passed.
//!
//! # Contract
//! * A pCPU takes part from its first [`Pool::schedule`]. It calls that again when it is kicked,
//!   at the deadline it was given, and when its unit blocks or yields. Wherever a call returns a
//!   pCPU or a set of pCPUs to kick, each must call `schedule` soon; a kick to oneself counts.
//! * When [`Decision::switch`] is set, the pCPU saves the old unit's context and then calls
//!   [`Pool::switched_out`] (needless when it was idle). In between the old unit is *leaving*: no
//!   other pCPU is given it. If it is woken meanwhile, or still wants to run, `switched_out`
//!   queues it and names the pCPU to kick. A `schedule` in between repeats the last decision and
//!   makes `switched_out` kick the caller.
//! * A unit never runs outside its hard affinity: a change, or a pCPU that leaves the pool, takes
//!   effect at the kicked pCPU's next `schedule`.
//! * A removed unit is never chosen again. If a pCPU holds its context, its slot is freed by that
//!   pCPU's `switched_out`; after that the handle is void. Void handles have no effect.
//!
//! Memory is allocated only where a domain, a unit or a pCPU is added, and can fail only there.
//! No loop is longer than the number of units, domains or pCPUs of the pool; each says which.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

extern crate alloc;

mod cpu;
mod credit2;
mod dump;
mod list;
mod members;
mod null;
mod pool;
mod tables;
mod types;
mod unit;

pub use cpu::{CpuId, CpuMask};
pub use pool::Pool;
pub use types::{
    CpuInfo, CpuRemoval, Decision, DomainParams, Error, MoveKicks, Removal, SchedKind, UnitId, UnitInfo,
    UnitKey, UnitState,
};
