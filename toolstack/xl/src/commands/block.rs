//! `block-attach`, `block-detach`, `block-list`.

use std::io::Write;

use anyhow::{Context, Result};
use domain::{Detach, DiskStatus, Domain, Toolstack};
use xl_config::{Disk, Vdev};

use super::{number, print_json};
use crate::cli::{BlockAttach, BlockDetach, DeviceList};
use crate::json;

pub(super) fn attach(options: &BlockAttach, tools: &mut Toolstack) -> Result<()> {
    let domid = tools.find(&options.domain)?.domid();
    // What follows `target=` is the target, so it comes last.
    let mut parts = options.spec.clone();
    parts.sort_by_key(|part| part.starts_with("target=") || part.contains(",target="));
    let spec = parts.join(",");
    let disk: Disk = spec.parse().with_context(|| format!("disk {spec}"))?;
    Ok(tools.attach(domid, &[disk], &[])?)
}

pub(super) fn detach(options: &BlockDetach, tools: &mut Toolstack) -> Result<()> {
    let domid = tools.find(&options.domain)?.domid();
    let vdev: Vdev = options.disk.parse()?;
    let how = if options.force { Detach::Take } else { Detach::Ask };
    Ok(tools.detach_disk(domid, &vdev, how)?)
}

pub(super) fn list(options: &DeviceList, tools: &mut Toolstack, out: &mut dyn Write) -> Result<()> {
    let mut entries = Vec::new();
    if !options.json {
        writeln!(
            out,
            "{:<5} {:<3} {:<6} {:<5} {:<6} {:<8} {:<30}",
            "Vdev", "BE", "handle", "state", "evt-ch", "ring-ref", "BE-path"
        )?;
    }
    for domain in &options.domains {
        let domain = tools.find(domain)?;
        for disk in tools.disks(domain.domid())? {
            if options.json {
                entries.push(entry(&domain, disk));
                continue;
            }
            let device = &disk.device;
            writeln!(
                out,
                "{:<5} {:<3} {:<6} {:<5} {:<6} {:<8} {:<30}",
                device.id,
                device.back_end.get(),
                domain.domid().get(),
                number(device.state),
                number(device.event_channel),
                number(disk.ring_ref),
                device.back_path
            )?;
        }
    }
    if options.json { print_json(out, &entries) } else { Ok(()) }
}

fn entry(domain: &Domain, disk: DiskStatus) -> json::Disk {
    json::Disk {
        domid: domain.domid().get(),
        device: json::Device::from(disk.device),
        vdev: disk.vdev,
        target: disk.target,
        read_only: disk.read_only,
        ring_ref: disk.ring_ref,
    }
}
