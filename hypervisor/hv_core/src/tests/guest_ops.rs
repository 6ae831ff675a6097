//! The small hypercalls that every guest issues: version, assists, parameters, runstate, multicall.

use crate::domain::Domain;
use crate::hypercall::{Call, Flow, dispatch};
use crate::testkit::{ARGS, GUEST_RAM, LISTS, World, check};
use alloc::sync::Arc;
use alloc::vec::Vec;
use hal::{Gfn, MachineOps as _};
use xen_abi::hvm::hvm_op::*;
use xen_abi::hvm::params::*;
use xen_abi::memory::{MemoryReservation, XENMEM_current_reservation, XENMEM_populate_physmap};
use xen_abi::vcpu::*;
use xen_abi::version::*;
use xen_abi::xen::*;
use xen_abi::{Errno, GuestHandle};
use zerocopy::FromZeros as _;

const WILD: u64 = 0x7000_0000_0000;

fn version(world: &World, caller: &Arc<Domain>, cmd: u64, arg: u64) -> Result<u64, Errno> {
    world.call(caller, __HYPERVISOR_xen_version.into(), [cmd, arg, 0, 0, 0])
}

/// The text that a version operation fills in.
fn text(world: &World, caller: &Arc<Domain>, cmd: u32) -> String {
    world.put(caller, ARGS, &[0xffu8; 1024]);
    version(world, caller, cmd.into(), ARGS.0).unwrap();
    let bytes: [u8; 1024] = world.take(caller, ARGS);
    let end = bytes.iter().position(|b| *b == 0).expect("the text ends");
    String::from_utf8(bytes[..end].to_vec()).unwrap()
}

#[test]
fn interface_is_that_of_xen_4_17_under_a_name_of_our_own() {
    let world = World::new();
    let (dom0, domu) = (world.get(0), world.domain(5, 1));
    assert_eq!(version(&world, &domu, XENVER_version.into(), 0), Ok(0x0004_0011));
    assert_eq!(
        version(&world, &domu, u64::from(XENVER_version) | 0xdead << 32, WILD),
        Ok(0x0004_0011),
        "noise above"
    );
    assert_eq!(version(&world, &domu, XENVER_pagesize.into(), 0), Ok(4096));
    assert_eq!(version(&world, &domu, XENVER_pagesize.into(), WILD), Err(Errno::EINVAL));
    assert_eq!(text(&world, &domu, XENVER_extraversion), "-xenoxide");
    assert_eq!(text(&world, &domu, XENVER_capabilities), "xen-3.0-test ");
    assert_eq!(text(&world, &domu, XENVER_changeset), env!("CARGO_PKG_VERSION"));
    assert_eq!(text(&world, &dom0, XENVER_commandline), "test");
    assert_eq!(text(&world, &domu, XENVER_commandline), "", "dom0's alone");
    assert!(text(&world, &domu, XENVER_compile_info).starts_with("rustc"));
    version(&world, &domu, XENVER_guest_handle.into(), ARGS.0).unwrap();
    assert_eq!(world.take::<[u8; 16]>(&domu, ARGS), [5; 16]);
    version(&world, &domu, XENVER_platform_parameters.into(), ARGS.0).unwrap();
    assert_eq!(world.take::<u64>(&domu, ARGS), 0);
    world.put(&domu, ARGS, &FeatureInfo { submap_idx: 0, submap: 0 });
    version(&world, &domu, XENVER_get_features.into(), ARGS.0).unwrap();
    assert_eq!(world.take::<FeatureInfo>(&domu, ARGS).submap, 4);
    world.put(&domu, ARGS, &FeatureInfo { submap_idx: 1, submap: 0 });
    assert_eq!(version(&world, &domu, XENVER_get_features.into(), ARGS.0), Err(Errno::EINVAL));
    assert_eq!(version(&world, &dom0, XENVER_build_id.into(), ARGS.0), Err(Errno::ENODATA));
}

#[test]
fn text_longer_than_its_field_is_cut() {
    let options = crate::options::Options::default();
    let world = World::with_options(options);
    let dom0 = world.get(0);
    // The field ends before the next byte.
    world.put(&dom0, ARGS, &[0xeeu8; 32]);
    version(&world, &dom0, XENVER_extraversion.into(), ARGS.0).unwrap();
    let bytes: [u8; 32] = world.take(&dom0, ARGS);
    assert_eq!(&bytes[..16], b"-xenoxide\0\0\0\0\0\0\0");
    assert_eq!(bytes[16..], [0xee; 16]);
}

