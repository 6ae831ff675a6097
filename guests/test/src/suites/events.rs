//! Event channels of the 2-level kind, and what both kinds share.

use guest_kit::event::{self, Port};
use guest_kit::{Boot, hypercall, memory, start_vcpu, time};
use xen_abi::GuestHandle;
use xen_abi::event_channel::*;
use xen_abi::sched::{SCHEDOP_poll, SchedPoll};
use xen_abi::vcpu::VCPUOP_set_singleshot_timer;
use xen_abi::xen::{
    __HYPERVISOR_event_channel_op, __HYPERVISOR_sched_op, __HYPERVISOR_vcpu_op, DOMID_INVALID, DOMID_SELF,
    NR_VIRQS,
};

use super::SURELY;
use crate::report::Report;
use crate::show;

pub fn run(report: Report, _boot: &Boot) {
    commands(report);
    allocate(report);
    loop_back(report);
    masks(report);
    rebind(report);
    virqs(report);
    ipis(report);
    poll(report);
    reset(report);
    registration(report);
}

fn show_port(port: Port) -> i64 {
    port.map_or_else(|error| error, |_| 0)
}

/// Ports are numbered from the lowest free one, but how many are taken at the start is the toolstack's.
fn distance(from: Port, to: Port) -> i64 {
    match (from, to) {
        (Ok(from), Ok(to)) => i64::from(to) - i64::from(from),
        _ => -999,
    }
}

fn commands(report: Report) {
    for command in 0..18u32 {
        if command == EVTCHNOP_reset {
            continue;
        }
        let nowhere =
            hypercall::call(__HYPERVISOR_event_channel_op, [u64::from(command), 0xbad_0000_0000, 0, 0, 0]);
        let mut ones = [u32::MAX; 16];
        let ones = event::operate(command, &mut ones);
        show!(report, format_args!("command-{command}"), "{nowhere} {ones}");
    }
    for port in [0, 4095, 4096, 131_071, 131_072] {
        show!(
            report,
            format_args!("closed-port-{port}"),
            "send {} close {} unmask {} status {:?} vcpu {}",
            event::send(port),
            event::close(port),
            event::unmask(port),
            event::status(DOMID_SELF, port).map(|status| status.status),
            event::bind_vcpu(port, 0)
        );
    }
}

fn allocate(report: Report) {
    for (dom, remote) in [
        (DOMID_SELF, DOMID_SELF),
        (DOMID_SELF, 0),
        (DOMID_SELF, 500),
        (DOMID_SELF, DOMID_INVALID),
        (0, DOMID_SELF),
        (500, DOMID_SELF),
        (DOMID_INVALID, 0),
    ] {
        let port = event::alloc_unbound(dom, remote);
        let state = port.map(|port| event::status(DOMID_SELF, port).map_or(99, |status| status.status));
        show!(report, format_args!("alloc-{dom}-{remote}"), "{state:?}");
        if let Ok(port) = port {
            show!(report, format_args!("alloc-{dom}-{remote}-send"), "{}", event::send(port));
            show!(
                report,
                format_args!("alloc-{dom}-{remote}-close"),
                "{} {}",
                event::close(port),
                event::close(port)
            );
        }
    }
    let first = event::alloc_unbound(DOMID_SELF, 0);
    let second = event::alloc_unbound(DOMID_SELF, 0);
    show!(report, "next-port", "{}", distance(first, second));
    let closed = first.map(event::close);
    let third = event::alloc_unbound(DOMID_SELF, 0);
    show!(report, "lowest-free-port", "{closed:?} {}", distance(first, third));
    for port in [second, third] {
        let _ = port.map(event::close);
    }
    for (dom, port) in [(0, 1), (500, 1), (DOMID_SELF, 0), (DOMID_SELF, 4000), (DOMID_INVALID, 1)] {
        show!(report, format_args!("bind-{dom}-{port}"), "{}", show_port(event::bind_interdomain(dom, port)));
    }
    show!(
        report,
        "status-other-domain",
        "{:?} {:?}",
        event::status(0, 1).map(|_| ()),
        event::status(500, 1).map(|_| ())
    );
}

/// A pair of ports, bound to each other.
fn pair() -> Option<(u32, u32)> {
    let target = event::alloc_unbound(DOMID_SELF, DOMID_SELF).ok()?;
    let source = event::bind_interdomain(DOMID_SELF, target).ok()?;
    Some((source, target))
}

