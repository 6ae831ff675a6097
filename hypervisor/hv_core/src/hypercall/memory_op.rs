//! HYPERVISOR_memory_op (memory.h).
//!
//! The command's upper bits hold how far a call has come that was interrupted; the hypervisor puts
//! them there when it re-issues the call.

mod topology;

use super::{Call, DONE, Flow, Outcome};
use crate::domain::Domain;
use crate::memory::{GuestWindow, Kind, MAX_ORDER, PageGuard};
use hal::{Domid, Gfn, Mfn};
use xen_abi::Errno;
use xen_abi::memory::*;
use xen_abi::xen::DOMID_SELF;

/// Bits of the command that name the operation (MEMOP_EXTENT_SHIFT, memory.h).
const CMD_BITS: u32 = 6;
const CMD_MASK: u64 = (1 << CMD_BITS) - 1;
/// Pages that one call handles before it lets interrupts in.
const BUDGET: u64 = 64;
/// Single pages whose numbers are read at once.
const TOGETHER: usize = 16;

/// memory_op(cmd, arg).
pub fn memory_op(call: &Call<'_>) -> Outcome {
    let [cmd, arg, ..] = call.args;
    let start = cmd >> CMD_BITS;
    match (cmd & CMD_MASK) as u32 {
        XENMEM_increase_reservation => extents(call, arg, start, Change::Increase),
        XENMEM_decrease_reservation => extents(call, arg, start, Change::Decrease),
        XENMEM_populate_physmap => extents(call, arg, start, Change::Populate),
        cmd => other(call, cmd, arg, start),
    }
}

/// The operations that do not name extents. They are apart so that the way to those that do is short.
#[inline(never)]
fn other(call: &Call<'_>, cmd: u32, arg: u64, start: u64) -> Outcome {
    match cmd {
        XENMEM_maximum_ram_page => Ok(Flow::Done(call.hv.frames.end().0)),
        XENMEM_current_reservation => of_domain(call, arg, |d| u64::from(d.tot_pages())),
        XENMEM_maximum_reservation => of_domain(call, arg, |d| u64::from(d.max_pages())),
        XENMEM_maximum_gpfn => of_domain(call, arg, |d| d.memory.lock().p2m.max_gfn().0),
        // No page is shared between domains, and none is saved by it.
        XENMEM_get_sharing_freed_pages | XENMEM_get_sharing_shared_pages => DONE,
        XENMEM_add_to_physmap => add_to_physmap(call, arg),
        XENMEM_add_to_physmap_batch => add_to_physmap_batch(call, arg, start),
        XENMEM_remove_from_physmap => remove_from_physmap(call, arg),
        XENMEM_set_pod_target => pod_target(call, arg, true),
        XENMEM_get_pod_target => pod_target(call, arg, false),
        XENMEM_exchange => topology::exchange(call, arg),
        XENMEM_get_vnumainfo if start == 0 => topology::vnuma_info(call, arg),
        XENMEM_reserved_device_memory_map if start == 0 => topology::reserved_for_devices(call, arg),
        // These do not come again.
        XENMEM_get_vnumainfo | XENMEM_reserved_device_memory_map => Err(Errno::EINVAL),
        XENMEM_claim_pages => claim_pages(call, arg, start),
        XENMEM_acquire_resource => acquire_resource(call, arg, start),
        _ => Err(Errno::ENOSYS),
    }
}

/// The call again, `done` entries further on.
fn again(call: &Call<'_>, done: u64) -> Outcome {
    let [cmd, arg, a2, a3, a4] = call.args;
    Ok(Flow::Again([cmd & CMD_MASK | done << CMD_BITS, arg, a2, a3, a4]))
}

fn of_domain(call: &Call<'_>, arg: u64, f: impl Fn(&Domain) -> u64) -> Outcome {
    let request: MemoryDomain = call.guest().read(arg)?;
    let domain = call.managed_domain(request.domid)?;
    Ok(Flow::Done(f(&domain)))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Increase,
    Decrease,
    Populate,
}

