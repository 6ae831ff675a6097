//! Compiles the hypervisor and puts it into the form that boot loaders take.

use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;

use super::{elf32, flat_image, report_file};
use crate::cargo;
use crate::cli::Arch;
use crate::process;
use crate::report;
use crate::workspace::Workspace;

/// Builds `dist/ARCH/xenoxide` and hands its path back.
///
/// # Errors
/// When it does not compile, or its image has not the form that the CPU's boot protocol asks for.
pub fn build(workspace: &Workspace, arch: Arch) -> Result<PathBuf> {
    let step = report::step(format!("Building the hypervisor for {arch}"));
    let program = compile(workspace, arch)?;
    let bytes = fs::read(&program).with_context(|| format!("cannot read {}", program.display()))?;
    let image = match arch {
        Arch::Arm64 => {
            flat_image::from_elf(&bytes).context("the arm64 hypervisor has no valid boot image")?
        }
        Arch::Amd64 => elf32::from_elf64(&bytes).context("the amd64 hypervisor has no valid boot image")?,
    };
    let file = workspace.dist_for(arch)?.join("xenoxide");
    fs::write(&file, image).with_context(|| format!("cannot write {}", file.display()))?;
    report_file(workspace, &file)?;
    step.done();
    Ok(file)
}

fn compile(workspace: &Workspace, arch: Arch) -> Result<PathBuf> {
    let name = cargo::image_crate(arch);
    let mut command = cargo::cargo(workspace);
    command.args(["build", "--quiet", "--release", "--package", name]);
    // All of the image lies within 1 MiB, which the linker makes sure of: any address takes one instruction.
    command.env("CARGO_TARGET_AARCH64_UNKNOWN_NONE_SOFTFLOAT_RUSTFLAGS", "-C code-model=tiny");
    process::run(cargo::for_bare_metal(&mut command, arch))?;
    Ok(workspace.target.join(cargo::bare_metal_target(arch)).join("release").join(name))
}
