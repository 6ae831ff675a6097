//! `cpupool-list`, and what pools and schedulers are called.

use std::io::Write;

use anyhow::{Result, bail};
use domain::Toolstack;
use xen_ctrl::Cpupool;

use super::print_json;
use crate::cli::CpupoolList;
use crate::json;

/// Schedulers (`XEN_SCHEDULER_*`) and their names.
const SCHEDULERS: [(u32, &str); 6] =
    [(4, "sedf"), (5, "credit"), (6, "credit2"), (7, "arinc653"), (8, "rtds"), (9, "null")];

/// The name of a scheduler for people.
pub(super) fn scheduler(id: u32) -> &'static str {
    SCHEDULERS.iter().find(|(known, _)| *known == id).map_or("unknown", |(_, name)| name)
}

/// The scheduler with this name.
pub(super) fn scheduler_id(name: &str) -> Option<u32> {
    SCHEDULERS.iter().find(|(_, known)| *known == name).map(|(id, _)| *id)
}

/// The name of a pool.
pub(super) fn name(id: u32, tools: &mut Toolstack) -> Result<String> {
    Ok(tools.pool_name(id)?.unwrap_or_else(|| format!("Pool-{id}")))
}

/// The pools, or the one with this name or id.
pub(super) fn pools(which: Option<&str>, tools: &mut Toolstack) -> Result<Vec<(String, Cpupool)>> {
    let mut pools = Vec::new();
    for pool in tools.ctrl().cpupools()? {
        pools.push((name(pool.id, tools)?, pool));
    }
    if let Some(which) = which {
        pools.retain(|(name, pool)| name == which || pool.id.to_string() == which);
        if pools.is_empty() {
            bail!("there is no CPU pool {which:?}; `xl cpupool-list` shows those that there are");
        }
    }
    Ok(pools)
}

pub(super) fn list(options: &CpupoolList, tools: &mut Toolstack, out: &mut dyn Write) -> Result<()> {
    let pools = pools(options.pool.as_deref(), tools)?;
    if options.json {
        let entry = |(name, pool): (String, Cpupool)| json::Cpupool {
            id: pool.id,
            name,
            scheduler: scheduler(pool.scheduler),
            cpus: pool.cpus.iter().collect(),
            domains: pool.domains,
        };
        return print_json(out, &pools.into_iter().map(entry).collect::<Vec<_>>());
    }
    let columns = if options.cpus { "CPU list" } else { "CPUs   Sched     Active   Domain count" };
    writeln!(out, "{:<19}{columns}", "Name")?;
    for (name, pool) in pools {
        let cpus: Vec<String> = pool.cpus.iter().map(|cpu| cpu.to_string()).collect();
        if options.cpus {
            writeln!(out, "{name:<19}{}", cpus.join(","))?;
        } else {
            let scheduler = scheduler(pool.scheduler);
            writeln!(out, "{name:<19}{:>3} {scheduler:>9}       y       {:>4}", cpus.len(), pool.domains)?;
        }
    }
    Ok(())
}
