//! A newer Linux than Debian 12's own, as Dom0 and as DomU.

use anyhow::{Context, Result, ensure};

use super::checks::{
    DOMAIN_CHANGE, console_log, ensure_guests, info_number, step, wait_for_boot, wait_for_memory,
};
use super::{demo, verbs};
use crate::machine::dom0::Dom0;

/// What a Linux prints that has found a fault in itself or beneath.
const COMPLAINTS: &str = "WARNING: |BUG: |Call trace:|soft lockup|rcu: INFO|blocked for more than";

/// Memory of the DomU that is dumped, in MiB.
const DUMPED: u64 = 96;
/// In seconds; far beyond what a loaded host may keep Dom0 waiting.
const DOM0_WATCHDOG: u32 = 60;

/// What depends most on the kernel, in one boot.
pub fn steps(dom0: &mut Dom0) -> Result<()> {
    let free = info_number(dom0, "free_memory")?;
    step("Dom0 runs Linux 6.12", || release(&dom0.run("uname -r")?))?;
    // It is fed until the end of these steps.
    step("Dom0 sets a watchdog of the hypervisor's", || {
        dom0.run(&format!("xenwatchdogd {DOM0_WATCHDOG} 2"))
    })?;
    demo::start_guest(dom0)?;
    step("The DomU runs it too, and its console takes input", || release(&dom0.guest("demo", "uname -r")?))?;
    step("The DomU writes a file to its disk and reads it back", || demo::write_to_disk(dom0))?;
    step("Ping each way", || demo::ping_both_ways(dom0))?;
    step("xl vcpu-set", || verbs::vcpu_set(dom0))?;
    step("xl mem-set", || verbs::mem_set(dom0))?;
    step("xl pause, xl unpause", || demo::pause_and_unpause(dom0))?;
    step("Neither kernel complains", || {
        let complaint = format!("grep -E '{COMPLAINTS}'");
        dom0.run(&format!("! dmesg | {complaint}"))?;
        dom0.run(&format!("! {complaint} {}", console_log("demo"))).map(drop)
    })?;
    step("All of a DomU's memory can be read from outside: Debian's xl dump-core", || dump(dom0))?;
    step("A DomU that stops feeding its watchdog is restarted", || {
        dom0.guest("demo", "modprobe xen-wdt timeout=3 && echo >/dev/watchdog")?;
        wait_for_boot(dom0, "demo", 2)
    })?;
    step("Dom0 takes its watchdog back", || {
        dom0.run("kill -USR1 $(pidof xenwatchdogd)")?;
        dom0.wait_until("! pidof xenwatchdogd", DOMAIN_CHANGE)
    })?;
    step("xl shutdown", || {
        dom0.run_for("xl shutdown -w demo", DOMAIN_CHANGE)?;
        dom0.wait_until("! xl domid demo", DOMAIN_CHANGE)?;
        ensure_guests(dom0, &[])?;
        wait_for_memory(dom0, free)
    })
}

fn dump(dom0: &mut Dom0) -> Result<()> {
    dom0.run_for(&format!("xl create -p /etc/xen/small.cfg memory={DUMPED}"), DOMAIN_CHANGE)?;
    dom0.run_for("/usr/lib/xen-4.17/bin/xl dump-core small /run/core", DOMAIN_CHANGE)?;
    dom0.run_for("xl destroy small", DOMAIN_CHANGE)?;
    let seen = dom0.run("head -c 4 /run/core | tail -c 3; echo; wc -c </run/core; rm /run/core")?;
    let (magic, size) = seen.split_once('\n').unwrap_or_default();
    let size: u64 = size.trim().parse().with_context(|| format!("no size in {seen:?}"))?;
    ensure!(magic == "ELF" && size > DUMPED << 20, "the dump is {magic:?} of {size} bytes");
    Ok(())
}

fn release(uname: &str) -> Result<()> {
    ensure!(uname.starts_with("6.12."), "it runs {}", uname.trim());
    Ok(())
}
