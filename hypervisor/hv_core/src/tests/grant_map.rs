//! Mapping of grants: who may, what it marks, and what happens when one side goes.

use crate::domain::Domain;
use crate::hypercall::{Call, Flow, dispatch};
use crate::testkit::{ARGS, Extents, GRANTS, GUEST_PAGES, GUEST_RAM, LISTS, World, check};
use alloc::sync::Arc;
use alloc::vec::Vec;
use arch_fake::Access;
use hal::{FrameMem as _, Gaddr, Gfn, MachineOps as _, Maddr};
use xen_abi::Errno;
use xen_abi::grant_table::*;
use xen_abi::memory::XENMAPSPACE_shared_info;
use xen_abi::xen::*;
use zerocopy::FromZeros as _;

/// Where the mapping domain maps.
const HERE: Gfn = Gfn(0x300);
const RW: u32 = GNTMAP_host_map;
const RO: u32 = GNTMAP_host_map | GNTMAP_readonly;
const IN_USE: u16 = GTF_reading | GTF_writing;

fn own(n: u64) -> Gfn {
    GUEST_RAM.plus(n)
}

/// Dom0 maps what domain 5 grants; domain 6 is there, too.
struct Kit {
    world: World,
    dom0: Arc<Domain>,
    owner: Arc<Domain>,
    other: Arc<Domain>,
}

impl Kit {
    fn new() -> Self {
        let world = World::hostile();
        let (dom0, owner, other) = (world.get(0), world.domain(5, 1), world.domain(6, 1));
        for domain in [&dom0, &owner, &other] {
            world.map_grants(domain);
        }
        Self { world, dom0, owner, other }
    }

    fn check(&self) {
        check(&self.world, &[]);
    }

    fn grant(&self, gref: u32, flags: u16, page: u64) {
        self.world.grant(&self.owner, gref, flags, 0, own(page));
    }

    fn flags(&self, gref: u32) -> u16 {
        self.world.grant_flags(&self.owner, gref)
    }

    fn map(&self, gref: u32, flags: u32, at: Gfn) -> GnttabMapGrantRef {
        self.world.map(&self.dom0, 5, gref, flags, at)
    }

    fn status(&self, gref: u32, flags: u32) -> i16 {
        self.map(gref, flags, HERE).status
    }

    fn unmap(&self, handle: u32, at: Gfn) -> i16 {
        self.world.unmap(&self.dom0, handle, at)
    }

    fn reads(&self, at: Gfn) -> bool {
        self.can(at, Access::Read)
    }

    fn can(&self, at: Gfn, access: Access) -> bool {
        self.world.hv.machine.guest_translate(self.dom0.root, at.addr(), access).is_ok()
    }

    fn free(&self) -> u64 {
        self.world.hv.frames.free_frames()
    }
}

#[test]
fn mapped_page_is_shared_and_its_entry_marked_until_it_is_unmapped() {
    let kit = Kit::new();
    kit.grant(9, GTF_permit_access, 4);
    let op = kit.map(9, RW, HERE);
    assert_eq!((op.status, kit.flags(9)), (GNTST_okay, GTF_permit_access | IN_USE));
    let mfn = kit.owner.lookup(kit.world.hv, own(4)).unwrap().mfn;
    assert_eq!(op.dev_bus_addr, mfn.addr().0);
    kit.world.put(&kit.dom0, HERE.addr(), &0x42u64);
    assert_eq!(kit.world.take::<u64>(&kit.owner, own(4).addr()), 0x42);
    assert!(!kit.can(HERE, Access::Fetch));
    kit.check();
    assert_eq!((kit.unmap(op.handle, HERE), kit.flags(9)), (GNTST_okay, GTF_permit_access));
    assert!(!kit.reads(HERE));
    kit.check();
}

#[test]
fn read_only_mapping_cannot_be_written_and_marks_reading_only() {
    let kit = Kit::new();
    kit.grant(9, GTF_permit_access | GTF_readonly, 4);
    let op = kit.map(9, RO, HERE);
    assert_eq!((op.status, kit.flags(9)), (GNTST_okay, GTF_permit_access | GTF_readonly | GTF_reading));
    assert!(kit.reads(HERE) && !kit.can(HERE, Access::Write));
    kit.check();
    assert_eq!(kit.map(9, RW, HERE.plus(1)).status, GNTST_general_error);
    assert_eq!(kit.unmap(op.handle, HERE), GNTST_okay);
    assert_eq!(kit.map(9, RW, HERE.plus(1)).status, GNTST_general_error);
    assert_eq!(kit.flags(9), GTF_permit_access | GTF_readonly);
    kit.check();
}

