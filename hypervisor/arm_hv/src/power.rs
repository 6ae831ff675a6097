//! Calls of the SMC calling convention: power (PSCI), and who the hypervisor is.

use crate::guest::{ArmGuest, enter_at};
use crate::platform::ArmPlatform;
use arm_vm::smccc::{self, Action, CpuOnError, Reply, SYSTEM_OFF_RETURN};
use hal::GuestRegs as _;
use hv_core::domain::ShutdownReason;
use hv_core::{Current, Domain, Hypervisor, Vcpu};
use machine::Regs;

/// Serves HVC #0 or SMC #0.
pub fn call(hv: &Hypervisor, current: &Current, regs: &mut Regs) {
    let Current { domain, vcpu } = current;
    let Some(platform) = ArmPlatform::of(hv) else { return };
    let x = [regs.read(0), regs.read(1), regs.read(2), regs.read(3)];
    match smccc::call(x, &platform.smccc_policy(domain.max_vcpus)) {
        Action::Return(reply) => set(regs, reply),
        Action::CpuOn { vcpu, entry, context, dialect } => {
            let result = start(hv, domain, vcpu, entry, context);
            set(regs, smccc::complete_cpu_on(result, dialect));
        }
        Action::CpuOff => off(hv, domain, vcpu),
        Action::Suspend => {
            regs.set_result(0);
            suspend(hv, domain, vcpu);
        }
        Action::SystemOff => {
            regs.set_result(SYSTEM_OFF_RETURN);
            hv.shut_down(domain, ShutdownReason::POWEROFF);
        }
        Action::SystemReset => {
            regs.set_result(SYSTEM_OFF_RETURN);
            hv.shut_down(domain, ShutdownReason::REBOOT);
        }
        Action::AffinityInfo { members } => {
            let online = members.into_iter().any(|id| domain.vcpu(id).is_some_and(|v| is_on(hv, v)));
            set(regs, smccc::complete_affinity_info(online));
        }
        // Never offered, see the policy.
        Action::SetSsbd { .. } => {}
    }
}

fn set(regs: &mut Regs, reply: Reply) {
    for (n, value) in reply.values().iter().enumerate() {
        regs.write(n as u8, *value);
    }
}

/// Whether a vCPU is on; one on its way down is, as long as a pCPU has its registers.
fn is_on(hv: &Hypervisor, vcpu: &Vcpu) -> bool {
    vcpu.is_up() || hv.is_held(vcpu)
}

/// CPU_ON: starts a vCPU that is down.
fn start(hv: &Hypervisor, domain: &Domain, id: usize, entry: u64, x0: u64) -> Result<(), CpuOnError> {
    let vcpu = domain.vcpu(id).ok_or(CpuOnError::Denied)?;
    let Some(guest) = ArmGuest::of(domain) else { return Err(CpuOnError::Denied) };
    // Two vCPUs may try at once: the context's lock decides.
    let mut context = vcpu.context.lock();
    if is_on(hv, vcpu) {
        return Err(CpuOnError::AlreadyOn);
    }
    guest.start_vcpu(hv, domain, id, |offset| enter_at(id, entry, x0, offset, &mut context));
    // Up before the lock goes, so that a second caller sees it.
    hv.bring_up(vcpu);
    drop(context);
    Ok(())
}

/// CPU_OFF: the calling vCPU goes down.
fn off(hv: &Hypervisor, domain: &Domain, vcpu: &Vcpu) {
    if let Some(guest) = ArmGuest::of(domain) {
        guest.stop_vcpu(hv, domain, vcpu);
    }
    hv.take_down(domain, vcpu);
}

/// CPU_SUSPEND: waits for any interrupt that is enabled, whatever the CPU interface lets through.
fn suspend(hv: &Hypervisor, domain: &Domain, vcpu: &Vcpu) {
    let Some(guest) = ArmGuest::of(domain) else { return };
    hv.block_unless(vcpu, || {
        guest.refresh(hv, domain, vcpu);
        guest.vgic.pending_unmasked(vcpu.id, None)
    });
}
