//! The domains that the operations of a list name.

use crate::Hypervisor;
use crate::domain::Domain;
use alloc::sync::Arc;
use hal::Domid;

/// Finds domains by number. Operations of a list mostly name one domain: the last is kept.
pub(super) struct Peers<'a> {
    hv: &'a Hypervisor,
    own: &'a Domain,
    last: Option<Arc<Domain>>,
}

impl<'a> Peers<'a> {
    /// For operations of `own`.
    pub(super) fn new(hv: &'a Hypervisor, own: &'a Domain) -> Self {
        Self { hv, own, last: None }
    }

    /// The domain of that number.
    #[inline(always)]
    pub(super) fn get(&mut self, id: Domid) -> Option<&Domain> {
        if id == self.own.id { Some(self.own) } else { self.other(id) }
    }

    #[inline(never)]
    fn other(&mut self, id: Domid) -> Option<&Domain> {
        if self.last.as_ref().is_none_or(|last| last.id != id) {
            self.last = self.hv.domains.get(id);
        }
        self.last.as_deref()
    }
}
