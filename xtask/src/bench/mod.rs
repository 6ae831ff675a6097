//! `./x bench`: how many instructions the hypervisor executes for each operation, ours and Debian's Xen side by side.
//!
//! QEMU executes one instruction per nanosecond of virtual time, so that every run takes the same path. Its plugin
//! `tests/insn_count` counts; `guests/bench`, alone in a Dom0, executes the operations between markers. [`boot`] runs
//! both, [`counts`] turns their output into numbers per operation, [`table`] prints them, and [`profile`] says which
//! functions a row's instructions are in.

mod boot;
mod counts;
mod dom0;
mod domains;
mod profile;
mod table;
mod tools;

use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

use crate::build::{self, BootFiles};
use crate::cargo;
use crate::cli::{Arch, BenchOptions, Hypervisor, Kernel, Rows, Tools};
use crate::debian;
use crate::image;
use crate::process;
use crate::report;
use crate::unbuilt;
use crate::workspace::Workspace;
use boot::Files;
use counts::Counts;
use dom0::Stack;

/// Measures and prints.
///
/// # Errors
/// When something cannot be built or booted, or a row could not be measured.
pub fn bench(workspace: &Workspace, options: &BenchOptions) -> Result<()> {
    if options.arch != Arch::Arm64 {
        return Err(unbuilt::combination("counting instructions on amd64"));
    }
    let plugin = plugin(workspace)?;
    if options.wants_rows(Rows::Hypervisor) {
        hypervisor_rows(workspace, options, &plugin)?;
    }
    if options.wants_rows(Rows::Tools) {
        let [ours, debian] = whole_stacks(workspace, options, "of the tools", |files, stack| {
            tools::run(workspace, &plugin, files, stack)
        })?;
        table::print_tools(ours.as_ref(), debian.as_ref());
    }
    if options.wants_rows(Rows::Domains) {
        let [ours, debian] = whole_stacks(workspace, options, "for DomUs", |files, stack| {
            domains::run(workspace, &plugin, files, stack)
        })?;
        table::print_domains(ours.as_ref(), debian.as_ref());
    }
    Ok(())
}

/// The operations of the hypervisor.
fn hypervisor_rows(workspace: &Workspace, options: &BenchOptions, plugin: &Path) -> Result<()> {
    let profiled = options.profile.as_deref().map(table::row_number).transpose()?;
    let debian = debian::fetch(workspace, Kernel::V6_1)?;
    let initrd = image::bench(workspace, &debian, &program(workspace)?)?;
    let bare = build::test_guest(workspace)?;

    let mut measured = Vec::new();
    for hypervisor in [Hypervisor::Ours, Hypervisor::Debian] {
        if !options.wants(hypervisor) {
            continue;
        }
        let image = match hypervisor {
            Hypervisor::Ours => build::hypervisor_image(workspace, options.arch)?,
            Hypervisor::Debian => debian.xen(),
        };
        let files = Files {
            plugin: plugin.to_owned(),
            hypervisor: image,
            kernel: debian.kernel_image(),
            initrd: initrd.clone(),
        };
        let step = report::step(format!("Counting instructions on {hypervisor}"));
        let mut counts = boot::run(workspace, hypervisor, &files, profiled)?;
        boot::add_bare(workspace, hypervisor, &files, &bare, profiled, &mut counts)?;
        step.done();
        measured.push((hypervisor, counts));
    }
    let find =
        |wanted| measured.iter().find(|(hypervisor, _)| *hypervisor == wanted).map(|(_, counts)| counts);
    let (ours, xen) = (find(Hypervisor::Ours), find(Hypervisor::Debian));
    table::print(ours, xen);
    if let (Some(row), Some(ours)) = (profiled, ours) {
        profile::print(&hypervisor_program(workspace, options.arch), ours, row)?;
    }
    let failures: Vec<_> =
        measured.iter().flat_map(|(hypervisor, counts)| failures(*hypervisor, counts)).collect();
    if !failures.is_empty() {
        bail!("not everything could be measured: {}", failures.join("; "));
    }
    Ok(())
}

/// What is measured with a whole Dom0, by our tools on our hypervisor and by Debian's on Debian's, where wanted.
fn whole_stacks<T>(
    workspace: &Workspace,
    options: &BenchOptions,
    what: &str,
    run: impl Fn(BootFiles, Stack) -> Result<T>,
) -> Result<[Option<T>; 2]> {
    let measure = |hypervisor, tools| -> Result<Option<T>> {
        if !options.wants(hypervisor) {
            return Ok(None);
        }
        let files = build::boot_files(workspace, options.arch, hypervisor, Kernel::V6_1)?;
        let step = report::step(format!("Counting instructions {what}: {tools} on {hypervisor}"));
        let measured = run(files, Stack { hypervisor, tools })?;
        step.done();
        Ok(Some(measured))
    };
    Ok([measure(Hypervisor::Ours, Tools::Ours)?, measure(Hypervisor::Debian, Tools::Debian)?])
}

fn failures(hypervisor: Hypervisor, counts: &Counts) -> Vec<String> {
    counts.failures.iter().map(|failure| format!("{failure} on {hypervisor}")).collect()
}

/// Builds the plugin.
fn plugin(workspace: &Workspace) -> Result<PathBuf> {
    let step = report::step("Building the counting plugin and the benchmark program");
    process::run(cargo::cargo(workspace).args(["build", "--quiet", "--release", "--package", "insn_count"]))?;
    step.done();
    Ok(workspace.target.join("release/libinsn_count.so"))
}

/// Builds the program.
fn program(workspace: &Workspace) -> Result<PathBuf> {
    let mut command = cargo::cargo(workspace);
    command.args(["build", "--quiet", "--release", "--package", "bench_guest"]);
    process::run(cargo::for_bare_metal(&mut command, Arch::Arm64))?;
    Ok(workspace.target.join(cargo::bare_metal_target(Arch::Arm64)).join("release/bench_guest"))
}

/// The hypervisor's file with symbols, as the compiler left it.
fn hypervisor_program(workspace: &Workspace, arch: Arch) -> PathBuf {
    workspace.target.join(cargo::bare_metal_target(arch)).join("release").join(cargo::image_crate(arch))
}
