//! EVTCHNOP_*: the hypercall.

use super::channel::{self, named_domain};
use super::{fifo_setup, reset};
use crate::domain::Domain;
use crate::hypercall::{Call, DONE, Flow, Outcome, done};
use crate::memory::{GuestBytes, GuestWindow};
use hal::Gfn;
use xen_abi::Errno;
use xen_abi::event_channel::*;

/// Physical interrupts that a domain could bind to if it had any; Xen's number on arm64.
const NR_PIRQS: u32 = 1024;

/// event_channel_op(cmd, arg): `cmd` is an EVTCHNOP_*, `arg` the guest's address of its structure.
///
/// # Errors
/// EFAULT when the structure cannot be read or written, ENOSYS for an unknown `cmd`, and those of
/// each operation, which are Xen's.
#[inline]
pub fn event_channel_op(call: &Call<'_>) -> Outcome {
    let [cmd, arg, ..] = call.args;
    let cmd = cmd as u32;
    if cmd == EVTCHNOP_send {
        // EvtchnSend is but the port.
        channel::send(call.hv, call.domain, call.guest().read_word(arg)?)?;
        return done();
    }
    frequent_op(call, cmd, arg)
}

/// Each has a function of its own, which saves no registers that only another needs.
#[inline(never)]
fn frequent_op(call: &Call<'_>, cmd: u32, arg: u64) -> Outcome {
    match cmd {
        EVTCHNOP_status => status(call, arg),
        EVTCHNOP_alloc_unbound => alloc_unbound(call, arg),
        EVTCHNOP_close => close(call, arg),
        EVTCHNOP_unmask => unmask(call, arg),
        _ => other_op(call, cmd, arg),
    }
}

#[inline(never)]
fn status(call: &Call<'_>, arg: u64) -> Outcome {
    let place = call.guest().place::<EvtchnStatus>(arg, true)?;
    let mut op = place.read()?;
    let target = call.managed_domain(op.dom)?;
    channel::status(target.domain(), op.port, &mut op)?;
    place.write(&op)?;
    done()
}

#[inline(never)]
fn alloc_unbound(call: &Call<'_>, arg: u64) -> Outcome {
    let place = call.guest().place::<EvtchnAllocUnbound>(arg, true)?;
    let mut op = place.read()?;
    let target = call.managed_domain(op.dom)?;
    let target = target.domain();
    op.port = channel::alloc_unbound(target, named_domain(op.remote_dom, call.domain.id))?;
    place.write(&op).inspect_err(|_| undo(call, target, op.port))?;
    done()
}

#[inline(never)]
fn close(call: &Call<'_>, arg: u64) -> Outcome {
    // EvtchnClose is but the port.
    channel::close(call.hv, call.domain, call.guest().read_word(arg)?)?;
    done()
}

#[inline(never)]
fn unmask(call: &Call<'_>, arg: u64) -> Outcome {
    let op: EvtchnUnmask = call.guest().read(arg)?;
    channel::unmask(call.hv, call.domain, op.port)?;
    done()
}

#[inline(never)]
fn other_op(call: &Call<'_>, cmd: u32, arg: u64) -> Outcome {
    let (hv, domain, guest) = (call.hv, call.domain, call.guest());
    // For operations that answer in the structure.
    let mut window = GuestWindow::new(guest);
    match cmd {
        EVTCHNOP_bind_interdomain => {
            let mut op: EvtchnBindInterdomain = window.read(arg)?;
            let remote = call.any_domain(op.remote_dom)?;
            op.local_port = channel::bind_interdomain(hv, domain, &remote, op.remote_port)?;
            return opened(call, &mut window, arg, &op, op.local_port);
        }
        EVTCHNOP_bind_virq => {
            let mut op: EvtchnBindVirq = window.read(arg)?;
            op.port = channel::bind_virq(domain, op.virq, op.vcpu)?;
            return opened(call, &mut window, arg, &op, op.port);
        }
        EVTCHNOP_bind_ipi => {
            let mut op: EvtchnBindIpi = window.read(arg)?;
            op.port = channel::bind_ipi(domain, op.vcpu)?;
            return opened(call, &mut window, arg, &op, op.port);
        }
        EVTCHNOP_bind_pirq => {
            let op: EvtchnBindPirq = guest.read(arg)?;
            // What Xen says where interrupts of devices are not event channels.
            return Err(if op.pirq < NR_PIRQS { Errno::ENOMEM } else { Errno::EINVAL });
        }
        EVTCHNOP_bind_vcpu => {
            let op: EvtchnBindVcpu = guest.read(arg)?;
            channel::bind_vcpu(domain, op.port, op.vcpu)?;
        }
        EVTCHNOP_reset | EVTCHNOP_reset_cont => {
            let op: EvtchnReset = guest.read(arg)?;
            let target = call.managed_domain(op.dom)?;
            // Only a domain that stands still may be reset by another.
            if target.id != domain.id && target.controller_pauses() == 0 {
                return Err(Errno::EINVAL);
            }
            if !reset::reset(hv, &target, cmd == EVTCHNOP_reset_cont)? {
                let mut args = call.args;
                args[0] = EVTCHNOP_reset_cont.into();
                return Ok(Flow::Again(args));
            }
        }
        EVTCHNOP_init_control => {
            let mut op: EvtchnInitControl = window.read(arg)?;
            // The result is known before: where it cannot be written nothing is changed.
            window.write(arg, &op)?;
            fifo_setup::init_control(hv, domain, op.vcpu, Gfn(op.control_gfn), op.offset)?;
            op.link_bits = EVTCHN_FIFO_LINK_BITS as u8;
            window.write(arg, &op)?;
        }
        EVTCHNOP_expand_array => {
            let op: EvtchnExpandArray = guest.read(arg)?;
            fifo_setup::expand_array(hv, domain, Gfn(op.array_gfn))?;
        }
        EVTCHNOP_set_priority => {
            let op: EvtchnSetPriority = guest.read(arg)?;
            channel::set_priority(domain, op.port, op.priority)?;
        }
        _ => return Err(Errno::ENOSYS),
    }
    DONE
}

/// Tells the caller about its new port; a port that it cannot hear of is closed again.
fn opened<T: GuestBytes>(
    call: &Call<'_>,
    window: &mut GuestWindow<'_>,
    arg: u64,
    op: &T,
    port: u32,
) -> Outcome {
    window.write(arg, op).inspect_err(|_| undo(call, call.domain, port))?;
    DONE
}

/// Closes a port that was just made.
fn undo(call: &Call<'_>, domain: &Domain, port: u32) {
    // Another vCPU may have closed it already.
    let _ = channel::close(call.hv, domain, port);
}