/// The three operations on a list of extents. The result is the number of extents done: a failure
/// part way is seen by its being short.
#[inline(never)]
fn extents(call: &Call<'_>, arg: u64, start: u64, change: Change) -> Outcome {
    let mut window = GuestWindow::read_only(call.guest());
    let request: MemoryReservation = window.read(arg)?;
    let done_so_far = Ok(Flow::Done(start));
    if start >= request.nr_extents || request.extent_order > MAX_ORDER {
        return done_so_far;
    }
    // The caller counts extents in what comes back of the command.
    if request.nr_extents > u64::MAX >> CMD_BITS {
        return done_so_far;
    }
    let managed;
    let domain = if request.domid == DOMID_SELF {
        call.domain
    } else {
        match call.managed_domain(request.domid) {
            Ok(domain) => managed = domain,
            Err(e) => return if start == 0 { Err(e) } else { done_so_far },
        }
        &managed
    };
    let one_page = request.extent_order == 0 && request.nr_extents - start == 1;
    if !one_page || change == Change::Increase {
        return many_extents(call, &mut window, domain, request, start, change);
    }
    let changed =
        window.read_element(request.extent_start.0, start).map_err(Errno::from).and_then(
            |gfn| match change {
                Change::Populate => domain.populate_page(call.hv, Gfn(gfn)),
                _ => domain.give_up_page(call.hv, Gfn(gfn)),
            },
        );
    Ok(Flow::Done(start + u64::from(changed.is_ok())))
}

/// [`extents`], when they are not one page.
#[inline(never)]
fn many_extents(
    call: &Call<'_>,
    window: &mut GuestWindow<'_>,
    domain: &Domain,
    request: MemoryReservation,
    start: u64,
    change: Change,
) -> Outcome {
    let request = &request;
    if request.extent_order == 0 && change != Change::Increase {
        return single_pages(call, window, domain, request, start, change);
    }
    let pages = 1u64 << request.extent_order;
    let mut done = start;
    let mut left = BUDGET.max(pages);
    while done < request.nr_extents {
        if left < pages {
            return again(call, done);
        }
        left -= pages;
        let result = match change {
            Change::Increase => increase(call, domain, request, done),
            Change::Populate => populate(call, domain, request, done),
            Change::Decrease => decrease(call, domain, request, done),
        };
        if result.is_err() {
            break;
        }
        done += 1;
    }
    Ok(Flow::Done(done))
}

/// The operations on extents of one page: frame numbers are read, and the map is changed, several at a time.
fn single_pages(
    call: &Call<'_>,
    window: &mut GuestWindow<'_>,
    domain: &Domain,
    request: &MemoryReservation,
    start: u64,
    change: Change,
) -> Outcome {
    let mut done = start;
    while done < request.nr_extents {
        if done - start >= BUDGET {
            return again(call, done);
        }
        let mut gfns = [0u64; TOGETHER];
        let wanted = (request.nr_extents - done).min(TOGETHER as u64) as usize;
        // What cannot be read is seen by the result's being short.
        let Ok(read) = window.read_elements(request.extent_start.0, done, gfns.split_at_mut(wanted).0) else {
            break;
        };
        let gfns = gfns.iter().take(read).copied().map(Gfn);
        let changed = match change {
            Change::Populate => domain.populate_pages(call.hv, gfns),
            _ => domain.give_up_pages(call.hv, gfns),
        };
        done += changed;
        if changed < read as u64 {
            break;
        }
    }
    Ok(Flow::Done(done))
}

fn extent_gfn(call: &Call<'_>, request: &MemoryReservation, index: u64) -> Result<Gfn, Errno> {
    Ok(Gfn(call.guest().read_element(request.extent_start.0, index)?))
}

/// A translated domain names its frames itself: it can only populate.
fn increase(_: &Call<'_>, _: &Domain, _: &MemoryReservation, _: u64) -> Result<(), Errno> {
    Err(Errno::EOPNOTSUPP)
}

fn populate(call: &Call<'_>, domain: &Domain, request: &MemoryReservation, index: u64) -> Result<(), Errno> {
    let gfn = extent_gfn(call, request, index)?;
    domain.populate(call.hv, gfn, request.extent_order)
}

