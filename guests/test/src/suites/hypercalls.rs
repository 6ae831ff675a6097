//! What hypercalls answer that are unknown, not for a DomU, or have bad arguments.

use guest_kit::hypercall::{self, call, with};
use guest_kit::{Boot, memory};
use xen_abi::GuestHandle;
use xen_abi::hvm::hvm_op::{HVMOP_get_param, HVMOP_set_param, HvmParam};
use xen_abi::hvm::params::HVM_NR_PARAMS;
use xen_abi::platform::XENPF_INTERFACE_VERSION;
use xen_abi::sched::{
    SCHEDOP_poll, SCHEDOP_remote_shutdown, SCHEDOP_watchdog, SchedPoll, SchedRemoteShutdown, SchedWatchdog,
};
use xen_abi::vcpu::{
    VCPUOP_get_runstate_info, VCPUOP_is_up, VCPUOP_register_runstate_memory_area, VcpuRunstateInfo,
};
use xen_abi::xen::*;

use crate::report::Report;
use crate::show;

/// Nothing is mapped there, neither by the guest nor by the hypervisor.
const NOWHERE: u64 = 0xbad_0000_0000;
/// Mapped by the guest, with nothing behind it.
const NOTHING: u64 = 0x3700_0000;

pub fn run(report: Report, _boot: &Boot) {
    for number in (0..NR_HYPERCALLS + 2).chain([0x100, u32::MAX]) {
        if number == __HYPERVISOR_sched_op {
            continue;
        }
        let zeros = call(number, [0; 5]);
        let ones = call(number, [u64::MAX; 5]);
        show!(report, format_args!("number-{number}"), "{zeros} {ones}");
    }
    version(report);
    multicall(report);
    parameters(report);
    sched(report);
    vcpu(report);
    privileged(report);
}

fn version(report: Report) {
    for command in 0..14 {
        let nowhere = call(__HYPERVISOR_xen_version, [command, NOWHERE, 0, 0, 0]);
        let nothing = call(__HYPERVISOR_xen_version, [command, NOTHING, 0, 0, 0]);
        show!(report, format_args!("version-{command}-bad-pointers"), "{nowhere} {nothing}");
    }
    for map in 0..4u32 {
        let mut info = [map, 0x5555_5555];
        let result = with(__HYPERVISOR_xen_version, 6, &mut info);
        show!(report, format_args!("features-{map}"), "{result} {:#x}", info[1]);
    }
    let page = memory::take_one();
    // A structure that crosses from one page into nothing.
    let edge = 0x3900_0000 - 4;
    show!(report, "version-over-the-edge", "{}", call(__HYPERVISOR_xen_version, [6, edge, 0, 0, 0]));
    show!(
        report,
        "version-unaligned",
        "{}",
        call(__HYPERVISOR_xen_version, [6, page.address() + 1, 0, 0, 0])
    );
    show!(report, "version-pagesize", "{}", call(__HYPERVISOR_xen_version, [7, 0, 0, 0, 0]));
}

fn multicall(report: Report) {
    let entry = |op: u32, args| MulticallEntry { op: u64::from(op), result: 0x77, args };
    let mut calls = [
        entry(__HYPERVISOR_xen_version, [7, 0, 0, 0, 0, 0]),
        entry(63, [0; 6]),
        entry(__HYPERVISOR_multicall, [0; 6]),
        entry(__HYPERVISOR_event_channel_op, [99, 0, 0, 0, 0, 0]),
        entry(u32::MAX, [0; 6]),
    ];
    let at = hypercall::address(&mut calls);
    let result = call(__HYPERVISOR_multicall, [at, calls.len() as u64, 0, 0, 0]);
    let results = calls.map(|call| call.result as i64);
    show!(report, "multicall", "{result} {results:?}");
    show!(report, "multicall-none", "{}", call(__HYPERVISOR_multicall, [at, 0, 0, 0, 0]));
    show!(report, "multicall-nowhere", "{}", call(__HYPERVISOR_multicall, [NOWHERE, 1, 0, 0, 0]));
    show!(report, "multicall-too-many", "{}", call(__HYPERVISOR_multicall, [at, 1 << 40, 0, 0, 0]));
    let mut wide = [entry(__HYPERVISOR_xen_version, [7, 0, 0, 0, 0, 0])];
    wide[0].op |= 1 << 32;
    let at = hypercall::address(&mut wide);
    let result = call(__HYPERVISOR_multicall, [at, 1, 0, 0, 0]);
    show!(report, "multicall-wide-number", "{result} {}", wide[0].result as i64);
}

