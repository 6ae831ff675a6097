//! Opening, closing, describing, and who may.

use super::*;
use xen_abi::xen::{
    DOMID_INVALID, NR_VIRQS, VIRQ_ARCH_0, VIRQ_CONSOLE, VIRQ_DEBUG, VIRQ_DOM_EXC, VIRQ_TIMER,
};

#[test]
fn event_reaches_the_other_domain_both_ways() {
    let kit = Kit::new();
    let (ours, theirs) = kit.channel();
    assert_eq!(kit.take_events(&kit.dom0), 1 << ours, "a new port starts pending");
    assert_eq!(kit.take_events(&kit.domu), 0);

    kit.send(&kit.dom0, ours).unwrap();
    assert_eq!(kit.take_events(&kit.domu), 1 << theirs);
    assert_eq!(kit.take_events(&kit.dom0), 0);

    kit.send(&kit.domu, theirs).unwrap();
    assert_eq!(kit.take_events(&kit.dom0), 1 << ours);
}

#[test]
fn loop_back_channel_works_within_a_domain() {
    let kit = Kit::new();
    let first = kit.alloc(&kit.domu, DOMID_SELF);
    let second = kit.bind(&kit.domu, DOMID_SELF, first).unwrap();
    kit.take_events(&kit.domu);
    kit.send(&kit.domu, second).unwrap();
    assert_eq!(kit.take_events(&kit.domu), 1 << first);
    kit.close(&kit.domu, first).unwrap();
    assert_eq!(kit.status(&kit.domu, second).0, EVTCHNSTAT_unbound);
    kit.close(&kit.domu, second).unwrap();
    assert_eq!(kit.close(&kit.domu, second), Err(Errno::EINVAL));
}

#[test]
fn send_is_refused_where_nobody_listens_and_dropped_where_nobody_listens_yet() {
    let kit = Kit::new();
    let unbound = kit.alloc(&kit.domu, 0);
    let virq = kit.bind_virq(&kit.domu, VIRQ_TIMER, 0).unwrap();
    assert_eq!(kit.send(&kit.domu, unbound), Ok(()));
    for port in [0, virq, virq + 1, 64, 4096, u32::MAX] {
        assert_eq!(kit.send(&kit.domu, port), Err(Errno::EINVAL), "port {port}");
    }
    assert_eq!(kit.pending(&kit.domu), 0);
}

#[test]
fn only_the_named_domain_can_bind() {
    let kit = Kit::new();
    let other = kit.world.domain(6, 1);
    let port = kit.alloc(&kit.domu, 0);
    assert_eq!(kit.bind(&other, 5, port), Err(Errno::EINVAL));
    assert_eq!(kit.bind(&kit.dom0, 5, port + 1), Err(Errno::EINVAL));
    assert_eq!(kit.bind(&kit.dom0, 5, 1 << 20), Err(Errno::EINVAL));
    assert_eq!(kit.bind(&kit.dom0, 9, port), Err(Errno::ESRCH));
    assert_eq!(kit.bind(&kit.dom0, DOMID_INVALID, port), Err(Errno::ESRCH));
    assert_eq!(kit.bind(&kit.dom0, 5, port), Ok(1), "failed calls keep no port");
    assert_eq!(kit.bind(&kit.dom0, 5, port), Err(Errno::EINVAL), "bound already");
}

#[test]
fn closing_leaves_the_peer_waiting_for_the_same_domain() {
    let kit = Kit::new();
    let (ours, theirs) = kit.channel();
    kit.close(&kit.dom0, ours).unwrap();
    let status = kit.status_of(&kit.domu, DOMID_SELF, theirs).unwrap();
    assert_eq!((status.status, status.u[0]), (EVTCHNSTAT_unbound, 0));
    assert_eq!(kit.pending(&kit.dom0), 0, "nothing is left pending on the closed port");
    let again = kit.bind(&kit.dom0, 5, theirs).unwrap();
    assert_eq!(again, ours);
    kit.close(&kit.domu, theirs).unwrap();
    let status = kit.status_of(&kit.dom0, DOMID_SELF, again).unwrap();
    assert_eq!((status.status, status.u[0]), (EVTCHNSTAT_unbound, 5));
}