#[test]
fn entry_that_does_not_permit_is_refused_and_left_alone() {
    let kit = Kit::new();
    for flags in [GTF_invalid, GTF_accept_transfer, GTF_transitive, GTF_permit_access | GTF_sub_page] {
        kit.grant(9, flags, 4);
        assert_eq!((kit.status(9, RO), kit.flags(9)), (GNTST_general_error, flags), "{flags:x}");
    }
    kit.world.grant(&kit.owner, 9, GTF_permit_access, 6, own(4));
    assert_eq!((kit.status(9, RW), kit.flags(9)), (GNTST_general_error, GTF_permit_access));
    kit.check();
}

#[test]
fn reference_beyond_the_table_is_refused() {
    let kit = Kit::new();
    for gref in [512, 0xffff_ffff] {
        assert_eq!(kit.status(gref, RW), GNTST_bad_gntref, "{gref:x}");
    }
    kit.check();
}

#[test]
fn unknown_domain_is_refused() {
    let kit = Kit::new();
    for domid in [99, DOMID_SELF, DOMID_IO, DOMID_INVALID, 0xffff] {
        assert_eq!(kit.world.map(&kit.dom0, domid, 9, RW, HERE).status, GNTST_bad_domain, "{domid:x}");
    }
    kit.check();
}

#[test]
fn flags_that_a_translated_domain_cannot_have_are_refused() {
    let kit = Kit::new();
    kit.grant(9, GTF_permit_access, 4);
    let cases = [
        (0, GNTST_bad_gntref),
        (GNTMAP_readonly, GNTST_bad_gntref),
        (GNTMAP_device_map, GNTST_general_error),
        (GNTMAP_device_map | GNTMAP_readonly, GNTST_general_error),
        (RW | GNTMAP_device_map, GNTST_general_error),
        (RW | GNTMAP_application_map, GNTST_general_error),
        (RW | GNTMAP_contains_pte, GNTST_general_error),
        (RW | 1 << 16, GNTST_general_error),
    ];
    for (flags, status) in cases {
        assert_eq!((kit.status(9, flags), kit.flags(9)), (status, GTF_permit_access), "{flags:x}");
    }
    assert!(!kit.reads(HERE));
    kit.check();
}

#[test]
fn only_memory_of_its_own_can_be_granted() {
    let kit = Kit::new();
    kit.world.grant(&kit.other, 3, GTF_permit_access, 5, own(1));
    let in_owner = kit.world.map_ok(&kit.owner, 6, 3, HERE);
    kit.world.add_to_physmap(&kit.owner, DOMID_SELF, XENMAPSPACE_shared_info, 0, HERE.plus(1)).unwrap();
    for frame in [Gfn(0x5555), HERE, HERE.plus(1), GRANTS, Gfn(0xffff_ffff)] {
        kit.world.grant(&kit.owner, 9, GTF_permit_access, 0, frame);
        assert_eq!((kit.status(9, RW), kit.flags(9)), (GNTST_bad_page, GTF_permit_access), "{frame:x}");
    }
    assert_eq!(kit.world.unmap(&kit.owner, in_owner, HERE), GNTST_okay);
    kit.check();
}

#[test]
fn marks_follow_the_mappings_that_are_left() {
    let kit = Kit::new();
    kit.grant(9, GTF_permit_access, 4);
    let reader = kit.map(9, RO, HERE).handle;
    assert_eq!(kit.flags(9), GTF_permit_access | GTF_reading);
    let writers = [1, 2].map(|n| kit.map(9, RW, HERE.plus(n)).handle);
    assert_eq!(kit.flags(9), GTF_permit_access | IN_USE);
    kit.check();
    assert_eq!(kit.unmap(writers[0], HERE.plus(1)), GNTST_okay);
    assert_eq!(kit.flags(9), GTF_permit_access | IN_USE);
    assert_eq!(kit.unmap(writers[1], HERE.plus(2)), GNTST_okay);
    assert_eq!(kit.flags(9), GTF_permit_access | GTF_reading);
    assert_eq!(kit.unmap(reader, HERE), GNTST_okay);
    assert_eq!(kit.flags(9), GTF_permit_access);
    let writer = kit.map(9, RW, HERE).handle;
    let reader = kit.map(9, RO, HERE.plus(1)).handle;
    assert_eq!(kit.unmap(reader, HERE.plus(1)), GNTST_okay);
    assert_eq!(kit.flags(9), GTF_permit_access | IN_USE, "the writer reads as well");
    assert_eq!(kit.unmap(writer, HERE), GNTST_okay);
    assert_eq!(kit.flags(9), GTF_permit_access);
    kit.check();
}

