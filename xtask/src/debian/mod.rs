//! Debian's arm64 packages: kernel, busybox, Xen and its tools, unpacked under the download cache.
//!
//! They are fetched by the machine's own apt through a private configuration, so that the machine's package
//! database, its architectures and its sources stay as they are.

mod apt;
mod packages;
mod sources;

use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::Kernel;
use crate::process;
use crate::report;
use crate::workspace::{Workspace, make_dir};
use apt::{Archive, PrivateApt};

/// Debian packages, unpacked.
pub struct DebianTree {
    /// The root of all but a kernel of backports: `usr`, `etc`, `boot`...
    pub root: PathBuf,
    /// Which kernel it is.
    pub kernel: Kernel,
    /// The kernel's release, as in `uname -r`.
    pub kernel_release: String,
    /// The root of the kernel's own package.
    kernel_root: PathBuf,
}

impl DebianTree {
    /// Debian's kernel, an uncompressed arm64 `Image`.
    pub fn kernel_image(&self) -> PathBuf {
        self.kernel_root.join(format!("boot/vmlinuz-{}", self.kernel_release))
    }

    /// The folder with the kernel's modules.
    pub fn kernel_modules(&self) -> PathBuf {
        self.kernel_root.join("lib/modules").join(&self.kernel_release).join("kernel")
    }

    /// Debian's Xen, the reference hypervisor.
    pub fn xen(&self) -> PathBuf {
        self.root.join("boot/xen-4.17-arm64")
    }
}

/// Downloads and unpacks what the arm64 images are made of, with the kernel that is wanted; instant when that was done
/// before.
///
/// # Errors
/// When a package cannot be resolved, downloaded or unpacked.
pub fn fetch(workspace: &Workspace, kernel: Kernel) -> Result<DebianTree> {
    let home = make_dir(workspace.cache.join("debian/arm64"))?;
    let root = unpacked(
        &home,
        "Debian's arm64 kernel, Xen and tools (about 70 MB, once)",
        Archive::Release,
        packages::REQUESTED,
    )?;
    let kernel_root = match kernel {
        Kernel::V6_1 => root.clone(),
        Kernel::V6_12 => unpacked(
            &make_dir(home.join("backports"))?,
            "the arm64 kernel of Debian's backports (about 90 MB, once)",
            Archive::Backports,
            packages::BACKPORTS,
        )?,
    };
    let kernel_release = only_kernel(&kernel_root)?;
    if !kernel_release.starts_with(&format!("{kernel}.")) {
        bail!("Linux {kernel} is wanted, Debian has {kernel_release}");
    }
    Ok(DebianTree { root, kernel, kernel_release, kernel_root })
}

/// The root under which these packages are unpacked in `home`; they are fetched when that was not done before.
fn unpacked(home: &Path, what: &str, archive: Archive, names: &[&str]) -> Result<PathBuf> {
    let root = home.join("root");
    let stamp = home.join("unpacked");
    if fs::read_to_string(&stamp).is_ok_and(|done| done == names.join("\n")) {
        return Ok(root);
    }

    let step = report::step(format!("Downloading {what}"));
    let apt = PrivateApt::new(home, archive)?;
    apt.update()?;
    let wanted = names.iter().map(|name| apt.real_package(name)).collect::<Result<Vec<_>>>()?;
    let downloads = home.join("packages");
    remove_if_present(&downloads)?;
    apt.download(&wanted, &make_dir(downloads.clone())?)?;
    step.done();

    let step = report::step("Unpacking them");
    remove_if_present(&root)?;
    unpack_all(&downloads, &make_dir(root.clone())?)?;
    step.done();
    fs::write(&stamp, names.join("\n")).context("cannot write the stamp of unpacked packages")?;
    Ok(root)
}

fn unpack_all(downloads: &Path, root: &Path) -> Result<()> {
    for entry in fs::read_dir(downloads)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            process::run(Command::new("dpkg-deb").arg("--extract").arg(&path).arg(root))?;
        }
    }
    Ok(())
}

/// The release of the one kernel whose modules are under `root`.
fn only_kernel(root: &Path) -> Result<String> {
    let modules = root.join("lib/modules");
    let mut releases = fs::read_dir(&modules)
        .with_context(|| format!("no kernel modules in {}", modules.display()))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<Vec<_>>>()?;
    match (releases.pop(), releases.is_empty()) {
        (Some(release), true) => Ok(release),
        _ => bail!("expected one kernel in {}; `./x clean --all` starts afresh", modules.display()),
    }
}

fn remove_if_present(path: &Path) -> Result<()> {
    if path.exists() {
        fs::remove_dir_all(path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}
