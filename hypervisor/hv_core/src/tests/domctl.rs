//! Domctls about vCPUs and memory.

use crate::domain::Domain;
use crate::testkit::{ARGS, Extents, GUEST_PAGES, GUEST_RAM, LISTS, World, check};
use alloc::sync::Arc;
use alloc::vec::Vec;
use arch_fake::Op;
use hal::{Gfn, MachineOps as _, Mfn, PcpuId};
use machine::Abi;
use xen_abi::domctl::*;
use xen_abi::memory::XENMAPSPACE_shared_info;
use xen_abi::platform::{PlatformOp, Settime64, XENPF_INTERFACE_VERSION, XENPF_settime64};
use xen_abi::xen::*;
use xen_abi::{Arch as _, Errno, GuestHandle, Plain};
use zerocopy::FromZeros as _;

fn setup() -> (World, Arc<Domain>, Arc<Domain>) {
    let world = World::hostile();
    let (dom0, domu) = (world.get(0), world.domain(5, 2));
    world.hv.machine.take_log();
    (world, dom0, domu)
}

fn ask<T: Plain>(world: &World, cmd: u32, payload: &T) -> Result<T, Errno> {
    world.domctl(&world.get(0), cmd, 5, payload)
}

#[test]
fn other_versions_of_the_interface_are_refused() {
    let (world, dom0, _) = setup();
    let mut op = Domctl::new_zeroed();
    (op.cmd, op.domain) = (XEN_DOMCTL_pausedomain, 5);
    for version in 0x15..=0x18 {
        op.interface_version = version;
        world.put(&dom0, ARGS, &op);
        let answer = world.call(&dom0, __HYPERVISOR_domctl.into(), [ARGS.0, 0, 0, 0, 0]);
        assert_eq!(answer, Ok(0), "{version:x}");
    }
    for version in [0, 0x14, 0x19, u32::MAX] {
        op.interface_version = version;
        world.put(&dom0, ARGS, &op);
        let answer = world.call(&dom0, __HYPERVISOR_domctl.into(), [ARGS.0, 0, 0, 0, 0]);
        assert_eq!(answer, Err(Errno::EACCES), "{version:x}");
    }
}

#[test]
fn tools_that_come_at_once_take_turns() {
    use crate::hypercall::{Call, Flow, dispatch};
    use std::{sync::mpsc, thread};
    let (world, dom0, _) = setup();
    let mut op = Domctl::new_zeroed();
    (op.cmd, op.domain, op.interface_version) = (XEN_DOMCTL_pausedomain, 5, XEN_DOMCTL_INTERFACE_VERSION);
    world.put(&dom0, ARGS, &op);
    world.hv.machine.set_stage2(dom0.root);
    let args = [ARGS.0, 0, 0, 0, 0];
    let call = Call { hv: world.hv, domain: &dom0, vcpu: dom0.vcpu(0).unwrap(), args };
    thread::scope(|scope| {
        let (taken, is_taken) = mpsc::channel();
        let (ended, has_ended) = mpsc::channel::<()>();
        let lock = &world.hv.domctl;
        scope.spawn(move || {
            let _tool = lock.lock();
            taken.send(()).unwrap();
            // Ends with the other side, however that ends.
            has_ended.recv().ok();
        });
        is_taken.recv().unwrap();
        assert_eq!(dispatch(&call, __HYPERVISOR_domctl.into()), Ok(Flow::Again(args)));
        drop(ended);
    });
    assert_eq!(dispatch(&call, __HYPERVISOR_domctl.into()), Ok(Flow::Done(0)));
}

#[test]
fn information_is_of_the_next_domain_from_the_number_asked_for() {
    let world = World::new();
    world.domain(5, 1);
    world.domain(0x7fef, 1);
    for (asked, found) in [(0, 0), (1, 5), (5, 5), (6, 0x7fef), (0x7fef, 0x7fef)] {
        assert_eq!(world.info(asked).map(|info| info.domain), Ok(found), "{asked}");
    }
    assert_eq!(world.info(0x7ff0), Err(Errno::EINVAL));
    assert_eq!(world.info(0xffff), Err(Errno::EINVAL));
    world.kill(0x7fef).unwrap();
    assert_eq!(world.info(6), Err(Errno::ESRCH));
}

