//! The virtual timer, which is the hardware's, and the physical one, which is emulated.

use guest_kit::time::{self, ENABLE, MASK, STATUS};
use guest_kit::{
    Boot, console, cpu, event, gic::mmio, gic::register, hypercall, read_register, trap, write_register,
};
use xen_abi::sched::SCHEDOP_block;
use xen_abi::xen::__HYPERVISOR_sched_op;

use super::SURELY;
use crate::report::Report;
use crate::show;

pub fn run(report: Report, boot: &Boot) {
    let gic = boot.gic;
    gic.switch_on();
    trap::serve(gic);
    registers(report);
    trap::forget();
    for intid in [time::VIRTUAL_PPI, time::PHYSICAL_PPI] {
        gic.enable(0, intid);
        gic.set_priority(0, intid, 0xa0);
    }
    // What earlier suites left pending.
    cpu::unmask_interrupts();
    time::spin_until(5_000, || false);
    cpu::mask_interrupts();
    show!(report, "left-pending", "{} {}", trap::taken(time::VIRTUAL_PPI), trap::taken(time::PHYSICAL_PPI));
    fire(report);
    masked(report, gic.private(0));
    order(report);
    wait(report);
    time::stop();
}

fn registers(report: Report) {
    time::stop();
    show!(report, "frequency", "{}", time::frequency());
    show!(report, "stopped", "{} {}", read_register!("cntv_ctl_el0"), read_register!("cntp_ctl_el0"));
    write_register!("cntv_cval_el0", 0x1234_5678_9abc);
    write_register!("cntp_cval_el0", 0x1234_5678_9abc);
    show!(report, "compare", "{:#x} {:#x}", read_register!("cntv_cval_el0"), read_register!("cntp_cval_el0"));
    write_register!("cntv_ctl_el0", 0xffff_fffe);
    write_register!("cntp_ctl_el0", 0xffff_fffe);
    show!(
        report,
        "control-ones",
        "{:#x} {:#x}",
        read_register!("cntv_ctl_el0"),
        read_register!("cntp_ctl_el0")
    );
    for (name, value) in [("past", 1u64), ("future", u64::MAX / 4)] {
        write_register!("cntv_cval_el0", value);
        write_register!("cntp_cval_el0", value);
        write_register!("cntv_ctl_el0", ENABLE | MASK);
        write_register!("cntp_ctl_el0", ENABLE | MASK);
        show!(
            report,
            format_args!("status-{name}"),
            "{} {}",
            read_register!("cntv_ctl_el0") & STATUS,
            read_register!("cntp_ctl_el0") & STATUS
        );
        write_register!("cntv_ctl_el0", MASK);
        write_register!("cntp_ctl_el0", MASK);
        show!(
            report,
            format_args!("status-{name}-disabled"),
            "{} {}",
            read_register!("cntv_ctl_el0"),
            read_register!("cntp_ctl_el0")
        );
    }
    write_register!("cntv_tval_el0", 0xffff_ff00);
    write_register!("cntp_tval_el0", 0xffff_ff00);
    let ahead = |compare: u64, now: u64| compare.wrapping_sub(now) as i64;
    show!(
        report,
        "negative-value",
        "{} {}",
        ahead(read_register!("cntv_cval_el0"), read_register!("cntvct_el0")) < 0,
        ahead(read_register!("cntp_cval_el0"), read_register!("cntpct_el0")) < 0
    );
    let (first, second) = (read_register!("cntvct_el0"), read_register!("cntvct_el0"));
    show!(report, "counter-goes-on", "{}", second >= first);
    let (first, second) = (read_register!("cntpct_el0"), read_register!("cntpct_el0"));
    show!(report, "physical-counter-goes-on", "{}", second >= first);
    time::stop();
}

/// Sets timers within `limit` microseconds, so that none has fired yet, and forgets what came before.
fn set_at_once(limit: u64, set: impl Fn()) {
    loop {
        time::stop();
        // What a timer had made pending before it was stopped comes now.
        time::spin_until(5_000, || false);
        trap::forget();
        let start = time::now();
        set();
        if time::now() - start < time::microseconds(limit / 2) {
            return;
        }
    }
}

