//! The small hypercalls: vcpu_op, vm_assist, hvm_op, platform_op, console_io, multicall.

use super::{Call, DONE, Flow, Outcome};
use crate::memory::GuestWindow;
use core::mem::offset_of;
use core::sync::atomic::Ordering;
use hal::{Domid, Gfn};
use xen_abi::Errno;
use xen_abi::hvm::hvm_op::{HVMOP_get_param, HVMOP_guest_request_vm_event, HVMOP_set_param, HvmParam};
use xen_abi::hvm::params::*;
use xen_abi::platform::{PlatformOp, Settime64, XENPF_INTERFACE_VERSION, XENPF_settime64};
use xen_abi::vcpu::*;
use xen_abi::xen::*;

/// Bytes of console output that one call writes before it lets interrupts in.
const CONSOLE_CHUNK: usize = 128;

/// Calls of a multicall that run before interrupts are let in.
const MULTICALL_BATCH: u64 = 64;

/// vcpu_op(cmd, vcpu, arg).
pub fn vcpu_op(call: &Call<'_>) -> Outcome {
    let [cmd, vcpu, arg, ..] = call.args;
    // The number is 32 bits wide; what lies above is noise.
    let vcpu = call.domain.vcpu(vcpu as u32 as usize).ok_or(Errno::ENOENT)?;
    match cmd as u32 {
        VCPUOP_register_vcpu_info => {
            let request: VcpuRegisterVcpuInfo = call.guest().read(arg)?;
            call.domain.events.register_vcpu_info(
                call.hv,
                call.domain,
                vcpu,
                Gfn(request.mfn),
                request.offset,
            )?;
            DONE
        }
        VCPUOP_register_runstate_memory_area => {
            let request: VcpuRegisterRunstateMemoryArea = call.guest().read(arg)?;
            vcpu.runstate.register(call, request.addr.0)?;
            DONE
        }
        // Other sub-operations do not exist for this kind of guest.
        _ => Err(Errno::EINVAL),
    }
}

/// vm_assist(cmd, type).
pub fn vm_assist(call: &Call<'_>) -> Outcome {
    let [cmd, kind, ..] = call.args;
    // The one assist that means something to a translated guest. The type is 32 bits wide.
    if kind as u32 != VMASST_TYPE_runstate_update_flag {
        return Err(Errno::EINVAL);
    }
    let bit = 1 << VMASST_TYPE_runstate_update_flag;
    let enable = match cmd as u32 {
        VMASST_CMD_enable => true,
        VMASST_CMD_disable => false,
        _ => return Err(Errno::ENOSYS),
    };
    call.domain.vm_assist.store(if enable { bit } else { 0 }, Ordering::Relaxed);
    for vcpu in call.domain.vcpus() {
        vcpu.runstate.set_flagged(enable);
    }
    DONE
}

/// hvm_op(op, arg).
pub fn hvm_op(call: &Call<'_>) -> Outcome {
    let [op, arg, ..] = call.args;
    let set = match op as u32 {
        HVMOP_set_param => true,
        HVMOP_get_param => false,
        // Nobody listens.
        HVMOP_guest_request_vm_event => return if arg == 0 { DONE } else { Err(Errno::EINVAL) },
        _ => return Err(Errno::ENOSYS),
    };
    let guest = call.guest();
    let mut request: HvmParam = guest.read(arg)?;
    if request.index >= HVM_NR_PARAMS {
        return Err(Errno::EINVAL);
    }
    let domain = call.managed_domain(request.domid)?;
    let known = matches!(
        request.index,
        HVM_PARAM_CALLBACK_IRQ
            | HVM_PARAM_STORE_PFN
            | HVM_PARAM_STORE_EVTCHN
            | HVM_PARAM_CONSOLE_PFN
            | HVM_PARAM_CONSOLE_EVTCHN
            | HVM_PARAM_MONITOR_RING_PFN
    );
    if !known {
        return Err(Errno::EINVAL);
    }
    // The toolstack tells a guest where its rings are, not the guest itself; one it may not even see.
    let tools_only = set || request.index == HVM_PARAM_MONITOR_RING_PFN;
    if tools_only && domain.id == call.domain.id {
        return Err(Errno::EPERM);
    }
    let param = domain.params.get(request.index as usize).ok_or(Errno::EINVAL)?;
    if set {
        domain.guest.check_param(request.index, request.value)?;
        param.store(request.value, Ordering::Release);
    } else {
        request.value = param.load(Ordering::Acquire);
        guest.write(arg, &request)?;
    }
    DONE
}

