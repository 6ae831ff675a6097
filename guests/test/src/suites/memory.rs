//! The guest's own memory: given back, taken, mapped elsewhere, removed.

use core::sync::atomic::Ordering;
use guest_kit::hypercall::{self, call, with};
use guest_kit::memory::{self, Page};
use guest_kit::{Boot, gic::mmio, trap};
use xen_abi::GuestHandle;
use xen_abi::memory::*;
use xen_abi::xen::{__HYPERVISOR_memory_op, DOMID_INVALID, DOMID_IO, DOMID_SELF, DOMID_XEN};

use crate::report::Report;
use crate::show;

/// RAM that nothing of the guest's is in: it begins 20 MiB above the start of RAM.
const FREE: u64 = (0x4000_0000 + (20 << 20)) >> 12;
/// A frame without RAM behind it.
const HOLE: u64 = 0x3890_0000 >> 12;
/// Frames that no address has.
const BEYOND: [u64; 4] = [1 << 28, 1 << 36, 1 << 44, u64::MAX];

pub fn run(report: Report, _boot: &Boot) {
    for command in 0..32u32 {
        let null = call(__HYPERVISOR_memory_op, [u64::from(command), 0, 0, 0, 0]);
        let mut zeros = [0u64; 16];
        let zeros = with(__HYPERVISOR_memory_op, command, &mut zeros);
        show!(report, format_args!("command-{command}"), "{null} {zeros}");
    }
    sizes(report, "at-first");
    give_and_take(report);
    populate(report);
    add(report);
    add_batch(report);
    remove(report);
    sizes(report, "at-last");
}

/// How many pages the domain has, as three operations tell.
fn sizes(report: Report, when: &str) {
    for (name, command) in [
        ("current", XENMEM_current_reservation),
        ("maximum", XENMEM_maximum_reservation),
        ("highest", XENMEM_maximum_gpfn),
    ] {
        let ask = |domid| with(__HYPERVISOR_memory_op, command, &mut MemoryDomain { domid });
        let answers = [DOMID_SELF, 0, 500, DOMID_INVALID, DOMID_XEN].map(ask);
        show!(report, format_args!("{name}-{when}"), "{answers:x?}");
    }
}

fn reservation(command: u32, frames: &mut [u64], order: u32, domid: u16) -> i64 {
    let mut reservation = MemoryReservation {
        extent_start: GuestHandle(hypercall::address(frames)),
        nr_extents: frames.len() as u64,
        extent_order: order,
        mem_flags: 0,
        domid,
        _gap0: [0; 3],
    };
    with(__HYPERVISOR_memory_op, command, &mut reservation)
}

fn decrease(frames: &mut [u64], order: u32) -> i64 {
    reservation(XENMEM_decrease_reservation, frames, order, DOMID_SELF)
}

fn take(frames: &mut [u64], order: u32) -> i64 {
    reservation(XENMEM_populate_physmap, frames, order, DOMID_SELF)
}

/// What a read of a frame's first word gives: the word or the kind of fault.
fn read(frame: u64) -> Result<u64, u64> {
    let mut value = 0;
    match trap::attempt(|| value = mmio::read64(frame << 12)) {
        None => Ok(value),
        Some(fault) => Err(fault.syndrome & 0xffff_ffff),
    }
}

