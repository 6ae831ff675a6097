//! vCPUs on pCPUs: switches, waits, wake-ups.

use crate::domain::Domain;
use crate::testkit::{ARGS, Cpu, LISTS, World, check, pin, pin_all};
use alloc::sync::Arc;
use hal::{MachineOps as _, PcpuId, VcpuContext as _};
use xen_abi::domctl::{XEN_DOMCTL_pausedomain, XEN_DOMCTL_unpausedomain};
use xen_abi::event_channel::*;
use xen_abi::sched::*;
use xen_abi::vcpu::*;
use xen_abi::xen::*;
use xen_abi::{Errno, GuestHandle};

const CPU0: PcpuId = PcpuId(0);
const CPU1: PcpuId = PcpuId(1);
const MS: u64 = 1_000_000;

/// Domain 5 with some vCPUs on pCPU 1; dom0 on pCPU 0.
fn setup(vcpus: usize) -> (World, Arc<Domain>, Cpu) {
    let world = World::hostile();
    let domu = world.domain(5, vcpus);
    pin_all(&world, &world.get(0), 0);
    pin_all(&world, &domu, 1);
    let cpu = Cpu::new(&world, 1);
    (world, domu, cpu)
}

/// Lets time pass in steps, with the interrupts that come, until pCPU 1 runs something else.
fn until_switched(world: &World, cpu: &mut Cpu) {
    let before = cpu.runs();
    for _ in 0..1000 {
        world.hv.machine.advance(MS);
        cpu.interrupt();
        if cpu.runs() != before {
            return;
        }
    }
    panic!("{before:?} runs for ever");
}

fn sched(cpu: &mut Cpu, cmd: u32, arg: u64) -> i64 {
    cpu.hypercall(__HYPERVISOR_sched_op.into(), [cmd.into(), arg, 0, 0, 0]) as i64
}

#[test]
fn vcpus_of_one_pcpu_run_in_turn_each_with_its_registers() {
    let (world, domu, mut cpu) = setup(2);
    cpu.reschedule();
    let (_, first) = cpu.runs().unwrap();
    let mark = |cpu: &mut Cpu, value: u64| {
        cpu.regs.x[7] = value;
        world.hv.machine.with_loaded(CPU1, |regs| regs.sys.ttbr0_el1 = value);
    };
    let marked =
        |cpu: &Cpu| (cpu.regs.x[7], world.hv.machine.with_loaded(CPU1, |regs| regs.sys.ttbr0_el1).unwrap());
    mark(&mut cpu, 111);
    until_switched(&world, &mut cpu);
    assert_eq!(cpu.runs(), Some((5, 1 - first)));
    assert_eq!(marked(&cpu), (0, 0), "the other has never run");
    mark(&mut cpu, 222);
    for n in 0..6 {
        until_switched(&world, &mut cpu);
        let want = if n % 2 == 0 { 111 } else { 222 };
        assert_eq!(marked(&cpu), (want, want));
        let current = cpu.local.current.as_ref().unwrap();
        assert_eq!(current.vcpu.pcpu(), Some(CPU1));
        assert_eq!(domu.vcpu(1 - current.vcpu.id).unwrap().pcpu(), None);
        assert_eq!(world.hv.machine.loaded_on(&current.vcpu.context.lock()), Some(CPU1));
        assert_eq!(world.hv.machine.stage2_of(CPU1), Some(domu.root));
    }
    check(&world, &[]);
}

#[test]
fn vcpus_share_their_pcpu_fairly_and_their_times_are_counted() {
    let (world, domu, mut cpu) = setup(3);
    cpu.reschedule();
    for _ in 0..3000 {
        world.hv.machine.advance(MS);
        cpu.interrupt();
    }
    let now = world.hv.machine.now_ns();
    for vcpu in domu.vcpus() {
        let info = vcpu.runstate.read(now);
        let running = info.time[RUNSTATE_running as usize];
        assert!((900 * MS..1100 * MS).contains(&running), "{} {info:?}", vcpu.id);
        assert_eq!(running + info.time[RUNSTATE_runnable as usize], 3000 * MS);
    }
    assert_eq!(world.hv.cpus[1].idle_time(now), 0);
    assert_eq!(world.info(5).unwrap().cpu_time, 3000 * MS);
}

