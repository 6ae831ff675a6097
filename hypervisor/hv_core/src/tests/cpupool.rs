//! Cpupools: XEN_SYSCTL_cpupool_op and what follows from it.

use crate::domain::Domain;
use crate::options::Options;
use crate::testkit::{Cpu, LISTS, World, pin};
use alloc::sync::Arc;
use xen_abi::domctl::*;
use xen_abi::sched::{SCHEDOP_pin_override, SchedPinOverride};
use xen_abi::sysctl::*;
use xen_abi::xen::*;
use xen_abi::{Errno, GuestHandle};
use zerocopy::FromZeros as _;

const ANY: u32 = XEN_SYSCTL_CPUPOOL_PAR_ANY;
const CREDIT2: u32 = XEN_SCHEDULER_CREDIT2;
const NULL: u32 = XEN_SCHEDULER_NULL;

/// An operation on a pool, with what else it needs.
#[derive(Default)]
struct Op {
    op: u32,
    pool: u32,
    sched: u32,
    domid: u32,
    cpu: u32,
}

impl Op {
    fn request(&self, world: &World) -> CpupoolOp {
        let cpumap =
            XenctlBitmap { bitmap: world.list(&world.get(0), 0, &[u64::MAX]), nr_bits: 64, _gap0: 0 };
        CpupoolOp {
            op: self.op,
            cpupool_id: self.pool,
            sched_id: self.sched,
            domid: self.domid,
            cpu: self.cpu,
            n_dom: 0,
            cpumap,
        }
    }

    fn issue(&self, world: &World) -> Result<CpupoolOp, Errno> {
        world.sysctl(&world.get(0), XEN_SYSCTL_cpupool_op, &self.request(world))
    }
}

fn create(world: &World, pool: u32, sched: u32) -> Result<u32, Errno> {
    let op = Op { op: XEN_SYSCTL_CPUPOOL_OP_CREATE, pool, sched, ..Op::default() };
    op.issue(world).map(|op| op.cpupool_id)
}

fn destroy(world: &World, pool: u32) -> Result<(), Errno> {
    Op { op: XEN_SYSCTL_CPUPOOL_OP_DESTROY, pool, ..Op::default() }.issue(world).map(drop)
}

fn add_cpu(world: &World, pool: u32, cpu: u32) -> Result<(), Errno> {
    Op { op: XEN_SYSCTL_CPUPOOL_OP_ADDCPU, pool, cpu, ..Op::default() }.issue(world).map(drop)
}

fn remove_cpu(world: &World, pool: u32, cpu: u32) -> Result<(), Errno> {
    Op { op: XEN_SYSCTL_CPUPOOL_OP_RMCPU, pool, cpu, ..Op::default() }.issue(world).map(drop)
}

fn move_domain(world: &World, pool: u32, domid: u16) -> Result<(), Errno> {
    let op = Op { op: XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN, pool, domid: domid.into(), ..Op::default() };
    op.issue(world).map(drop)
}

/// Number, scheduler, domains and pCPUs of the pool with this number or the next.
fn info(world: &World, pool: u32) -> Result<(u32, u32, u32, u64), Errno> {
    let op = Op { op: XEN_SYSCTL_CPUPOOL_OP_INFO, pool, ..Op::default() }.issue(world)?;
    Ok((op.cpupool_id, op.sched_id, op.n_dom, world.take(&world.get(0), LISTS)))
}

fn free(world: &World) -> u64 {
    Op { op: XEN_SYSCTL_CPUPOOL_OP_FREEINFO, ..Op::default() }.issue(world).unwrap();
    world.take(&world.get(0), LISTS)
}

fn pin_override(world: &World, domain: &Arc<Domain>, pcpu: i32) -> Result<(), Errno> {
    let pin = SchedPinOverride { pcpu };
    world.op(domain, __HYPERVISOR_sched_op.into(), SCHEDOP_pin_override, &pin).map(drop)
}

/// Pool 7 with pCPU 1.
fn with_second_pool() -> World {
    let world = World::new();
    assert_eq!(create(&world, 7, CREDIT2), Ok(7));
    assert_eq!(remove_cpu(&world, 0, 1), Ok(()));
    assert_eq!(add_cpu(&world, 7, 1), Ok(()));
    world
}

