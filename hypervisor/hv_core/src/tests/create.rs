//! How domains come and go.

use crate::domain::Domain;
use crate::hypercall::{Call, Flow, dispatch};
use crate::memory::MAX_ORDER;
use crate::testkit::{ARGS, Cpu, GUEST_PAGES, GUEST_RAM, LISTS, World, check, pin_all};
use alloc::sync::Arc;
use alloc::vec::Vec;
use arch_fake::Op;
use hal::{Gfn, MachineOps as _, PcpuId};
use std::time::Duration;
use xen_abi::domctl::v4_17::*;
use xen_abi::domctl::*;
use xen_abi::event_channel::*;
use xen_abi::grant_table::GTF_permit_access;
use xen_abi::memory::*;
use xen_abi::sched::{SCHEDOP_shutdown, SchedShutdown};
use xen_abi::vcpu::*;
use xen_abi::xen::*;
use xen_abi::{Errno, GuestHandle};
use zerocopy::FromZeros as _;

fn max_vcpus(world: &World, domid: u16, max: u32) -> Result<(), Errno> {
    world.domctl(&world.get(0), XEN_DOMCTL_max_vcpus, domid, &MaxVcpus { max }).map(drop)
}

#[test]
fn new_domain_is_as_it_was_asked_for_and_paused() {
    let world = World::hostile();
    let config = CreateDomainCommon { ssidref: 3, handle: [9; 16], ..World::config() };
    assert_eq!(world.create(5, config), Ok(5));
    let info = world.info(5).unwrap();
    let flags = DominfFlags::from_bits_retain(info.flags);
    assert_eq!(flags, DominfFlags::HVM_GUEST | DominfFlags::HAP | DominfFlags::PAUSED);
    assert_eq!((info.ssidref, info.handle, info.gpaddr_bits), (3, [9; 16], 40));
    assert_eq!((info.nr_online_vcpus, info.max_vcpu_id), (0, XEN_INVALID_MAX_VCPU_ID));
    assert_eq!((info.tot_pages, info.cpu_time), (0, 0));
    check(&world, &[]);

    max_vcpus(&world, 5, 2).unwrap();
    let info = world.info(5).unwrap();
    assert_eq!((info.nr_online_vcpus, info.max_vcpu_id), (0, 1));
    assert_eq!(DominfFlags::from_bits_retain(info.flags), flags, "vCPUs that are down do not block");
    assert_eq!(max_vcpus(&world, 5, 2), Ok(()), "again: they are there");
    assert_eq!(world.kill(5), Ok(()));
    assert_eq!(world.info(5), Err(Errno::ESRCH));
    check(&world, &[]);
}

/// Creates domain 6 as tools of Xen 4.19 to 4.22 do; the answer.
fn create_grown(world: &World, config: v4_19::CreateDomainArm64) -> Result<v4_19::CreateDomainArm64, Errno> {
    let dom0 = world.get(0);
    let mut op = Domctl::new_zeroed();
    (op.cmd, op.domain, op.interface_version) = (XEN_DOMCTL_createdomain, 6, v4_19::FIRST_VERSION);
    op.write_payload(&config);
    world.put(&dom0, ARGS, &op);
    world.call(&dom0, __HYPERVISOR_domctl.into(), [ARGS.0, 0, 0, 0, 0])?;
    Ok(world.take::<Domctl>(&dom0, ARGS).read_payload())
}

#[test]
fn creation_has_the_layout_of_its_interface_version() {
    let world = World::hostile();
    let mut common: v4_19::CreateDomainCommon = World::config().into();
    // In the layout of 4.17 these words would be a pool that does not exist, and so on.
    (common.cpupool_id, common.handle, common.ssidref) = (0, [7; 16], 3);
    common.flags |= v4_19::XEN_DOMCTL_CDF_trap_unmapped_accesses;
    let good = v4_19::CreateDomainArm64 { common, arch: v4_19::ArchDomainConfigArm64::new_zeroed() };
    let mut bad = [good; 5];
    bad[0].common.altp2m = 1;
    bad[1].arch.sve_vl = 1;
    bad[2].arch.arm_sci_type = 1;
    bad[3].arch.v8r_el1_msa = 1;
    bad[4].arch.pad = 1;
    for config in bad {
        assert_eq!(create_grown(&world, config), Err(Errno::EINVAL), "{config:?}");
    }
    let pool = v4_19::CreateDomainCommon { cpupool_id: 77, ..common };
    assert_eq!(create_grown(&world, v4_19::CreateDomainArm64 { common: pool, ..good }), Err(Errno::ESRCH));
    let made = create_grown(&world, good).unwrap();
    assert_eq!((made.common.handle, made.common.max_vcpus), ([7; 16], common.max_vcpus));
    let info = world.info(6).unwrap();
    assert_eq!((info.ssidref, info.handle), (3, [7; 16]));
    assert_eq!(world.kill(6), Ok(()));
    check(&world, &[]);
}