fn param(
    world: &World,
    caller: &Arc<Domain>,
    op: u32,
    domid: u16,
    index: u32,
    value: u64,
) -> Result<u64, Errno> {
    let arg = HvmParam { domid, pad: 0, index, value };
    world.op(caller, __HYPERVISOR_hvm_op.into(), op, &arg).map(|arg| arg.value)
}

#[test]
fn tools_set_parameters_and_guests_read_them() {
    let world = World::new();
    let (dom0, domu) = (world.get(0), world.domain(5, 1));
    let (set, get) = (HVMOP_set_param, HVMOP_get_param);
    for index in
        [HVM_PARAM_STORE_PFN, HVM_PARAM_STORE_EVTCHN, HVM_PARAM_CONSOLE_PFN, HVM_PARAM_CONSOLE_EVTCHN]
    {
        assert_eq!(param(&world, &domu, get, DOMID_SELF, index, 99), Ok(0), "unset");
        assert!(param(&world, &dom0, set, 5, index, 77 + u64::from(index)).is_ok());
        assert_eq!(param(&world, &domu, get, DOMID_SELF, index, 0), Ok(77 + u64::from(index)));
        assert_eq!(param(&world, &dom0, get, 5, index, 0), Ok(77 + u64::from(index)));
        assert_eq!(param(&world, &domu, set, DOMID_SELF, index, 1), Err(Errno::EPERM));
        assert_eq!(param(&world, &domu, set, 5, index, 1), Err(Errno::EPERM));
        assert_eq!(param(&world, &dom0, set, 0, index, 1), Err(Errno::EPERM), "nobody sets its own");
        assert_eq!(param(&world, &domu, get, 0, index, 1), Err(Errno::EPERM));
    }
    assert_eq!(param(&world, &domu, get, DOMID_SELF, HVM_PARAM_CALLBACK_IRQ, 9), Ok(0));
    assert_eq!(param(&world, &domu, get, DOMID_SELF, HVM_PARAM_MONITOR_RING_PFN, 9), Err(Errno::EPERM));
    assert_eq!(param(&world, &dom0, get, 5, HVM_PARAM_MONITOR_RING_PFN, 9), Ok(0));
    for index in [HVM_PARAM_IOREQ_PFN, HVM_PARAM_TIMER_MODE, 3, 38, 39, 40, u32::MAX] {
        for op in [set, get] {
            assert_eq!(param(&world, &dom0, op, 5, index, 0), Err(Errno::EINVAL), "{index}");
        }
    }
    assert_eq!(param(&world, &dom0, get, 77, HVM_PARAM_STORE_PFN, 0), Err(Errno::ESRCH));
    assert_eq!(param(&world, &dom0, get, 5, HVM_PARAM_STORE_PFN, 0), Ok(78), "nothing has changed");
}

fn assist(world: &World, domain: &Arc<Domain>, cmd: u64, kind: u64) -> Result<u64, Errno> {
    world.call(domain, __HYPERVISOR_vm_assist.into(), [cmd, kind, 0, 0, 0])
}

#[test]
fn only_the_runstate_assist_exists() {
    let world = World::new();
    let domu = world.domain(5, 1);
    let flag = u64::from(VMASST_TYPE_runstate_update_flag);
    for kind in (0..70).chain([u64::from(u32::MAX)]).filter(|kind| *kind != flag) {
        assert_eq!(assist(&world, &domu, 0, kind), Err(Errno::EINVAL), "{kind}");
    }
    assert_eq!(assist(&world, &domu, 2, flag), Err(Errno::ENOSYS));
    assert_eq!(assist(&world, &domu, 0, flag | 0xdead << 32), Ok(0), "the type has 32 bits");
    assert_eq!(assist(&world, &domu, 1, flag), Ok(0));
}

fn register(world: &World, domain: &Arc<Domain>, vcpu: u64, addr: u64) -> Result<u64, Errno> {
    world.put(domain, ARGS, &VcpuRegisterRunstateMemoryArea { addr: GuestHandle(addr) });
    let args = [VCPUOP_register_runstate_memory_area.into(), vcpu, ARGS.0, 0, 0];
    world.call(domain, __HYPERVISOR_vcpu_op.into(), args)
}

