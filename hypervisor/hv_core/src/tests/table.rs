//! Every row of the table of hypercalls answers as it says, and what has no row does not exist.

use crate::domain::{Domain, Vnuma};
use crate::hypercall::{HYPERCALLS, Hypercall, Status, SubOp};
use crate::testkit::{ARGS, GUEST_RAM, LISTS, World};
use alloc::sync::Arc;
use arch_fake::catch_end;
use hal::PAGE_SIZE;
use xen_abi::domctl::*;
use xen_abi::event_channel::{EVTCHNOP_init_control, EvtchnInitControl};
use xen_abi::memory::XENMEM_get_vnumainfo;
use xen_abi::platform::{PlatformOp, XENPF_INTERFACE_VERSION};
use xen_abi::sysctl::{
    CpupoolOp, Sysctl, XEN_SYSCTL_CPUPOOL_OP_INFO, XEN_SYSCTL_INTERFACE_VERSION, XEN_SYSCTL_cpupool_op,
};
use xen_abi::xen::*;
use xen_abi::{Errno, GuestHandle};
use zerocopy::FromZeros as _;

/// The domain that domctls name.
const TARGET: u16 = 7;

/// Puts well-formed arguments for a sub-operation in the caller's memory, all zero where that is
/// allowed; returns the registers.
fn arguments(world: &World, caller: &Arc<Domain>, call: u32, op: u32) -> [u64; 5] {
    world.put(caller, ARGS, &[0u8; PAGE_SIZE]);
    match call {
        __HYPERVISOR_platform_op => {
            let mut arg = PlatformOp::new_zeroed();
            (arg.cmd, arg.interface_version) = (op, XENPF_INTERFACE_VERSION);
            world.put(caller, ARGS, &arg);
            [ARGS.0, 0, 0, 0, 0]
        }
        __HYPERVISOR_domctl => {
            let mut arg = Domctl::new_zeroed();
            (arg.cmd, arg.interface_version, arg.domain) = (op, XEN_DOMCTL_INTERFACE_VERSION, TARGET);
            // These say something only about themselves.
            match op {
                XEN_DOMCTL_vm_event_op => {
                    arg.write_payload(&VmEventOp { op: XEN_VM_EVENT_GET_VERSION, mode: 0, u: 0 });
                }
                XEN_DOMCTL_bind_pt_irq | XEN_DOMCTL_unbind_pt_irq => {
                    arg.write_payload(&BindPtIrq { machine_irq: 0, irq_type: PT_IRQ_TYPE_SPI, u: [0; 2] });
                }
                XEN_DOMCTL_monitor_op => {
                    let op = XEN_DOMCTL_MONITOR_OP_GET_CAPABILITIES;
                    arg.write_payload(&MonitorOp { op, event: 0, u: [0; 2] });
                }
                _ => {}
            }
            world.put(caller, ARGS, &arg);
            [ARGS.0, 0, 0, 0, 0]
        }
        __HYPERVISOR_sysctl => {
            let mut arg = Sysctl::new_zeroed();
            (arg.cmd, arg.interface_version) = (op, XEN_SYSCTL_INTERFACE_VERSION);
            if op == XEN_SYSCTL_cpupool_op {
                let mut pool = CpupoolOp::new_zeroed();
                pool.op = XEN_SYSCTL_CPUPOOL_OP_INFO;
                pool.cpumap = XenctlBitmap { bitmap: GuestHandle(LISTS.0), nr_bits: 64, _gap0: 0 };
                arg.write_payload(&pool);
            }
            world.put(caller, ARGS, &arg);
            [ARGS.0, 0, 0, 0, 0]
        }
        __HYPERVISOR_vcpu_op => [op.into(), 0, ARGS.0, 0, 0],
        __HYPERVISOR_console_io => [op.into(), 4, ARGS.0, 0, 0],
        __HYPERVISOR_grant_table_op => [op.into(), ARGS.0, 1, 0, 0],
        __HYPERVISOR_vm_assist => [op.into(), VMASST_TYPE_runstate_update_flag.into(), 0, 0, 0],
        __HYPERVISOR_memory_op => {
            // Who has no nodes is told that there are none to be had.
            *caller.vnuma.lock() = (op == XENMEM_get_vnumainfo).then(Vnuma::default);
            [op.into(), ARGS.0, 0, 0, 0]
        }
        __HYPERVISOR_event_channel_op => {
            // Some operations are of the FIFO interface only.
            let mut control = EvtchnInitControl::new_zeroed();
            control.control_gfn = GUEST_RAM.0;
            let _ = world.op(caller, call.into(), EVTCHNOP_init_control, &control);
            world.put(caller, ARGS, &[0u8; 64]);
            [op.into(), ARGS.0, 0, 0, 0]
        }
        _ => [op.into(), ARGS.0, 0, 0, 0],
    }
}

