//! What xl is asked for and cannot be had: one clear line, an exit code, and nothing left behind.

use anyhow::{Result, bail, ensure};
use std::time::Duration;

use super::checks::{DOMAIN_CHANGE, ensure_guests, info_number, step, wait_for_memory};
use crate::machine::dom0::Dom0;

/// What is wrong, the settings that make it so, and what the error says of it.
const CONFIGURATIONS: [(&str, &str, &str); 14] = [
    ("a kernel that is none", "'kernel=\"/etc/xen/small.cfg\"'", "it is no arm64 Image"),
    ("a kernel that is missing", "'kernel=\"/boot/none\"'", "/boot/none"),
    ("a truncated kernel", "'kernel=\"/tmp/cut\"'", "kernel"),
    ("a folder as a kernel", "'kernel=\"/boot\"'", "/boot is not a regular file"),
    ("an unknown key", "'nonsense=1'", "nonsense"),
    ("a value that is no number", "'memory=\"much\"'", "memory"),
    ("more memory than there is", "memory=100000", "MiB free"),
    ("more vCPUs than there can be", "vcpus=10000", "vcpus"),
    ("a missing bridge", "'vif=[\"bridge=none0\"]'", "none0"),
    ("a missing disk", "'disk=[\"/none.img,raw,xvda,w\"]'", "/none.img"),
    ("a disk that is a folder", "'disk=[\"/boot,raw,xvda,w\"]'", "/boot"),
    ("two disks of one name", "'disk=[\"/tmp/cut,raw,xvda,r\",\"/tmp/cut,raw,xvda,r\"]'", "xvda"),
    ("a missing RAM disk", "'ramdisk=\"/none\"'", "/none"),
    ("a domain of Dom0's name", "'name=\"Domain-0\"'", "Domain-0"),
];
const LIMIT: Duration = Duration::from_secs(60);

/// All of them, with our xl.
pub fn steps(dom0: &mut Dom0) -> Result<()> {
    // The first domain makes folders that stay.
    dom0.run_for("xl create -p /etc/xen/small.cfg && xl destroy small", DOMAIN_CHANGE)?;
    let free = info_number(dom0, "free_memory")?;
    dom0.run("head -c 1000000 /boot/vmlinuz >/tmp/cut")?;
    let before = traces(dom0)?;
    step("xl create says what is wrong with a configuration", || {
        let mut wrong = Vec::new();
        for (what, settings, word) in CONFIGURATIONS {
            let command = format!("xl create /etc/xen/small.cfg {settings}");
            wrong.extend(refused(dom0, what, &command, word).err().map(|error| error.to_string()));
        }
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(())
    })?;
    step("xl create says where a file is wrong", || {
        dom0.run(
            "printf 'name = \"bad\"\\nmemory = [ 1,\\n' >/tmp/bad.cfg; printf '\\377\\376' >/tmp/bytes.cfg",
        )?;
        refused(dom0, "a list without an end", "xl create /tmp/bad.cfg", "/tmp/bad.cfg:")?;
        refused(dom0, "bytes that are no text", "xl create /tmp/bytes.cfg", "/tmp/bytes.cfg:")?;
        refused(dom0, "a file that is missing", "xl create /tmp/none.cfg", "/tmp/none.cfg")
    })?;
    step("Nothing is left of them", || {
        ensure_guests(dom0, &[])?;
        let after = traces(dom0)?;
        ensure!(after == before, "before:\n{before}\nafter:\n{after}");
        wait_for_memory(dom0, free)
    })?;
    step("A second domain of one name or one MAC is refused", || {
        let vif = "'vif=[\"bridge=xenbr0,mac=00:16:3e:00:00:55\"]'";
        dom0.run_for(&format!("xl create -p /etc/xen/small.cfg {vif}"), DOMAIN_CHANGE)?;
        refused(dom0, "the same name", "xl create /etc/xen/small.cfg", "small")?;
        let other = format!("xl create /etc/xen/small.cfg 'name=\"other\"' {vif}");
        refused(dom0, "the same MAC", &other, "00:16:3e:00:00:55")?;
        ensure_guests(dom0, &["small"])?;
        dom0.run_for("xl destroy small", DOMAIN_CHANGE)?;
        wait_for_memory(dom0, free)
    })?;
    step("xl says so when xenstored is not running", || {
        dom0.run("kill $(cat /run/xenstored.pid)")?;
        refused(dom0, "a daemon that does not run", "xl create /etc/xen/small.cfg", "xenstore")?;
        dom0.run("xenstored --pid-file /run/xenstored.pid && wait-for 30 xl list")?;
        ensure_guests(dom0, &[])
    })
}

/// Runs a command that must fail with one line with `word` in it.
fn refused(dom0: &mut Dom0, what: &str, command: &str, word: &str) -> Result<()> {
    let outcome = dom0.try_run(command, LIMIT)?;
    let said = outcome.output.trim();
    if outcome.status == 0 {
        bail!("{what}: `{command}` succeeded");
    }
    // An error in a file shows the place under the line.
    let lines = said.lines().filter(|line| line.starts_with("xl: ")).count();
    ensure!(lines == 1 && said.contains(word), "{what}: `{command}` said:\n{said}");
    Ok(())
}

/// Whatever a half-built domain could leave: nodes, loop devices, interfaces, files.
fn traces(dom0: &mut Dom0) -> Result<String> {
    dom0.run(
        "xenstore-ls -f / | cut -d= -f1 | grep -v ^/tool; losetup -a; ls /sys/class/net /sys/class/net/xenbr0/brif \
         /var/lib/xen /sys/bus/xen-backend/devices; ps | grep -c [s]upervise || true",
    )
}
