//! Event channels of the FIFO kind: queues by priority, masks, links. A domain does not go back from it.

use core::sync::atomic::Ordering;
use guest_kit::memory::Page;
use guest_kit::{Boot, console, event, hypercall, memory};
use xen_abi::event_channel::*;
use xen_abi::hvm::params::HVM_PARAM_STORE_EVTCHN;
use xen_abi::xen::DOMID_SELF;

use crate::report::Report;
use crate::show;

const READY: usize = 0;
const HEADS: usize = 2;

pub fn run(report: Report, _boot: &Boot) {
    let control = memory::take_one();
    let init = |vcpu, control_gfn, offset| {
        let mut init = EvtchnInitControl { control_gfn, offset, vcpu, link_bits: 0, _pad: [0; 7] };
        let result = event::operate(EVTCHNOP_init_control, &mut init);
        (result, init.link_bits)
    };
    let expand = |array_gfn| event::operate(EVTCHNOP_expand_array, &mut EvtchnExpandArray { array_gfn });
    let priority =
        |port, priority| event::operate(EVTCHNOP_set_priority, &mut EvtchnSetPriority { port, priority });
    let array = memory::take_one();

    show!(report, "expand-before", "{}", expand(array.frame()));
    show!(report, "priority-before", "{}", priority(1, 3));
    show!(report, "init-bad-vcpu", "{:?}", init(2, control.frame(), 0));
    show!(report, "init-bad-frame", "{:?}", init(0, 1 << 40, 0));
    show!(
        report,
        "init-bad-offset",
        "{:?} {:?} {:?}",
        init(0, control.frame(), 4),
        init(0, control.frame(), 0xff8),
        init(0, control.frame(), 0x1000)
    );
    // A port with an event that nobody has seen when the kind changes.
    let Ok(target) = event::alloc_unbound(DOMID_SELF, DOMID_SELF) else { return };
    let Ok(source) = event::bind_interdomain(DOMID_SELF, target) else { return };
    show!(report, "init", "{:?}", init(0, control.frame(), 0));
    show!(report, "init-again", "{:?}", init(0, control.frame(), 0));
    show!(report, "init-other-vcpu", "{:?}", init(1, control.frame(), 128));
    show!(report, "expand-bad-frame", "{}", expand(1 << 40));
    show!(report, "expand", "{}", expand(array.frame()));
    // The console's and xenstore's events come when their daemons like.
    let store = hypercall::parameter(HVM_PARAM_STORE_EVTCHN).unwrap_or(0) as u32;
    for port in [console::ring().1, store] {
        array.half(port as usize).fetch_or(1 << EVTCHN_FIFO_MASKED, Ordering::SeqCst);
    }
    show!(
        report,
        "words-after",
        "{:#x} {:#x} {:#x}",
        word(array, source),
        word(array, target),
        control.half(READY).load(Ordering::SeqCst)
    );
    drain(array, control);

    show!(report, "send", "{} {:#x}", event::send(source), word(array, target));
    show!(
        report,
        "queued",
        "{:#x} {}",
        control.half(READY).load(Ordering::SeqCst),
        control.half(HEADS + 7).load(Ordering::SeqCst) == target
    );
    show!(report, "send-again", "{} {:#x}", event::send(source), word(array, target));
    show!(report, "drained", "{:?}", distances(drain(array, control), target));
    masks(report, array, control, source, target);
    priorities(report, array, control, &priority);
    for port in [0, 1023, 1024, 131_071, 131_072] {
        show!(report, format_args!("closed-{port}"), "{} {}", event::send(port), priority(port, 5));
    }
    show!(report, "priority-beyond", "{} {}", priority(target, 16), priority(target, u32::MAX));
    let mut expanded = 0;
    let mut last = 0;
    for _ in 0..130 {
        last = expand(memory::take_one().frame());
        if last != 0 {
            break;
        }
        expanded += 1;
    }
    show!(report, "expand-until-refused", "{expanded} {last}");
    event::close(source);
    event::close(target);
    show!(report, "closed-word", "{:#x}", word(array, target));
}

fn word(array: &Page, port: u32) -> u32 {
    array.half(port as usize).load(Ordering::SeqCst)
}

