//! Wild pointers and foreign domains: every sub-operation refuses them, and nothing changes.

use crate::domain::Domain;
use crate::hypercall::{HYPERCALLS, Status};
use crate::testkit::{ARGS, GUEST_RAM, LISTS, World, check};
use alloc::sync::Arc;
use alloc::vec::Vec;
use hal::PAGE_SIZE;
use xen_abi::domctl::*;
use xen_abi::event_channel::*;
use xen_abi::hypfs::XEN_HYPFS_OP_get_version;
use xen_abi::memory::*;
use xen_abi::platform::{PlatformOp, XENPF_INTERFACE_VERSION};
use xen_abi::sched::*;
use xen_abi::sysctl::{Sysctl, XEN_SYSCTL_INTERFACE_VERSION};
use xen_abi::version::{XENVER_pagesize, XENVER_version};
use xen_abi::xen::*;
use xen_abi::{Errno, Plain};
use zerocopy::FromZeros as _;

/// Addresses at which a test domain has nothing, or nothing behind the first bytes.
const WILD: [u64; 5] = [8, 0x7000_0000_0000, u64::MAX - 7, u64::MAX, (GUEST_RAM.0 + 64) << 12];

/// What can be seen of the machine's state from outside.
fn state(world: &World) -> Vec<u64> {
    let mut seen = vec![world.hv.frames.free_frames()];
    let mut from = 0;
    while let Some(domain) = world.hv.domains.first_from(from) {
        from = domain.id.raw() + 1;
        let up = domain.vcpus().filter(|v| v.is_up()).count() as u64;
        let blocked = domain.vcpus().filter(|v| v.is_blocked()).count() as u64;
        let paused = u64::from(domain.controller_pauses());
        let shut = u64::from(domain.is_shut_down()) + 2 * u64::from(domain.is_dying());
        let memory = [domain.tot_pages(), domain.max_pages()].map(u64::from);
        seen.extend([domain.id.raw().into(), up, blocked, paused, shut]);
        seen.extend(memory);
        seen.extend(domain.params.iter().map(|p| p.load(core::sync::atomic::Ordering::Relaxed)));
    }
    seen
}

/// The registers for a sub-operation with its argument at `at`; `None` where it has no argument.
fn args(call: u32, op: u32, at: u64) -> Option<[u64; 5]> {
    match (call, op) {
        (__HYPERVISOR_xen_version, XENVER_version | XENVER_pagesize) => None,
        (__HYPERVISOR_sched_op, SCHEDOP_yield | SCHEDOP_block) => None,
        (
            __HYPERVISOR_memory_op,
            XENMEM_maximum_ram_page | XENMEM_get_sharing_freed_pages | XENMEM_get_sharing_shared_pages,
        ) => None,
        (__HYPERVISOR_vm_assist, _) => None,
        (__HYPERVISOR_platform_op | __HYPERVISOR_domctl | __HYPERVISOR_sysctl, _) => Some([at, 0, 0, 0, 0]),
        (__HYPERVISOR_vcpu_op, _) => Some([op.into(), 0, at, 0, 0]),
        (__HYPERVISOR_console_io, _) => Some([op.into(), 16, at, 0, 0]),
        (__HYPERVISOR_grant_table_op, _) => Some([op.into(), at, 1, 0, 0]),
        (__HYPERVISOR_hypfs_op, XEN_HYPFS_OP_get_version) => None,
        (__HYPERVISOR_hypfs_op, _) => Some([op.into(), at, 8, at, 64]),
        (__HYPERVISOR_multicall, _) => Some([at, 1, 0, 0, 0]),
        _ => Some([op.into(), at, 0, 0, 0]),
    }
}

/// Calls of dom0 alone: who calls is looked at before the argument.
const TOOLS: [u32; 2] = [__HYPERVISOR_console_io, __HYPERVISOR_hypfs_op];

/// Who may not, or what is not there, is looked at before the argument.
const EARLY: [&str; 3] = ["build_id", "pin_override", "guest_request_vm_event"];

