//! Selects the machine: that of the CPU on bare metal, the fake on a host.
//!
//! The core takes `&Machine` and these types from here and so names no CPU. On bare-metal x86_64
//! there is no machine yet, so this crate and the core do not build for it; that image does without.
#![no_std]
#![forbid(unsafe_code)]

use hal::{MachineOps, VcpuContext};

#[cfg(all(target_os = "none", not(target_arch = "aarch64")))]
compile_error!("there is no machine for this CPU yet");

#[cfg(all(target_os = "none", target_arch = "aarch64"))]
pub use arch_aarch64::Machine;
/// The fake machine as tests handle it.
#[cfg(not(target_os = "none"))]
pub use arch_fake as fake;
#[cfg(not(target_os = "none"))]
pub use arch_fake::Machine;

/// A vCPU's saved registers.
pub type Context = <Machine as MachineOps>::Context;
/// A guest's general registers at a trap.
pub type Regs = <Context as VcpuContext>::Regs;
/// The format of stage-2 tables.
pub type Stage2 = <Machine as MachineOps>::Stage2;
/// A handle on a page frame.
pub type Frame<'a> = <Machine as MachineOps>::Frame<'a>;
/// The layouts of the ABI that depend on the CPU; on a host, those of arm64.
#[cfg(not(all(target_os = "none", target_arch = "x86_64")))]
pub type Abi = xen_abi::Arm64;
#[cfg(all(target_os = "none", target_arch = "x86_64"))]
/// The layouts of the ABI that depend on the CPU.
pub type Abi = xen_abi::X86_64;
