//! `info`.

use std::io::Write;

use anyhow::{Result, bail};
use domain::Toolstack;
use rustix::system::uname;
use serde_json::{Map, Value};
use xen_abi::sysctl::PhyscapFlags;

use super::cpupool::scheduler;
use super::print_json;
use crate::cli::Info;

/// Capabilities in the order of Xen's tools. The two of direct I/O are one bit.
const CAPABILITIES: [(PhyscapFlags, &str); 11] = [
    (PhyscapFlags::PV, "pv"),
    (PhyscapFlags::HVM, "hvm"),
    (PhyscapFlags::HVM.union(PhyscapFlags::DIRECTIO), "hvm_directio"),
    (PhyscapFlags::PV.union(PhyscapFlags::DIRECTIO), "pv_directio"),
    (PhyscapFlags::HAP, "hap"),
    (PhyscapFlags::SHADOW, "shadow"),
    (PhyscapFlags::IOMMU_HAP_PT_SHARE, "iommu_hap_pt_share"),
    (PhyscapFlags::VMTRACE, "vmtrace"),
    (PhyscapFlags::VPMU, "vpmu"),
    (PhyscapFlags::GNTTAB_V1, "gnttab-v1"),
    (PhyscapFlags::GNTTAB_V2, "gnttab-v2"),
];

type Fields = Vec<(&'static str, String)>;

pub(super) fn info(options: &Info, tools: &mut Toolstack, out: &mut dyn Write) -> Result<()> {
    let host = host(tools)?;
    let hypervisor = hypervisor(tools)?;
    if options.json {
        let fields = host.into_iter().chain(hypervisor);
        let fields: Map<String, Value> =
            fields.map(|(name, value)| (name.to_owned(), value.into())).collect();
        return print_json(out, &fields);
    }
    if let Some(field) = &options.field {
        return match host.iter().chain(&hypervisor).find(|(name, _)| name == field) {
            Some((_, value)) => Ok(writeln!(out, "{value}")?),
            None => bail!("there is no field {field:?}; `xl info` shows those that there are"),
        };
    }
    print(&host, out)?;
    if options.numa {
        topology(tools, out)?;
    }
    print(&hypervisor, out)
}

fn print(fields: &Fields, out: &mut dyn Write) -> Result<()> {
    for (name, value) in fields {
        writeln!(out, "{name:<23}: {value}")?;
    }
    Ok(())
}

fn host(tools: &Toolstack) -> Result<Fields> {
    let system = uname();
    let text = |it: &std::ffi::CStr| it.to_string_lossy().into_owned();
    let info = tools.ctrl().physinfo()?;
    let capabilities = PhyscapFlags::from_bits_retain(info.capabilities);
    let words = CAPABILITIES.iter().filter(|(flags, _)| capabilities.contains(*flags)).map(|(_, word)| *word);
    let words: Vec<&str> = words.collect();
    let hw_caps: Vec<String> = info.hw_cap.iter().map(|word| format!("{word:08x}")).collect();
    // Pages of 4 KiB.
    let mib = |pages: u64| (pages / 256).to_string();
    // Hosts without sharing have none.
    let (freed, used) = tools.ctrl().shared_memory().unwrap_or_default();
    Ok(vec![
        ("host", text(system.nodename())),
        ("release", text(system.release())),
        ("version", text(system.version())),
        ("machine", text(system.machine())),
        ("nr_cpus", info.nr_cpus.to_string()),
        ("max_cpu_id", info.max_cpu_id.to_string()),
        ("nr_nodes", info.nr_nodes.to_string()),
        ("cores_per_socket", info.cores_per_socket.to_string()),
        ("threads_per_core", info.threads_per_core.to_string()),
        ("cpu_mhz", format!("{}.{:03}", info.cpu_khz / 1000, info.cpu_khz % 1000)),
        ("hw_caps", hw_caps.join(":")),
        ("virt_caps", words.join(" ")),
        ("total_memory", mib(info.total_pages)),
        ("free_memory", mib(info.free_pages.saturating_sub(info.outstanding_pages))),
        ("sharing_freed_memory", mib(freed)),
        ("sharing_used_memory", mib(used)),
        ("outstanding_claims", mib(info.outstanding_pages)),
        ("free_cpus", tools.ctrl().free_cpus()?.iter().count().to_string()),
    ])
}

fn hypervisor(tools: &Toolstack) -> Result<Fields> {
    let ctrl = tools.ctrl();
    let (major, minor) = ctrl.version()?;
    let extra = ctrl.extra_version()?;
    let compiled = ctrl.compile_info()?;
    let build_id: String = ctrl.build_id()?.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(vec![
        ("xen_major", major.to_string()),
        ("xen_minor", minor.to_string()),
        ("xen_extra", extra.clone()),
        ("xen_version", format!("{major}.{minor}{extra}")),
        ("xen_caps", ctrl.capabilities()?),
        ("xen_scheduler", scheduler(ctrl.scheduler()?).to_owned()),
        ("xen_pagesize", ctrl.page_size()?.to_string()),
        ("platform_params", format!("virt_start={:#x}", ctrl.virt_start()?)),
        ("xen_changeset", ctrl.changeset()?),
        ("xen_commandline", ctrl.command_line()?),
        ("cc_compiler", compiled.compiler),
        ("cc_compile_by", compiled.by),
        ("cc_compile_domain", compiled.domain),
        ("cc_compile_date", compiled.date),
        ("build_id", build_id),
        ("xend_config_format", "4".to_owned()),
    ])
}

fn topology(tools: &Toolstack, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "cpu_topology           :\ncpu:    core    socket     node")?;
    for (cpu, place) in tools.ctrl().cpu_topology()?.iter().enumerate() {
        if let Some(place) = place {
            writeln!(out, "{cpu:>3}:    {:>4}     {:>4}     {:>4}", place.core, place.socket, place.node)?;
        }
    }
    writeln!(out, "numa_info              :\nnode:    memsize    memfree    distances")?;
    for node in tools.ctrl().nodes()? {
        let distance = |it: &Option<u32>| it.map_or("-".to_owned(), |it| it.to_string());
        let distances: Vec<String> = node.distances.iter().map(distance).collect();
        let (size, free) = (node.memory >> 20, node.free >> 20);
        writeln!(out, "{:>4}:    {size:>6}     {free:>6}      {}", node.id, distances.join(","))?;
    }
    Ok(())
}