#[test]
fn runstate_is_shown_where_the_guest_asks_for_it() {
    let world = World::hostile();
    let domu = world.domain(5, 2);
    let at = GUEST_RAM.plus(7).addr().plus(4080);
    assert_eq!(register(&world, &domu, 1, at.0), Ok(0), "across two pages");
    let shown = || world.take::<VcpuRunstateInfo>(&domu, at);
    assert_eq!(shown().state, RUNSTATE_runnable);
    check(&world, &[]);
    world.hv.machine.advance(1000);
    world.hv.pause_vcpu(domu.vcpu(1).unwrap());
    let info = shown();
    assert_eq!((info.state, info.state_entry_time, info.time), (RUNSTATE_offline, 1000, [0, 1000, 0, 0]));
    assist(&world, &domu, 0, VMASST_TYPE_runstate_update_flag.into()).unwrap();
    world.hv.machine.advance(500);
    world.hv.unpause_vcpu(domu.vcpu(1).unwrap());
    let info = shown();
    assert_eq!((info.state, info.state_entry_time), (RUNSTATE_runnable, 1500), "no update is under way");
    assert_eq!(info.time, [0, 1000, 0, 500]);

    // The guest may give the pages up: they stay until it is told of others.
    let free = world.hv.frames.free_frames();
    assert!(world.decrease(&domu, GUEST_RAM.0 + 7, 0));
    assert_eq!(world.hv.frames.free_frames(), free);
    world.hv.pause_vcpu(domu.vcpu(1).unwrap());
    check(&world, &[]);
    assert_eq!(register(&world, &domu, 1, 0), Ok(0));
    assert_eq!(world.hv.frames.free_frames(), free + 1);
    check(&world, &[]);
}

#[test]
fn runstate_area_that_is_no_memory_is_refused_and_the_old_one_stays() {
    let world = World::hostile();
    let domu = world.domain(5, 1);
    let at = GUEST_RAM.plus(7).addr();
    register(&world, &domu, 0, at.0).unwrap();
    let last = GUEST_RAM.plus(63).addr().0 + 4088;
    for wild in [WILD, u64::MAX - 3, u64::MAX - 0xfff, last] {
        assert_eq!(register(&world, &domu, 0, wild), Err(Errno::EFAULT), "{wild:x}");
        check(&world, &[]);
    }
    world.hv.pause_vcpu(domu.vcpu(0).unwrap());
    assert_eq!(world.take::<VcpuRunstateInfo>(&domu, at).state, RUNSTATE_offline);
    assert_eq!(register(&world, &domu, 1, at.0), Err(Errno::ENOENT));
    assert_eq!(register(&world, &domu, u64::MAX, at.0), Err(Errno::ENOENT));
    let args = [99, 0, ARGS.0, 0, 0];
    assert_eq!(world.call(&domu, __HYPERVISOR_vcpu_op.into(), args), Err(Errno::EINVAL));
}

#[test]
fn arguments_in_a_page_of_another_domain_are_refused_and_the_page_is_not_harmed() {
    let world = World::hostile();
    let (dom0, domu) = (world.get(0), world.domain(5, 1));
    world.map_grants(&dom0);
    world.map_grants(&domu);
    world.grant(&dom0, 9, xen_abi::grant_table::GTF_permit_access, 5, GUEST_RAM.plus(3));
    world.map_ok(&domu, 0, 9, Gfn(0x300));
    assert_eq!(world.map_foreign(&dom0, 5, GUEST_RAM.plus(4), Gfn(0x301)), 0);
    for _ in 0..5 {
        assert_eq!(
            version(&world, &domu, XENVER_extraversion.into(), Gfn(0x300).addr().0),
            Err(Errno::EFAULT)
        );
        assert_eq!(
            version(&world, &domu, XENVER_get_features.into(), Gfn(0x300).addr().0),
            Err(Errno::EFAULT)
        );
        assert_eq!(
            version(&world, &dom0, XENVER_extraversion.into(), Gfn(0x301).addr().0),
            Err(Errno::EFAULT)
        );
        assert_eq!(register(&world, &domu, 0, Gfn(0x300).addr().0), Err(Errno::EFAULT));
        check(&world, &[]);
    }
}

/// Puts calls in [`LISTS`].
fn list(world: &World, domain: &Domain, calls: &[(u32, [u64; 2])]) {
    for (n, (op, [a, b])) in calls.iter().enumerate() {
        let entry = MulticallEntry { op: u64::from(*op), result: 0x5555, args: [*a, *b, 0, 0, 0, 0] };
        world.put(domain, LISTS.plus(n as u64 * 64), &entry);
    }
}

fn results(world: &World, domain: &Domain, count: u64) -> Vec<i64> {
    (0..count).map(|n| world.take::<MulticallEntry>(domain, LISTS.plus(n * 64)).result as i64).collect()
}

fn multicall(world: &World, domain: &Arc<Domain>, at: u64, count: u64) -> Result<u64, Errno> {
    world.call(domain, __HYPERVISOR_multicall.into(), [at, count, 0, 0, 0])
}

const VERSION: (u32, [u64; 2]) = (__HYPERVISOR_xen_version, [0, 0]);

