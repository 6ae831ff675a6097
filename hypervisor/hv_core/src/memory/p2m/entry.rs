//! What the entries of a map say, and what comes of taking one out.

use super::ENTRIES_LOG2;
use super::walk::Spot;
use crate::hypervisor::Hypervisor;
use crate::memory::page::HeldPage;
use hal::{Gfn, MapAttr, Mfn, PteView, Stage2Format as _};
use machine::Stage2;

/// What a guest frame maps to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// The domain's own memory.
    Ram = 1,
    /// A device's registers.
    Mmio = 2,
    /// A page of the hypervisor's that the domain shares: shared_info, grant frames.
    Shared = 3,
    /// A page of another domain, mapped by a privileged tool.
    Foreign = 4,
    /// The same, read only.
    ForeignRo = 5,
    /// A grant mapping; the maptrack entry owns the reference.
    Grant = 6,
    /// A grant mapping, read only.
    GrantRo = 7,
    /// Memory that the firmware keeps for dom0's use; nobody owns it.
    Reserved = 8,
}

impl Kind {
    /// The kind that an entry's soft bits name.
    #[inline]
    pub(super) fn from_soft(soft: u8) -> Option<Self> {
        Some(match soft {
            1 => Self::Ram,
            2 => Self::Mmio,
            3 => Self::Shared,
            4 => Self::Foreign,
            5 => Self::ForeignRo,
            6 => Self::Grant,
            7 => Self::GrantRo,
            8 => Self::Reserved,
            _ => return None,
        })
    }

    /// The rights of an entry of this kind.
    pub(super) fn attr(self) -> MapAttr {
        match self {
            Self::Ram | Self::Reserved => MapAttr::RAM,
            Self::Mmio => MapAttr::DEVICE,
            Self::Shared | Self::Foreign | Self::Grant => MapAttr::DATA,
            Self::ForeignRo | Self::GrantRo => MapAttr::RAM_RO,
        }
    }

    /// Whether an entry of this kind owns a reference to its frames.
    pub(super) fn owns_reference(self) -> bool {
        matches!(self, Self::Ram | Self::Shared | Self::Foreign | Self::ForeignRo)
    }

    /// Whether the guest may write through it.
    pub fn is_writable(self) -> bool {
        self.attr().write
    }
}

/// A mapping that was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The machine frame that the guest frame asked for maps to.
    pub mfn: Mfn,
    /// What it is.
    pub kind: Kind,
    /// The level of the leaf: it maps 512^level frames.
    pub level: u32,
}

impl Entry {
    /// What a walk for `gfn` found.
    #[inline]
    pub(super) fn at(gfn: Gfn, spot: &Spot) -> Option<Self> {
        let PteView::Leaf { mfn, soft, .. } = spot.view() else { return None };
        let within = gfn.0 & ((1 << (ENTRIES_LOG2 * spot.level)) - 1);
        Some(Self { mfn: mfn.plus(within), kind: Kind::from_soft(soft)?, level: spot.level })
    }

    /// What a page's entry says.
    #[inline]
    pub(super) fn page(pte: u64) -> Option<(Mfn, Kind)> {
        match Stage2::view(pte, 0) {
            PteView::Leaf { mfn, soft, .. } => Some((mfn, Kind::from_soft(soft)?)),
            _ => None,
        }
    }
}

/// Why a mapping could not be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapError {
    /// The guest frame is beyond the guest's address space, or not aligned to the block.
    BadGfn,
    /// Something is mapped there.
    Occupied,
    /// The domain's table pool is empty.
    NoTables,
}

/// A mapping that was taken out, its translations flushed: its reference is to be released.
#[must_use]
#[derive(Debug)]
pub struct Removed {
    /// What it was.
    pub kind: Kind,
    /// The machine frame.
    pub mfn: Mfn,
}

impl Removed {
    /// The reference that the entry owned, if it owned one.
    pub fn into_page(self) -> Option<HeldPage> {
        self.kind.owns_reference().then(|| HeldPage::from_entry(self.mfn))
    }

    /// Leaves the frame to the domain, unmapped: see [`HeldPage::park`].
    pub(in crate::memory) fn park(self) {
        if let Some(page) = self.into_page() {
            page.park();
        }
    }

    /// Releases the reference that the entry owned, if it owned one.
    pub fn release(self, hv: &Hypervisor) {
        if let Some(page) = self.into_page() {
            page.release(hv);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn soft_bits_name_the_kind_they_were_made_of() {
        let known: Vec<u8> =
            (0..16).filter_map(|soft| Kind::from_soft(soft).map(|kind| kind as u8)).collect();
        assert_eq!(known, [1, 2, 3, 4, 5, 6, 7, 8]);
    }
}