#[test]
fn pool_0_has_everything_at_first() {
    let world = World::new();
    world.domain(5, 1);
    assert_eq!(info(&world, 0), Ok((0, CREDIT2, 2, 3)));
    assert_eq!(info(&world, 1), Err(Errno::ENOENT));
    assert_eq!(free(&world), 0, "no pCPU is in no pool");
    for op in [0, 8, 99, u32::MAX] {
        assert_eq!(Op { op, ..Op::default() }.issue(&world).map(drop), Err(Errno::ENOSYS), "{op}");
    }
    let mut request = Op { op: XEN_SYSCTL_CPUPOOL_OP_INFO, ..Op::default() }.request(&world);
    request.cpumap.bitmap = GuestHandle(0x7000_0000_0000);
    assert_eq!(world.sysctl(&world.get(0), XEN_SYSCTL_cpupool_op, &request).map(drop), Err(Errno::EFAULT));
    assert_eq!(world.sysctl(&world.get(5), XEN_SYSCTL_cpupool_op, &request).map(drop), Err(Errno::EPERM));
}

#[test]
fn pools_are_made_with_numbers_of_choice_or_the_next() {
    let world = World::new();
    assert_eq!(create(&world, 0, CREDIT2), Err(Errno::EEXIST));
    assert_eq!(create(&world, 0, 99), Err(Errno::EEXIST));
    for sched in [0, XEN_SCHEDULER_CREDIT, XEN_SCHEDULER_ARINC653, XEN_SCHEDULER_RTDS, 99] {
        assert_eq!(create(&world, 1, sched), Err(Errno::ENOENT), "{sched}");
    }
    assert_eq!(create(&world, ANY, CREDIT2), Ok(1));
    assert_eq!(create(&world, 5, NULL), Ok(5));
    assert_eq!(info(&world, 2), Ok((5, NULL, 0, 0)));
    assert_eq!(create(&world, ANY, CREDIT2), Ok(6));
    // Four for two pCPUs.
    assert_eq!(create(&world, ANY, CREDIT2), Err(Errno::ENOSPC));
    assert_eq!(create(&world, 5, 99), Err(Errno::ENOSPC));
    assert_eq!(destroy(&world, 6), Ok(()));
    assert_eq!(destroy(&world, 6), Err(Errno::ENOENT));
    assert_eq!(create(&world, ANY - 1, CREDIT2), Ok(ANY - 1));
    assert_eq!(destroy(&world, 1), Ok(()));
    assert_eq!(create(&world, ANY, CREDIT2), Ok(1), "the first free one when the last is taken");
    assert_eq!(destroy(&world, 0), Err(Errno::EBUSY));
    assert_eq!(info(&world, 6).map(|info| info.0), Ok(ANY - 1));
}

#[test]
fn pcpus_change_pools() {
    let world = World::new();
    create(&world, 7, CREDIT2).unwrap();
    assert_eq!(add_cpu(&world, 7, 1), Err(Errno::ENODEV), "pool 0 has it");
    assert_eq!(add_cpu(&world, 7, ANY), Err(Errno::ENODEV), "none is free");
    assert_eq!(add_cpu(&world, 7, 2), Err(Errno::EINVAL));
    assert_eq!(add_cpu(&world, 7, 1000), Err(Errno::EINVAL));
    assert_eq!(add_cpu(&world, 8, 1), Err(Errno::ENOENT));
    assert_eq!(remove_cpu(&world, 8, 1), Err(Errno::ENOENT));
    assert_eq!(remove_cpu(&world, 7, 1), Err(Errno::EADDRNOTAVAIL), "it is in another");
    assert_eq!(remove_cpu(&world, 7, ANY), Err(Errno::EINVAL), "it has none");
    assert_eq!(remove_cpu(&world, 0, 0), Err(Errno::EINVAL), "pCPU 0 stays");
    assert_eq!(remove_cpu(&world, 0, 2), Err(Errno::EINVAL));
    assert_eq!(remove_cpu(&world, 0, ANY), Ok(()));
    assert_eq!((free(&world), info(&world, 0).unwrap().3), (2, 1));
    assert_eq!(remove_cpu(&world, 0, 1), Err(Errno::EADDRNOTAVAIL));
    assert_eq!(remove_cpu(&world, 0, ANY), Err(Errno::EINVAL), "the last is pCPU 0");
    assert_eq!(add_cpu(&world, 7, ANY), Ok(()));
    assert_eq!((free(&world), info(&world, 7).unwrap().3), (0, 2));
    assert_eq!(destroy(&world, 7), Err(Errno::EBUSY));
    assert_eq!(remove_cpu(&world, 7, 1), Ok(()));
    assert_eq!(destroy(&world, 7), Ok(()));
    assert_eq!(add_cpu(&world, 0, 1), Ok(()));
    assert_eq!(info(&world, 0).unwrap().3, 3);
}

