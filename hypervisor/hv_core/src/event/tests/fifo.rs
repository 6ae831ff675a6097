//! The FIFO interface in a guest's memory, read as Linux reads it.

use super::*;
use core::mem::offset_of;

const PENDING: u32 = 1 << EVTCHN_FIFO_PENDING;
const MASKED: u32 = 1 << EVTCHN_FIFO_MASKED;
const LINKED: u32 = 1 << EVTCHN_FIFO_LINKED;
const LINK: u32 = EVTCHN_FIFO_LINK_MASK;

/// Control blocks: of vCPU 0 at offset 0 of this page, of vCPU 1 at 128.
const CONTROL: Gfn = page(10);
/// The event array's first page; the others follow.
const ARRAY: Gfn = page(11);

impl Kit {
    fn init_control(&self, vcpu: u32, gfn: Gfn, offset: u32) -> Result<u8, Errno> {
        let op = EvtchnInitControl { control_gfn: gfn.0, offset, vcpu, link_bits: 0, _pad: [0; 7] };
        self.op(&self.domu, EVTCHNOP_init_control, op).map(|op| op.link_bits)
    }

    fn expand(&self, gfn: Gfn) -> Result<(), Errno> {
        self.op(&self.domu, EVTCHNOP_expand_array, EvtchnExpandArray { array_gfn: gfn.0 }).map(drop)
    }

    fn set_priority(&self, port: u32, priority: u32) -> Result<(), Errno> {
        self.op(&self.domu, EVTCHNOP_set_priority, EvtchnSetPriority { port, priority }).map(drop)
    }

    /// Switches the domain to FIFO with one page of words, for both vCPUs.
    fn switch(&self) {
        for n in 10..14 {
            self.world.put(&self.domu, page(n).addr(), &[0u8; 4096]);
        }
        assert_eq!(self.init_control(0, CONTROL, 0), Ok(17));
        assert_eq!(self.init_control(1, CONTROL, 128), Ok(17));
        self.expand(ARRAY).unwrap();
    }

    fn word_at(port: u32) -> Gaddr {
        ARRAY.addr().plus(u64::from(port) * 4)
    }

    fn event_word(&self, port: u32) -> u32 {
        self.world.take(&self.domu, Self::word_at(port))
    }

    fn set_event_word(&self, port: u32, word: u32) {
        self.world.put(&self.domu, Self::word_at(port), &word);
    }

    fn control(vcpu: u64, field: usize) -> Gaddr {
        CONTROL.addr().plus(vcpu * 128 + field as u64)
    }

    /// Reads all queues of a vCPU, highest priority first, and handles what is not masked.
    fn drain(&self, vcpu: u64) -> Vec<u32> {
        let mut seen = Vec::new();
        let at = Self::control(vcpu, offset_of!(EvtchnFifoControlBlock, ready));
        let mut ready: u32 = self.world.take(&self.domu, at);
        self.world.put(&self.domu, at, &0u32);
        while ready != 0 {
            let queue = ready.trailing_zeros();
            ready &= ready - 1;
            let head = offset_of!(EvtchnFifoControlBlock, head) + queue as usize * 4;
            let mut port: u32 = self.world.take(&self.domu, Self::control(vcpu, head));
            while port != 0 {
                let word = self.event_word(port);
                let mut left = word & !(LINKED | LINK);
                if word & MASKED == 0 && word & PENDING != 0 {
                    seen.push(port);
                    left &= !PENDING;
                }
                self.set_event_word(port, left);
                port = word & LINK;
            }
        }
        seen
    }
}

#[test]
fn events_come_by_priority_and_then_in_order() {
    let kit = Kit::new();
    kit.switch();
    let ports: Vec<u32> = (0..4).map(|_| kit.bind_ipi(&kit.domu, 0).unwrap()).collect();
    kit.set_priority(ports[3], EVTCHN_FIFO_PRIORITY_MAX).unwrap();
    kit.set_priority(ports[0], EVTCHN_FIFO_PRIORITY_MIN).unwrap();
    for &port in &ports {
        kit.send(&kit.domu, port).unwrap();
    }
    assert!(kit.take_upcall(&kit.domu, 0));
    assert_eq!(kit.drain(0), [ports[3], ports[1], ports[2], ports[0]]);
    assert_eq!(kit.drain(0), []);
}

