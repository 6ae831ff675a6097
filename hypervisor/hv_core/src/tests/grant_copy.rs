//! Copies between pages of the caller and granted ones.

use crate::domain::Domain;
use crate::testkit::{GUEST_PAGES, GUEST_RAM, LISTS, World, check};
use alloc::sync::Arc;
use alloc::vec::Vec;
use hal::{Gaddr, Gfn, MachineOps as _};
use xen_abi::Errno;
use xen_abi::grant_table::*;
use xen_abi::xen::*;
use zerocopy::FromZeros as _;

const PERMIT: u16 = GTF_permit_access;

fn own(n: u64) -> Gfn {
    GUEST_RAM.plus(n)
}

/// One side of a copy.
#[derive(Clone, Copy)]
enum Side {
    /// A guest frame, said to be of a domain.
    Frame(u16, Gfn),
    /// A grant of a domain.
    Grant(u16, u32),
}

use Side::{Frame, Grant};

const MINE: u16 = DOMID_SELF;

struct Kit {
    world: World,
    dom0: Arc<Domain>,
    five: Arc<Domain>,
    six: Arc<Domain>,
}

fn copy_op(source: (Side, u16), dest: (Side, u16), len: u16) -> GnttabCopy {
    let mut op = GnttabCopy::new_zeroed();
    let mut fill = |ptr: &mut GnttabCopyPtr, (side, offset): (Side, u16), flag: u16| {
        ptr.offset = offset;
        match side {
            Frame(domid, gfn) => (ptr.domid, ptr.u) = (domid, gfn.0),
            // The reference is half of its union.
            Grant(domid, gref) => {
                (ptr.domid, ptr.u) = (domid, 0xaaaa_aaaa_0000_0000 | u64::from(gref));
                op.flags |= flag;
            }
        }
    };
    let (mut from, mut to) = (GnttabCopyPtr::new_zeroed(), GnttabCopyPtr::new_zeroed());
    fill(&mut from, source, GNTCOPY_source_gref);
    fill(&mut to, dest, GNTCOPY_dest_gref);
    (op.source, op.dest, op.len, op.status) = (from, to, len, 99);
    op
}

impl Kit {
    /// Domain 5 grants its page 4 to dom0 as reference 9, and read-only as 10; domain 6 its page 5.
    fn new() -> Self {
        let world = World::hostile();
        let (dom0, five, six) = (world.get(0), world.domain(5, 1), world.domain(6, 1));
        for domain in [&dom0, &five, &six] {
            world.map_grants(domain);
        }
        world.grant(&five, 9, PERMIT, 0, own(4));
        world.grant(&five, 10, PERMIT | GTF_readonly, 0, own(4));
        world.grant(&six, 9, PERMIT, 0, own(5));
        Self { world, dom0, five, six }
    }

    fn copy(&self, source: (Side, u16), dest: (Side, u16), len: u16) -> i16 {
        let op = self.world.grant_op(&self.dom0, GNTTABOP_copy, &copy_op(source, dest, len)).unwrap();
        check(&self.world, &[]);
        let flags =
            [(&self.five, 9), (&self.five, 10), (&self.six, 9)].map(|(d, n)| self.world.grant_flags(d, n));
        assert_eq!(flags, [PERMIT, PERMIT | GTF_readonly, PERMIT], "no mark stays");
        op.status
    }

    fn status(&self, source: Side, dest: Side) -> i16 {
        self.copy((source, 0), (dest, 0), 8)
    }

    fn fill(&self, domain: &Domain, page: u64, byte: u8) {
        self.world.put(domain, own(page).addr(), &[byte; 4096]);
    }

    fn bytes(&self, domain: &Domain, page: u64, at: u64) -> [u8; 4] {
        self.world.take(domain, own(page).addr().plus(at))
    }
}

