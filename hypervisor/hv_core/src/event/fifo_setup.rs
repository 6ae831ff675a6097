//! The guest's switch to the FIFO interface, and the pages that it gives for it.

use super::DomainEvents;
use super::deliver;
use super::fifo_pages::{Fifo, Page, check_control_offset};
use super::two_level;
use crate::Hypervisor;
use crate::domain::Domain;
use core::sync::atomic::Ordering;
use hal::Gfn;
use xen_abi::Errno;

/// EVTCHNOP_init_control: places a vCPU's control block. The first call switches the domain to the
/// FIFO interface; what is pending then is raised again as the guest gives the event array.
///
/// # Errors
/// ENOENT without that vCPU; EINVAL when the block would not fit, the vCPU has one, or `gfn` is not
/// the domain's memory; ENOMEM.
pub(super) fn init_control(
    hv: &Hypervisor,
    domain: &Domain,
    vcpu: u32,
    gfn: Gfn,
    offset: u32,
) -> Result<(), Errno> {
    let events = &domain.events;
    let vcpu = domain.vcpu(vcpu as usize).ok_or(Errno::ENOENT)?.id;
    let offset = check_control_offset(offset)?;
    let page = domain.guest_page(hv, gfn).ok_or(Errno::EINVAL)?;
    let _ports = events.ports.lock();
    let mut slot = events.fifo.lock();
    match slot.as_mut() {
        Some(fifo) => {
            fifo.check_no_control(vcpu)?;
            fifo.set_control(hv, vcpu, Page::keep(hv, page)?, offset);
        }
        None => {
            let mut fifo = Fifo::new(domain.max_vcpus)?;
            fifo.set_control(hv, vcpu, Page::keep(hv, page)?, offset);
            *slot = Some(fifo);
            // Whoever sets a bit after it was looked at here finds the switch made, and comes to
            // the FIFO lock.
            events.fifo_on.store(true, Ordering::SeqCst);
            events.hold_two_level(hv);
        }
    }
    Ok(())
}

/// EVTCHNOP_expand_array: adds a page to the event array, and raises what waited for it.
///
/// # Errors
/// EOPNOTSUPP with the 2-level interface, ENOSPC when the array is complete, EINVAL when `gfn` is
/// not the domain's memory, ENOMEM.
pub(super) fn expand_array(hv: &Hypervisor, domain: &Domain, gfn: Gfn) -> Result<(), Errno> {
    let events = &domain.events;
    let page = domain.guest_page(hv, gfn);
    let (mut upcalls, mut pollers) = (false, false);
    {
        let ports = events.ports.lock();
        let mut slot = events.fifo.lock();
        let fifo = slot.as_mut().ok_or(Errno::EOPNOTSUPP)?;
        fifo.reserve_page()?;
        for port in fifo.add_page(Page::keep(hv, page.ok_or(Errno::EINVAL)?)?) {
            let Some(line) = events.guest_line(&ports, port) else { continue };
            if line.take_held()
                && let Some(notice) = deliver::raise_in(hv, domain, fifo, port, line)
            {
                upcalls |= notice.upcall().is_some();
                pollers |= notice.pollers();
            }
        }
    }
    if upcalls {
        for vcpu in domain.vcpus().filter(|vcpu| events.upcall_pending(hv, vcpu)) {
            deliver::upcall(hv, domain, vcpu);
        }
    }
    if pollers {
        events.wake_pollers(hv, domain, None);
    }
    Ok(())
}

impl DomainEvents {
    /// Keeps the events that are pending in the 2-level interface for the FIFO interface.
    fn hold_two_level(&self, hv: &Hypervisor) {
        let Some(shared) = self.shared_frame(hv) else { return };
        for word in 0..two_level::WORDS {
            let mut pending = two_level::take_pending(&shared, word);
            while pending != 0 {
                let port = word.saturating_mul(u64::BITS).saturating_add(pending.trailing_zeros());
                pending &= pending.wrapping_sub(1);
                if let Some(line) = self.lines.get(port) {
                    line.hold();
                }
            }
        }
    }

    /// Gives up the FIFO interface and its pages. No port of the guest is open.
    pub(super) fn leave_fifo(&self, hv: &Hypervisor) {
        let fifo = {
            let mut slot = self.fifo.lock();
            self.fifo_on.store(false, Ordering::SeqCst);
            slot.take()
        };
        if let Some(fifo) = fifo {
            fifo.release(hv);
        }
    }
}
