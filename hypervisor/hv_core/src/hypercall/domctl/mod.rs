//! HYPERVISOR_domctl (domctl.h): what the control domain does to domains. Interfaces 0x15 of Xen 4.17 to
//! 0x18 of Xen 4.22, as each request says.
//!
//! A call that takes long comes again with its progress in the second argument, which callers do
//! not use.

mod device;
mod info;
mod life;
mod memory;
mod observe;
mod settings;
mod vcpu;

pub(super) use info::domain_info;

use super::{Call, DONE, Flow, Outcome};
use crate::domain::Domain;
use alloc::sync::Arc;
use core::ops::RangeInclusive;
use hal::Domid;
use xen_abi::Errno;
use xen_abi::domctl::*;

/// What an operation leaves to do.
enum Done {
    /// Finished; nothing to copy back.
    Plain,
    /// Finished; the structure goes back to the caller.
    CopyBack,
    /// More to do: come again with this progress.
    Again(u64),
}

/// The interfaces that are served: 4.17's to 4.22's. From 0x17 on `createdomain` has another layout; all else that exists on
/// arm64 is the same.
const VERSIONS: RangeInclusive<u32> = XEN_DOMCTL_INTERFACE_VERSION..=0x18;

/// domctl(op).
pub fn domctl(call: &Call<'_>) -> Outcome {
    let [at, progress, ..] = call.args;
    let mut op: Domctl = call.guest().read(at)?;
    if !VERSIONS.contains(&op.interface_version) {
        return Err(Errno::EACCES);
    }
    if !call.domain.privileged {
        return Err(Errno::EPERM);
    }
    // Two tools at once: the second comes again.
    let Some(_lock) = call.hv.domctl.try_lock() else {
        return Ok(Flow::Again([at, progress, 0, 0, 0]));
    };
    match run(call, &mut op, progress)? {
        Done::Plain => DONE,
        Done::CopyBack => {
            call.guest().write(at, &op)?;
            DONE
        }
        Done::Again(progress) => Ok(Flow::Again([at, progress, 0, 0, 0])),
    }
}

fn run(call: &Call<'_>, op: &mut Domctl, progress: u64) -> Result<Done, Errno> {
    match op.cmd {
        XEN_DOMCTL_createdomain => return life::create(call, op),
        XEN_DOMCTL_getdomaininfo => return info::get(call, op),
        XEN_DOMCTL_vm_event_op => return observe::vm_event(call, op),
        _ => {}
    }
    let domain = Domid::new(op.domain).and_then(|id| call.hv.domains.get(id)).ok_or(Errno::ESRCH)?;
    match op.cmd {
        XEN_DOMCTL_destroydomain => life::destroy(call, &domain),
        XEN_DOMCTL_pausedomain => life::pause(call, &domain),
        XEN_DOMCTL_unpausedomain => life::unpause(call, &domain),
        XEN_DOMCTL_resumedomain => life::resume(call, &domain),
        XEN_DOMCTL_setdomainhandle => life::set_handle(&domain, op),
        XEN_DOMCTL_settimeoffset => life::set_time_offset(call, &domain, op),
        XEN_DOMCTL_set_address_size => life::set_address_size(&domain, op),
        XEN_DOMCTL_vuart_op => life::vuart(call, &domain, op),
        XEN_DOMCTL_soft_reset => life::soft_reset(call, &domain, progress != 0),
        XEN_DOMCTL_soft_reset_cont => life::soft_reset(call, &domain, true),
        XEN_DOMCTL_setdebugging => settings::set_debugging(call, &domain, op),
        XEN_DOMCTL_subscribe => settings::subscribe(&domain, op),
        XEN_DOMCTL_set_target => settings::set_target(call, &domain, op),
        XEN_DOMCTL_setvnumainfo => settings::set_vnuma(call, &domain, op),
        XEN_DOMCTL_monitor_op => observe::monitor(call, &domain, op),
        XEN_DOMCTL_iomem_permission => device::iomem_permission(call, &domain, op),
        XEN_DOMCTL_irq_permission => device::irq_permission(call, &domain, op),
        XEN_DOMCTL_memory_mapping => device::memory_mapping(call, &domain, op),
        XEN_DOMCTL_bind_pt_irq => device::bind_irq(call, &domain, op),
        XEN_DOMCTL_unbind_pt_irq => device::unbind_irq(call, &domain, op),
        // Without an IOMMU a domain gets no device that does DMA.
        XEN_DOMCTL_assign_device | XEN_DOMCTL_test_assign_device | XEN_DOMCTL_deassign_device => {
            Err(Errno::EOPNOTSUPP)
        }
        XEN_DOMCTL_max_mem => memory::max_mem(&domain, op),
        XEN_DOMCTL_cacheflush => memory::cacheflush(call, &domain, op, progress),
        XEN_DOMCTL_get_paging_mempool_size => memory::get_pool(&domain, op),
        XEN_DOMCTL_set_paging_mempool_size => memory::set_pool(call, &domain, op),
        XEN_DOMCTL_setnodeaffinity => memory::set_node_affinity(call, op),
        XEN_DOMCTL_getnodeaffinity => memory::get_node_affinity(call, op),
        XEN_DOMCTL_max_vcpus => vcpu::max_vcpus(call, &domain, op, progress),
        XEN_DOMCTL_setvcpucontext => vcpu::set_context(call, &domain, op),
        XEN_DOMCTL_getvcpucontext => vcpu::get_context(call, &domain, op),
        XEN_DOMCTL_getvcpuinfo => vcpu::get_info(call, &domain, op),
        XEN_DOMCTL_setvcpuaffinity => vcpu::set_affinity(call, &domain, op),
        XEN_DOMCTL_getvcpuaffinity => vcpu::get_affinity(call, &domain, op),
        XEN_DOMCTL_set_virq_handler => life::set_virq_handler(call, &domain, op),
        XEN_DOMCTL_scheduler_op => vcpu::scheduler_op(call, &domain, op),
        _ => Err(Errno::ENOSYS),
    }
}

/// The domain, if it is not the caller's own: an operation that would stop its own caller.
fn other<'d>(call: &Call<'_>, domain: &'d Arc<Domain>) -> Result<&'d Arc<Domain>, Errno> {
    if domain.id == call.domain.id { Err(Errno::EINVAL) } else { Ok(domain) }
}
