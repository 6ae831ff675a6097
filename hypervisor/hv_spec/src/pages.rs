//! Pages: whose they are and what is in them. A page lives as long as somebody holds it.

use crate::{Model, PAGE};
use std::collections::BTreeMap;

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
    /// Written since the last look at the core.
    pub(crate) dirty: bool,
}

/// All pages.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    all: BTreeMap<PageId, Page>,
    /// The page of each frame that is known.
    by_mfn: BTreeMap<u64, PageId>,
    next: u64,
}

impl Pages {
    /// A page of zeroes.
    pub(crate) fn alloc(&mut self, owner: u16, charged: bool) -> PageId {
        let id = PageId(self.next);
        self.next += 1;
        self.all.insert(id, Page { owner, charged, mfn: None, bytes: None, dirty: true });
        id
    }

    pub(crate) fn get(&self, id: PageId) -> &Page {
        &self.all[&id]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (PageId, &Page)> {
        self.all.iter().map(|(id, page)| (*id, page))
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
        match &self.all[&id].bytes {
            Some(bytes) => buf.copy_from_slice(&bytes[offset..offset + buf.len()]),
            None => buf.fill(0),
        }
    }

    pub(crate) fn write(&mut self, id: PageId, offset: usize, bytes: &[u8]) {
        let page = self.all.get_mut(&id).expect("a held page");
        let data = page.bytes.get_or_insert_with(|| Box::new([0; PAGE]));
        data[offset..offset + bytes.len()].copy_from_slice(bytes);
        page.dirty = true;
    }

    pub(crate) fn set_clean(&mut self, id: PageId) {
        self.all.get_mut(&id).expect("a held page").dirty = false;
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
        self.all.values().filter(|page| page.charged && page.owner == owner).count() as u64
    }
}

impl Model {
    /// How often each page is held: by entries of maps, by mappings of grants, and by the hypervisor for a domain.
    pub(crate) fn holders(&self) -> BTreeMap<PageId, u64> {
        let mut held = BTreeMap::new();
        let mut hold = |id: PageId| *held.entry(id).or_default() += 1;
        for domain in self.domains.values() {
            domain.p2m.entries().filter(|(_, e)| e.kind.holds()).for_each(|(_, e)| hold(e.page));
            domain.mappings.values().for_each(|m| hold(m.page));
            domain.held().into_iter().for_each(&mut hold);
        }
        held
    }

    /// Pages that nobody holds are free.
    pub(crate) fn collect(&mut self) {
        let held = self.holders();
        self.pages.all.retain(|id, _| held.contains_key(id));
        self.pages.by_mfn.retain(|_, id| held.contains_key(id));
    }
}
