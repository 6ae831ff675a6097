//! The stage-2 TLB: it keeps every entry that a walk met, of tables and leaves alike, until a flush
//! covers it, and watches the tables for stores that would be dangerous with what it holds.
//!
//! One TLB stands for those of all pCPUs, as flushes reach all of them before they return.

use crate::event::Fault;
use crate::machine::Faults;
use crate::ram::{Ram, Slot, TABLE};
use crate::stage2::{FakeStage2, is_malformed};
use hal::{Gfn, Maddr, MapAttr, Mfn, PAGE_SHIFT, PcpuId, PteView, Stage2Format, Stage2Root};
use std::collections::{BTreeMap, BTreeSet, HashMap};

const ROOT_LEVEL: u32 = FakeStage2::ROOT_LEVEL;
/// Guest frames that exist.
const GUEST_FRAMES: u64 = 1 << (FakeStage2::GUEST_ADDR_BITS - PAGE_SHIFT);
/// Entries of a table.
const ENTRIES: u64 = 512;

/// What the TLB holds of one table entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TlbEntry {
    /// The domain's tag.
    pub tag: u16,
    /// The root that the walk came from.
    pub root: Mfn,
    /// The first guest frame that the entry covers.
    pub gfn: Gfn,
    /// The entry's level.
    pub level: u32,
    /// The entry as it was when it was cached.
    pub view: PteView,
}

impl TlbEntry {
    /// Whether the TLB would read or write the frame through this entry: as guest memory or as a
    /// table.
    pub fn reaches(&self, mfn: Mfn) -> bool {
        match self.view {
            PteView::Empty => false,
            PteView::Table(table) => table == mfn,
            PteView::Leaf { mfn: first, .. } => {
                mfn.0.checked_sub(first.0).is_some_and(|n| n < span(self.level))
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    tag: u16,
    level: u32,
    gfn: u64,
}

struct Cached {
    root: Mfn,
    pte: u64,
}

/// A table as the TLB met it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct TableUse {
    root: Stage2Root,
    level: u32,
    /// The first guest frame under the table.
    base: u64,
}

/// A store that table walks do not see yet.
struct Held {
    old: u64,
    cpu: PcpuId,
}

/// A translation of one guest frame.
pub(crate) struct Hit {
    pub(crate) mfn: Mfn,
    pub(crate) attr: MapAttr,
    pub(crate) level: u32,
}

/// What the TLB needs of its machine, and the switches of its features.
#[derive(Clone, Copy)]
pub(crate) struct Env<'a> {
    pub(crate) ram: &'a Ram,
    pub(crate) faults: &'a Faults,
    pub(crate) speculate: bool,
    pub(crate) delay: bool,
}

pub(crate) struct Tlb {
    entries: BTreeMap<Key, Cached>,
    tables: HashMap<Mfn, Vec<TableUse>>,
    owners: HashMap<u16, Mfn>,
    held: HashMap<Maddr, Held>,
    /// The root that each pCPU's guest runs under.
    active: Vec<Option<Stage2Root>>,
    /// Roots, by table and tag, of whose tables every valid entry is cached: to speculate through them again would
    /// change nothing.
    complete: BTreeSet<(Mfn, u16)>,
}

/// Guest frames that an entry of this level covers.
fn span(level: u32) -> u64 {
    1 << (9 * level)
}

fn base(gfn: u64, level: u32) -> u64 {
    gfn & !(span(level) - 1)
}

/// The table at the root level that covers a guest frame.
fn root_table(root: Mfn, gfn: u64) -> Mfn {
    root.plus(gfn / span(ROOT_LEVEL + 1))
}

fn word_in(table: Mfn, level: u32, gfn: u64) -> Maddr {
    table.addr().plus(gfn / span(level) % ENTRIES * 8)
}

fn without_soft(view: PteView) -> PteView {
    match view {
        PteView::Leaf { mfn, attr, .. } => PteView::Leaf { mfn, attr, soft: 0 },
        other => other,
    }
}

/// Whether going from one entry to the other needs an invalid entry and a flush in between. A change
/// of rights or soft bits alone does not.
fn needs_break(old: PteView, new: PteView) -> bool {
    match (old, new) {
        (PteView::Empty, _) | (_, PteView::Empty) => false,
        (PteView::Leaf { mfn: a, attr: x, .. }, PteView::Leaf { mfn: b, attr: y, .. }) => {
            a != b || x.device != y.device
        }
        _ => old != new,
    }
}

impl Tlb {
    pub(crate) fn new(cpus: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            tables: HashMap::new(),
            owners: HashMap::new(),
            held: HashMap::new(),
            active: vec![None; cpus],
            complete: BTreeSet::new(),
        }
    }

