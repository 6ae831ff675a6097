//! For tests: a slow and obvious checker of what must always hold between two hypercalls.
//!
//! It walks all tables and lists anew and compares them with the frames' records: every reference
//! that is counted is held by somebody who is known, and the other way round.

use super::World;
use crate::domain::Domain;
use crate::memory::InspectedFrame;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use hal::{Gfn, MapAttr, Mfn, PteView, Stage2Format};
use machine::Stage2;

/// A leaf of a domain's tables.
struct Leaf {
    gfn: Gfn,
    mfn: Mfn,
    frames: u64,
    attr: MapAttr,
    soft: u8,
}

/// The soft bits of each kind of entry, as `memory::Kind` numbers them.
const RAM: u8 = 1;
const MMIO: u8 = 2;
const SHARED: u8 = 3;
const FOREIGN: u8 = 4;
const FOREIGN_RO: u8 = 5;
const GRANT: u8 = 6;
const GRANT_RO: u8 = 7;

/// What the walk of a domain's tables found.
#[derive(Default)]
struct Walk {
    leaves: Vec<Leaf>,
    /// Tables below the root and the entries that each has.
    tables: Vec<(Mfn, u64)>,
}

fn walk(world: &World, domain: &Domain) -> Walk {
    let mut found = Walk::default();
    for n in 0..1 << Stage2::ROOT_ORDER {
        let first = n << (9 * (Stage2::ROOT_LEVEL + 1));
        walk_table(world, domain.root.table.plus(n), Stage2::ROOT_LEVEL, first, &mut found);
    }
    found
}

fn walk_table(world: &World, table: Mfn, level: u32, first: u64, found: &mut Walk) -> u64 {
    let mut used = 0;
    for n in 0..512 {
        let gfn = first + (n << (9 * level));
        let pte = world.hv.machine.peek64(table.addr().plus(n * 8));
        assert!(pte == 0 || Stage2::view(pte, level) != PteView::Empty, "junk in table {table:x}: {pte:#x}");
        used += u64::from(pte != 0);
        match Stage2::view(pte, level) {
            PteView::Empty => {}
            PteView::Table(next) => {
                let entries = walk_table(world, next, level - 1, gfn, found);
                found.tables.push((next, entries));
            }
            PteView::Leaf { mfn, attr, soft } => {
                found.leaves.push(Leaf { gfn: Gfn(gfn), mfn, frames: 1 << (9 * level), attr, soft });
            }
        }
    }
    used
}

/// How many guest frames a domain maps.
pub(super) fn count_mapped(world: &World, domain: &Domain) -> usize {
    let walk = if domain.is_drained() { Walk::default() } else { walk(world, domain) };
    walk.leaves.iter().map(|leaf| leaf.frames as usize).sum()
}

/// Where a domain maps pages of others by the tools' way.
pub fn foreign_gfns(world: &World, domain: &Domain) -> Vec<Gfn> {
    let foreign = |leaf: &&Leaf| [FOREIGN, FOREIGN_RO].contains(&leaf.soft);
    walk(world, domain).leaves.iter().filter(foreign).map(|leaf| leaf.gfn).collect()
}

/// References by frame.
type Counts = BTreeMap<u64, u64>;

fn add(counts: &mut Counts, mfn: Mfn) {
    *counts.entry(mfn.0).or_default() += 1;
}

/// Who uses a grant: readers and writers by owner and reference.
type Uses = BTreeMap<(u16, u32), (u32, u32)>;

/// Checks everything. `held` has the pages that event channels hold of guests (vcpu_info and FIFO
/// pages), which the checker cannot see.
#[track_caller]
pub fn check(world: &World, held: &[Mfn]) {
    let domains = all_domains(world);
    let records = world.hv.frames.inspect();
    let mut counts = Counts::new();
    let mut uses = Uses::new();
    for mfn in held {
        add(&mut counts, *mfn);
    }
    for domain in &domains {
        check_domain(world, &records, domain, &mut counts, &mut uses);
    }
    for domain in &domains {
        check_grants(domain, &uses);
    }
    check_frames(world, &records, &counts);
    let stale = world.hv.machine.all_stale_entries();
    assert!(stale.is_empty(), "stale translations: {stale:x?}");
    world.hv.machine.assert_no_faults();
}

fn all_domains(world: &World) -> Vec<Arc<Domain>> {
    let mut all = Vec::new();
    let mut from = 0;
    while let Some(domain) = world.hv.domains.first_from(from) {
        from = domain.id.raw() + 1;
        all.push(domain);
    }
    all
}

/// A frame's record.
fn record(world: &World, records: &[InspectedFrame], mfn: Mfn) -> InspectedFrame {
    let n = mfn.0.wrapping_sub(world.hv.frames.start().0);
    *records.get(n as usize).unwrap_or_else(|| panic!("{mfn:x} is no frame"))
}