/// Takes all events off vCPU 0's queues as the protocol says; the ports in their order.
fn drain(array: &Page, control: &Page) -> [u32; 8] {
    let mut ports = [0; 8];
    let mut count = 0;
    loop {
        let ready = control.half(READY).load(Ordering::SeqCst);
        if ready == 0 {
            return ports;
        }
        let queue = ready.trailing_zeros();
        let head = control.half(HEADS + queue as usize);
        let port = head.load(Ordering::SeqCst);
        let word = array.half(port as usize);
        let old = word.load(Ordering::SeqCst);
        let next = old & EVTCHN_FIFO_LINK_MASK;
        word.fetch_and(!(1 << EVTCHN_FIFO_LINKED | EVTCHN_FIFO_LINK_MASK), Ordering::SeqCst);
        if next == 0 {
            control.half(READY).fetch_and(!(1 << queue), Ordering::SeqCst);
        }
        head.store(next, Ordering::SeqCst);
        let pending = word.fetch_and(!(1 << EVTCHN_FIFO_PENDING), Ordering::SeqCst);
        if pending >> EVTCHN_FIFO_PENDING & 1 != 0 && pending >> EVTCHN_FIFO_MASKED & 1 == 0 && count < 8 {
            ports[count] = port;
            count += 1;
        }
        event::lower();
    }
}

/// Ports relative to one, since the numbers are the toolstack's.
fn distances(ports: [u32; 8], from: u32) -> [Option<i64>; 8] {
    ports.map(|port| (port != 0).then(|| i64::from(port) - i64::from(from)))
}

fn masks(report: Report, array: &Page, control: &Page, source: u32, target: u32) {
    let masked = 1 << EVTCHN_FIFO_MASKED;
    array.half(target as usize).fetch_or(masked, Ordering::SeqCst);
    event::lower();
    show!(
        report,
        "masked-send",
        "{} {:#x} {:#x} {}",
        event::send(source),
        word(array, target),
        control.half(READY).load(Ordering::SeqCst),
        event::upcall_pending(0)
    );
    show!(
        report,
        "unmask",
        "{} {:#x} {}",
        event::unmask(target),
        word(array, target),
        event::upcall_pending(0)
    );
    show!(report, "unmask-drained", "{:?}", distances(drain(array, control), target));
    array.half(target as usize).fetch_or(masked, Ordering::SeqCst);
    show!(
        report,
        "unmask-idle",
        "{} {:#x} {}",
        event::unmask(target),
        word(array, target),
        event::upcall_pending(0)
    );
}

fn priorities(report: Report, array: &Page, control: &Page, priority: &dyn Fn(u32, u32) -> i64) {
    let mut ports = [(0, 0); 4];
    for pair in &mut ports {
        let Ok(target) = event::alloc_unbound(DOMID_SELF, DOMID_SELF) else { return };
        let Ok(source) = event::bind_interdomain(DOMID_SELF, target) else { return };
        *pair = (source, target);
    }
    drain(array, control);
    let first = ports[0].1;
    for (index, level) in [7, 15, 0, 3].into_iter().enumerate() {
        show!(report, format_args!("set-priority-{level}"), "{}", priority(ports[index].1, level));
    }
    for (source, _) in ports {
        event::send(source);
    }
    show!(report, "ready-by-priority", "{:#x}", control.half(READY).load(Ordering::SeqCst));
    show!(report, "drained-by-priority", "{:?}", distances(drain(array, control), first));
    // All of one priority come in the order in which they were sent.
    for (_, target) in ports {
        priority(target, 7);
    }
    for index in [2, 0, 3, 1] {
        event::send(ports[index].0);
    }
    show!(report, "drained-in-order", "{:?}", distances(drain(array, control), first));
    // Changed while it is queued: it stays where it is.
    event::send(ports[0].0);
    let result = priority(ports[0].1, 1);
    show!(report, "priority-while-queued", "{result} {:#x}", control.half(READY).load(Ordering::SeqCst));
    event::send(ports[0].0);
    drain(array, control);
    event::send(ports[0].0);
    show!(report, "priority-once-drained", "{:#x}", control.half(READY).load(Ordering::SeqCst));
    drain(array, control);
    // Closed while it is queued.
    event::send(ports[1].0);
    event::send(ports[2].0);
    event::close(ports[1].1);
    show!(report, "closed-while-queued", "{:?}", distances(drain(array, control), first));
    for (source, target) in ports {
        event::close(source);
        event::close(target);
    }
}