/// platform_op(op).
pub fn platform_op(call: &Call<'_>) -> Outcome {
    let op: PlatformOp = call.guest().read(call.args[0])?;
    if !call.domain.privileged {
        return Err(Errno::EPERM);
    }
    if op.interface_version != XENPF_INTERFACE_VERSION {
        return Err(Errno::EACCES);
    }
    if op.cmd != XENPF_settime64 {
        return Err(Errno::ENOSYS);
    }
    let time: Settime64 = op.read_payload();
    if time.mbz != 0 || !call.hv.wall_clock.set(time.secs, time.nsecs, time.system_time) {
        return Err(Errno::EINVAL);
    }
    let mut from = 0;
    while let Some(domain) = call.hv.domains.first_from(from) {
        from = domain.id.raw() + 1;
        call.hv.wall_clock.show(call.hv, &domain);
    }
    DONE
}

/// console_io(cmd, count, buffer).
pub fn console_io(call: &Call<'_>) -> Outcome {
    let [cmd, count, buffer, ..] = call.args;
    if call.domain.id != Domid::DOM0 {
        return Err(Errno::EPERM);
    }
    let guest = call.guest();
    // The count is 32 bits wide; what lies above is noise.
    let count = u64::from(count as u32);
    let mut chunk = [0; CONSOLE_CHUNK];
    let len = (count as usize).min(CONSOLE_CHUNK);
    let part = chunk.get_mut(..len).ok_or(Errno::EINVAL)?;
    match cmd as u32 {
        CONSOLEIO_write => {
            guest.read_bytes(buffer, part)?;
            call.hv.write_dom0_output(part);
            let left = count - len as u64;
            if left == 0 { DONE } else { Ok(Flow::Again([cmd, left, buffer.wrapping_add(len as u64), 0, 0])) }
        }
        // The result would not be told from an error.
        CONSOLEIO_read if count > i32::MAX as u64 => Err(Errno::E2BIG),
        CONSOLEIO_read => {
            let n = call.hv.console.take_input(part, |typed| guest.write_bytes(buffer, typed))?;
            Ok(Flow::Done(n as u64))
        }
        _ => Err(Errno::ENOSYS),
    }
}

/// multicall(list, count): runs a list of hypercalls. A call that has to be issued again stops the
/// list, with its new arguments in its entry, and the list goes on from there.
pub fn multicall(call: &Call<'_>) -> Outcome {
    let [list, count, ..] = call.args;
    let mut window = GuestWindow::new(call.guest());
    // The count is 32 bits wide; what lies above is noise.
    let count = u64::from(count as u32);
    for i in 0..count {
        let at = list.checked_add(i * size_of::<MulticallEntry>() as u64).ok_or(Errno::EFAULT)?;
        let again = Ok(Flow::Again([at, count - i, 0, 0, 0]));
        if i == MULTICALL_BATCH {
            return again;
        }
        let mut entry: MulticallEntry = window.read(at)?;
        let [a0, a1, a2, a3, a4, _] = entry.args;
        let inner = Call { args: [a0, a1, a2, a3, a4], ..*call };
        let outcome = if entry.op == u64::from(__HYPERVISOR_multicall) {
            Err(Errno::EINVAL)
        } else {
            super::dispatch(&inner, entry.op)
        };
        let result = match outcome {
            Ok(Flow::Done(value)) => value,
            Ok(Flow::Again(args)) => {
                for (slot, arg) in entry.args.iter_mut().zip(args) {
                    *slot = arg;
                }
                window.write(at, &entry)?;
                return again;
            }
            Err(e) => super::negated(e),
        };
        let answer = at.checked_add(offset_of!(MulticallEntry, result) as u64).ok_or(Errno::EFAULT)?;
        window.write(answer, &result)?;
    }
    DONE
}