#[test]
fn configuration_that_cannot_be_had_is_refused() {
    let world = World::hostile();
    let good = World::config();
    let free = world.hv.frames.free_frames();
    let bad = [
        CreateDomainCommon { flags: 0, ..good },
        CreateDomainCommon { flags: XEN_DOMCTL_CDF_hvm, ..good },
        CreateDomainCommon { flags: good.flags | XEN_DOMCTL_CDF_nested_virt, ..good },
        CreateDomainCommon { flags: good.flags | 1 << 31, ..good },
        CreateDomainCommon { iommu_opts: 1, ..good },
        CreateDomainCommon { max_vcpus: 0, ..good },
        CreateDomainCommon { max_vcpus: 129, ..good },
        CreateDomainCommon { max_vcpus: u32::MAX, ..good },
        CreateDomainCommon { grant_opts: 0, ..good },
        CreateDomainCommon { grant_opts: 2, ..good },
        CreateDomainCommon { grant_opts: 0x11, ..good },
        CreateDomainCommon { max_grant_frames: 0, ..good },
        CreateDomainCommon { max_grant_frames: 65, ..good },
        CreateDomainCommon { max_grant_frames: i32::MAX, ..good },
        CreateDomainCommon { max_maptrack_frames: 1025, ..good },
        CreateDomainCommon { vmtrace_size: 4096, ..good },
    ];
    for config in bad {
        assert_eq!(world.create(5, config), Err(Errno::EINVAL), "{config:?}");
    }
    assert_eq!(world.info(1), Err(Errno::ESRCH));
    assert_eq!(world.hv.frames.free_frames(), free);
    for config in [
        CreateDomainCommon { max_vcpus: 128, ..good },
        CreateDomainCommon { max_grant_frames: 64, max_maptrack_frames: 0, ..good },
        CreateDomainCommon {
            max_grant_frames: 1,
            max_maptrack_frames: 1024,
            max_evtchn_port: u32::MAX,
            ..good
        },
    ] {
        assert_eq!(world.create(5, config), Ok(5), "{config:?}");
        world.kill(5).unwrap();
    }
    check(&world, &[]);
}

#[test]
fn number_in_use_is_refused_and_a_free_one_is_found() {
    let world = World::hostile();
    let config = World::config();
    assert_eq!(world.create(5, config), Ok(5));
    assert_eq!(world.create(5, config), Err(Errno::EEXIST));
    let found: Vec<u16> = [0, DOMID_FIRST_RESERVED, 0xffff].map(|n| world.create(n, config).unwrap()).into();
    assert_eq!(found, [1, 2, 3]);
    world.kill(2).unwrap();
    assert_eq!(world.create(0, config), Ok(4), "a number is not used again at once");
    assert_eq!(world.create(0, config), Ok(6));
    assert_eq!(world.create(2, config), Ok(2), "but when it is asked for");
    check(&world, &[]);
}

#[test]
fn machine_without_memory_makes_no_half_domain() {
    let world = World::hostile();
    let dom0 = world.get(0);
    let free = world.hv.frames.free_frames();
    let mut made = false;
    for leave in 0..8 {
        let mut taken = Vec::new();
        for order in (0..=MAX_ORDER).rev() {
            while world.hv.frames.free_frames() >= leave + (1 << order) {
                let Some(mfn) = world.hv.frames.alloc_private(order) else { break };
                taken.push((mfn, order));
            }
        }
        let answer = world.create(5, World::config());
        assert!(answer == Ok(5) || answer == Err(Errno::ENOMEM), "{answer:?}");
        if answer.is_ok() {
            made = true;
            let size = PagingMempool { size: 100 << 12 };
            let pool = world.domctl(&dom0, XEN_DOMCTL_set_paging_mempool_size, 5, &size);
            assert_eq!(pool, Err(Errno::ENOMEM));
            world.kill(5).unwrap();
        }
        assert_eq!(world.hv.frames.free_frames(), leave);
        for (mfn, order) in taken {
            world.hv.frames.free_private(mfn, order);
        }
        check(&world, &[]);
    }
    assert!(made);
    assert_eq!(world.hv.frames.free_frames(), free);
}

