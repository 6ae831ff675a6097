//! What is known of a domain.

use super::Done;
use crate::Hypervisor;
use crate::domain::Domain;
use crate::hypercall::Call;
use core::sync::atomic::Ordering;
use hal::{Domid, MachineOps as _, Stage2Format as _};
use machine::{Abi, Stage2};
use xen_abi::Errno;
use xen_abi::domctl::Domctl;
use xen_abi::domctl::v4_17::*;
use xen_abi::vcpu::RUNSTATE_running;
use zerocopy::{FromZeros as _, IntoBytes as _};

/// No guest frame holds shared_info for tools to find.
const NO_FRAME: u64 = u64::MAX;
type ArchConfig = <Abi as DomctlArch>::ArchDomainConfig;

/// XEN_DOMCTL_getdomaininfo: the first domain whose number is the one asked for, or higher.
pub(super) fn get(call: &Call<'_>, op: &mut Domctl) -> Result<Done, Errno> {
    Domid::new(op.domain).ok_or(Errno::EINVAL)?;
    let domain = call.hv.domains.first_from(op.domain).ok_or(Errno::ESRCH)?;
    op.domain = domain.id.raw();
    op.write_payload(&domain_info(call.hv, &domain));
    Ok(Done::CopyBack)
}

/// The information as tools get it.
pub(in crate::hypercall) fn domain_info(
    hv: &Hypervisor,
    domain: &Domain,
) -> <Abi as DomctlArch>::GetDomainInfo {
    let now = hv.machine.now_ns();
    let mut info = GetDomainInfoCommon::new_zeroed();
    info.max_vcpu_id = XEN_INVALID_MAX_VCPU_ID;
    let mut flags = DominfFlags::HVM_GUEST | DominfFlags::HAP | DominfFlags::BLOCKED;
    for vcpu in domain.vcpus() {
        let times = vcpu.runstate.read(now).time;
        info.cpu_time =
            info.cpu_time.saturating_add(times.get(RUNSTATE_running as usize).copied().unwrap_or(0));
        info.max_vcpu_id = vcpu.id as u32;
        if vcpu.is_up() {
            info.nr_online_vcpus += 1;
            if !vcpu.is_blocked() {
                flags.remove(DominfFlags::BLOCKED);
            }
            if vcpu.pcpu().is_some() {
                flags.insert(DominfFlags::RUNNING);
            }
        }
    }
    // What is down neither waits nor runs.
    if info.nr_online_vcpus == 0 {
        flags.remove(DominfFlags::BLOCKED | DominfFlags::RUNNING);
    }
    // Tools let go of its pages when they see it dead.
    flags.set(DominfFlags::DYING, domain.is_drained());
    flags.set(DominfFlags::PAUSED, domain.controller_pauses() > 0);
    flags.set(DominfFlags::DEBUGGED, domain.debugged.load(Ordering::Relaxed));
    if let Some(reason) = domain.shutdown_reason() {
        flags = (flags | DominfFlags::SHUTDOWN).with_shutdown_code(u32::from(reason.0));
    }
    info.domain = domain.id.raw();
    info.flags = flags.bits();
    info.tot_pages = u64::from(domain.tot_pages());
    info.outstanding_pages = domain.claim.frames();
    info.max_pages = u64::from(domain.max_pages());
    info.shared_info_frame = NO_FRAME;
    info.ssidref = domain.ssidref;
    info.cpupool = hv.pools.id_of(domain);
    info.handle = *domain.handle.lock();
    info.gpaddr_bits = Stage2::GUEST_ADDR_BITS as u8;
    let mut arch = ArchConfig::new_zeroed();
    domain.guest.write_config(arch.as_mut_bytes());
    Abi::get_domain_info(info, arch)
}
