//! HYPERVISOR_sched_op (sched.h).

use super::{Call, DONE, Flow, Outcome, done};
use crate::domain::ShutdownReason;
use crate::pcpu::Work;
use crate::pools::errno;
use ::sched::{CpuId, CpuMask};
use hal::MachineOps as _;
use xen_abi::Errno;
use xen_abi::sched::*;

/// Ports that one SCHEDOP_poll can wait for.
const MAX_POLL_PORTS: u32 = 128;

/// sched_op(cmd, arg).
pub fn sched_op(call: &Call<'_>) -> Outcome {
    let [cmd, arg, ..] = call.args;
    let hv = call.hv;
    match cmd as u32 {
        SCHEDOP_yield => {
            let this = hv.machine.this_cpu();
            if hv.pools.yield_now(this) {
                hv.raise(this, Work::RESCHEDULE);
            }
            DONE
        }
        SCHEDOP_block => {
            hv.block(call.domain, call.vcpu);
            DONE
        }
        SCHEDOP_shutdown => {
            let request: SchedShutdown = call.guest().read(arg)?;
            hv.shut_down(call.domain, reason(request.reason));
            DONE
        }
        SCHEDOP_shutdown_code => {
            let request: SchedShutdown = call.guest().read(arg)?;
            call.domain.set_shutdown_code(reason(request.reason));
            DONE
        }
        SCHEDOP_poll => poll(call, arg),
        SCHEDOP_remote_shutdown => {
            let request: SchedRemoteShutdown = call.guest().read(arg)?;
            let domain = call.any_domain(request.domain_id)?;
            if !call.domain.privileged {
                return Err(Errno::EPERM);
            }
            hv.shut_down(&domain, reason(request.reason));
            DONE
        }
        SCHEDOP_watchdog => {
            let request: SchedWatchdog = call.guest().read(arg)?;
            call.domain.watchdog(hv, request.id, request.timeout).map(|id| Flow::Done(u64::from(id)))
        }
        SCHEDOP_pin_override => pin_override(call, arg),
        _ => Err(Errno::ENOSYS),
    }
}

/// SCHEDOP_pin_override: dom0's vCPU that calls stays on one pCPU, for firmware that wants that, until
/// it calls again with a negative number.
fn pin_override(call: &Call<'_>, arg: u64) -> Outcome {
    if !call.domain.privileged {
        return Err(Errno::EPERM);
    }
    let request: SchedPinOverride = call.guest().read(arg)?;
    let cpu = match usize::try_from(request.pcpu) {
        Ok(number) => Some(CpuId::new(number).ok_or(Errno::EINVAL)?),
        Err(_) => None,
    };
    call.hv.pools.with_vcpu(call.hv, call.vcpu, |pool, unit, now| {
        let done = match cpu {
            Some(cpu) => pool.pin(unit, cpu, now),
            None => pool.unpin(unit, now),
        };
        (done.map(|_| ()).map_err(errno), done.unwrap_or(CpuMask::EMPTY))
    })??;
    DONE
}

/// The reason that a guest gives: any that fits, as the tools are who look at it.
fn reason(raw: u32) -> ShutdownReason {
    ShutdownReason(raw as u8)
}

/// SCHEDOP_poll: waits until a port is pending, or until a time.
#[inline(never)]
fn poll(call: &Call<'_>, arg: u64) -> Outcome {
    let SchedPoll { ports, nr_ports, timeout, .. } = call.guest().place(arg, false)?.read()?;
    // A single port, which is the common case, is looked at before anything is made ready for a wait.
    if nr_ports == 1 {
        let port = call.guest().read_word(ports.0)?;
        if call.domain.events.is_port_pending(call.hv, port)? {
            return done();
        }
        return wait(call, (ports.0, 1), timeout, Some(port));
    }
    if nr_ports > MAX_POLL_PORTS {
        return Err(Errno::EINVAL);
    }
    wait(call, (ports.0, nr_ports), timeout, None)
}

/// Waits for one of the ports at an address, or for the `single` one, which has been read; until `timeout`, 0 for ever.
#[inline(never)]
fn wait(call: &Call<'_>, (at, nr_ports): (u64, u32), timeout: u64, single: Option<u32>) -> Outcome {
    let (hv, guest, events) = (call.hv, call.guest(), &call.domain.events);
    call.vcpu.set_blocked();
    events.poll_begin(call.vcpu);
    for i in 0..u64::from(nr_ports) {
        let port = single.map_or_else(|| guest.read_element::<u32>(at, i), Ok);
        let ready = port
            .map_err(Errno::from)
            .and_then(|port| events.poll_port(hv, call.vcpu, port, single.is_some()));
        if ready != Ok(false) {
            events.poll_end(call.vcpu);
            call.vcpu.clear_blocked();
            return ready.and(DONE);
        }
    }
    // An interrupt ends the wait as well.
    if call.domain.guest.has_interrupt(hv, call.domain, call.vcpu) {
        events.poll_end(call.vcpu);
        call.vcpu.clear_blocked();
        return DONE;
    }
    if timeout != 0 {
        call.vcpu.poll_timer.start(hv, timeout);
    }
    hv.pools.update(hv, call.vcpu);
    DONE
}
