//! Pauses, shutdowns and watchdogs.

use crate::domain::{Domain, ShutdownReason};
use crate::options::Options;
use crate::testkit::{GUEST_RAM, World, check};
use crate::{Local, Work};
use alloc::sync::Arc;
use arch_fake::{MachineEnd, catch_end};
use hal::PcpuId;
use xen_abi::Errno;
use xen_abi::domctl::v4_17::DominfFlags;
use xen_abi::domctl::*;
use xen_abi::event_channel::{EVTCHNOP_bind_virq, EvtchnBindVirq};
use xen_abi::sched::*;
use xen_abi::xen::*;

fn domctl(world: &World, cmd: u32, domid: u16) -> Result<(), Errno> {
    world.domctl(&world.get(0), cmd, domid, &0u64).map(drop)
}

fn sched<T: xen_abi::Plain>(world: &World, caller: &Arc<Domain>, cmd: u32, arg: &T) -> Result<u64, Errno> {
    world.put(caller, crate::testkit::ARGS, arg);
    world.call(caller, __HYPERVISOR_sched_op.into(), [cmd.into(), crate::testkit::ARGS.0, 0, 0, 0])
}

fn shut_down(world: &World, caller: &Arc<Domain>, reason: u32) -> Result<u64, Errno> {
    sched(world, caller, SCHEDOP_shutdown, &SchedShutdown { reason })
}

fn flags(world: &World, domid: u16) -> DominfFlags {
    DominfFlags::from_bits_retain(world.info(domid).unwrap().flags)
}

#[test]
fn domain_runs_when_all_pauses_are_taken_back() {
    let world = World::new();
    let domu = world.domain(5, 2);
    let runs = || domu.vcpus().filter(|v| v.is_runnable()).count();
    assert_eq!(runs(), 2);
    for _ in 0..3 {
        domctl(&world, XEN_DOMCTL_pausedomain, 5).unwrap();
        assert_eq!(runs(), 0);
    }
    assert!(flags(&world, 5).contains(DominfFlags::PAUSED));
    for left in (0..3).rev() {
        domctl(&world, XEN_DOMCTL_unpausedomain, 5).unwrap();
        assert_eq!(runs(), if left == 0 { 2 } else { 0 });
    }
    assert!(!flags(&world, 5).contains(DominfFlags::PAUSED));
    assert_eq!(domctl(&world, XEN_DOMCTL_unpausedomain, 5), Err(Errno::EINVAL));
    assert_eq!(runs(), 2);
}

#[test]
fn pauses_are_counted_up_to_a_limit() {
    let world = World::new();
    let domu = world.domain(5, 1);
    for _ in 0..255 {
        domctl(&world, XEN_DOMCTL_pausedomain, 5).unwrap();
    }
    assert_eq!(domctl(&world, XEN_DOMCTL_pausedomain, 5), Err(Errno::EOVERFLOW));
    for _ in 0..255 {
        domctl(&world, XEN_DOMCTL_unpausedomain, 5).unwrap();
    }
    assert!(domu.vcpu(0).unwrap().is_runnable());
}

#[test]
fn tool_cannot_stop_itself() {
    let world = World::new();
    for cmd in [XEN_DOMCTL_pausedomain, XEN_DOMCTL_resumedomain, XEN_DOMCTL_destroydomain] {
        assert_eq!(domctl(&world, cmd, 0), Err(Errno::EINVAL), "{cmd}");
    }
    assert!(world.get(0).vcpu(0).unwrap().is_runnable());
}

#[test]
fn vcpu_made_while_its_domain_stands_is_paused_as_often() {
    let world = World::new();
    world.create(5, World::config()).unwrap();
    let domu = world.get(5);
    domctl(&world, XEN_DOMCTL_pausedomain, 5).unwrap();
    world.domctl(&world.get(0), XEN_DOMCTL_max_vcpus, 5, &MaxVcpus { max: 2 }).unwrap();
    for vcpu in domu.vcpus() {
        assert!(!vcpu.is_up() && vcpu.is_paused());
        world.hv.bring_up(vcpu);
    }
    domctl(&world, XEN_DOMCTL_unpausedomain, 5).unwrap();
    assert!(domu.vcpus().all(|v| !v.is_runnable()));
    domctl(&world, XEN_DOMCTL_unpausedomain, 5).unwrap();
    assert!(domu.vcpus().all(|v| v.is_runnable()));
}

