//! Physical interrupts: the hypervisor's own, and those that are handed to domains.

use crate::guest::{ArmGuest, kick_all};
use crate::platform::ArmPlatform;
use arm_regs::ArmOps as _;
use arm_vm::vgic::hcr;
use hal::MachineOps as _;
use hv_core::{Hypervisor, Local};

/// Bytes of console input that one interrupt takes.
const INPUT_BATCH: u32 = 64;

/// Serves the most urgent interrupt that is pending on this pCPU. Another one comes as soon as the guest, or the idle
/// loop, goes on; there seldom is one, and to ask costs more than it saves.
#[inline]
pub fn serve(hv: &Hypervisor, local: &Local) {
    let Some(irq) = hv.machine.acknowledge() else { return };
    match &local.current {
        // The guest's timer, the most frequent, needs none of the registers that the others do.
        Some(current) if irq == hv.machine.private_irqs().virtual_timer => {
            current.domain.guest.interrupted(hv, current, irq);
        }
        _ => other(hv, local, irq),
    }
}

#[inline(never)]
fn other(hv: &Hypervisor, local: &Local, irq: u32) {
    let own = hv.machine.private_irqs();
    if irq == own.timer {
        hv.timer_interrupt(local);
        hv.machine.irq_deactivate(irq);
    } else if irq == own.virtual_timer {
        // No guest is here that could deal with it.
        hv.machine.irq_deactivate(irq);
    } else if irq == own.maintenance {
        if let Some(current) = &local.current {
            current.domain.guest.interrupted(hv, current, irq);
        }
        // The condition lasts until the list registers are refreshed, which also switches the
        // interface on again.
        hv.machine.write_gic_hcr(hv.machine.read_gic_hcr() & !hcr::EN);
        hv.machine.irq_deactivate(irq);
    } else {
        shared(hv, local, irq);
    }
}

/// A device's interrupt: the console's, or one that a domain owns. A poke needs nothing: this pCPU
/// looks at its work before it enters a guest.
fn shared(hv: &Hypervisor, local: &Local, irq: u32) {
    let Some(platform) = ArmPlatform::of(hv) else { return };
    if platform.console_irq() == Some(irq) {
        for _ in 0..INPUT_BATCH {
            let Some(byte) = hv.machine.console_read() else { break };
            hv.console_input(byte);
        }
        hv.machine.irq_deactivate(irq);
        return;
    }
    let owner = platform.owner(irq).and_then(|domid| hv.domains.get(domid));
    match owner {
        Some(domain) => {
            let Some(guest) = ArmGuest::of(&domain) else { return };
            let kicks = guest.vgic.inject_hw(irq);
            let this = local.current.as_ref().filter(|c| c.domain.id == domain.id).map(|c| c.vcpu.id);
            kick_all(hv, &domain, kicks, this);
        }
        None if irq >= 32 => {
            // Nobody can deal with it: keep it from coming again.
            hv.machine.irq_disable(irq);
            hv.machine.irq_deactivate(irq);
        }
        None => {}
    }
}
