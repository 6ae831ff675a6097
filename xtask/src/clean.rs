//! `./x clean`: removes what the other verbs made.

use anyhow::{Context, Result};
use std::fs;

use crate::cli::CleanOptions;
use crate::report;
use crate::workspace::Workspace;

/// Removes build output and results; the download cache only when asked.
pub fn clean(workspace: &Workspace, options: &CleanOptions) -> Result<()> {
    let mut folders = vec![&workspace.target, &workspace.dist];
    if options.all {
        folders.push(&workspace.cache);
    }
    for folder in folders {
        if folder.exists() {
            report::note(format!("removing {}", workspace.show(folder)));
            fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
    }
    Ok(())
}
