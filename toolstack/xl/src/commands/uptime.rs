//! `uptime`.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use domain::{Domain, Toolstack};
use rustix::system::sysinfo;
use xen_dev::Domid;

use super::title;
use crate::cli::Uptime;
use crate::format::duration;

pub(super) fn uptime(options: &Uptime, tools: &mut Toolstack, out: &mut dyn Write) -> Result<()> {
    let domains: Vec<Domain> = match options.domains.as_slice() {
        [] => tools.domains()?,
        some => some.iter().map(|domain| tools.find(domain)).collect::<Result<_, _>>()?,
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_secs();
    if !options.short {
        writeln!(out, "{:<33} {:>4} Uptime", "Name", "ID")?;
    }
    for domain in &domains {
        let seconds = if domain.domid() == Domid::DOM0 {
            u64::try_from(sysinfo().uptime).unwrap_or(0)
        } else {
            match tools.start_time(domain.uuid())? {
                Some(start) => now.saturating_sub(start),
                // Tools of another kind made it.
                None => continue,
            }
        };
        let (name, domid) = (title(domain), domain.domid());
        if options.short {
            let time = now % 86_400;
            let time = format!("{:02}:{:02}:{:02}", time / 3600, time / 60 % 60, time % 60);
            writeln!(out, " {time} up {}, {name} ({domid})", duration(seconds, true))?;
        } else {
            writeln!(out, "{name:<33} {domid:>4} {}", duration(seconds, false))?;
        }
    }
    Ok(())
}