#[test]
fn page_of_an_entry_in_use_stays_whatever_the_guest_writes_there() {
    let kit = Kit::new();
    kit.grant(9, GTF_permit_access, 4);
    let first = kit.map(9, RO, HERE);
    // Revoked, granted to another, and for another page.
    kit.world.grant(&kit.owner, 9, GTF_permit_access | GTF_reading, 6, own(5));
    let second = kit.map(9, RO, HERE.plus(1));
    assert_eq!((second.status, second.dev_bus_addr), (GNTST_okay, first.dev_bus_addr));
    assert_eq!(kit.world.map(&kit.other, 5, 9, RO, HERE).status, GNTST_general_error);
    kit.check();
    assert_eq!(kit.unmap(first.handle, HERE), GNTST_okay);
    assert_eq!(kit.unmap(second.handle, HERE.plus(1)), GNTST_okay);
    let third = kit.world.map(&kit.other, 5, 9, RO, HERE);
    assert_eq!(third.status, GNTST_okay);
    assert_ne!(third.dev_bus_addr, first.dev_bus_addr);
    kit.check();
}

#[test]
fn entry_that_became_read_only_is_not_written_through() {
    let kit = Kit::new();
    kit.grant(9, GTF_permit_access, 4);
    assert_eq!(kit.status(9, RO), GNTST_okay);
    kit.grant(9, GTF_permit_access | GTF_readonly | GTF_reading, 4);
    assert_eq!(kit.map(9, RW, HERE.plus(1)).status, GNTST_general_error);
    assert_eq!(kit.flags(9), GTF_permit_access | GTF_readonly | GTF_reading);
    kit.check();
}

#[test]
fn handle_is_good_once_and_at_its_address() {
    let kit = Kit::new();
    kit.grant(9, GTF_permit_access, 4);
    let handle = kit.map(9, RW, HERE).handle;
    assert_eq!(kit.unmap(handle, HERE.plus(1)), GNTST_general_error);
    assert_eq!(kit.unmap(handle, Gfn(0)), GNTST_okay, "no side is named: nothing happens");
    assert!(kit.reads(HERE));
    assert_eq!(kit.flags(9), GTF_permit_access | IN_USE);
    kit.check();
    assert_eq!(kit.unmap(handle, HERE), GNTST_okay);
    assert_eq!(kit.unmap(handle, HERE), GNTST_bad_handle);
    for never in [77, 100_000, u32::MAX] {
        assert_eq!(kit.unmap(never, HERE), GNTST_bad_handle);
    }
    assert_eq!(kit.flags(9), GTF_permit_access);
    kit.check();
}

#[test]
fn handle_of_another_domain_is_bad() {
    let kit = Kit::new();
    kit.grant(9, GTF_permit_access, 4);
    let handle = kit.map(9, RW, HERE).handle;
    assert_eq!(kit.world.unmap(&kit.owner, handle, HERE), GNTST_bad_handle);
    assert!(kit.reads(HERE));
    kit.check();
}

#[test]
fn mapping_takes_the_place_of_what_was_there() {
    let kit = Kit::new();
    kit.grant(9, GTF_permit_access, 4);
    kit.grant(10, GTF_permit_access, 5);
    let before = (kit.dom0.tot_pages(), kit.free());
    let first = kit.map(9, RW, own(2));
    assert_eq!(first.status, GNTST_okay);
    assert_eq!((kit.dom0.tot_pages(), kit.free()), (before.0 - 1, before.1 + 1), "its own page is gone");
    let second = kit.map(10, RW, own(2));
    assert_eq!(second.status, GNTST_okay);
    kit.check();
    assert_eq!(kit.unmap(first.handle, own(2)), GNTST_okay);
    assert!(kit.reads(own(2)), "the other grant is there");
    kit.check();
    kit.world.add_to_physmap(&kit.dom0, DOMID_SELF, XENMAPSPACE_shared_info, 0, own(2)).unwrap();
    assert_eq!(kit.unmap(second.handle, own(2)), GNTST_okay);
    assert!(kit.reads(own(2)), "the shared page is there");
    assert_eq!((kit.flags(9), kit.flags(10)), (GTF_permit_access, GTF_permit_access));
    kit.check();
}

#[test]
fn mapping_is_no_memory_of_the_domain_that_maps() {
    let kit = Kit::new();
    kit.grant(9, GTF_permit_access, 4);
    let handle = kit.map(9, RW, HERE).handle;
    assert!(!kit.world.decrease(&kit.dom0, HERE.0, 0));
    assert_eq!(kit.world.remove(&kit.dom0, HERE), Err(Errno::ENOENT));
    kit.world.grant(&kit.dom0, 1, GTF_permit_access, 6, HERE);
    assert_eq!(kit.world.map(&kit.other, 0, 1, RW, HERE).status, GNTST_bad_page);
    assert!(kit.reads(HERE));
    kit.check();
    assert!(kit.world.populate(&kit.dom0, HERE.0, 0), "new memory can stand there");
    assert_eq!(kit.unmap(handle, HERE), GNTST_okay);
    assert!(kit.reads(HERE));
    kit.check();
}