    pub(crate) fn active(&self, cpu: PcpuId) -> Option<Stage2Root> {
        self.active.get(cpu.index()).copied().flatten()
    }

    /// pCPUs whose guest runs under a root that has this frame.
    pub(crate) fn users(&self, mfn: Mfn) -> Vec<PcpuId> {
        let uses = |root: &Option<Stage2Root>| {
            root.is_some_and(|r| {
                mfn.0.checked_sub(r.table.0).is_some_and(|n| n < 1 << FakeStage2::ROOT_ORDER)
            })
        };
        (0..).map(PcpuId).zip(&self.active).filter(|(_, root)| uses(root)).map(|(cpu, _)| cpu).collect()
    }

    /// Makes a root the one that a pCPU's guest runs under.
    pub(crate) fn activate(&mut self, env: Env<'_>, cpu: PcpuId, root: Stage2Root) {
        if !root.table.is_aligned(FakeStage2::ROOT_ORDER) {
            env.faults.record(Fault::RootMisaligned { table: root.table });
        }
        self.claim_tag(env, root);
        // The tables of a root that runs already were cached then, and with each store since.
        let is_new = !self.active.contains(&Some(root));
        if let Some(active) = self.active.get_mut(cpu.index()) {
            *active = Some(root);
        }
        if is_new && env.speculate && self.complete.insert((root.table, root.tag)) {
            self.speculate(env, root, 0, GUEST_FRAMES);
        }
    }

    /// No guest is selected on a pCPU any more: nothing is walked there.
    pub(crate) fn deactivate(&mut self, cpu: PcpuId) {
        if let Some(active) = self.active.get_mut(cpu.index()) {
            *active = None;
        }
    }

    /// Something of a root changed: unless it runs, and so is followed, it is to be looked through anew.
    fn changed(&mut self, root: Stage2Root) {
        if !self.active.contains(&Some(root)) {
            self.complete.remove(&(root.table, root.tag));
        }
    }

    /// Notes the root that a tag is used with.
    fn claim_tag(&mut self, env: Env<'_>, root: Stage2Root) {
        let former = self.owners.insert(root.tag, root.table);
        if let Some(cached) = former.filter(|&r| r != root.table)
            && self.has_entries(root.tag, cached)
        {
            env.faults.record(Fault::TagReused { tag: root.tag, cached, used: root.table });
        }
    }

    fn has_entries(&self, tag: u16, root: Mfn) -> bool {
        let all = Key { tag, level: 0, gfn: 0 }..=Key { tag, level: ROOT_LEVEL, gfn: u64::MAX };
        self.entries.range(all).any(|(_, cached)| cached.root == root)
    }

    /// Translates a guest frame as the guest's accesses do: what is cached goes first, what is
    /// walked is cached. `Err` has the level at which the walk ended.
    pub(crate) fn walk(&mut self, env: Env<'_>, root: Stage2Root, gfn: Gfn) -> Result<Hit, u32> {
        let Gfn(gfn) = gfn;
        if gfn >= GUEST_FRAMES {
            return Err(ROOT_LEVEL);
        }
        self.claim_tag(env, root);
        let hit = |mfn: Mfn, attr, level| Hit { mfn: mfn.plus(gfn - base(gfn, level)), attr, level };
        let mut level = ROOT_LEVEL;
        let mut table = root_table(root.table, gfn);
        for cached_level in 0..=ROOT_LEVEL {
            let key = Key { tag: root.tag, level: cached_level, gfn: base(gfn, cached_level) };
            let Some(cached) = self.entries.get(&key) else { continue };
            match FakeStage2::view(cached.pte, cached_level) {
                PteView::Leaf { mfn, attr, .. } => return Ok(hit(mfn, attr, cached_level)),
                PteView::Table(next) => {
                    (level, table) = (cached_level - 1, next);
                    break;
                }
                PteView::Empty => {}
            }
        }
        loop {
            let this = TableUse { root, level, base: base(gfn, level + 1) };
            if !self.track(env, table, this) {
                return Err(level);
            }
            match self.fetch(env, table, this, gfn) {
                PteView::Empty => return Err(level),
                PteView::Table(next) => (level, table) = (level - 1, next),
                PteView::Leaf { mfn, attr, .. } => return Ok(hit(mfn, attr, level)),
            }
        }
    }