fn parameters(report: Report) {
    for index in (0..HVM_NR_PARAMS + 2).chain([u32::MAX]) {
        let get = |domid| {
            let mut param = HvmParam { domid, pad: 0, index, value: 0 };
            with(__HYPERVISOR_hvm_op, HVMOP_get_param, &mut param)
        };
        // Setting what is there changes nothing.
        let value = hypercall::parameter(index).unwrap_or(0);
        let set = hypercall::set_parameter(index, value);
        let others = [0, DOMID_INVALID, 500].map(get);
        show!(report, format_args!("param-{index}"), "{} {set} {others:?}", get(DOMID_SELF));
    }
    let mut param = HvmParam { domid: DOMID_SELF, pad: 7, index: 0, value: 0 };
    show!(report, "param-padding", "{}", with(__HYPERVISOR_hvm_op, HVMOP_get_param, &mut param));
    show!(report, "param-callback", "{:#x}", hypercall::parameter(0).unwrap_or(0));
    for value in [0x0200_0000_0000_0a1f_u64, 0x0200_0000_0000_0815, 0x0100_0000_0000_0001] {
        show!(report, format_args!("param-callback-{value:#x}"), "{}", hypercall::set_parameter(0, value));
    }
    show!(
        report,
        "param-set-nowhere",
        "{}",
        call(__HYPERVISOR_hvm_op, [u64::from(HVMOP_set_param), NOWHERE, 0, 0, 0])
    );
    for op in 2..30 {
        let result = call(__HYPERVISOR_hvm_op, [op, NOWHERE, 0, 0, 0]);
        show!(report, format_args!("hvm-op-{op}"), "{result}");
    }
}

fn sched(report: Report) {
    show!(report, "yield", "{}", hypercall::yield_now());
    show!(report, "yield-with-pointer", "{}", call(__HYPERVISOR_sched_op, [0, NOWHERE, 0, 0, 0]));
    for op in [2, 3, 4, 5, 6, 7] {
        show!(
            report,
            format_args!("sched-{op}-nowhere"),
            "{}",
            call(__HYPERVISOR_sched_op, [op, NOWHERE, 0, 0, 0])
        );
    }
    for op in [8, 9, u64::from(u32::MAX)] {
        show!(report, format_args!("sched-{op}"), "{}", call(__HYPERVISOR_sched_op, [op, 0, 0, 0, 0]));
    }
    let mut ports = [0u32, 4095, 4096, 1 << 20, u32::MAX];
    let at = hypercall::address(&mut ports);
    let poll = |ports, nr_ports, timeout| {
        let mut poll = SchedPoll { ports: GuestHandle(ports), nr_ports, _gap0: 0, timeout };
        with(__HYPERVISOR_sched_op, SCHEDOP_poll, &mut poll)
    };
    show!(report, "poll-none-in-the-past", "{}", poll(at, 0, 1));
    show!(report, "poll-too-many", "{} {}", poll(at, 129, 1), poll(at, u32::MAX, 1));
    show!(report, "poll-nowhere", "{}", poll(NOWHERE, 1, 1));
    for (index, port) in ports.iter().enumerate() {
        show!(report, format_args!("poll-port-{port}"), "{}", poll(at + index as u64 * 4, 1, 1));
    }
    for domain_id in [DOMID_SELF, 0, 500, DOMID_INVALID] {
        let mut remote = SchedRemoteShutdown { domain_id, _gap0: 0, reason: 0 };
        show!(
            report,
            format_args!("remote-shutdown-{domain_id}"),
            "{}",
            with(__HYPERVISOR_sched_op, SCHEDOP_remote_shutdown, &mut remote)
        );
    }
    for (id, timeout) in [(9, 10), (1, 10), (2, 0), (0, 600), (1, 500), (2, 500), (1, 0), (3, 0), (0, 400)] {
        let mut watchdog = SchedWatchdog { id, timeout };
        show!(
            report,
            format_args!("watchdog-{id}-{timeout}"),
            "{}",
            with(__HYPERVISOR_sched_op, SCHEDOP_watchdog, &mut watchdog)
        );
    }
    for id in [1, 2] {
        with(__HYPERVISOR_sched_op, SCHEDOP_watchdog, &mut SchedWatchdog { id, timeout: 0 });
    }
}

