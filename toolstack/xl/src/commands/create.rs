//! `create`.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use domain::Toolstack;
use xl_config::{Document, DomainConfig, MAX_CONFIG_BYTES};

use crate::cli::Create;

pub(super) fn create(options: &Create, tools: &mut Toolstack, out: &mut dyn Write) -> Result<()> {
    let config = read(&options.file, &options.settings)?;
    if options.dryrun {
        return Ok(writeln!(out, "{}", config.to_json()?)?);
    }
    let domid = tools.create(&config)?;
    if !options.paused {
        tools.unpause(domid)?;
    }
    if !options.quiet {
        writeln!(
            out,
            "domain {domid} is {} {}",
            config.name,
            if options.paused { "(paused)" } else { "and runs" }
        )?;
    }
    Ok(())
}

/// The configuration with the settings of the command line. What is odd in it goes to standard error.
pub(super) fn read(path: &Path, settings: &[String]) -> Result<DomainConfig> {
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
    let mut document = Document::parse(&name, &bytes)?;
    for setting in settings {
        document.add_override(setting)?;
    }
    let parsed = DomainConfig::from_document(&document)?;
    for warning in &parsed.warnings {
        eprintln!("xl: {warning}");
    }
    Ok(parsed.config)
}