#[test]
fn shutdown_is_told_with_its_reason_and_stands_until_resumed() {
    let world = World::new();
    for reason in [0, 1, 2, 3, 4, 5, 77, 255] {
        let domu = world.domain(5, 2);
        assert_eq!(shut_down(&world, &domu, reason), Ok(0));
        let told = flags(&world, 5);
        assert!(
            told.contains(DominfFlags::SHUTDOWN) && !told.contains(DominfFlags::PAUSED | DominfFlags::DYING)
        );
        assert_eq!(told.shutdown_code(), reason);
        assert!(domu.vcpus().all(|v| !v.is_runnable()));
        assert_eq!(shut_down(&world, &domu, 1), Ok(0));
        assert_eq!(flags(&world, 5).shutdown_code(), reason, "the first reason stays");
        domctl(&world, XEN_DOMCTL_resumedomain, 5).unwrap();
        assert!(!flags(&world, 5).contains(DominfFlags::SHUTDOWN));
        assert!(domu.vcpus().all(|v| v.is_runnable()));
        domctl(&world, XEN_DOMCTL_resumedomain, 5).unwrap();
        assert!(domu.vcpus().all(|v| v.is_runnable() && !v.is_paused()), "resumed once");
        world.kill(5).unwrap();
    }
    check(&world, &[]);
}

#[test]
fn dom0_is_told_of_a_shutdown() {
    let world = World::new();
    let (dom0, domu) = (world.get(0), world.domain(5, 1));
    let op = EvtchnBindVirq { virq: VIRQ_DOM_EXC, vcpu: 0, port: 0 };
    let port = world.op(&dom0, __HYPERVISOR_event_channel_op.into(), EVTCHNOP_bind_virq, &op).unwrap().port;
    assert_eq!(dom0.events.is_port_pending(world.hv, port), Ok(false));
    shut_down(&world, &domu, 0).unwrap();
    assert_eq!(dom0.events.is_port_pending(world.hv, port), Ok(true));
}

#[test]
fn reason_that_was_announced_first_is_the_one_reported() {
    let world = World::new();
    let domu = world.domain(5, 1);
    for reason in [SHUTDOWN_suspend, SHUTDOWN_reboot] {
        sched(&world, &domu, SCHEDOP_shutdown_code, &SchedShutdown { reason }).unwrap();
    }
    assert!(!domu.is_shut_down());
    shut_down(&world, &domu, SHUTDOWN_poweroff).unwrap();
    assert_eq!(flags(&world, 5).shutdown_code(), SHUTDOWN_suspend);
    domctl(&world, XEN_DOMCTL_resumedomain, 5).unwrap();
    shut_down(&world, &domu, SHUTDOWN_reboot).unwrap();
    assert_eq!(flags(&world, 5).shutdown_code(), SHUTDOWN_reboot, "it is forgotten then");
}

#[test]
fn tools_shut_others_down() {
    let world = World::new();
    let (dom0, domu, other) = (world.get(0), world.domain(5, 1), world.domain(6, 1));
    let remote = |caller: &Arc<Domain>, domain_id: u16| {
        let op = SchedRemoteShutdown { domain_id, _gap0: 0, reason: SHUTDOWN_crash };
        sched(&world, caller, SCHEDOP_remote_shutdown, &op)
    };
    assert_eq!(remote(&domu, 6), Err(Errno::EPERM));
    assert_eq!(remote(&domu, 0), Err(Errno::EPERM));
    assert_eq!(remote(&dom0, 77), Err(Errno::ESRCH));
    assert!(!other.is_shut_down());
    assert_eq!(remote(&dom0, 6), Ok(0));
    assert_eq!(other.shutdown_reason(), Some(ShutdownReason(SHUTDOWN_crash as u8)));
}

#[test]
fn last_vcpu_that_goes_down_takes_its_domain_along() {
    let world = World::new();
    let domu = world.domain(5, 2);
    world.hv.take_down(&domu, domu.vcpu(0).unwrap());
    assert!(!domu.is_shut_down());
    assert_eq!(world.info(5).unwrap().nr_online_vcpus, 1);
    world.hv.take_down(&domu, domu.vcpu(1).unwrap());
    assert_eq!(domu.shutdown_reason(), Some(ShutdownReason::POWEROFF));
}

#[test]
fn machine_ends_with_dom0_as_its_reason_says() {
    use MachineEnd::{PowerOff, Reboot};
    let ends = [
        (SHUTDOWN_poweroff, PowerOff, PowerOff),
        (SHUTDOWN_reboot, Reboot, Reboot),
        (SHUTDOWN_suspend, Reboot, PowerOff),
        (SHUTDOWN_crash, Reboot, PowerOff),
        (SHUTDOWN_watchdog, Reboot, Reboot),
        (SHUTDOWN_soft_reset, Reboot, Reboot),
        (99, Reboot, PowerOff),
    ];
    for (reason, end, with_noreboot) in ends {
        for (no_reboot, end) in [(false, end), (true, with_noreboot)] {
            let world = World::with_options(Options { no_reboot, ..Options::default() });
            let dom0 = world.get(0);
            assert_eq!(catch_end(|| shut_down(&world, &dom0, reason)), Err(end), "{reason} {no_reboot}");
            assert!(world.hv.machine.take_console().contains("Dom0"), "it says why");
        }
    }
}