#[test]
fn events_arrive_while_guests_write_to_the_queues_without_end() {
    let kit = Kit::new();
    kit.switch();
    let machine = kit.world.hv.machine;
    let contend = |on| {
        for gfn in [CONTROL, ARRAY] {
            machine.set_contended(kit.domu.guest_page(kit.world.hv, gfn).unwrap().mfn(), on);
        }
    };
    let ports: Vec<u32> = (0..3).map(|_| kit.bind_ipi(&kit.domu, 0).unwrap()).collect();
    contend(true);
    for &port in &ports {
        kit.send(&kit.domu, port).unwrap();
    }
    // PENDING and LINKED of each, the ready word once, the link of the two before.
    assert_eq!(machine.holds(), 2 * 3 + 1 + 2);
    contend(false);
    assert!(kit.take_upcall(&kit.domu, 0));
    assert_eq!(kit.drain(0), ports);
}

#[test]
fn event_goes_to_the_vcpu_that_the_port_notifies() {
    let kit = Kit::new();
    kit.switch();
    let (ours, theirs) = kit.channel();
    kit.bind_vcpu(&kit.domu, theirs, 1).unwrap();
    kit.send(&kit.dom0, ours).unwrap();
    assert_eq!(kit.drain(0), []);
    assert_eq!(kit.drain(1), [theirs]);
    kit.bind_vcpu(&kit.domu, theirs, 0).unwrap();
    kit.send(&kit.dom0, ours).unwrap();
    assert_eq!(kit.drain(1), []);
    assert_eq!(kit.drain(0), [theirs]);
}

#[test]
fn port_that_is_moved_as_tail_does_not_tie_two_queues_together() {
    let kit = Kit::new();
    kit.switch();
    let (a, b) = (kit.bind_ipi(&kit.domu, 0).unwrap(), kit.bind_ipi(&kit.domu, 0).unwrap());
    kit.send(&kit.domu, a).unwrap();
    assert_eq!(kit.drain(0), [a]);
    kit.set_priority(a, 3).unwrap();
    kit.send(&kit.domu, a).unwrap();
    kit.send(&kit.domu, b).unwrap();
    // If a were still known as the tail of the old queue, b would be linked behind it.
    assert_eq!(kit.event_word(a), PENDING | LINKED);
    assert_eq!(kit.drain(0), [a, b]);
}

#[test]
fn masked_port_is_delivered_by_the_unmask_call() {
    let kit = Kit::new();
    kit.switch();
    let port = kit.bind_ipi(&kit.domu, 0).unwrap();
    kit.set_event_word(port, MASKED);
    kit.send(&kit.domu, port).unwrap();
    assert_eq!(kit.event_word(port), PENDING | MASKED);
    assert!(!kit.take_upcall(&kit.domu, 0));
    kit.unmask(&kit.domu, port).unwrap();
    assert!(kit.take_upcall(&kit.domu, 0));
    assert_eq!(kit.drain(0), [port]);
    kit.unmask(&kit.domu, port).unwrap();
    assert_eq!(kit.drain(0), []);
}

#[test]
fn port_that_was_masked_on_its_queue_comes_again_with_the_unmasking() {
    let kit = Kit::new();
    kit.switch();
    let port = kit.bind_ipi(&kit.domu, 0).unwrap();
    kit.send(&kit.domu, port).unwrap();
    kit.set_event_word(port, kit.event_word(port) | MASKED);
    assert!(kit.take_upcall(&kit.domu, 0));
    assert_eq!(kit.drain(0), [], "its handler passes it over, and takes it off the queue");
    assert_eq!(kit.event_word(port), PENDING | MASKED);
    // It has seen the upcall.
    kit.world.put(&kit.domu, SHARED.addr(), &[0u64; 2]);
    kit.send(&kit.domu, port).unwrap();
    assert_eq!((kit.take_upcall(&kit.domu, 0), kit.drain(0)), (false, vec![]));
    kit.unmask(&kit.domu, port).unwrap();
    assert_eq!((kit.take_upcall(&kit.domu, 0), kit.drain(0)), (true, vec![port]));
}

#[test]
fn port_on_a_queue_is_moved_by_its_next_event() {
    let kit = Kit::new();
    kit.switch();
    let ports: Vec<u32> = (0..3).map(|_| kit.bind_ipi(&kit.domu, 0).unwrap()).collect();
    let send_all = || ports.iter().for_each(|port| kit.send(&kit.domu, *port).unwrap());
    send_all();
    kit.set_priority(ports[2], EVTCHN_FIFO_PRIORITY_MAX).unwrap();
    // It is on the old queue, and is not put on another while it is.
    kit.send(&kit.domu, ports[2]).unwrap();
    assert_eq!(kit.drain(0), ports);
    send_all();
    assert_eq!(kit.drain(0), [ports[2], ports[0], ports[1]]);
}

