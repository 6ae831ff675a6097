//! Cpupools and the parameters of their schedulers.

use crate::hypercall::{Call, bitmap};
use crate::pools::errno;
use ::sched::{Pool, SchedKind};
use hal::Domid;
use xen_abi::Errno;
use xen_abi::sysctl::*;

/// XEN_SYSCTL_cpupool_op. False: more to do, the call comes again.
pub(super) fn op(call: &Call<'_>, op: &mut Sysctl) -> Result<bool, Errno> {
    let hv = call.hv;
    let mut request: CpupoolOp = op.read_payload();
    // Domctls look at pools too: two tools at once take turns.
    let Some(_lock) = hv.domctl.try_lock() else { return Ok(false) };
    match request.op {
        XEN_SYSCTL_CPUPOOL_OP_CREATE => {
            request.cpupool_id = hv.pools.create(hv, request.cpupool_id, request.sched_id)?;
        }
        XEN_SYSCTL_CPUPOOL_OP_DESTROY => hv.pools.destroy(request.cpupool_id)?,
        XEN_SYSCTL_CPUPOOL_OP_INFO => {
            let info = hv.pools.next(request.cpupool_id).ok_or(Errno::ENOENT)?;
            request.cpupool_id = info.id;
            request.sched_id = info.scheduler;
            request.n_dom = info.domains;
            bitmap::write_cpus(call, &request.cpumap, info.cpus)?;
        }
        XEN_SYSCTL_CPUPOOL_OP_ADDCPU => hv.pools.add_cpu(hv, request.cpupool_id, request.cpu)?,
        XEN_SYSCTL_CPUPOOL_OP_RMCPU => {
            if !hv.pools.remove_cpu(hv, request.cpupool_id, request.cpu)? {
                return Ok(false);
            }
        }
        XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN => move_domain(call, &request)?,
        XEN_SYSCTL_CPUPOOL_OP_FREEINFO => bitmap::write_cpus(call, &request.cpumap, hv.pools.free_cpus())?,
        _ => return Err(Errno::ENOSYS),
    }
    op.write_payload(&request);
    Ok(true)
}

fn move_domain(call: &Call<'_>, request: &CpupoolOp) -> Result<(), Errno> {
    let hv = call.hv;
    // The number is 16 bits wide; what lies above is noise.
    let domain = Domid::new(request.domid as u16).and_then(|id| hv.domains.get(id)).ok_or(Errno::ESRCH)?;
    // Its vCPUs have to stop for it.
    if domain.id == call.domain.id {
        return Err(Errno::EPERM);
    }
    hv.move_to_pool(&domain, request.cpupool_id)
}

/// XEN_SYSCTL_scheduler_op: what holds for a whole pool.
pub(super) fn scheduler_op(call: &Call<'_>, op: &mut Sysctl) -> Result<(), Errno> {
    let pools = &call.hv.pools;
    let mut request: SchedulerOp = op.read_payload();
    if !matches!(request.cmd, XEN_SYSCTL_SCHEDOP_putinfo | XEN_SYSCTL_SCHEDOP_getinfo) {
        return Err(Errno::EINVAL);
    }
    let kind = pools.with_pool(request.cpupool_id, |pool| pool.kind())?;
    if request.sched_id != kind.abi_id() {
        return Err(Errno::EINVAL);
    }
    // The null scheduler has no parameters: any are as good as none.
    if kind == SchedKind::Null {
        return Ok(());
    }
    if request.cmd == XEN_SYSCTL_SCHEDOP_putinfo {
        let wanted: Credit2Schedule = request.read_payload();
        let set = |pool: &mut Pool| pool.set_ratelimit_us(wanted.ratelimit_us);
        pools.with_pool(request.cpupool_id, set)?.map_err(errno)?;
    } else {
        let ratelimit_us = pools.with_pool(request.cpupool_id, |pool| pool.ratelimit_us())?.map_err(errno)?;
        request.write_payload(&Credit2Schedule { ratelimit_us });
    }
    op.write_payload(&request);
    Ok(())
}
