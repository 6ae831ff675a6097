//! What the core read of guests' memory in a part of a call, and what guests stored there meanwhile.
//!
//! A guest may change its memory at any time. What a call's arguments are is what the core read, and the model takes them
//! from there; but the core may read each byte of them once only, or what it checked may not be what it uses.

use crate::pages::PageId;
use crate::{Model, PAGE, Subject};
use core::ops::Range;
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of a frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bytes {
    /// The frame.
    pub mfn: u64,
    /// Where in it.
    pub offset: usize,
    /// What was read there, or stored.
    pub bytes: Vec<u8>,
}

impl Bytes {
    /// The byte at an offset of the frame.
    fn at(&self, offset: usize) -> Option<u8> {
        self.bytes.get(offset.checked_sub(self.offset)?).copied()
    }
}

/// What happened to memory during a part of a call.
#[derive(Clone, Debug, Default)]
pub struct Reads {
    /// What the core read, in order.
    pub list: Vec<Bytes>,
    /// What guests stored.
    pub stored: Vec<Bytes>,
}

/// The reads of the core beside those of the model.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    reads: Reads,
    /// Calls that read: one, or those of a list.
    calls: u8,
    /// How often the model has looked at each byte of a page.
    looks: BTreeMap<PageId, Box<[u8; PAGE]>>,
}

impl Ledger {
    pub(crate) fn new(reads: &Reads) -> Self {
        Self { reads: reads.clone(), calls: 0, looks: BTreeMap::new() }
    }

    /// The model reads part of a page: what the core read there, if a guest stored meanwhile.
    fn look(&mut self, page: PageId, mfn: Option<u64>, offset: usize, buf: &mut [u8]) {
        let looks = self.looks.entry(page).or_insert_with(|| Box::new([0; PAGE]));
        for (at, byte) in (offset..).zip(buf) {
            if !self.reads.stored.is_empty() {
                let here = self.reads.list.iter().filter(|read| Some(read.mfn) == mfn);
                let mut seen = here.filter_map(|read| read.at(at));
                *byte = seen.nth(looks[at].into()).unwrap_or(*byte);
            }
            looks[at] = looks[at].saturating_add(1);
        }
    }

    /// Another call reads its arguments.
    pub(crate) fn add_call(&mut self) {
        self.calls = self.calls.saturating_add(1);
    }

    /// A byte of a page that the core read more often than the model, and more than once in a call.
    fn read_again(&self, page: PageId, mfn: u64) -> Option<usize> {
        let reads: Vec<&Bytes> = self.reads.list.iter().filter(|read| read.mfn == mfn).collect();
        let allowed = |at: usize| self.looks.get(&page).map_or(0, |looks| looks[at]).max(self.calls);
        if reads.len() < 2 {
            return None;
        }
        let mut counts = [0u8; PAGE];
        for read in reads {
            for count in &mut counts[read.offset..read.offset + read.bytes.len()] {
                *count = count.saturating_add(1);
            }
        }
        (0..PAGE).find(|at| counts[*at] > allowed(*at))
    }
}

impl Model {
    /// Reads part of a page as the core read it.
    pub(crate) fn look(&self, page: PageId, offset: usize, buf: &mut [u8]) {
        self.pages.read(page, offset, buf);
        self.ledger.borrow_mut().look(page, self.pages.get(page).mfn, offset, buf);
    }

    /// Before a call is judged: what guests stored during it is in memory now.
    pub(crate) fn begin_reads(&mut self, reads: &Reads) {
        for stored in &reads.stored {
            if let Some(page) = self.pages.by_mfn(stored.mfn) {
                self.pages.write(page, stored.offset, &stored.bytes);
            }
        }
        *self.ledger.borrow_mut() = Ledger::new(reads);
    }

    /// Afterwards: where the call wrote too, it is open which came last.
    pub(crate) fn end_reads(&mut self, core: &dyn Subject) {
        let stored = self.ledger.borrow().reads.stored.clone();
        for stored in stored {
            let Some(page) = self.pages.by_mfn(stored.mfn) else { continue };
            let mut now = vec![0; stored.bytes.len()];
            core.load(stored.mfn, stored.offset, &mut now);
            for (at, (now, stored)) in (stored.offset..).zip(now.iter().zip(&stored.bytes)) {
                if now == stored {
                    self.pages.write(page, at, &[*now]);
                }
            }
        }
    }

    /// Pages that the hypervisor shares with guests: there it looks as often as it likes.
    pub(crate) fn shared_pages(&self) -> BTreeSet<PageId> {
        self.domains.values().flat_map(|domain| domain.held()).collect()
    }

    /// Frames of guest frames that are a domain's own memory, and into which the hypervisor looks for arguments alone.
    pub fn argument_frames(&self, id: u16, gfns: Range<u64>) -> Vec<u64> {
        let shared = self.shared_pages();
        let pages = gfns.filter_map(|gfn| self.own_page(id, gfn)).filter(|page| !shared.contains(page));
        pages.filter_map(|page| self.pages.get(page).mfn).collect()
    }

    /// The core has read each byte of the guests' memory once, but for what the call names twice.
    pub(crate) fn check_reads(&mut self, shared: &BTreeSet<PageId>) {
        let kept = self.kept();
        // At two places of a guest's memory it is two arguments.
        let is_one = |page: &PageId| !shared.contains(page) && self.holders(*page, &kept) == 1;
        let mfns: BTreeSet<u64> = self.ledger.borrow().reads.list.iter().map(|read| read.mfn).collect();
        let pages = mfns.into_iter().filter_map(|mfn| Some((mfn, self.pages.by_mfn(mfn).filter(is_one)?)));
        for (mfn, page) in pages.collect::<Vec<_>>() {
            let again = self.ledger.borrow().read_again(page, mfn);
            if let Some(at) = again {
                self.expect(false, || format!("byte {at:#x} of frame {mfn:x} was read again"));
            }
        }
    }
}