fn vcpu(report: Report) {
    for vcpu in [0, 1, 2, 127, 128, 1 << 20, u64::from(u32::MAX)] {
        let op = |command: u32| call(__HYPERVISOR_vcpu_op, [u64::from(command), vcpu, NOWHERE, 0, 0]);
        let results = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14].map(op);
        show!(report, format_args!("vcpu-{vcpu}"), "{results:?}");
    }
    let mut state = VcpuRunstateInfo { state: 9, _gap0: 0, state_entry_time: 0, time: [0; 4] };
    let at = hypercall::address(&mut state);
    for vcpu in [0, 1] {
        let result = call(__HYPERVISOR_vcpu_op, [u64::from(VCPUOP_get_runstate_info), vcpu, at, 0, 0]);
        let sum: u64 = state.time.iter().sum();
        show!(report, format_args!("runstate-{vcpu}"), "{result} {} {}", state.state, sum > 0);
        show!(
            report,
            format_args!("is-up-{vcpu}"),
            "{}",
            call(__HYPERVISOR_vcpu_op, [u64::from(VCPUOP_is_up), vcpu, 0, 0, 0])
        );
    }
    let area = memory::take_one();
    let mut registration = GuestHandle(area.address());
    let at = hypercall::address(&mut registration);
    let register = [u64::from(VCPUOP_register_runstate_memory_area), 0, at, 0, 0];
    show!(report, "runstate-area", "{}", call(__HYPERVISOR_vcpu_op, register));
    let state = area.word(0).load(core::sync::atomic::Ordering::SeqCst);
    show!(report, "runstate-area-state", "{}", state as u32);
    let mut registration = GuestHandle(0);
    let at = hypercall::address(&mut registration);
    let register = [u64::from(VCPUOP_register_runstate_memory_area), 0, at, 0, 0];
    show!(report, "runstate-area-null", "{}", call(__HYPERVISOR_vcpu_op, register));
    let mut registration = GuestHandle(area.address() + 0xff8);
    let at = hypercall::address(&mut registration);
    let register = [u64::from(VCPUOP_register_runstate_memory_area), 0, at, 0, 0];
    show!(report, "runstate-area-over-the-edge", "{}", call(__HYPERVISOR_vcpu_op, register));
}

/// Calls for the control domain, with and without the right interface version.
fn privileged(report: Report) {
    for (name, number, version) in [
        ("domctl", __HYPERVISOR_domctl, 0x15),
        ("sysctl", __HYPERVISOR_sysctl, 0x15),
        ("platform", __HYPERVISOR_platform_op, XENPF_INTERFACE_VERSION),
    ] {
        for command in [0, 1, 2, 5, 7, 16, 43, 99] {
            let right = ask(number, command, version);
            let wrong = ask(number, command, 0x99);
            show!(report, format_args!("{name}-{command}"), "{right} {wrong}");
        }
    }
    for (name, assist) in [("4gb", 0), ("runstate", 5), ("strict", 32), ("none", 63), ("beyond", 64)] {
        let enable = call(__HYPERVISOR_vm_assist, [0, assist, 0, 0, 0]);
        let disable = call(__HYPERVISOR_vm_assist, [1, assist, 0, 0, 0]);
        let other = call(__HYPERVISOR_vm_assist, [2, assist, 0, 0, 0]);
        show!(report, format_args!("vm-assist-{name}"), "{enable} {disable} {other}");
    }
    for op in 0..32 {
        let result = call(__HYPERVISOR_physdev_op, [op, NOWHERE, 0, 0, 0]);
        show!(report, format_args!("physdev-{op}"), "{result}");
    }
    for op in 0..4 {
        let page = memory::take_one();
        let result = call(__HYPERVISOR_console_io, [op, 1, page.address(), 0, 0]);
        show!(report, format_args!("console-io-{op}"), "{result}");
    }
}

fn ask(number: u32, command: u32, version: u32) -> i64 {
    let page = memory::take_one();
    page.half(0).store(command, core::sync::atomic::Ordering::SeqCst);
    page.half(1).store(version, core::sync::atomic::Ordering::SeqCst);
    call(number, [page.address(), 0, 0, 0, 0])
}
