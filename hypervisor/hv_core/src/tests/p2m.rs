//! A domain's map by itself: any order of mapping, unmapping and looking up, against a plain map.
//!
//! The entries are device registers, which hold no references, so that blocks of all sizes are at hand.

use crate::domain::{Domain, DomainMemory};
use crate::memory::Kind;
use crate::testkit::{GUEST_PAGES, GUEST_RAM, World, check};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use hal::{Gfn, MachineOps as _, Mfn};
use proptest::prelude::*;
use xen_abi::Errno;

/// Frames of the blocks: a page, and blocks of the two levels above.
const ORDERS: [u32; 3] = [0, 9, 18];
/// Machine frames from here on are registers.
const REGISTERS: u64 = 1 << 30;
/// Pages that are flushed at once.
const FLUSHED: usize = 16;
/// Guest frames that the test uses.
const GFNS: u64 = 3 << 18;

/// The map as it should be: first guest frame of each entry, first machine frame, order.
#[derive(Clone, Debug, Default)]
struct Plain(BTreeMap<u64, (u64, u32)>);

impl Plain {
    /// The entry around a guest frame: where it begins, and what it is.
    fn around(&self, gfn: u64) -> Option<(u64, u64, u32)> {
        let (&first, &(mfn, order)) = self.0.range(..=gfn).next_back()?;
        (gfn - first < 1 << order).then_some((first, mfn, order))
    }

    fn lookup(&self, gfn: u64) -> Option<(u64, u32)> {
        let (first, mfn, order) = self.around(gfn)?;
        Some((mfn + gfn - first, order / 9))
    }

    /// How many times what is at a guest frame is split until it is a page.
    fn levels(&self, gfn: u64) -> u64 {
        self.lookup(gfn).map_or(0, |(_, level)| level.into())
    }

    /// Tables below the root: for each GiB in which there is anything smaller, for each 2 MiB in which there are pages.
    fn tables(&self) -> u64 {
        let count = |order: u32| {
            let mut all: Vec<u64> =
                self.0.iter().filter(|(_, e)| e.1 < order).map(|(gfn, _)| gfn >> order).collect();
            all.dedup();
            all.len() as u64
        };
        count(18) + count(9)
    }

    fn map(&mut self, gfn: u64, mfn: u64, order: u32, pool: u64) -> Result<(), Errno> {
        let end = gfn + (1 << order);
        if self.around(gfn).is_some() || self.0.range(gfn..end).next().is_some() {
            return Err(Errno::EBUSY);
        }
        let mut with = self.clone();
        with.0.insert(gfn, (mfn, order));
        if with.tables() > pool {
            return Err(Errno::ENOMEM);
        }
        *self = with;
        Ok(())
    }

    /// Takes a page out; whether there was one. A block around it is split, level by level, as far as there are tables.
    fn unmap(&mut self, gfn: u64, pool: u64) -> Result<bool, Errno> {
        let Some((mut first, mut mfn, mut order)) = self.around(gfn) else { return Ok(false) };
        while order > 0 {
            if self.tables() + 1 > pool {
                return Err(Errno::ENOMEM);
            }
            order -= 9;
            for n in 0..512 {
                self.0.insert(first + (n << order), (mfn + (n << order), order));
            }
            let part = (gfn - first) >> order << order;
            (first, mfn) = (first + part, mfn + part);
        }
        self.0.remove(&gfn);
        Ok(true)
    }
}

#[derive(Clone, Debug)]
enum Act {
    /// Map a block of this order that is around a guest frame.
    Map(u64, u32),
    /// Take a page out.
    Unmap(u64),
    /// Take pages out, several with a flush.
    UnmapAll(Vec<u64>),
    /// Give the pool a table.
    Grow,
    /// Take a table from the pool.
    Shrink,
}

/// Guest frames that often are the same, or neighbours, or the first and last of blocks.
fn gfn() -> impl Strategy<Value = u64> {
    (0u64..3, 0u64..3, prop_oneof![Just(0u64), Just(1), Just(2), Just(510), Just(511)])
        .prop_map(|(large, middle, page)| large << 18 | [0, 1, 511][middle as usize] << 9 | page)
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (gfn(), 0usize..9).prop_map(|(gfn, n)| Act::Map(gfn, ORDERS[[0, 0, 0, 0, 0, 1, 1, 1, 2][n]])),
        4 => gfn().prop_map(Act::Unmap),
        2 => prop::collection::vec(gfn(), 1..64).prop_map(Act::UnmapAll),
        1 => Just(Act::Grow),
        1 => Just(Act::Shrink),
    ]
}

/// A domain without memory and without tables.
fn bare_domain(world: &World) -> Arc<Domain> {
    let domain = world.domain(5, 1);
    for page in 0..GUEST_PAGES {
        domain.clear_gfn(world.hv, GUEST_RAM.plus(page)).unwrap();
    }
    while domain.memory.lock().pool.shrink(world.hv) {}
    assert_eq!(domain.memory.lock().pool.total(), 0);
    // Its translations are cached as it goes.
    world.hv.machine.set_stage2(domain.root);
    domain
}

