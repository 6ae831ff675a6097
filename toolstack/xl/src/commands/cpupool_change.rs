//! `cpupool-create` and what else changes CPU pools.

use std::io::Write;

use anyhow::{Context, Result, bail};
use domain::Toolstack;
use xen_ctrl::Bitmap;
use xl_config::{CpuList, Document, Value};

use super::cpupool::scheduler_id;
use super::create::document;
use crate::cli::{CpupoolCpus, CpupoolCreate, CpupoolMigrate, CpupoolRename, CpupoolTarget};

/// What a pool shall be.
#[derive(Default)]
struct Wanted {
    name: Option<String>,
    /// The host's own when it is not said.
    scheduler: Option<u32>,
    /// Any free one when they are not said.
    cpus: Option<Bitmap>,
}

pub(super) fn create(options: &CpupoolCreate, tools: &mut Toolstack, out: &mut dyn Write) -> Result<()> {
    let wanted = read(&options.settings, tools)?;
    let name = wanted.name.context("the pool has no name; add name=...")?;
    let scheduler = match wanted.scheduler {
        Some(scheduler) => scheduler,
        None => tools.ctrl().scheduler()?,
    };
    if options.dryrun {
        return Ok(());
    }
    let pool = tools.create_pool(&name, scheduler, wanted.cpus.as_ref())?;
    Ok(writeln!(out, "CPU pool {pool} is {name}")?)
}

pub(super) fn destroy(options: &CpupoolTarget, tools: &mut Toolstack) -> Result<()> {
    let pool = tools.find_pool(&options.pool)?;
    Ok(tools.destroy_pool(pool.id)?)
}

pub(super) fn rename(options: &CpupoolRename, tools: &mut Toolstack) -> Result<()> {
    let pool = tools.find_pool(&options.pool)?;
    Ok(tools.rename_pool(pool.id, &options.name)?)
}

pub(super) fn add_cpus(options: &CpupoolCpus, tools: &mut Toolstack) -> Result<()> {
    let pool = tools.find_pool(&options.pool)?;
    for cpu in cpus(&options.cpus, tools)?.iter() {
        tools.ctrl().add_cpu(pool.id, Some(cpu)).with_context(|| format!("CPU {cpu}"))?;
    }
    Ok(())
}

pub(super) fn remove_cpus(options: &CpupoolCpus, tools: &mut Toolstack) -> Result<()> {
    let pool = tools.find_pool(&options.pool)?;
    for cpu in cpus(&options.cpus, tools)?.iter() {
        tools.ctrl().remove_cpu(pool.id, Some(cpu)).with_context(|| format!("CPU {cpu}"))?;
    }
    Ok(())
}

pub(super) fn migrate(options: &CpupoolMigrate, tools: &mut Toolstack) -> Result<()> {
    let domain = tools.find(&options.domain)?;
    let pool = tools.find_pool(&options.pool)?;
    Ok(tools.move_to_pool(domain.domid(), pool.id)?)
}

fn cpus(text: &str, tools: &Toolstack) -> Result<Bitmap> {
    let list: CpuList = text.parse()?;
    tools.cpus(&list).map_err(anyhow::Error::msg)
}

/// The settings of a file, if the first word is none itself, and of the other words.
fn read(words: &[String], tools: &Toolstack) -> Result<Wanted> {
    let (file, settings) = match words {
        [file, settings @ ..] if !file.contains('=') => (Some(file), settings),
        _ => (None, words),
    };
    let mut document = match file {
        Some(file) => document(file.as_ref())?,
        None => Document::parse("nothing", b"")?,
    };
    for setting in settings {
        document.add_override(setting)?;
    }
    let mut wanted = Wanted::default();
    for setting in document.settings() {
        let texts = texts(setting.value());
        match (setting.key(), texts.as_slice()) {
            ("name", [name]) => wanted.name = Some((*name).to_owned()),
            ("sched", [name]) => {
                let id =
                    scheduler_id(name).with_context(|| format!("sched: there is no scheduler {name}"))?;
                wanted.scheduler = Some(id);
            }
            ("cpus", texts) => wanted.cpus = Some(cpus(&texts.join(","), tools)?),
            ("name" | "sched", _) => bail!("{} is one string", setting.key()),
            (key, _) => bail!("{key}: a CPU pool has no such key; it has name, sched and cpus"),
        }
    }
    Ok(wanted)
}

/// The strings of a value, be it one or a list.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::Atom(atom) => vec![atom.text()],
        Value::List(list) => list.items().iter().flat_map(texts).collect(),
    }
}
