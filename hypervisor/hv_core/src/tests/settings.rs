//! What the tools note about a domain, and what they ask for that is not there.

use crate::domain::{Domain, ShutdownReason};
use crate::event;
use crate::testkit::{ARGS, GRANTS, GUEST_PAGES, LISTS, World, check};
use alloc::sync::Arc;
use hal::Gfn;
use machine::Abi;
use xen_abi::domctl::v4_17::DominfFlags;
use xen_abi::domctl::*;
use xen_abi::event_channel::{EVTCHNOP_status, EVTCHNSTAT_closed, EvtchnStatus};
use xen_abi::grant_table::*;
use xen_abi::hvm::hvm_op::HVMOP_guest_request_vm_event;
use xen_abi::memory::*;
use xen_abi::sched::{SHUTDOWN_soft_reset, SHUTDOWN_suspend};
use xen_abi::vcpu::*;
use xen_abi::xen::*;
use xen_abi::{Arch as _, Errno, GuestHandle, Plain};
use zerocopy::FromZeros as _;

const WILD: GuestHandle = GuestHandle(0x7000_0000_0000);

fn setup() -> (World, Arc<Domain>, Arc<Domain>) {
    let world = World::hostile();
    let (dom0, domu) = (world.get(0), world.domain(5, 2));
    (world, dom0, domu)
}

fn ask<T: Plain>(world: &World, cmd: u32, payload: &T) -> Result<T, Errno> {
    world.domctl(&world.get(0), cmd, 5, payload)
}

#[test]
fn debugger_is_said_to_be_attached() {
    let (world, dom0, _) = setup();
    let debugged =
        || DominfFlags::from_bits_retain(world.info(5).unwrap().flags).contains(DominfFlags::DEBUGGED);
    assert!(!debugged());
    ask(&world, XEN_DOMCTL_setdebugging, &SetDebugging { enable: 7 }).unwrap();
    assert!(debugged());
    ask(&world, XEN_DOMCTL_setdebugging, &SetDebugging { enable: 0 }).unwrap();
    assert!(!debugged());
    let own = world.domctl(&dom0, XEN_DOMCTL_setdebugging, 0, &SetDebugging { enable: 1 });
    assert_eq!(own, Err(Errno::EINVAL));
}

#[test]
fn domain_manages_its_target_and_no_other() {
    let (world, dom0, domu) = setup();
    let (stub, other) = (world.domain(6, 1), world.domain(7, 1));
    let target = |target: u16| world.domctl(&dom0, XEN_DOMCTL_set_target, 6, &SetTarget { target }).map(drop);
    let pages = |of: u16| world.memory_op(&stub, XENMEM_current_reservation, &MemoryDomain { domid: of });
    assert_eq!(pages(5), Err(Errno::EPERM));
    assert_eq!(target(9), Err(Errno::ESRCH));
    assert_eq!(target(0x7ff0), Err(Errno::ESRCH));
    assert_eq!(target(6), Err(Errno::EINVAL));
    assert_eq!(target(5), Ok(()));
    assert_eq!((pages(5), pages(7)), (Ok(GUEST_PAGES), Err(Errno::EPERM)));
    assert_eq!(target(7), Err(Errno::EINVAL), "once and for all");
    assert_eq!(target(5), Err(Errno::EINVAL));
    let back = world.memory_op(&domu, XENMEM_current_reservation, &MemoryDomain { domid: 6 });
    assert_eq!(back, Err(Errno::EPERM), "it goes one way");
    // Another domain under the same number is another domain.
    world.destroy(&domu);
    drop(domu);
    world.domain(5, 1);
    assert_eq!(pages(5), Err(Errno::EPERM));
    drop(other);
}

