//! vCPUs: their number, registers, places and shares.

use super::{Done, other};
use crate::domain::{Domain, Vcpu};
use crate::hypercall::{Call, bitmap};
use crate::pools::errno;
use ::sched::{CpuMask, DomainParams, SchedKind};
use alloc::sync::Arc;
use hal::MachineOps as _;
use xen_abi::Errno;
use xen_abi::domctl::*;
use xen_abi::vcpu::RUNSTATE_running;
use xen_abi::xen::XenctlBitmap;

/// vCPUs that one call creates before it lets interrupts in.
const CREATE_BATCH: usize = 8;
/// The largest vcpu_guest_context of any CPU fits here.
const CONTEXT_ROOM: usize = 512;

fn find(domain: &Domain, id: u32) -> Result<&Arc<Vcpu>, Errno> {
    if id as usize >= domain.max_vcpus {
        return Err(Errno::EINVAL);
    }
    domain.vcpu(id as usize).ok_or(Errno::ESRCH)
}

/// XEN_DOMCTL_max_vcpus: creates the vCPUs that the domain was sized for.
pub(super) fn max_vcpus(
    call: &Call<'_>,
    domain: &Arc<Domain>,
    op: &Domctl,
    progress: u64,
) -> Result<Done, Errno> {
    let domain = other(call, domain)?;
    let request: MaxVcpus = op.read_payload();
    if request.max as usize != domain.max_vcpus || domain.is_dying() {
        return Err(Errno::EINVAL);
    }
    let first = progress as usize;
    for id in first..domain.max_vcpus {
        if id - first == CREATE_BATCH {
            return Ok(Done::Again(id as u64));
        }
        domain.add_vcpu(call.hv, id)?;
    }
    Ok(Done::Plain)
}

/// XEN_DOMCTL_setvcpucontext.
pub(super) fn set_context(call: &Call<'_>, domain: &Arc<Domain>, op: &Domctl) -> Result<Done, Errno> {
    let hv = call.hv;
    let domain = other(call, domain)?;
    let request: VcpuContext = op.read_payload();
    if request.vcpu as usize >= domain.max_vcpus {
        return Err(Errno::EINVAL);
    }
    let vcpu = domain.vcpu(request.vcpu as usize).ok_or(Errno::EINVAL)?;
    // Without a structure the vCPU is reset, which starts with taking it down.
    if request.ctxt.is_null() {
        hv.pause_vcpu(vcpu);
        hv.wait_stopped(vcpu);
        vcpu.set_down();
        domain.guest.vcpu_reset(hv, domain, vcpu.id);
        domain.guest.reset_context(vcpu.id, &mut vcpu.context.lock());
        hv.unpause_vcpu(vcpu);
        return Ok(Done::Plain);
    }
    let mut bytes = [0; CONTEXT_ROOM];
    let bytes = bytes.get_mut(..domain.guest.context_size()).ok_or(Errno::EINVAL)?;
    call.guest().read_bytes(request.ctxt.0, bytes)?;
    hv.pause_domain(domain)?;
    let set = domain.guest.set_context(vcpu.id, bytes, &mut vcpu.context.lock());
    if let Ok(online) = set {
        if online {
            hv.bring_up(vcpu);
        } else {
            vcpu.set_down();
        }
    }
    hv.unpause_domain(domain)?;
    set.map(|_| Done::Plain)
}

/// XEN_DOMCTL_getvcpucontext.
pub(super) fn get_context(call: &Call<'_>, domain: &Arc<Domain>, op: &mut Domctl) -> Result<Done, Errno> {
    let hv = call.hv;
    let domain = other(call, domain)?;
    let request: VcpuContext = op.read_payload();
    let vcpu = find(domain, request.vcpu)?;
    if !vcpu.is_up() {
        return Err(Errno::ENODATA);
    }
    let mut bytes = [0; CONTEXT_ROOM];
    let bytes = bytes.get_mut(..domain.guest.context_size()).ok_or(Errno::EINVAL)?;
    hv.pause_domain(domain)?;
    domain.guest.get_context(vcpu.id, &vcpu.context.lock(), vcpu.is_up(), bytes);
    hv.unpause_domain(domain)?;
    call.guest().write_bytes(request.ctxt.0, bytes)?;
    Ok(Done::CopyBack)
}

/// XEN_DOMCTL_getvcpuinfo.
pub(super) fn get_info(call: &Call<'_>, domain: &Domain, op: &mut Domctl) -> Result<Done, Errno> {
    let hv = call.hv;
    let mut request: GetVcpuInfo = op.read_payload();
    let vcpu = find(domain, request.vcpu)?;
    let times = vcpu.runstate.read(hv.machine.now_ns()).time;
    request.online = vcpu.is_up().into();
    request.blocked = vcpu.is_blocked().into();
    request.running = vcpu.pcpu().is_some().into();
    request.cpu_time = times.get(RUNSTATE_running as usize).copied().unwrap_or(0);
    request.cpu = hv.pools.info(hv, vcpu).map_or(0, |info| info.last_cpu.index() as u32);
    op.write_payload(&request);
    Ok(Done::CopyBack)
}