fn context(world: &World, vcpu: u32, ctxt: u64) -> Result<(), Errno> {
    ask(world, XEN_DOMCTL_setvcpucontext, &VcpuContext { vcpu, _gap0: 0, ctxt: GuestHandle(ctxt) }).map(drop)
}

#[test]
fn registers_are_set_and_read_and_the_vcpu_comes_up() {
    let world = World::hostile();
    world.create(5, World::config()).unwrap();
    ask(&world, XEN_DOMCTL_max_vcpus, &MaxVcpus { max: 2 }).unwrap();
    let (dom0, domu) = (world.get(0), world.get(5));
    let read = |vcpu: u32, ctxt: u64| {
        ask(&world, XEN_DOMCTL_getvcpucontext, &VcpuContext { vcpu, _gap0: 0, ctxt: GuestHandle(ctxt) })
            .map(drop)
    };
    assert_eq!(read(1, LISTS.0), Err(Errno::ENODATA), "it never ran");
    world.put(&dom0, LISTS, &[0x77u8; 16]);
    assert_eq!(context(&world, 1, LISTS.0), Ok(()));
    assert!(domu.vcpu(1).unwrap().is_up() && !domu.vcpu(0).unwrap().is_up());
    assert_eq!(domu.vcpu(1).unwrap().context.lock().regs.pc, 0x77);
    assert_eq!(read(1, LISTS.0 + 64), Ok(()));
    assert_eq!(world.take::<u8>(&dom0, LISTS.plus(64)), 0x77);
    assert_eq!(domu.controller_pauses(), 1, "the pauses in between are taken back");
    // Without registers it is as new.
    assert_eq!(context(&world, 1, 0), Ok(()));
    assert!(!domu.vcpu(1).unwrap().is_up());
    assert_eq!(domu.vcpu(1).unwrap().context.lock().regs.pc, 0);
    for vcpu in [2, 100, u32::MAX] {
        assert_eq!(context(&world, vcpu, LISTS.0), Err(Errno::EINVAL), "{vcpu}");
        assert_eq!(read(vcpu, LISTS.0), Err(Errno::EINVAL), "{vcpu}");
    }
    for wild in [0x7000_0000_0000, u64::MAX - 8] {
        assert_eq!(context(&world, 1, wild), Err(Errno::EFAULT));
        assert!(!domu.vcpu(1).unwrap().is_up());
    }
    context(&world, 1, LISTS.0).unwrap();
    assert_eq!(read(1, 0x7000_0000_0000), Err(Errno::EFAULT));
    assert_eq!(domu.controller_pauses(), 1);
    let own = VcpuContext { vcpu: 0, _gap0: 0, ctxt: GuestHandle(LISTS.0) };
    for cmd in [XEN_DOMCTL_setvcpucontext, XEN_DOMCTL_getvcpucontext] {
        assert_eq!(world.domctl(&dom0, cmd, 0, &own).map(drop), Err(Errno::EINVAL));
    }
}

#[test]
fn state_of_a_vcpu_is_told() {
    let (world, _, domu) = setup();
    let info = |vcpu: u32| {
        let mut payload = GetVcpuInfo::new_zeroed();
        payload.vcpu = vcpu;
        ask(&world, XEN_DOMCTL_getvcpuinfo, &payload)
    };
    let one = info(1).unwrap();
    assert_eq!((one.online, one.blocked, one.running, one.cpu_time), (1, 0, 0, 0));
    world.hv.block(&domu, domu.vcpu(1).unwrap());
    domu.vcpu(0).unwrap().set_pcpu(Some(PcpuId(1)));
    assert_eq!((info(1).unwrap().blocked, info(0).unwrap().running), (1, 1));
    domu.vcpu(0).unwrap().set_pcpu(None);
    world.hv.take_down(&domu, domu.vcpu(1).unwrap());
    assert_eq!(info(1).unwrap().online, 0);
    assert_eq!(info(2), Err(Errno::EINVAL));
    world.create(6, World::config()).unwrap();
    let mut payload = GetVcpuInfo::new_zeroed();
    payload.vcpu = 1;
    assert_eq!(world.domctl(&world.get(0), XEN_DOMCTL_getvcpuinfo, 6, &payload), Err(Errno::ESRCH));
}

/// A bitmap in dom0's memory.
fn bitmap(world: &World, offset: u64, nr_bits: u32, words: &[u64]) -> XenctlBitmap {
    XenctlBitmap { bitmap: world.list(&world.get(0), offset, words), nr_bits, _gap0: 0 }
}