#[test]
fn vcpu_that_blocks_leaves_and_comes_back_when_it_is_woken() {
    let (world, domu, mut cpu) = setup(1);
    world.hv.machine.advance(MS);
    cpu.reschedule();
    cpu.regs.x[7] = 5;
    assert_eq!(sched(&mut cpu, SCHEDOP_block, 0), 0);
    assert_eq!(cpu.runs(), None);
    assert_eq!(world.hv.machine.stage2_of(CPU1), None, "an idle pCPU walks nobody's tables");
    world.hv.machine.advance(20 * MS);
    cpu.interrupt();
    assert_eq!(cpu.runs(), None);
    world.hv.kick(domu.vcpu(0).unwrap());
    assert!(world.hv.machine.take_poke(CPU1));
    cpu.interrupt();
    assert_eq!((cpu.runs(), cpu.regs.x[7]), (Some((5, 0)), 5));
    let now = world.hv.machine.now_ns();
    assert_eq!(domu.vcpu(0).unwrap().runstate.read(now).time[RUNSTATE_blocked as usize], 20 * MS);
    assert_eq!(world.hv.cpus[1].idle_time(now), 20 * MS);
    check(&world, &[]);
}

#[test]
fn vcpu_with_an_interrupt_does_not_block() {
    let (_world, domu, mut cpu) = setup(1);
    cpu.reschedule();
    domu.guest.set_upcall(0, true);
    assert_eq!(sched(&mut cpu, SCHEDOP_block, 0), 0);
    assert_eq!(cpu.runs(), Some((5, 0)));
    assert!(!domu.vcpu(0).unwrap().is_blocked());
}

#[test]
fn vcpu_that_yields_lets_the_other_run() {
    let (world, _, mut cpu) = setup(2);
    cpu.reschedule();
    let (_, first) = cpu.runs().unwrap();
    world.hv.machine.advance(5 * MS);
    assert_eq!(sched(&mut cpu, SCHEDOP_yield, 0), 0);
    assert_eq!(cpu.runs(), Some((5, 1 - first)));
    // Alone it goes on.
    assert_eq!(sched(&mut cpu, SCHEDOP_block, 0), 0);
    assert_eq!(cpu.runs(), Some((5, first)));
    assert_eq!(sched(&mut cpu, SCHEDOP_yield, 0), 0);
    assert_eq!(cpu.runs(), Some((5, first)));
}

#[test]
fn paused_domain_leaves_its_pcpu_and_comes_back_as_it_was() {
    let (world, domu, mut cpu) = setup(1);
    let dom0 = world.get(0);
    cpu.reschedule();
    cpu.regs.x[7] = 5;
    // The other pCPU takes its interrupt while dom0's waits for it.
    let other = std::sync::Mutex::new(cpu);
    let other = Arc::new(other);
    let theirs = Arc::clone(&other);
    world.hv.machine.set_hook(move |machine, event| {
        if event.op == arch_fake::Op::Relax && machine.interrupt_waits(CPU1) {
            theirs.lock().unwrap().interrupt();
        }
    });
    world.domctl(&dom0, XEN_DOMCTL_pausedomain, 5, &0u64).unwrap();
    assert_eq!(other.lock().unwrap().runs(), None, "it has left when the tool gets its answer");
    assert_eq!(domu.vcpu(0).unwrap().pcpu(), None);
    world.domctl(&dom0, XEN_DOMCTL_unpausedomain, 5, &0u64).unwrap();
    other.lock().unwrap().interrupt();
    assert_eq!(other.lock().unwrap().runs(), Some((5, 0)));
    assert_eq!(other.lock().unwrap().regs.x[7], 5);
    world.hv.machine.clear_hook();
    check(&world, &[]);
}

#[test]
fn vcpu_moves_to_the_pcpu_that_it_is_tied_to() {
    let (world, domu, mut cpu1) = setup(1);
    let mut cpu0 = Cpu::new(&world, 0);
    cpu0.reschedule();
    assert_eq!(cpu0.runs(), Some((0, 0)));
    cpu1.reschedule();
    cpu1.regs.x[7] = 5;
    pin(&world, domu.vcpu(0).unwrap(), 0);
    // Whoever is asked first: it is never on two.
    cpu0.interrupt();
    assert_eq!(cpu0.runs(), Some((0, 0)));
    assert!(world.hv.machine.take_poke(CPU1));
    cpu1.interrupt();
    assert_eq!(cpu1.runs(), None);
    world.hv.block(&world.get(0), world.get(0).vcpu(0).unwrap());
    cpu0.interrupt();
    assert_eq!((cpu0.runs(), cpu0.regs.x[7]), (Some((5, 0)), 5));
    assert_eq!(domu.vcpu(0).unwrap().pcpu(), Some(CPU0));
    check(&world, &[]);
}

