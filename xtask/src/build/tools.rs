//! Compiles our toolstack for Dom0: static programs that run on any Linux.

use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::{copy_if_newer, report_file};
use crate::cargo;
use crate::cli::Arch;
use crate::process;
use crate::report;
use crate::workspace::Workspace;

/// The profile in the workspace's Cargo.toml.
const PROFILE: &str = "tools";
/// The programs, with the crate that each is in.
const PROGRAMS: [(&str, &str); 5] = [
    ("xl", "xl"),
    ("xenstored", "xenstored"),
    ("xenstore", "xenstore_tools"),
    ("xenconsoled", "xenconsoled"),
    ("xenconsole", "xenconsoled"),
];
/// What counts the tools' instructions, which is not one of them.
const COUNTING: &str = "tools_bench";

/// Static programs for Dom0.
pub struct Tools {
    /// Our tools, in `dist/ARCH/bin`.
    pub programs: Vec<PathBuf>,
    /// The program that `./x bench` runs in Dom0.
    pub counting: PathBuf,
}

/// Builds `dist/ARCH/bin/*`, and what counts their instructions.
///
/// # Errors
/// When something does not compile.
pub fn build(workspace: &Workspace, arch: Arch) -> Result<Tools> {
    let step = report::step(format!("Building the tools for {arch}"));
    let mut command = cargo::cargo(workspace);
    command.args(["build", "--quiet", "--profile", PROFILE]);
    let packages: BTreeSet<&str> = PROGRAMS.iter().map(|(_, package)| *package).chain([COUNTING]).collect();
    for package in packages {
        command.args(["--package", package]);
    }
    process::run(cargo::for_linux(&mut command, arch))?;
    let from = workspace.target.join(cargo::linux_target(arch)).join(PROFILE);
    let folder = workspace.dist_for(arch)?.join("bin");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut programs = Vec::new();
    for (program, _) in PROGRAMS {
        let file = folder.join(program);
        copy_if_newer(&from.join(program), &file)?;
        report_file(workspace, &file)?;
        programs.push(file);
    }
    step.done();
    Ok(Tools { programs, counting: from.join(COUNTING) })
}
