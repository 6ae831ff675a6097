//! The benchmark's initial file system: its program and the kernel modules of Xen's devices.

use anyhow::Result;
use std::path::{Path, PathBuf};

use super::kernel_modules::KernelModules;
use super::pack;
use super::tree::Tree;
use crate::debian::DebianTree;
use crate::workspace::Workspace;

const MODULES: [&str; 4] = ["xen-privcmd", "xen-evtchn", "xen-gntalloc", "xen-gntdev"];

/// Packs `program` as the only one of a Dom0, and hands the archive's path back.
///
/// # Errors
/// When the program or a module is missing, or the archive cannot be written.
pub fn build(workspace: &Workspace, debian: &DebianTree, program: &Path) -> Result<PathBuf> {
    let mut tree = Tree::new();
    for folder in ["dev", "proc"] {
        tree.folder(folder);
    }
    tree.copy("init", program)?;
    KernelModules::of(debian)?.add(&mut tree, "lib", &MODULES)?;
    // The program does not know the kernel's release.
    tree.link("modules", &format!("lib/modules/{}", debian.kernel_release));
    let home = workspace.cache.join("debian/arm64");
    let file = home.join("bench.cpio.gz");
    pack::pack(&tree, &file, &home.join("bench.contents"))?;
    Ok(file)
}
