//! Agents that watch a domain's events (vm_event.h). There are none: what Xen answers to a tool that
//! asks for what its domain cannot have.

use super::{Done, other};
use crate::domain::Domain;
use crate::hypercall::Call;
use alloc::sync::Arc;
use hal::Domid;
use xen_abi::Errno;
use xen_abi::domctl::*;
use xen_abi::vm_event::VM_EVENT_INTERFACE_VERSION;

/// Events are numbered below this.
const NR_EVENTS: u32 = 32;

/// XEN_DOMCTL_vm_event_op. The version needs no domain.
pub(super) fn vm_event(call: &Call<'_>, op: &mut Domctl) -> Result<Done, Errno> {
    let mut request: VmEventOp = op.read_payload();
    if request.op == XEN_VM_EVENT_GET_VERSION {
        request.u = VM_EVENT_INTERFACE_VERSION;
        op.write_payload(&request);
        return Ok(Done::CopyBack);
    }
    let domain = Domid::new(op.domain).and_then(|id| call.hv.domains.get(id)).ok_or(Errno::ESRCH)?;
    let domain = other(call, &domain)?;
    if domain.is_dying() {
        return Ok(Done::CopyBack);
    }
    domain.vcpu(0).ok_or(Errno::EINVAL)?;
    Err(match (request.mode, request.op) {
        (XEN_DOMCTL_VM_EVENT_OP_MONITOR, XEN_VM_EVENT_ENABLE) => Errno::EOPNOTSUPP,
        // No ring is there to be given up, or to have answers in it.
        (XEN_DOMCTL_VM_EVENT_OP_MONITOR, XEN_VM_EVENT_DISABLE) => Errno::EINVAL,
        (XEN_DOMCTL_VM_EVENT_OP_MONITOR, XEN_VM_EVENT_RESUME) => Errno::ENODEV,
        _ => Errno::ENOSYS,
    })
}

/// XEN_DOMCTL_monitor_op: no event can be asked for.
pub(super) fn monitor(call: &Call<'_>, domain: &Arc<Domain>, op: &mut Domctl) -> Result<Done, Errno> {
    let mut request: MonitorOp = op.read_payload();
    if domain.id == call.domain.id {
        return Err(Errno::EPERM);
    }
    match request.op {
        XEN_DOMCTL_MONITOR_OP_GET_CAPABILITIES => {
            request.event = 0;
            op.write_payload(&request);
            Ok(Done::CopyBack)
        }
        XEN_DOMCTL_MONITOR_OP_ENABLE | XEN_DOMCTL_MONITOR_OP_DISABLE if request.event >= NR_EVENTS => {
            Err(Errno::EINVAL)
        }
        _ => Err(Errno::EOPNOTSUPP),
    }
}