#[test]
fn domain_is_made_in_the_pool_of_choice() {
    let world = with_second_pool();
    let mut config = World::config();
    config.cpupool_id = 9;
    assert_eq!(world.create(5, config), Err(Errno::ESRCH));
    create(&world, 9, CREDIT2).unwrap();
    assert_eq!(world.create(5, config), Err(Errno::ENODEV), "no pCPU");
    config.cpupool_id = 7;
    assert_eq!(world.create(5, config), Ok(5));
    assert_eq!(world.info(5).unwrap().cpupool, 7);
    assert_eq!((info(&world, 0).unwrap().2, info(&world, 7).unwrap().2), (1, 1));
    assert_eq!(remove_cpu(&world, 7, 1), Err(Errno::EBUSY), "a domain needs it");
    world.kill(5).unwrap();
    assert_eq!(info(&world, 7).unwrap().2, 0);
    assert_eq!(remove_cpu(&world, 7, 1), Ok(()));
}

#[test]
fn domain_moves_with_its_vcpus() {
    let world = with_second_pool();
    let domain = world.domain(5, 2);
    let [mut one, mut two] = [0, 1].map(|n| Cpu::new(&world, n));
    assert_eq!(move_domain(&world, 7, 0), Err(Errno::EPERM), "the caller itself");
    assert_eq!(move_domain(&world, 7, 6), Err(Errno::ESRCH));
    assert_eq!(move_domain(&world, 9, 5), Err(Errno::ENOENT));
    create(&world, 9, CREDIT2).unwrap();
    assert_eq!(move_domain(&world, 9, 5), Err(Errno::ENOENT), "no pCPU");
    assert_eq!(move_domain(&world, 0, 5), Ok(()), "it is there");
    two.reschedule();
    assert_eq!(two.runs(), None);
    assert_eq!(move_domain(&world, 7, 5), Ok(()));
    assert_eq!(world.info(5).unwrap().cpupool, 7);
    assert_eq!((info(&world, 0).unwrap().2, info(&world, 7).unwrap().2), (1, 1));
    two.reschedule();
    assert_eq!(two.runs().map(|runs| runs.0), Some(5));
    one.reschedule();
    assert_eq!(one.runs(), Some((0, 0)));
    // What pauses and wakes it goes to the new pool.
    world.hv.pause_vcpu(world.get(0).vcpu(0).unwrap());
    one.interrupt();
    assert_eq!(one.runs(), None);
    let running = two.runs().unwrap().1;
    world.hv.pause_vcpu(domain.vcpu(running).unwrap());
    two.interrupt();
    assert_eq!(two.runs(), Some((5, 1 - running)));
    world.hv.pause_vcpu(domain.vcpu(1 - running).unwrap());
    two.interrupt();
    assert_eq!(two.runs(), None);
    assert!(!domain.vcpus().any(|vcpu| world.hv.is_held(vcpu)));
    assert_eq!(move_domain(&world, 0, 5), Ok(()));
    domain.vcpus().for_each(|vcpu| world.hv.unpause_vcpu(vcpu));
    one.interrupt();
    two.interrupt();
    assert_eq!((one.runs().map(|runs| runs.0), two.runs()), (Some(5), None));
}

