//! A domain's map from guest frames to pages, and the tables that it takes.

use crate::pages::PageId;
use crate::{GUEST_FRAMES, Model};
use std::collections::{BTreeMap, BTreeSet};
use xen_abi::Errno;

/// What a guest frame maps to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The domain's own memory.
    Ram,
    /// A page that the hypervisor shares with it.
    Shared,
    /// A page of another domain, mapped by a tool.
    Foreign,
    /// A grant mapping.
    Grant {
        /// It may not be written.
        read_only: bool,
    },
}

impl Kind {
    /// Whether the entry itself holds the page.
    pub(crate) fn holds(self) -> bool {
        !matches!(self, Self::Grant { .. })
    }

    /// Whether the guest may write there.
    pub(crate) fn is_writable(self) -> bool {
        self != Self::Grant { read_only: true }
    }
}

/// What one guest frame maps to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The page.
    pub page: PageId,
    /// What it is.
    pub kind: Kind,
    /// Whether it is part of a block of 512 frames.
    pub block: bool,
}

/// A domain's map.
#[derive(Debug, Default)]
pub(crate) struct P2m {
    entries: BTreeMap<u64, Entry>,
    /// The highest guest frame that ever was mapped.
    pub(crate) max_gfn: u64,
    /// Tables that the domain may have, in use or not; none is as many as it wants.
    pub(crate) pool: Option<u64>,
    /// Guest frames whose entries have changed since the last look at the core.
    pub(crate) changed: BTreeSet<u64>,
    /// Pages of entries that came or went.
    pub(crate) touched: Vec<PageId>,
    tally: Tally,
}

/// What the entries come to. It could be counted anew each time, and a look at everything does; in between it is kept.
#[derive(Debug, Default, PartialEq)]
struct Tally {
    /// Entries that hold each page.
    holds: BTreeMap<PageId, u64>,
    /// Entries in each GiB.
    large: BTreeMap<u64, u64>,
    /// Entries that are no block in each 2 MiB.
    small: BTreeMap<u64, u64>,
}

impl Tally {
    fn add(&mut self, gfn: u64, entry: Entry) {
        if entry.kind.holds() {
            *self.holds.entry(entry.page).or_default() += 1;
        }
        *self.large.entry(gfn >> 18).or_default() += 1;
        if !entry.block {
            *self.small.entry(gfn / BLOCK).or_default() += 1;
        }
    }

    fn remove(&mut self, gfn: u64, entry: Entry) {
        if entry.kind.holds() {
            less(&mut self.holds, entry.page);
        }
        less(&mut self.large, gfn >> 18);
        if !entry.block {
            less(&mut self.small, gfn / BLOCK);
        }
    }
}

/// One less of a thing; of the last nothing is left.
fn less<K: Ord>(counts: &mut BTreeMap<K, u64>, key: K) {
    let count = counts.get_mut(&key).expect("it was counted");
    *count -= 1;
    if *count == 0 {
        counts.remove(&key);
    }
}

/// Frames of a block.
pub(crate) const BLOCK: u64 = 512;

impl P2m {
    pub(crate) fn new(pool: Option<u64>) -> Self {
        Self { pool, ..Self::default() }
    }