fn watchdog(world: &World, domain: &Arc<Domain>, id: u32, timeout: u32) -> Result<u64, Errno> {
    sched(world, domain, SCHEDOP_watchdog, &SchedWatchdog { id, timeout })
}

const SECOND: u64 = 1_000_000_000;

/// Lets time pass with timer interrupts on pCPU 0.
fn pass(world: &World, ns: u64) {
    world.hv.machine.advance(ns);
    world.hv.timer_interrupt(&Local::new(PcpuId(0)));
}

#[test]
fn domain_that_neglects_its_watchdog_is_shut_down() {
    let world = World::new();
    let domu = world.domain(5, 1);
    assert_eq!(watchdog(&world, &domu, 0, 3), Ok(1));
    pass(&world, 2 * SECOND);
    assert_eq!(watchdog(&world, &domu, 1, 3), Ok(0));
    pass(&world, 2 * SECOND);
    assert!(!domu.is_shut_down());
    pass(&world, SECOND);
    assert_eq!(domu.shutdown_reason(), Some(ShutdownReason(SHUTDOWN_watchdog as u8)));
}

#[test]
fn watchdogs_are_two_and_can_be_stopped() {
    let world = World::new();
    let domu = world.domain(5, 1);
    assert_eq!(watchdog(&world, &domu, 1, 3), Err(Errno::EINVAL));
    assert_eq!(watchdog(&world, &domu, 0, 3), Ok(1));
    assert_eq!(watchdog(&world, &domu, 0, 4), Ok(2));
    assert_eq!(watchdog(&world, &domu, 0, 4), Err(Errno::ENOSPC));
    assert_eq!(watchdog(&world, &domu, 3, 4), Err(Errno::EINVAL));
    assert_eq!(watchdog(&world, &domu, u32::MAX, 4), Err(Errno::EINVAL));
    assert_eq!(watchdog(&world, &domu, 1, 0), Ok(0));
    assert_eq!(watchdog(&world, &domu, 2, 0), Ok(0));
    assert_eq!(watchdog(&world, &domu, 2, 0), Err(Errno::EINVAL));
    pass(&world, 10 * SECOND);
    assert!(!domu.is_shut_down());
    assert_eq!(watchdog(&world, &domu, 0, u32::MAX), Ok(1));
}

#[test]
fn watchdogs_of_a_dead_domain_do_not_bite_the_next_of_its_number() {
    let world = World::new();
    let domu = world.domain(5, 1);
    watchdog(&world, &domu, 0, 3).unwrap();
    world.kill(5).unwrap();
    let next = world.domain(5, 1);
    pass(&world, 10 * SECOND);
    assert!(!next.is_shut_down());
}

#[test]
fn domain_that_blocks_and_runs_is_told_so() {
    let world = World::new();
    let domu = world.domain(5, 2);
    assert!(!flags(&world, 5).intersects(DominfFlags::BLOCKED | DominfFlags::RUNNING));
    world.hv.block(&domu, domu.vcpu(0).unwrap());
    assert!(!flags(&world, 5).contains(DominfFlags::BLOCKED), "one does not wait");
    world.hv.block(&domu, domu.vcpu(1).unwrap());
    assert!(flags(&world, 5).contains(DominfFlags::BLOCKED));
    world.hv.kick(domu.vcpu(1).unwrap());
    assert!(!flags(&world, 5).contains(DominfFlags::BLOCKED));
    domu.vcpu(1).unwrap().set_pcpu(Some(PcpuId(1)));
    assert!(flags(&world, 5).contains(DominfFlags::RUNNING));
    domu.vcpu(1).unwrap().set_pcpu(None);
    assert_eq!(world.info(5).unwrap().tot_pages, crate::testkit::GUEST_PAGES);
    assert!(world.hv.cpus[0].has_work() || !world.hv.cpus[0].take_work().contains(Work::REAP));
    assert_eq!(domu.lookup(world.hv, GUEST_RAM).map(|e| e.level), Some(0));
}

#[test]
fn crash_harms_the_domain_alone() {
    let world = World::new();
    let (domu, other) = (world.domain(5, 1), world.domain(6, 1));
    let crash = ShutdownReason(SHUTDOWN_crash as u8);
    world.hv.shut_down(&domu, crash);
    assert_eq!(domu.shutdown_reason(), Some(crash));
    assert!(!other.is_shut_down() && other.vcpu(0).unwrap().is_runnable());
    world.kill(5).unwrap();
    check(&world, &[]);
}