#[test]
fn argument_that_is_no_memory_faults_and_changes_nothing() {
    let world = World::hostile();
    let (dom0, domu) = (world.get(0), world.domain(5, 2));
    let before = state(&world);
    for call in HYPERCALLS {
        let ops = call.ops.iter().map(|op| (op.number, op.name, op.status));
        let whole = call.whole.iter().map(|(status, _)| (0, "", *status));
        for (op, name, status) in ops.chain(whole) {
            for caller in [&dom0, &domu] {
                for at in WILD {
                    let Some(args) = args(call.number, op, at) else { continue };
                    let answer = world.call(caller, call.number.into(), args);
                    let known = matches!(status, Status::Done | Status::Partial(_));
                    // These are looked at before their argument.
                    let early = matches!(answer, Err(Errno::EPERM | Errno::ENODATA | Errno::EINVAL))
                        && (TOOLS.contains(&call.number) || EARLY.contains(&name));
                    // What is typed is nothing here.
                    let nothing =
                        call.number == __HYPERVISOR_console_io && op == CONSOLEIO_read && answer == Ok(0);
                    assert!(
                        answer == Err(Errno::EFAULT) || early || nothing || (!known && answer.is_err()),
                        "{} {name} of {caller:?} at {at:x}: {answer:?}",
                        call.name,
                    );
                }
            }
        }
    }
    assert_eq!(state(&world), before);
    check(&world, &[]);
}

#[test]
fn argument_that_ends_in_a_hole_faults_or_is_shorter() {
    let world = World::hostile();
    let (dom0, domu) = (world.get(0), world.domain(5, 2));
    let end = (GUEST_RAM.0 + 64) << 12;
    let before = state(&world);
    for call in HYPERCALLS {
        for op in call.ops.iter().filter(|op| op.status == Status::Done) {
            for caller in [&dom0, &domu] {
                // Nothing in the ABI is shorter than two bytes.
                let Some(args) = args(call.number, op.number, end - 1) else { continue };
                let answer = world.call(caller, call.number.into(), args);
                let early = TOOLS.contains(&call.number) || EARLY.contains(&op.name);
                assert!(answer == Err(Errno::EFAULT) || early, "{} {}: {answer:?}", call.name, op.name);
            }
        }
    }
    assert_eq!(state(&world), before);
    check(&world, &[]);
}

#[test]
fn translation_that_fails_on_the_way_leaves_the_books_right() {
    let world = World::hostile();
    let (dom0, domu) = (world.get(0), world.domain(5, 2));
    for call in HYPERCALLS {
        // These end the domain or the machine when they succeed.
        if [__HYPERVISOR_sched_op, __HYPERVISOR_domctl].contains(&call.number) {
            continue;
        }
        for op in call.ops.iter().filter(|op| op.status == Status::Done) {
            let Some(args) = args(call.number, op.number, LISTS.0) else { continue };
            for caller in [&dom0, &domu] {
                for after in 0..4 {
                    world.put(caller, LISTS, &[0u8; 256]);
                    envelope(&world, caller, call.number, op.number);
                    world.hv.machine.fail_translate(after);
                    let _ = world.call(caller, call.number.into(), args);
                    world.hv.machine.fail_translate(u64::MAX - 1);
                }
            }
        }
    }
    // What event channels hold of pages cannot be seen; it goes with the domain.
    world.kill(5).unwrap();
    assert_eq!(world.info(1), Err(Errno::ESRCH));
    world.hv.machine.assert_no_faults();
}

/// Puts the version in the structure of calls that have one.
fn envelope(world: &World, caller: &Domain, call: u32, op: u32) {
    let version = match call {
        __HYPERVISOR_sysctl => XEN_SYSCTL_INTERFACE_VERSION,
        __HYPERVISOR_platform_op => XENPF_INTERFACE_VERSION,
        _ => return,
    };
    world.put(caller, LISTS, &[op, version]);
}

#[test]
fn unprivileged_domain_issues_no_calls_of_the_tools() {
    let world = World::hostile();
    let domu = world.domain(5, 2);
    world.domain(6, 1);
    let before = state(&world);
    for call in HYPERCALLS {
        for op in call.ops {
            for domid in [0, 5, 6, 77, DOMID_SELF] {
                world.put(&domu, ARGS, &[0u8; PAGE_SIZE]);
                match call.number {
                    __HYPERVISOR_domctl => {
                        let mut arg = Domctl::new_zeroed();
                        (arg.cmd, arg.interface_version, arg.domain) =
                            (op.number, XEN_DOMCTL_INTERFACE_VERSION, domid);
                        world.put(&domu, ARGS, &arg);
                    }
                    __HYPERVISOR_sysctl => {
                        let mut arg = Sysctl::new_zeroed();
                        (arg.cmd, arg.interface_version) = (op.number, XEN_SYSCTL_INTERFACE_VERSION);
                        world.put(&domu, ARGS, &arg);
                    }
                    __HYPERVISOR_platform_op => {
                        let mut arg = PlatformOp::new_zeroed();
                        (arg.cmd, arg.interface_version) = (op.number, XENPF_INTERFACE_VERSION);
                        world.put(&domu, ARGS, &arg);
                    }
                    _ => continue,
                }
                let answer = world.call(&domu, call.number.into(), [ARGS.0, 0, 0, 0, 0]);
                assert_eq!(answer, Err(Errno::EPERM), "{} {} on d{domid}", call.name, op.name);
            }
        }
    }
    assert_eq!(state(&world), before);
    check(&world, &[]);
}

