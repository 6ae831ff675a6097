//! `vcpu-list`, `vcpu-pin`, `vcpu-set`.

use std::io::Write;

use anyhow::{Context, Result, bail};
use domain::{Domain, Toolstack, vcpus};
use xen_abi::domctl::VcpuAffinityFlags;
use xen_ctrl::{Affinity, Bitmap};
use xl_config::CpuList;

use super::{print_json, title};
use crate::cli::{VcpuList, VcpuPin, VcpuSet};
use crate::{format, json};

pub(super) fn list(options: &VcpuList, tools: &mut Toolstack, out: &mut dyn Write) -> Result<()> {
    let domains = match options.domains.as_slice() {
        [] => tools.domains()?,
        some => some.iter().map(|domain| tools.find(domain)).collect::<Result<_, _>>()?,
    };
    let cpus = tools.ctrl().physinfo()?.max_cpu_id.saturating_add(1);
    let mut entries = Vec::new();
    if !options.json {
        writeln!(
            out,
            "{:<32} {:>5} {:>5} {:>5} {:>5} {:>9} Affinity (Hard / Soft)",
            "Name", "ID", "VCPU", "CPU", "State", "Time(s)"
        )?;
    }
    for domain in &domains {
        for vcpu in 0..vcpus(&domain.info) {
            if options.json {
                entries.push(entry(domain, vcpu, cpus, tools)?);
            } else {
                line(domain, vcpu, cpus, tools, out)?;
            }
        }
    }
    if options.json { print_json(out, &entries) } else { Ok(()) }
}

fn line(domain: &Domain, vcpu: u32, cpus: u32, tools: &Toolstack, out: &mut dyn Write) -> Result<()> {
    let info = tools.ctrl().vcpu(domain.domid(), vcpu)?;
    let affinity = tools.ctrl().vcpu_affinity(domain.domid(), vcpu)?;
    let flag = |value, letter| if value != 0 { letter } else { '-' };
    let (cpu, state) = if info.online != 0 {
        (info.cpu.to_string(), format!("{}{}-", flag(info.running, 'r'), flag(info.blocked, 'b')))
    } else {
        ("-".to_owned(), "--p".to_owned())
    };
    Ok(writeln!(
        out,
        "{:<32} {:>5} {vcpu:>5} {cpu:>5} {state:>5} {:>9}  {} / {}",
        title(domain),
        domain.domid(),
        format::cpu_time(info.cpu_time),
        format::set(&affinity.hard, cpus),
        format::set(&affinity.soft, cpus)
    )?)
}

fn entry(domain: &Domain, vcpu: u32, cpus: u32, tools: &Toolstack) -> Result<json::Vcpu> {
    let info = tools.ctrl().vcpu(domain.domid(), vcpu)?;
    let affinity = tools.ctrl().vcpu_affinity(domain.domid(), vcpu)?;
    let online = info.online != 0;
    Ok(json::Vcpu {
        domid: domain.domid().get(),
        name: domain.name.clone(),
        vcpu,
        online,
        cpu: online.then_some(info.cpu),
        running: info.running != 0,
        blocked: info.blocked != 0,
        cpu_time_ns: info.cpu_time,
        hard_affinity: affinity.hard.iter().take_while(|&cpu| cpu < cpus).collect(),
        soft_affinity: affinity.soft.iter().take_while(|&cpu| cpu < cpus).collect(),
    })
}

pub(super) fn pin(options: &VcpuPin, tools: &mut Toolstack) -> Result<()> {
    let domain = tools.find(&options.domain)?;
    let vcpus = match options.vcpu.as_str() {
        "all" if options.force => bail!("--force is for one vCPU, not for all"),
        "all" => 0..vcpus(&domain.info),
        number => {
            let has = vcpus(&domain.info);
            let vcpu: u32 = number.parse().ok().filter(|&vcpu| vcpu < has).with_context(|| {
                format!("domain {} has {has} vCPUs, numbered from 0, and no vCPU {number:?}", domain.domid())
            })?;
            vcpu..vcpu + 1
        }
    };
    let (hard, soft) = (cpus(&options.hard, tools)?, cpus(&options.soft, tools)?);
    let mut flags = VcpuAffinityFlags::empty();
    flags.set(VcpuAffinityFlags::HARD, hard.is_some());
    flags.set(VcpuAffinityFlags::SOFT, soft.is_some());
    flags.set(VcpuAffinityFlags::FORCE, options.force);
    let affinity = Affinity { hard: hard.unwrap_or_default(), soft: soft.unwrap_or_default() };
    for vcpu in vcpus {
        tools.ctrl().set_vcpu_affinity(domain.domid(), vcpu, flags, &affinity)?;
    }
    Ok(())
}

/// The CPUs of a list; `None` for what shall stay as it is.
fn cpus(text: &str, tools: &Toolstack) -> Result<Option<Bitmap>> {
    if text == "-" {
        return Ok(None);
    }
    let list: CpuList = text.parse()?;
    tools.cpus(&list).map(Some).map_err(anyhow::Error::msg)
}

pub(super) fn set(options: &VcpuSet, tools: &mut Toolstack) -> Result<()> {
    let domain = tools.find(&options.domain)?;
    let host = tools.ctrl().physinfo()?.nr_cpus;
    if !options.ignore_host && options.vcpus > host && options.vcpus > domain.info.online_vcpus {
        bail!("the host has {host} CPUs, which is less than {} (try: --ignore-host)", options.vcpus);
    }
    Ok(tools.set_vcpus(domain.domid(), options.vcpus)?)
}
