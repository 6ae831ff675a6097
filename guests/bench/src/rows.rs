//! The rows of the table whose operation is one hypercall, and the order of all.

use xen_abi::GuestHandle;
use xen_abi::event_channel::{
    EVTCHNOP_alloc_unbound, EVTCHNOP_bind_interdomain, EVTCHNOP_close, EVTCHNOP_send, EVTCHNOP_status,
    EvtchnAllocUnbound, EvtchnBindInterdomain, EvtchnClose, EvtchnSend, EvtchnStatus,
};
use xen_abi::sched::{SCHEDOP_poll, SCHEDOP_yield, SchedPoll};
use xen_abi::version::XENVER_version;
use xen_abi::xen::{
    __HYPERVISOR_event_channel_op, __HYPERVISOR_multicall, __HYPERVISOR_sched_op, __HYPERVISOR_xen_version,
    DOMID_SELF, MulticallEntry,
};

use crate::hypercall::{Buffer, Privcmd};
use crate::linux::Result;
use crate::measure::{Report, Row};
use crate::{devices, memory};

/// Entries of the measured multicall.
const ENTRIES: u32 = 32;
/// Calls in a batch of single hypercalls.
const CALLS: u32 = 64;

/// Row of one hypercall through privcmd.
pub const fn hypercall(name: &'static str) -> Row {
    Row { name, calls: CALLS, parts: 1, baselines: 1 }
}

/// Runs every row and reports each.
pub fn run(report: Report) {
    let privcmd = match Privcmd::open() {
        Ok(privcmd) => privcmd,
        Err(error) => return report.failed("privcmd", error),
    };
    base(report, privcmd);
    if let Err(error) = ports(report, privcmd) {
        report.failed("ports", error);
    }
    if let Err(error) = devices::notify(report) {
        report.failed("notify", error);
    }
    if let Err(error) = devices::grants(report, privcmd) {
        report.failed("grants", error);
    }
    if let Err(error) = memory::give_and_take(report, privcmd) {
        report.failed("give+take", error);
    }
    if let Err(error) = devices::trap(report) {
        report.failed("trap", error);
    }
    devices::tick(report);
    if let Err(error) = memory::kept(report, privcmd) {
        report.failed("kept", error);
    }
}

fn base(report: Report, privcmd: Privcmd) {
    hypercall("baseline").measure::<1>(report, || {
        privcmd.refused();
        Ok(())
    });
    let version = u64::from(XENVER_version);
    hypercall("null").measure::<2>(report, || privcmd.call(__HYPERVISOR_xen_version, version, 0).map(drop));
    let entry =
        MulticallEntry { op: u64::from(__HYPERVISOR_xen_version), result: 0, args: [version, 0, 0, 0, 0, 0] };
    let mut entries = Buffer([entry; ENTRIES as usize]);
    let at = entries.0.as_mut_ptr().expose_provenance() as u64;
    let row = Row { name: "multicall", calls: 16, parts: ENTRIES, baselines: 0 };
    row.measure::<3>(report, || privcmd.call(__HYPERVISOR_multicall, at, u64::from(ENTRIES)).map(drop));
    hypercall("yield")
        .measure::<4>(report, || privcmd.call(__HYPERVISOR_sched_op, u64::from(SCHEDOP_yield), 0).map(drop));
}

/// A new port of this domain's that may be bound by itself.
fn alloc(privcmd: Privcmd) -> Result<u32> {
    let mut alloc = Buffer(EvtchnAllocUnbound { dom: DOMID_SELF, remote_dom: DOMID_SELF, port: 0 });
    privcmd.call_with(__HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, &mut alloc)?;
    Ok(alloc.0.port)
}

fn ports(report: Report, privcmd: Privcmd) -> Result<()> {
    let event = |command, argument: &mut Buffer<EvtchnSend>| {
        privcmd.call_with(__HYPERVISOR_event_channel_op, command, argument).map(drop)
    };
    let target = alloc(privcmd)?;
    let mut bind = Buffer(EvtchnBindInterdomain {
        remote_dom: DOMID_SELF,
        _gap0: 0,
        remote_port: target,
        local_port: 0,
    });
    privcmd.call_with(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_interdomain, &mut bind)?;
    // The kernel knows nothing of this port and keeps it masked; the first send leaves it pending.
    let mut send = Buffer(EvtchnSend { port: bind.0.local_port });
    event(EVTCHNOP_send, &mut send)?;
    hypercall("send").measure::<5>(report, || event(EVTCHNOP_send, &mut send));

    let mut status =
        Buffer(EvtchnStatus { dom: DOMID_SELF, _gap0: 0, port: target, status: 0, vcpu: 0, u: [0; 2] });
    hypercall("status").measure::<6>(report, || {
        privcmd.call_with(__HYPERVISOR_event_channel_op, EVTCHNOP_status, &mut status).map(drop)
    });

    let ready = Buffer([target]);
    let mut poll = Buffer(SchedPoll {
        ports: GuestHandle(ready.0.as_ptr().expose_provenance() as u64),
        nr_ports: 1,
        _gap0: 0,
        timeout: 0,
    });
    hypercall("poll")
        .measure::<7>(report, || privcmd.call_with(__HYPERVISOR_sched_op, SCHEDOP_poll, &mut poll).map(drop));

    Row { baselines: 2, ..hypercall("alloc+close") }.measure::<8>(report, || {
        let mut close = Buffer(EvtchnClose { port: alloc(privcmd)? });
        privcmd.call_with(__HYPERVISOR_event_channel_op, EVTCHNOP_close, &mut close).map(drop)
    });

    for port in [bind.0.local_port, target] {
        privcmd.call_with(
            __HYPERVISOR_event_channel_op,
            EVTCHNOP_close,
            &mut Buffer(EvtchnClose { port }),
        )?;
    }
    Ok(())
}