/// Checks that a request has a bitmap for each affinity that it names, and names something.
fn check_affinity(request: &VcpuAffinity) -> Result<(), Errno> {
    let lacks = |flag, map: &XenctlBitmap| request.flags & flag != 0 && map.bitmap.is_null();
    let invalid = request.flags == 0
        || lacks(XEN_VCPUAFFINITY_HARD, &request.cpumap_hard)
        || lacks(XEN_VCPUAFFINITY_SOFT, &request.cpumap_soft);
    if invalid { Err(Errno::EINVAL) } else { Ok(()) }
}

/// XEN_DOMCTL_setvcpuaffinity: sets what was asked for, and reports what takes effect.
pub(super) fn set_affinity(call: &Call<'_>, domain: &Domain, op: &mut Domctl) -> Result<Done, Errno> {
    let hv = call.hv;
    let request: VcpuAffinity = op.read_payload();
    let vcpu = find(domain, request.vcpu)?;
    check_affinity(&request)?;
    if request.flags & XEN_VCPUAFFINITY_FORCE != 0 {
        // Nothing to undo is fine too.
        hv.pools
            .with_vcpu(hv, vcpu, |pool, unit, now| ((), pool.unpin(unit, now).unwrap_or(CpuMask::EMPTY)))?;
    }
    let info = hv.pools.info(hv, vcpu).ok_or(Errno::ESRCH)?;
    let (hard, soft) = affinities(call, &request, (info.hard, info.soft))?;
    let online = hv.pools.with_vcpu(hv, vcpu, |pool, unit, now| {
        match pool.set_affinity(unit, hard, soft, now).map_err(errno) {
            Ok(kick) => (Ok(pool.cpus()), kick),
            Err(e) => (Err(e), CpuMask::EMPTY),
        }
    })??;
    if request.flags & XEN_VCPUAFFINITY_HARD != 0 {
        bitmap::write_cpus(call, &request.cpumap_hard, hard.and(online))?;
    }
    if request.flags & XEN_VCPUAFFINITY_SOFT != 0 {
        bitmap::write_cpus(call, &request.cpumap_soft, soft.and(online).and(hard))?;
    }
    Ok(Done::CopyBack)
}

/// The affinities after a request: those that it names, and the present ones.
fn affinities(
    call: &Call<'_>,
    request: &VcpuAffinity,
    now: (CpuMask, CpuMask),
) -> Result<(CpuMask, CpuMask), Errno> {
    let pick = |flag, map, present| {
        if request.flags & flag == 0 { Ok(present) } else { bitmap::read_cpus(call, map) }
    };
    Ok((
        pick(XEN_VCPUAFFINITY_HARD, &request.cpumap_hard, now.0)?,
        pick(XEN_VCPUAFFINITY_SOFT, &request.cpumap_soft, now.1)?,
    ))
}

/// XEN_DOMCTL_getvcpuaffinity.
pub(super) fn get_affinity(call: &Call<'_>, domain: &Domain, op: &mut Domctl) -> Result<Done, Errno> {
    let hv = call.hv;
    let request: VcpuAffinity = op.read_payload();
    let vcpu = find(domain, request.vcpu)?;
    check_affinity(&request)?;
    let info = hv.pools.info(hv, vcpu).ok_or(Errno::ESRCH)?;
    let all = hv.pools.all_cpus();
    if request.flags & XEN_VCPUAFFINITY_HARD != 0 {
        bitmap::write_cpus(call, &request.cpumap_hard, info.hard.and(all))?;
    }
    if request.flags & XEN_VCPUAFFINITY_SOFT != 0 {
        bitmap::write_cpus(call, &request.cpumap_soft, info.soft.and(all))?;
    }
    Ok(Done::CopyBack)
}

/// XEN_DOMCTL_scheduler_op: a domain's weight and cap.
pub(super) fn scheduler_op(call: &Call<'_>, domain: &Domain, op: &mut Domctl) -> Result<Done, Errno> {
    let mut request: SchedulerOp = op.read_payload();
    let hv = call.hv;
    let kind = hv.pools.with_domain(hv, domain, |pool, _| (pool.kind(), CpuMask::EMPTY))?;
    if request.sched_id != kind.abi_id() {
        return Err(Errno::EINVAL);
    }
    let known = matches!(request.cmd, XEN_DOMCTL_SCHEDOP_getinfo | XEN_DOMCTL_SCHEDOP_putinfo);
    // The null scheduler has no parameters: any are as good as none.
    if known && kind == SchedKind::Null {
        return Ok(Done::CopyBack);
    }
    let domid = domain.id.raw();
    match request.cmd {
        XEN_DOMCTL_SCHEDOP_getinfo => {
            let params =
                hv.pools.with_domain(hv, domain, |pool, _| (pool.domain_params(domid), CpuMask::EMPTY))?;
            let params = params.map_err(errno)?;
            request.write_payload(&SchedCredit2 { weight: params.weight, cap: params.cap });
            op.write_payload(&request);
            Ok(Done::CopyBack)
        }
        XEN_DOMCTL_SCHEDOP_putinfo => {
            let wanted: SchedCredit2 = request.read_payload();
            let params = DomainParams { weight: wanted.weight, cap: wanted.cap };
            hv.pools.with_domain(hv, domain, |pool, now| {
                match pool.set_domain_params(domid, params, now) {
                    Ok(kick) => (Ok(()), kick),
                    Err(e) => (Err(errno(e)), CpuMask::EMPTY),
                }
            })??;
            Ok(Done::Plain)
        }
        // credit2 has no parameters of single vCPUs.
        _ => Err(Errno::EINVAL),
    }
}
