//! For tests: what a domain's grant tables hold, taken apart.

use super::DomainGrants;
use alloc::vec::Vec;
use hal::{Gfn, Mfn};

/// What a domain's grant tables hold.
pub(crate) struct Inspected {
    /// The pages of entries.
    pub(crate) frames: Vec<Mfn>,
    /// The entries that others use.
    pub(crate) active: Vec<InspectedUse>,
    /// What the domain maps of others.
    pub(crate) mappings: Vec<InspectedMapping>,
}

/// An entry in use.
pub(crate) struct InspectedUse {
    pub(crate) gref: u32,
    pub(crate) readers: u32,
    pub(crate) writers: u32,
}

/// A mapping.
pub(crate) struct InspectedMapping {
    pub(crate) handle: u32,
    pub(crate) owner: u16,
    pub(crate) gref: u32,
    pub(crate) read_only: bool,
    pub(crate) gfn: Gfn,
    pub(crate) mfn: Mfn,
}

impl DomainGrants {
    /// What it holds now; of the entries the first `most`.
    pub(crate) fn inspect(&self, most: usize) -> Inspected {
        let (frames, active) = self.table.lock().inspect(most);
        let active = active
            .into_iter()
            .map(|(gref, readers, writers)| InspectedUse { gref, readers, writers })
            .collect();
        let maptrack = self.maptrack.lock();
        let mappings = maptrack
            .iter()
            .map(|(handle, m)| InspectedMapping {
                handle,
                owner: m.owner.raw(),
                gref: m.gref,
                read_only: m.is_read_only(),
                gfn: m.gfn,
                mfn: m.page.mfn(),
            })
            .collect();
        Inspected { frames, active, mappings }
    }
}