#[test]
fn domain_under_another_scheduler_has_its_parameters() {
    let world = World::new();
    create(&world, 7, NULL).unwrap();
    remove_cpu(&world, 0, 1).unwrap();
    add_cpu(&world, 7, 1).unwrap();
    world.domain(5, 1);
    let params = |sched_id: u32, cmd: u32, weight: u16| {
        let mut request = xen_abi::domctl::SchedulerOp::new_zeroed();
        (request.sched_id, request.cmd) = (sched_id, cmd);
        request.write_payload(&SchedCredit2 { weight, cap: 0 });
        let done = world.domctl(&world.get(0), XEN_DOMCTL_scheduler_op, 5, &request)?;
        Ok(done.read_payload::<SchedCredit2>().weight)
    };
    params(CREDIT2, XEN_DOMCTL_SCHEDOP_putinfo, 512).unwrap();
    assert_eq!(params(CREDIT2, XEN_DOMCTL_SCHEDOP_getinfo, 0), Ok(512));
    move_domain(&world, 7, 5).unwrap();
    assert_eq!(params(CREDIT2, XEN_DOMCTL_SCHEDOP_getinfo, 0), Err(Errno::EINVAL));
    assert_eq!(params(NULL, XEN_DOMCTL_SCHEDOP_putinfo, 1), Ok(1), "there are none");
    assert_eq!(params(NULL, 9, 1), Err(Errno::EINVAL));
    move_domain(&world, 0, 5).unwrap();
    assert_eq!(params(CREDIT2, XEN_DOMCTL_SCHEDOP_getinfo, 0), Ok(256), "as new");
}

#[test]
fn pools_have_parameters_of_their_own() {
    let world = World::with_options(Options { ratelimit_us: 2500, ..Options::default() });
    create(&world, 7, CREDIT2).unwrap();
    create(&world, 8, NULL).unwrap();
    let op = |cpupool_id: u32, sched_id: u32, cmd: u32, ratelimit_us: u32| {
        let mut request = xen_abi::sysctl::SchedulerOp { cpupool_id, sched_id, cmd, _gap0: 0, u: [0; 2] };
        request.write_payload(&Credit2Schedule { ratelimit_us });
        let done = world.sysctl(&world.get(0), XEN_SYSCTL_scheduler_op, &request)?;
        Ok(done.read_payload::<Credit2Schedule>().ratelimit_us)
    };
    let (get, put) = (XEN_SYSCTL_SCHEDOP_getinfo, XEN_SYSCTL_SCHEDOP_putinfo);
    assert_eq!(op(7, CREDIT2, get, 0), Ok(2500));
    assert_eq!(op(7, CREDIT2, put, 3000), Ok(3000));
    assert_eq!((op(7, CREDIT2, get, 0), op(0, CREDIT2, get, 0)), (Ok(3000), Ok(2500)));
    assert_eq!(op(8, CREDIT2, get, 0), Err(Errno::EINVAL));
    assert_eq!(op(8, NULL, put, 77), Ok(77), "there are none");
    assert_eq!(op(9, CREDIT2, get, 0), Err(Errno::ESRCH));
    assert_eq!(op(9, CREDIT2, 7, 0), Err(Errno::EINVAL));
}

