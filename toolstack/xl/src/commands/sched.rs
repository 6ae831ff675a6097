//! `sched-credit2`.

use std::io::Write;

use anyhow::Result;
use domain::{Domain, Toolstack};
use xen_abi::domctl::XEN_SCHEDULER_CREDIT2;

use super::{cpupool, title};
use crate::cli::SchedCredit2;

pub(super) fn credit2(options: &SchedCredit2, tools: &mut Toolstack, out: &mut dyn Write) -> Result<()> {
    if let Some(domain) = &options.domain {
        let domain = tools.find(domain)?;
        let mut params = tools.ctrl().credit2(domain.domid())?;
        if options.weight.is_none() && options.cap.is_none() {
            header(out)?;
            return line(&domain, tools, out);
        }
        params.weight = options.weight.unwrap_or(params.weight);
        params.cap = options.cap.unwrap_or(params.cap);
        return Ok(tools.ctrl().set_credit2(domain.domid(), params)?);
    }
    let which = options.cpupool.as_deref();
    if options.schedparam {
        // Without a name, the first pool is meant.
        for (name, pool) in cpupool::pools(which.or(Some("0")), tools)? {
            match options.ratelimit {
                Some(us) => tools.ctrl().set_credit2_ratelimit(pool.id, us)?,
                None => parameters(&name, pool.id, tools, out)?,
            }
        }
        return Ok(());
    }
    let domains = tools.domains()?;
    for (name, pool) in cpupool::pools(which, tools)? {
        if pool.scheduler == XEN_SCHEDULER_CREDIT2 {
            parameters(&name, pool.id, tools, out)?;
            header(out)?;
            for domain in domains.iter().filter(|domain| domain.info.cpupool == pool.id) {
                line(domain, tools, out)?;
            }
        }
    }
    Ok(())
}

fn parameters(name: &str, pool: u32, tools: &Toolstack, out: &mut dyn Write) -> Result<()> {
    let us = tools.ctrl().credit2_ratelimit(pool)?;
    Ok(writeln!(out, "Cpupool {name}: ratelimit={us}us")?)
}

fn header(out: &mut dyn Write) -> Result<()> {
    Ok(writeln!(out, "{:<33} {:>4} {:>6} {:>4}", "Name", "ID", "Weight", "Cap")?)
}

fn line(domain: &Domain, tools: &Toolstack, out: &mut dyn Write) -> Result<()> {
    let params = tools.ctrl().credit2(domain.domid())?;
    let (name, domid) = (title(domain), domain.domid());
    Ok(writeln!(out, "{name:<33} {domid:>4} {:>6} {:>4}", params.weight, params.cap)?)
}