/// The answer to a sub-operation; the end of the machine is one too.
fn answer(world: &World, caller: &Arc<Domain>, call: u32, op: u32) -> Result<u64, Errno> {
    let args = arguments(world, caller, call, op);
    catch_end(|| world.call(caller, call.into(), args)).unwrap_or(Ok(0))
}

/// Who may issue the call and is not switched off by it.
fn caller(world: &World, call: u32) -> Arc<Domain> {
    world.get(if call == __HYPERVISOR_sched_op { TARGET } else { 0 })
}

fn check(world: &World, call: &Hypercall, op: Option<&SubOp>, status: Status) {
    let number = op.map_or(0, |op| op.number);
    let answer = answer(world, &caller(world, call.number), call.number, number);
    let is_there = !matches!(answer, Err(Errno::ENOSYS | Errno::EOPNOTSUPP));
    let name = op.map_or("-", |op| op.name);
    match status {
        Status::Done | Status::Partial(_) => assert!(is_there, "{} {name}: {answer:?}", call.name),
        Status::Refused(_) => assert!(answer != Err(Errno::ENOSYS), "{} {name}", call.name),
        Status::Missing => assert!(!is_there, "{} {name}: {answer:?}", call.name),
        Status::Absent => assert_eq!(answer, Err(Errno::ENOSYS), "{} {name}", call.name),
    }
}

#[test]
fn every_row_answers_as_its_status_says() {
    let world = World::new();
    for call in HYPERCALLS {
        for op in call.ops {
            // A row may have ended it.
            if let Some(old) = world.hv.domains.get(hal::Domid::new(TARGET).unwrap()) {
                world.destroy(&old);
            }
            world.domain(TARGET, 1);
            check(&world, call, Some(op), op.status);
        }
        if let Some((status, _)) = call.whole {
            check(&world, call, None, status);
        }
    }
}

#[test]
fn numbers_without_a_row_do_not_exist() {
    let world = World::new();
    let target = world.domain(TARGET, 1);
    for call in HYPERCALLS {
        // These have no sub-operations, or say EINVAL to what does not exist.
        if call.whole.is_some() {
            continue;
        }
        // Of these, the one says EINVAL, and the other looks at the path first.
        let others = [__HYPERVISOR_vcpu_op, __HYPERVISOR_hypfs_op];
        let none = if others.contains(&call.number) { Errno::EINVAL } else { Errno::ENOSYS };
        let probes =
            (0..130).chain([999, 1004, 4095, u32::MAX]).filter(|n| call.ops.iter().all(|op| op.number != *n));
        for number in probes {
            // The reset of event channels goes on by a number of its own; memory_op has six bits
            // for the command and grant_table_op twelve.
            let goes_on = call.number == __HYPERVISOR_event_channel_op && number == 14;
            let has_progress = match call.number {
                __HYPERVISOR_memory_op => number >= 64,
                __HYPERVISOR_grant_table_op => number >= 4096,
                _ => false,
            };
            if goes_on || has_progress {
                continue;
            }
            let answer = answer(&world, &target, call.number, number);
            let refused = answer == Err(none)
                || answer == Err(Errno::EPERM) && [7, 18, 35, 36, 42].contains(&call.number);
            assert!(refused, "{} {number}: {answer:?}", call.name);
            let dom0 = world.get(0);
            assert_eq!(self::answer(&world, &dom0, call.number, number), Err(none), "{} {number}", call.name);
        }
    }
}

#[test]
fn hypercalls_without_a_row_do_not_exist() {
    let world = World::new();
    let dom0 = world.get(0);
    let unknown = (0..100).chain([0x1000, u64::from(u32::MAX), u64::MAX]);
    for number in unknown.filter(|n| HYPERCALLS.iter().all(|call| u64::from(call.number) != *n)) {
        assert_eq!(world.call(&dom0, number, [0, ARGS.0, 1, 0, 0]), Err(Errno::ENOSYS), "{number}");
    }
}