#[test]
fn vcpus_are_those_the_domain_was_made_for() {
    let world = World::hostile();
    world.create(5, CreateDomainCommon { max_vcpus: 100, ..World::config() }).unwrap();
    for max in [0, 99, 101, u32::MAX] {
        assert_eq!(max_vcpus(&world, 5, max), Err(Errno::EINVAL), "{max}");
    }
    assert_eq!(max_vcpus(&world, 5, 100), Ok(()));
    assert_eq!(world.get(5).vcpus().count(), 100);
    assert_eq!(max_vcpus(&world, 77, 1), Err(Errno::ESRCH));
    assert_eq!(max_vcpus(&world, 0, 1), Err(Errno::EINVAL), "its own vCPUs: it would have to stand still");
}

/// Uses everything that a domain can hold: all kinds of event channels, grants both ways, shared
/// pages, runstate and vcpu_info areas, watchdogs, timers.
fn use_everything(world: &World, domu: &Arc<Domain>, peer: &Arc<Domain>) {
    let events = u64::from(__HYPERVISOR_event_channel_op);
    world.map_grants(domu);
    world.map_grants(peer);
    world.add_to_physmap(domu, DOMID_SELF, XENMAPSPACE_shared_info, 0, Gfn(0x100)).unwrap();
    for gref in 0..20 {
        world.grant(domu, gref, GTF_permit_access, peer.id.raw(), GUEST_RAM.plus(u64::from(gref) % 8));
        world.grant(peer, gref, GTF_permit_access, domu.id.raw(), GUEST_RAM.plus(u64::from(gref) % 8));
        world.map_ok(domu, peer.id.raw(), gref, Gfn(0x400).plus(gref.into()));
    }
    for n in 0..20 {
        let unbound = EvtchnAllocUnbound { dom: DOMID_SELF, remote_dom: peer.id.raw(), port: 0 };
        let port = world.op(domu, events, EVTCHNOP_alloc_unbound, &unbound).unwrap().port;
        if n % 2 == 0 {
            let mut bind = EvtchnBindInterdomain::new_zeroed();
            (bind.remote_dom, bind.remote_port) = (domu.id.raw(), port);
            world.op(peer, events, EVTCHNOP_bind_interdomain, &bind).unwrap();
        }
    }
    world
        .op(domu, events, EVTCHNOP_bind_virq, &EvtchnBindVirq { virq: VIRQ_TIMER, vcpu: 1, port: 0 })
        .unwrap();
    world.op(domu, events, EVTCHNOP_bind_ipi, &EvtchnBindIpi { vcpu: 1, port: 0 }).unwrap();
    for vcpu in 0..2 {
        let mut control = EvtchnInitControl::new_zeroed();
        (control.control_gfn, control.vcpu) = (GUEST_RAM.0 + 10 + u64::from(vcpu), vcpu);
        world.op(domu, events, EVTCHNOP_init_control, &control).unwrap();
        // Across the end of a page.
        let addr = GuestHandle(GUEST_RAM.plus(20).addr().0 - 8 + 0x2000 * u64::from(vcpu));
        world.put(domu, ARGS, &VcpuRegisterRunstateMemoryArea { addr });
        let args = [VCPUOP_register_runstate_memory_area.into(), vcpu.into(), ARGS.0, 0, 0];
        world.call_on(domu, vcpu as usize, __HYPERVISOR_vcpu_op.into(), args).unwrap();
    }
    let array = EvtchnExpandArray { array_gfn: GUEST_RAM.0 + 14 };
    world.op(domu, events, EVTCHNOP_expand_array, &array).unwrap();
    domu.watchdog(world.hv, 0, 100).unwrap();
    domu.vcpu(1).unwrap().timer.start(world.hv, 1 << 40);
    domu.vcpu(0).unwrap().poll_timer.start(world.hv, 1 << 41);
}