#[test]
fn domains_on_two_pcpus_run_at_once() {
    let (world, _, mut cpu1) = setup(1);
    let mut cpu0 = Cpu::new(&world, 0);
    cpu0.reschedule();
    cpu1.reschedule();
    assert_eq!((cpu0.runs(), cpu1.runs()), (Some((0, 0)), Some((5, 0))));
    let version = [0, 0, 0, 0, 0];
    assert_eq!(cpu0.hypercall(__HYPERVISOR_xen_version.into(), version), 0x40011);
    assert_eq!(cpu1.hypercall(__HYPERVISOR_xen_version.into(), version), 0x40011);
    // Each sees its own memory.
    for (cpu, domid) in [(&mut cpu0, 0u8), (&mut cpu1, 5)] {
        let args = [8, ARGS.0, 0, 0, 0];
        assert_eq!(cpu.hypercall(__HYPERVISOR_xen_version.into(), args), 0);
        assert_eq!(world.take::<[u8; 16]>(&world.get(domid.into()), ARGS), [domid; 16]);
    }
    check(&world, &[]);
}

#[test]
fn errors_of_hypercalls_are_negative_and_long_ones_are_issued_again() {
    let (world, domu, mut cpu) = setup(1);
    cpu.reschedule();
    assert_eq!(cpu.hypercall(999, [0; 5]) as i64, -i64::from(Errno::ENOSYS as u8));
    let entry = MulticallEntry { op: 17, result: 0, args: [0; 6] };
    world.list(&domu, 0, &[entry; 100]);
    assert_eq!(cpu.hypercall(__HYPERVISOR_multicall.into(), [LISTS.0, 100, 0, 0, 0]), 0);
    assert_eq!(world.take::<MulticallEntry>(&domu, LISTS.plus(99 * 64)).result, 0x40011);
}

/// A channel on which dom0 signals domain 5: dom0's port and the other.
fn channel(world: &World) -> (u32, u32) {
    let events = u64::from(__HYPERVISOR_event_channel_op);
    let (dom0, domu) = (world.get(0), world.get(5));
    let unbound = EvtchnAllocUnbound { dom: DOMID_SELF, remote_dom: 0, port: 0 };
    let theirs = world.op(&domu, events, EVTCHNOP_alloc_unbound, &unbound).unwrap().port;
    let bind = EvtchnBindInterdomain { remote_dom: 5, _gap0: 0, remote_port: theirs, local_port: 0 };
    let ours = world.op(&dom0, events, EVTCHNOP_bind_interdomain, &bind).unwrap().local_port;
    (ours, theirs)
}

fn poll(world: &World, cpu: &mut Cpu, ports: &[u32], timeout: u64) -> i64 {
    let domu = world.get(5);
    let ports_at = world.list(&domu, 0, ports);
    world.put(&domu, ARGS, &SchedPoll { ports: ports_at, nr_ports: ports.len() as u32, _gap0: 0, timeout });
    sched(cpu, SCHEDOP_poll, ARGS.0)
}

fn send(world: &World, port: u32) {
    let arg = EvtchnSend { port };
    world.op(&world.get(0), __HYPERVISOR_event_channel_op.into(), EVTCHNOP_send, &arg).unwrap();
}

#[test]
fn poll_ends_with_the_event_it_waits_for() {
    let (world, domu, mut cpu) = setup(1);
    let ((ours, theirs), (other, _)) = (channel(&world), channel(&world));
    cpu.reschedule();
    assert_eq!(poll(&world, &mut cpu, &[theirs], 0), 0);
    assert_eq!(cpu.runs(), None);
    // The guest has no upcall vector that would wake it: only what it polls for does.
    domu.guest.set_upcall(0, false);
    send(&world, ours);
    cpu.interrupt();
    assert_eq!(cpu.runs(), Some((5, 0)));
    domu.guest.set_upcall(0, false);
    assert_eq!(poll(&world, &mut cpu, &[theirs], 0), 0);
    assert_eq!(cpu.runs(), Some((5, 0)), "it is pending still");
    send(&world, other);
    assert!(!domu.vcpu(0).unwrap().is_blocked());
}