fn decrease(call: &Call<'_>, domain: &Domain, request: &MemoryReservation, index: u64) -> Result<(), Errno> {
    let gfn = extent_gfn(call, request, index)?;
    let count = 1u64 << request.extent_order;
    gfn.checked_add(count).ok_or(Errno::EINVAL)?;
    // A part at a time, so that nobody waits long for the map.
    for first in (0..count).step_by(BUDGET as usize) {
        let part = BUDGET.min(count - first);
        if domain.give_up_pages(call.hv, (first..first + part).map(|i| gfn.plus(i))) < part {
            return Err(Errno::EINVAL);
        }
    }
    Ok(())
}

/// Puts frame `idx` of a space at `gfn` of `domain`; `other` owns foreign frames.
fn add_one(
    call: &Call<'_>,
    domain: &Domain,
    space: u32,
    idx: u64,
    gfn: Gfn,
    other: u16,
) -> Result<(), Errno> {
    let hv = call.hv;
    match space {
        XENMAPSPACE_shared_info => {
            if idx != 0 {
                return Err(Errno::EINVAL);
            }
            let page = domain.events.shared_info_page(hv, domain.id).ok_or(Errno::EINVAL)?;
            domain.place_page(hv, gfn, page.keep(), Kind::Shared)
        }
        XENMAPSPACE_grant_table => {
            let page = domain.grants.frame(hv, domain, idx)?;
            domain.place_page(hv, gfn, page.keep(), Kind::Shared)?;
            domain.grants.placed(idx, gfn);
            Ok(())
        }
        XENMAPSPACE_gmfn_foreign => add_foreign(call, domain, Gfn(idx), gfn, other),
        XENMAPSPACE_dev_mmio => add_registers(call, domain, idx, gfn),
        _ => Err(Errno::ENOSYS),
    }
}

/// Registers of devices are dom0's alone to map, for itself.
fn only_dom0_itself(call: &Call<'_>, domain: &Domain) -> Result<(), Errno> {
    if domain.privileged && domain.id == call.domain.id { Ok(()) } else { Err(Errno::EACCES) }
}

/// Maps a frame of registers; one that dom0 may not have is passed over.
fn add_registers(call: &Call<'_>, domain: &Domain, frame: u64, gfn: Gfn) -> Result<(), Errno> {
    only_dom0_itself(call, domain)?;
    if !domain.access.lock().iomem.contains(frame, frame) {
        return Ok(());
    }
    domain.map_registers(call.hv, gfn, Mfn(frame), 1)
}

/// Maps memory of another domain, which only the privileged may.
fn add_foreign(call: &Call<'_>, domain: &Domain, theirs: Gfn, gfn: Gfn, other: u16) -> Result<(), Errno> {
    let hv = call.hv;
    let owner = call.any_domain(other)?;
    if owner.id == domain.id {
        return Err(Errno::EINVAL);
    }
    if !call.domain.privileged {
        return Err(Errno::EPERM);
    }
    let page = owner.guest_page(hv, theirs).ok_or(Errno::EINVAL)?;
    domain.place_page(hv, gfn, page.keep(), Kind::Foreign)
}

fn add_to_physmap(call: &Call<'_>, arg: u64) -> Outcome {
    let request: AddToPhysmap = call.guest().read(arg)?;
    // Foreign frames need a second domid, which only the batch form has.
    if request.space == XENMAPSPACE_gmfn_foreign {
        return Err(Errno::ENOSYS);
    }
    let domain = call.managed_domain(request.domid)?;
    add_one(call, &domain, request.space, request.idx, Gfn(request.gpfn), DOMID_SELF)?;
    DONE
}

