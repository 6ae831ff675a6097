//! HYPERVISOR_grant_table_op: lists of operations, each with a status of its own.

use super::copy::Copier;
use super::peer::Peers;
use super::{GrantError, map};
use crate::domain::Domain;
use crate::hypercall::{Call, DONE, Flow, Named, Outcome};
use crate::memory::{Fault, GuestWindow, PageGuard};
use alloc::sync::Arc;
use core::mem::offset_of;
use hal::{MachineOps as _, Maddr, PAGE_SIZE};
use xen_abi::Errno;
use xen_abi::grant_table::*;

/// Operations of a list that run before interrupts are let in.
const BATCH: u64 = 32;
/// Maptrack handles that a cache flush looks through before interrupts are let in.
const SCAN: usize = 4096;
/// Bits of the command that name the operation; the hypervisor keeps the progress of a call that it
/// re-issues in those above (GNTTABOP_CONTINUATION_ARG_SHIFT).
const CMD_BITS: u32 = 12;
const CMD_MASK: u32 = (1 << CMD_BITS) - 1;

/// grant_table_op(cmd, list, count).
pub fn grant_table_op(call: &Call<'_>) -> Outcome {
    let [cmd, list, count, ..] = call.args;
    let (cmd, progress) = (cmd as u32 & CMD_MASK, cmd as u32 >> CMD_BITS);
    // The count is 32 bits wide, and as a C int not negative.
    let count = u64::from(count as u32);
    if count > i32::MAX as u64 || (progress != 0 && cmd != GNTTABOP_cache_flush) {
        return Err(Errno::EINVAL);
    }
    match cmd {
        GNTTABOP_map_grant_ref => map_list(call, list, count),
        GNTTABOP_unmap_grant_ref => unmap_list(call, list, count),
        GNTTABOP_copy => copy_list(call, list, count),
        _ => other(call, cmd, progress, list, count),
    }
}

/// The operations that are rare. They are apart so that the way to the others is short.
#[inline(never)]
fn other(call: &Call<'_>, cmd: u32, progress: u32, list: u64, count: u64) -> Outcome {
    match cmd {
        GNTTABOP_swap_grant_ref => swap_list(call, list, count),
        GNTTABOP_query_size if count == 1 => query_size(call, list),
        GNTTABOP_get_version if count == 1 => get_version(call, list),
        GNTTABOP_get_status_frames if count == 1 => {
            let status = offset_of!(GnttabGetStatusFrames, status);
            refuse(call, list, count, size_of::<GnttabGetStatusFrames>(), status)
        }
        GNTTABOP_setup_table if count == 1 => setup_table(call, list),
        GNTTABOP_setup_table | GNTTABOP_query_size | GNTTABOP_get_version | GNTTABOP_get_status_frames => {
            Err(Errno::EINVAL)
        }
        GNTTABOP_transfer => {
            refuse(call, list, count, size_of::<GnttabTransfer>(), offset_of!(GnttabTransfer, status))
        }
        GNTTABOP_unmap_and_replace => {
            let status = offset_of!(GnttabUnmapAndReplace, status);
            refuse(call, list, count, size_of::<GnttabUnmapAndReplace>(), status)
        }
        GNTTABOP_set_version => set_version(call, list),
        GNTTABOP_cache_flush => cache_flush(call, list, count, progress as usize),
        _ => Err(Errno::ENOSYS),
    }
}

