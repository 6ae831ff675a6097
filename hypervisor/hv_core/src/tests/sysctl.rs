//! Sysctls.

use crate::options::Options;
use crate::testkit::{ARGS, LISTS, World};
use ::sched::{CpuMask, DomainParams};
use alloc::string::String;
use alloc::vec::Vec;
use arch_fake::{MachineEnd, catch_end};
use xen_abi::domctl::XEN_SCHEDULER_CREDIT2;
use xen_abi::domctl::v4_17::arm64::GetDomainInfo;
use xen_abi::sysctl::*;
use xen_abi::xen::__HYPERVISOR_sysctl;
use xen_abi::{Errno, GuestHandle, Plain};
use zerocopy::FromZeros as _;

const WILD: GuestHandle = GuestHandle(0x7000_0000_0000);
const LIST: GuestHandle = GuestHandle(LISTS.0);

fn ask<T: Plain>(world: &World, cmd: u32, payload: &T) -> Result<T, Errno> {
    world.sysctl(&world.get(0), cmd, payload)
}

#[test]
fn machine_is_described() {
    let world = World::new();
    let info = ask(&world, XEN_SYSCTL_physinfo, &Physinfo::new_zeroed()).unwrap();
    assert_eq!((info.nr_cpus, info.max_cpu_id, info.nr_nodes, info.threads_per_core), (2, 1, 1, 1));
    assert_eq!((info.total_pages, info.free_pages), (0x4000, world.hv.frames.free_frames()));
    assert_eq!(info.max_mfn, world.hv.frames.end().0 - 1);
    assert_eq!(info.capabilities, 9 | XEN_SYSCTL_PHYSCAP_gnttab_v1);
    assert_eq!(
        ask(&world, XEN_SYSCTL_sched_id, &SchedId { sched_id: 0 }).unwrap().sched_id,
        XEN_SCHEDULER_CREDIT2
    );
    let heap = ask(&world, XEN_SYSCTL_availheap, &Availheap::new_zeroed()).unwrap();
    assert_eq!(heap.avail_bytes, info.free_pages << 12);
}

#[test]
fn processors_and_nodes_are_listed_as_far_as_there_is_room() {
    let world = World::new();
    let dom0 = world.get(0);
    let topology = |num_cpus: u32, cputopo: GuestHandle| {
        world.list(&dom0, 0, &[0xeeu8; 64]);
        ask(&world, XEN_SYSCTL_cputopoinfo, &CpuTopoInfo { num_cpus, _gap0: 0, cputopo })
            .map(|info| info.num_cpus)
    };
    assert_eq!(topology(0, GuestHandle(0)), Ok(2), "how many there are");
    assert_eq!(topology(1, LIST), Ok(1));
    assert_eq!(world.take::<[u32; 4]>(&dom0, LISTS), [0, 0, 0, 0xeeee_eeee]);
    assert_eq!(topology(100, LIST), Ok(2));
    assert_eq!(world.take::<[u32; 7]>(&dom0, LISTS), [0, 0, 0, 1, 0, 0, 0xeeee_eeee]);
    assert_eq!(topology(2, WILD), Err(Errno::EFAULT));

    let nodes = |num_nodes: u32, meminfo: GuestHandle, distance: GuestHandle| {
        let request = NumaInfo { num_nodes, _gap0: 0, meminfo, distance };
        ask(&world, XEN_SYSCTL_numainfo, &request).map(|info| info.num_nodes)
    };
    let none = GuestHandle(0);
    assert_eq!(nodes(0, none, none), Ok(1));
    assert_eq!(nodes(8, LIST, GuestHandle(LISTS.0 + 64)), Ok(1));
    let [size, free]: [u64; 2] = world.take(&dom0, LISTS);
    assert_eq!((size, free), (0x4000 << 12, world.hv.frames.free_frames() << 12));
    assert_eq!(world.take::<u32>(&dom0, LISTS.plus(64)), 10);
    assert_eq!((nodes(1, WILD, none), nodes(1, none, WILD)), (Err(Errno::EFAULT), Err(Errno::EFAULT)));

    world.hv.cpus[1].set_idle(0, true);
    world.hv.machine.advance(500);
    let request = GetCpuInfo { max_cpus: 9, _gap0: 0, info: LIST, nr_cpus: 0, _gap1: 0 };
    assert_eq!(ask(&world, XEN_SYSCTL_getcpuinfo, &request).map(|info| info.nr_cpus), Ok(2));
    let [_, idle]: [u64; 2] = world.take(&dom0, LISTS);
    assert!((499..=500).contains(&idle), "{idle}");
    assert_eq!(ask(&world, XEN_SYSCTL_getcpuinfo, &GetCpuInfo { info: WILD, ..request }), Err(Errno::EFAULT));
}