fn give_and_take(report: Report) {
    Page::at(FREE).fill(0x1234);
    show!(report, "decrease", "{}", decrease(&mut [FREE], 0));
    show!(report, "decreased-read", "{:x?}", read(FREE));
    show!(report, "decrease-again", "{}", decrease(&mut [FREE], 0));
    show!(report, "populate", "{}", take(&mut [FREE], 0));
    show!(report, "populated-read", "{:x?}", read(FREE));
    show!(report, "populate-again", "{}", take(&mut [FREE], 0));
    show!(report, "decrease-hole", "{}", decrease(&mut [HOLE], 0));
    show!(report, "decrease-partly", "{}", decrease(&mut [FREE, FREE + 1, HOLE, FREE + 2], 0));
    show!(report, "decreased-partly", "{:?}", [0, 1, 2].map(|frame| read(FREE + frame).is_ok()));
    show!(report, "populate-partly", "{}", take(&mut [FREE, FREE + 1, FREE + 2], 0));
    for frame in BEYOND {
        show!(report, format_args!("decrease-{frame:#x}"), "{}", decrease(&mut [frame], 0));
        show!(report, format_args!("populate-{frame:#x}"), "{}", take(&mut [frame], 0));
    }
    for domid in [0, 500, DOMID_INVALID, DOMID_IO] {
        let give = reservation(XENMEM_decrease_reservation, &mut [FREE], 0, domid);
        let get = reservation(XENMEM_populate_physmap, &mut [FREE], 0, domid);
        let more = reservation(XENMEM_increase_reservation, &mut [FREE], 0, domid);
        show!(report, format_args!("of-domain-{domid}"), "{give} {get} {more}");
    }
    let mut none = [0u64; 0];
    show!(report, "decrease-none", "{}", decrease(&mut none, 0));
    show!(report, "decrease-order-64", "{}", decrease(&mut [FREE], 64));
    show!(report, "decrease-unaligned", "{}", decrease(&mut [FREE + 1], 1));
    show!(report, "populate-after", "{}", take(&mut [FREE, FREE + 1, FREE + 2], 0));
    let nowhere = |command| {
        let mut reservation = MemoryReservation {
            extent_start: GuestHandle(0xbad_0000_0000),
            nr_extents: 1,
            extent_order: 0,
            mem_flags: 0,
            domid: DOMID_SELF,
            _gap0: [0; 3],
        };
        with(__HYPERVISOR_memory_op, command, &mut reservation)
    };
    show!(report, "frames-nowhere", "{:?}", [0, 1, 6].map(nowhere));
    let huge = |nr_extents, extent_order| {
        let mut frames = [FREE];
        let mut reservation = MemoryReservation {
            extent_start: GuestHandle(hypercall::address(&mut frames)),
            nr_extents,
            extent_order,
            mem_flags: 0,
            domid: DOMID_SELF,
            _gap0: [0; 3],
        };
        with(__HYPERVISOR_memory_op, XENMEM_populate_physmap, &mut reservation)
    };
    show!(report, "populate-too-many", "{} {}", huge(u64::MAX, 0), huge(1 << 62, 4));
}

/// Blocks of more than a page, and more than the domain may have.
fn populate(report: Report) {
    let block = (FREE + 0x1ff) & !0x1ff;
    show!(report, "decrease-block", "{}", decrease(&mut [block], 9));
    show!(report, "decreased-block", "{:?}", [0, 511, 512].map(|frame| read(block + frame).is_ok()));
    show!(report, "populate-order-10", "{}", take(&mut [block], 10));
    show!(report, "populate-order-3", "{}", take(&mut [block], 3));
    show!(report, "populate-over-a-part", "{}", take(&mut [block], 4));
    show!(report, "populate-unaligned-block", "{}", take(&mut [block + 9], 1));
    show!(
        report,
        "populate-block-holes",
        "{:?}",
        [0, 7, 8, 9, 10, 11, 15, 16].map(|frame| read(block + frame).is_ok())
    );
    let mut back = 0;
    for frame in 0..512 {
        if read(block + frame).is_err() {
            back += take(&mut [block + frame], 0);
        }
    }
    show!(report, "populate-rest", "{back}");
    show!(report, "populate-too-much", "{}", take(&mut [HOLE, HOLE + 1, HOLE + 2], 0));
    let mut reached = 0;
    while reached < 4096 && take(&mut [HOLE + 16 + reached], 0) == 1 {
        reached += 1;
    }
    show!(report, "populate-until-refused", "{}", reached < 4096);
    for frame in (0..3).chain(16..16 + reached) {
        decrease(&mut [HOLE + frame], 0);
    }
}

fn physmap(domid: u16, space: u32, idx: u64, gpfn: u64, size: u16) -> i64 {
    let mut add = AddToPhysmap { domid, size, space, idx, gpfn };
    with(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, &mut add)
}