    /// Watches a table's stores from now on; false when there is no RAM.
    fn track(&mut self, env: Env<'_>, table: Mfn, this: TableUse) -> bool {
        let Some(slot) = env.ram.slot(table) else {
            env.faults.record(Fault::TableOutsideRam { table });
            return false;
        };
        slot.set(TABLE, true);
        let uses = self.tables.entry(table).or_default();
        if !uses.contains(&this) {
            uses.push(this);
        }
        true
    }

    /// Reads the entry for a guest frame as walks see it, and caches it if it is valid.
    fn fetch(&mut self, env: Env<'_>, table: Mfn, this: TableUse, gfn: u64) -> PteView {
        let word = word_in(table, this.level, gfn);
        let pte = match self.held.get(&word) {
            Some(held) => held.old,
            None => env.ram.word(word).unwrap_or(0),
        };
        if is_malformed(pte, this.level) {
            let index = word.page_offset() / 8;
            env.faults.record(Fault::MalformedEntry { table, index, level: this.level, pte });
        }
        let view = FakeStage2::view(pte, this.level);
        if view != PteView::Empty {
            let key = Key { tag: this.root.tag, level: this.level, gfn: base(gfn, this.level) };
            self.entries.entry(key).or_insert(Cached { root: this.root.table, pte });
        }
        view
    }

    /// Caches all valid entries of a running guest's tables that concern the guest frames from `low`
    /// to before `high`.
    fn speculate(&mut self, env: Env<'_>, root: Stage2Root, low: u64, high: u64) {
        if !env.speculate || !self.active.contains(&Some(root)) {
            return;
        }
        for base in (0..GUEST_FRAMES).step_by(span(ROOT_LEVEL + 1) as usize) {
            let this = TableUse { root, level: ROOT_LEVEL, base };
            self.speculate_table(env, root_table(root.table, base), this, low, high);
        }
    }

    fn speculate_table(&mut self, env: Env<'_>, table: Mfn, this: TableUse, low: u64, high: u64) {
        let low = low.max(this.base);
        let high = high.min(this.base + span(this.level + 1));
        if low >= high || !self.track(env, table, this) {
            return;
        }
        // Most entries of most tables are empty, and do no more than any other empty one.
        let page = env.ram.used(table).filter(|_| self.held.is_empty());
        for gfn in (base(low, this.level)..high).step_by(span(this.level) as usize) {
            if page.is_some_and(|page| page.load(word_in(table, this.level, gfn).page_offset() / 8) == 0) {
                continue;
            }
            if let PteView::Table(next) = self.fetch(env, table, this, gfn) {
                let below = TableUse { level: this.level - 1, base: gfn, ..this };
                self.speculate_table(env, next, below, low, high);
            }
        }
    }

    /// What the tables in memory now say at a guest frame and level.
    fn in_memory(ram: &Ram, root: Mfn, level: u32, gfn: u64) -> PteView {
        let mut table = root_table(root, gfn);
        for at in (level..=ROOT_LEVEL).rev() {
            let view = FakeStage2::view(ram.word(word_in(table, at, gfn)).unwrap_or(0), at);
            match view {
                _ if at == level => return view,
                PteView::Table(next) => table = next,
                _ => break,
            }
        }
        PteView::Empty
    }

    /// Whether walks can still come through a table.
    fn is_live(&self, ram: &Ram, table: Mfn, this: &TableUse) -> bool {
        let above = this.level + 1;
        let root = this.root;
        if let Some(cached) = self.entries.get(&Key { tag: root.tag, level: above, gfn: this.base })
            && FakeStage2::view(cached.pte, above) == PteView::Table(table)
        {
            return true;
        }
        let root_in_use = self.active.contains(&Some(root)) || self.has_entries(root.tag, root.table);
        root_in_use && Self::is_linked(ram, table, this)
    }

    /// Whether the tables in memory lead to a table.
    fn is_linked(ram: &Ram, table: Mfn, this: &TableUse) -> bool {
        this.level == ROOT_LEVEL
            || Self::in_memory(ram, this.root.table, this.level + 1, this.base) == PteView::Table(table)
    }