#[test]
fn pcpu_that_runs_a_vcpu_leaves_when_that_is_saved() {
    use crate::hypercall::{Call, Flow, dispatch};
    let world = World::new();
    let (dom0, domain) = (world.get(0), world.domain(5, 1));
    let [mut one, mut two] = [0, 1].map(|n| Cpu::new(&world, n));
    pin(&world, domain.vcpu(0).unwrap(), 1);
    one.reschedule();
    two.reschedule();
    assert_eq!(two.runs(), Some((5, 0)));
    let mut arg = Sysctl::new_zeroed();
    (arg.cmd, arg.interface_version) = (XEN_SYSCTL_cpupool_op, XEN_SYSCTL_INTERFACE_VERSION);
    arg.write_payload(&Op { op: XEN_SYSCTL_CPUPOOL_OP_RMCPU, cpu: 1, ..Op::default() }.request(&world));
    world.put(&dom0, crate::testkit::ARGS, &arg);
    let args = [crate::testkit::ARGS.0, 0, 0, 0, 0];
    let call = Call { hv: world.hv, domain: &dom0, vcpu: dom0.vcpu(0).unwrap(), args };
    let number = __HYPERVISOR_sysctl.into();
    assert_eq!(dispatch(&call, number), Ok(Flow::Again(args)));
    assert_eq!((free(&world), info(&world, 0).unwrap().3), (0, 1));
    create(&world, 7, CREDIT2).unwrap();
    assert_eq!(add_cpu(&world, 7, 1), Err(Errno::EADDRNOTAVAIL), "it is on its way");
    two.interrupt();
    assert_eq!(two.runs(), None);
    world.put(&dom0, crate::testkit::ARGS, &arg);
    assert_eq!(dispatch(&call, number), Ok(Flow::Done(0)));
    assert_eq!(free(&world), 2);
    // Without a pool it has nothing to do.
    two.reschedule();
    assert_eq!(two.runs(), None);
    assert!(!world.hv.machine.timer_due(hal::PcpuId(1)));
    // What was tied to it runs elsewhere.
    world.hv.pause_vcpu(dom0.vcpu(0).unwrap());
    one.interrupt();
    assert_eq!(one.runs(), Some((5, 0)));
}

#[test]
fn dying_domain_does_not_keep_a_pool() {
    let world = with_second_pool();
    let domain = world.domain(5, 1);
    move_domain(&world, 7, 5).unwrap();
    assert_eq!(remove_cpu(&world, 7, 1), Err(Errno::EBUSY));
    world.hv.destroy_domain(&domain).unwrap();
    assert_eq!(remove_cpu(&world, 7, 1), Ok(()));
    assert_eq!((info(&world, 7).unwrap().2, info(&world, 0).unwrap().2), (0, 2));
    world.destroy(&domain);
    assert_eq!(info(&world, 0).unwrap().2, 1);
    destroy(&world, 7).unwrap();
}

#[test]
fn vcpu_of_dom0_is_pinned_for_a_while() {
    let world = World::new();
    let (dom0, domu) = (world.get(0), world.domain(5, 1));
    assert_eq!(pin_override(&world, &domu, 1), Err(Errno::EPERM));
    assert_eq!(pin_override(&world, &dom0, -1), Err(Errno::EINVAL), "it is not pinned");
    for pcpu in [2, 127, 128, i32::MAX] {
        assert_eq!(pin_override(&world, &dom0, pcpu), Err(Errno::EINVAL), "{pcpu}");
    }
    assert_eq!(pin_override(&world, &dom0, 1), Ok(()));
    assert_eq!(pin_override(&world, &dom0, 1), Err(Errno::EBUSY));
    assert_eq!(pin_override(&world, &dom0, 0), Err(Errno::EBUSY));
    let hard = || world.hv.pools.info(world.hv, dom0.vcpu(0).unwrap()).unwrap().hard.words()[0];
    assert_eq!(hard(), 2);
    assert_eq!(remove_cpu(&world, 0, 1), Err(Errno::EADDRINUSE));
    let affinity = |flags: u32| {
        let map = XenctlBitmap { bitmap: world.list(&dom0, 0, &[1u64]), nr_bits: 64, _gap0: 0 };
        let request = VcpuAffinity { vcpu: 0, flags, cpumap_hard: map, cpumap_soft: map };
        world.domctl(&dom0, XEN_DOMCTL_setvcpuaffinity, 0, &request).map(drop)
    };
    assert_eq!(affinity(XEN_VCPUAFFINITY_HARD), Err(Errno::EBUSY));
    assert_eq!(affinity(XEN_VCPUAFFINITY_SOFT), Err(Errno::EBUSY));
    assert_eq!(pin_override(&world, &dom0, -1), Ok(()));
    assert_eq!(hard(), u64::MAX, "as before");
    assert_eq!(remove_cpu(&world, 0, 1), Ok(()));
    assert_eq!(pin_override(&world, &dom0, 1), Err(Errno::EINVAL), "of no pool");
    assert_eq!(add_cpu(&world, 0, 1), Ok(()));
    assert_eq!(pin_override(&world, &dom0, 1), Ok(()));
    assert_eq!(affinity(XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_FORCE), Ok(()), "by force");
    assert_eq!(hard(), 1);
}