#[test]
fn domain_that_uses_everything_gives_everything_back() {
    let world = World::hostile();
    let (dom0, peer) = (world.get(0), world.domain(6, 1));
    world.map_grants(&peer);
    let free = world.hv.frames.free_frames();
    for _ in 0..2 {
        let domu = world.domain(5, 2);
        use_everything(&world, &domu, &peer);
        world.kill(5).unwrap();
        assert!(world.hv.domains.get(domu.id).is_none());
        assert_eq!(world.hv.frames.free_frames(), free);
        assert_eq!(Arc::strong_count(&domu), 1, "nobody holds the domain but this test");
        check(&world, &[]);
    }
    // The other way round: the peer goes while the first uses it.
    let domu = world.domain(5, 2);
    use_everything(&world, &domu, &peer);
    world.kill(6).unwrap();
    assert_eq!(world.info(6).map(|info| info.domain), Ok(6), "its pages are mapped");
    world.kill(5).unwrap();
    assert!(world.reap());
    assert_eq!(world.info(1), Err(Errno::ESRCH));
    assert!(dom0.watchdog(world.hv, 1, 0).is_err());
    let pcpu = &world.hv.cpus[0];
    assert_eq!(pcpu.timers.lock().next(), None, "no timer is left");
    check(&world, &[]);
}

#[test]
fn dom0_and_unknown_domains_are_not_destroyed() {
    let world = World::hostile();
    assert_eq!(world.kill(0), Err(Errno::EINVAL));
    assert_eq!(world.kill(5), Err(Errno::ESRCH));
    assert_eq!(world.kill(DOMID_SELF), Err(Errno::ESRCH));
    check(&world, &[]);
}

#[test]
fn large_domain_is_destroyed_a_step_at_a_time() {
    let world = World::hostile();
    let (dom0, domu) = (world.get(0), world.domain(5, 1));
    let free = world.hv.frames.free_frames();
    for n in 0..8 {
        assert!(world.populate(&domu, 0x90000 + n * 512, 9));
    }
    for n in 0..600 {
        assert!(world.populate(&domu, 0x94000 + n, 0));
    }
    let mut op = Domctl::new_zeroed();
    (op.cmd, op.interface_version, op.domain) = (XEN_DOMCTL_destroydomain, XEN_DOMCTL_INTERFACE_VERSION, 5);
    world.put(&dom0, ARGS, &op);
    world.hv.machine.set_stage2(dom0.root);
    let (mut again, mut done) = (0, false);
    while !done {
        let before = world.hv.frames.free_frames();
        let args = [ARGS.0, 0, 0, 0, 0];
        let call = Call { hv: world.hv, domain: &dom0, vcpu: dom0.vcpu(0).unwrap(), args };
        done = dispatch(&call, __HYPERVISOR_domctl.into()) == Ok(Flow::Done(0));
        again += u32::from(!done);
        assert!(world.hv.frames.free_frames() - before <= 5000, "too much at once");
        let told = (!done).then(|| world.info(5).unwrap().flags & XEN_DOMINF_dying);
        assert!(told.is_none_or(|dying| dying == 0), "it is not dead yet");
        world.put(&dom0, ARGS, &op);
        world.hv.machine.set_stage2(dom0.root);
        check(&world, &[]);
    }
    assert!(again >= 2, "{again}");
    assert!(world.hv.frames.free_frames() > free);
    assert_eq!(world.info(5), Err(Errno::ESRCH));
}

#[test]
fn dying_domain_takes_no_changes() {
    let world = World::hostile();
    let (dom0, domu) = (world.get(0), world.domain(5, 1));
    world.map_grants(&dom0);
    assert_eq!(world.map_foreign(&dom0, 5, GUEST_RAM, Gfn(0x300)), 0);
    world.kill(5).unwrap();
    let events = u64::from(__HYPERVISOR_event_channel_op);
    let unbound = EvtchnAllocUnbound { dom: 5, remote_dom: 0, port: 0 };
    assert_eq!(world.op(&dom0, events, EVTCHNOP_alloc_unbound, &unbound), Err(Errno::EINVAL));
    assert_eq!(max_vcpus(&world, 5, 1), Err(Errno::EINVAL));
    let size = PagingMempool { size: 1 << 20 };
    assert_eq!(world.domctl(&dom0, XEN_DOMCTL_set_paging_mempool_size, 5, &size), Err(Errno::EINVAL));
    let handler = SetVirqHandler { virq: VIRQ_DOM_EXC };
    assert_eq!(world.domctl(&dom0, XEN_DOMCTL_set_virq_handler, 5, &handler), Err(Errno::EINVAL));
    assert_eq!(world.acquire(&dom0, 5, 0, &[0x301]), Err(Errno::EINVAL));
    for (cmd, payload) in [
        (XEN_DOMCTL_pausedomain, 0u64),
        (XEN_DOMCTL_unpausedomain, 0),
        (XEN_DOMCTL_resumedomain, 0),
        (XEN_DOMCTL_max_mem, 7),
        (XEN_DOMCTL_settimeoffset, 9),
        (XEN_DOMCTL_getvcpuinfo, 0),
    ] {
        // Whatever the answer: nothing of it comes back.
        let _ = world.domctl(&dom0, cmd, 5, &payload);
        check(&world, &[]);
    }
    assert!(!domu.vcpu(0).unwrap().is_runnable());
    assert_eq!(world.remove(&dom0, Gfn(0x300)), Ok(()));
    assert!(world.reap());
    check(&world, &[]);
}