#[test]
fn subscriber_hears_of_a_suspension_by_its_port() {
    let (world, dom0, domu) = setup();
    let port = event::alloc_unbound(&domu, 0).unwrap();
    let ours = event::bind_interdomain(world.hv, &dom0, &domu, port).unwrap();
    world.add_to_physmap(&dom0, DOMID_SELF, XENMAPSPACE_shared_info, 0, Gfn(0x100)).unwrap();
    let at = Gfn(0x100).addr().plus(Abi::SHARED_INFO_EVTCHN_PENDING as u64);
    let pending = || world.take::<u64>(&dom0, at) >> ours & 1;
    // A channel that was just bound is pending.
    world.put(&dom0, at, &0u64);
    ask(&world, XEN_DOMCTL_subscribe, &Subscribe { port }).unwrap();
    world.hv.shut_down(&domu, ShutdownReason::REBOOT);
    assert_eq!(pending(), 0, "that is no suspension");
    world.hv.resume(&domu);
    world.hv.shut_down(&domu, ShutdownReason(SHUTDOWN_suspend as u8));
    assert_eq!(pending(), 1);
    // A port that is gone is no harm.
    world.hv.resume(&domu);
    event::close(world.hv, &domu, port).unwrap();
    world.hv.shut_down(&domu, ShutdownReason(SHUTDOWN_suspend as u8));
    assert!(domu.is_shut_down());
}

#[test]
fn soft_reset_makes_all_but_memory_and_registers_new() {
    let (world, dom0, domu) = setup();
    world.create(6, World::config()).unwrap();
    let reset = |cmd: u32| ask(&world, cmd, &0u64).map(drop);
    // What it has of the hypervisor.
    world.hv.take_down(&domu, domu.vcpu(1).unwrap());
    let info = VcpuRegisterVcpuInfo { mfn: crate::testkit::GUEST_RAM.0, offset: 64, rsvd: 0 };
    let register = || {
        world.put(&domu, ARGS, &info);
        world.call(&domu, __HYPERVISOR_vcpu_op.into(), [VCPUOP_register_vcpu_info.into(), 1, ARGS.0, 0, 0])
    };
    assert_eq!(register(), Ok(0));
    assert_eq!(register(), Err(Errno::EINVAL));
    let ports: Vec<u32> = (0..300).map(|_| event::alloc_unbound(&domu, 0).unwrap()).collect();
    let status = |port: u32| {
        let op = EvtchnStatus { dom: 5, port, ..EvtchnStatus::new_zeroed() };
        world.op(&dom0, __HYPERVISOR_event_channel_op.into(), EVTCHNOP_status, &op).map(|op| op.status)
    };
    assert_eq!(reset(XEN_DOMCTL_soft_reset), Err(Errno::EINVAL), "it runs");
    world.hv.shut_down(&domu, ShutdownReason(SHUTDOWN_soft_reset as u8));
    assert_eq!(reset(XEN_DOMCTL_soft_reset), Err(Errno::EINVAL), "nobody paused it");
    world.hv.pause_domain(&domu).unwrap();
    assert_eq!(reset(XEN_DOMCTL_soft_reset_cont), Err(Errno::EBUSY), "there is nothing to go on with");
    assert_eq!(reset(XEN_DOMCTL_soft_reset), Ok(()));
    assert!(ports.iter().all(|port| status(*port) == Ok(EVTCHNSTAT_closed)));
    assert!(!domu.is_shut_down() && domu.vcpu(0).unwrap().is_paused());
    assert_eq!(domu.tot_pages(), GUEST_PAGES as u32);
    check(&world, &[]);
    world.hv.unpause_domain(&domu).unwrap();
    assert_eq!(register(), Ok(0), "as if it had never");
    let own = world.domctl(&dom0, XEN_DOMCTL_soft_reset, 0, &0u64);
    assert_eq!(own, Err(Errno::EINVAL));
}

fn set_vnuma(world: &World, change: impl FnOnce(&mut Vnuma)) -> Result<(), Errno> {
    let dom0 = world.get(0);
    let ranges = [
        Vmemrange { start: 0x4000_0000, end: 0x5000_0000, flags: 0, nid: 0 },
        Vmemrange { start: 0x5000_0000, end: 0x6000_0000, flags: 0, nid: 1 },
    ];
    let mut request = Vnuma {
        nr_vnodes: 2,
        nr_vmemranges: 2,
        nr_vcpus: 2,
        pad: 0,
        vdistance: world.list(&dom0, 0, &[10u32, 20, 20, 10]),
        vcpu_to_vnode: world.list(&dom0, 0x100, &[0u32, 1]),
        vnode_to_pnode: world.list(&dom0, 0x200, &[0u32, 0]),
        vmemrange: world.list(&dom0, 0x300, &ranges),
    };
    change(&mut request);
    ask(world, XEN_DOMCTL_setvnumainfo, &request).map(drop)
}

