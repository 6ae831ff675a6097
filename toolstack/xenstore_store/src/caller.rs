//! Who asks, and what permission lists grant to them.

use xenstore_wire::{Access, Domid, Permission};

/// On whose behalf a request runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) domid: Domid,
    /// The domain that this one acts for (`SET_TARGET`).
    pub(crate) target: Option<Domid>,
    /// The control domain, on its ring or on a socket.
    pub(crate) privileged: bool,
}

impl Caller {
    /// Whether the caller may do with a node all that its owner may.
    pub(crate) fn owns(&self, permissions: &[Permission]) -> bool {
        self.privileged || permissions.first().is_some_and(|owner| self.is(owner.domid))
    }

    /// What the list grants: everything to the owner, else the caller's own entry, else the first one's letter.
    pub(crate) fn access(&self, permissions: &[Permission]) -> Access {
        if self.owns(permissions) {
            return Access::BOTH;
        }
        let own = permissions.iter().skip(1).find(|entry| self.is(entry.domid));
        own.or(permissions.first()).map(|entry| entry.access).unwrap_or_default()
    }

    fn is(&self, domid: Domid) -> bool {
        self.domid == domid || self.target == Some(domid)
    }
}
