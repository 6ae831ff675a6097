//! Reset, teardown, and everything at once.

use super::*;
use crate::event::{self, table::State};

impl Kit {
    fn reset(&self, caller: &Arc<Domain>, dom: u16) -> Result<(), Errno> {
        self.op(caller, EVTCHNOP_reset, EvtchnReset { dom }).map(drop)
    }

    /// One call of reset, without the continuation.
    fn reset_once(&self, cmd: u32) -> Result<crate::hypercall::Flow, Errno> {
        self.world.put(&self.domu, ARGS, &EvtchnReset { dom: DOMID_SELF });
        self.hv().machine.set_stage2(self.domu.root);
        let call = crate::hypercall::Call {
            hv: self.hv(),
            domain: &self.domu,
            vcpu: self.domu.vcpu(0).unwrap(),
            args: [cmd.into(), ARGS.0, 0, 0, 0],
        };
        event::event_channel_op(&call)
    }
}

#[test]
fn reset_closes_everything_and_peers_wait_again() {
    let kit = Kit::new();
    let (ours, theirs) = kit.channel();
    let ports: Vec<u32> = (0..300).map(|_| kit.bind_ipi(&kit.domu, 0).unwrap()).collect();
    kit.reset(&kit.domu, DOMID_SELF).unwrap();
    for port in ports.into_iter().chain([theirs]) {
        assert_eq!(kit.status(&kit.domu, port).0, EVTCHNSTAT_closed);
    }
    assert_eq!(kit.status(&kit.dom0, ours).0, EVTCHNSTAT_unbound);
    assert_eq!(kit.bind_ipi(&kit.domu, 0), Ok(1));
}

#[test]
fn long_reset_comes_back_for_the_rest() {
    use crate::hypercall::Flow;
    let kit = Kit::new();
    for _ in 0..200 {
        kit.bind_ipi(&kit.domu, 0).unwrap();
    }
    assert_eq!(kit.reset_once(EVTCHNOP_reset_cont), Err(Errno::EBUSY), "nothing to go on with");
    let Ok(Flow::Again(args)) = kit.reset_once(EVTCHNOP_reset) else { panic!("done at once") };
    assert_eq!(args[..2], [EVTCHNOP_reset_cont.into(), ARGS.0]);
    assert_eq!(kit.reset_once(EVTCHNOP_reset), Err(Errno::EBUSY), "one is under way");
    assert_eq!(kit.reset_once(EVTCHNOP_reset_cont), Ok(Flow::Done(0)));
    assert_eq!(kit.status(&kit.domu, 200).0, EVTCHNSTAT_closed);
}

#[test]
fn port_opened_behind_an_unfinished_reset_makes_it_fail() {
    let kit = Kit::new();
    for _ in 0..150 {
        kit.bind_ipi(&kit.domu, 0).unwrap();
    }
    kit.reset_once(EVTCHNOP_reset).unwrap();
    assert_eq!(kit.bind_ipi(&kit.domu, 0), Ok(1));
    assert_eq!(kit.reset_once(EVTCHNOP_reset_cont), Err(Errno::EAGAIN));
    assert_eq!(kit.reset(&kit.domu, DOMID_SELF), Ok(()));
}

#[test]
fn reset_of_another_domain_is_for_the_privileged_and_while_it_stands_still() {
    let kit = Kit::new();
    let port = kit.alloc(&kit.domu, 0);
    assert_eq!(kit.reset(&kit.domu, 0), Err(Errno::EPERM));
    assert_eq!(kit.reset(&kit.dom0, 77), Err(Errno::ESRCH));
    assert_eq!(kit.reset(&kit.dom0, 5), Err(Errno::EINVAL));
    kit.hv().pause_domain(&kit.domu).unwrap();
    assert_eq!(kit.reset(&kit.dom0, 5), Ok(()));
    assert_eq!(kit.status(&kit.domu, port).0, EVTCHNSTAT_closed);
}

#[test]
fn destroyed_domain_leaves_its_peers_waiting_and_holds_no_memory() {
    let world = World::hostile();
    let dom0 = world.get(0);
    let free = world.hv.frames.free_frames();
    let kit = Kit { domu: world.domain(5, 2), dom0, world };
    kit.map_shared(&kit.domu);
    let ports: Vec<u32> = (0..700).map(|_| kit.channel().0).collect();
    let first = kit.bind_virq(&kit.domu, xen_abi::xen::VIRQ_TIMER, 1).unwrap();
    assert_eq!(first, 701);
    let weak = Arc::downgrade(&kit.domu);
    kit.destroy(&kit.domu);
    let open = event::alloc_unbound(&kit.domu, 0);
    assert_eq!(open, Err(Errno::EINVAL), "a dying domain opens nothing");
    assert_eq!(kit.bind(&kit.dom0, 5, 1), Err(Errno::ESRCH));
    for port in ports {
        assert_eq!(kit.status(&kit.dom0, port).0, EVTCHNSTAT_unbound);
        kit.close(&kit.dom0, port).unwrap();
    }
    assert_eq!(kit.hv().frames.free_frames(), free);
    drop(kit.domu);
    assert!(weak.upgrade().is_none(), "no channel keeps the domain");
}