#[test]
fn nodes_of_a_domain_are_set_and_told() {
    let (world, dom0, domu) = setup();
    let get = |caller: &Arc<Domain>, domid: u16, nodes: u32, vcpus: u32, ranges: u32| {
        let mut request = VnumaTopologyInfo::new_zeroed();
        (request.domid, request.nr_vnodes, request.nr_vcpus, request.nr_vmemranges) =
            (domid, nodes, vcpus, ranges);
        request.vdistance = GuestHandle(LISTS.0);
        request.vcpu_to_vnode = GuestHandle(LISTS.0 + 0x100);
        request.vmemrange = GuestHandle(LISTS.0 + 0x200);
        let answer = world.memory_op(caller, XENMEM_get_vnumainfo, &request);
        let after: VnumaTopologyInfo = world.take(caller, ARGS);
        (answer, (after.nr_vnodes, after.nr_vcpus, after.nr_vmemranges))
    };
    assert_eq!(get(&domu, DOMID_SELF, 9, 9, 9).0, Err(Errno::EOPNOTSUPP), "nobody has said");
    type Change = fn(&mut Vnuma);
    let bad: [(Change, Errno); 11] = [
        (|v| v.pad = 1, Errno::EINVAL),
        (|v| v.nr_vcpus = 1, Errno::EINVAL),
        (|v| v.nr_vnodes = 0, Errno::EINVAL),
        (|v| v.nr_vnodes = 33, Errno::EINVAL),
        (|v| v.nr_vnodes = u32::MAX, Errno::EINVAL),
        (|v| v.nr_vmemranges = 171, Errno::EINVAL),
        (|v| v.vdistance = WILD, Errno::EFAULT),
        (|v| v.vmemrange = WILD, Errno::EFAULT),
        (|v| v.vcpu_to_vnode = v.vdistance, Errno::E2BIG),
        (|v| v.vnode_to_pnode = v.vcpu_to_vnode, Errno::E2BIG),
        (|v| v.vnode_to_pnode = WILD, Errno::EFAULT),
    ];
    for (n, (change, error)) in bad.into_iter().enumerate() {
        assert_eq!(set_vnuma(&world, change), Err(error), "{n}");
    }
    let flagged = Vmemrange { start: 0, end: 4096, flags: 1, nid: 0 };
    let flags = |v: &mut Vnuma| v.vmemrange = world.list(&dom0, 0x400, &[flagged, flagged]);
    assert_eq!(set_vnuma(&world, flags), Err(Errno::EINVAL));
    assert_eq!(get(&domu, DOMID_SELF, 9, 9, 9).0, Err(Errno::EOPNOTSUPP));
    set_vnuma(&world, |_| ()).unwrap();
    for (nodes, vcpus, ranges) in [(1, 9, 9), (9, 1, 9), (9, 9, 1), (0, 0, 0)] {
        assert_eq!(get(&domu, DOMID_SELF, nodes, vcpus, ranges), (Err(Errno::ENOBUFS), (2, 2, 2)));
    }
    assert_eq!(get(&domu, DOMID_SELF, 9, 9, 9), (Ok(0), (2, 2, 2)));
    assert_eq!(world.take::<[u32; 4]>(&domu, LISTS), [10, 20, 20, 10]);
    assert_eq!(world.take::<[u32; 2]>(&domu, LISTS.plus(0x100)), [0, 1]);
    assert_eq!(world.take::<Vmemrange>(&domu, LISTS.plus(0x218)).start, 0x5000_0000);
    assert_eq!(get(&dom0, 5, 2, 2, 2).0, Ok(0));
    assert_eq!(get(&dom0, 6, 2, 2, 2).0, Err(Errno::ESRCH));
    assert_eq!(get(&domu, 0, 2, 2, 2).0, Err(Errno::EPERM));
    world.hv.destroy_domain(&domu).unwrap();
    assert_eq!(get(&dom0, 5, 2, 2, 2).0, Err(Errno::EOPNOTSUPP));
    set_vnuma(&world, |_| ()).unwrap();
    assert_eq!(get(&dom0, 5, 2, 2, 2).0, Err(Errno::EOPNOTSUPP), "it is dying");
}

