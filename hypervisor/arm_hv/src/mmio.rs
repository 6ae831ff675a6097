//! Loads and stores that stage 2 refused: registers of emulated devices, or nothing.

use crate::guest::{ArmGuest, kick_all};
use crate::inject;
use arm_regs::ArmOps as _;
use arm_vm::exit::{self, FaultKind, InstrAbort, MmioAccess};
use arm_vm::vgic::Region;
use hal::{Gaddr, Gfn};
use hv_core::{Current, Hypervisor};
use machine::Regs;

/// Serves a data abort.
pub fn data_abort(guest: &ArmGuest, hv: &Hypervisor, current: &Current, regs: &mut Regs, esr: u64) {
    // The address is only there while the guest's own tables have it; else the instruction runs
    // again and faults as it should.
    let Some(gpa) = hv.machine.fault_guest_address(esr) else { return };
    let abort = exit::data_abort(esr, hv.machine.fault_address(), 0);
    if let Some(access) = abort.access
        && emulate(guest, hv, current, regs, gpa, abort.write, access)
    {
        regs.skip_instruction();
    } else {
        not_emulated(hv, current, regs, gpa, esr);
    }
}

/// A data abort at what is no register.
#[inline(never)]
fn not_emulated(hv: &Hypervisor, current: &Current, regs: &mut Regs, gpa: Gaddr, esr: u64) {
    let abort = exit::data_abort(esr, hv.machine.fault_address(), 0);
    if !is_mapped(hv, current, gpa.frame(), abort.fault.kind, abort.write) {
        inject::data_abort(hv, current, regs, abort.va, esr);
    }
}

/// Serves an instruction abort.
pub fn instr_abort(hv: &Hypervisor, current: &Current, regs: &mut Regs, abort: &InstrAbort, gpa: Gaddr) {
    if !is_mapped(hv, current, gpa.frame(), abort.fault.kind, false) {
        inject::instr_abort(hv, current, regs, abort.va);
    }
}

/// Whether the access is allowed by now: another vCPU was changing the mapping. The instruction then
/// runs again.
fn is_mapped(hv: &Hypervisor, current: &Current, gfn: Gfn, fault: FaultKind, write: bool) -> bool {
    match (fault, current.domain.lookup(hv, gfn)) {
        (FaultKind::Translation, Some(_)) => true,
        (FaultKind::Permission, Some(entry)) => write && entry.kind.is_writable(),
        _ => false,
    }
}

/// Carries out an access to a register of the interrupt controller; false when it is none, or none
/// that can be accessed so.
#[inline]
fn emulate(
    guest: &ArmGuest,
    hv: &Hypervisor,
    current: &Current,
    regs: &mut Regs,
    gpa: Gaddr,
    write: bool,
    access: MmioAccess,
) -> bool {
    let Some((region, offset)) = guest.vgic.locate(gpa.0) else {
        return serial_port(hv, current, guest, regs, gpa, write, access);
    };
    let vcpu = current.vcpu.id;
    if guest.vgic.needs_sync(region, offset) {
        sync(guest, hv, current, region, offset);
    }
    if write {
        return store(guest, hv, current, regs, (region, offset), access);
    }
    match guest.vgic.read(vcpu, region, offset, access.size) {
        Ok(value) => regs.write(access.rt, access.loaded(value)),
        Err(_) => return false,
    }
    true
}

/// Brings the model up to date for a register that shows what list registers hold.
#[inline(never)]
fn sync(guest: &ArmGuest, hv: &Hypervisor, current: &Current, region: Region, offset: u32) {
    let vcpu = current.vcpu.id;
    guest.sync(hv, &current.domain, &current.vcpu);
    let stale = guest.vgic.stale_owners(vcpu, region, offset);
    kick_all(hv, &current.domain, stale, Some(vcpu));
}

/// Carries out a store to a register of the interrupt controller.
#[inline(never)]
fn store(
    guest: &ArmGuest,
    hv: &Hypervisor,
    current: &Current,
    regs: &Regs,
    (region, offset): (Region, u32),
    access: MmioAccess,
) -> bool {
    let vcpu = current.vcpu.id;
    let value = access.stored(regs.read(access.rt));
    match guest.vgic.write(vcpu, region, offset, access.size, value) {
        Ok(effects) => guest.apply(hv, &current.domain, effects, Some(vcpu)),
        Err(_) => return false,
    }
    true
}

/// Carries out an access to a register of the serial port; false when it is none.
#[inline(never)]
fn serial_port(
    hv: &Hypervisor,
    current: &Current,
    guest: &ArmGuest,
    regs: &mut Regs,
    gpa: Gaddr,
    write: bool,
    access: MmioAccess,
) -> bool {
    let Some(offset) = guest.vuart.locate(gpa.0) else { return false };
    if write {
        let value = access.stored(regs.read(access.rt));
        return guest.vuart.write(hv, &current.domain, offset, access.size, value).is_some();
    }
    match guest.vuart.read(hv, &current.domain, offset, access.size) {
        Some(value) => {
            regs.write(access.rt, access.loaded(value));
            true
        }
        None => false,
    }
}