#[test]
fn bytes_go_from_a_frame_to_a_grant_and_back() {
    let kit = Kit::new();
    kit.fill(&kit.dom0, 2, 0x22);
    kit.fill(&kit.five, 4, 0x54);
    let frame = Frame(MINE, own(2));
    assert_eq!(kit.copy((frame, 100), (Grant(5, 9), 1001), 2), GNTST_okay);
    assert_eq!(kit.bytes(&kit.five, 4, 1000), [0x54, 0x22, 0x22, 0x54]);
    assert_eq!(kit.copy((Grant(5, 10), 1000), (frame, 0), 3), GNTST_okay);
    assert_eq!(kit.bytes(&kit.dom0, 2, 0), [0x54, 0x22, 0x22, 0x22]);
    assert_eq!(kit.copy((frame, 0), (Grant(5, 9), 0), 4096), GNTST_okay);
    assert_eq!(
        kit.world.take::<[u8; 4096]>(&kit.five, own(4).addr()),
        kit.world.take::<[u8; 4096]>(&kit.dom0, own(2).addr())
    );
}

#[test]
fn bytes_go_between_grants_of_two_domains_and_between_own_frames() {
    let kit = Kit::new();
    kit.fill(&kit.five, 4, 0x54);
    kit.fill(&kit.six, 5, 0x65);
    kit.fill(&kit.dom0, 2, 0x22);
    assert_eq!(kit.copy((Grant(5, 9), 0), (Grant(6, 9), 4094), 2), GNTST_okay);
    assert_eq!(kit.bytes(&kit.six, 5, 4092), [0x65, 0x65, 0x54, 0x54]);
    assert_eq!(kit.copy((Frame(MINE, own(2)), 0), (Frame(MINE, own(3)), 0), 4), GNTST_okay);
    assert_eq!(kit.bytes(&kit.dom0, 3, 0), [0x22; 4]);
    assert_eq!(
        kit.copy((Grant(5, 10), 4096), (Frame(MINE, own(3)), 4096), 0),
        GNTST_okay,
        "nothing is copied"
    );
}

#[test]
fn domain_copies_by_its_own_grant() {
    let kit = Kit::new();
    kit.world.grant(&kit.dom0, 3, PERMIT, 0, own(6));
    kit.fill(&kit.dom0, 6, 0x66);
    for domid in [0, DOMID_SELF] {
        assert_eq!(kit.copy((Grant(domid, 3), 0), (Frame(MINE, own(7)), 0), 4), GNTST_okay);
        assert_eq!(kit.bytes(&kit.dom0, 7, 0), [0x66; 4]);
        kit.fill(&kit.dom0, 7, 0);
    }
    assert_eq!(kit.copy((Grant(0, 3), 0), (Grant(0, 3), 8), 8), GNTST_okay, "one page as both sides");
    assert_eq!(kit.world.grant_flags(&kit.dom0, 3), PERMIT);
}

#[test]
fn copy_beyond_a_page_is_refused() {
    let kit = Kit::new();
    kit.fill(&kit.five, 4, 0x54);
    let frame = Frame(MINE, own(2));
    for (from, to, len) in
        [(4095, 0, 2), (0, 4095, 2), (4096, 0, 1), (0, 0, 4097), (0xffff, 0, 0xffff), (0, 0xffff, 1)]
    {
        assert_eq!(kit.copy((frame, from), (Grant(5, 9), to), len), GNTST_bad_copy_arg, "{from} {to} {len}");
    }
    assert_eq!(kit.bytes(&kit.five, 4, 0), [0x54; 4]);
}

#[test]
fn frames_are_the_callers_own_and_said_to_be() {
    let kit = Kit::new();
    for domid in [5, 0, 99, DOMID_IO] {
        assert_eq!(kit.status(Frame(domid, own(2)), Grant(5, 9)), GNTST_permission_denied, "{domid}");
        assert_eq!(kit.status(Grant(5, 9), Frame(domid, own(2))), GNTST_permission_denied, "{domid}");
    }
    for frame in [Gfn(0x5555), Gfn(1 << 28), Gfn(u64::MAX)] {
        assert_eq!(kit.status(Frame(MINE, frame), Grant(5, 9)), GNTST_bad_page);
        assert_eq!(kit.status(Grant(5, 9), Frame(MINE, frame)), GNTST_bad_page);
    }
}