    /// Judges a store to a frame that was a table when it was last met.
    pub(crate) fn stored(
        &mut self,
        env: Env<'_>,
        slot: &Slot,
        word: Maddr,
        (old, new): (u64, u64),
        cpu: PcpuId,
    ) {
        let table = word.frame();
        let mut uses = self.tables.remove(&table).unwrap_or_default();
        uses.iter().for_each(|this| self.changed(this.root));
        uses.retain(|this| self.is_live(env.ram, table, this));
        if uses.is_empty() {
            slot.set(TABLE, false);
            self.held.retain(|held, _| held.frame() != table);
            return;
        }
        self.tables.insert(table, uses.clone());
        if env.delay {
            self.held.entry(word).or_insert(Held { old, cpu }).cpu = cpu;
        }
        for this in uses {
            self.judge(env, this, word, new);
            if !env.delay {
                self.speculate_word(env, this, word);
            }
        }
    }

    fn speculate_word(&mut self, env: Env<'_>, this: TableUse, word: Maddr) {
        if env.speculate && self.active.contains(&Some(this.root)) {
            let gfn = this.base + word.page_offset() as u64 / 8 * span(this.level);
            self.speculate_table(env, word.frame(), this, gfn, gfn + span(this.level));
        }
    }

    /// Records what is wrong with a store to a live table.
    fn judge(&mut self, env: Env<'_>, this: TableUse, word: Maddr, new: u64) {
        let index = word.page_offset() / 8;
        let gfn = this.base + index as u64 * span(this.level);
        let tag = this.root.tag;
        let table = word.frame();
        if new != 0 && !Self::is_linked(env.ram, table, &this) {
            env.faults.record(Fault::StaleTableWritten { tag, table });
            return;
        }
        if is_malformed(new, this.level) {
            env.faults.record(Fault::MalformedEntry { table, index, level: this.level, pte: new });
            return;
        }
        let view = FakeStage2::view(new, this.level);
        if view == PteView::Empty {
            return;
        }
        let is_leaf = matches!(view, PteView::Leaf { .. });
        let danger = (0..=this.level).rev().find_map(|level| {
            let from = Key { tag, level, gfn };
            let to = Key { tag, level, gfn: gfn + span(this.level) };
            self.entries.range(from..to).find(|(key, cached)| {
                // Below a leaf nothing may be left; below a table what it now has decides.
                let covered = level < this.level && is_leaf;
                let now = || Self::in_memory(env.ram, this.root.table, level, key.gfn);
                covered || needs_break(FakeStage2::view(cached.pte, level), now())
            })
        });
        if let Some((key, cached)) = danger {
            env.faults.record(Fault::BreakBeforeMake {
                tag,
                gfn: Gfn(key.gfn),
                level: key.level,
                cached: cached.pte,
                stored: new,
            });
        }
    }

    /// Lets walks see what a pCPU stored.
    pub(crate) fn publish(&mut self, env: Env<'_>, cpu: PcpuId) {
        let words: Vec<Maddr> = self.held.iter().filter(|(_, h)| h.cpu == cpu).map(|(&w, _)| w).collect();
        for word in &words {
            self.held.remove(word);
        }
        for word in words {
            for this in self.tables.get(&word.frame()).cloned().unwrap_or_default() {
                self.changed(this.root);
                self.speculate_word(env, this, word);
            }
        }
    }

    /// Removes what concerns `count` guest frames of a tag.
    pub(crate) fn flush_gfns(&mut self, env: Env<'_>, root: Stage2Root, gfn: Gfn, count: u64) {
        let end = gfn.0.saturating_add(count);
        for level in 0..=ROOT_LEVEL {
            let from = Key { tag: root.tag, level, gfn: base(gfn.0, level) };
            let to = Key { tag: root.tag, level, gfn: end };
            if from < to {
                let gone: Vec<Key> = self.entries.range(from..to).map(|(&key, _)| key).collect();
                for key in gone {
                    self.entries.remove(&key);
                }
            }
        }
        self.changed(root);
        self.speculate(env, root, gfn.0, end);
    }

    /// Removes all that a tag has.
    pub(crate) fn flush_tag(&mut self, env: Env<'_>, root: Stage2Root) {
        self.entries.retain(|key, _| key.tag != root.tag);
        self.changed(root);
        self.speculate(env, root, 0, GUEST_FRAMES);
    }

    /// All entries, or only those that differ from the tables in memory in more than soft bits.
    pub(crate) fn list(&self, ram: &Ram, only_stale: bool) -> Vec<TlbEntry> {
        self.entries
            .iter()
            .map(|(key, cached)| TlbEntry {
                tag: key.tag,
                root: cached.root,
                gfn: Gfn(key.gfn),
                level: key.level,
                view: FakeStage2::view(cached.pte, key.level),
            })
            .filter(|e| {
                let now = Self::in_memory(ram, e.root, e.level, e.gfn.0);
                !only_stale || without_soft(now) != without_soft(e.view)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