/// One call of the domctl that destroys domain 5; true when nothing is left to do.
fn destroy_once(world: &World) -> bool {
    let dom0 = world.get(0);
    let mut op = Domctl::new_zeroed();
    (op.cmd, op.interface_version, op.domain) = (XEN_DOMCTL_destroydomain, XEN_DOMCTL_INTERFACE_VERSION, 5);
    world.put(&dom0, ARGS, &op);
    world.hv.machine.set_stage2(dom0.root);
    let call = Call { hv: world.hv, domain: &dom0, vcpu: dom0.vcpu(0).unwrap(), args: [ARGS.0, 0, 0, 0, 0] };
    dispatch(&call, __HYPERVISOR_domctl.into()).unwrap() == Flow::Done(0)
}

/// Domain 5 with one vCPU that runs on pCPU 1.
fn running(world: &World) -> (Arc<Domain>, Cpu) {
    let domu = world.domain(5, 1);
    pin_all(world, &world.get(0), 0);
    pin_all(world, &domu, 1);
    let mut cpu = Cpu::new(world, 1);
    cpu.reschedule();
    assert_eq!(cpu.runs(), Some((5, 0)));
    (domu, cpu)
}

#[test]
fn vcpu_that_shuts_its_domain_down_does_not_hang_with_its_destruction() {
    let world = World::hostile();
    let (domu, mut cpu) = running(&world);
    world.put(&domu, ARGS, &SchedShutdown { reason: 1 });
    let (end, ended) = std::sync::mpsc::channel();
    let shut_down = move || {
        let result = cpu.hypercall(__HYPERVISOR_sched_op.into(), [SCHEDOP_shutdown.into(), ARGS.0, 0, 0, 0]);
        cpu.interrupt();
        let _ = end.send((result, cpu.runs()));
    };
    // The other pCPU gets on when dom0's waits for it, or comes back.
    let other = std::sync::Mutex::new(Some((shut_down, ended)));
    world.hv.machine.set_hook(move |_, event| {
        if event.op == Op::Relax
            && let Some((f, ended)) = other.lock().unwrap().take()
        {
            std::thread::spawn(f);
            let answer = ended.recv_timeout(Duration::from_secs(10));
            assert_eq!(answer, Ok((0, None)), "the two pCPUs wait for each other");
        }
    });
    assert!(!destroy_once(&world));
    world.hv.machine.relax();
    world.hv.machine.clear_hook();
    for _ in 0..100 {
        if destroy_once(&world) {
            break;
        }
    }
    assert!(world.hv.domains.get(domu.id).is_none());
    check(&world, &[]);
}

#[test]
fn domain_is_not_taken_apart_while_a_vcpu_is_on_a_pcpu() {
    let world = World::hostile();
    let (domu, mut cpu) = running(&world);
    let free = world.hv.frames.free_frames();
    for _ in 0..5 {
        assert!(!destroy_once(&world));
        assert_eq!(world.hv.frames.free_frames(), free);
    }
    assert!(domu.is_dying());
    assert!(world.hv.machine.take_poke(PcpuId(1)), "it was asked to leave");
    cpu.interrupt();
    assert_eq!(cpu.runs(), None);
    assert!((0..10).any(|_| destroy_once(&world)));
    assert!(world.hv.frames.free_frames() > free);
    check(&world, &[]);
}

#[test]
fn pages_of_a_domain_are_zero_for_the_next() {
    let world = World::hostile();
    let domu = world.domain(5, 1);
    for n in 0..GUEST_PAGES {
        world.put(&domu, GUEST_RAM.plus(n).addr(), &[0xeeu8; 4096]);
    }
    world.kill(5).unwrap();
    let next = world.domain(6, 1);
    for n in 0..GUEST_PAGES {
        assert_eq!(world.take::<[u8; 4096]>(&next, GUEST_RAM.plus(n).addr()), [0; 4096], "{n}");
    }
    assert_eq!(LISTS.frame().0 - GUEST_RAM.0, GUEST_PAGES - 9);
}
