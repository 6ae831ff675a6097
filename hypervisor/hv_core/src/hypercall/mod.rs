//! Hypercalls: decode, dispatch, and the way back to the guest.
//!
//! A handler is decode, copy in once, resolve and authorise, check all, perform, return. It returns
//! a [`Flow`] or an errno; only the dispatcher writes guest registers.

mod bitmap;
mod domctl;
mod features;
mod hypfs;
mod memory_op;
mod misc;
mod sched_op;
mod sysctl;
mod table;
mod version;

pub use features::write_features;
pub use table::{HYPERCALLS, Hypercall, InXen, Status, SubOp};

use crate::Hypervisor;
use crate::domain::{Domain, Vcpu};
use crate::memory::{Fault, GuestMemory};
use alloc::sync::Arc;
use core::ops::Deref;
use hal::{Domid, GuestRegs as _};
use machine::Regs;
use xen_abi::Errno;

/// How a handler ends, if not with an errno.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    /// Finished, with this result.
    Done(u64),
    /// More to do: the guest issues the call again with these arguments, after interrupts.
    Again([u64; 5]),
}

/// What a handler returns.
pub type Outcome = Result<Flow, Errno>;

/// Finished, result 0.
pub const DONE: Outcome = Ok(Flow::Done(0));

/// [`DONE`] where each instruction counts: a constant is copied with the room for all arguments.
#[inline(always)]
pub fn done() -> Outcome {
    Ok(Flow::Done(0))
}

impl From<Fault> for Errno {
    fn from(_: Fault) -> Self {
        Errno::EFAULT
    }
}

/// A hypercall under way.
pub struct Call<'a> {
    /// The hypervisor.
    pub hv: &'a Hypervisor,
    /// The calling domain.
    pub domain: &'a Arc<Domain>,
    /// The calling vCPU.
    pub vcpu: &'a Arc<Vcpu>,
    /// The arguments.
    pub args: [u64; 5],
}

/// A domain that a call names. The caller itself is there for as long as the call, and needs no reference.
pub enum Named<'a> {
    /// The caller.
    Caller(&'a Arc<Domain>),
    /// Another domain.
    Other(Arc<Domain>),
}

impl Named<'_> {
    /// The domain itself.
    #[inline(always)]
    pub fn domain(&self) -> &Domain {
        match self {
            Self::Caller(domain) => domain,
            Self::Other(domain) => domain,
        }
    }
}

impl Deref for Named<'_> {
    type Target = Arc<Domain>;

    #[inline]
    fn deref(&self) -> &Arc<Domain> {
        match self {
            Self::Caller(domain) => domain,
            Self::Other(domain) => domain,
        }
    }
}

impl<'a> Call<'a> {
    /// The caller's memory.
    #[inline]
    pub fn guest(&self) -> GuestMemory<'a> {
        self.domain.guest_memory(self.hv)
    }

    /// The domain that `domid` names, which may be DOMID_SELF.
    ///
    /// # Errors
    /// ESRCH when there is none.
    #[inline]
    pub fn any_domain(&self, domid: u16) -> Result<Named<'a>, Errno> {
        if domid == xen_abi::xen::DOMID_SELF || domid == self.domain.id.raw() {
            return Ok(Named::Caller(self.domain));
        }
        self.other_domain(domid)
    }

    #[inline(never)]
    fn other_domain(&self, domid: u16) -> Result<Named<'a>, Errno> {
        let domain = Domid::new(domid).and_then(|id| self.hv.domains.get(id));
        domain.map(Named::Other).ok_or(Errno::ESRCH)
    }

    /// The domain that `domid` names, if the caller may manage it: itself, the one that it is the device
    /// model of, or any for a privileged caller.
    ///
    /// # Errors
    /// ESRCH when there is none, EPERM for another domain of an unprivileged caller.
    #[inline]
    pub fn managed_domain(&self, domid: u16) -> Result<Named<'a>, Errno> {
        let domain = self.any_domain(domid)?;
        let may = self.domain.privileged || domain.id == self.domain.id || self.domain.is_target(&domain);
        if may { Ok(domain) } else { Err(Errno::EPERM) }
    }
}

/// Runs the handler of hypercall `number`.
#[inline]
pub(crate) fn dispatch(call: &Call<'_>, number: u64) -> Outcome {
    match table::HANDLERS.get(number as usize) {
        Some(handler) => handler(call),
        None => Err(Errno::ENOSYS),
    }
}

/// Serves the hypercall in a guest's registers and writes the result there.
#[inline]
pub fn serve(hv: &Hypervisor, domain: &Arc<Domain>, vcpu: &Arc<Vcpu>, regs: &mut Regs) {
    let call = Call { hv, domain, vcpu, args: regs.hypercall_args() };
    match dispatch(&call, regs.hypercall_number()) {
        Ok(Flow::Done(value)) => regs.set_result(value),
        Ok(Flow::Again(args)) => regs.reissue(args),
        Err(e) => regs.set_result(negated(e)),
    }
}

/// An errno as hypercalls return it.
fn negated(e: Errno) -> u64 {
    (-i64::from(e as u8)) as u64
}
