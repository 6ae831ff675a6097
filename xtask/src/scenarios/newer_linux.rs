//! A newer Linux than Debian 12's own, as Dom0 and as DomU.

use anyhow::{Result, ensure};

use super::checks::{DOMAIN_CHANGE, console_log, ensure_guests, info_number, step, wait_for_memory};
use super::{demo, verbs};
use crate::machine::dom0::Dom0;

/// What a Linux prints that has found a fault in itself or beneath.
const COMPLAINTS: &str = "WARNING: |BUG: |Call trace:|soft lockup|rcu: INFO|blocked for more than";

/// What depends most on the kernel, in one boot.
pub fn steps(dom0: &mut Dom0) -> Result<()> {
    let free = info_number(dom0, "free_memory")?;
    step("Dom0 runs Linux 6.12", || release(&dom0.run("uname -r")?))?;
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
    step("xl shutdown", || {
        dom0.run_for("xl shutdown -w demo", DOMAIN_CHANGE)?;
        dom0.wait_until("! xl domid demo", DOMAIN_CHANGE)?;
        ensure_guests(dom0, &[])?;
        wait_for_memory(dom0, free)
    })
}

fn release(uname: &str) -> Result<()> {
    ensure!(uname.starts_with("6.12."), "it runs {}", uname.trim());
    Ok(())
}