#[test]
fn place_that_cannot_be_had_is_refused_and_nothing_stays_behind() {
    let kit = Kit::new();
    kit.grant(9, GTF_permit_access, 4);
    for at in [Gfn(1 << 28), Gfn(u64::MAX >> 12)] {
        assert_eq!((kit.map(9, RW, at).status, kit.flags(9)), (GNTST_general_error, GTF_permit_access));
    }
    // A domain without tables left; dom0's pool draws on the machine.
    kit.world.grant(&kit.dom0, 1, GTF_permit_access, 6, own(4));
    let mut status = GNTST_okay;
    for n in 3..40u64 {
        status = kit.world.map(&kit.other, 0, 1, RW, Gfn(n << 18)).status;
        if status != GNTST_okay {
            break;
        }
        kit.check();
    }
    assert_eq!(status, GNTST_general_error);
    kit.check();
}

#[test]
fn handles_run_out_at_the_limit_and_come_back() {
    let kit = Kit::new();
    kit.grant(9, GTF_permit_access, 4);
    // Two pages of maptrack.
    let handles: Vec<u32> = (0..512).map(|n| kit.world.map_ok(&kit.dom0, 5, 9, HERE.plus(n))).collect();
    assert_eq!(kit.map(9, RW, HERE.plus(600)).status, GNTST_no_space);
    assert!(!kit.reads(HERE.plus(600)));
    kit.check();
    assert_eq!(kit.unmap(handles[99], HERE.plus(99)), GNTST_okay);
    assert_eq!(kit.map(9, RW, HERE.plus(600)).status, GNTST_okay);
    assert_eq!(kit.map(9, RW, HERE.plus(601)).status, GNTST_no_space);
    kit.check();
}

#[test]
fn free_handles_are_taken_away_in_bounded_steps() {
    let kit = Kit::new();
    kit.grant(9, GTF_permit_access, 4);
    let handles: Vec<u32> = (0..512).map(|n| kit.world.map_ok(&kit.dom0, 5, 9, HERE.plus(n))).collect();
    for (n, handle) in (0..).zip(handles) {
        assert_eq!(kit.unmap(handle, HERE.plus(n)), GNTST_okay);
    }
    let steps = (1..).find(|_| kit.dom0.grants.teardown(kit.world.hv, &kit.dom0, 1));
    assert_eq!(steps, Some(9), "eight of 64 handles, and one that finds none");
}

#[test]
fn owner_that_gives_the_page_back_loses_it_when_it_is_unmapped() {
    let kit = Kit::new();
    kit.grant(9, GTF_permit_access, 4);
    let handle = kit.map(9, RW, HERE).handle;
    let free = kit.free();
    assert!(kit.world.decrease(&kit.owner, own(4).0, 0));
    kit.world.put(&kit.dom0, HERE.addr(), &1u64);
    assert_eq!(kit.free(), free);
    let second = kit.map(9, RO, HERE.plus(1));
    assert_eq!(second.status, GNTST_okay, "the entry still has its page");
    kit.check();
    assert_eq!(kit.unmap(handle, HERE), GNTST_okay);
    assert_eq!(kit.free(), free);
    assert_eq!(kit.unmap(second.handle, HERE.plus(1)), GNTST_okay);
    assert!(kit.free() > free);
    assert_eq!(kit.map(9, RO, HERE).status, GNTST_bad_page);
    kit.check();
}

#[test]
fn owner_that_dies_stays_until_its_page_is_unmapped() {
    let kit = Kit::new();
    kit.world.put(&kit.owner, own(4).addr(), &0x77u64);
    kit.grant(9, GTF_permit_access, 4);
    let handle = kit.map(9, RW, HERE).handle;
    kit.world.kill(5).unwrap();
    assert_eq!(kit.world.info(5).map(|i| (i.domain, i.tot_pages)), Ok((5, 1)));
    assert_eq!(kit.world.take::<u64>(&kit.dom0, HERE.addr()), 0x77);
    assert_eq!(kit.map(9, RW, HERE.plus(1)).status, GNTST_bad_gntref, "it grants nothing any more");
    kit.check();
    assert_eq!(kit.unmap(handle, HERE), GNTST_okay);
    assert!(kit.world.reap());
    assert!(kit.world.hv.domains.get(kit.owner.id).is_none());
    kit.check();
}