/// The answer to an operation of an unprivileged domain.
fn answer<T: Plain>(world: &World, call: u32, cmd: u32, arg: &T) -> Result<(), Errno> {
    let domu = world.get(5);
    world.op(&domu, call.into(), cmd, arg).map(drop)
}

#[test]
fn unprivileged_domain_does_nothing_to_others() {
    let world = World::hostile();
    world.domain(5, 2);
    world.domain(6, 1);
    let before = state(&world);
    let memory = __HYPERVISOR_memory_op;
    for domid in [0, 6] {
        let mut extents = MemoryReservation::new_zeroed();
        (extents.domid, extents.nr_extents) = (domid, 1);
        extents.extent_start.0 = LISTS.0;
        let mut acquire = MemAcquireResource::new_zeroed();
        (acquire.domid, acquire.type_) = (domid, XENMEM_resource_grant_table as u16);
        let mut pod = PodTarget::new_zeroed();
        pod.domid = domid;
        let mut batch = AddToPhysmapBatch::new_zeroed();
        (batch.domid, batch.size) = (domid, 1);
        let add = AddToPhysmap { domid, size: 0, space: XENMAPSPACE_shared_info, idx: 0, gpfn: 0x300 };
        let remove = RemoveFromPhysmap { domid, _gap0: [0; 3], gpfn: GUEST_RAM.0 };
        let events = __HYPERVISOR_event_channel_op;
        let mut status = EvtchnStatus::new_zeroed();
        (status.dom, status.port) = (domid, 1);
        let answers = [
            answer(&world, memory, XENMEM_populate_physmap, &extents),
            answer(&world, memory, XENMEM_decrease_reservation, &extents),
            answer(&world, memory, XENMEM_increase_reservation, &extents),
            answer(&world, memory, XENMEM_current_reservation, &MemoryDomain { domid }),
            answer(&world, memory, XENMEM_maximum_reservation, &MemoryDomain { domid }),
            answer(&world, memory, XENMEM_maximum_gpfn, &MemoryDomain { domid }),
            answer(&world, memory, XENMEM_add_to_physmap, &add),
            answer(&world, memory, XENMEM_add_to_physmap_batch, &batch),
            answer(&world, memory, XENMEM_remove_from_physmap, &remove),
            answer(&world, memory, XENMEM_set_pod_target, &pod),
            answer(&world, memory, XENMEM_get_pod_target, &pod),
            answer(&world, memory, XENMEM_acquire_resource, &acquire),
            answer(
                &world,
                events,
                EVTCHNOP_alloc_unbound,
                &EvtchnAllocUnbound { dom: domid, remote_dom: 5, port: 0 },
            ),
            answer(&world, events, EVTCHNOP_status, &status),
            answer(&world, events, EVTCHNOP_reset, &EvtchnReset { dom: domid }),
            answer(
                &world,
                __HYPERVISOR_sched_op,
                SCHEDOP_remote_shutdown,
                &SchedRemoteShutdown { domain_id: domid, _gap0: 0, reason: 0 },
            ),
        ];
        for (n, answer) in answers.into_iter().enumerate() {
            assert_eq!(answer, Err(Errno::EPERM), "number {n} on d{domid}");
        }
    }
    assert_eq!(state(&world), before);
    check(&world, &[]);
}

#[test]
fn number_of_no_domain_is_not_found() {
    let world = World::hostile();
    let dom0 = world.get(0);
    let ask = |caller: &Arc<Domain>, domid: u16| {
        world.memory_op(caller, XENMEM_current_reservation, &MemoryDomain { domid })
    };
    for domid in [1, 0x7fef, DOMID_IO, DOMID_XEN, DOMID_COW, DOMID_INVALID, DOMID_IDLE, 0xffff] {
        assert_eq!(ask(&dom0, domid), Err(Errno::ESRCH), "{domid:x}");
        let op = world.domctl(&dom0, XEN_DOMCTL_pausedomain, domid, &0u64);
        assert_eq!(op, Err(Errno::ESRCH), "{domid:x}");
    }
    assert_eq!(ask(&dom0, DOMID_SELF), Ok(64));
    assert_eq!(world.domctl(&dom0, XEN_DOMCTL_unpausedomain, DOMID_SELF, &0u64), Err(Errno::ESRCH));
}