fn loop_back(report: Report) {
    let Some((source, target)) = pair() else {
        show!(report, "loop-back", "none");
        return;
    };
    let status =
        event::status(DOMID_SELF, source).map(|status| (status.status, status.vcpu, status.u[1] == target));
    show!(report, "loop-back-status", "{status:?}");
    // A newly bound port has an event.
    show!(report, "bound-is-pending", "{} {}", event::clear(source), event::clear(target));
    event::take_selected(0);
    event::lower();
    show!(report, "send", "{}", event::send(source));
    show!(
        report,
        "send-arrives",
        "{} {} {} {}",
        event::pending(source),
        event::pending(target),
        event::upcall_pending(0),
        event::selected(0) >> (target / 64) & 1
    );
    event::lower();
    event::take_selected(0);
    show!(
        report,
        "send-while-pending",
        "{} {} {}",
        event::send(source),
        event::upcall_pending(0),
        event::selected(0)
    );
    event::clear(target);
    show!(report, "send-back", "{} {}", event::send(target), event::clear(source));
    show!(report, "bind-bound", "{}", show_port(event::bind_interdomain(DOMID_SELF, target)));
    show!(report, "close-one", "{}", event::close(source));
    show!(
        report,
        "other-is-unbound",
        "{:?} {}",
        event::status(DOMID_SELF, target).map(|status| (status.status, status.u[0] as u16 == DOMID_SELF)),
        event::pending(target)
    );
    show!(report, "send-unbound", "{} {}", event::send(target), event::pending(target));
    let again = event::bind_interdomain(DOMID_SELF, target);
    show!(report, "bind-again", "{}", show_port(again));
    for port in [Ok(target), again].into_iter().flatten() {
        event::close(port);
        event::clear(port);
    }
    let own = event::alloc_unbound(DOMID_SELF, DOMID_SELF);
    show!(
        report,
        "closed-port-keeps-pending",
        "{:?}",
        own.map(|port| {
            event::send(port);
            let before = event::pending(port);
            event::close(port);
            (before, event::clear(port))
        })
    );
}

fn masks(report: Report) {
    let Some((source, target)) = pair() else { return };
    event::clear(source);
    event::clear(target);
    event::take_selected(0);
    event::lower();
    event::set_mask(target, true);
    show!(
        report,
        "masked-send",
        "{} {} {} {}",
        event::send(source),
        event::pending(target),
        event::upcall_pending(0),
        event::selected(0) != 0
    );
    show!(
        report,
        "unmask-pending",
        "{} {} {}",
        event::unmask(target),
        event::upcall_pending(0),
        event::selected(0) >> (target / 64) & 1
    );
    event::lower();
    event::take_selected(0);
    show!(report, "unmask-unmasked", "{} {}", event::unmask(target), event::upcall_pending(0));
    event::clear(target);
    event::set_mask(target, true);
    event::lower();
    event::take_selected(0);
    show!(report, "unmask-idle", "{} {}", event::unmask(target), event::upcall_pending(0));
    event::close(source);
    event::close(target);
    show!(report, "unmask-closed", "{}", event::unmask(target));
}

fn rebind(report: Report) {
    let Some((source, target)) = pair() else { return };
    for vcpu in [1, 0, 2, 127, 128, u32::MAX] {
        show!(
            report,
            format_args!("to-vcpu-{vcpu}"),
            "{} {:?}",
            event::bind_vcpu(target, vcpu),
            event::status(DOMID_SELF, target).map(|status| status.vcpu)
        );
    }
    event::bind_vcpu(target, 1);
    event::clear(target);
    event::take_selected(0);
    event::take_selected(1);
    event::lower();
    show!(
        report,
        "send-to-other-vcpu",
        "{} {} {}",
        event::send(source),
        event::upcall_pending(0),
        event::upcall_pending(1)
    );
    show!(report, "selected-of-other-vcpu", "{} {}", event::selected(0) != 0, event::selected(1) != 0);
    event::clear(target);
    event::close(source);
    event::close(target);
    let unbound = event::alloc_unbound(DOMID_SELF, 0);
    show!(report, "unbound-to-vcpu", "{:?}", unbound.map(|port| event::bind_vcpu(port, 1)));
    let _ = unbound.map(event::close);
    event::take_selected(1);
}

