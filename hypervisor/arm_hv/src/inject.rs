//! Exceptions given to a guest for what it did.

use arm_regs::ArmOps as _;
use arm_vm::inject::{self, Injected, Origin};
use hal::MachineOps as _;
use hv_core::{Current, Hypervisor, Vcpu};
use machine::{Context, Regs};

fn origin(regs: &Regs, context: &Context) -> Origin {
    Origin { pc: regs.pc, spsr: regs.spsr, vbar_el1: context.sys.vbar_el1, sctlr_el1: context.sys.sctlr_el1 }
}

fn enter(regs: &mut Regs, context: &mut Context, new: Injected) {
    regs.pc = new.pc;
    regs.spsr = new.spsr;
    context.sys.elr_el1 = new.elr_el1;
    context.sys.spsr_el1 = new.spsr_el1;
    context.sys.esr_el1 = new.esr_el1;
    if let Some(far) = new.far_el1 {
        context.sys.far_el1 = far;
    }
}

/// Makes the guest that trapped here take an exception. It is rare, so all of its system registers
/// make the way through memory.
fn with_guest(hv: &Hypervisor, current: &Current, regs: &mut Regs, new: impl FnOnce(&Origin) -> Injected) {
    let mut context = current.vcpu.context.lock();
    // Saving switches the virtual interrupt interface off.
    let gic_hcr = hv.machine.read_gic_hcr();
    hv.machine.save(&mut context);
    let new = new(&origin(regs, &context));
    enter(regs, &mut context, new);
    hv.machine.load(&context);
    hv.machine.set_stage2(current.domain.root);
    hv.machine.write_gic_hcr(gic_hcr);
}

/// An instruction that the guest does not have.
pub fn undefined(hv: &Hypervisor, current: &Current, regs: &mut Regs, four_bytes: bool) {
    with_guest(hv, current, regs, |origin| inject::undefined(origin, four_bytes));
}

/// A load or store that nothing answers.
pub fn data_abort(hv: &Hypervisor, current: &Current, regs: &mut Regs, va: u64, esr: u64) {
    with_guest(hv, current, regs, |origin| inject::data_abort(origin, va, esr));
}

/// An instruction fetch that nothing answers.
pub fn instr_abort(hv: &Hypervisor, current: &Current, regs: &mut Regs, va: u64) {
    with_guest(hv, current, regs, |origin| inject::instr_abort(origin, va));
}

/// An asynchronous abort that the guest caused.
pub fn serror(hv: &Hypervisor, current: &Current, regs: &mut Regs) {
    judge_serror(hv, &current.vcpu);
    with_guest(hv, current, regs, |origin| inject::serror(origin, 0));
}

/// The same for a guest that is not loaded any more.
pub fn serror_unloaded(hv: &Hypervisor, vcpu: &Vcpu, context: &mut Context) {
    judge_serror(hv, vcpu);
    let mut regs = context.regs.clone();
    let new = inject::serror(&origin(&regs, context), 0);
    enter(&mut regs, context, new);
    context.regs = regs;
}

/// Says that a guest caused an asynchronous abort, and ends the machine if it is set so.
fn judge_serror(hv: &Hypervisor, vcpu: &Vcpu) {
    if hv.options.fatal_aborts {
        hv_core::error!(hv, "d{}v{} caused an SError, and 'serrors=panic' is set.", vcpu.domid, vcpu.id);
        hv.give_up();
    }
    hv_core::guest!(hv, Error, "d{}v{}: SError", vcpu.domid, vcpu.id);
}