/// Runs `f` on the list of operations: it is told where the next is and how many are left, and says how many it did.
#[inline]
fn each<T>(
    call: &Call<'_>,
    list: u64,
    count: u64,
    mut f: impl FnMut(&mut GuestWindow<'_>, u64, u64) -> Result<u64, Fault>,
) -> Outcome {
    let mut window = GuestWindow::new(call.guest());
    let (mut at, mut done) = (list, 0);
    while done < count {
        if done >= BATCH {
            let [cmd, ..] = call.args;
            return Ok(Flow::Again([cmd, at, count - done, 0, 0]));
        }
        let more = f(&mut window, at, count - done)?;
        at = at.checked_add(more * size_of::<T>() as u64).ok_or(Errno::EFAULT)?;
        done += more;
    }
    DONE
}

#[inline(never)]
fn map_list(call: &Call<'_>, list: u64, count: u64) -> Outcome {
    let mut peers = Peers::new(call.hv, call.domain);
    each::<GnttabMapGrantRef>(call, list, count, |window, at, _| {
        let mut op = window.read(at)?;
        map::map(call, &mut peers, &mut op);
        // What it says in answer is from the status on, in the word that begins with the domain.
        window.write_from(at, offset_of!(GnttabMapGrantRef, dom), &op)?;
        Ok(1)
    })
}

#[inline(never)]
fn unmap_list(call: &Call<'_>, list: u64, count: u64) -> Outcome {
    let mut peers = Peers::new(call.hv, call.domain);
    each::<GnttabUnmapGrantRef>(call, list, count, |window, at, left| match left {
        1 => map::unmap_one(call, &mut peers, window, at).map(|()| 1),
        _ => map::unmap_several(call, &mut peers, window, at, left),
    })
}

#[inline(never)]
fn copy_list(call: &Call<'_>, list: u64, count: u64) -> Outcome {
    let mut copier = Copier::new(call);
    each::<GnttabCopy>(call, list, count, |window, at, _| {
        let status = copier.copy(&window.read(at)?);
        window.write_field(at, offset_of!(GnttabCopy, status), &status)?;
        Ok(1)
    })
}

fn swap_list(call: &Call<'_>, list: u64, count: u64) -> Outcome {
    each::<GnttabSwapGrantRef>(call, list, count, |window, at, _| {
        let op: GnttabSwapGrantRef = window.read(at)?;
        let status = match call.domain.grants.table.lock().swap(op.ref_a, op.ref_b) {
            Ok(()) => GNTST_okay,
            Err(GrantError(status)) => status,
        };
        window.write_field(at, offset_of!(GnttabSwapGrantRef, status), &status)?;
        Ok(1)
    })
}

/// Refuses each element of a list of an operation that translated domains cannot have: an element
/// has `size` bytes and its status at `status`.
fn refuse(call: &Call<'_>, list: u64, count: u64, size: usize, status: usize) -> Outcome {
    let mut at = list;
    for i in 0..count {
        if i == BATCH {
            let [cmd, ..] = call.args;
            return Ok(Flow::Again([cmd, at, count - i, 0, 0]));
        }
        let field = at.checked_add(status as u64).ok_or(Errno::EFAULT)?;
        call.guest().write(field, &GNTST_general_error)?;
        at = at.checked_add(size as u64).ok_or(Errno::EFAULT)?;
    }
    DONE
}

/// The domain whose tables an operation asks about.
fn asked<'a>(call: &Call<'a>, domid: u16) -> Result<Named<'a>, GrantError> {
    call.managed_domain(domid)
        .map_err(|e| GrantError(if e == Errno::EPERM { GNTST_permission_denied } else { GNTST_bad_domain }))
}

fn query_size(call: &Call<'_>, at: u64) -> Outcome {
    let guest = call.guest();
    let mut op: GnttabQuerySize = guest.read(at)?;
    op.status = match asked(call, op.dom) {
        Ok(domain) => {
            op.nr_frames = domain.grants.table.lock().frame_count() as u32;
            op.max_nr_frames = domain.grants.max_frames();
            GNTST_okay
        }
        Err(GrantError(status)) => status,
    };
    guest.write(at, &op)?;
    DONE
}

/// Makes the table as large as asked, and tells where the guest has each page: it puts them there
/// itself, by XENMEM_add_to_physmap.
fn setup_table(call: &Call<'_>, at: u64) -> Outcome {
    let guest = call.guest();
    let op: GnttabSetupTable = guest.read(at)?;
    let status = match asked(call, op.dom) {
        Ok(domain) => set_up(call, &domain, &op),
        Err(GrantError(status)) => status,
    };
    let field = at.checked_add(offset_of!(GnttabSetupTable, status) as u64).ok_or(Errno::EFAULT)?;
    guest.write(field, &status)?;
    DONE
}

