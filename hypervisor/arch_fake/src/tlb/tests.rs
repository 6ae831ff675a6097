//! Tests of the TLB: right sequences pass, each wrong one is caught.

use crate::testing::Tables;
use crate::{Access, Config, FakeStage2, Fault, GuestFault, Machine};
use hal::{FrameMem, Gfn, MachineOps, MapAttr, Mfn, PcpuId, PteView, Stage2Format};
use proptest::prelude::*;

const TABLES: Mfn = Mfn(0x40000);
const A: Mfn = Mfn(0x41000);
const B: Mfn = Mfn(0x41200);
const GFN: Gfn = Gfn(0x80000);

fn plain() -> Machine {
    Machine::new(Config::default())
}

fn speculating() -> Machine {
    Machine::new(Config { speculate: true, ..Config::default() })
}

/// Where the guest's access to a frame goes.
fn seen(t: &Tables<'_>, gfn: Gfn) -> Option<Mfn> {
    t.machine.guest_translate(t.root, gfn.addr(), Access::Read).ok().map(|maddr| maddr.frame())
}

/// The only fault is a break-before-make violation, at this guest frame and level of the TLB.
fn assert_bbm(m: &Machine, at: Gfn, at_level: u32) {
    match m.take_faults()[..] {
        [Fault::BreakBeforeMake { gfn, level, .. }] => assert_eq!((gfn, level), (at, at_level)),
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn walk_reaches_leaves_of_every_level() {
    let m = plain();
    let t = Tables::new(&m, TABLES, 1);
    t.map(GFN, A.plus(5), 0);
    t.map(Gfn(0x200), A, 1);
    t.map(Gfn(0x0fff_ffff & !0x3ffff), Mfn(0x40000), 2);
    assert_eq!(seen(&t, GFN), Some(A.plus(5)));
    assert_eq!(seen(&t, Gfn(0x3ff)), Some(A.plus(0x1ff)));
    assert_eq!(seen(&t, Gfn(0x0fff_ffff)), Some(Mfn(0x7ffff)));
    let miss = |gfn: u64| m.guest_translate(t.root, Gfn(gfn).addr(), Access::Read).unwrap_err();
    assert_eq!(miss(GFN.0 + 1), GuestFault::Unmapped { level: 0 });
    assert_eq!(miss(0x400), GuestFault::Unmapped { level: 1 });
    assert_eq!(miss(0x10_0000), GuestFault::Unmapped { level: 2 });
    assert_eq!(miss(1 << 28), GuestFault::Unmapped { level: 2 });
}

#[test]
fn entry_outlives_its_table_entry_until_a_flush_covers_it() {
    let m = plain();
    let (t, other) = (Tables::new(&m, TABLES, 1), Tables::new(&m, TABLES.plus(64), 2));
    t.map(GFN, A, 0);
    assert_eq!(seen(&t, GFN), Some(A));
    t.clear(GFN, 0);
    m.publish_tables();
    m.flush_gfns(t.root, Gfn(GFN.0 + 1), 100);
    m.flush_gfns(other.root, GFN, 1);
    m.flush_tag(other.root);
    assert_eq!(seen(&t, GFN), Some(A));
    let stale = m.stale_entries(A);
    assert_eq!(stale.len(), 1);
    assert_eq!((stale[0].tag, stale[0].gfn, stale[0].level), (1, GFN, 0));
    m.flush_gfns(t.root, Gfn(GFN.0 - 1), 2);
    assert_eq!(seen(&t, GFN), None);
    assert_eq!(m.all_stale_entries(), []);
}

#[test]
fn flush_of_the_tag_removes_everything_of_it() {
    let m = plain();
    let t = Tables::new(&m, TABLES, 1);
    t.map(GFN, A, 0);
    t.map(Gfn(0x200), B, 1);
    assert_eq!((seen(&t, GFN), seen(&t, Gfn(0x201))), (Some(A), Some(B.plus(1))));
    t.clear(GFN, 0);
    t.clear(Gfn(0x200), 1);
    assert_eq!(m.all_stale_entries().len(), 2);
    m.flush_tag(t.root);
    assert_eq!(m.tlb_entries(), []);
    assert_eq!((seen(&t, GFN), seen(&t, Gfn(0x201))), (None, None));
}

#[test]
fn taken_right_works_until_the_flush_and_is_listed_as_stale() {
    let m = plain();
    let t = Tables::new(&m, TABLES, 1);
    t.map(GFN, A, 0);
    m.guest_write(t.root, GFN.addr(), &[1]).unwrap();
    t.put(GFN, 0, FakeStage2::leaf(A, 0, MapAttr::RAM_RO, 3));
    m.guest_write(t.root, GFN.addr(), &[2]).unwrap();
    assert_eq!(m.stale_entries(A).len(), 1);
    m.flush_gfns(t.root, GFN, 1);
    assert_eq!(m.guest_write(t.root, GFN.addr(), &[3]), Err(GuestFault::Denied { level: 0 }));
    assert_eq!(m.guest_fetch(t.root, GFN.addr()), Err(GuestFault::Denied { level: 0 }));
    m.guest_read(t.root, GFN.addr(), &mut [0]).unwrap();
    t.put(GFN, 0, FakeStage2::leaf(A, 0, MapAttr::RAM_RO, 4));
    assert_eq!(m.all_stale_entries(), []);
}

#[test]
fn live_leaf_replaced_is_caught_once_it_was_cached() {
    let m = plain();
    let t = Tables::new(&m, TABLES, 1);
    t.map(GFN, A, 0);
    t.map(GFN, B, 0);
    m.assert_no_faults();
    seen(&t, GFN);
    t.map(GFN, A, 0);
    assert_bbm(&m, GFN, 0);
}

#[test]
fn speculation_caches_without_an_access() {
    let m = speculating();
    let t = Tables::new(&m, TABLES, 1);
    t.map(GFN, A, 0);
    m.set_stage2(t.root);
    t.map(GFN, B, 0);
    assert_bbm(&m, GFN, 0);
    t.map(Gfn(5), A, 0);
    t.clear(Gfn(5), 0);
    assert_eq!(m.stale_entries(A).iter().map(|e| e.gfn).collect::<Vec<_>>(), [Gfn(5), GFN]);
}

#[test]
fn break_flush_make_passes_and_break_make_is_caught() {
    let m = speculating();
    let t = Tables::new(&m, TABLES, 1);
    m.set_stage2(t.root);
    t.map(GFN, A, 0);
    t.unmap(GFN, 0);
    t.map(GFN, B, 0);
    m.assert_no_faults();
    t.clear(GFN, 0);
    m.publish_tables();
    t.map(GFN, A, 0);
    assert_bbm(&m, GFN, 0);
}

#[test]
fn memory_type_needs_break_and_rights_do_not() {
    let m = speculating();
    let t = Tables::new(&m, TABLES, 1);
    m.set_stage2(t.root);
    t.map(GFN, A, 0);
    t.put(GFN, 0, FakeStage2::leaf(A, 0, MapAttr::RAM_RO, 1));
    m.flush_gfns(t.root, GFN, 1);
    m.assert_no_faults();
    t.put(GFN, 0, FakeStage2::leaf(A, 0, MapAttr::DEVICE, 0));
    assert_bbm(&m, GFN, 0);
}

#[test]
fn block_is_split_only_through_an_empty_entry() {
    let m = speculating();
    let t = Tables::new(&m, TABLES, 1);
    m.set_stage2(t.root);
    let pages = Mfn(0x40100);
    for n in 0..512 {
        let leaf = FakeStage2::leaf(A.plus(n), 0, MapAttr::RAM, 0);
        m.frame(pages).unwrap().store64(n as usize * 8, leaf);
    }
    t.map(GFN, A, 1);
    t.unmap(GFN, 1);
    t.put(GFN, 1, FakeStage2::table(pages));
    m.assert_no_faults();
    assert_eq!(seen(&t, Gfn(GFN.0 + 7)), Some(A.plus(7)));
    t.unmap(GFN, 1);
    t.map(GFN, A, 1);
    t.put(GFN, 1, FakeStage2::table(pages));
    assert_bbm(&m, GFN, 1);
}

#[test]
fn merge_with_a_flush_of_too_few_frames_is_caught() {
    let m = plain();
    let t = Tables::new(&m, TABLES, 1);
    t.map(GFN, A, 0);
    t.map(Gfn(GFN.0 + 9), A.plus(9), 0);
    seen(&t, GFN);
    seen(&t, Gfn(GFN.0 + 9));
    t.clear(GFN, 1);
    m.flush_gfns(t.root, GFN, 9);
    t.put(GFN, 1, FakeStage2::leaf(A, 1, MapAttr::RAM, 0));
    assert_bbm(&m, Gfn(GFN.0 + 9), 0);
    t.clear(GFN, 1);
    m.flush_gfns(t.root, GFN, 512);
    t.map(GFN, A, 1);
    m.assert_no_faults();
}

#[test]
fn flush_of_a_frame_inside_a_block_removes_the_block() {
    let m = plain();
    let t = Tables::new(&m, TABLES, 1);
    t.map(GFN, A, 1);
    seen(&t, GFN);
    t.clear(GFN, 1);
    m.flush_gfns(t.root, Gfn(GFN.0 + 300), 1);
    assert_eq!(m.tlb_entries(), []);
}

#[test]
fn new_table_that_disagrees_with_what_is_cached_below_is_caught() {
    let m = plain();
    let t = Tables::new(&m, TABLES, 1);
    let second = Gfn(GFN.0 + 1);
    t.map(GFN, A, 0);
    t.map(second, A.plus(1), 0);
    seen(&t, GFN);
    seen(&t, second);
    t.clear(GFN, 1);
    m.flush_gfns(t.root, GFN, 1);
    t.map(GFN, A, 0);
    seen(&t, GFN);
    m.assert_no_faults();
    t.map(second, B, 0);
    assert_bbm(&m, second, 0);
    t.clear(GFN, 1);
    m.flush_gfns(t.root, GFN, 1);
    let table = Mfn(0x40100);
    m.frame(table).unwrap().zero();
    m.frame(table).unwrap().store64(8, FakeStage2::leaf(B, 0, MapAttr::RAM, 0));
    t.put(GFN, 1, FakeStage2::table(table));
    assert_bbm(&m, second, 0);
    t.clear(GFN, 1);
    m.flush_gfns(t.root, GFN, 2);
    t.put(GFN, 1, FakeStage2::table(table));
    m.assert_no_faults();
}

#[test]
fn table_that_is_reused_before_the_flush_is_caught() {
    let m = plain();
    let t = Tables::new(&m, TABLES, 1);
    t.map(GFN, A, 0);
    seen(&t, GFN);
    let table = t.table(GFN, 0);
    t.clear(GFN, 1);
    let tables: Vec<_> = m.stale_entries(table).iter().map(|e| (e.level, e.view)).collect();
    assert_eq!(tables, [(1, PteView::Table(table))]);
    m.frame(table).unwrap().zero();
    m.assert_no_faults();
    m.frame(table).unwrap().store64(64, FakeStage2::leaf(B, 0, MapAttr::RAM, 0));
    assert_eq!(m.take_faults(), [Fault::StaleTableWritten { tag: 1, table }]);
    m.flush_gfns(t.root, GFN, 512);
    assert_eq!(m.stale_entries(table), []);
    m.frame(table).unwrap().write(0, &[0xff; 4096]);
    m.assert_no_faults();
}

#[test]
fn root_in_use_is_known() {
    let m = plain();
    let t = Tables::new(&m, TABLES, 1);
    m.run_on(PcpuId(1), || m.set_stage2(t.root));
    assert_eq!(m.stage2_of(PcpuId(1)), Some(t.root));
    assert_eq!(m.root_users(TABLES.plus(1)), [PcpuId(1)]);
    assert_eq!((m.root_users(TABLES.plus(2)), m.stage2_of(PcpuId(0))), (vec![], None));
}

#[test]
fn tag_of_a_new_domain_needs_a_flush() {
    let m = plain();
    let (t, u) = (Tables::new(&m, TABLES, 1), Tables::new(&m, TABLES.plus(64), 1));
    t.map(GFN, A, 0);
    seen(&t, GFN);
    m.set_stage2(u.root);
    assert_eq!(m.take_faults(), [Fault::TagReused { tag: 1, cached: TABLES, used: TABLES.plus(64) }]);
    assert_eq!(seen(&u, GFN), Some(A));
    m.flush_tag(u.root);
    m.set_stage2(u.root);
    assert_eq!(seen(&u, GFN), None);
}

#[test]
fn bad_roots_are_caught() {
    let m = Machine::new(Config { tags: 4, ..Config::default() });
    let t = Tables::new(&m, TABLES.plus(1), 4);
    m.set_stage2(t.root);
    let faults = [Fault::TagOutOfRange { tag: 4 }, Fault::RootMisaligned { table: TABLES.plus(1) }];
    assert_eq!(m.take_faults(), faults);
}

#[test]
fn table_that_was_not_cleared_is_caught() {
    let m = plain();
    let t = Tables::new(&m, TABLES, 1);
    t.put(GFN, 1, FakeStage2::table(Mfn(0x40100)));
    m.frame(Mfn(0x40100)).unwrap().store64(8, 3 << 62);
    m.assert_no_faults();
    assert_eq!(seen(&t, GFN), None);
    let table = Mfn(0x40100);
    let pte = Config::default().fill;
    let fault = |index, pte| Fault::MalformedEntry { table, index, level: 0, pte };
    assert_eq!(m.take_faults(), [fault(0, pte)]);
    m.frame(table).unwrap().store64(8, FakeStage2::leaf(A, 1, MapAttr::RAM, 0));
    let pte = FakeStage2::leaf(A, 1, MapAttr::RAM, 0);
    assert_eq!(m.take_faults(), [fault(1, pte)]);
}

#[test]
fn table_outside_ram_is_caught() {
    let m = plain();
    let t = Tables::new(&m, TABLES, 1);
    t.put(GFN, 1, FakeStage2::table(Mfn(0x1)));
    assert_eq!(seen(&t, GFN), None);
    assert_eq!(m.take_faults(), [Fault::TableOutsideRam { table: Mfn(1) }]);
}

#[test]
fn store_is_seen_by_walks_once_its_own_pcpu_publishes() {
    let m = Machine::new(Config { delay_tables: true, ..Config::default() });
    let t = Tables::new(&m, TABLES, 1);
    t.map(GFN, A, 0);
    seen(&t, GFN);
    let next = Gfn(GFN.0 + 1);
    t.put(next, 0, FakeStage2::leaf(B, 0, MapAttr::RAM, 0));
    assert_eq!(seen(&t, next), None);
    m.run_on(PcpuId(1), || m.publish_tables());
    assert_eq!(seen(&t, next), None);
    m.publish_tables();
    assert_eq!(seen(&t, next), Some(B));
}

#[test]
fn flush_publishes_and_speculation_waits_for_it() {
    let m = Machine::new(Config { delay_tables: true, speculate: true, ..Config::default() });
    let t = Tables::new(&m, TABLES, 1);
    m.set_stage2(t.root);
    t.put(GFN, 2, FakeStage2::leaf(Mfn(0x40000), 2, MapAttr::RAM, 0));
    assert_eq!(m.tlb_entries(), []);
    m.publish_tables();
    assert_eq!(m.tlb_entries().len(), 1);
    t.clear(GFN, 2);
    assert_eq!(m.all_stale_entries().len(), 1);
    m.flush_gfns(t.root, GFN, 1);
    assert_eq!(m.tlb_entries(), []);
}

#[derive(Clone, Debug)]
enum Step {
    Map { domain: usize, gfn: u64, mfn: u64, block: bool },
    Unmap { domain: usize, gfn: u64 },
    Access { domain: usize, gfn: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let gfn = 0u64..1536;
    prop_oneof![
        (0usize..2, gfn.clone(), 0u64..8, any::<bool>()).prop_map(|(domain, gfn, mfn, block)| Step::Map {
            domain,
            gfn,
            mfn,
            block
        }),
        (0usize..2, gfn.clone()).prop_map(|(domain, gfn)| Step::Unmap { domain, gfn }),
        (0usize..2, gfn).prop_map(|(domain, gfn)| Step::Access { domain, gfn }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Correct code under all hostile features: no fault, nothing stale, and accesses go where a
    /// plain model says.
    #[test]
    fn correct_sequences_never_fault(steps in prop::collection::vec(step(), 0..40)) {
        let m = Machine::new(Config::hostile());
        let tables = [Tables::new(&m, TABLES, 1), Tables::new(&m, TABLES.plus(64), 2)];
        // The leaf of each 2 MiB: a block, or pages by number.
        let mut blocks = [[None; 3]; 2];
        let mut pages = vec![[None; 1536]; 2];
        for (t, cpu) in tables.iter().zip(0..) {
            m.run_on(PcpuId(cpu), || m.set_stage2(t.root));
        }
        for step in steps {
            match step {
                Step::Map { domain, gfn, mfn, block } => {
                    let t = &tables[domain];
                    let first = gfn & !511;
                    let range = first as usize..first as usize + 512;
                    if block {
                        t.unmap(Gfn(first), 1);
                        pages[domain][range].fill(None);
                        blocks[domain][gfn as usize / 512] = Some(A.plus(mfn * 512));
                        t.map(Gfn(first), A.plus(mfn * 512), 1);
                    } else {
                        if blocks[domain][gfn as usize / 512].take().is_some() {
                            t.unmap(Gfn(first), 1);
                        }
                        t.unmap(Gfn(gfn), 0);
                        pages[domain][gfn as usize] = Some(A.plus(mfn));
                        t.map(Gfn(gfn), A.plus(mfn), 0);
                    }
                }
                Step::Unmap { domain, gfn } => {
                    tables[domain].unmap(Gfn(gfn & !511), 1);
                    blocks[domain][gfn as usize / 512] = None;
                    let first = gfn as usize & !511;
                    pages[domain][first..first + 512].fill(None);
                }
                Step::Access { domain, gfn } => {
                    let block = blocks[domain][gfn as usize / 512].map(|mfn: Mfn| mfn.plus(gfn % 512));
                    prop_assert_eq!(seen(&tables[domain], Gfn(gfn)), block.or(pages[domain][gfn as usize]));
                }
            }
            prop_assert_eq!(m.all_stale_entries(), vec![]);
        }
        prop_assert_eq!(m.take_faults(), vec![]);
    }
}
