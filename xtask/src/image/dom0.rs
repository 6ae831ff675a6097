//! The Dom0 image: busybox, our tools, Debian's Xen tools with the libraries and scripts they need, kernel modules, and
//! the demo DomU's kernel and initramfs, and the test guest.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

use super::kernel_modules::KernelModules;
use super::tree::Tree;
use super::{domu, libraries, pack};
use crate::build::{Tools, name_for};
use crate::cli::Arch;
use crate::debian::DebianTree;
use crate::report;
use crate::workspace::Workspace;

/// Where Debian keeps the programs that belong to one version of Xen.
const XEN_PROGRAMS: &str = "usr/lib/xen-4.17/bin";

/// Programs in [`XEN_PROGRAMS`], each also linked from `usr/sbin`, where Debian has a wrapper that picks the version.
const TOOLS: [&str; 9] = [
    "xl",
    "oxenstored",
    "xenstored",
    "xenconsoled",
    "xenconsole",
    "xen-init-dom0",
    "libxl-save-helper",
    "xenpm",
    "xenwatchdogd",
];

/// Other programs, by their path in Debian's packages.
const PROGRAMS: [&str; 5] =
    ["bin/busybox", "bin/bash", "usr/bin/flock", "usr/bin/script", "usr/bin/xenstore"];

/// `xenstore` is one program that acts by the name it is called by: `xenstore-ACTION`.
const STORE_ACTIONS: [&str; 8] = ["chmod", "exists", "list", "ls", "read", "rm", "watch", "write"];

const MODULES: [&str; 11] = [
    "xen-privcmd",
    "xenfs",
    "xen-evtchn",
    "xen-gntdev",
    "xen-gntalloc",
    "xen-blkback",
    "xen-netback",
    "bridge",
    "loop",
    "ext4",
    "crc32c_generic",
];

const EMPTY_FOLDERS: [&str; 11] =
    ["dev", "mnt", "proc", "root", "run", "sys", "tmp", "usr/bin", "usr/sbin", "var/lib/xen", "var/log/xen"];

/// Where our tools are; the start-up script puts them in the place of Debian's when it is told to.
const OUR_PROGRAMS: &str = "usr/lib/xenoxide/bin";
/// Where the program is that runs tools to have their instructions counted.
pub const COUNTING: &str = "usr/lib/xenoxide/tools-bench";

/// Makes `dom0.cpio.gz`, with `tools` of ours and the test guest's Image, and hands its path back.
///
/// # Errors
/// When a program, library or module is not in the fetched packages.
pub fn build(
    workspace: &Workspace,
    debian: &DebianTree,
    tools: &Tools,
    test_guest: &Path,
) -> Result<PathBuf> {
    let step = report::step("Packing the Dom0 image");
    let tests = workspace.root.join("tests");
    let modules = KernelModules::of(debian)?;
    let home = workspace.cache.join("debian/arm64");
    let named = |stem: &str, extension: &str| name_for(stem, debian.kernel, extension);
    let guest = home.join(named("domu", ".cpio.gz"));
    let guest_tree = domu::tree(debian, &modules, &tests.join("domu"))?;
    pack::pack(&guest_tree, &guest, &home.join(named("domu", ".contents")))?;

    let file = workspace.dist_for(Arch::Arm64)?.join(named("dom0", ".cpio.gz"));
    let mut content = tree(debian, &modules, &guest, &tests.join("dom0"))?;
    for tool in &tools.programs {
        let name = tool.file_name().context("a tool has no name")?.to_string_lossy();
        content.copy(&format!("{OUR_PROGRAMS}/{name}"), tool)?;
    }
    content.copy(COUNTING, &tools.counting)?;
    content.copy("boot/test-guest", test_guest)?;
    let written = pack::pack(&content, &file, &home.join(named("dom0", ".contents")))?;
    let mib = std::fs::metadata(&file)?.len() / (1024 * 1024);
    report::note(format!(
        "{} ({mib} MiB, {})",
        workspace.show(&file),
        if written { "new" } else { "up to date" }
    ));
    step.done();
    Ok(file)
}

fn tree(debian: &DebianTree, modules: &KernelModules, guest: &Path, data: &Path) -> Result<Tree> {
    let root = &debian.root;
    let mut tree = Tree::new();
    for folder in ["bin", "lib", "sbin"] {
        tree.link(folder, &format!("usr/{folder}"));
    }
    for folder in EMPTY_FOLDERS {
        tree.folder(folder);
    }
    tree.link("var/run", "../run");
    tree.link("var/lock", "../run/lock");
    tree.link("init", "usr/bin/busybox");

    let mut programs = Vec::new();
    for program in PROGRAMS {
        let source = root.join(program);
        tree.copy(&merged(program), &source)?;
        programs.push(source);
    }
    for action in STORE_ACTIONS {
        tree.link(&format!("usr/bin/xenstore-{action}"), "xenstore");
    }
    for tool in TOOLS {
        let path = format!("{XEN_PROGRAMS}/{tool}");
        let source = root.join(&path);
        tree.copy(&path, &source)?;
        tree.link(&format!("usr/sbin/{tool}"), &format!("/{path}"));
        programs.push(source);
    }
    for (name, source) in libraries::needed_by(root, &programs)? {
        // The dynamic loader has a fixed path of its own, outside the folder of its architecture.
        let folder = if name.starts_with("ld-") { "usr/lib" } else { "usr/lib/aarch64-linux-gnu" };
        tree.copy(&format!("{folder}/{name}"), &source)?;
    }

    tree.copy_all("etc/xen/scripts", &root.join("etc/xen/scripts"))?;
    tree.copy("etc/xen/xl.conf", &root.join("etc/xen/xl.conf"))?;
    tree.copy("etc/xen/oxenstored.conf", &root.join("etc/xen/oxenstored.conf"))?;
    modules.add(&mut tree, "usr/lib", &MODULES)?;
    tree.copy("boot/vmlinuz", &debian.kernel_image())?;
    tree.copy("boot/domu.cpio.gz", guest)?;
    tree.copy_all("", data)?;
    Ok(tree)
}

/// The path of a program in a file system where `/bin` is `/usr/bin`.
fn merged(path: &str) -> String {
    if path.starts_with("usr/") { path.to_owned() } else { format!("usr/{path}") }
}