fn check_domain(
    world: &World,
    records: &[InspectedFrame],
    domain: &Arc<Domain>,
    counts: &mut Counts,
    uses: &mut Uses,
) {
    let hv = world.hv;
    let walk = if domain.is_drained() { Walk::default() } else { walk(world, domain) };
    let grants = domain.grants.inspect(usize::MAX);

    for &mfn in &grants.frames {
        add(counts, mfn);
    }
    for mapping in &grants.mappings {
        add(counts, mapping.mfn);
        let (readers, writers) = uses.entry((mapping.owner, mapping.gref)).or_default();
        *(if mapping.read_only { readers } else { writers }) += 1;
        let owner = record(world, records, mapping.mfn).owner;
        assert_eq!(owner, mapping.owner, "d{} maps a strange page", domain.id);
    }
    if let Some(page) = domain.events.shared_info_page(hv, domain.id) {
        add(counts, page.mfn());
    }
    for vcpu in domain.vcpus() {
        vcpu.runstate.held().into_iter().for_each(|mfn| add(counts, mfn));
    }

    for leaf in &walk.leaves {
        // Registers of devices have no record.
        if leaf.soft == MMIO {
            continue;
        }
        let read_only = [FOREIGN_RO, GRANT_RO].contains(&leaf.soft);
        assert_eq!(leaf.attr.write, !read_only, "d{} {:x}", domain.id, leaf.gfn);
        for n in 0..leaf.frames {
            let mfn = leaf.mfn.plus(n);
            let record = record(world, records, mfn);
            let place = (domain.id, leaf.gfn.plus(n));
            match leaf.soft {
                RAM => assert!(record.charged && record.owner == domain.id.raw(), "{place:x?}: {record:?}"),
                SHARED => {
                    assert!(!record.charged && record.owner == domain.id.raw(), "{place:x?}: {record:?}")
                }
                FOREIGN | FOREIGN_RO => assert!(record.owner != domain.id.raw(), "{place:x?}: {record:?}"),
                GRANT | GRANT_RO => {
                    let known = |m: &crate::grant::InspectedMapping| {
                        m.gfn == leaf.gfn && m.mfn == mfn && (read_only || !m.read_only)
                    };
                    assert!(grants.mappings.iter().any(known), "{place:x?}: a grant entry without mapping");
                    continue;
                }
                _ => continue,
            }
            add(counts, mfn);
        }
    }

    // Tables: those in use know how many entries they have, and the rest of the pool is free.
    let mut tables: BTreeMap<u64, u64> = walk.tables.iter().map(|t| (t.0.0, t.1)).collect();
    assert_eq!(tables.len(), walk.tables.len(), "d{}: a table is linked twice", domain.id);
    let (mut in_pool, mut charged) = (0, 0);
    for (mfn, record) in (hv.frames.start().0..).map(Mfn).zip(records) {
        if record.count == 0 || record.owner != domain.id.raw() {
            continue;
        }
        charged += u32::from(record.charged);
        let is_root = mfn.0.wrapping_sub(domain.root.table.0) < 1 << Stage2::ROOT_ORDER;
        if record.table {
            add(counts, mfn);
            if !is_root || domain.is_drained() {
                in_pool += 1;
                // The teardown empties tables without counting.
                let entries = tables.remove(&mfn.0).unwrap_or(0);
                assert!(
                    domain.is_dying() || record.entries == entries,
                    "table {mfn:x}: {entries} {record:?}"
                );
            }
        }
        // A direct-mapped domain keeps what it gave up.
        let mapped = |l: &Leaf| l.soft == RAM && l.gfn.0 == l.mfn.0 && mfn.0.wrapping_sub(l.mfn.0) < l.frames;
        if domain.direct_mapped && record.charged && !walk.leaves.iter().any(mapped) {
            add(counts, mfn);
        }
    }
    assert!(tables.is_empty(), "d{}: tables that are not its own: {tables:x?}", domain.id);
    assert_eq!(in_pool, domain.memory.lock().pool.total(), "d{}: table frames", domain.id);
    assert_eq!(charged, domain.tot_pages(), "d{}: pages of memory", domain.id);
}

/// What others use of a domain's grants is what its table says.
fn check_grants(domain: &Domain, uses: &Uses) {
    let grants = domain.grants.inspect(usize::MAX);
    for active in &grants.active {
        let used = uses.get(&(domain.id.raw(), active.gref)).copied().unwrap_or_default();
        assert_eq!((active.readers, active.writers), used, "d{} grant {}", domain.id, active.gref);
    }
}

/// The records, the references found and the free frames agree.
fn check_frames(world: &World, records: &[InspectedFrame], counts: &Counts) {
    let frames = &world.hv.frames;
    let mut free = 0;
    for (mfn, record) in (frames.start().0..).map(Mfn).zip(records) {
        let found = counts.get(&mfn.0).copied().unwrap_or(0);
        assert_eq!(record.count, found, "references to {mfn:x}: {record:?}");
        assert_eq!(record.free, record.count == 0, "frame {mfn:x}: {record:?}");
        free += u64::from(record.free);
    }
    assert_eq!(free, frames.free_frames(), "free frames");
    let claims: u64 = all_domains(world).iter().map(|domain| domain.claim.frames()).sum();
    assert_eq!(claims, frames.claimed_frames(), "claims");
    assert!(claims <= free, "more is claimed than is free");
    let strange = counts.keys().find(|mfn| !(frames.start().0..frames.end().0).contains(mfn));
    assert_eq!(strange, None, "a reference to no frame");
}
