//! The verbs.

mod block;
mod config_update;
mod console;
mod cpupool;
mod cpupool_change;
mod create;
mod host;
mod info;
mod life;
pub(crate) mod list;
mod network;
mod sched;
mod supervise;
mod uptime;
mod vcpu;

use std::io::Write;

use anyhow::Result;
use domain::{Domain, DomainError, Toolstack};
use serde::Serialize;

use crate::{Outside, Verb, top};

/// Does what the command line says. What people read goes to `out`.
///
/// # Errors
/// One that says in a line what is wrong and what to do.
pub fn run(verb: &Verb, tools: &mut Toolstack, out: &mut dyn Write, outside: &dyn Outside) -> Result<()> {
    match verb {
        Verb::List(options) => list::list(options, tools, out),
        Verb::Info(options) => info::info(options, tools, out),
        Verb::Create(options) => create::create(options, tools, out, outside),
        Verb::Console(options) => console::console(options, tools, outside),
        Verb::InitDom0 => {
            tools.name_dom0()?;
            supervise::start_missing(tools, out, outside)
        }
        Verb::Supervise(options) => supervise::supervise(options, tools, out, outside),
        Verb::Destroy(options) => life::destroy(options, tools),
        Verb::Shutdown(options) => life::ask(options, life::SHUTDOWN, tools),
        Verb::Reboot(options) => life::ask(options, life::REBOOT, tools),
        Verb::Pause(target) => life::pause(target, tools),
        Verb::Unpause(target) => life::unpause(target, tools),
        Verb::Domid(target) => list::domid(target, tools, out),
        Verb::Domname(target) => list::domname(target, tools, out),
        Verb::Rename(options) => list::rename(options, tools),
        Verb::VcpuList(options) => vcpu::list(options, tools, out),
        Verb::VcpuPin(options) => vcpu::pin(options, tools),
        Verb::VcpuSet(options) => vcpu::set(options, tools),
        Verb::MemSet(options) => life::set_memory(options, tools),
        Verb::MemMax(options) => life::set_memory_max(options, tools),
        Verb::Dmesg(options) => host::dmesg(options, tools, out),
        Verb::Top(options) => top::top(options, tools, out, outside),
        Verb::Uptime(options) => uptime::uptime(options, tools, out),
        Verb::SchedCredit2(options) => sched::credit2(options, tools, out),
        Verb::CpupoolList(options) => cpupool::list(options, tools, out),
        Verb::CpupoolCreate(options) => cpupool_change::create(options, tools, out),
        Verb::CpupoolDestroy(options) => cpupool_change::destroy(options, tools),
        Verb::CpupoolRename(options) => cpupool_change::rename(options, tools),
        Verb::CpupoolCpuAdd(options) => cpupool_change::add_cpus(options, tools),
        Verb::CpupoolCpuRemove(options) => cpupool_change::remove_cpus(options, tools),
        Verb::CpupoolMigrate(options) => cpupool_change::migrate(options, tools),
        Verb::BlockAttach(options) => block::attach(options, tools),
        Verb::BlockDetach(options) => block::detach(options, tools),
        Verb::BlockList(options) => block::list(options, tools, out),
        Verb::NetworkAttach(options) => network::attach(options, tools),
        Verb::NetworkDetach(options) => network::detach(options, tools),
        Verb::NetworkList(options) => network::list(options, tools, out),
        Verb::ConfigUpdate(options) => config_update::update(options, tools),
        Verb::DebugKeys(options) => host::debug_keys(options, tools),
        Verb::Sysrq(options) => host::sysrq(options, tools),
        Verb::Trigger(options) => host::trigger(options, tools),
        Verb::Completion(options) => options.write(out),
    }
}

/// What is said of an error: what went wrong, and why. Those of the toolstack say in their line what caused them.
pub fn message(error: &anyhow::Error) -> String {
    let mut parts = Vec::new();
    for part in error.chain() {
        parts.push(part.to_string());
        if part.is::<DomainError>() {
            break;
        }
    }
    parts.join(": ")
}

/// The domain's name for a column.
fn title(domain: &Domain) -> &str {
    domain.name.as_deref().unwrap_or("(null)")
}

/// A number for a column; -1 when there is none.
fn number(value: Option<u32>) -> String {
    value.map_or("-1".to_owned(), |value| value.to_string())
}

pub(crate) fn print_json(out: &mut dyn Write, value: &impl Serialize) -> Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    Ok(writeln!(out)?)
}
