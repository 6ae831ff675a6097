//! Domains come and go: nothing of them stays.

use anyhow::{Result, ensure};
use std::time::Duration;

use super::checks::{DOMAIN_CHANGE, listed, step, wait_for_boot};
use super::footprint;
use crate::machine::dom0::Dom0;
use crate::report;

/// A DomU with a disk and an interface.
const CREATE: &str = "xl create /etc/xen/demo.cfg vcpus=1 memory=128";

/// For one of them to come and go.
const SECONDS_PER_CYCLE: u64 = 60;

/// Twenty, for every run of the tests.
pub fn twenty(dom0: &mut Dom0) -> Result<()> {
    cycles(dom0, 2, 10)
}

/// A thousand.
pub fn thousand(dom0: &mut Dom0) -> Result<()> {
    cycles(dom0, 50, 20)
}

/// Creates and destroys groups of so many DomUs; what they leave is looked at in the end.
fn cycles(dom0: &mut Dom0, groups: u32, size: u32) -> Result<()> {
    let all = groups * size;
    // The first domain may leave something behind that later ones use again, such as a grown pool.
    step("Two DomUs to warm up", || group(dom0, 2))?;
    footprint::remember(dom0)?;
    let mut last_id = 0;
    step(&format!("{all} DomUs are created and destroyed"), || {
        for count in 1..=groups {
            let id = group(dom0, size)?;
            ensure!(id >= last_id + size, "domid {id} comes after {last_id}");
            last_id = id;
            report::note(format!("{} of {all}", count * size));
        }
        Ok(())
    })?;
    step("No memory, node, interface, loop device or process is left behind", || {
        footprint::wait_until_as_before(dom0)
    })
}

/// DomUs one after the other; hands back the last one's domid. That one runs up to its shell; the others are destroyed
/// while they boot.
fn group(dom0: &mut Dom0, size: u32) -> Result<u32> {
    let early = size - 1;
    dom0.run_for(
        &format!("i=0; while [ $i -lt {early} ]; do i=$((i+1)); {CREATE} && xl destroy demo || exit 1; done"),
        Duration::from_secs(SECONDS_PER_CYCLE * u64::from(size)),
    )?;
    dom0.run("rm -f /var/log/xen/console/guest-demo.log")?;
    dom0.run_for(CREATE, DOMAIN_CHANGE)?;
    wait_for_boot(dom0, "demo", 1)?;
    let id = listed(dom0, "demo")?.id;
    dom0.run_for("xl destroy demo", DOMAIN_CHANGE)?;
    Ok(id)
}
