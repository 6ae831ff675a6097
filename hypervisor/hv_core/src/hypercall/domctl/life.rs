//! Creation, end, pause.

use super::{Done, other};
use crate::domain::{Domain, DomainConfig};
use crate::event;
use crate::hypercall::Call;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use hal::{Domid, Gfn};
use machine::Abi;
use xen_abi::Errno;
use xen_abi::domctl::v4_17::{CreateDomainCommon, DomctlArch};
use xen_abi::domctl::v4_19::{self, CreateDomainArch};
use xen_abi::domctl::{
    AddressSize, Domctl, SetDomainHandle, SetTimeOffset, SetVirqHandler, VuartOp, XEN_DOMCTL_VUART_OP_INIT,
    XEN_DOMCTL_VUART_TYPE_VPL011,
};
use zerocopy::{FromZeros as _, IntoBytes as _};

/// vCPUs that a domain can have at most (MAX_VIRT_CPUS on arm64).
const MAX_VCPUS: u32 = 128;
/// Steps of a teardown in one call.
const DESTROY_STEPS: u32 = 4;
type ArchConfig = <Abi as DomctlArch>::ArchDomainConfig;

/// XEN_DOMCTL_createdomain.
pub(super) fn create(call: &Call<'_>, op: &mut Domctl) -> Result<Done, Errno> {
    let hv = call.hv;
    let grown = op.interface_version >= v4_19::FIRST_VERSION;
    let (common, arch) = if grown {
        Abi::narrow(op.read_payload()).ok_or(Errno::EINVAL)?
    } else {
        Abi::split_create_domain(op.read_payload())
    };
    let config = check(call, op.domain, &common)?;
    let domain = hv.create_domain(&config, arch.as_bytes())?;
    hv.wall_clock.show(hv, &domain);
    let mut arch = ArchConfig::new_zeroed();
    domain.guest.write_config(arch.as_mut_bytes());
    op.domain = domain.id.raw();
    if grown {
        op.write_payload(&Abi::widen(common, arch));
    } else {
        op.write_payload(&Abi::create_domain(common, arch));
    }
    Ok(Done::CopyBack)
}

fn check(call: &Call<'_>, wanted: u16, common: &CreateDomainCommon) -> Result<DomainConfig, Errno> {
    let hv = call.hv;
    hv.platform.check_create_flags(common.flags)?;
    let versions = common.grant_opts & xen_abi::domctl::v4_17::XEN_DOMCTL_GRANT_version_mask;
    let valid = (1..=MAX_VCPUS).contains(&common.max_vcpus)
        && common.vmtrace_size == 0
        && common.iommu_opts == 0
        && common.grant_opts == versions
        && versions == 1;
    if !valid {
        return Err(Errno::EINVAL);
    }
    // A negative number asks for the most that there may be.
    let limit = |asked: i32, least: u32, most: u32| match u32::try_from(asked) {
        Ok(n) if (least..=most).contains(&n) => Ok(n),
        Ok(_) => Err(Errno::EINVAL),
        Err(_) => Ok(most),
    };
    // Number 0 and the reserved ones ask for a free number.
    let wanted = Domid::new(wanted).filter(|id| *id != Domid::DOM0);
    Ok(DomainConfig {
        id: hv.domains.choose(wanted)?,
        handle: common.handle,
        privileged: false,
        max_vcpus: common.max_vcpus as usize,
        max_port: common.max_evtchn_port,
        max_grant_frames: limit(common.max_grant_frames, 1, hv.options.grant_frames)?,
        max_maptrack_frames: limit(common.max_maptrack_frames, 0, hv.options.maptrack_frames)?,
        flags: common.flags,
        ssidref: common.ssidref,
        direct_mapped: false,
        cpupool: common.cpupool_id,
    })
}

/// XEN_DOMCTL_destroydomain.
pub(super) fn destroy(call: &Call<'_>, domain: &Arc<Domain>) -> Result<Done, Errno> {
    let domain = other(call, domain)?;
    for _ in 0..DESTROY_STEPS {
        if call.hv.destroy_domain(domain)? {
            return Ok(Done::Plain);
        }
    }
    Ok(Done::Again(0))
}