fn add_to_physmap_batch(call: &Call<'_>, arg: u64, start: u64) -> Outcome {
    let request: AddToPhysmapBatch = call.guest().read(arg)?;
    let size = u64::from(request.size);
    if start >= size {
        return if start == 0 && size == 0 { DONE } else { Err(Errno::EILSEQ) };
    }
    let domain = call.managed_domain(request.domid)?;
    let guest = call.guest();
    let space = u32::from(request.space);
    match space {
        XENMAPSPACE_gmfn_range => return Err(Errno::EOPNOTSUPP),
        XENMAPSPACE_dev_mmio => {
            only_dom0_itself(call, &domain)?;
            if request.u != 0 {
                return Err(Errno::EOPNOTSUPP);
            }
        }
        _ => {}
    }
    for i in start..size {
        if i - start >= BUDGET {
            return again(call, i);
        }
        let idx: u64 = guest.read_element(request.idxs.0, i)?;
        let gfn: u64 = guest.read_element(request.gpfns.0, i)?;
        let error = match add_one(call, &domain, space, idx, Gfn(gfn), request.u) {
            Ok(()) => 0,
            Err(e) => -(e as i32),
        };
        guest.write_element(request.errs.0, i, &error)?;
    }
    DONE
}

fn remove_from_physmap(call: &Call<'_>, arg: u64) -> Outcome {
    let request: RemoveFromPhysmap = call.guest().read(arg)?;
    let domain = call.managed_domain(request.domid)?;
    domain.clear_gfn(call.hv, Gfn(request.gpfn))?;
    DONE
}

/// Keeps memory back for a domain that is to be built.
fn claim_pages(call: &Call<'_>, arg: u64, start: u64) -> Outcome {
    if start != 0 {
        return Err(Errno::EINVAL);
    }
    let request: MemoryReservation = call.guest().read(arg)?;
    if !request.extent_start.is_null() || request.extent_order != 0 || request.mem_flags != 0 {
        return Err(Errno::EINVAL);
    }
    // No DOMID_SELF here, and no such domain is a bad argument.
    let domain = Domid::new(request.domid).and_then(|id| call.hv.domains.get(id)).ok_or(Errno::EINVAL)?;
    if !call.domain.privileged {
        return Err(Errno::EPERM);
    }
    domain.claim_pages(call.hv, request.nr_extents)?;
    DONE
}

/// There is no populate-on-demand: the target is noted by the balloon driver alone, and the answer
/// says that no page is on demand.
fn pod_target(call: &Call<'_>, arg: u64, set: bool) -> Outcome {
    let guest = call.guest();
    let mut request: PodTarget = guest.read(arg)?;
    let domain = call.managed_domain(request.domid)?;
    if !call.domain.privileged {
        return Err(Errno::EPERM);
    }
    if set && domain.is_dying() {
        return Err(Errno::EINVAL);
    }
    request.tot_pages = u64::from(domain.tot_pages());
    request.pod_cache_pages = 0;
    request.pod_entries = 0;
    guest.write(arg, &request)?;
    DONE
}

/// Maps pages that the hypervisor keeps for another domain into a translated caller.
fn acquire_resource(call: &Call<'_>, arg: u64, start: u64) -> Outcome {
    let guest = call.guest();
    let mut request: MemAcquireResource = guest.read(arg)?;
    if request.pad != 0 {
        return Err(Errno::EINVAL);
    }
    let owner = call.any_domain(request.domid)?;
    if !call.domain.privileged || owner.id == call.domain.id {
        return Err(Errno::EPERM);
    }
    if u32::from(request.type_) != XENMEM_resource_grant_table {
        return Err(Errno::EOPNOTSUPP);
    }
    if request.id != XENMEM_resource_grant_table_id_shared {
        return Err(Errno::EINVAL);
    }
    let limit = u64::from(owner.grants.max_frames());
    if request.frame_list.is_null() {
        if request.nr_frames != 0 {
            return Err(Errno::EINVAL);
        }
        request.nr_frames = limit as u32;
        guest.write(arg, &request)?;
        return DONE;
    }
    let count = u64::from(request.nr_frames);
    let end = request.frame.checked_add(count).ok_or(Errno::EINVAL)?;
    if count == 0 || start >= count || end > limit {
        return Err(Errno::EINVAL);
    }
    for i in start..count {
        if i - start >= BUDGET {
            return again(call, i);
        }
        let gfn: u64 = guest.read_element(request.frame_list.0, i)?;
        let page: PageGuard<'_> = owner.grants.frame(call.hv, &owner, request.frame + i)?;
        call.domain.place_page(call.hv, Gfn(gfn), page.keep(), Kind::Foreign)?;
    }
    DONE
}