/// The status of [`setup_table`]. The list has no more entries than a table has pages at most.
fn set_up(call: &Call<'_>, domain: &Arc<Domain>, op: &GnttabSetupTable) -> i16 {
    let grants = &domain.grants;
    if op.nr_frames > grants.max_frames() {
        return GNTST_general_error;
    }
    // The frame grows the table up to itself.
    let grown = op.nr_frames.checked_sub(1).map(|last| grants.frame(call.hv, domain, last.into()).map(drop));
    if grown.is_some_and(|grown| grown.is_err()) {
        return GNTST_general_error;
    }
    let mut status = GNTST_okay;
    for i in 0..op.nr_frames {
        let gfn = grants.table.lock().place(call.hv, domain, i as usize);
        if call.guest().write_element(op.frame_list.0, i.into(), &gfn.0).is_err() {
            status = GNTST_bad_virt_addr;
        }
    }
    status
}

/// Only version 1 exists here.
fn set_version(call: &Call<'_>, at: u64) -> Outcome {
    let guest = call.guest();
    let mut op: GnttabSetVersion = guest.read(at)?;
    let result = match op.version {
        1 => DONE,
        2 => Err(Errno::ENOSYS),
        _ => Err(Errno::EINVAL),
    };
    op.version = 1;
    guest.write(at, &op)?;
    result
}

fn get_version(call: &Call<'_>, at: u64) -> Outcome {
    let guest = call.guest();
    let mut op: GnttabGetVersion = guest.read(at)?;
    asked(call, op.dom).map_err(|GrantError(status)| {
        if status == GNTST_permission_denied { Errno::EPERM } else { Errno::ESRCH }
    })?;
    op.version = 1;
    guest.write(at, &op)?;
    DONE
}

/// Cleans the cache lines of pages that the caller owns or maps. An operation of nothing is how
/// guests ask whether the call exists. The progress counts how many times [`SCAN`] handles have been
/// looked through for the first operation.
fn cache_flush(call: &Call<'_>, list: u64, count: u64, progress: usize) -> Outcome {
    let (hv, guest) = (call.hv, call.guest());
    let Some(left) = count.checked_sub(1) else { return DONE };
    let op: GnttabCacheFlush = guest.read(list)?;
    let next = list.checked_add(size_of::<GnttabCacheFlush>() as u64).ok_or(Errno::EFAULT)?;
    let (offset, length) = (usize::from(op.offset), usize::from(op.length));
    // A flush by grant reference is for guests without the bus address; none exists on arm64.
    let known = op.op & !(GNTTAB_CACHE_CLEAN | GNTTAB_CACHE_INVAL) == 0;
    if offset >= PAGE_SIZE || offset + length > PAGE_SIZE || !known {
        return Err(Errno::EINVAL);
    }
    if length != 0 && op.op != 0 {
        let mfn = Maddr(op.a).frame();
        if mfn < hv.frames.start() || mfn >= hv.frames.end() {
            return Err(Errno::EINVAL);
        }
        let own = PageGuard::get(hv, mfn, call.domain.id);
        if own.is_none() {
            let maptrack = call.domain.grants.maptrack.lock();
            let from = progress.saturating_mul(SCAN);
            let to = from.saturating_add(SCAN);
            if !maptrack.maps(mfn, from, to) {
                if to >= maptrack.len() {
                    return Err(Errno::EPERM);
                }
                let cmd = (progress as u64 + 1) << CMD_BITS | u64::from(GNTTABOP_cache_flush);
                return Ok(Flow::Again([cmd, list, count, 0, 0]));
            }
        }
        hv.machine.clean_frames(mfn, 1);
    }
    if left == 0 {
        return DONE;
    }
    Ok(Flow::Again([GNTTABOP_cache_flush.into(), next, left, 0, 0]))
}