fn affinity(
    world: &World,
    cmd: u32,
    vcpu: u32,
    flags: u32,
    hard: &[u64],
    soft: &[u64],
) -> Result<[u64; 2], Errno> {
    let payload = VcpuAffinity {
        vcpu,
        flags,
        cpumap_hard: bitmap(world, 0, 64 * hard.len() as u32, hard),
        cpumap_soft: bitmap(world, 0x200, 64 * soft.len() as u32, soft),
    };
    ask(world, cmd, &payload)?;
    let dom0 = world.get(0);
    Ok([world.take(&dom0, LISTS), world.take(&dom0, LISTS.plus(0x200))])
}

const HARD: u32 = XEN_VCPUAFFINITY_HARD;
const SOFT: u32 = XEN_VCPUAFFINITY_SOFT;

#[test]
fn affinities_are_kept_and_what_takes_effect_is_told() {
    let (world, ..) = setup();
    let set = |flags, hard, soft| affinity(&world, XEN_DOMCTL_setvcpuaffinity, 1, flags, &[hard], &[soft]);
    let get = || affinity(&world, XEN_DOMCTL_getvcpuaffinity, 1, HARD | SOFT, &[0], &[0]).unwrap();
    assert_eq!(set(HARD | SOFT, 0xf2, 0xf1), Ok([2, 0]), "cut to the pCPUs that are there, soft to hard");
    assert_eq!(get(), [2, 1], "as it was asked for, as far as there are pCPUs");
    assert_eq!(set(SOFT, 1, 2), Ok([1, 2]));
    assert_eq!(get(), [2, 2]);
    assert_eq!(set(HARD | XEN_VCPUAFFINITY_FORCE, 1, 0), Ok([1, 0]));
    assert_eq!(get(), [1, 2]);
    for (flags, hard) in [(0, 1), (HARD, 0), (HARD, 0xf0), (HARD | SOFT, 0)] {
        assert_eq!(set(flags, hard, 3), Err(Errno::EINVAL), "{flags:x} {hard:x}");
    }
    assert_eq!(set(XEN_VCPUAFFINITY_FORCE, 2, 1), Ok([2, 1]), "no affinity is named");
    assert_eq!(get(), [1, 2], "nothing has changed");
    let mut payload = VcpuAffinity::new_zeroed();
    for flags in [HARD, SOFT] {
        payload.flags = flags;
        assert_eq!(
            ask(&world, XEN_DOMCTL_setvcpuaffinity, &payload).map(drop),
            Err(Errno::EINVAL),
            "no bitmap"
        );
    }
    let wrong = affinity(&world, XEN_DOMCTL_getvcpuaffinity, 1, 0, &[0], &[0]);
    assert_eq!(wrong, Err(Errno::EINVAL));
    assert_eq!(affinity(&world, XEN_DOMCTL_setvcpuaffinity, 2, HARD, &[1], &[]), Err(Errno::EINVAL));
}

#[test]
fn bitmaps_of_any_size_are_served() {
    let (world, dom0, _) = setup();
    let get = |nr_bits: u32| {
        let none = bitmap(&world, 0x800, 0, &[]);
        let mut payload = VcpuAffinity { vcpu: 0, flags: HARD, cpumap_hard: none, cpumap_soft: none };
        world.list(&dom0, 0, &[u64::MAX; 64]);
        payload.cpumap_hard = XenctlBitmap { bitmap: GuestHandle(LISTS.0), nr_bits, _gap0: 0 };
        ask(&world, XEN_DOMCTL_getvcpuaffinity, &payload).unwrap();
        world.take::<[u64; 64]>(&dom0, LISTS)
    };
    assert_eq!(get(0)[0], u64::MAX);
    assert_eq!(get(1)[0], u64::MAX - 0xfe);
    assert_eq!(get(2)[0], u64::MAX - 0xfc);
    assert_eq!(get(64)[..2], [3, u64::MAX]);
    let large = get(64 * 60);
    assert_eq!(large[0], 3);
    assert!(large[1..60].iter().all(|w| *w == 0), "what is not there is told, too: {large:x?}");
    assert_eq!(large[60], u64::MAX);
}

