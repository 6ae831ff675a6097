//! A disk and an interface come to a running DomU, are used, and go.

use anyhow::{Context, Result, ensure};
use std::time::Duration;

use super::checks::DOMAIN_CHANGE;
use crate::machine::dom0::Dom0;

const DISK: &str = "/var/lib/xen/images/second.img";
/// The number of xvdb: major 202, 16 minors a disk.
const DISK_NUMBER: &str = "51728";
const TEXT: &str = "on the second disk";
const MAC: &str = "00:16:3e:00:00:77";
const PORTS: &str = "ls /sys/class/net/xenbr0/brif | wc -l";
/// For a DomU's kernel to see that a device came or went.
const GUEST_FOLLOWS: Duration = Duration::from_secs(120);

/// A second disk of the DomU `guest`.
pub fn disk(dom0: &mut Dom0, guest: &str) -> Result<()> {
    dom0.run("make-disk second")?;
    let spec = format!("format=raw,vdev=xvdb,access=rw,target={DISK}");
    dom0.run_for(&format!("xl block-attach {guest} {spec}"), DOMAIN_CHANGE)?;
    guest_sees(dom0, guest, "test -b /dev/xvdb").context("the DomU has no xvdb")?;
    let list = dom0.run(&format!("xl block-list {guest}"))?;
    ensure!(list.contains(DISK_NUMBER), "`xl block-list` does not show the disk:\n{list}");
    let write = format!("mount -t ext2 /dev/xvdb /mnt && echo {TEXT} >/mnt/file && umount /mnt");
    dom0.guest(guest, &write)?;

    dom0.run_for(&format!("xl block-detach {guest} xvdb"), DOMAIN_CHANGE)?;
    guest_sees(dom0, guest, "! test -b /dev/xvdb").context("the DomU still has xvdb")?;
    dom0.wait_until(&format!("! losetup -a | grep {DISK}"), GUEST_FOLLOWS)
        .context("the file still has a loop device")?;
    let seen = dom0.run(&format!("mount -o loop,ro {DISK} /mnt && cat /mnt/file; umount /mnt"))?;
    ensure!(seen.trim() == TEXT, "the DomU wrote \"{}\"", seen.trim());
    Ok(())
}

/// A second interface of the DomU `guest`, by the tools' own means and by Xen's script.
pub fn interfaces(dom0: &mut Dom0, guest: &str) -> Result<()> {
    interface(dom0, guest, "")?;
    interface(dom0, guest, "script=vif-bridge").context("with a script")
}

fn interface(dom0: &mut Dom0, guest: &str, script: &str) -> Result<()> {
    let ports = dom0.run(PORTS)?;
    dom0.run_for(&format!("xl network-attach {guest} bridge=xenbr0 mac={MAC} {script}"), DOMAIN_CHANGE)?;
    guest_sees(dom0, guest, "test -e /sys/class/net/eth1").context("the DomU has no eth1")?;
    let list = dom0.run(&format!("xl network-list {guest}"))?;
    ensure!(list.contains(MAC), "`xl network-list` does not show the interface:\n{list}");
    dom0.run("ip addr add 192.168.129.1/24 dev xenbr0")?;
    dom0.guest(guest, "ip addr add 192.168.129.10/24 dev eth1 && ip link set eth1 up")?;
    dom0.run("ping -c 2 -w 60 192.168.129.10")?;

    dom0.run_for(&format!("xl network-detach {guest} 1"), DOMAIN_CHANGE)?;
    guest_sees(dom0, guest, "! test -e /sys/class/net/eth1").context("the DomU still has eth1")?;
    dom0.wait_until(&format!("[ $({PORTS}) = {} ]", ports.trim()), GUEST_FOLLOWS)
        .context("the bridge still has the interface's port")?;
    dom0.run("ip addr del 192.168.129.1/24 dev xenbr0")?;
    Ok(())
}

fn guest_sees(dom0: &mut Dom0, guest: &str, condition: &str) -> Result<()> {
    dom0.wait_until(&format!("guest-run {guest} 20 \"{condition}\""), GUEST_FOLLOWS)
}