#[test]
fn grant_table_is_made_larger_and_its_places_are_told() {
    let (world, dom0, domu) = setup();
    let setup = |caller: &Arc<Domain>, dom: u16, nr_frames: u32, frame_list: GuestHandle| {
        let op = GnttabSetupTable { dom, nr_frames, frame_list, ..GnttabSetupTable::new_zeroed() };
        world.grant_op(caller, GNTTABOP_setup_table, &op).map(|op| op.status)
    };
    let list = GuestHandle(LISTS.0);
    assert_eq!(setup(&domu, DOMID_SELF, 0, list), Ok(GNTST_okay));
    assert_eq!(setup(&domu, DOMID_SELF, 5, list), Ok(GNTST_general_error), "four at most");
    assert_eq!(setup(&domu, 0, 1, list), Ok(GNTST_permission_denied));
    assert_eq!(setup(&dom0, 9, 1, list), Ok(GNTST_bad_domain));
    assert_eq!(setup(&domu, DOMID_SELF, 1, WILD), Ok(GNTST_bad_virt_addr));
    world.map_grants(&domu);
    assert_eq!(setup(&domu, DOMID_SELF, 3, list), Ok(GNTST_okay));
    assert_eq!(world.take::<[u64; 3]>(&domu, LISTS), [GRANTS.0, u64::MAX, u64::MAX]);
    world.add_to_physmap(&domu, DOMID_SELF, XENMAPSPACE_grant_table, 2, Gfn(0x300)).unwrap();
    world.remove(&domu, GRANTS).unwrap();
    assert_eq!(setup(&dom0, 5, 3, list), Ok(GNTST_okay));
    assert_eq!(world.take::<[u64; 3]>(&dom0, LISTS), [u64::MAX, u64::MAX, 0x300]);
    let two = world.call(&domu, __HYPERVISOR_grant_table_op.into(), [2, ARGS.0, 2, 0, 0]);
    assert_eq!(two, Err(Errno::EINVAL));
    check(&world, &[]);
}

#[test]
fn agents_are_told_that_there_are_no_events() {
    let (world, dom0, domu) = setup();
    let vm_event = |domid: u16, mode: u32, op: u32| {
        world.domctl(&dom0, XEN_DOMCTL_vm_event_op, domid, &VmEventOp { op, mode, u: 0 }).map(|op| op.u)
    };
    let monitor = XEN_DOMCTL_VM_EVENT_OP_MONITOR;
    assert_eq!(vm_event(0x7ff4, 0, XEN_VM_EVENT_GET_VERSION), Ok(7), "of no domain");
    assert_eq!(vm_event(9, monitor, XEN_VM_EVENT_ENABLE), Err(Errno::ESRCH));
    assert_eq!(vm_event(0, monitor, XEN_VM_EVENT_ENABLE), Err(Errno::EINVAL));
    assert_eq!(vm_event(5, monitor, XEN_VM_EVENT_ENABLE), Err(Errno::EOPNOTSUPP));
    assert_eq!(vm_event(5, monitor, XEN_VM_EVENT_DISABLE), Err(Errno::EINVAL));
    assert_eq!(vm_event(5, monitor, XEN_VM_EVENT_RESUME), Err(Errno::ENODEV));
    assert_eq!(vm_event(5, XEN_DOMCTL_VM_EVENT_OP_PAGING, XEN_VM_EVENT_ENABLE), Err(Errno::ENOSYS));
    world.create(6, World::config()).unwrap();
    assert_eq!(vm_event(6, monitor, XEN_VM_EVENT_ENABLE), Err(Errno::EINVAL), "no vCPU");
    let op = |domid: u16, op: u32, event: u32| {
        let request = MonitorOp { op, event, u: [0; 2] };
        world.domctl(&dom0, XEN_DOMCTL_monitor_op, domid, &request).map(|op| op.event)
    };
    assert_eq!(op(5, XEN_DOMCTL_MONITOR_OP_GET_CAPABILITIES, 99), Ok(0));
    assert_eq!(op(0, XEN_DOMCTL_MONITOR_OP_GET_CAPABILITIES, 0), Err(Errno::EPERM));
    assert_eq!(op(5, XEN_DOMCTL_MONITOR_OP_ENABLE, 32), Err(Errno::EINVAL));
    assert_eq!(op(5, XEN_DOMCTL_MONITOR_OP_ENABLE, 4), Err(Errno::EOPNOTSUPP));
    assert_eq!(op(5, 99, 4), Err(Errno::EOPNOTSUPP));
    let request = |arg: u64| {
        world.call(&domu, __HYPERVISOR_hvm_op.into(), [HVMOP_guest_request_vm_event.into(), arg, 0, 0, 0])
    };
    assert_eq!((request(0), request(ARGS.0)), (Ok(0), Err(Errno::EINVAL)));
    for cmd in [XEN_DOMCTL_assign_device, XEN_DOMCTL_test_assign_device, XEN_DOMCTL_deassign_device] {
        assert_eq!(ask(&world, cmd, &0u64), Err(Errno::EOPNOTSUPP), "no IOMMU");
        assert_eq!(world.domctl(&dom0, cmd, 9, &0u64), Err(Errno::ESRCH));
    }
}

