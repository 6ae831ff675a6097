//! Trapped system registers.

use crate::guest::{ArmGuest, kick_all};
use crate::inject;
use crate::platform::ArmPlatform;
use arm_vm::exit::SysRegAccess;
use arm_vm::sysreg::{self, Read, Write};
use hal::GuestRegs as _;
use hal::MachineOps as _;
use hv_core::{Current, Hypervisor};
use machine::Regs;

/// Serves MRS, MSR or a system instruction that trapped.
pub fn access(hv: &Hypervisor, current: &Current, regs: &mut Regs, access: SysRegAccess) {
    let (Some(guest), Some(platform)) = (ArmGuest::of(&current.domain), ArmPlatform::of(hv)) else { return };
    let from_el0 = !regs.is_kernel();
    let handled = if access.is_read {
        read(hv, current, guest, sysreg::read(access.reg, from_el0, platform.ids())).map(|value| {
            regs.write(access.rt, value);
            true
        })
    } else {
        let what = sysreg::write(access.reg, from_el0, guest.vgic.version());
        write(hv, current, guest, what, regs.read(access.rt))
    };
    match handled {
        Some(true) => regs.skip_instruction(),
        Some(false) => {}
        None => inject::undefined(hv, current, regs, true),
    }
}

fn read(hv: &Hypervisor, current: &Current, guest: &ArmGuest, what: Read) -> Option<u64> {
    match what {
        Read::Value(value) => Some(value),
        Read::Timer(reg) => {
            let state = guest.state(current.vcpu.id)?.lock();
            Some(state.physical_timer.read(reg, hv.machine.ticks()))
        }
        Read::Undefined => None,
    }
}

/// `Some(true)` when the instruction is done, `Some(false)` when it has to run again.
fn write(hv: &Hypervisor, current: &Current, guest: &ArmGuest, what: Write, value: u64) -> Option<bool> {
    match what {
        Write::Ignore => {}
        Write::Timer(reg) => {
            let update =
                guest.state(current.vcpu.id)?.lock().physical_timer.write(reg, value, hv.machine.ticks());
            guest.update_physical_timer(hv, &current.vcpu, update);
        }
        Write::Sgi(kind) => {
            let kicks = guest.vgic.send_sgi(current.vcpu.id, kind, value);
            kick_all(hv, &current.domain, kicks, Some(current.vcpu.id));
        }
        // A pass that is not through yet goes on when the instruction, which is not skipped, traps
        // again.
        Write::SetWay => return Some(guest.clean_memory(hv, &current.domain)),
        Write::Undefined => return None,
    }
    Some(true)
}