#[test]
fn pages_of_others_that_the_caller_maps_are_not_its_own() {
    let kit = Kit::new();
    kit.world.map_ok(&kit.dom0, 6, 9, Gfn(0x300));
    assert_eq!(kit.world.map_foreign(&kit.dom0, 5, own(1), Gfn(0x301)), 0);
    for n in 0..2 {
        let there = Frame(MINE, Gfn(0x300 + n));
        let op =
            kit.world.grant_op(&kit.dom0, GNTTABOP_copy, &copy_op((there, 0), (Grant(5, 9), 0), 8)).unwrap();
        assert_eq!(op.status, GNTST_bad_page);
    }
    check(&kit.world, &[]);
}

#[test]
fn grants_that_do_not_permit_are_refused() {
    let kit = Kit::new();
    let mine = Frame(MINE, own(2));
    assert_eq!(kit.status(mine, Grant(5, 10)), GNTST_general_error, "read only");
    assert_eq!(kit.status(mine, Grant(5, 11)), GNTST_general_error, "no grant");
    assert_eq!(kit.status(Grant(5, 512), mine), GNTST_bad_gntref);
    assert_eq!(kit.status(Grant(5, u32::MAX), mine), GNTST_bad_gntref);
    assert_eq!(kit.status(Grant(99, 9), mine), GNTST_bad_domain);
    assert_eq!(kit.status(mine, Grant(DOMID_INVALID, 9)), GNTST_bad_domain);
    kit.world.grant(&kit.five, 12, PERMIT, 6, own(4));
    assert_eq!(kit.status(Grant(5, 12), mine), GNTST_general_error, "for another");
    kit.world.grant(&kit.five, 12, PERMIT, 0, Gfn(0x5555));
    assert_eq!(kit.status(Grant(5, 12), mine), GNTST_bad_page);
    assert_eq!(kit.world.grant_flags(&kit.five, 12), PERMIT);
}

#[test]
fn source_is_let_go_when_the_destination_fails() {
    let kit = Kit::new();
    assert_eq!(kit.status(Grant(5, 9), Grant(6, 77)), GNTST_general_error);
    assert_eq!(kit.status(Grant(5, 9), Frame(MINE, Gfn(0x5555))), GNTST_bad_page);
    assert_eq!(kit.status(Grant(5, 9), Grant(99, 0)), GNTST_bad_domain);
}

#[test]
fn page_in_use_by_another_cannot_be_copied_from() {
    let kit = Kit::new();
    kit.world.grant(&kit.five, 12, PERMIT, 6, own(4));
    let handle = kit.world.map_ok(&kit.six, 5, 12, Gfn(0x300));
    kit.world.grant(&kit.five, 12, PERMIT | GTF_reading | GTF_writing, 0, own(4));
    let op = kit.world.grant_op(
        &kit.dom0,
        GNTTABOP_copy,
        &copy_op((Grant(5, 12), 0), (Frame(MINE, own(2)), 0), 8),
    );
    assert_eq!(op.unwrap().status, GNTST_general_error);
    check(&kit.world, &[]);
    assert_eq!(kit.world.unmap(&kit.six, handle, Gfn(0x300)), GNTST_okay);
    assert_eq!(kit.status(Grant(5, 12), Frame(MINE, own(2))), GNTST_okay);
}

/// Transitive grants are of version 2, and a page to be transferred is nobody's to copy.
#[test]
fn grants_of_other_kinds_are_not_copied_by() {
    let kit = Kit::new();
    let mine = Frame(MINE, own(2));
    for kind in [GTF_invalid, GTF_accept_transfer, GTF_transitive] {
        kit.world.grant(&kit.five, 12, kind, 0, own(4));
        assert_eq!(kit.status(Grant(5, 12), mine), GNTST_general_error, "kind {kind}");
        assert_eq!(kit.status(mine, Grant(5, 12)), GNTST_general_error, "kind {kind}");
        assert_eq!(kit.world.grant_flags(&kit.five, 12), kind);
    }
}