#[test]
fn pages_are_not_exchanged_and_none_is_a_devices() {
    let (world, dom0, domu) = setup();
    let exchange = |caller: &Arc<Domain>, change: fn(&mut MemoryExchange)| {
        let mut request = MemoryExchange::new_zeroed();
        request.input.extent_start = world.list(caller, 0, &[crate::testkit::GUEST_RAM.0, 0x1_0000]);
        request.output.extent_start = GuestHandle(LISTS.0 + 64);
        (request.input.nr_extents, request.output.nr_extents) = (1, 1);
        (request.input.domid, request.output.domid) = (DOMID_SELF, DOMID_SELF);
        change(&mut request);
        world.memory_op(caller, XENMEM_exchange, &request).map(drop)
    };
    assert_eq!(exchange(&domu, |_| ()), Err(Errno::EOPNOTSUPP));
    assert_eq!(exchange(&domu, |x| x.input.extent_order = 10), Err(Errno::EPERM));
    assert_eq!(exchange(&dom0, |x| x.input.extent_order = 10), Err(Errno::EINVAL));
    assert_eq!(exchange(&domu, |x| x.output.extent_order = 1), Err(Errno::EINVAL));
    assert_eq!(exchange(&domu, |x| x.output.domid = 0), Err(Errno::EINVAL));
    assert_eq!(exchange(&domu, |x| x.nr_exchanged = 2), Err(Errno::EINVAL));
    assert_eq!(exchange(&domu, |x| x.nr_exchanged = 1), Ok(()), "nothing is left");
    assert_eq!(exchange(&domu, |x| x.input.extent_start.0 += 8), Err(Errno::EINVAL), "no page there");
    assert_eq!(exchange(&domu, |x| x.input.extent_start = WILD), Err(Errno::EFAULT));
    let other = |x: &mut MemoryExchange| (x.input.domid, x.output.domid) = (0, 0);
    assert_eq!(exchange(&domu, other), Err(Errno::EPERM));
    let reserved = |flags: u32| {
        let mut request = ReservedDeviceMemoryMap::new_zeroed();
        (request.flags, request.nr_entries) = (flags, 4);
        let answer = world.memory_op(&dom0, XENMEM_reserved_device_memory_map, &request);
        answer.map(|_| world.take::<ReservedDeviceMemoryMap>(&dom0, ARGS).nr_entries)
    };
    assert_eq!((reserved(0), reserved(1), reserved(2)), (Ok(0), Ok(0), Err(Errno::EINVAL)));
}
