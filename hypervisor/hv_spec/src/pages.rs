//! Pages: whose they are and what is in them. A page lives as long as somebody holds it.

use crate::{Model, PAGE};
use std::collections::{BTreeMap, BTreeSet};

/// A page, by a number that is never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PageId(u64);

/// A page.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    /// The domain that owns it.
    pub(crate) owner: u16,
    /// Whether it counts as the owner's memory.
    pub(crate) charged: bool,
    /// The frame in the core, once it is known.
    pub(crate) mfn: Option<u64>,
    /// Its bytes; none is a page of zeroes.
    bytes: Option<Box<[u8; PAGE]>>,
}

impl Page {
    /// Its bytes.
    pub(crate) fn bytes(&self) -> &[u8; PAGE] {
        self.bytes.as_deref().unwrap_or(&[0; PAGE])
    }
}

/// All pages.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    all: BTreeMap<PageId, Page>,
    /// The page of each frame that is known.
    by_mfn: BTreeMap<u64, PageId>,
    /// Pages that count as each domain's memory.
    charged: BTreeMap<u16, u64>,
    /// Pages that were written, held or let go since the last look at the core.
    touched: BTreeSet<PageId>,
    /// Pages that perhaps nobody holds any more.
    loose: Vec<PageId>,
    /// Pages that were held beside the maps when it was last asked which are loose.
    kept: BTreeSet<PageId>,
    next: u64,
}

impl Pages {
    /// A page of zeroes.
    pub(crate) fn alloc(&mut self, owner: u16, charged: bool) -> PageId {
        let id = PageId(self.next);
        self.next += 1;
        self.all.insert(id, Page { owner, charged, mfn: None, bytes: None });
        if charged {
            *self.charged.entry(owner).or_default() += 1;
        }
        self.touched.insert(id);
        self.loose.push(id);
        id
    }

    /// Nobody holds the page.
    fn free(&mut self, id: PageId) {
        let Some(page) = self.all.remove(&id) else { return };
        if let Some(mfn) = page.mfn {
            self.by_mfn.remove(&mfn);
        }
        if page.charged {
            *self.charged.get_mut(&page.owner).expect("it was counted") -= 1;
        }
    }

    pub(crate) fn get(&self, id: PageId) -> &Page {
        &self.all[&id]
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// The page of a frame.
    pub(crate) fn by_mfn(&self, mfn: u64) -> Option<PageId> {
        self.by_mfn.get(&mfn).copied()
    }

    /// The core has the page in this frame: always the same one, and no other page is there.
    pub(crate) fn bind(&mut self, id: PageId, mfn: u64) {
        let page = self.all.get_mut(&id).expect("a held page");
        match page.mfn {
            Some(known) => assert_eq!(known, mfn, "{id:?} has moved from {known:x} to {mfn:x}"),
            None => {
                page.mfn = Some(mfn);
                let before = self.by_mfn.insert(mfn, id);
                assert_eq!(before, None, "frame {mfn:x} is {id:?} and another page");
            }
        }
    }

    pub(crate) fn read(&self, id: PageId, offset: usize, buf: &mut [u8]) {
        buf.copy_from_slice(&self.all[&id].bytes()[offset..offset + buf.len()]);
    }

    pub(crate) fn write(&mut self, id: PageId, offset: usize, bytes: &[u8]) {
        let page = self.all.get_mut(&id).expect("a held page");
        let data = page.bytes.get_or_insert_with(|| Box::new([0; PAGE]));
        data[offset..offset + bytes.len()].copy_from_slice(bytes);
        self.touched.insert(id);
    }

    pub(crate) fn load32(&self, id: PageId, offset: usize) -> u32 {
        let mut bytes = [0; 4];
        self.read(id, offset, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    pub(crate) fn store32(&mut self, id: PageId, offset: usize, value: u32) {
        self.write(id, offset, &value.to_le_bytes());
    }

    pub(crate) fn load64(&self, id: PageId, offset: usize) -> u64 {
        let mut bytes = [0; 8];
        self.read(id, offset, &mut bytes);
        u64::from_le_bytes(bytes)
    }

    pub(crate) fn store64(&mut self, id: PageId, offset: usize, value: u64) {
        self.write(id, offset, &value.to_le_bytes());
    }

    /// Pages that count as memory of a domain.
    pub(crate) fn charged_to(&self, owner: u16) -> u64 {
        self.charged.get(&owner).copied().unwrap_or(0)
    }

    /// Counts anew what is kept of the pages.
    pub(crate) fn recount(&self) {
        for (owner, kept) in &self.charged {
            let counted = self.all.values().filter(|page| page.charged && page.owner == *owner).count();
            assert_eq!(*kept, counted as u64, "the specification's own count of d{owner}'s memory");
        }
    }
}

impl Model {
    /// How often pages are held by mappings of grants, and by the hypervisor for a domain.
    pub(crate) fn kept(&self) -> BTreeMap<PageId, u64> {
        let mut kept = BTreeMap::new();
        let mut hold = |id: PageId| *kept.entry(id).or_default() += 1;
        for domain in self.domains.values() {
            domain.mappings.values().for_each(|m| hold(m.page));
            domain.held().into_iter().for_each(&mut hold);
        }
        kept
    }

    /// How often a page is held: by entries of maps, and otherwise.
    pub(crate) fn holders(&self, id: PageId, kept: &BTreeMap<PageId, u64>) -> u64 {
        let entries: u64 = self.domains.values().map(|domain| domain.p2m.holds(id)).sum();
        entries + kept.get(&id).copied().unwrap_or(0)
    }

    /// Pages that nobody holds are free.
    pub(crate) fn collect(&mut self) {
        let kept = self.kept();
        self.note_touched();
        let before = core::mem::replace(&mut self.pages.kept, kept.keys().copied().collect());
        self.pages.touched.extend(&before);
        for id in core::mem::take(&mut self.pages.loose).into_iter().chain(before) {
            if self.holders(id, &kept) == 0 {
                self.pages.free(id);
            }
        }
    }

    /// Has the pages of entries that came or went among those to look at.
    fn note_touched(&mut self) {
        for domain in self.domains.values_mut() {
            for id in core::mem::take(&mut domain.p2m.touched) {
                self.pages.touched.insert(id);
                self.pages.loose.push(id);
            }
        }
    }

    /// The pages to look at, and whether perhaps they were written: all, or those of which anything may have changed
    /// since the last look.
    pub(crate) fn take_touched(&mut self, all: bool, kept: &BTreeMap<PageId, u64>) -> Vec<(PageId, bool)> {
        self.note_touched();
        let touched = core::mem::take(&mut self.pages.touched);
        if all {
            return self.pages.all.keys().map(|id| (*id, true)).collect();
        }
        let held =
            kept.keys().chain(&self.pages.kept).filter(|id| !touched.contains(id)).collect::<BTreeSet<_>>();
        let pages = touched.iter().map(|id| (*id, true)).chain(held.into_iter().map(|id| (*id, false)));
        pages.filter(|(id, _)| self.pages.all.contains_key(id)).collect()
    }
}