#[test]
fn domain_that_dies_unmaps_what_it_mapped() {
    let kit = Kit::new();
    kit.world.grant(&kit.owner, 9, GTF_permit_access, 6, own(4));
    kit.world.grant(&kit.dom0, 9, GTF_permit_access, 6, own(4));
    for n in 0..40 {
        kit.world.map_ok(&kit.other, 5, 9, HERE.plus(n));
        assert_eq!(kit.world.map(&kit.other, 0, 9, RO, HERE.plus(100 + n)).status, GNTST_okay);
    }
    kit.check();
    kit.world.kill(6).unwrap();
    assert!(kit.world.hv.domains.get(kit.other.id).is_none());
    assert_eq!((kit.flags(9), kit.world.grant_flags(&kit.dom0, 9)), (GTF_permit_access, GTF_permit_access));
    kit.check();
    let free = kit.free();
    kit.world.kill(5).unwrap();
    assert!(kit.free() > free + GUEST_PAGES);
    kit.check();
}

#[test]
fn domains_that_map_each_other_can_both_die() {
    let kit = Kit::new();
    kit.world.grant(&kit.owner, 9, GTF_permit_access, 6, own(4));
    kit.world.grant(&kit.other, 9, GTF_permit_access, 5, own(4));
    kit.world.map_ok(&kit.other, 5, 9, HERE);
    kit.world.map_ok(&kit.owner, 6, 9, HERE);
    kit.world.kill(5).unwrap();
    assert!(kit.world.info(5).is_ok_and(|info| info.domain == 5));
    kit.check();
    kit.world.kill(6).unwrap();
    assert!(kit.world.reap());
    assert_eq!(kit.world.info(1), Err(Errno::ESRCH));
    kit.check();
}

#[test]
fn domain_may_map_its_own_grant() {
    let kit = Kit::new();
    kit.world.grant(&kit.owner, 9, GTF_permit_access, 5, own(4));
    kit.world.map_ok(&kit.owner, 5, 9, HERE);
    kit.world.put(&kit.owner, HERE.addr(), &3u64);
    assert_eq!(kit.world.take::<u64>(&kit.owner, own(4).addr()), 3);
    kit.check();
    kit.world.kill(5).unwrap();
    assert!(kit.world.hv.domains.get(kit.owner.id).is_none());
    kit.check();
}

/// The machine address of a grant entry of domain 5.
fn entry(kit: &Kit, gref: u32) -> Maddr {
    let at = World::grant_at(gref);
    let mfn = kit.owner.lookup(kit.world.hv, at.frame()).unwrap().mfn;
    mfn.addr().plus(at.page_offset() as u64)
}

#[test]
fn entry_that_never_stands_still_is_given_up() {
    let kit = Kit::new();
    kit.grant(9, GTF_permit_access, 4);
    let machine = kit.world.hv.machine;
    // Bits that mean nothing change after every look.
    let watch = machine.mutate_on_read(entry(&kit, 9), 4, |_, word| word ^ 1 << 14);
    assert_eq!(kit.status(9, RW), GNTST_general_error);
    let looks = machine.unwatch(watch).unwrap().accesses;
    assert!((2..=10).contains(&looks), "{looks}");
    assert_eq!(kit.flags(9) & IN_USE, 0);
    assert_eq!(kit.status(9, RW), GNTST_okay, "it stands still now");
    kit.check();
}

#[test]
fn entry_that_is_revoked_while_it_is_looked_at_is_refused() {
    let kit = Kit::new();
    kit.grant(9, GTF_permit_access, 4);
    let machine = kit.world.hv.machine;
    let watch = machine.mutate_on_read(entry(&kit, 9), 2, |_, _| 0);
    assert_eq!(kit.status(9, RW), GNTST_general_error);
    machine.unwatch(watch);
    assert_eq!(kit.flags(9), 0);
    kit.check();
}

#[test]
fn frame_number_is_read_once() {
    let kit = Kit::new();
    kit.grant(9, GTF_permit_access, 4);
    let machine = kit.world.hv.machine;
    let bad = 0xffff_ffffu64 << 32;
    let watch = machine.mutate_on_read(entry(&kit, 9).plus(4), 4, move |_, word| word | bad);
    let op = kit.map(9, RW, HERE);
    assert_eq!(op.status, GNTST_okay);
    assert_eq!(op.dev_bus_addr, kit.owner.lookup(kit.world.hv, own(4)).unwrap().mfn.addr().0);
    machine.assert_read_once(watch);
    machine.unwatch(watch);
    assert_eq!(kit.unmap(op.handle, HERE), GNTST_okay);
    kit.check();
}

