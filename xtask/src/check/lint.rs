//! Format and lints, with Debian's own tools.

use anyhow::Result;
use std::process::Command;

use super::own_packages;
use crate::cargo;
use crate::cli::Arch;
use crate::process;
use crate::workspace::Workspace;

/// Every target's module tree is as rustfmt writes it.
pub fn format(workspace: &Workspace) -> Result<()> {
    let mut command = Command::new("/usr/bin/rustfmt");
    command.current_dir(&workspace.root).args(["--check", "--edition", "2024"]);
    for package in own_packages(workspace)? {
        command.args(package.targets.iter().map(|target| &target.src_path));
    }
    process::run(&mut command)
}

/// Crates that build for the host, tests included, without a warning.
pub fn host(workspace: &Workspace) -> Result<()> {
    let mut command = cargo::clippy(workspace);
    command.args(["--quiet", "--workspace", "--all-targets"]);
    for name in cargo::BARE_METAL_ONLY {
        command.args(["--exclude", name]);
    }
    process::run(command.args(["--", "--deny", "warnings"]))
}

/// A CPU's hypervisor and the crates in it, without a warning.
pub fn bare_metal(workspace: &Workspace, arch: Arch) -> Result<()> {
    let mut command = cargo::clippy(workspace);
    command.args(["--quiet", "--release", "--package", cargo::image_crate(arch)]);
    cargo::for_bare_metal(&mut command, arch);
    process::run(command.args(["--", "--deny", "warnings"]))
}