#[test]
fn ports_of_others_are_for_the_privileged() {
    let kit = Kit::new();
    let other = kit.world.domain(6, 1);
    assert_eq!(kit.alloc_in(&kit.domu, 6, 0), Err(Errno::EPERM));
    assert_eq!(kit.alloc_in(&kit.domu, 77, 0), Err(Errno::ESRCH));
    assert_eq!(kit.alloc_in(&kit.dom0, 77, 0), Err(Errno::ESRCH));
    let port = kit.alloc_in(&kit.dom0, 6, 5).unwrap();
    assert_eq!(kit.status_of(&kit.domu, 6, port).map(|_| ()), Err(Errno::EPERM));
    assert_eq!(kit.status_of(&kit.dom0, 6, port).unwrap().u[0], 5);
    let bound = kit.bind(&kit.domu, 6, port).unwrap();
    kit.send(&kit.domu, bound).unwrap();
    assert!(kit.take_upcall(&other, 0));
    // DOMID_SELF as remote is the caller, not the domain that gets the port.
    let port = kit.alloc_in(&kit.dom0, 6, DOMID_SELF).unwrap();
    assert_eq!(kit.status_of(&kit.dom0, 6, port).unwrap().u[0], 0);
}

#[test]
fn status_describes_each_kind_of_port() {
    let kit = Kit::new();
    let (ours, theirs) = kit.channel();
    let virq = kit.bind_virq(&kit.domu, VIRQ_DEBUG, 1).unwrap();
    let ipi = kit.bind_ipi(&kit.domu, 1).unwrap();
    let see = |port| {
        let s = kit.status_of(&kit.domu, DOMID_SELF, port).unwrap();
        (s.status, s.vcpu, s.u)
    };
    assert_eq!(see(theirs), (EVTCHNSTAT_interdomain, 0, [0, ours]));
    assert_eq!(see(virq), (EVTCHNSTAT_virq, 1, [VIRQ_DEBUG, 0]));
    assert_eq!(see(ipi), (EVTCHNSTAT_ipi, 1, [0, 0]));
    assert_eq!(see(0), (EVTCHNSTAT_closed, 0, [0, 0]));
    assert_eq!(see(63), (EVTCHNSTAT_closed, 0, [0, 0]));
    assert_eq!(kit.status_of(&kit.domu, DOMID_SELF, 64).map(|_| ()), Err(Errno::EINVAL));
}

#[test]
fn virq_binding_follows_its_kind() {
    let kit = Kit::new();
    assert_eq!(kit.bind_virq(&kit.domu, NR_VIRQS, 0), Err(Errno::EINVAL));
    assert_eq!(kit.bind_virq(&kit.domu, u32::MAX, 0), Err(Errno::EINVAL));
    assert_eq!(kit.bind_virq(&kit.domu, VIRQ_CONSOLE, 1), Err(Errno::EINVAL));
    assert_eq!(kit.bind_virq(&kit.domu, VIRQ_ARCH_0, 1), Err(Errno::EINVAL));
    assert_eq!(kit.bind_virq(&kit.domu, VIRQ_TIMER, 2), Err(Errno::ENOENT));
    let port = kit.bind_virq(&kit.domu, VIRQ_TIMER, 1).unwrap();
    assert_eq!(kit.bind_virq(&kit.domu, VIRQ_TIMER, 1), Err(Errno::EEXIST));
    assert!(kit.bind_virq(&kit.domu, VIRQ_TIMER, 0).is_ok());
    kit.close(&kit.domu, port).unwrap();
    assert_eq!(kit.bind_virq(&kit.domu, VIRQ_TIMER, 1), Ok(port));
}

#[test]
fn unbound_virq_is_lost_and_a_bound_one_arrives() {
    let kit = Kit::new();
    let hv = kit.hv();
    hv.send_vcpu_virq(&kit.domu, kit.domu.vcpu(0).unwrap(), VIRQ_DEBUG);
    let port = kit.bind_virq(&kit.domu, VIRQ_DEBUG, 0).unwrap();
    assert_eq!(kit.take_events(&kit.domu), 0);
    hv.send_vcpu_virq(&kit.domu, kit.domu.vcpu(0).unwrap(), VIRQ_DEBUG);
    assert_eq!(kit.take_events(&kit.domu), 1 << port);
    hv.send_vcpu_virq(&kit.domu, kit.domu.vcpu(1).unwrap(), VIRQ_DEBUG);
    assert_eq!(kit.pending(&kit.domu), 0);
}

