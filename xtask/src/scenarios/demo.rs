//! The demonstration: an unmodified DomU with console, disk and network, from its creation to its end.

use anyhow::{Result, ensure};
use std::time::Duration;

use super::checks::{
    DOMAIN_CHANGE, console_log, ensure_guests, info_number, list, listed, step, wait_for_boot,
    wait_for_memory,
};
use crate::machine::dom0::Dom0;
use crate::report;

const GUEST: &str = "demo";
const GUEST_ADDRESS: &str = "192.168.128.10";
const DOM0_ADDRESS: &str = "192.168.128.1";
const IMAGE: &str = "/var/lib/xen/images/demo.img";
const TEXT: &str = "written by the DomU";
const MOUNT: &str = "mount -t ext2 /dev/xvda /mnt";
/// For the answers to pings, on a machine that may be loaded.
const PING_SECONDS: u32 = 60;
/// Lines of the DomU's boot that are shown.
const BOOT_LINES: &str = "Linux version|Machine model|Xen .* support|psci: PSCIv|GICv[23]:|CPU.: Booted|Brought up|Grant tables|Run /init|^domu:";

/// Creates the DomU and waits for its shell.
pub fn start_guest(dom0: &mut Dom0) -> Result<()> {
    step("xl create: an unmodified Debian DomU with 2 vCPUs", || {
        dom0.run_for("xl create /etc/xen/demo.cfg", DOMAIN_CHANGE)?;
        wait_for_boot(dom0, GUEST, 1)?;
        let boot = dom0.run(&format!("grep -E \"{BOOT_LINES}\" {}", console_log(GUEST)))?;
        report::quote(GUEST, &boot);
        ensure!(boot.contains("2 CPUs"), "the DomU does not see both its CPUs");
        Ok(())
    })
}

/// All of it.
pub fn whole(dom0: &mut Dom0) -> Result<()> {
    let free = step("xl info: the hypervisor answers", || {
        let info = dom0.run("xl info")?;
        report::quote("dom0", &info);
        info_number(dom0, "free_memory")
    })?;
    start_guest(dom0)?;
    step("The DomU writes a file to its disk and reads it back", || write_to_disk(dom0))?;
    step("Ping each way", || ping_both_ways(dom0))?;
    step("xl list", || {
        let text = dom0.run("xl list")?;
        report::quote("dom0", &text);
        let row = listed(dom0, GUEST)?;
        ensure!((row.memory, row.vcpus) == (256, 2), "not what was asked for: {row:?}");
        Ok(())
    })?;
    step("xl pause stops the DomU, xl unpause lets it go on", || pause_and_unpause(dom0))?;
    step("xl shutdown", || {
        dom0.run_for(&format!("xl shutdown -w {GUEST}"), DOMAIN_CHANGE)?;
        dom0.wait_until("! xl domid demo", DOMAIN_CHANGE)?;
        ensure_guests(dom0, &[])
    })?;
    step("All of the DomU's memory is back", || {
        wait_for_memory(dom0, free)?;
        report::note(format!("{free} MiB free, as before"));
        Ok(())
    })?;
    step("Dom0 sees the DomU's file on the disk image", || {
        let seen = dom0.run(&format!("mount -o loop,ro {IMAGE} /mnt && cat /mnt/file; umount /mnt"))?;
        report::quote("dom0", &seen);
        ensure!(seen.trim() == TEXT, "not what the DomU wrote");
        Ok(())
    })
}

/// What the DomU writes to its disk is what it reads from there.
pub fn write_to_disk(dom0: &mut Dom0) -> Result<()> {
    dom0.guest(GUEST, &format!("{MOUNT} && echo {TEXT} >/mnt/file && umount /mnt"))?;
    // Without its cached pages the DomU has to read from the disk.
    let read = dom0.guest(
        GUEST,
        &format!("echo 3 >/proc/sys/vm/drop_caches; {MOUNT} && cat /mnt/file && umount /mnt"),
    )?;
    report::quote(GUEST, &read);
    ensure!(read.trim() == TEXT, "read back something else");
    Ok(())
}

/// Dom0 and the DomU reach each other over the bridge.
pub fn ping_both_ways(dom0: &mut Dom0) -> Result<()> {
    let from_dom0 = dom0.run(&format!("ping -c 3 -w {PING_SECONDS} {GUEST_ADDRESS}"))?;
    report::quote("dom0", from_dom0.trim_end().lines().last().unwrap_or_default());
    let from_guest = dom0.guest(GUEST, &format!("ping -c 3 -w {PING_SECONDS} {DOM0_ADDRESS}"))?;
    report::quote(GUEST, from_guest.trim_end().lines().last().unwrap_or_default());
    Ok(())
}

/// The DomU does nothing while it is paused, and goes on after.
pub fn pause_and_unpause(dom0: &mut Dom0) -> Result<()> {
    dom0.run(&format!("xl pause {GUEST}"))?;
    let state = listed(dom0, GUEST)?.state;
    ensure!(state.contains('p'), "the state is {state}, not paused");
    // Without -W, busybox waits 10 s for the answer to the last packet, whatever -w says.
    let ping = dom0.try_run(&format!("ping -c 2 -W 2 {GUEST_ADDRESS}"), Duration::from_secs(20))?;
    ensure!(ping.status != 0, "a paused DomU answered to a ping");
    dom0.run(&format!("xl unpause {GUEST}"))?;
    dom0.run(&format!("ping -c 1 -w {PING_SECONDS} {GUEST_ADDRESS}"))?;
    let rows = list(dom0)?;
    ensure!(rows.iter().all(|row| !row.state.contains('p')), "still paused: {rows:?}");
    Ok(())
}
