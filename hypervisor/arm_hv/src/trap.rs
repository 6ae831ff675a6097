//! What a guest does that it may not do alone: hypercalls, emulated registers, waiting, power.

use crate::guest::ArmGuest;
use crate::{inject, interrupt, mmio, power, sysreg};
use arm_regs::ArmOps as _;
use arm_vm::exit::{self, CallKind, ESR_HYPERCALL, Exit};
use hal::MachineOps as _;
use hv_core::{Current, Hypervisor, Local, Work, hypercall};
use machine::Regs;

/// A synchronous trap from the guest.
#[inline]
pub fn synchronous(hv: &Hypervisor, local: &mut Local, regs: &mut Regs) {
    if let Some(current) = &local.current {
        let esr = hv.machine.esr();
        if esr == ESR_HYPERCALL {
            hypercall::serve(hv, &current.domain, &current.vcpu, regs);
        } else {
            current.domain.guest.trapped(hv, current, regs, esr);
        }
    }
    leave(hv, local, regs);
}

/// An interrupt came while the guest ran.
#[inline(never)]
pub fn interrupted(hv: &Hypervisor, local: &mut Local, regs: &mut Regs) {
    interrupt::serve(hv, local);
    leave(hv, local, regs);
}

/// The guest caused an asynchronous abort.
pub fn asynchronous_abort(hv: &Hypervisor, local: &mut Local, regs: &mut Regs) {
    if let Some(current) = &local.current {
        inject::serror(hv, current, regs);
    }
    leave(hv, local, regs);
}

/// Does the pCPU's work until there is a guest to enter; `regs` are then that guest's. The first
/// call on a pCPU is with an idle `local`.
#[inline]
pub fn leave(hv: &Hypervisor, local: &mut Local, regs: &mut Regs) {
    if !is_ready(hv, local) {
        work(hv, local, regs);
    }
}

/// Whether a guest can be entered at once.
#[inline]
fn is_ready(hv: &Hypervisor, local: &Local) -> bool {
    let (Some(pcpu), Some(current)) = (hv.pcpu(local.id), &local.current) else { return false };
    if pcpu.has_work() {
        return false;
    }
    current.domain.guest.before_entry(hv, &current.domain, &current.vcpu);
    // What was brought to the guest's interrupts may have made work.
    !pcpu.has_work()
}

/// Kept out of the trap path, which would have to save registers for it.
#[inline(never)]
fn work(hv: &Hypervisor, local: &mut Local, regs: &mut Regs) {
    while !is_ready(hv, local) {
        hv.do_work(local, regs);
        if local.current.is_none() {
            hv.machine.idle();
            interrupt::serve(hv, local);
        }
    }
}

/// Everything but the common hypercall.
#[inline]
pub fn serve(guest: &ArmGuest, hv: &Hypervisor, current: &Current, regs: &mut Regs, esr: u64) {
    // Registers of devices are frequent, and need less than the rest.
    if exit::is_data_abort(esr) {
        mmio::data_abort(guest, hv, current, regs, esr);
    } else {
        serve_other(hv, current, regs, esr);
    }
}

#[inline(never)]
fn serve_other(hv: &Hypervisor, current: &Current, regs: &mut Regs, esr: u64) {
    match exit::decode(esr, hv.machine.fault_address(), 0) {
        Exit::Hvc { imm } => call(hv, current, regs, CallKind::of_hvc(imm)),
        Exit::Smc { imm } => {
            regs.skip_instruction();
            call(hv, current, regs, CallKind::of_smc(imm));
        }
        Exit::Wfi => {
            regs.skip_instruction();
            hv.block(&current.domain, &current.vcpu);
        }
        Exit::Wfe => {
            regs.skip_instruction();
            let this = hv.machine.this_cpu();
            if hv.pools.yield_now(this) {
                hv.raise(this, Work::RESCHEDULE);
            }
        }
        Exit::SysReg(access) => sysreg::access(hv, current, regs, access),
        Exit::InstrAbort(abort) => {
            // As for data.
            if let Some(gpa) = hv.machine.fault_guest_address(esr) {
                mmio::instr_abort(hv, current, regs, &abort, gpa);
            }
        }
        // Served before.
        Exit::DataAbort(_) => {}
        Exit::Cp15 | Exit::Cp14 | Exit::FpTrap | Exit::Brk | Exit::Unknown { .. } => {
            inject::undefined(hv, current, regs, exit::instruction_len(esr) == 4);
        }
    }
}

/// HVC or SMC other than the common hypercall.
fn call(hv: &Hypervisor, current: &Current, regs: &mut Regs, kind: CallKind) {
    match kind {
        CallKind::Hypercall => hypercall::serve(hv, &current.domain, &current.vcpu, regs),
        CallKind::Smccc => power::call(hv, current, regs),
        CallKind::Undefined => {
            // The program counter is past the instruction; the exception is at it.
            regs.pc = regs.pc.wrapping_sub(4);
            inject::undefined(hv, current, regs, true);
        }
    }
}
