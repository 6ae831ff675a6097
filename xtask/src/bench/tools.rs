//! The tools' rows: instructions of hypervisor, kernel and user space that Dom0's tools cost on one CPU.

use anyhow::Result;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::dom0::{CountedDom0, Stack};
use crate::build::BootFiles;
use crate::image;
use crate::workspace::Workspace;

/// Memory of the machine in MiB: enough for all paused domains.
const MEMORY: u32 = 10 * 1024;
/// The last of the paused domains, which shall cost what the first did.
const DOMAINS: u32 = 100;
/// For all rows; creating the paused domains takes longest.
const TIME: Duration = Duration::from_secs(3600);

/// Instructions per operation, by the rows' names.
pub type Totals = BTreeMap<String, f64>;

/// Runs all rows.
///
/// # Errors
/// When the machine does not get through, or what it printed makes no sense.
pub fn run(workspace: &Workspace, plugin: &Path, files: BootFiles, stack: Stack) -> Result<Totals> {
    let counted = CountedDom0::boot(workspace, "tools", plugin, files, stack, MEMORY)?;
    let costs =
        counted.measure(|dom0| dom0.run_for(&format!("/{} tools {DOMAINS}", image::COUNTING), TIME))?;
    Ok(costs.into_iter().map(|(name, cost)| (name, cost.total)).collect())
}
