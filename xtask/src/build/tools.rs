//! Compiles our toolstack for Dom0: static programs that run on any Linux.

use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;

use super::report_file;
use crate::cargo;
use crate::cli::Arch;
use crate::process;
use crate::report;
use crate::workspace::Workspace;

/// The profile in the workspace's Cargo.toml.
const PROFILE: &str = "tools";
/// The programs, with the crate that each is in.
const PROGRAMS: [(&str, &str); 3] =
    [("xenstored", "xenstored"), ("xenstore", "xenstore_tools"), ("xenconsoled", "xenconsoled")];

/// Builds `dist/ARCH/bin/*` and hands the files' paths back.
///
/// # Errors
/// When something does not compile.
pub fn build(workspace: &Workspace, arch: Arch) -> Result<Vec<PathBuf>> {
    let step = report::step(format!("Building the tools for {arch}"));
    let mut command = cargo::cargo(workspace);
    command.args(["build", "--quiet", "--profile", PROFILE]);
    for (_, package) in PROGRAMS {
        command.args(["--package", package]);
    }
    process::run(cargo::for_linux(&mut command, arch))?;
    let from = workspace.target.join(cargo::linux_target(arch)).join(PROFILE);
    let folder = workspace.dist_for(arch)?.join("bin");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut files = Vec::new();
    for (program, _) in PROGRAMS {
        let file = folder.join(program);
        fs::copy(from.join(program), &file).with_context(|| format!("cannot write {}", file.display()))?;
        report_file(workspace, &file)?;
        files.push(file);
    }
    step.done();
    Ok(files)
}
