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

use crate::process;
use crate::report;
use crate::workspace::{Workspace, make_dir};
use apt::PrivateApt;

/// Debian packages unpacked into one tree.
pub struct DebianTree {
    /// The tree's root: `usr`, `etc`, `boot`...
    pub root: PathBuf,
    /// The kernel's release, as in `uname -r`.
    pub kernel_release: String,
}

impl DebianTree {
    /// Debian's kernel, an uncompressed arm64 `Image`.
    pub fn kernel(&self) -> PathBuf {
        self.root.join(format!("boot/vmlinuz-{}", self.kernel_release))
    }

    /// Debian's Xen, the reference hypervisor.
    pub fn xen(&self) -> PathBuf {
        self.root.join("boot/xen-4.17-arm64")
    }
}

/// Downloads and unpacks what the arm64 images are made of; instant when that was done before.
///
/// # Errors
/// When a package cannot be resolved, downloaded or unpacked.
pub fn fetch(workspace: &Workspace) -> Result<DebianTree> {
    let home = make_dir(workspace.cache.join("debian/arm64"))?;
    let root = home.join("root");
    let stamp = home.join("unpacked");
    if fs::read_to_string(&stamp).is_ok_and(|done| done == packages::REQUESTED.join("\n")) {
        return tree(root);
    }

    let step = report::step("Downloading Debian's arm64 kernel, Xen and tools (about 70 MB, once)");
    let apt = PrivateApt::new(&home)?;
    apt.update()?;
    let wanted = packages::REQUESTED.iter().map(|name| apt.real_package(name)).collect::<Result<Vec<_>>>()?;
    let downloads = home.join("packages");
    remove_if_present(&downloads)?;
    apt.download(&wanted, &make_dir(downloads.clone())?)?;
    step.done();

    let step = report::step("Unpacking them");
    remove_if_present(&root)?;
    unpack_all(&downloads, &make_dir(root.clone())?)?;
    step.done();
    let tree = tree(root)?;
    fs::write(&stamp, packages::REQUESTED.join("\n"))
        .context("cannot write the stamp of unpacked packages")?;
    Ok(tree)
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

fn tree(root: PathBuf) -> Result<DebianTree> {
    let modules = root.join("lib/modules");
    let mut releases = fs::read_dir(&modules)
        .with_context(|| format!("no kernel modules in {}", modules.display()))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<Vec<_>>>()?;
    match (releases.pop(), releases.is_empty()) {
        (Some(kernel_release), true) => Ok(DebianTree { root, kernel_release }),
        _ => bail!("expected one kernel in {}; `./x clean --all` starts afresh", modules.display()),
    }
}

fn remove_if_present(path: &Path) -> Result<()> {
    if path.exists() {
        fs::remove_dir_all(path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}
