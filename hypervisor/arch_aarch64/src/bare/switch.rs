//! Changing the guest on a pCPU, in assembly; see `switch.S`.

use core::arch::global_asm;
use core::mem::offset_of;

use arm_regs::{Context, GuestRegs};

use super::fault;

global_asm!(
    include_str!("switch.S"),
    fp = const offset_of!(Context, fp),
    sys = const offset_of!(Context, sys),
    owner = sym fault::OWNER,
    stack = sym fault::STACK,
    stack_size = const fault::REPORT_STACK,
    fatal_frame = const size_of::<fault::FatalFrame>(),
    report = sym fault::report,
);

// SAFETY: `switch.S` defines these with these arguments, and touches only guests' registers and
// the context that it is given.
unsafe extern "C" {
    /// Stores the system and floating-point registers of the guest on this pCPU.
    pub(super) safe fn save_guest(context: &mut Context);
    /// Loads a guest's system and floating-point registers.
    pub(super) safe fn load_guest(context: &Context);
    /// Lets an asynchronous abort that the guest caused arrive now; 1 if one did.
    pub(super) safe fn guest_serror_pending() -> u64;
    /// Drops everything on this pCPU's stack and enters the guest with these registers.
    pub safe fn enter_guest(regs: &GuestRegs) -> !;
}