#[test]
fn pending_two_level_events_come_again_in_the_fifo_interface() {
    let kit = Kit::new();
    let (ours, theirs) = kit.channel();
    let idle = kit.bind_ipi(&kit.domu, 0).unwrap();
    kit.send(&kit.dom0, ours).unwrap();
    kit.take_upcall(&kit.domu, 0);
    // The handler has seen the upcall, but not the bit.
    kit.world.put(&kit.domu, SHARED.addr(), &[0u64; 2]);
    kit.switch();
    assert!(kit.take_upcall(&kit.domu, 0));
    assert_eq!(kit.drain(0), [theirs]);
    assert_eq!(kit.pending(&kit.domu), 0);
    assert_eq!(kit.event_word(idle), 0);
}

#[test]
fn event_that_is_being_sent_during_the_switch_is_not_lost() {
    use crate::event::{deliver, two_level};
    let kit = Kit::new();
    let port = kit.bind_ipi(&kit.domu, 0).unwrap();
    kit.switch();
    // A sender saw the 2-level interface and has just set its bit, after the bits were moved.
    let shared = kit.domu.events.shared_frame(kit.hv()).unwrap();
    assert!(!two_level::set_pending(&shared, port));
    let line = kit.domu.events.lines.get(port).unwrap();
    let notice = deliver::raised_two_level(kit.hv(), &kit.domu, shared, port, line);
    assert!(notice.is_some_and(|n| n.upcall().is_some()));
    assert_eq!(kit.drain(0), [port]);
    assert_eq!(kit.pending(&kit.domu), 0);
}

#[test]
fn event_waits_in_the_hypervisor_for_its_page() {
    let kit = Kit::new();
    kit.world.put(&kit.domu, CONTROL.addr(), &[0u8; 4096]);
    kit.world.put(&kit.domu, ARRAY.addr(), &[0u8; 8192]);
    kit.init_control(0, CONTROL, 0).unwrap();
    let mut port = 0;
    while port < 1030 {
        port = kit.bind_ipi(&kit.domu, 0).unwrap();
    }
    kit.send(&kit.domu, 1025).unwrap();
    kit.send(&kit.domu, 1026).unwrap();
    kit.close(&kit.domu, 1026).unwrap();
    kit.expand(ARRAY).unwrap();
    assert!(!kit.take_upcall(&kit.domu, 0), "not its page");
    assert_eq!(kit.bind_ipi(&kit.domu, 0), Ok(1026), "bound anew: its event is gone");
    kit.expand(ARRAY.plus(1)).unwrap();
    assert!(kit.take_upcall(&kit.domu, 0));
    assert_eq!(kit.drain(0), [1025]);
}

#[test]
fn closed_port_is_not_given_out_while_the_guest_has_it_on_a_queue() {
    let kit = Kit::new();
    kit.switch();
    let port = kit.bind_ipi(&kit.domu, 0).unwrap();
    kit.send(&kit.domu, port).unwrap();
    kit.close(&kit.domu, port).unwrap();
    assert_eq!(kit.event_word(port), LINKED, "no longer pending");
    assert_eq!(kit.bind_ipi(&kit.domu, 0), Ok(port + 1));
    assert_eq!(kit.drain(0), []);
    assert_eq!(kit.bind_ipi(&kit.domu, 0), Ok(port));
}

#[test]
fn fifo_has_more_ports_and_a_limit_of_pages() {
    let kit = Kit::new();
    kit.switch();
    for _ in 1..4100 {
        kit.bind_ipi(&kit.domu, 0).unwrap();
    }
    // The same page may stand for several parts of the array.
    for _ in 1..128 {
        kit.expand(ARRAY).unwrap();
    }
    assert_eq!(kit.expand(ARRAY), Err(Errno::ENOSPC));
}

#[test]
fn control_blocks_are_checked() {
    let kit = Kit::new();
    assert_eq!(kit.init_control(2, CONTROL, 0), Err(Errno::ENOENT));
    assert_eq!(kit.init_control(0, CONTROL, 4), Err(Errno::EINVAL));
    assert_eq!(kit.init_control(0, CONTROL, 4032), Err(Errno::EINVAL));
    assert_eq!(kit.init_control(0, Gfn(0x5000), 0), Err(Errno::EINVAL));
    assert_eq!(kit.init_control(0, SHARED, 0), Err(Errno::EINVAL));
    assert_eq!(kit.expand(ARRAY), Err(Errno::EOPNOTSUPP), "no failed call switched the interface");
    assert_eq!(kit.init_control(0, CONTROL, 0), Ok(17));
    assert_eq!(kit.init_control(0, CONTROL, 0), Err(Errno::EINVAL), "vCPU 0 has one");
    assert_eq!(kit.init_control(1, CONTROL, 4024), Ok(17));
    assert_eq!(kit.expand(Gfn(0x5000)), Err(Errno::EINVAL));
    assert_eq!(kit.expand(ARRAY), Ok(()));
}