#[test]
fn copy_leaves_the_marks_of_a_mapping() {
    let kit = Kit::new();
    kit.world.map_ok(&kit.dom0, 5, 9, Gfn(0x300));
    let op = copy_op((Grant(5, 9), 0), (Frame(MINE, own(2)), 0), 8);
    assert_eq!(kit.world.grant_op(&kit.dom0, GNTTABOP_copy, &op).unwrap().status, GNTST_okay);
    assert_eq!(kit.world.grant_flags(&kit.five, 9), PERMIT | GTF_reading | GTF_writing);
    check(&kit.world, &[]);
}

#[test]
fn long_list_of_copies_is_done_whole() {
    let kit = Kit::new();
    for n in 0..100u64 {
        kit.world.put(&kit.dom0, own(2).addr().plus(n), &(n as u8));
        let op = copy_op((Frame(MINE, own(2)), n as u16), (Grant(5, 9), 100 + n as u16), 1);
        kit.world.put(&kit.dom0, LISTS.plus(n * 40), &op);
    }
    let args = [GNTTABOP_copy.into(), LISTS.0, 100, 7, 7];
    kit.world.call(&kit.dom0, __HYPERVISOR_grant_table_op.into(), args).unwrap();
    let got: [u8; 100] = kit.world.take(&kit.five, own(4).addr().plus(100));
    assert_eq!(got.to_vec(), (0..100).collect::<Vec<u8>>());
    let statuses = (0..100).map(|n| kit.world.take::<GnttabCopy>(&kit.dom0, LISTS.plus(n * 40)).status);
    assert!(statuses.into_iter().all(|status| status == GNTST_okay));
}

#[test]
fn copy_operation_is_read_once_and_a_wild_one_faults() {
    let kit = Kit::new();
    let op = copy_op((Frame(MINE, own(2)), 0), (Grant(5, 9), 0), 8);
    kit.world.put(&kit.dom0, LISTS, &op);
    let machine = kit.world.hv.machine;
    let at = kit.dom0.lookup(kit.world.hv, LISTS.frame()).unwrap().mfn.addr();
    let watch = machine.count_reads(at, size_of::<GnttabCopy>());
    let call = |list: u64| {
        kit.world.call(&kit.dom0, __HYPERVISOR_grant_table_op.into(), [GNTTABOP_copy.into(), list, 1, 0, 0])
    };
    assert_eq!(call(LISTS.0), Ok(0));
    machine.assert_read_once(watch);
    machine.set_stage2(kit.dom0.root);
    assert_eq!(call(0x7000_0000_0000), Err(Errno::EFAULT));
}

/// Issues one call for a list of copies of dom0's at `list`; returns the result and the statuses.
fn copy_list(kit: &Kit, list: Gaddr, ops: &[GnttabCopy]) -> (Result<u64, Errno>, Vec<i16>) {
    for (n, op) in (0..).zip(ops) {
        kit.world.put(&kit.dom0, list.plus(n * 40), op);
    }
    let args = [GNTTABOP_copy.into(), list.0, ops.len() as u64, 0, 0];
    let result = kit.world.call(&kit.dom0, __HYPERVISOR_grant_table_op.into(), args);
    let status = |n| kit.world.take::<GnttabCopy>(&kit.dom0, list.plus(n * 40)).status;
    (result, (0..ops.len() as u64).map(status).collect())
}

