//! GNTTABOP_copy: the hypervisor copies between a page of the caller and a granted one, or two.

use super::GrantError;
use crate::domain::Domain;
use crate::hypercall::Call;
use crate::memory::PageGuard;
use alloc::sync::Arc;
use hal::{FrameMem as _, Gfn, PAGE_SIZE};
use xen_abi::grant_table::*;
use xen_abi::xen::DOMID_SELF;

/// Copies as one operation asks, and fills in its status.
#[inline]
pub(super) fn copy(call: &Call<'_>, op: &mut GnttabCopy) {
    op.status = match try_copy(call, op) {
        Ok(()) => GNTST_okay,
        Err(GrantError(status)) => status,
    };
}

/// One side of a copy: the page, and the grant to give up afterwards.
struct Side<'a> {
    page: PageGuard<'a>,
    grant: Option<(Arc<Domain>, u32)>,
}

#[inline]
fn open<'a>(
    call: &Call<'a>,
    ptr: &GnttabCopyPtr,
    is_grant: bool,
    write: bool,
) -> Result<Side<'a>, GrantError> {
    let hv = call.hv;
    // Without a grant only the caller's own pages can be named, and as its own.
    if !is_grant && ptr.domid != DOMID_SELF {
        return Err(GrantError(GNTST_permission_denied));
    }
    if !is_grant {
        let page = call.domain.guest_page(hv, Gfn(ptr.u)).ok_or(GrantError(GNTST_bad_page))?;
        return Ok(Side { page, grant: None });
    }
    let owner = call.any_domain(ptr.domid).map_err(|_| GrantError(GNTST_bad_domain))?;
    // The reference is 32 bits wide in its union.
    let gref = ptr.u as u32;
    let page = owner.grants.table.lock().pin(hv, &owner, gref, call.domain.id, write)?;
    Ok(Side { page, grant: Some((owner, gref)) })
}

#[inline]
fn close(call: &Call<'_>, side: Side<'_>, write: bool) {
    let Side { page, grant } = side;
    if let Some((owner, gref)) = grant {
        owner.grants.table.lock().unpin(call.hv, gref, write);
    }
    drop(page);
}

#[inline]
fn try_copy(call: &Call<'_>, op: &GnttabCopy) -> Result<(), GrantError> {
    let (from, to) = (usize::from(op.source.offset), usize::from(op.dest.offset));
    let len = usize::from(op.len);
    if from + len > PAGE_SIZE || to + len > PAGE_SIZE {
        return Err(GrantError(GNTST_bad_copy_arg));
    }
    let source = open(call, &op.source, op.flags & GNTCOPY_source_gref != 0, false)?;
    let dest = match open(call, &op.dest, op.flags & GNTCOPY_dest_gref != 0, true) {
        Ok(dest) => dest,
        Err(e) => {
            close(call, source, false);
            return Err(e);
        }
    };
    let copied = match (source.page.frame(), dest.page.frame()) {
        (Some(s), Some(d)) => {
            d.copy_from(to, &s, from, len);
            Ok(())
        }
        _ => Err(GrantError(GNTST_bad_page)),
    };
    close(call, dest, true);
    close(call, source, false);
    copied
}