#[test]
fn control_block_is_not_placed_when_the_answer_cannot_be_written() {
    let kit = Kit::new();
    kit.hv().machine.deny_va(ARGS.0..ARGS.0 + 4096, true);
    assert_eq!(kit.init_control(0, CONTROL, 0), Err(Errno::EFAULT));
    kit.hv().machine.allow_all_va();
    assert_eq!(kit.init_control(0, CONTROL, 0), Ok(17));
}

#[test]
fn priorities_are_for_open_ports_of_the_fifo_interface() {
    let kit = Kit::new();
    let port = kit.bind_ipi(&kit.domu, 0).unwrap();
    assert_eq!(kit.set_priority(port, 0), Err(Errno::ENOSYS));
    kit.switch();
    assert_eq!(kit.set_priority(port, 16), Err(Errno::EINVAL));
    assert_eq!(kit.set_priority(port, 15), Ok(()));
    assert_eq!(kit.set_priority(63, 0), Err(Errno::EACCES));
    assert_eq!(kit.set_priority(64, 0), Err(Errno::EINVAL));
    kit.close(&kit.domu, port).unwrap();
    assert_eq!(kit.bind_ipi(&kit.domu, 0), Ok(port));
    kit.send(&kit.domu, port).unwrap();
    let head = offset_of!(EvtchnFifoControlBlock, head) + 7 * 4;
    let first: u32 = kit.world.take(&kit.domu, Kit::control(0, head));
    assert_eq!(first, port, "a new binding has the default priority");
}

#[test]
fn vcpu_without_control_block_loses_the_event() {
    let kit = Kit::new();
    kit.world.put(&kit.domu, CONTROL.addr(), &[0u8; 8192]);
    kit.init_control(0, CONTROL, 0).unwrap();
    kit.expand(ARRAY).unwrap();
    let port = kit.bind_ipi(&kit.domu, 1).unwrap();
    kit.send(&kit.domu, port).unwrap();
    assert_eq!(kit.event_word(port), 0);
}

#[test]
fn poll_sees_a_fifo_port() {
    let kit = Kit::new();
    kit.switch();
    let port = kit.bind_ipi(&kit.domu, 0).unwrap();
    let pending = || kit.domu.events.is_port_pending(kit.hv(), port);
    kit.set_event_word(port, MASKED);
    assert_eq!(pending(), Ok(false));
    kit.send(&kit.domu, port).unwrap();
    assert_eq!(pending(), Ok(true));
}

#[test]
fn reset_goes_back_to_two_level_and_gives_the_pages_back() {
    let kit = Kit::new();
    let gfns = [CONTROL, ARRAY];
    let references = || gfns.map(|g| kit.hv().frames.references(kit.domu.lookup(kit.hv(), g).unwrap().mfn));
    let before = references();
    kit.switch();
    assert_eq!(references(), [before[0] + 2, before[1] + 1]);
    let port = kit.bind_ipi(&kit.domu, 0).unwrap();
    kit.send(&kit.domu, port).unwrap();
    kit.op(&kit.domu, EVTCHNOP_reset, EvtchnReset { dom: DOMID_SELF }).unwrap();
    assert_eq!(references(), before);
    kit.world.put(&kit.domu, SHARED.addr(), &[0u64; 2]);
    kit.take_upcall(&kit.domu, 0);
    let port = kit.bind_ipi(&kit.domu, 0).unwrap();
    kit.send(&kit.domu, port).unwrap();
    assert_eq!(kit.take_events(&kit.domu), 1 << port);
    assert_eq!(kit.init_control(0, CONTROL, 0), Ok(17), "and can switch again");
}

#[test]
fn pages_added_beside_a_reset_are_all_given_back() {
    use crate::event::{fifo_setup, reset};
    let kit = Kit::new();
    let (hv, domain) = (kit.hv(), &kit.domu);
    let references = || [CONTROL, ARRAY].map(|g| hv.frames.references(domain.lookup(hv, g).unwrap().mfn));
    let before = references();
    kit.switch();
    let rounds = if cfg!(miri) { 20 } else { 1000 };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..rounds {
                let _ = fifo_setup::expand_array(hv, domain, ARRAY);
            }
        });
        for _ in 0..rounds {
            assert_eq!(reset::reset(hv, domain, false), Ok(true));
            let _ = kit.init_control(0, CONTROL, 0);
        }
    });
    assert_eq!(reset::reset(hv, domain, false), Ok(true));
    assert_eq!(references(), before);
}
