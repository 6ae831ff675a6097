//! `./x build`, and what other verbs need built before they boot something.

mod elf32;
mod flat_image;
mod hypervisor;
mod test_guest;
mod tools;

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::{Arch, BuildOptions, Hypervisor, Kernel};
use crate::debian;
use crate::image;
use crate::report;
use crate::unbuilt;
use crate::workspace::Workspace;

pub use hypervisor::build as hypervisor_image;
pub use test_guest::build as test_guest;
pub use tools::{Tools, build as tools};

/// The three files that a machine boots.
#[derive(Clone, Debug)]
pub struct BootFiles {
    /// The hypervisor, in the form the machine's loader wants.
    pub hypervisor: PathBuf,
    /// Dom0's kernel.
    pub kernel: PathBuf,
    /// Dom0's compressed initial file system.
    pub initrd: PathBuf,
}

/// `./x build`.
pub fn build_verb(workspace: &Workspace, options: &BuildOptions) -> Result<()> {
    let cpus = options.arch.map_or_else(|| vec![Arch::Arm64, Arch::Amd64], |arch| vec![arch]);
    for arch in &cpus {
        hypervisor_image(workspace, *arch)?;
    }
    if !options.hypervisor_only && cpus.contains(&Arch::Arm64) {
        let debian = debian::fetch(workspace, Kernel::V6_1)?;
        reference_files(workspace, &debian)?;
        dom0_image(workspace, &debian, Arch::Arm64)?;
    }
    Ok(())
}

/// Builds and gathers what a boot of `hypervisor` needs, with Linux `kernel` in Dom0 and DomUs.
///
/// # Errors
/// When something cannot be built or fetched, or the combination is not built yet.
pub fn boot_files(
    workspace: &Workspace,
    arch: Arch,
    hypervisor: Hypervisor,
    kernel: Kernel,
) -> Result<BootFiles> {
    if arch != Arch::Arm64 {
        return Err(unbuilt::combination("booting a Dom0 on amd64"));
    }
    let ours = match hypervisor {
        Hypervisor::Ours => Some(hypervisor_image(workspace, arch)?),
        Hypervisor::Debian => None,
    };
    let debian = debian::fetch(workspace, kernel)?;
    let reference = reference_files(workspace, &debian)?;
    let initrd = dom0_image(workspace, &debian, arch)?;
    Ok(BootFiles { hypervisor: ours.unwrap_or(reference.xen), kernel: reference.kernel, initrd })
}

/// The name of a result that depends on the kernel; that of the usual kernel is not in it.
pub fn name_for(stem: &str, kernel: Kernel, extension: &str) -> String {
    match kernel {
        Kernel::V6_1 => format!("{stem}{extension}"),
        Kernel::V6_12 => format!("{stem}-{kernel}{extension}"),
    }
}

/// Builds what is ours in the Dom0 image, and packs it.
fn dom0_image(workspace: &Workspace, debian: &debian::DebianTree, arch: Arch) -> Result<PathBuf> {
    image::dom0(workspace, debian, &tools(workspace, arch)?, &test_guest(workspace)?)
}

struct ReferenceFiles {
    kernel: PathBuf,
    xen: PathBuf,
}

/// Puts Debian's kernel and Xen under `dist/` too, so that everything bootable is in one place.
fn reference_files(workspace: &Workspace, debian: &debian::DebianTree) -> Result<ReferenceFiles> {
    let dist = workspace.dist_for(Arch::Arm64)?;
    let kernel = copy_if_newer(&debian.kernel_image(), &dist.join(name_for("vmlinuz", debian.kernel, "")))?;
    let xen = copy_if_newer(&debian.xen(), &dist.join("xen-4.17"))?;
    Ok(ReferenceFiles { kernel, xen })
}

fn copy_if_newer(from: &Path, to: &Path) -> Result<PathBuf> {
    let stamp = |path: &Path| fs::metadata(path).and_then(|meta| Ok((meta.len(), meta.modified()?)));
    let (size, changed) = stamp(from).with_context(|| format!("{} is missing", from.display()))?;
    let current = stamp(to).is_ok_and(|(old_size, old_change)| old_size == size && old_change >= changed);
    if !current {
        fs::copy(from, to).with_context(|| format!("cannot write {}", to.display()))?;
    }
    Ok(to.to_owned())
}

/// Reports a built file with its size.
fn report_file(workspace: &Workspace, file: &Path) -> Result<()> {
    let size = fs::metadata(file)?.len();
    report::note(format!("{} ({size} bytes)", workspace.show(file)));
    Ok(())
}
