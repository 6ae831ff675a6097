//! The rows of DomUs: what a request of a PV device and a MiB of a domain's memory cost on one CPU.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::boot::{MEMORY, STEADY_KERNEL};
use super::counts::Cost;
use super::dom0::{CountedDom0, Stack};
use crate::build::BootFiles;
use crate::image;
use crate::machine::dom0::Dom0;
use crate::scenarios::{DOMAIN_CHANGE, wait_for_boot};
use crate::workspace::Workspace;

/// Sizes of the domain that shows what a MiB costs, in MiB.
const SMALL: u32 = 64;
const LARGE: u32 = 576;
/// The packets' sizes in `tests/tools_bench`, in bytes.
const SMALL_PACKET: u32 = 18;
const LARGE_PACKET: u32 = 1472;
const BYTES_PER_KIB: f64 = 1024.0;
const TIME: Duration = Duration::from_secs(600);

/// The DomU with the devices; the same as its name in Xen's list.
const GUEST: &str = "demo";
const IMAGE: &str = "/var/lib/xen/images/demo.img";
const DOM0_ADDRESS: &str = "192.168.128.1";
/// The program, where the DomU copies it to from its disk.
const PROGRAM: &str = "/run/bench";

/// Instructions per unit, by the rows' names.
pub type Costs = BTreeMap<&'static str, Cost>;

/// Runs all rows.
///
/// # Errors
/// When the machine does not get through, or what it printed makes no sense.
pub fn run(workspace: &Workspace, plugin: &Path, files: BootFiles, stack: Stack) -> Result<Costs> {
    let memory = u32::try_from(MEMORY)?;
    let counted = CountedDom0::boot(workspace, "domains", plugin, files, stack, memory)?;
    per_unit(&counted.measure(steps)?)
}

/// What is printed in the course is the rows' descriptions.
fn steps(dom0: &mut Dom0) -> Result<String> {
    let program = format!("/{}", image::COUNTING);
    let mut text = dom0.run_for(&format!("{program} domains {SMALL} {LARGE}"), TIME)?;
    dom0.run(&format!("mount -o loop {IMAGE} /mnt && cp {program} /mnt/bench && umount /mnt"))?;
    dom0.run(&format!("{{ {program} echo {DOM0_ADDRESS} >/dev/null 2>&1 & }}"))?;
    let extra = format!("extra=\"console=hvc0 guest_ip=192.168.128.10 {STEADY_KERNEL}\"");
    dom0.run_for(&format!("xl create /etc/xen/demo.cfg vcpus=1 '{extra}'"), DOMAIN_CHANGE)?;
    wait_for_boot(dom0, GUEST, 1)?;
    dom0.guest(
        GUEST,
        &format!("mount -t ext2 -o ro /dev/xvda /mnt && cp /mnt/bench {PROGRAM} && umount /mnt"),
    )?;
    for rows in [format!("network {DOM0_ADDRESS}"), "disk /dev/xvda".to_owned()] {
        text.push_str(&dom0.guest_for(GUEST, &format!("{PROGRAM} {rows}"), TIME)?);
    }
    Ok(text)
}

/// The rows of the table out of what was measured.
fn per_unit(measured: &BTreeMap<String, Cost>) -> Result<Costs> {
    let cost = |name: &str| measured.get(name).copied().with_context(|| format!("{name} was not measured"));
    let difference = |small: &str, large: &str, units: f64| -> Result<Cost> {
        let (small, large) = (cost(small)?, cost(large)?);
        Ok(Cost {
            hypervisor: (large.hypervisor - small.hypervisor) / units,
            total: (large.total - small.total) / units,
        })
    };
    let mebibytes = f64::from(LARGE - SMALL);
    let kibibytes = f64::from(LARGE_PACKET - SMALL_PACKET) / BYTES_PER_KIB;
    Ok(BTreeMap::from([
        ("disk-read", cost("disk-read")?),
        ("disk-write", cost("disk-write")?),
        ("net-packet", cost("net-small")?),
        ("net-kib", difference("net-small", "net-large", kibibytes)?),
        ("stream-packet", cost("stream-small")?),
        ("stream-kib", difference("stream-small", "stream-large", kibibytes)?),
        ("create-mib", difference("create-small", "create-large", mebibytes)?),
        ("destroy-mib", difference("destroy-small", "destroy-large", mebibytes)?),
    ]))
}

#[cfg(test)]
mod tests {
    use super::per_unit;
    use crate::bench::counts::Cost;
    use std::collections::BTreeMap;

    #[test]
    fn a_unit_costs_the_difference_of_two_sizes() {
        let names = ["disk-read", "disk-write", "net-small", "net-large", "stream-small", "stream-large"];
        let sizes = ["create-small", "create-large", "destroy-small", "destroy-large"];
        let mut measured: BTreeMap<_, _> = names
            .iter()
            .chain(&sizes)
            .map(|name| ((*name).to_owned(), Cost { hypervisor: 100.0, total: 200.0 }))
            .collect();
        measured.insert("create-large".to_owned(), Cost { hypervisor: 100.0 + 512.0, total: 200.0 + 1024.0 });
        let costs = per_unit(&measured).expect("all rows");
        assert_eq!(costs["create-mib"], Cost { hypervisor: 1.0, total: 2.0 });
        assert_eq!(costs["disk-read"], Cost { hypervisor: 100.0, total: 200.0 });
        measured.remove("net-large");
        assert!(per_unit(&measured).is_err());
    }
}
