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
enum Name {
    /// A guest frame of the caller's.
    Own(Gfn),
    /// A grant of a domain.
    Grant(Domid, u32),
}

impl Name {
    #[inline]
    fn of(call: &Call<'_>, ptr: &GnttabCopyPtr, is_grant: bool) -> Result<Self, GrantError> {
        let is_self = ptr.domid == DOMID_SELF;
        match (is_grant, is_self) {
            // The reference is 32 bits wide in its union.
            (true, true) => Ok(Self::Grant(call.domain.id, ptr.u as u32)),
            (true, false) => {
                let id = Domid::new(ptr.domid).ok_or(GrantError(GNTST_bad_domain))?;
                Ok(Self::Grant(id, ptr.u as u32))
            }
            (false, true) => Ok(Self::Own(Gfn(ptr.u))),
            // Without a grant only the caller's own pages can be named, and as its own.
            (false, false) => Err(GrantError(GNTST_permission_denied)),
        }
    }
}

/// A page to copy from or to; its grant is marked as in use.
struct Open<'a> {
    name: Name,
    page: PageGuard<'a>,
    frame: Frame<'a>,
}

/// One side of the copies of a list. Its page stays open for the next operation, which often names the same.
struct Side<'a> {
    call: &'a Call<'a>,
    peers: Peers<'a>,
    write: bool,
    open: Option<Open<'a>>,
}

impl<'a> Side<'a> {
    fn new(call: &'a Call<'a>, write: bool) -> Self {
        Self { call, peers: Peers::new(call.hv, call.domain), write, open: None }
    }

    /// Whether the domain of a grant exists.
    #[inline]
    fn find_domain(&mut self, name: Name) -> Result<(), GrantError> {
        match name {
            Name::Grant(id, _) => self.peers.get(id).map(|_| ()).ok_or(GrantError(GNTST_bad_domain)),
            Name::Own(_) => Ok(()),
        }
    }

    /// The bytes of the page that is named.
    #[inline]
    fn open(&mut self, name: Name) -> Result<Frame<'a>, GrantError> {
        if let Some(open) = &self.open
            && open.name == name
        {
            return Ok(open.frame);
        }
        self.close();
        let (call, bad_page) = (self.call, GrantError(GNTST_bad_page));
        let page = match name {
            Name::Own(gfn) => call.domain.guest_page(call.hv, gfn).ok_or(bad_page)?,
            Name::Grant(id, gref) => {
                let owner = self.peers.get(id).ok_or(GrantError(GNTST_bad_domain))?;
                owner.grants.table.lock().pin(call.hv, owner, gref, call.domain.id, self.write)?
            }
        };
        let frame = page.frame();
        let open = self.open.insert(Open { name, page, frame: frame.ok_or(bad_page)? });
        Ok(open.frame)
    }

    #[inline]
    fn close(&mut self) {
        let Some(Open { name, page, .. }) = self.open.take() else { return };
        if let Name::Grant(id, gref) = name
            && let Some(owner) = self.peers.get(id)
        {
            owner.grants.table.lock().unpin(self.call.hv, gref, self.write);
        }
        drop(page);
    }
}

/// Copies as the operations of a list ask.
pub(super) struct Copier<'a> {
    source: Side<'a>,
    dest: Side<'a>,
}

impl Drop for Copier<'_> {
    #[inline]
    fn drop(&mut self) {
        self.close();
    }
}

impl<'a> Copier<'a> {
    pub(super) fn new(call: &'a Call<'a>) -> Self {
        Self { source: Side::new(call, false), dest: Side::new(call, true) }
    }

    /// Gives up the pages of the last operation, the grants' marks first.
    #[inline]
    fn close(&mut self) {
        self.dest.close();
        self.source.close();
    }

    /// Copies as one operation asks; returns its status.
    #[inline]
    pub(super) fn copy(&mut self, op: &GnttabCopy) -> i16 {
        match self.try_copy(op) {
            Ok(()) => GNTST_okay,
            Err(GrantError(status)) => {
                self.close();
                status
            }
        }
    }

    #[inline]
    fn try_copy(&mut self, op: &GnttabCopy) -> Result<(), GrantError> {
        let call = self.source.call;
        let from = Name::of(call, &op.source, op.flags & GNTCOPY_source_gref != 0)?;
        self.source.find_domain(from)?;
        let to = Name::of(call, &op.dest, op.flags & GNTCOPY_dest_gref != 0)?;
        self.dest.find_domain(to)?;
        let (source, dest) = (self.source.open(from)?, self.dest.open(to)?);
        let (from, to) = (usize::from(op.source.offset), usize::from(op.dest.offset));
        let len = usize::from(op.len);
        if from + len > PAGE_SIZE || to + len > PAGE_SIZE {
            return Err(GrantError(GNTST_bad_copy_arg));
        }
        dest.copy_from(to, &source, from, len);
        Ok(())
    }
}