fn virqs(report: Report) {
    for virq in 0..NR_VIRQS + 2 {
        let port = event::bind_virq(virq, 0);
        let again = event::bind_virq(virq, 0);
        let other = event::bind_virq(virq, 1);
        show!(
            report,
            format_args!("virq-{virq}"),
            "{} {} {}",
            show_port(port),
            show_port(again),
            show_port(other)
        );
        for port in [port, again, other].into_iter().flatten() {
            event::close(port);
        }
    }
    show!(report, "virq-vcpu-beyond", "{}", show_port(event::bind_virq(0, 5)));
    if let Ok(port) = event::bind_virq(0, 0) {
        let status = event::status(DOMID_SELF, port).map(|status| (status.status, status.vcpu, status.u[0]));
        show!(report, "virq-status", "{status:?}");
        show!(report, "virq-send", "{}", event::send(port));
        show!(report, "virq-to-vcpu", "{}", event::bind_vcpu(port, 1));
        // The one-shot timer of the vCPU raises it.
        let mut timer = [1u64, 0];
        let at = hypercall::address(&mut timer);
        let set = [u64::from(VCPUOP_set_singleshot_timer), 0, at, 0, 0];
        let result = hypercall::call(__HYPERVISOR_vcpu_op, set);
        let fired = time::spin_until(1000, || event::pending(port));
        show!(report, "virq-timer", "{result} {fired}");
        event::clear(port);
        event::close(port);
    }
    if let Ok(port) = event::bind_virq(3, 0) {
        show!(report, "global-virq-to-vcpu", "{}", event::bind_vcpu(port, 1));
        event::close(port);
    }
}

fn ipis(report: Report) {
    show!(
        report,
        "ipi-vcpu-beyond",
        "{} {}",
        show_port(event::bind_ipi(2)),
        show_port(event::bind_ipi(u32::MAX))
    );
    if let Ok(port) = event::bind_ipi(0) {
        let status = event::status(DOMID_SELF, port).map(|status| (status.status, status.vcpu));
        show!(report, "ipi-status", "{status:?}");
        show!(report, "ipi-send", "{} {}", event::send(port), event::clear(port));
        show!(report, "ipi-to-vcpu", "{}", event::bind_vcpu(port, 1));
        event::close(port);
    }
    if let Ok(port) = event::bind_ipi(1) {
        show!(
            report,
            "ipi-to-vcpu-that-is-down",
            "{} {} {}",
            event::send(port),
            event::clear(port),
            event::upcall_pending(1)
        );
        event::close(port);
    }
}

fn poll(report: Report) {
    let Some((source, target)) = pair() else { return };
    event::clear(source);
    event::clear(target);
    let mut ports = [source, target];
    let at = hypercall::address(&mut ports);
    let poll = |timeout| {
        let mut poll = SchedPoll { ports: GuestHandle(at), nr_ports: 2, _gap0: 0, timeout };
        hypercall::with(__HYPERVISOR_sched_op, SCHEDOP_poll, &mut poll)
    };
    show!(report, "poll-in-the-past", "{}", poll(1));
    event::send(source);
    show!(report, "poll-ready", "{}", poll(u64::MAX));
    event::set_mask(target, true);
    show!(report, "poll-ready-masked", "{}", poll(u64::MAX));
    event::clear(target);
    POLLED.store(source, core::sync::atomic::Ordering::SeqCst);
    let started = start_vcpu(1, || {
        time::spin_until(2000, || false);
        event::send(POLLED.load(core::sync::atomic::Ordering::SeqCst));
    });
    show!(report, "poll-woken-by-other-vcpu", "{started} {} {}", poll(0), event::clear(target));
    event::set_mask(target, false);
    event::close(source);
    event::close(target);
    // Until it is down again it cannot be started.
    time::spin_until(SURELY, || guest_kit::psci::affinity_info(1) == 1);
}

static POLLED: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(0);

/// A reset closes the console's port too, so only what is refused.
fn reset(report: Report) {
    for dom in [0, 500, DOMID_INVALID] {
        let result = event::operate(EVTCHNOP_reset, &mut EvtchnReset { dom });
        show!(report, format_args!("reset-{dom}"), "{result}");
    }
}

fn registration(report: Report) {
    let page = memory::take_one();
    show!(report, "vcpu-info-again", "{}", event::register_part(0, page.frame(), 0));
    for (vcpu, frame, offset) in [
        (2, page.frame(), 0),
        (1, page.frame(), 0x1000),
        (1, page.frame(), 0xff8),
        (1, page.frame(), 4),
        (1, 1 << 40, 0),
        (1, 0x3891_0000 >> 12, 8),
    ] {
        show!(
            report,
            format_args!("vcpu-info-{vcpu}-{}-{offset:#x}", frame == page.frame()),
            "{}",
            event::register_part(vcpu, frame, offset)
        );
    }
}
