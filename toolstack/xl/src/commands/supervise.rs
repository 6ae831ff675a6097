//! `supervise`: starting what looks after domains, and being it.

use std::io::Write;
use std::time::SystemTime;

use anyhow::{Context, Result};
use domain::Toolstack;
use rustix::io::Errno;
use xenconsoled::log::{Log, LogStyle};
use xl_config::Uuid;

use crate::Outside;
use crate::cli::Supervise;

/// How the log of a supervisor is written: a domain that reboots for ever does not fill the disk.
const STYLE: LogStyle = LogStyle { timestamps: true, replace_escape: true, max_size: 1 << 20, keep: 1 };

pub(super) fn supervise(
    options: &Supervise,
    tools: &mut Toolstack,
    out: &mut dyn Write,
    outside: &dyn Outside,
) -> Result<()> {
    let Some(uuid) = options.uuid else { return start_missing(tools, out, outside) };
    let Some(path) = &options.log else { return look_after(uuid, tools, outside) };
    match rustix::process::setsid() {
        // It leads a session or a group already, when it was started by hand.
        Ok(_) | Err(Errno::PERM) => {}
        Err(errno) => return Err(errno).context("cannot leave the terminal"),
    }
    let mut log =
        Log::open(path.clone(), STYLE).with_context(|| format!("cannot write {}", path.display()))?;
    let mut say = |line: &str| {
        // A full disk is no reason to leave the domain alone.
        let _ = log.append(format!("{line}\n").as_bytes(), SystemTime::now(), |_| Ok(()));
    };
    let done = tools.supervise(uuid, outside.supervisors(), &mut say);
    say(&match &done {
        Ok(()) => "nothing is left to be done".to_owned(),
        Err(error) => format!("giving up: {error}"),
    });
    Ok(done?)
}

/// Starts the supervisors that are missing.
pub(super) fn start_missing(tools: &mut Toolstack, out: &mut dyn Write, outside: &dyn Outside) -> Result<()> {
    for (uuid, name) in tools.without_supervisor(outside.supervisors())? {
        outside.start_supervisor(uuid, &name)?;
        writeln!(out, "domain {name} is looked after")?;
    }
    Ok(())
}

/// Looks after a domain in the foreground.
pub(super) fn look_after(uuid: Uuid, tools: &mut Toolstack, outside: &dyn Outside) -> Result<()> {
    Ok(tools.supervise(uuid, outside.supervisors(), &mut |line| eprintln!("xl: {line}"))?)
}
