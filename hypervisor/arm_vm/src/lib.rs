//! Safe models of what an arm64 guest sees: GIC, timers, PSCI, UART, system registers.
//!
//! Nothing here touches memory or hardware. A model takes a request (a decoded exit, a register access, a line that
//! changed) and answers with a value or with what is to be done; `hv_core` carries it out. All of it therefore builds
//! and is tested on the host.
//!
//! * [`exit`], [`inject`]: why the guest stopped, and how an exception is put into it.
//! * [`vgic`]: interrupt controller, version 2 and 3.
//! * [`timer`]: virtual timer while descheduled, emulated physical timer.
//! * [`smccc`]: PSCI and the other calls of the SMC calling convention.
//! * [`vpl011`]: SBSA UART on a console ring.
//! * [`sysreg`]: trapped system registers, and the identification registers a guest may see.
//! * [`reset`]: first state of a vCPU.
//!
//! vCPUs are numbered from 0 and are `usize`; a number outside the domain is ignored or refused, never a panic.
//! Models that several vCPUs share take `&self` and lock inside; none calls back into another model with a lock held.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

extern crate alloc;

pub mod affinity;
pub mod exit;
pub mod inject;
pub mod reset;
pub mod smccc;
pub mod sysreg;
pub mod timer;
pub mod vcpu_set;
pub mod vgic;
pub mod vpl011;

pub use vcpu_set::VcpuSet;