/// Does an act to both; what each made of it.
fn perform(world: &World, memory: &mut DomainMemory, plain: &mut Plain, act: &Act, next: u64) {
    let hv = world.hv;
    let DomainMemory { p2m, pool, .. } = memory;
    let total = pool.total();
    match act {
        Act::Map(gfn, order) => {
            let (gfn, mfn) = (gfn >> order << order, REGISTERS + (next << 18));
            let done = p2m.insert_range(hv, pool, Gfn(gfn), Mfn(mfn), 1 << order, Kind::Mmio);
            assert_eq!(done.map_err(Errno::from), plain.map(gfn, mfn, *order, total), "{act:?}");
        }
        Act::Unmap(gfn) => {
            let there = plain.lookup(*gfn);
            let done = p2m
                .clear_one(hv, pool, Gfn(*gfn), |found| Ok(found.is_some()))
                .map(|removed| removed.map(|r| r.mfn.0));
            let expected = plain.unmap(*gfn, total).map(|was| there.filter(|_| was).map(|(mfn, _)| mfn));
            assert_eq!(done, expected, "{act:?}");
        }
        Act::UnmapAll(gfns) => {
            let (mut out, mut seen) = (Vec::new(), Vec::new());
            let items = gfns.iter().map(|gfn| (Gfn(*gfn), *gfn));
            let wanted = |gfn, found: Option<crate::memory::Entry>| {
                seen.push((gfn, found.map(|entry| entry.mfn.0)));
                Ok(found.is_some())
            };
            let done = p2m.clear_pages(hv, pool, items, wanted, |removed| out.push(removed.mfn.0));
            let (mut expected, mut result, mut emptied) = (Vec::new(), Ok(()), 0);
            for (gfn, found) in seen {
                // What a list names twice is there once.
                let there = plain.lookup(gfn).map(|(mfn, _)| mfn);
                assert_eq!(found, there, "{gfn:x} of {act:?}");
                // Tables that were emptied come back with the flush.
                let mut split = plain.clone();
                match split.unmap(gfn, total - emptied) {
                    Ok(was) => {
                        expected.extend(there);
                        let more = if was { plain.levels(gfn) } else { 0 };
                        emptied += plain.tables() + more - split.tables();
                    }
                    Err(e) => result = Err(e),
                }
                *plain = split;
                if there.is_some() && expected.len().is_multiple_of(FLUSHED) {
                    emptied = 0;
                }
            }
            assert_eq!((done, out), (result, expected), "{act:?}");
        }
        Act::Grow => assert!(pool.grow(hv)),
        Act::Shrink => assert_eq!(pool.shrink(hv), plain.tables() < total, "{act:?}"),
    }
}

fn compare(world: &World, domain: &Domain, plain: &Plain) {
    let edges =
        plain.0.iter().flat_map(|(&gfn, &(_, order))| [gfn, gfn + (1 << order) - 1, gfn + (1 << order)]);
    let probes: Vec<u64> =
        edges.chain([0, 1, 511, 512, GFNS - 1, GFNS, (1 << 28) - 1, 1 << 28, u64::MAX]).collect();
    for gfn in probes {
        let entry = domain.lookup(world.hv, Gfn(gfn));
        assert_eq!(entry.map(|entry| (entry.mfn.0, entry.level)), plain.lookup(gfn), "{gfn:x}");
        assert!(entry.is_none_or(|entry| entry.kind == Kind::Mmio));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn map_is_what_a_plain_map_says(tables in 0u64..8, acts in prop::collection::vec(act(), 1..60)) {
        let world = World::quiet();
        let domain = bare_domain(&world);
        let free = world.hv.frames.free_frames();
        let mut plain = Plain::default();
        for _ in 0..tables {
            assert!(domain.memory.lock().pool.grow(world.hv));
        }
        for (n, act) in (0..).zip(&acts) {
            perform(&world, &mut domain.memory.lock(), &mut plain, act, n);
            if plain.0.len() < 600 || n % 8 == 0 {
                compare(&world, &domain, &plain);
            }
        }
        check(&world, &[]);
        // Blocks that cannot be split are in the way of nothing but themselves: two tables are enough for any.
        for _ in 0..2 {
            assert!(domain.memory.lock().pool.grow(world.hv));
        }
        while let Some((&gfn, _)) = plain.0.first_key_value() {
            // All that is left of a block of 2^18 would be many pages: the teardown takes it.
            if plain.0.len() > 1500 || plain.0[&gfn].1 == 18 {
                break;
            }
            perform(&world, &mut domain.memory.lock(), &mut plain, &Act::Unmap(gfn), 0);
        }
        if plain.0.is_empty() {
            while domain.memory.lock().pool.shrink(world.hv) {}
            assert_eq!((domain.memory.lock().pool.total(), world.hv.frames.free_frames()), (0, free));
        }
        check(&world, &[]);
        world.restart();
    }
}