#[test]
fn each_copy_of_a_list_has_the_pages_that_it_names() {
    let kit = Kit::new();
    kit.fill(&kit.five, 4, 0x54);
    kit.fill(&kit.six, 5, 0x65);
    let mine = |page, offset| (Frame(MINE, own(page)), offset);
    let ops = [
        copy_op((Grant(5, 9), 0), mine(2, 0), 4),
        copy_op((Grant(5, 9), 8), mine(2, 4), 4),
        copy_op((Grant(6, 9), 0), mine(2, 8), 4),
        copy_op((Grant(6, 10), 0), mine(2, 12), 4),
        copy_op((Grant(6, 9), 0), mine(2, 12), 4),
        copy_op(mine(2, 0), (Grant(6, 9), 4), 4),
        copy_op((Grant(6, 9), 4), (Grant(5, 10), 0), 4),
        copy_op((Grant(6, 9), 4), mine(3, 0), 4),
        copy_op((Grant(6, 9), 4), mine(3, 4096), 1),
        copy_op((Grant(5, 10), 4092), mine(3, 4), 4),
    ];
    let (result, statuses) = copy_list(&kit, LISTS, &ops);
    let (ok, error) = (GNTST_okay, GNTST_general_error);
    assert_eq!(result, Ok(0));
    assert_eq!(statuses, [ok, ok, ok, error, ok, ok, error, ok, GNTST_bad_copy_arg, ok]);
    let bytes = |page, at| kit.bytes(&kit.dom0, page, at)[0];
    assert_eq!([0, 4, 8, 12].map(|at| bytes(2, at)), [0x54, 0x54, 0x65, 0x65]);
    assert_eq!([bytes(3, 0), bytes(3, 4)], [0x54, 0x54]);
    // All is closed: each can be used and looked at anew.
    assert_eq!(kit.copy(mine(2, 0), (Grant(6, 9), 0), 4), GNTST_okay);
}

#[test]
fn fault_in_a_list_leaves_no_page_open() {
    let kit = Kit::new();
    let end = Gfn(GUEST_RAM.0 + GUEST_PAGES).addr().0;
    let op = copy_op((Grant(5, 9), 0), (Frame(MINE, own(2)), 0), 4);
    let list = Gaddr(end - 80);
    kit.world.put(&kit.dom0, list, &op);
    kit.world.put(&kit.dom0, list.plus(40), &op);
    let args = [GNTTABOP_copy.into(), list.0, 3, 0, 0];
    let result = kit.world.call(&kit.dom0, __HYPERVISOR_grant_table_op.into(), args);
    assert_eq!(result, Err(Errno::EFAULT));
    check(&kit.world, &[]);
    assert_eq!(kit.world.grant_flags(&kit.five, 9), PERMIT);
}

#[test]
fn domains_are_looked_for_before_grants_and_grants_before_bounds() {
    let kit = Kit::new();
    let frame = |page| (Frame(MINE, own(page)), 0);
    assert_eq!(kit.copy((Grant(5, 512), 4095), (Grant(99, 9), 0), 8), GNTST_bad_domain);
    assert_eq!(kit.copy((Grant(5, 512), 4095), frame(2), 8), GNTST_bad_gntref);
    assert_eq!(kit.copy(frame(2), (Grant(5, 10), 4095), 8), GNTST_general_error);
    assert_eq!(kit.copy((Grant(99, 9), 0), (Frame(5, own(2)), 0), 8), GNTST_bad_domain);
    assert_eq!(kit.copy((Frame(5, own(2)), 0), (Grant(99, 9), 0), 8), GNTST_permission_denied);
}

#[test]
fn copy_by_an_entry_in_use_is_of_the_page_in_use_whatever_the_guest_writes_there() {
    let kit = Kit::new();
    kit.fill(&kit.five, 4, 0x44);
    kit.fill(&kit.five, 5, 0x55);
    kit.world.map_ok(&kit.dom0, 5, 9, Gfn(0x300));
    kit.world.grant(&kit.five, 9, PERMIT | GTF_reading | GTF_writing, 0, own(5));
    let op = copy_op((Grant(5, 9), 0), (Frame(MINE, own(2)), 0), 8);
    assert_eq!(kit.world.grant_op(&kit.dom0, GNTTABOP_copy, &op).unwrap().status, GNTST_okay);
    assert_eq!(kit.bytes(&kit.dom0, 2, 0), [0x44; 4]);
    check(&kit.world, &[]);
}
