//! Compiles the bare guest that tests run as a DomU and that benchmarks run as a Dom0.

use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;

use super::{flat_image, report_file};
use crate::cargo;
use crate::cli::Arch;
use crate::process;
use crate::report;
use crate::workspace::Workspace;

const NAME: &str = "test_guest";

/// Builds `dist/arm64/test-guest` and hands its path back.
///
/// # Errors
/// When it does not compile, or is no valid Image.
pub fn build(workspace: &Workspace) -> Result<PathBuf> {
    let step = report::step("Building the test guest");
    let mut command = cargo::cargo(workspace);
    command.args(["build", "--quiet", "--release", "--package", NAME]);
    process::run(cargo::for_bare_metal(&mut command, Arch::Arm64))?;
    let program = workspace.target.join(cargo::bare_metal_target(Arch::Arm64)).join("release").join(NAME);
    let bytes = fs::read(&program).with_context(|| format!("cannot read {}", program.display()))?;
    let image = flat_image::from_elf(&bytes).context("the test guest has no valid boot image")?;
    let file = workspace.dist_for(Arch::Arm64)?.join("test-guest");
    fs::write(&file, image).with_context(|| format!("cannot write {}", file.display()))?;
    report_file(workspace, &file)?;
    step.done();
    Ok(file)
}