fn fire(report: Report) {
    cpu::unmask_interrupts();
    set_at_once(100_000, || time::set_virtual(100_000));
    let early = trap::taken(time::VIRTUAL_PPI);
    let fired = time::spin_until(SURELY, || trap::taken(time::VIRTUAL_PPI) == 1);
    show!(report, "virtual", "{early} {fired} {:#x}", read_register!("cntv_ctl_el0"));
    time::set_physical(1000);
    let fired = time::spin_until(SURELY, || trap::taken(time::PHYSICAL_PPI) == 1);
    show!(report, "physical", "{fired} {:#x}", read_register!("cntp_ctl_el0"));
    time::set_virtual(0);
    let fired = time::spin_until(SURELY, || trap::taken(time::VIRTUAL_PPI) == 2);
    show!(report, "virtual-now", "{fired}");
    time::set_physical(0);
    let fired = time::spin_until(SURELY, || trap::taken(time::PHYSICAL_PPI) == 2);
    show!(report, "physical-now", "{fired}");
    // A timer that is set later before it has fired.
    set_at_once(20_000, || {
        time::set_virtual(20_000);
        time::set_virtual(SURELY);
        time::set_physical(20_000);
        time::set_physical(SURELY);
    });
    let either = || trap::taken(time::VIRTUAL_PPI) + trap::taken(time::PHYSICAL_PPI) != 0;
    show!(report, "set-later", "{}", time::spin_until(60_000, either));
    time::stop();
    show!(report, "stopped-in-time", "{}", time::spin_until(20_000, either));
    cpu::mask_interrupts();
}

/// Pending by the register of the controller, while interrupts are masked.
fn masked(report: Report, private: u64) {
    trap::forget();
    time::set_virtual(100);
    let word = |offset| mmio::read32(private + offset) >> 27 & 0xf;
    time::spin_until(200_000, || word(register::SET_PENDING) == 1);
    show!(report, "masked-virtual-pending", "{:#x}", word(register::SET_PENDING));
    // Whether the interrupt still comes, once it is stopped, depends on whether the vCPU made way for another meanwhile.
    write_register!("cntv_ctl_el0", 0);
    cpu::unmask_interrupts();
    time::spin_until(20_000, || false);
    cpu::mask_interrupts();
    trap::forget();
    time::set_physical(100);
    time::spin_until(20_000, || false);
    write_register!("cntp_ctl_el0", 0);
    time::spin_until(5_000, || false);
    cpu::unmask_interrupts();
    time::spin_until(20_000, || false);
    cpu::mask_interrupts();
    show!(report, "physical-stopped-while-pending", "{}", trap::taken(time::PHYSICAL_PPI));
}

fn order(report: Report) {
    cpu::unmask_interrupts();
    set_at_once(20_000, || {
        time::set_virtual(300_000);
        time::set_physical(20_000);
    });
    time::spin_until(SURELY, || trap::taken(time::VIRTUAL_PPI) + trap::taken(time::PHYSICAL_PPI) == 2);
    show!(report, "physical-first", "{:?}", trap::order::<3>());
    set_at_once(20_000, || {
        time::set_virtual(20_000);
        time::set_physical(300_000);
    });
    time::spin_until(SURELY, || trap::taken(time::VIRTUAL_PPI) + trap::taken(time::PHYSICAL_PPI) == 2);
    show!(report, "virtual-first", "{:?}", trap::order::<3>());
    cpu::mask_interrupts();
}

fn wait(report: Report) {
    // On Xen an upcall that is pending ends each wait, and the console's reader may cause one at any time, but only one.
    console::flush();
    time::spin_until(20_000, || false);
    event::lower();
    for (name, set) in
        [("virtual", time::set_virtual as fn(u64)), ("physical", time::set_physical as fn(u64))]
    {
        trap::forget();
        let start = time::now();
        set(30_000);
        // Masked interrupts end a wait too.
        cpu::wait();
        let in_time = time::now() - start >= time::microseconds(30_000);
        cpu::unmask_interrupts();
        time::spin_until(20_000, || false);
        cpu::mask_interrupts();
        show!(report, format_args!("wfi-{name}"), "{in_time} {:?}", trap::order::<1>());
    }
    trap::forget();
    cpu::unmask_interrupts();
    time::set_virtual(30_000);
    let result = hypercall::call(__HYPERVISOR_sched_op, [u64::from(SCHEDOP_block), 0, 0, 0, 0]);
    let fired = time::spin_until(SURELY, || trap::taken(time::VIRTUAL_PPI) == 1);
    cpu::mask_interrupts();
    show!(report, "block", "{result} {fired}");
}