fn list(world: &World, first: u16, max: u32, buffer: GuestHandle) -> Result<Vec<u16>, Errno> {
    let mut request = GetDomainInfoList::new_zeroed();
    (request.first_domain, request.max_domains, request.buffer) = (first, max, buffer);
    let found = ask(world, XEN_SYSCTL_getdomaininfolist, &request)?.num_domains;
    let dom0 = world.get(0);
    let at = |n: u32| LISTS.plus(u64::from(n) * size_of::<GetDomainInfo>() as u64);
    Ok((0..found).map(|n| world.take::<GetDomainInfo>(&dom0, at(n)).common.domain).collect())
}

#[test]
fn domains_are_listed_in_order_however_many() {
    let world = World::new();
    let all: Vec<u16> = core::iter::once(0).chain((1..50).map(|n| n * 300)).collect();
    for domid in &all[1..] {
        world.create(*domid, World::config()).unwrap();
    }
    assert_eq!(list(&world, 0, 100, LIST), Ok(all.clone()));
    assert_eq!(list(&world, 0, 100, LIST).map(|l| l.len()), Ok(50));
    assert_eq!(list(&world, 301, 20, LIST), Ok(all[2..22].to_vec()));
    assert_eq!(list(&world, 300, 16, LIST), Ok(all[1..17].to_vec()));
    assert_eq!(list(&world, 0, 0, LIST), Ok(vec![]));
    assert_eq!(list(&world, 0x7fef, 10, LIST), Ok(vec![]));
    assert_eq!(list(&world, 0xffff, 10, LIST), Ok(vec![]));
    assert_eq!(list(&world, 0, 10, WILD), Err(Errno::EFAULT));
}

#[test]
fn parameters_of_the_scheduler_are_told_and_set() {
    let world = World::new();
    let op = |cpupool_id: u32, sched_id: u32, cmd: u32, ratelimit_us: u32| {
        let mut request = SchedulerOp { cpupool_id, sched_id, cmd, _gap0: 0, u: [0; 2] };
        request.write_payload(&Credit2Schedule { ratelimit_us });
        ask(&world, XEN_SYSCTL_scheduler_op, &request)
            .map(|r| r.read_payload::<Credit2Schedule>().ratelimit_us)
    };
    let (get, put, credit2) = (XEN_SYSCTL_SCHEDOP_getinfo, XEN_SYSCTL_SCHEDOP_putinfo, XEN_SCHEDULER_CREDIT2);
    assert_eq!(op(0, credit2, get, 0), Ok(1000));
    op(0, credit2, put, 2000).unwrap();
    assert_eq!(op(0, credit2, get, 0), Ok(2000));
    assert_eq!(op(0, credit2, put, 1), Err(Errno::EINVAL));
    assert_eq!(op(0, credit2, get, 0), Ok(2000));
    assert_eq!(op(1, credit2, get, 0), Err(Errno::ESRCH));
    assert_eq!(op(0, 5, get, 0), Err(Errno::EINVAL));
    assert_eq!(op(0, credit2, 7, 0), Err(Errno::EINVAL));
}

#[test]
fn parameters_of_the_scheduler_begin_as_the_options_say() {
    let options = Options { ratelimit_us: 2500, cap_period_ms: 20, ..Options::default() };
    let world = World::with_options(options);
    world.domain(5, 1);
    let text = world.hv.pools.with_domain(world.hv, &world.get(5), |pool, now| {
        pool.set_domain_params(5, DomainParams { weight: 0, cap: 40 }, now).unwrap();
        let mut text = String::new();
        pool.dump(&mut text, now).unwrap();
        (text, CpuMask::EMPTY)
    });
    let text = text.unwrap();
    // 40 % of 20 ms.
    assert!(text.contains("ratelimit 2500 us") && text.contains("cap 40, budget 8000 us"), "{text}");
}