#[test]
fn shares_of_a_domain_are_told_and_set() {
    let (world, dom0, _) = setup();
    let op = |sched_id: u32, cmd: u32, weight: u16, cap: u16| {
        let mut payload = SchedulerOp { sched_id, cmd, u: [0; 2] };
        payload.write_payload(&SchedCredit2 { weight, cap });
        ask(&world, XEN_DOMCTL_scheduler_op, &payload).map(|p| p.read_payload::<SchedCredit2>())
    };
    let get = || op(XEN_SCHEDULER_CREDIT2, XEN_DOMCTL_SCHEDOP_getinfo, 0, 0).map(|p| (p.weight, p.cap));
    assert_eq!(get(), Ok((256, 0)));
    op(XEN_SCHEDULER_CREDIT2, XEN_DOMCTL_SCHEDOP_putinfo, 512, 50).unwrap();
    assert_eq!(get(), Ok((512, 50)));
    op(XEN_SCHEDULER_CREDIT2, XEN_DOMCTL_SCHEDOP_putinfo, 0, 60).unwrap();
    assert_eq!(get(), Ok((512, 60)), "no weight keeps the weight");
    assert_eq!(op(XEN_SCHEDULER_CREDIT, XEN_DOMCTL_SCHEDOP_getinfo, 0, 0), Err(Errno::EINVAL));
    for cmd in [XEN_DOMCTL_SCHEDOP_putvcpuinfo, XEN_DOMCTL_SCHEDOP_getvcpuinfo, 99] {
        assert_eq!(op(XEN_SCHEDULER_CREDIT2, cmd, 1, 1), Err(Errno::EINVAL), "{cmd}");
    }
    let mut payload = SchedulerOp::new_zeroed();
    payload.sched_id = XEN_SCHEDULER_CREDIT2;
    assert_eq!(world.domctl(&dom0, XEN_DOMCTL_scheduler_op, 77, &payload), Err(Errno::ESRCH));
    assert_eq!(get(), Ok((512, 60)));
}

#[test]
fn table_pool_grows_and_shrinks_to_the_size_asked_for() {
    let (world, _, domu) = setup();
    let set = |size: u64| ask(&world, XEN_DOMCTL_set_paging_mempool_size, &PagingMempool { size }).map(drop);
    let get = || ask(&world, XEN_DOMCTL_get_paging_mempool_size, &PagingMempool { size: 0 }).unwrap().size;
    let free = world.hv.frames.free_frames();
    let start = get();
    assert_eq!(set(start + (300 << 12)), Ok(()));
    assert_eq!((get(), world.hv.frames.free_frames()), (start + (300 << 12), free - 300));
    assert_eq!(set(start), Ok(()));
    assert_eq!((get(), world.hv.frames.free_frames()), (start, free));
    for odd in [1, 0xfff, (1 << 20) + 8] {
        assert_eq!(set(odd), Err(Errno::EINVAL), "{odd:x}");
    }
    // Most memory is taken, as cleaning all of it takes long.
    let frames = &world.hv.frames;
    let take = |order| core::iter::from_fn(move || frames.alloc_private(order).map(|mfn| (mfn, order)));
    let taken: Vec<(Mfn, u32)> = (5..11).rev().flat_map(take).collect();
    assert_eq!(set(1 << 40), Err(Errno::ENOMEM));
    taken.into_iter().for_each(|(mfn, order)| frames.free_private(mfn, order));
    check(&world, &[]);
    assert_eq!(set(0), Err(Errno::EBUSY), "some are in use");
    assert!(domu.lookup(world.hv, GUEST_RAM).is_some());
    check(&world, &[]);
}

#[test]
fn table_pool_that_draws_on_the_machine_can_be_sized() {
    let (world, dom0, _) = setup();
    let set = |pages: u64| {
        let request = PagingMempool { size: pages << 12 };
        world.domctl(&dom0, XEN_DOMCTL_set_paging_mempool_size, 0, &request).map(drop)
    };
    let start = dom0.memory.lock().pool.total();
    assert_eq!(set(start + 300), Ok(()));
    assert_eq!(dom0.memory.lock().pool.total(), start + 300);
    check(&world, &[]);
    assert_eq!(set(start), Ok(()));
    assert_eq!(dom0.memory.lock().pool.total(), start);
    check(&world, &[]);
}