#[test]
fn operation_is_read_once() {
    let kit = Kit::new();
    kit.grant(9, GTF_permit_access, 4);
    let mut op = GnttabMapGrantRef::new_zeroed();
    (op.host_addr, op.flags, op.ref_, op.dom) = (HERE.addr().0, RW, 9, 5);
    kit.world.put(&kit.dom0, ARGS, &op);
    let at = kit.dom0.lookup(kit.world.hv, ARGS.frame()).unwrap().mfn.addr();
    let watch = kit.world.hv.machine.count_reads(at, size_of::<GnttabMapGrantRef>());
    let args = [GNTTABOP_map_grant_ref.into(), ARGS.0, 1, 0, 0];
    kit.world.call(&kit.dom0, __HYPERVISOR_grant_table_op.into(), args).unwrap();
    kit.world.hv.machine.assert_read_once(watch);
}

/// Puts operations that map grants 0.. at [`HERE`].. in a list of dom0's.
fn map_list(kit: &Kit, at: Gaddr, count: u32) {
    for n in 0..count {
        kit.grant(n, GTF_permit_access, u64::from(n % 32));
        let mut op = GnttabMapGrantRef::new_zeroed();
        (op.host_addr, op.flags, op.ref_, op.dom, op.status) = (HERE.plus(n.into()).addr().0, RW, n, 5, 99);
        kit.world.put(&kit.dom0, at.plus(u64::from(n) * 32), &op);
    }
}

fn statuses(kit: &Kit, at: Gaddr, count: u64) -> Vec<i16> {
    (0..count).map(|n| kit.world.take::<GnttabMapGrantRef>(&kit.dom0, at.plus(n * 32)).status).collect()
}

#[test]
fn long_list_lets_interrupts_in_and_is_done_whole() {
    let kit = Kit::new();
    map_list(&kit, LISTS, 100);
    kit.world.hv.machine.set_stage2(kit.dom0.root);
    let args = [GNTTABOP_map_grant_ref.into(), LISTS.0, 100, 0xaaaa, 0xbbbb];
    let vcpu = kit.dom0.vcpu(0).unwrap();
    let call = Call { hv: kit.world.hv, domain: &kit.dom0, vcpu, args };
    let Ok(Flow::Again(more)) = dispatch(&call, __HYPERVISOR_grant_table_op.into()) else {
        panic!("done at once")
    };
    let done = 100 - more[2];
    assert!(done > 0 && done <= 64);
    assert_eq!((more[0], more[1]), (args[0], LISTS.0 + done * 32));
    assert_eq!(statuses(&kit, LISTS, done), vec![GNTST_okay; done as usize]);
    assert_eq!(statuses(&kit, LISTS.plus(done * 32), 100 - done), vec![99; 100 - done as usize]);
    kit.check();
    kit.world.call(&kit.dom0, __HYPERVISOR_grant_table_op.into(), more).unwrap();
    assert_eq!(statuses(&kit, LISTS, 100), [GNTST_okay; 100]);
    kit.check();
}

#[test]
fn list_with_a_hole_is_done_up_to_it() {
    let kit = Kit::new();
    // The list's end is beyond the domain's memory.
    let at = Gfn(GUEST_RAM.0 + GUEST_PAGES).addr().0 - 64;
    map_list(&kit, Gaddr(at), 2);
    let args = [GNTTABOP_map_grant_ref.into(), at, 5, 0, 0];
    assert_eq!(kit.world.call(&kit.dom0, __HYPERVISOR_grant_table_op.into(), args), Err(Errno::EFAULT));
    assert_eq!(statuses(&kit, Gaddr(at), 2), [GNTST_okay; 2]);
    kit.check();
}

#[test]
fn counts_and_commands_out_of_range_are_refused() {
    let kit = Kit::new();
    let call = |cmd: u64, count: u64| {
        kit.world.call(&kit.dom0, __HYPERVISOR_grant_table_op.into(), [cmd, ARGS.0, count, 0, 0])
    };
    assert_eq!(call(0, 0), Ok(0));
    assert_eq!(call(0, 0x8000_0000), Err(Errno::EINVAL));
    // Progress that no call of this operation has.
    assert_eq!(call(1 << 12, 0), Err(Errno::EINVAL));
    assert_eq!(call(0xffff_f000 | u64::from(GNTTABOP_copy), 0), Err(Errno::EINVAL));
    // The registers' upper halves are noise.
    assert_eq!(call(0xdead << 32, 0xdead << 32), Ok(0));
}

#[test]
fn mapping_into_a_range_given_back_works_again_and_again() {
    let kit = Kit::new();
    kit.grant(9, GTF_permit_access, 4);
    for _ in 0..3 {
        assert_eq!(kit.world.extents(&kit.dom0, DOMID_SELF, Extents::Decrease, &[own(8).0], 0), Ok(1));
        let handle = kit.world.map_ok(&kit.dom0, 5, 9, own(8));
        assert_eq!(kit.unmap(handle, own(8)), GNTST_okay);
        assert!(kit.world.populate(&kit.dom0, own(8).0, 0));
    }
    assert_eq!(kit.world.hv.machine.frame(entry(&kit, 9).frame()).unwrap().load16(0), 0);
    kit.check();
}

