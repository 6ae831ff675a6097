//! The daemons are killed again and again while a DomU works: nothing is lost.

use anyhow::{Context, Result, ensure};
use std::time::Duration;

use super::checks::{DOMAIN_CHANGE, console_log, ensure_guests, info_number, listed, step, wait_for_memory};
use super::{demo, hotplug};
use crate::machine::dom0::Dom0;
use crate::report;

const GUEST: &str = "demo";
/// For so many kills with their pauses.
const SECONDS_PER_KILL: u64 = 10;
/// The DomU's work; each file ends it or is left by it.
const WORK: &str = "{ mount -t ext2 /dev/xvda /mnt; rm -f /run/stop; \
    (i=0; until test -e /run/stop; do i=$((i+1)); echo numbered $i; sleep 0.02; done >/dev/hvc0; echo $i >/run/lines) & \
    (n=0; until test -e /run/stop; do n=$((n+1)); dd if=/dev/urandom of=/mnt/noise bs=64k count=8 2>/dev/null; \
    sha256sum /mnt/noise >/run/sum; sync; echo 3 >/proc/sys/vm/drop_caches; sha256sum -c /run/sum || touch /run/bad; \
    echo $n >/run/rounds; done >/dev/null) & }";

/// A few kills, for every run of the tests.
pub fn few(dom0: &mut Dom0) -> Result<()> {
    kills(dom0, 10)
}

/// A hundred.
pub fn hundred(dom0: &mut Dom0) -> Result<()> {
    kills(dom0, 100)
}

fn kills(dom0: &mut Dom0, count: u32) -> Result<()> {
    let free = info_number(dom0, "free_memory")?;
    demo::start_guest(dom0)?;
    let domid = listed(dom0, GUEST)?.id;
    step("The DomU prints numbered lines, writes to its disk and answers pings", || {
        dom0.guest(GUEST, WORK)?;
        dom0.run(
            "(ping 192.168.128.10 >/run/pings 2>&1 &); (xenstore-watch /local/domain >/run/events 2>&1 &)",
        )?;
        Ok(())
    })?;
    step(&format!("xenstored and xenconsoled are killed {count} times each"), || {
        let kill = "for daemon in xenstored xenconsoled; do old=$(cat /run/$daemon.pid); kill -9 $old; \
                    wait-for 20 sh -c \"[ \\$(cat /run/$daemon.pid) != $old ]\" || exit 1; done; \
                    wait-for 20 xenstore-read /local/domain/0/name";
        for number in 1..=count {
            dom0.run_for(kill, Duration::from_secs(SECONDS_PER_KILL * 10))
                .with_context(|| format!("kill {number}"))?;
            if number % 10 == 0 {
                report::note(format!("{number} of {count}"));
            }
        }
        Ok(())
    })?;
    step("The DomU has not noticed", || {
        ensure!(listed(dom0, GUEST)?.id == domid, "it is another domain now");
        dom0.guest(GUEST, "touch /run/stop")?;
        dom0.wait_until(&format!("guest-run {GUEST} 20 \"test -e /run/lines\""), DOMAIN_CHANGE)?;
        dom0.guest(GUEST, "! test -e /run/bad && test -e /run/rounds && sleep 1 && umount /mnt")?;
        dom0.run("killall ping; grep -c bytes.from /run/pings")?;
        Ok(())
    })?;
    step("Every line that it printed is in the log once, in order", || {
        let lines = dom0.guest(GUEST, "cat /run/lines")?;
        let log = console_log(GUEST);
        // What is typed at the console comes between the lines.
        let numbers = dom0.run(&format!(
            r#"tr -d '\r' <{log} | sed -n 's/.*numbered \([0-9][0-9]*\)$/\1/p' | awk '$1 != NR {{ print "line", NR, "is", $1; exit }} END {{ print NR }}'"#
        ))?;
        ensure!(
            numbers.trim() == lines.trim(),
            "{} lines were printed, the log says {numbers}",
            lines.trim()
        );
        report::note(format!("{} lines", lines.trim()));
        Ok(())
    })?;
    step("Watches and connections are there", || {
        hotplug::disk(dom0, GUEST)?;
        hotplug::interfaces(dom0, GUEST)?;
        dom0.run("grep -q \"/local/domain/0/backend/vbd\" /run/events")?;
        Ok(())
    })?;
    step("xl shutdown", || {
        dom0.run_for(&format!("xl shutdown -w {GUEST}"), DOMAIN_CHANGE)?;
        dom0.wait_until("! xl domid demo", DOMAIN_CHANGE)?;
        ensure_guests(dom0, &[])?;
        wait_for_memory(dom0, free)
    })
}