#[test]
fn written_pages_are_flushed_and_holes_passed() {
    let (world, dom0, domu) = setup();
    let flush = |start_pfn: u64, nr_pfns: u64| {
        ask(&world, XEN_DOMCTL_cacheflush, &Cacheflush { start_pfn, nr_pfns }).map(drop)
    };
    let mfn = domu.lookup(world.hv, GUEST_RAM).unwrap().mfn;
    world.put(&domu, GUEST_RAM.addr(), &1u64);
    assert!(world.hv.machine.is_dirty(mfn));
    assert_eq!(flush(0x70000, 0x20000), Ok(()));
    assert!(!world.hv.machine.is_dirty(mfn));
    world.add_to_physmap(&dom0, 5, XENMAPSPACE_shared_info, 0, Gfn(0x300)).unwrap();
    world.hv.machine.take_log();
    assert_eq!(flush(0x300, 1), Ok(()));
    assert!(
        !world.hv.machine.take_log().iter().any(|e| matches!(e.op, Op::CleanFrames { .. })),
        "no memory of its own"
    );
    for (start, count) in [(u64::MAX, 1), (1, u64::MAX), (1 << 28, 1), (0, 1 << 40)] {
        assert_eq!(flush(start, count), Err(Errno::EINVAL), "{start:x} {count:x}");
    }
    assert_eq!(flush(GUEST_RAM.0, 0), Ok(()));
}

#[test]
fn node_affinity_is_the_one_node() {
    let (world, dom0, _) = setup();
    let nodemap = bitmap(&world, 0, 64, &[u64::MAX]);
    assert_eq!(ask(&world, XEN_DOMCTL_setnodeaffinity, &NodeAffinity { nodemap }).map(drop), Ok(()));
    ask(&world, XEN_DOMCTL_getnodeaffinity, &NodeAffinity { nodemap }).unwrap();
    assert_eq!(world.take::<u64>(&dom0, LISTS), 1);
    let wild = XenctlBitmap { bitmap: GuestHandle(0x7000_0000_0000), ..nodemap };
    for cmd in [XEN_DOMCTL_setnodeaffinity, XEN_DOMCTL_getnodeaffinity] {
        assert_eq!(ask(&world, cmd, &NodeAffinity { nodemap: wild }).map(drop), Err(Errno::EFAULT));
    }
}

#[test]
fn handle_and_address_size_are_set() {
    let (world, ..) = setup();
    ask(&world, XEN_DOMCTL_setdomainhandle, &SetDomainHandle { handle: [7; 16] }).unwrap();
    assert_eq!(world.info(5).unwrap().handle, [7; 16]);
    assert_eq!(ask(&world, XEN_DOMCTL_set_address_size, &AddressSize { size: 64 }).map(drop), Ok(()));
    for size in [0, 32, 65, u32::MAX] {
        assert_eq!(
            ask(&world, XEN_DOMCTL_set_address_size, &AddressSize { size }).map(drop),
            Err(Errno::EINVAL)
        );
    }
}

/// The wall clock in a domain's shared page at 0x300: version, seconds, nanoseconds.
fn clock(world: &World, domain: &Domain) -> (u32, u64, u32) {
    let at = Gfn(0x300).addr().plus(Abi::SHARED_INFO_WC_VERSION as u64);
    let [version, low, nsec, high]: [u32; 4] = world.take(domain, at);
    (version, u64::from(high) << 32 | u64::from(low), nsec)
}

fn settime(world: &World, caller: &Arc<Domain>, time: Settime64) -> Result<u64, Errno> {
    let mut op = PlatformOp::new_zeroed();
    (op.cmd, op.interface_version) = (XENPF_settime64, XENPF_INTERFACE_VERSION);
    op.write_payload(&time);
    world.put(caller, ARGS, &op);
    world.call(caller, __HYPERVISOR_platform_op.into(), [ARGS.0, 0, 0, 0, 0])
}