#[test]
fn poll_ends_with_its_time() {
    let (world, domu, mut cpu) = setup(1);
    let (_, theirs) = channel(&world);
    cpu.reschedule();
    assert_eq!(poll(&world, &mut cpu, &[theirs], 10 * MS), 0);
    assert_eq!((cpu.runs(), world.hv.machine.timer_of(CPU1)), (None, Some(10 * MS)));
    world.hv.machine.advance(10 * MS - 1);
    cpu.interrupt();
    assert_eq!(cpu.runs(), None);
    world.hv.machine.advance(1);
    cpu.interrupt();
    assert_eq!(cpu.runs(), Some((5, 0)));
    // A time that is over already.
    assert_eq!(poll(&world, &mut cpu, &[], 5), 0);
    cpu.interrupt();
    assert_eq!(cpu.runs(), Some((5, 0)));
    assert!(!domu.vcpu(0).unwrap().is_blocked());
}

#[test]
fn poll_does_not_wait_while_an_interrupt_does() {
    let (world, domu, mut cpu) = setup(1);
    let (_, theirs) = channel(&world);
    cpu.reschedule();
    domu.guest.set_upcall(0, true);
    assert_eq!(poll(&world, &mut cpu, &[theirs], 0), 0);
    assert_eq!(cpu.runs(), Some((5, 0)));
    assert!(!domu.vcpu(0).unwrap().is_blocked());
}

#[test]
fn poll_for_what_is_not_there_is_refused_and_does_not_wait() {
    let (world, domu, mut cpu) = setup(1);
    let (_, theirs) = channel(&world);
    cpu.reschedule();
    let errno = |e: Errno| -i64::from(e as u8);
    assert_eq!(poll(&world, &mut cpu, &[theirs, 0], 0), errno(Errno::EINVAL));
    assert_eq!(poll(&world, &mut cpu, &[77], 0), errno(Errno::EINVAL));
    assert_eq!(poll(&world, &mut cpu, &[u32::MAX], 0), errno(Errno::EINVAL));
    let request = SchedPoll { ports: GuestHandle(LISTS.0), nr_ports: 129, _gap0: 0, timeout: 0 };
    world.put(&domu, ARGS, &request);
    assert_eq!(sched(&mut cpu, SCHEDOP_poll, ARGS.0), errno(Errno::EINVAL));
    world.put(&domu, ARGS, &SchedPoll { ports: GuestHandle(1 << 46), nr_ports: 1, ..request });
    assert_eq!(sched(&mut cpu, SCHEDOP_poll, ARGS.0), errno(Errno::EFAULT));
    assert_eq!(cpu.runs(), Some((5, 0)));
    assert!(!domu.vcpu(0).unwrap().is_blocked());
    let (ours, _) = channel(&world);
    send(&world, ours);
    check(&world, &[]);
}

#[test]
fn domain_that_is_destroyed_while_it_runs_leaves_nothing_on_the_pcpu() {
    let (world, domu, mut cpu) = setup(2);
    cpu.reschedule();
    assert!(cpu.runs().is_some());
    let cpu = std::sync::Mutex::new(cpu);
    let mut gone = false;
    for _ in 0..50 {
        world.hv.machine.set_stage2(world.get(0).root);
        gone = world.hv.destroy_domain(&domu).unwrap();
        if gone {
            break;
        }
        cpu.lock().unwrap().interrupt();
    }
    assert!(gone && world.hv.domains.get(domu.id).is_none());
    assert_eq!(cpu.lock().unwrap().runs(), None);
    check(&world, &[]);
    let next = world.domain(5, 1);
    pin_all(&world, &next, 1);
    cpu.lock().unwrap().reschedule();
    assert_eq!(cpu.lock().unwrap().runs(), Some((5, 0)));
    assert_eq!(cpu.lock().unwrap().regs.x[7], next.vcpu(0).unwrap().context.lock().regs().x[7]);
}