/// XEN_DOMCTL_pausedomain.
pub(super) fn pause(call: &Call<'_>, domain: &Arc<Domain>) -> Result<Done, Errno> {
    call.hv.pause_domain(other(call, domain)?)?;
    Ok(Done::Plain)
}

/// XEN_DOMCTL_unpausedomain.
pub(super) fn unpause(call: &Call<'_>, domain: &Domain) -> Result<Done, Errno> {
    call.hv.unpause_domain(domain)?;
    Ok(Done::Plain)
}

/// XEN_DOMCTL_resumedomain.
pub(super) fn resume(call: &Call<'_>, domain: &Arc<Domain>) -> Result<Done, Errno> {
    call.hv.resume(other(call, domain)?);
    Ok(Done::Plain)
}

/// XEN_DOMCTL_soft_reset: a domain that asked for it goes on as a new one, but with its memory and
/// registers. Its ports are closed a step a call.
pub(super) fn soft_reset(call: &Call<'_>, domain: &Arc<Domain>, resuming: bool) -> Result<Done, Errno> {
    let domain = other(call, domain)?;
    if !domain.is_shut_down() || domain.controller_pauses() == 0 {
        return Err(Errno::EINVAL);
    }
    if !event::reset(call.hv, domain, resuming)? {
        return Ok(Done::Again(1));
    }
    domain.events.forget_infos(call.hv, domain);
    domain.vcpus().for_each(|vcpu| vcpu.runstate.release(call.hv));
    call.hv.resume(domain);
    Ok(Done::Plain)
}

/// XEN_DOMCTL_setdomainhandle.
pub(super) fn set_handle(domain: &Domain, op: &Domctl) -> Result<Done, Errno> {
    let request: SetDomainHandle = op.read_payload();
    *domain.handle.lock() = request.handle;
    Ok(Done::Plain)
}

/// XEN_DOMCTL_settimeoffset.
pub(super) fn set_time_offset(call: &Call<'_>, domain: &Domain, op: &Domctl) -> Result<Done, Errno> {
    let request: SetTimeOffset = op.read_payload();
    domain.time_offset.store(request.time_offset_seconds as u64, Ordering::Relaxed);
    call.hv.wall_clock.show(call.hv, domain);
    Ok(Done::Plain)
}

/// XEN_DOMCTL_set_virq_handler: the domain hears of a global virtual interrupt, in dom0's place.
pub(super) fn set_virq_handler(call: &Call<'_>, domain: &Domain, op: &Domctl) -> Result<Done, Errno> {
    let request: SetVirqHandler = op.read_payload();
    if domain.is_dying() {
        return Err(Errno::EINVAL);
    }
    call.hv.virq_handlers.set(request.virq, domain.id)?;
    Ok(Done::Plain)
}

/// XEN_DOMCTL_vuart_op: a serial port, before the domain first runs.
pub(super) fn vuart(call: &Call<'_>, domain: &Domain, op: &mut Domctl) -> Result<Done, Errno> {
    let mut request: VuartOp = op.read_payload();
    let known = request.cmd == XEN_DOMCTL_VUART_OP_INIT && request.type_ == XEN_DOMCTL_VUART_TYPE_VPL011;
    if !known || request.pad != [0; 2] {
        return Err(Errno::EINVAL);
    }
    if domain.controller_pauses() == 0 {
        return Err(Errno::EPERM);
    }
    let backend = Domid::new(request.console_domid).ok_or(Errno::EINVAL)?;
    request.evtchn = domain.guest.create_vuart(call.hv, domain, Gfn(request.gfn), backend)?;
    op.write_payload(&request);
    Ok(Done::CopyBack)
}

/// XEN_DOMCTL_set_address_size: 64-bit guests only.
pub(super) fn set_address_size(_: &Domain, op: &Domctl) -> Result<Done, Errno> {
    let request: AddressSize = op.read_payload();
    if request.size == u64::BITS { Ok(Done::Plain) } else { Err(Errno::EINVAL) }
}