#[test]
fn wall_clock_reaches_every_domain_with_its_offset() {
    let (world, dom0, domu) = setup();
    for domid in [0, 5] {
        world.add_to_physmap(&dom0, domid, XENMAPSPACE_shared_info, 0, Gfn(0x300)).unwrap();
    }
    // At 5.25 s after the start it is 2^32 + 7.75 s.
    let time = Settime64 { secs: (1 << 32) + 7, nsecs: 750_000_000, mbz: 0, system_time: 5_250_000_000 };
    let before = clock(&world, &domu).0;
    assert_eq!(settime(&world, &dom0, time), Ok(0));
    for domain in [&dom0, &domu] {
        let (version, secs, nsec) = clock(&world, domain);
        assert_eq!((version % 2, secs, nsec), (0, (1 << 32) + 2, 500_000_000));
    }
    assert_eq!(clock(&world, &domu).0, before.wrapping_add(2));
    ask(&world, XEN_DOMCTL_settimeoffset, &SetTimeOffset { time_offset_seconds: -3600 }).unwrap();
    assert_eq!(clock(&world, &domu).1, (1 << 32) + 2 - 3600);
    assert_eq!(clock(&world, &dom0).1, (1 << 32) + 2);
    assert_eq!(settime(&world, &dom0, time), Ok(0));
    assert_eq!(clock(&world, &domu).1, (1 << 32) + 2 - 3600, "the offset stays");
    // A new domain has it from the start.
    world.create(6, World::config()).unwrap();
    let six = world.get(6);
    let mut secs = 0;
    six.events.with_shared_info(world.hv, |page| {
        use hal::FrameMem as _;
        secs = page.load32(Abi::SHARED_INFO_WC_VERSION + 4);
    });
    assert_eq!(secs, 2);

    assert_eq!(settime(&world, &dom0, Settime64 { mbz: 1, ..time }), Err(Errno::EINVAL));
    assert_eq!(settime(&world, &domu, time), Err(Errno::EPERM));
    assert_eq!(clock(&world, &domu).1, (1 << 32) + 2 - 3600);
}

#[test]
fn platform_interface_has_one_version() {
    let (world, dom0, _) = setup();
    let mut op = PlatformOp::new_zeroed();
    (op.cmd, op.interface_version) = (XENPF_settime64, XENPF_INTERFACE_VERSION + 1);
    world.put(&dom0, ARGS, &op);
    let answer = world.call(&dom0, __HYPERVISOR_platform_op.into(), [ARGS.0, 0, 0, 0, 0]);
    assert_eq!(answer, Err(Errno::EACCES));
}

#[test]
fn virtual_interrupt_goes_to_the_domain_that_was_chosen() {
    use xen_abi::event_channel::{EVTCHNOP_bind_virq, EvtchnBindVirq};
    let (world, dom0, domu) = setup();
    let bind = |domain: &Arc<Domain>| {
        let op = EvtchnBindVirq { virq: VIRQ_DOM_EXC, vcpu: 0, port: 0 };
        world.op(domain, __HYPERVISOR_event_channel_op.into(), EVTCHNOP_bind_virq, &op).unwrap().port
    };
    let (ours, theirs) = (bind(&dom0), bind(&domu));
    let pending = |domain: &Domain, port| domain.events.is_port_pending(world.hv, port).unwrap();
    ask(&world, XEN_DOMCTL_set_virq_handler, &SetVirqHandler { virq: VIRQ_DOM_EXC }).unwrap();
    let other = world.domain(6, 1);
    world.hv.shut_down(&other, crate::domain::ShutdownReason::POWEROFF);
    assert_eq!((pending(&dom0, ours), pending(&domu, theirs)), (false, true));
    for virq in [VIRQ_TIMER, NR_VIRQS, u32::MAX] {
        let answer = ask(&world, XEN_DOMCTL_set_virq_handler, &SetVirqHandler { virq }).map(drop);
        assert_eq!(answer, Err(Errno::EINVAL), "{virq}");
    }
    world.kill(5).unwrap();
    assert!(pending(&dom0, ours), "dom0 hears of it again, and of this end first");
}

#[test]
fn limit_of_memory_is_counted_in_pages() {
    let (world, dom0, domu) = setup();
    for (kb, pages) in
        [(0, 0), (3, 0), (4, 1), (4 * GUEST_PAGES + 3, GUEST_PAGES as u32), (u64::MAX, u32::MAX)]
    {
        ask(&world, XEN_DOMCTL_max_mem, &MaxMem { max_memkb: kb }).unwrap();
        assert_eq!(domu.max_pages(), pages, "{kb}");
        assert_eq!(world.info(5).unwrap().max_pages, u64::from(pages));
    }
    assert_eq!(world.extents(&dom0, 5, Extents::Populate, &[0x90000], 0), Ok(1));
}