#[test]
fn global_virq_goes_to_dom0_or_to_the_chosen_domain() {
    let kit = Kit::new();
    let hv = kit.hv();
    let ours = kit.bind_virq(&kit.dom0, VIRQ_DOM_EXC, 0).unwrap();
    let theirs = kit.bind_virq(&kit.domu, VIRQ_DOM_EXC, 0).unwrap();
    hv.send_global_virq(VIRQ_DOM_EXC);
    assert_eq!((kit.take_events(&kit.dom0), kit.take_events(&kit.domu)), (1 << ours, 0));
    hv.virq_handlers.set(VIRQ_DOM_EXC, kit.domu.id).unwrap();
    hv.send_global_virq(VIRQ_DOM_EXC);
    assert_eq!((kit.take_events(&kit.dom0), kit.take_events(&kit.domu)), (0, 1 << theirs));
    kit.destroy(&kit.domu);
    assert_eq!(kit.take_events(&kit.dom0), 1 << ours, "its end is told to dom0");
}

#[test]
fn vcpu_of_a_port_can_be_chosen_where_it_is_not_fixed() {
    let kit = Kit::new();
    let (_, theirs) = kit.channel();
    let global = kit.bind_virq(&kit.domu, VIRQ_CONSOLE, 0).unwrap();
    let per_vcpu = kit.bind_virq(&kit.domu, VIRQ_TIMER, 0).unwrap();
    let ipi = kit.bind_ipi(&kit.domu, 0).unwrap();
    for (port, result) in [
        (theirs, Ok(())),
        (global, Ok(())),
        (per_vcpu, Err(Errno::EINVAL)),
        (ipi, Err(Errno::EINVAL)),
        (63, Err(Errno::EINVAL)),
        (64, Err(Errno::EINVAL)),
    ] {
        assert_eq!(kit.bind_vcpu(&kit.domu, port, 1), result, "port {port}");
    }
    assert_eq!(kit.bind_vcpu(&kit.domu, theirs, 2), Err(Errno::ENOENT));
    assert_eq!(kit.status(&kit.domu, theirs).1, 1);
    // A global one is still found through vCPU 0 when it is closed.
    kit.close(&kit.domu, global).unwrap();
    assert_eq!(kit.bind_virq(&kit.domu, VIRQ_CONSOLE, 0), Ok(global));
    assert_eq!(kit.status(&kit.domu, global).1, 0);
}

#[test]
fn vcpu_of_a_port_outlives_its_peers_but_not_its_binding() {
    let kit = Kit::new();
    let theirs = kit.alloc(&kit.domu, 0);
    assert_eq!(kit.bind_vcpu(&kit.domu, theirs, 1), Ok(()), "before there is a peer");
    let ours = kit.bind(&kit.dom0, 5, theirs).unwrap();
    assert_eq!(kit.status(&kit.domu, theirs), (EVTCHNSTAT_interdomain, 1));
    kit.close(&kit.dom0, ours).unwrap();
    assert_eq!(kit.status(&kit.domu, theirs), (EVTCHNSTAT_unbound, 1));
    kit.bind(&kit.dom0, 5, theirs).unwrap();
    assert_eq!(kit.status(&kit.domu, theirs), (EVTCHNSTAT_interdomain, 1));
    kit.close(&kit.domu, theirs).unwrap();
    assert_eq!(kit.status(&kit.domu, theirs), (EVTCHNSTAT_closed, 0));
    assert_eq!(kit.alloc(&kit.domu, 0), theirs);
    assert_eq!(kit.status(&kit.domu, theirs), (EVTCHNSTAT_unbound, 0));
    assert_eq!(kit.bind_vcpu(&kit.domu, 0, 1), Err(Errno::EINVAL), "port 0 is nobody's");
}