    pub(crate) fn get(&self, gfn: u64) -> Option<Entry> {
        self.entries.get(&gfn).copied()
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (u64, Entry)> {
        self.entries.iter().map(|(gfn, entry)| (*gfn, *entry))
    }

    /// Tables below the root: one for each GiB in which there is anything, one for each 2 MiB in which there is
    /// anything but a block.
    pub(crate) fn tables(&self) -> u64 {
        (self.tally.large.len() + self.tally.small.len()) as u64
    }

    /// How many entries hold a page.
    pub(crate) fn holds(&self, page: PageId) -> u64 {
        self.tally.holds.get(&page).copied().unwrap_or(0)
    }

    /// Counts anew what is kept of the entries.
    pub(crate) fn recount(&self) {
        let mut tally = Tally::default();
        self.entries.iter().for_each(|(gfn, entry)| tally.add(*gfn, *entry));
        assert_eq!(self.tally, tally, "the specification's own counts");
    }

    /// Whether this many tables more can be had.
    fn has_tables(&self, more: u64) -> bool {
        self.pool.is_none_or(|pool| self.tables() + more <= pool)
    }

    /// Maps a page, or with 512 pages a block.
    pub(crate) fn insert(&mut self, gfn: u64, pages: &[PageId], kind: Kind) -> Result<(), Errno> {
        let block = pages.len() > 1;
        let end =
            gfn.checked_add(pages.len() as u64).filter(|end| *end <= GUEST_FRAMES).ok_or(Errno::EINVAL)?;
        if self.entries.range(gfn..end).next().is_some() {
            return Err(Errno::EBUSY);
        }
        let none_in = |span: u64| {
            let first = gfn / span * span;
            self.entries.range(first..first + span).next().is_none()
        };
        // A block may stand in a table of blocks; pages in it would be in the way of it.
        let more = u64::from(none_in(1 << 18)) + u64::from(!block && none_in(BLOCK));
        if !self.has_tables(more) {
            return Err(Errno::ENOMEM);
        }
        for (at, page) in (gfn..).zip(pages) {
            let entry = Entry { page: *page, kind, block };
            self.entries.insert(at, entry);
            self.tally.add(at, entry);
            self.changed.insert(at);
            self.touched.push(*page);
        }
        self.max_gfn = self.max_gfn.max(end - 1);
        Ok(())
    }

    /// Takes an entry out. A block around it is split, which takes a table.
    pub(crate) fn remove(&mut self, gfn: u64) -> Result<Option<Entry>, Errno> {
        let Some(mut entry) = self.get(gfn) else { return Ok(None) };
        if entry.block {
            if !self.has_tables(1) {
                return Err(Errno::ENOMEM);
            }
            let first = gfn / BLOCK * BLOCK;
            for (gfn, entry) in self.entries.range_mut(first..first + BLOCK) {
                self.tally.remove(*gfn, *entry);
                entry.block = false;
                self.tally.add(*gfn, *entry);
            }
            self.changed.extend(first..first + BLOCK);
            entry.block = false;
        }
        self.entries.remove(&gfn);
        self.tally.remove(gfn, entry);
        self.changed.insert(gfn);
        self.touched.push(entry.page);
        Ok(Some(entry))
    }

    /// Takes everything out.
    pub(crate) fn clear(&mut self) {
        self.changed.extend(self.entries.keys());
        self.touched.extend(self.entries.values().map(|entry| entry.page));
        self.entries.clear();
        self.tally = Tally::default();
    }
}

impl Model {
    /// What the domain has at a guest frame as its own memory.
    pub(crate) fn own_page(&self, id: u16, gfn: u64) -> Option<PageId> {
        let entry = self.domains.get(&id)?.p2m.get(gfn).filter(|e| e.kind == Kind::Ram)?;
        (self.pages.get(entry.page).owner == id).then_some(entry.page)
    }

    /// Empties a guest frame and lets go of what was there; whether anything was.
    pub(crate) fn empty(&mut self, id: u16, gfn: u64) -> Result<bool, Errno> {
        let removed = self.dom_mut(id).p2m.remove(gfn)?.is_some();
        self.collect();
        Ok(removed)
    }

    /// Puts a page at a guest frame, in place of what was there.
    pub(crate) fn place(&mut self, id: u16, gfn: u64, page: PageId, kind: Kind) -> Result<(), Errno> {
        if self.dom(id).dying {
            return Err(Errno::EINVAL);
        }
        // Not `empty`: the page is in nobody's hand now, and is not to go.
        self.dom_mut(id).p2m.remove(gfn)?;
        let placed = self.dom_mut(id).p2m.insert(gfn, &[page], kind);
        self.collect();
        placed
    }
}
