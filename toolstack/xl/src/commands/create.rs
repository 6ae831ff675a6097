//! `create`.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use domain::Toolstack;
use xen_dev::Domid;
use xl_config::{Document, DomainConfig, MAX_CONFIG_BYTES, Uuid};

use super::supervise;
use crate::Outside;
use crate::cli::Create;

pub(super) fn create(
    options: &Create,
    tools: &mut Toolstack,
    out: &mut dyn Write,
    outside: &dyn Outside,
) -> Result<()> {
    let config = read(&options.file, &options.settings)?;
    if options.dryrun {
        return Ok(writeln!(out, "{}", config.to_json()?)?);
    }
    let domid = tools.create(&config)?;
    // Before it can end.
    let uuid = match care(options, domid, &config.name, tools, outside) {
        Ok(uuid) => uuid,
        Err(error) => {
            return Err(match tools.destroy(domid) {
                Ok(()) => error,
                Err(undo) => error.context(format!("domain {domid} is left: {undo}")),
            });
        }
    };
    if options.console {
        return run_on_console(domid, options.paused, tools, outside);
    }
    if !options.paused {
        tools.unpause(domid).with_context(|| format!("domain {domid} is there, but paused"))?;
    }
    if !options.quiet {
        let state = if options.paused { "(paused)" } else { "and runs" };
        writeln!(out, "domain {domid} is {} {state}", config.name)?;
        out.flush()?;
    }
    if options.foreground { supervise::look_after(uuid, tools, outside) } else { Ok(()) }
}

/// Has somebody look after a new domain, or nobody, as it is wanted. Gives its UUID.
fn care(
    options: &Create,
    domid: Domid,
    name: &str,
    tools: &mut Toolstack,
    outside: &dyn Outside,
) -> Result<Uuid> {
    let uuid = tools.domain(domid)?.uuid();
    if options.unsupervised {
        tools.leave_unsupervised(domid)?;
    } else if !options.foreground {
        outside.start_supervisor(uuid, name)?;
    }
    Ok(uuid)
}

/// Lets a domain run when its console is attached, so that its first output is seen. It runs too if that fails.
fn run_on_console(domid: Domid, paused: bool, tools: &mut Toolstack, outside: &dyn Outside) -> Result<()> {
    let mut is_done = paused;
    let mut run = || -> Result<()> {
        if !is_done {
            is_done = true;
            tools.unpause(domid)?;
        }
        Ok(())
    };
    let attached = outside.attach(domid, None, 0, &mut run);
    run()?;
    attached.with_context(|| format!("domain {domid} is there, but not on this terminal"))
}

/// The configuration with the settings of the command line. What is odd in it goes to standard error.
pub(super) fn read(path: &Path, settings: &[String]) -> Result<DomainConfig> {
    let mut document = document(path)?;
    for setting in settings {
        document.add_override(setting)?;
    }
    let parsed = DomainConfig::from_document(&document)?;
    for warning in &parsed.warnings {
        eprintln!("xl: {warning}");
    }
    Ok(parsed.config)
}

/// The settings in a file.
pub(super) fn document(path: &Path) -> Result<Document> {
    let name = path.display().to_string();
    let mut bytes = Vec::new();
    // Opening a pipe would wait for a writer.
    if !std::fs::metadata(path).with_context(|| format!("cannot read {name}"))?.is_file() {
        bail!("{name} is not a regular file");
    }
    let file = File::open(path).with_context(|| format!("cannot read {name}"))?;
    // One byte more than there may be is enough for the parser to say so.
    file.take(MAX_CONFIG_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot read {name}"))?;
    Ok(Document::parse(&name, &bytes)?)
}