fn add(report: Report) {
    for space in 0..8 {
        for idx in [0, 1, 64, 0x8000_0000, u64::MAX] {
            let result = physmap(DOMID_SELF, space, idx, HOLE + 8, 1);
            show!(
                report,
                format_args!("add-{space}-{idx:#x}"),
                "{result} {}",
                remove_one(DOMID_SELF, HOLE + 8)
            );
        }
    }
    for gpfn in BEYOND {
        show!(report, format_args!("add-shared-info-{gpfn:#x}"), "{}", physmap(DOMID_SELF, 0, 0, gpfn, 0));
    }
    for domid in [0, 500, DOMID_INVALID] {
        show!(report, format_args!("add-domain-{domid}"), "{}", physmap(domid, 0, 0, HOLE + 8, 0));
    }
    show!(report, "add-space-wide", "{}", physmap(DOMID_SELF, 0x1_0000, 0, HOLE + 8, 0));
    // The same frame of the table at two places.
    let first = physmap(DOMID_SELF, 1, 0, HOLE + 9, 0);
    let second = physmap(DOMID_SELF, 1, 0, HOLE + 10, 0);
    let seen = [9, 10].map(|frame| read(HOLE + frame).is_ok());
    let removed = [9, 10].map(|frame| remove_one(DOMID_SELF, HOLE + frame));
    show!(report, "add-grant-frame-twice", "{first} {second} {seen:?} {removed:?}");
    // Over RAM: what was there is gone or kept.
    let before =
        with(__HYPERVISOR_memory_op, XENMEM_current_reservation, &mut MemoryDomain { domid: DOMID_SELF });
    let over = physmap(DOMID_SELF, 1, 0, FREE + 3, 0);
    let after =
        with(__HYPERVISOR_memory_op, XENMEM_current_reservation, &mut MemoryDomain { domid: DOMID_SELF });
    show!(report, "add-over-ram", "{over} {}", before - after);
    let removed = remove_one(DOMID_SELF, FREE + 3);
    show!(report, "remove-over-ram", "{removed} {:?}", read(FREE + 3).is_ok());
    take(&mut [FREE + 3], 0);
    show!(report, "ram-is-back", "{:?}", read(FREE + 3).is_ok());
    put_back(report, "shared-again");
}

fn add_batch(report: Report) {
    let mut indices = [0u64, 1, 2, 1 << 40];
    let mut frames = [HOLE + 20, HOLE + 21, 1 << 50, HOLE + 22];
    let mut errors = [99i32; 4];
    for space in [0, 1, 2, 3, 4, 5, 9] {
        errors.fill(99);
        let mut batch = AddToPhysmapBatch {
            domid: DOMID_SELF,
            space,
            size: 4,
            u: 0,
            idxs: GuestHandle(hypercall::address(&mut indices)),
            gpfns: GuestHandle(hypercall::address(&mut frames)),
            errs: GuestHandle(hypercall::address(&mut errors)),
        };
        let result = with(__HYPERVISOR_memory_op, XENMEM_add_to_physmap_batch, &mut batch);
        let removed = [20, 21, 22].map(|frame| remove_one(DOMID_SELF, HOLE + frame));
        show!(report, format_args!("batch-{space}"), "{result} {errors:?} {removed:?}");
    }
    put_back(report, "shared-after-batch");
}

/// Maps the shared page again where the events are seen, and nowhere else.
fn put_back(report: Report, name: &str) {
    let removed = remove_one(DOMID_SELF, super::SHARED);
    show!(report, name, "{removed} {}", guest_kit::event::map_shared(super::SHARED));
}

fn remove_one(domid: u16, gpfn: u64) -> i64 {
    let mut remove = RemoveFromPhysmap { domid, _gap0: [0; 3], gpfn };
    with(__HYPERVISOR_memory_op, XENMEM_remove_from_physmap, &mut remove)
}

fn remove(report: Report) {
    let page = memory::take_one();
    page.word(0).store(0x77, Ordering::SeqCst);
    show!(report, "remove-hole", "{}", remove_one(DOMID_SELF, HOLE + 100));
    for gpfn in BEYOND {
        show!(report, format_args!("remove-{gpfn:#x}"), "{}", remove_one(DOMID_SELF, gpfn));
    }
    for domid in [0, 500, DOMID_INVALID] {
        show!(report, format_args!("remove-domain-{domid}"), "{}", remove_one(domid, FREE + 4));
    }
    let count =
        || with(__HYPERVISOR_memory_op, XENMEM_current_reservation, &mut MemoryDomain { domid: DOMID_SELF });
    let before = count();
    show!(report, "remove-ram", "{}", remove_one(DOMID_SELF, FREE + 5));
    show!(report, "removed-ram-pages", "{}", before - count());
    show!(report, "removed-ram-read", "{:x?}", read(FREE + 5));
    show!(report, "populate-removed", "{}", take(&mut [FREE + 5], 0));
    let mut again = [FREE + 5];
    let back = decrease(&mut again, 0);
    show!(report, "decrease-removed", "{back} {}", before - count());
    take(&mut [FREE + 5], 0);
    show!(
        report,
        "exchange-null",
        "{}",
        call(__HYPERVISOR_memory_op, [u64::from(XENMEM_exchange), 0, 0, 0, 0])
    );
}