/// Ends mappings, each of a handle and where it is said to be, by one list of dom0's; returns the statuses.
fn unmap_list(kit: &Kit, list: Gaddr, ends: &[(u32, Gfn)]) -> Vec<i16> {
    let size = size_of::<GnttabUnmapGrantRef>() as u64;
    for (n, (handle, at)) in (0..).zip(ends) {
        let mut op = GnttabUnmapGrantRef::new_zeroed();
        (op.host_addr, op.handle, op.status) = (at.addr().0, *handle, 99);
        kit.world.put(&kit.dom0, list.plus(n * size), &op);
    }
    let args = [GNTTABOP_unmap_grant_ref.into(), list.0, ends.len() as u64, 0, 0];
    assert_eq!(kit.world.call(&kit.dom0, __HYPERVISOR_grant_table_op.into(), args), Ok(0));
    let answer = |n| kit.world.take::<GnttabUnmapGrantRef>(&kit.dom0, list.plus(n * size));
    (0..ends.len() as u64)
        .map(|n| {
            let op = answer(n);
            assert_eq!((op.handle, op.host_addr), (ends[n as usize].0, ends[n as usize].1.addr().0));
            op.status
        })
        .collect()
}

#[test]
fn each_mapping_of_a_list_is_ended_by_itself() {
    let kit = Kit::new();
    let handles: Vec<u32> = (0..4)
        .map(|n| {
            kit.grant(n, GTF_permit_access, n.into());
            kit.world.map_ok(&kit.dom0, 5, n, HERE.plus(n.into()))
        })
        .collect();
    let at = |n| (handles[n as usize], HERE.plus(n));
    let ends = [at(0), (handles[1], HERE.plus(2)), (9999, HERE), (handles[2], Gfn(0)), at(0), at(3)];
    let statuses = unmap_list(&kit, LISTS, &ends);
    let bad = GNTST_bad_handle;
    assert_eq!(statuses, [GNTST_okay, GNTST_general_error, bad, GNTST_okay, bad, GNTST_okay]);
    let mapped = [0, 1, 2, 3].map(|n| (kit.reads(HERE.plus(n)), kit.flags(n as u32) & IN_USE == IN_USE));
    assert_eq!(mapped, [(false, false), (true, true), (true, true), (false, false)]);
    kit.check();
}

#[test]
fn long_lists_that_cross_pages_are_done_whole() {
    let kit = Kit::new();
    // Elements of both lists lie in two pages.
    map_list(&kit, LISTS.plus(16), 150);
    let args = [GNTTABOP_map_grant_ref.into(), LISTS.0 + 16, 150, 0, 0];
    kit.world.call(&kit.dom0, __HYPERVISOR_grant_table_op.into(), args).unwrap();
    assert_eq!(statuses(&kit, LISTS.plus(16), 150), [GNTST_okay; 150]);
    kit.check();
    let ends: Vec<(u32, Gfn)> = (0..150)
        .map(|n| {
            let op: GnttabMapGrantRef = kit.world.take(&kit.dom0, LISTS.plus(16 + n * 32));
            (op.handle, HERE.plus(n))
        })
        .collect();
    let free = kit.free();
    assert_eq!(unmap_list(&kit, LISTS.plus(12), &ends), [GNTST_okay; 150]);
    assert!((0..150).all(|n| !kit.reads(HERE.plus(n))));
    assert!(kit.free() >= free);
    kit.check();
}

#[test]
fn mappings_in_tables_of_their_own_leave_no_table_behind() {
    let kit = Kit::new();
    kit.grant(9, GTF_permit_access, 4);
    let far = |n: u64| Gfn(0xa_0000 + (n << 18));
    let round = || {
        let ends: Vec<_> = (0..20).map(|n| (kit.world.map_ok(&kit.dom0, 5, 9, far(n)), far(n))).collect();
        kit.check();
        assert_eq!(unmap_list(&kit, LISTS, &ends), [GNTST_okay; 20]);
        kit.check();
        // What dom0's pool has in store afterwards: all tables of the mappings.
        kit.dom0.memory.lock().pool.total()
    };
    assert_eq!(round(), round());
}