#[test]
fn teardown_keeps_to_its_budget() {
    let kit = Kit::new();
    for _ in 0..100 {
        kit.bind_ipi(&kit.domu, 0).unwrap();
    }
    let events = &kit.domu.events;
    // The first step only stops the domain.
    assert_eq!(kit.hv().destroy_domain(&kit.domu), Ok(false));
    assert!(kit.domu.is_dying());
    let mut calls = 1;
    while !events.teardown(kit.hv(), &kit.domu, 40) {
        assert_eq!(event::alloc_unbound(&kit.domu, 0), Err(Errno::EINVAL));
        calls += 1;
    }
    // 128 ports to drop and 100 to close.
    assert!((5..=8).contains(&calls), "{calls} calls");
    assert!(events.shared_info_page(kit.hv(), kit.domu.id).is_none());
    assert!(!events.upcall_pending(kit.hv(), kit.domu.vcpu(0).unwrap()));
    assert!(events.teardown(kit.hv(), &kit.domu, 0), "a second time finds nothing");
}

#[test]
fn dump_lists_open_ports() {
    let kit = Kit::new();
    let (ours, theirs) = kit.channel();
    kit.set_mask(&kit.domu, 1 << theirs);
    kit.send(&kit.dom0, ours).unwrap();
    kit.bind_virq(&kit.domu, xen_abi::xen::VIRQ_TIMER, 1).unwrap();
    let mut text = String::new();
    kit.domu.events.dump(kit.hv(), &kit.domu, &mut text).unwrap();
    assert_eq!(
        text,
        "Event channels of d5 (2-level):\n     1 v0 interdomain d0 port 1 pending masked\n     2 v1 virq 0\n"
    );
}

/// Numbers that are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as u32 % n
    }
}

/// Domains that do everything to each other at once. No lock order is broken (the test would not
/// end), every channel has two ends that point to each other, and all can be taken down.
#[test]
fn concurrent_calls_leave_every_channel_with_two_ends() {
    let kit = Kit::new();
    let hv = kit.hv();
    let third = kit.world.domain(3, 1);
    let all = [&kit.dom0, &kit.domu, &third];
    // Two threads only: a queue at a ticket lock moves at the pace of the host's scheduler.
    std::thread::scope(|scope| {
        for seed in 1..=2u64 {
            scope.spawn(move || {
                let mut n = Numbers(seed << 40 | 0x9e37_79b9);
                for _ in 0..if cfg!(miri) { 40 } else { 3000 } {
                    let (a, b) = (all[n.below(3) as usize], all[n.below(3) as usize]);
                    let port = n.below(40) + 1;
                    let _ = match n.below(8) {
                        0 => event::alloc_unbound(a, b.id.raw()).map(drop),
                        1 | 2 => event::bind_interdomain(hv, a, b, port).map(drop),
                        3 => event::close(hv, a, port),
                        4 => a.events.is_port_pending(hv, port).map(drop),
                        _ => event::send(hv, a, port),
                    };
                }
            });
        }
    });
    let mut connected = 0;
    for domain in all {
        let len = domain.events.ports.lock().len();
        for port in 0..len {
            let ports = domain.events.ports.lock();
            let Some(State::Interdomain { remote, port: remote_port }) = ports.get(port) else { continue };
            let (remote, remote_port) = (Arc::clone(remote), *remote_port);
            drop(ports);
            let peers = remote.events.ports.lock();
            match peers.get(remote_port) {
                Some(State::Interdomain { remote: back, port: back_port }) => {
                    assert!(Arc::ptr_eq(back, domain) && *back_port == port);
                    connected += 1;
                }
                other => panic!("d{} port {port}: the peer is {other:?}", domain.id),
            }
        }
    }
    assert!(connected > 0, "the calls came to nothing");
    kit.destroy(&kit.domu);
    kit.destroy(&third);
    let left = kit.dom0.events.ports.lock();
    for port in 1..left.len() {
        if let Some(State::Interdomain { remote, .. }) = left.get(port) {
            assert!(Arc::ptr_eq(remote, &kit.dom0), "a channel to a domain that is gone");
        }
    }
}
