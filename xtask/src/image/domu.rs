//! The demo DomU's initramfs: busybox and the frontends' kernel modules.

use anyhow::Result;
use std::path::Path;

use super::kernel_modules::KernelModules;
use super::tree::Tree;
use crate::debian::DebianTree;

const MODULES: [&str; 5] = ["crc32c_generic", "ext4", "xen-blkfront", "xen-netfront", "xen-wdt"];

/// The DomU's file tree; `data` is the folder with its scripts.
pub fn tree(debian: &DebianTree, modules: &KernelModules, data: &Path) -> Result<Tree> {
    let mut tree = Tree::new();
    for folder in ["bin", "dev", "mnt", "proc", "run", "sbin", "sys", "tmp", "usr/bin", "usr/sbin"] {
        tree.folder(folder);
    }
    tree.copy("bin/busybox", &debian.root.join("bin/busybox"))?;
    tree.link("init", "bin/busybox");
    modules.add(&mut tree, "lib", &MODULES)?;
    tree.copy_all("", data)?;
    Ok(tree)
}
