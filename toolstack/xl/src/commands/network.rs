//! `network-attach`, `network-detach`, `network-list`.

use std::io::Write;

use anyhow::{Context, Result, bail};
use domain::{Detach, Domain, Toolstack, VifStatus};
use xl_config::{Mac, Vif};

use super::{number, print_json};
use crate::cli::{DeviceList, NetworkAttach, NetworkDetach};
use crate::json;

pub(super) fn attach(options: &NetworkAttach, tools: &mut Toolstack) -> Result<()> {
    let domid = tools.find(&options.domain)?.domid();
    let spec = options.spec.join(",");
    let vif: Vif = spec.parse().with_context(|| format!("vif {spec}"))?;
    Ok(tools.attach(domid, &[], &[vif])?)
}

pub(super) fn detach(options: &NetworkDetach, tools: &mut Toolstack) -> Result<()> {
    let domid = tools.find(&options.domain)?.domid();
    let text = &options.interface;
    let id = if let Ok(id) = text.parse() {
        id
    } else if let Ok(mac) = text.parse::<Mac>() {
        let vif = tools.vifs(domid)?.into_iter().find(|vif| vif.mac == Some(mac));
        let vif =
            vif.with_context(|| format!("domain {domid} has no network interface with address {mac}"))?;
        vif.device.id
    } else {
        bail!("{text:?} is neither the number nor the address of a network interface");
    };
    // As in Xen's xl, a guest that does not answer loses the interface.
    let how = if options.force { Detach::Take } else { Detach::AskThenTake };
    Ok(tools.detach_vif(domid, id, how)?)
}

pub(super) fn list(options: &DeviceList, tools: &mut Toolstack, out: &mut dyn Write) -> Result<()> {
    let mut entries = Vec::new();
    if !options.json {
        writeln!(
            out,
            "{:<3} {:<2} {:<17} {:<6} {:<5} {:<6} {:>5}/{:<5} {:<30}",
            "Idx", "BE", "Mac Addr.", "handle", "state", "evt-ch", "tx-", "rx-ring-ref", "BE-path"
        )?;
    }
    for domain in &options.domains {
        let domain = tools.find(domain)?;
        for vif in tools.vifs(domain.domid())? {
            if options.json {
                entries.push(entry(&domain, vif));
                continue;
            }
            let device = &vif.device;
            writeln!(
                out,
                "{:<3} {:<2} {:<17}{:>6} {:>5} {:>6} {:>5}/{:<11} {:<30}",
                device.id,
                device.back_end.get(),
                vif.mac.map(|mac| mac.to_string()).unwrap_or_default(),
                device.id,
                number(device.state),
                number(device.event_channel),
                number(vif.tx_ring_ref),
                number(vif.rx_ring_ref),
                device.back_path
            )?;
        }
    }
    if options.json { print_json(out, &entries) } else { Ok(()) }
}

fn entry(domain: &Domain, vif: VifStatus) -> json::NetworkInterface {
    json::NetworkInterface {
        domid: domain.domid().get(),
        device: json::Device::from(vif.device),
        mac: vif.mac.map(|mac| mac.to_string()),
        bridge: vif.bridge,
        tx_ring_ref: vif.tx_ring_ref,
        rx_ring_ref: vif.rx_ring_ref,
    }
}