fn debug_keys(world: &World, keys: &[u8]) -> Result<(), Errno> {
    let request =
        DebugKeys { keys: world.list(&world.get(0), 0, keys), nr_keys: keys.len() as u32, _gap0: 0 };
    ask(world, XEN_SYSCTL_debug_keys, &request).map(drop)
}

#[test]
fn debug_keys_report_what_goes_on() {
    let world = World::new();
    world.domain(5, 2);
    world.hv.machine.take_console();
    for (key, says) in [
        (b'q', "d5v1"),
        (b'e', "d5"),
        (b'g', "d5"),
        (b'm', "free"),
        (b'a', "CPU1"),
        (b'h', "'h'"),
        (b'!', "0x21"),
    ] {
        debug_keys(&world, &[key]).unwrap();
        let text = world.hv.machine.take_console();
        assert!(text.contains(says), "{key}: {text}");
        assert!(text.lines().all(|line| line.starts_with("(XEN) ")), "{text}");
    }
    debug_keys(&world, b"rq").unwrap();
    assert_eq!(catch_end(|| debug_keys(&world, b"R")), Err(MachineEnd::Reboot));
    let request = DebugKeys { keys: WILD, nr_keys: 1, _gap0: 0 };
    assert_eq!(ask(&world, XEN_SYSCTL_debug_keys, &request), Err(Errno::EFAULT));
    debug_keys(&world, &[]).unwrap();
}

#[test]
fn trace_buffers_are_said_not_to_be_there() {
    let world = World::new();
    let op = |cmd: u32| ask(&world, XEN_SYSCTL_tbuf_op, &TbufOp { cmd, size: 9, ..TbufOp::new_zeroed() });
    let info = op(XEN_SYSCTL_TBUFOP_get_info).unwrap();
    assert_eq!((info.evt_mask, info.buffer_mfn, info.size), (0, 0, 0));
    assert_eq!(op(XEN_SYSCTL_TBUFOP_set_size).map(drop), Err(Errno::EOPNOTSUPP));
    assert_eq!(op(XEN_SYSCTL_TBUFOP_enable).map(drop), Err(Errno::EINVAL));
    assert_eq!(op(XEN_SYSCTL_TBUFOP_disable).map(drop), Ok(()));
    assert_eq!(op(6).map(drop), Err(Errno::EINVAL));
}

#[test]
fn pages_are_all_in_use() {
    let world = World::new();
    let (dom0, first) = (world.get(0), world.hv.frames.start().0 as u32);
    let op = |cmd: u32, start: u32, end: u32| {
        let request = PageOfflineOp { cmd, start, end, _gap0: 0, status: LIST };
        ask(&world, XEN_SYSCTL_page_offline_op, &request).map(drop)
    };
    world.list(&dom0, 0, &[9u32; 1001]);
    assert_eq!(op(sysctl_query_page_offline, first, first + 999), Ok(()));
    let last: [u32; 2] = world.take(&dom0, LISTS.plus(4 * 999));
    assert_eq!(last, [0, 9]);
    assert_eq!(op(sysctl_query_page_offline, first - 1, first), Err(Errno::EINVAL));
    assert_eq!(world.take::<u32>(&dom0, LISTS), 1, "no frame");
    assert_eq!(op(sysctl_query_page_offline, first + 1, first), Err(Errno::EINVAL));
    assert_eq!(op(sysctl_page_offline, first, first), Err(Errno::EOPNOTSUPP));
    assert_eq!(op(9, first, first), Err(Errno::EINVAL));
}

#[test]
fn versions_of_the_interface_that_mean_the_same_are_served() {
    let world = World::new();
    let dom0 = world.get(0);
    let mut op = Sysctl::new_zeroed();
    op.cmd = XEN_SYSCTL_physinfo;
    let mut call = |version: u32| {
        op.interface_version = version;
        world.put(&dom0, ARGS, &op);
        world.call(&dom0, __HYPERVISOR_sysctl.into(), [ARGS.0, 0, 0, 0, 0])
    };
    assert_eq!((call(0x15), call(0x16)), (Ok(0), Ok(0)));
    for version in [0, 0x14, 0x17, u32::MAX] {
        assert_eq!(call(version), Err(Errno::EACCES), "{version:x}");
    }
}