#[test]
fn event_of_a_closed_port_does_not_reach_its_next_binding() {
    let kit = Kit::new();
    let (ours, theirs) = kit.channel();
    kit.take_events(&kit.domu);
    kit.set_mask(&kit.domu, 1 << theirs);
    kit.send(&kit.dom0, ours).unwrap();
    assert_eq!(kit.pending(&kit.domu), 1 << theirs);
    kit.close(&kit.domu, theirs).unwrap();
    assert_eq!(kit.pending(&kit.domu), 0);
    assert_eq!(kit.bind_ipi(&kit.domu, 0), Ok(theirs));
    kit.unmask(&kit.domu, theirs).unwrap();
    assert_eq!(kit.take_events(&kit.domu), 0);
    kit.send(&kit.domu, theirs).unwrap();
    assert_eq!(kit.take_events(&kit.domu), 1 << theirs);
}

#[test]
fn port_that_the_caller_cannot_hear_of_is_closed_again() {
    let kit = Kit::new();
    let waiting = kit.alloc(&kit.dom0, 5);
    kit.hv().machine.deny_va(ARGS.0..ARGS.0 + 4096, true);
    assert_eq!(kit.alloc_in(&kit.domu, DOMID_SELF, 0), Err(Errno::EFAULT));
    assert_eq!(kit.bind(&kit.domu, 0, waiting), Err(Errno::EFAULT));
    assert_eq!(kit.bind_virq(&kit.domu, VIRQ_TIMER, 0), Err(Errno::EFAULT));
    assert_eq!(kit.bind_ipi(&kit.domu, 0), Err(Errno::EFAULT));
    kit.hv().machine.allow_all_va();
    assert_eq!(kit.status(&kit.domu, 1), (EVTCHNSTAT_closed, 0));
    assert_eq!(kit.status(&kit.dom0, waiting).0, EVTCHNSTAT_unbound);
    assert_eq!(kit.bind_virq(&kit.domu, VIRQ_TIMER, 0), Ok(1));
}

#[test]
fn unreadable_argument_and_unknown_operation_are_refused() {
    let kit = Kit::new();
    let call = |cmd: u32, arg| {
        kit.world.call(&kit.domu, __HYPERVISOR_event_channel_op.into(), [cmd.into(), arg, 0, 0, 0])
    };
    for cmd in 0..=EVTCHNOP_reset_cont {
        assert_eq!(call(cmd, 0xdead_0000), Err(Errno::EFAULT), "cmd {cmd}");
    }
    assert_eq!(call(EVTCHNOP_reset_cont + 1, 0xdead_0000), Err(Errno::ENOSYS));
    assert_eq!(call(u32::MAX, ARGS.0), Err(Errno::ENOSYS));
}

#[test]
fn physical_interrupts_cannot_be_bound() {
    let kit = Kit::new();
    let bind = |pirq| {
        let op = EvtchnBindPirq { pirq, flags: BIND_PIRQ__WILL_SHARE, port: 0 };
        kit.op(&kit.dom0, EVTCHNOP_bind_pirq, op).map(|op| op.port)
    };
    assert_eq!(bind(5), Err(Errno::ENOMEM));
    assert_eq!(bind(1024), Err(Errno::EINVAL));
}

#[test]
fn virq_that_finds_no_port_stays_unbound() {
    let kit = Kit::new();
    let theirs = kit.bind_virq(&kit.dom0, VIRQ_TIMER, 0).unwrap();
    let mut last = 0;
    while let Ok(port) = kit.bind_ipi(&kit.domu, 0) {
        last = port;
    }
    assert_eq!(kit.bind_virq(&kit.domu, VIRQ_TIMER, 1), Err(Errno::ENOSPC));
    assert_eq!(kit.alloc_in(&kit.domu, DOMID_SELF, 0), Err(Errno::ENOSPC));
    assert_eq!(kit.status(&kit.dom0, theirs).0, EVTCHNSTAT_virq);
    kit.close(&kit.domu, last).unwrap();
    assert_eq!(kit.bind_virq(&kit.domu, VIRQ_TIMER, 1), Ok(last));
}
