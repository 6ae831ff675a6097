//! Domains come and go: nothing of them stays.

use anyhow::{Result, ensure};

use super::checks::{
    DOMAIN_CHANGE, ensure_guests, info_number, listed, step, wait_for_boot, wait_for_memory,
};
use crate::machine::dom0::Dom0;
use crate::report;

/// Twenty, for every run of the tests.
pub fn twenty(dom0: &mut Dom0) -> Result<()> {
    cycles(dom0, 20)
}

/// Two hundred.
pub fn two_hundred(dom0: &mut Dom0) -> Result<()> {
    cycles(dom0, 200)
}

/// Creates and destroys DomUs; memory is compared at the start and the end.
fn cycles(dom0: &mut Dom0, cycles: u32) -> Result<()> {
    // The first domain may leave something behind that later ones use again, such as a grown pool.
    step("One DomU to warm up", || cycle(dom0, true))?;
    let free = info_number(dom0, "free_memory")?;
    let mut last_id = 0;
    step(&format!("{cycles} DomUs are created and destroyed"), || {
        for count in 1..=cycles {
            // Every fifth runs up to its shell; the others are destroyed while they boot.
            let id = cycle(dom0, count % 5 == 0)?;
            ensure!(id > last_id, "domid {id} comes after {last_id}");
            last_id = id;
            if count % 10 == 0 {
                report::note(format!("{count} of {cycles}"));
            }
        }
        Ok(())
    })?;
    step("No domain and no memory is left behind", || {
        ensure_guests(dom0, &[])?;
        wait_for_memory(dom0, free)?;
        report::note(format!("{free} MiB free, as before"));
        Ok(())
    })
}

fn cycle(dom0: &mut Dom0, to_the_shell: bool) -> Result<u32> {
    dom0.run("rm -f /var/log/xen/console/guest-small.log")?;
    dom0.run_for("xl create /etc/xen/small.cfg", DOMAIN_CHANGE)?;
    if to_the_shell {
        wait_for_boot(dom0, "small", 1)?;
    }
    let id = listed(dom0, "small")?.id;
    dom0.run_for("xl destroy small", DOMAIN_CHANGE)?;
    Ok(id)
}
