//! Sysctls, and the console that some of them read.

use crate::Work;
use crate::console::Level;
use crate::domain::Domain;
use crate::testkit::{ARGS, GUEST_PAGES, LISTS, World, check};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use arch_fake::{MachineEnd, catch_end};
use xen_abi::domctl::XEN_SCHEDULER_CREDIT2;
use xen_abi::domctl::v4_17::arm64::GetDomainInfo;
use xen_abi::event_channel::{EVTCHNOP_bind_virq, EvtchnBindVirq};
use xen_abi::sysctl::*;
use xen_abi::xen::*;
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
fn pool_0_has_everything() {
    let world = World::new();
    let dom0 = world.get(0);
    world.domain(5, 1);
    let pool = |op: u32, cpupool_id: u32| {
        let mut request = CpupoolOp::new_zeroed();
        (request.op, request.cpupool_id) = (op, cpupool_id);
        request.cpumap = XenctlBitmap { bitmap: world.list(&dom0, 0, &[u64::MAX]), nr_bits: 64, _gap0: 0 };
        ask(&world, XEN_SYSCTL_cpupool_op, &request)
    };
    let info = pool(XEN_SYSCTL_CPUPOOL_OP_INFO, 0).unwrap();
    assert_eq!((info.cpupool_id, info.sched_id, info.n_dom), (0, XEN_SCHEDULER_CREDIT2, 2));
    assert_eq!(world.take::<u64>(&dom0, LISTS), 3);
    assert_eq!(pool(XEN_SYSCTL_CPUPOOL_OP_INFO, 1), Err(Errno::ENOENT));
    pool(XEN_SYSCTL_CPUPOOL_OP_FREEINFO, 0).unwrap();
    assert_eq!(world.take::<u64>(&dom0, LISTS), 0, "no pCPU is in no pool");
    for op in [0, XEN_SYSCTL_CPUPOOL_OP_CREATE, XEN_SYSCTL_CPUPOOL_OP_DESTROY, 99] {
        assert_eq!(pool(op, 0), Err(Errno::ENOSYS), "{op}");
    }
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

/// Reads the console ring: text and index.
fn read(world: &World, clear: u8, incremental: u8, index: u32, count: u32) -> (String, u32) {
    let mut request = Readconsole::new_zeroed();
    (request.clear, request.incremental, request.index, request.count) = (clear, incremental, index, count);
    request.buffer = LIST;
    let answer = ask(world, XEN_SYSCTL_readconsole, &request).unwrap();
    let dom0 = world.get(0);
    let bytes: Vec<u8> = (0..answer.count).map(|n| world.take(&dom0, LISTS.plus(n.into()))).collect();
    (String::from_utf8(bytes).unwrap(), answer.index)
}

fn say(world: &World, text: &str) {
    world.hv.say(Level::Info, format_args!("{text}"));
}

#[test]
fn console_is_read_in_parts_and_only_what_is_new() {
    let world = World::new();
    read(&world, 1, 0, 0, 30_000);
    say(&world, "one");
    say(&world, "two");
    let (all, end) = read(&world, 0, 0, 0, 1000);
    assert_eq!(all, "(XEN) one\n(XEN) two\n");
    assert_eq!(read(&world, 0, 0, 0, 1000), (all.clone(), end), "it is still there");
    let (head, at) = read(&world, 0, 0, 0, 4);
    assert_eq!(head, "(XEN");
    assert_eq!(read(&world, 0, 1, at, 1000), (all[4..].into(), end));
    assert_eq!(read(&world, 0, 1, end, 1000), (String::new(), end));
    say(&world, "three");
    assert_eq!(read(&world, 0, 1, end, 1000).0, "(XEN) three\n");
    for strange in [end + 1000, u32::MAX, end.wrapping_sub(100_000)] {
        assert!(
            read(&world, 0, 1, strange, 1000).0.starts_with("(XEN) one"),
            "an index from nowhere: {strange}"
        );
    }
}

#[test]
fn console_forgets_what_was_read_when_asked_to() {
    let world = World::new();
    read(&world, 1, 0, 0, 30_000);
    say(&world, "one");
    say(&world, "two");
    assert_eq!(read(&world, 1, 0, 0, 10).0, "(XEN) one\n");
    assert_eq!(read(&world, 0, 0, 0, 1000).0, "(XEN) two\n", "only what was read");
    assert_eq!(read(&world, 1, 0, 0, 1000).0, "(XEN) two\n");
    assert_eq!(read(&world, 0, 0, 0, 1000).0, "");
}

#[test]
fn console_keeps_the_end_of_what_was_said() {
    let world = World::new();
    for n in 0..3000 {
        say(&world, &alloc::format!("line {n}"));
    }
    let mut text = String::new();
    let mut at = 0;
    let mut incremental = 0;
    loop {
        let (part, next) = read(&world, 0, incremental, at, 3000);
        if part.is_empty() {
            break;
        }
        (at, incremental) = (next, 1);
        text += &part;
    }
    assert_eq!(text.len(), 16 * 1024);
    assert!(text.ends_with("(XEN) line 2998\n(XEN) line 2999\n"));
}

#[test]
fn console_that_cannot_be_copied_is_not_forgotten() {
    let world = World::new();
    read(&world, 1, 0, 0, 30_000);
    say(&world, "one");
    let mut request = Readconsole::new_zeroed();
    (request.clear, request.count, request.buffer) = (1, 1000, WILD);
    assert_eq!(ask(&world, XEN_SYSCTL_readconsole, &request), Err(Errno::EFAULT));
    assert_eq!(read(&world, 0, 0, 0, 1000).0, "(XEN) one\n");
}

fn console_io(world: &World, caller: &Arc<Domain>, cmd: u32, count: u64, buffer: u64) -> Result<u64, Errno> {
    world.call(caller, __HYPERVISOR_console_io.into(), [cmd.into(), count, buffer, 7, 7])
}

#[test]
fn dom0_writes_to_the_console() {
    let world = World::new();
    let (dom0, domu) = (world.get(0), world.domain(5, 1));
    world.hv.machine.take_console();
    let text: Vec<u8> = (0..1000u32).map(|n| b'a' + (n % 26) as u8).collect();
    world.list(&dom0, 0xffb, &text);
    assert_eq!(console_io(&world, &dom0, CONSOLEIO_write, 1000, LISTS.0 + 0xffb), Ok(0));
    assert_eq!(world.hv.machine.take_console().as_bytes(), text);
    assert_eq!(console_io(&world, &dom0, CONSOLEIO_write, 0, 0), Ok(0));
    assert_eq!(console_io(&world, &dom0, CONSOLEIO_write, 1, WILD.0), Err(Errno::EFAULT));
    assert_eq!(
        console_io(&world, &dom0, CONSOLEIO_write, 0x1_0000_0002, LISTS.0 + 0xffb),
        Ok(0),
        "the count has 32 bits"
    );
    assert_eq!(world.hv.machine.take_console(), "ab");
    assert_eq!(console_io(&world, &dom0, 2, 1, LISTS.0), Err(Errno::ENOSYS));
    for cmd in [CONSOLEIO_write, CONSOLEIO_read] {
        assert_eq!(console_io(&world, &domu, cmd, 1, LISTS.0), Err(Errno::EPERM));
    }
    assert_eq!(world.hv.machine.take_console(), "");
}

fn type_text(world: &World, text: &[u8]) {
    text.iter().for_each(|byte| world.hv.console_input(*byte));
}

#[test]
fn dom0_reads_what_is_typed() {
    let world = World::new();
    let dom0 = world.get(0);
    let bind = EvtchnBindVirq { virq: VIRQ_CONSOLE, vcpu: 0, port: 0 };
    let port = world.op(&dom0, __HYPERVISOR_event_channel_op.into(), EVTCHNOP_bind_virq, &bind).unwrap().port;
    assert_eq!(console_io(&world, &dom0, CONSOLEIO_read, 10, LISTS.0), Ok(0));
    type_text(&world, b"hello");
    assert_eq!(dom0.events.is_port_pending(world.hv, port), Ok(true));
    assert_eq!(console_io(&world, &dom0, CONSOLEIO_read, 10, WILD.0), Err(Errno::EFAULT));
    assert_eq!(console_io(&world, &dom0, CONSOLEIO_read, 0x8000_0000, LISTS.0), Err(Errno::E2BIG));
    assert_eq!(console_io(&world, &dom0, CONSOLEIO_read, 4, LISTS.0), Ok(4));
    assert_eq!(world.take::<[u8; 4]>(&dom0, LISTS), *b"hell");
    assert_eq!(console_io(&world, &dom0, CONSOLEIO_read, 4, LISTS.0), Ok(1));
    assert_eq!(console_io(&world, &dom0, CONSOLEIO_read, 4, LISTS.0), Ok(0));
    // More than is kept: the rest is lost, and what is kept is the beginning.
    type_text(&world, &[b'x'; 300]);
    let mut got = 0;
    while let Ok(n @ 1..) = console_io(&world, &dom0, CONSOLEIO_read, 1000, LISTS.0) {
        got += n;
    }
    assert_eq!(got, 256);
}

#[test]
fn three_times_ctrl_a_switches_the_input() {
    let world = World::new();
    let dom0 = world.get(0);
    world.hv.machine.take_console();
    type_text(&world, b"\x01\x01a\x01\x01\x01q");
    assert!(world.hv.machine.take_console().contains("Serial input to Xenoxide"));
    assert!(world.hv.cpus[0].take_work().contains(Work::DEBUG_KEY));
    world.hv.run_debug_keys();
    assert!(world.hv.machine.take_console().contains("d0v0"));
    type_text(&world, b"\x01\x01\x01b");
    assert_eq!(console_io(&world, &dom0, CONSOLEIO_read, 10, LISTS.0), Ok(2));
    assert_eq!(world.take::<[u8; 2]>(&dom0, LISTS), *b"ab");
}

#[test]
fn messages_above_the_level_are_not_said() {
    let world = World::new();
    world.hv.machine.take_console();
    for level in [Level::Error, Level::Warning, Level::Info, Level::Debug] {
        world.hv.say(level, format_args!("{level:?}"));
        assert_eq!(world.hv.machine.take_console().is_empty(), !world.hv.console.shows(level));
    }
    assert_eq!(world.get(0).tot_pages(), GUEST_PAGES as u32);
    check(&world, &[]);
    assert_eq!(world.take::<u8>(&world.get(0), ARGS), 0);
}