#[test]
fn mapping_may_take_the_place_of_the_list_that_asks_for_it() {
    let kit = Kit::new();
    map_list(&kit, LISTS, 1);
    let mut op: GnttabMapGrantRef = kit.world.take(&kit.dom0, LISTS);
    op.host_addr = LISTS.frame().addr().0;
    kit.world.put(&kit.dom0, LISTS, &op);
    let before = kit.dom0.tot_pages();
    let args = [GNTTABOP_map_grant_ref.into(), LISTS.0, 1, 0, 0];
    assert_eq!(kit.world.call(&kit.dom0, __HYPERVISOR_grant_table_op.into(), args), Ok(0));
    assert_eq!(kit.dom0.tot_pages(), before - 1, "the page with the answer is gone");
    kit.world.put(&kit.owner, own(0).addr(), &0x31u64);
    assert_eq!(kit.world.take::<u64>(&kit.dom0, LISTS), 0x31);
    kit.check();
}

/// Xen asks only whether the entry is read-only then; here a grant that was revoked gives nobody a new right.
#[test]
fn entry_that_was_revoked_gives_its_reader_no_right_to_write() {
    let kit = Kit::new();
    kit.grant(9, GTF_permit_access, 4);
    let reader = kit.map(9, RO, HERE).handle;
    kit.grant(9, GTF_invalid | GTF_reading, 4);
    assert_eq!((kit.map(9, RW, HERE.plus(1)).status, kit.flags(9)), (GNTST_general_error, GTF_reading));
    let second = kit.map(9, RO, HERE.plus(1));
    assert_eq!(second.status, GNTST_okay, "who reads may read");
    kit.check();
    assert_eq!(kit.unmap(reader, HERE), GNTST_okay);
    assert_eq!(kit.flags(9), GTF_reading);
    assert_eq!(kit.unmap(second.handle, HERE.plus(1)), GNTST_okay);
    assert_eq!(kit.flags(9), 0);
}

/// Xen takes away GTF_writing only after a use for writing, whoever set it.
#[test]
fn mark_of_writing_that_no_use_made_is_the_guests_own() {
    let kit = Kit::new();
    let marked = GTF_permit_access | GTF_writing;
    kit.grant(9, marked, 4);
    let reader = kit.map(9, RO, HERE).handle;
    assert_eq!(kit.flags(9), marked | GTF_reading);
    assert_eq!((kit.unmap(reader, HERE), kit.flags(9)), (GNTST_okay, marked));
    kit.world.grant(&kit.owner, 9, marked, 0, Gfn(0x5555));
    assert_eq!((kit.status(9, RO), kit.flags(9)), (GNTST_bad_page, marked));
    assert_eq!((kit.status(9, RW), kit.flags(9)), (GNTST_bad_page, GTF_permit_access));
    // One that writes takes it along, but not before the last of them goes.
    kit.grant(9, marked, 4);
    let (reader, writer) = (kit.map(9, RO, HERE).handle, kit.map(9, RW, HERE.plus(1)).handle);
    assert_eq!((kit.unmap(reader, HERE), kit.flags(9)), (GNTST_okay, GTF_permit_access | IN_USE));
    assert_eq!((kit.unmap(writer, HERE.plus(1)), kit.flags(9)), (GNTST_okay, GTF_permit_access));
    kit.check();
}

#[test]
fn grant_revoked_while_it_is_mapped_keeps_its_marks_until_the_last_mapping_goes() {
    let kit = Kit::new();
    kit.grant(9, GTF_permit_access, 4);
    let (writer, reader) = (kit.map(9, RW, HERE).handle, kit.map(9, RO, HERE.plus(1)).handle);
    // The guest revokes all but the marks, which are not its own.
    kit.grant(9, GTF_invalid | IN_USE, 4);
    assert_eq!(kit.world.map(&kit.other, 5, 9, RO, HERE).status, GNTST_general_error);
    assert_eq!((kit.unmap(writer, HERE), kit.flags(9)), (GNTST_okay, GTF_reading));
    assert!(kit.reads(HERE.plus(1)), "what is mapped stays mapped");
    assert_eq!((kit.unmap(reader, HERE.plus(1)), kit.flags(9)), (GNTST_okay, GTF_invalid));
    assert_eq!(kit.status(9, RO), GNTST_general_error);
    kit.check();
}

#[test]
fn many_mappings_of_a_dying_domain_go_a_step_at_a_time() {
    let kit = Kit::new();
    kit.world.grant(&kit.owner, 9, GTF_permit_access, 6, own(4));
    for n in 0..100 {
        kit.world.map_ok(&kit.other, 5, 9, HERE.plus(n));
    }
    // The first step only stops the domain.
    let hv = kit.world.hv;
    hv.machine.set_stage2(kit.dom0.root);
    assert_eq!(hv.destroy_domain(&kit.other), Ok(false));
    let mut steps = 1;
    while !kit.other.grants.teardown(hv, &kit.other, 40) {
        steps += 1;
    }
    assert!((3..=5).contains(&steps), "{steps} steps");
    assert_eq!(kit.flags(9) & IN_USE, 0);
    kit.world.kill(6).unwrap();
    kit.check();
}
