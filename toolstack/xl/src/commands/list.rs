//! `list`, `domid`, `domname`, `rename`.

use std::io::Write;

use anyhow::{Result, bail};
use domain::{Domain, DomainError, Toolstack, vcpus};
use xen_abi::domctl::v4_17::DominfFlags;
use xen_ctrl::{DomainInfo, ShutdownReason};

use super::{print_json, title};
use crate::cli::{List, Rename, Target};
use crate::{format, json};

pub(crate) const KIB_PER_PAGE: u64 = 4;

/// The flags that `xl list` shows, with their letters and their words.
const STATES: [(DominfFlags, char, &str); 4] = [
    (DominfFlags::RUNNING, 'r', "running"),
    (DominfFlags::BLOCKED, 'b', "blocked"),
    (DominfFlags::PAUSED, 'p', "paused"),
    (DominfFlags::SHUTDOWN, 's', "shutdown"),
];

pub(super) fn list(options: &List, tools: &mut Toolstack, out: &mut dyn Write) -> Result<()> {
    let domains = match &options.domain {
        Some(domain) => vec![tools.find(domain)?],
        None => tools.domains()?,
    };
    if options.long || options.json {
        return print_json(out, &domains.iter().map(entry).collect::<Vec<_>>());
    }
    write!(out, "{:<40} {:>5} {:>5} {:>5}\tState\tTime(s)", "Name", "ID", "Mem", "VCPUs")?;
    if options.verbose {
        write!(out, "   UUID                            Reason-Code\tSecurity Label")?;
    }
    if options.cpupool {
        write!(out, "         Cpupool")?;
    }
    if options.numa {
        write!(out, " NODE Affinity")?;
    }
    writeln!(out)?;
    for domain in &domains {
        line(options, domain, tools, out)?;
    }
    Ok(())
}

fn line(options: &List, domain: &Domain, tools: &mut Toolstack, out: &mut dyn Write) -> Result<()> {
    let info = &domain.info;
    let flag = |flag, letter| if info.flags.contains(flag) { letter } else { '-' };
    let mut state: String = STATES.iter().map(|&(bit, letter, _)| flag(bit, letter)).collect();
    state.push(reason_letter(info.shutdown_reason()));
    state.push(flag(DominfFlags::DYING, 'd'));
    let mib = (info.total_pages + info.outstanding_pages) * KIB_PER_PAGE / 1024;
    write!(
        out,
        "{:<40} {:>5} {mib:>5} {:>5}     {state}  {:>8}",
        title(domain),
        domain.domid(),
        info.online_vcpus,
        format::cpu_time(info.cpu_time_ns)
    )?;
    if options.verbose {
        let reason = info.shutdown_reason().map_or("-".to_owned(), |it| format!("{:x}", it.code()));
        write!(out, " {} {reason:>8} {:>16}", domain.uuid(), "-")?;
    }
    if options.cpupool {
        write!(out, "{:>16}", super::cpupool::name(info.cpupool, tools)?)?;
    }
    if options.numa {
        let nodes = tools.ctrl().physinfo()?.nr_nodes;
        write!(out, " {}", format::set(&tools.ctrl().node_affinity(domain.domid())?, nodes))?;
    }
    Ok(writeln!(out)?)
}

/// The letter for why a domain shut down; it has a column of its own behind `s`.
fn reason_letter(reason: Option<ShutdownReason>) -> char {
    match reason {
        None | Some(ShutdownReason::Poweroff) => '-',
        Some(ShutdownReason::Reboot) => 'r',
        Some(ShutdownReason::Suspend) => 's',
        Some(ShutdownReason::Crash) => 'c',
        Some(ShutdownReason::Watchdog) => 'w',
        Some(ShutdownReason::SoftReset) => 'S',
        Some(ShutdownReason::Unknown(_)) => '?',
    }
}

fn entry(domain: &Domain) -> json::Domain {
    let info = &domain.info;
    json::Domain {
        domid: domain.domid().get(),
        name: domain.name.clone(),
        uuid: domain.uuid().to_string(),
        memory_kib: info.total_pages * KIB_PER_PAGE,
        max_memory_kib: info.max_pages.saturating_mul(KIB_PER_PAGE),
        vcpus_online: info.online_vcpus,
        vcpus: vcpus(info),
        state: state_words(info),
        shutdown_reason: info.shutdown_reason().map(reason_word),
        cpu_time_ns: info.cpu_time_ns,
        cpupool: info.cpupool,
    }
}

/// The words for what a domain does.
pub(crate) fn state_words(info: &DomainInfo) -> Vec<&'static str> {
    let dying = (DominfFlags::DYING, 'd', "dying");
    let states = STATES.iter().chain([&dying]).filter(|(flag, ..)| info.flags.contains(*flag));
    states.map(|&(.., word)| word).collect()
}

fn reason_word(reason: ShutdownReason) -> &'static str {
    match reason {
        ShutdownReason::Poweroff => "poweroff",
        ShutdownReason::Reboot => "reboot",
        ShutdownReason::Suspend => "suspend",
        ShutdownReason::Crash => "crash",
        ShutdownReason::Watchdog => "watchdog",
        ShutdownReason::SoftReset => "soft_reset",
        ShutdownReason::Unknown(_) => "unknown",
    }
}

pub(super) fn domid(target: &Target, tools: &mut Toolstack, out: &mut dyn Write) -> Result<()> {
    let found = tools.domains()?.into_iter().find(|domain| domain.name.as_ref() == Some(&target.domain));
    match found {
        Some(domain) => Ok(writeln!(out, "{}", domain.domid())?),
        None => Err(DomainError::NoSuchDomain(target.domain.clone()).into()),
    }
}

pub(super) fn domname(target: &Target, tools: &mut Toolstack, out: &mut dyn Write) -> Result<()> {
    if target.domain.parse::<u16>().is_err() {
        bail!("{:?} is no id of a domain, which is a number", target.domain);
    }
    match tools.find(&target.domain)?.name {
        Some(name) => Ok(writeln!(out, "{name}")?),
        None => bail!("domain {} has no name", target.domain),
    }
}

pub(super) fn rename(options: &Rename, tools: &mut Toolstack) -> Result<()> {
    let domid = tools.find(&options.domain)?.domid();
    Ok(tools.rename(domid, &options.name)?)
}
