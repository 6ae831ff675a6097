//! GNTTABOP_copy: the hypervisor copies between a page of the caller and a granted one, or two.

use super::GrantError;
use super::peer::Peers;
use crate::hypercall::Call;
use crate::memory::PageGuard;
use hal::{Domid, FrameMem as _, Gfn, PAGE_SIZE};
use machine::Frame;
use xen_abi::grant_table::*;
use xen_abi::xen::DOMID_SELF;

/// What one side of an operation names.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Name {
    /// The domain that granted, or DOMID_SELF for a guest frame of the caller's.
    domain: u16,
    /// The grant, or the guest frame.
    number: u64,
}

impl Name {
    #[inline(always)]
    fn of(call: &Call<'_>, ptr: &GnttabCopyPtr, is_grant: bool) -> Result<Self, GrantError> {
        let is_self = ptr.domid == DOMID_SELF;
        if !is_grant {
            // Without a grant only the caller's own pages can be named, and as its own.
            let own = Self { domain: DOMID_SELF, number: ptr.u };
            return if is_self { Ok(own) } else { Err(GrantError(GNTST_permission_denied)) };
        }
        let domain = if is_self { call.domain.id.raw() } else { ptr.domid };
        Domid::new(domain).ok_or(GrantError(GNTST_bad_domain))?;
        // The reference is 32 bits wide in its union.
        Ok(Self { domain, number: u64::from(ptr.u as u32) })
    }

    /// The domain that granted.
    #[inline(always)]
    fn grantor(self) -> Option<Domid> {
        Domid::new(self.domain)
    }
}

/// A page to copy from or to; its grant is marked as in use.
struct Open<'a> {
    name: Name,
    page: PageGuard<'a>,
    frame: Frame<'a>,
}

/// Copies as the operations of a list ask. The pages of one operation stay open for the next, which often names the
/// same.
pub(super) struct Copier<'a> {
    call: &'a Call<'a>,
    peers: Peers<'a>,
    source: Option<Open<'a>>,
    dest: Option<Open<'a>>,
}

impl Drop for Copier<'_> {
    /// Gives up the pages of the last operation, the grants' marks first.
    #[inline(always)]
    fn drop(&mut self) {
        close(&mut self.peers, &mut self.dest, true);
        close(&mut self.peers, &mut self.source, false);
    }
}

impl<'a> Copier<'a> {
    #[inline(always)]
    pub(super) fn new(call: &'a Call<'a>) -> Self {
        Self { call, peers: Peers::new(call.hv, call.domain), source: None, dest: None }
    }

    /// Copies as one operation asks; returns its status.
    #[inline(always)]
    pub(super) fn copy(&mut self, op: &GnttabCopy) -> i16 {
        match self.try_copy(op) {
            Ok(()) => GNTST_okay,
            Err(GrantError(status)) => {
                close_early(&mut self.peers, &mut self.dest, true);
                close_early(&mut self.peers, &mut self.source, false);
                status
            }
        }
    }

    #[inline(always)]
    fn try_copy(&mut self, op: &GnttabCopy) -> Result<(), GrantError> {
        let Self { call, peers, source, dest } = self;
        let from = Name::of(call, &op.source, op.flags & GNTCOPY_source_gref != 0)?;
        find_domain(peers, from)?;
        let to = Name::of(call, &op.dest, op.flags & GNTCOPY_dest_gref != 0)?;
        find_domain(peers, to)?;
        let source = turn_to(call, peers, source, from, false)?;
        let dest = turn_to(call, peers, dest, to, true)?;
        let (from, to) = (usize::from(op.source.offset), usize::from(op.dest.offset));
        let len = usize::from(op.len);
        if from + len > PAGE_SIZE || to + len > PAGE_SIZE {
            return Err(GrantError(GNTST_bad_copy_arg));
        }
        dest.copy_from(to, &source, from, len);
        Ok(())
    }
}

/// Whether the domain of a grant exists.
#[inline(always)]
fn find_domain(peers: &mut Peers<'_>, name: Name) -> Result<(), GrantError> {
    match name.grantor() {
        Some(id) => peers.get(id).map(|_| ()).ok_or(GrantError(GNTST_bad_domain)),
        None => Ok(()),
    }
}

/// The bytes of the page that is named; `side` has the one that is open, to write to it or not.
#[inline(always)]
fn turn_to<'a>(
    call: &'a Call<'a>,
    peers: &mut Peers<'a>,
    side: &mut Option<Open<'a>>,
    name: Name,
    write: bool,
) -> Result<Frame<'a>, GrantError> {
    if let Some(open) = side {
        if open.name == name {
            return Ok(open.frame);
        }
        close_early(peers, side, write);
    }
    let bad_page = GrantError(GNTST_bad_page);
    let page = match name.grantor() {
        None => call.domain.guest_page(call.hv, Gfn(name.number)).ok_or(bad_page)?,
        Some(id) => {
            let owner = peers.get(id).ok_or(GrantError(GNTST_bad_domain))?;
            let mut table = owner.grants.table.lock();
            table.pin(call.hv, owner, name.number as u32, call.domain.id, write)?
        }
    };
    let Some(frame) = page.frame() else {
        release(peers, name, page, write);
        return Err(bad_page);
    };
    *side = Some(Open { name, page, frame });
    Ok(frame)
}

#[inline(always)]
fn close(peers: &mut Peers<'_>, side: &mut Option<Open<'_>>, write: bool) {
    if let Some(Open { name, page, .. }) = side.take() {
        release(peers, name, page, write);
    }
}

/// [`close`], before the end of the list.
#[inline(never)]
fn close_early(peers: &mut Peers<'_>, side: &mut Option<Open<'_>>, write: bool) {
    close(peers, side, write);
}

/// Ends the use of a grant, and then of its page.
#[inline(always)]
fn release(peers: &mut Peers<'_>, name: Name, page: PageGuard<'_>, write: bool) {
    if let Some(id) = name.grantor()
        && let Some(owner) = peers.get(id)
    {
        owner.grants.table.lock().unpin(name.number as u32, write);
    }
    drop(page);
}