#[test]
fn each_call_of_a_multicall_has_a_result_of_its_own() {
    let world = World::hostile();
    let domu = world.domain(5, 1);
    world.put(&domu, ARGS, &DOMID_SELF);
    let current = [u64::from(XENMEM_current_reservation), ARGS.0];
    list(
        &world,
        &domu,
        &[
            VERSION,
            (999, [0, 0]),
            (__HYPERVISOR_memory_op, current),
            (__HYPERVISOR_multicall, [LISTS.0, 1]),
            (__HYPERVISOR_xen_version, [1, WILD]),
            VERSION,
        ],
    );
    assert_eq!(multicall(&world, &domu, LISTS.0, 6 | 0xdead << 32), Ok(0), "the count has 32 bits");
    let errno = |e: Errno| -i64::from(e as u8);
    let want = [0x40011, errno(Errno::ENOSYS), 64, errno(Errno::EINVAL), errno(Errno::EFAULT), 0x40011];
    assert_eq!(results(&world, &domu, 6), want);
    assert_eq!(multicall(&world, &domu, WILD, 0), Ok(0));
    assert_eq!(multicall(&world, &domu, WILD, 1), Err(Errno::EFAULT));
    assert_eq!(multicall(&world, &domu, u64::MAX - 63, 2), Err(Errno::EFAULT));
}

#[test]
fn multicall_with_a_hole_is_done_up_to_it() {
    let world = World::hostile();
    let domu = world.domain(5, 1);
    // The last entry of the domain's memory, and one beyond.
    let at = GUEST_RAM.plus(63).addr().plus(4096 - 64);
    world.put(&domu, at, &MulticallEntry { op: 17, result: 5, args: [0; 6] });
    assert_eq!(multicall(&world, &domu, at.0, 2), Err(Errno::EFAULT));
    assert_eq!(world.take::<MulticallEntry>(&domu, at).result, 0x40011);
}

#[test]
fn call_that_takes_long_goes_on_inside_its_multicall() {
    let world = World::hostile();
    let domu = world.domain(5, 1);
    let gfns: Vec<u64> = (0..150).map(|n| 0x90000 + n).collect();
    let mut request = MemoryReservation::new_zeroed();
    request.extent_start = world.list(&domu, 0x1000, &gfns);
    (request.nr_extents, request.domid) = (150, DOMID_SELF);
    world.put(&domu, ARGS, &request);
    list(
        &world,
        &domu,
        &[VERSION, (__HYPERVISOR_memory_op, [XENMEM_populate_physmap.into(), ARGS.0]), VERSION],
    );
    world.hv.machine.set_stage2(domu.root);
    let vcpu = domu.vcpu(0).unwrap();
    let once =
        |args| dispatch(&Call { hv: world.hv, domain: &domu, vcpu, args }, __HYPERVISOR_multicall.into());
    let Ok(Flow::Again(args)) = once([LISTS.0, 3, 0, 0, 0]) else { panic!("done at once") };
    assert_eq!(args, [LISTS.0 + 64, 2, 0, 0, 0], "it goes on with the call that is not done");
    assert_eq!(domu.tot_pages(), 64 + 64);
    check(&world, &[]);
    assert_eq!(multicall(&world, &domu, args[0], args[1]), Ok(0));
    assert_eq!(results(&world, &domu, 3), [0x40011, 150, 0x40011]);
    assert_eq!(domu.tot_pages(), 64 + 150);
    check(&world, &[]);
}

#[test]
fn long_multicall_lets_interrupts_in() {
    let world = World::hostile();
    let domu = world.domain(5, 1);
    list(&world, &domu, &[VERSION; 200]);
    world.hv.machine.set_stage2(domu.root);
    let args = [LISTS.0, 200, 0, 0, 0];
    let call = Call { hv: world.hv, domain: &domu, vcpu: domu.vcpu(0).unwrap(), args };
    let Ok(Flow::Again(more)) = dispatch(&call, __HYPERVISOR_multicall.into()) else {
        panic!("done at once")
    };
    let done = 200 - more[1];
    assert_eq!(more[0], LISTS.0 + done * 64);
    assert_eq!(results(&world, &domu, 200).iter().filter(|r| **r == 0x40011).count() as u64, done);
    multicall(&world, &domu, more[0], more[1]).unwrap();
    assert_eq!(results(&world, &domu, 200), [0x40011; 200]);
}

#[test]
fn entry_of_a_multicall_is_read_once() {
    let world = World::hostile();
    let domu = world.domain(5, 1);
    list(&world, &domu, &[VERSION]);
    let at = domu.lookup(world.hv, LISTS.frame()).unwrap().mfn.addr();
    let watch = world.hv.machine.count_reads(at, 64);
    multicall(&world, &domu, LISTS.0, 1).unwrap();
    world.hv.machine.assert_read_once(watch);
}
