//! Which crate may import which: the layers of the project, held against `cargo metadata`.
//!
//! Dev-dependencies are free: a test may bring anything together.

use anyhow::{Result, bail};
use std::collections::BTreeMap;
use std::path::Path;

use super::own_packages;
use super::packages::Package;
use crate::workspace::Workspace;

/// What a group of crates may not import of ours.
enum Limit {
    /// Nothing but crates of these top folders.
    OnlyFolders(&'static [&'static str]),
    /// None of these crates; a name may end in `*`.
    Never(&'static [&'static str]),
    /// No crate of these top folders.
    NeverFolders(&'static [&'static str]),
}

struct Layer {
    /// A crate's name, or the name of a top folder followed by `/`; may end in `*`.
    who: &'static str,
    limit: Limit,
    why: &'static str,
}

const LAYERS: [Layer; 16] = [
    Layer { who: "abi/", limit: Limit::OnlyFolders(&[]), why: "abi holds formats only" },
    Layer { who: "support/", limit: Limit::OnlyFolders(&["support"]), why: "support knows nothing of Xen" },
    Layer {
        who: "hal",
        limit: Limit::OnlyFolders(&["abi", "support"]),
        why: "hal is the contract below all",
    },
    Layer {
        who: "arch_*",
        limit: Limit::Never(&["hv_core", "sched", "arm_vm", "arm_hv", "machine"]),
        why: "a CPU's crate stands below the core",
    },
    Layer { who: "hv_core", limit: Limit::Never(&["arch_*"]), why: "the core names no CPU" },
    Layer {
        who: "hv_spec",
        limit: Limit::OnlyFolders(&["abi"]),
        why: "the specification shares nothing with what is held against it",
    },
    Layer { who: "sched", limit: Limit::Never(&["arch_*"]), why: "the core names no CPU" },
    Layer { who: "arm_vm", limit: Limit::Never(&["arch_*"]), why: "guest models run on the host too" },
    Layer { who: "arm_hv", limit: Limit::Never(&["arch_*"]), why: "the machine crate selects the CPU" },
    Layer {
        who: "hypervisor/",
        limit: Limit::OnlyFolders(&["abi", "support", "hypervisor"]),
        why: "the hypervisor uses no tool",
    },
    Layer {
        who: "toolstack/",
        limit: Limit::OnlyFolders(&["abi", "support", "toolstack"]),
        why: "tools and hypervisor share only abi and support",
    },
    Layer {
        who: "guests/",
        limit: Limit::OnlyFolders(&["abi", "support", "guests"]),
        why: "a guest shares formats with the hypervisor, never code",
    },
    Layer {
        who: "tests/",
        limit: Limit::OnlyFolders(&["abi", "support", "toolstack"]),
        why: "what runs in Dom0 knows the hypervisor by its ABI alone",
    },
    Layer {
        who: "xtask",
        limit: Limit::OnlyFolders(&["abi", "support"]),
        why: "the front door runs what it tests, and links none of it",
    },
    Layer { who: "*", limit: Limit::Never(&["image_*", "xtask"]), why: "programs are not libraries" },
    Layer {
        who: "*",
        limit: Limit::NeverFolders(&["tests", "fuzz"]),
        why: "what tests the others is not imported",
    },
];

/// Checks every crate of the workspace against every layer it is in.
///
/// # Errors
/// All imports that are not allowed.
pub fn check(workspace: &Workspace) -> Result<()> {
    let broken = broken(&own_packages(workspace)?, &workspace.root);
    if !broken.is_empty() {
        bail!("not allowed:\n{}", broken.join("\n"));
    }
    Ok(())
}

fn broken(packages: &[Package], root: &Path) -> Vec<String> {
    let folders: BTreeMap<_, _> = packages
        .iter()
        .map(|package| (package.name.as_str(), package.top_folder(root).unwrap_or("")))
        .collect();
    let mut broken = Vec::new();
    for package in packages {
        let folder = folders[package.name.as_str()];
        let imports =
            package.dependencies.iter().filter(|dependency| dependency.kind.as_deref() != Some("dev"));
        for name in imports.map(|dependency| dependency.name.as_str()) {
            let Some(their_folder) = folders.get(name) else { continue };
            for layer in LAYERS.iter().filter(|layer| is_in(layer.who, &package.name, folder)) {
                let allowed = match layer.limit {
                    Limit::OnlyFolders(allowed) => allowed.contains(their_folder),
                    Limit::Never(names) => !names.iter().any(|pattern| matches(pattern, name)),
                    Limit::NeverFolders(folders) => !folders.contains(their_folder),
                };
                if !allowed {
                    broken.push(format!("{} imports {name}, but {}", package.name, layer.why));
                }
            }
        }
    }
    broken
}

fn is_in(who: &str, name: &str, folder: &str) -> bool {
    match who.strip_suffix('/') {
        Some(wanted) => folder == wanted,
        None => matches(who, name),
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::super::packages::{Dependency, Package};
    use super::broken;
    use std::path::Path;

    fn package(path: &str, imports: &[(&str, Option<&str>)]) -> Package {
        Package {
            name: path.rsplit('/').next().unwrap_or(path).to_owned(),
            manifest_path: Path::new("/r").join(path).join("Cargo.toml"),
            dependencies: imports
                .iter()
                .map(|(name, kind)| Dependency { name: (*name).to_owned(), kind: kind.map(str::to_owned) })
                .collect(),
            targets: Vec::new(),
        }
    }

    fn count(packages: &[Package]) -> usize {
        broken(packages, Path::new("/r")).len()
    }

    #[test]
    fn allowed_layers_pass() {
        let packages = [
            package("abi/xen_abi", &[("zerocopy", None)]),
            package("hypervisor/hal", &[("xen_abi", None)]),
            package("hypervisor/arch_x", &[("hal", None)]),
            package("hypervisor/hv_core", &[("hal", None), ("arch_x", Some("dev"))]),
        ];
        assert_eq!(count(&packages), 0);
    }

    #[test]
    fn core_naming_a_cpu_is_found() {
        let packages =
            [package("hypervisor/arch_x", &[]), package("hypervisor/hv_core", &[("arch_x", None)])];
        assert_eq!(count(&packages), 1);
    }

    #[test]
    fn abi_importing_ours_is_found() {
        let packages = [package("abi/xen_abi", &[("bits", None)]), package("support/bits", &[])];
        assert_eq!(count(&packages), 1);
    }

    #[test]
    fn build_dependency_counts() {
        let packages =
            [package("hypervisor/image_x", &[]), package("toolstack/xl", &[("image_x", Some("build"))])];
        // Both the tools' folder rule and the rule about programs.
        assert_eq!(count(&packages), 2);
    }

    #[test]
    fn guest_and_front_door_with_the_hypervisors_code_are_found() {
        let packages = [
            package("hypervisor/hal", &[]),
            package("guests/kit", &[]),
            package("guests/test", &[("kit", None), ("hal", None)]),
            package("xtask", &[("hal", None)]),
        ];
        assert_eq!(count(&packages), 2);
    }

    #[test]
    fn test_program_knows_the_tools_alone_and_is_imported_by_none() {
        let packages = [
            package("hypervisor/hal", &[]),
            package("toolstack/client", &[]),
            package("tests/counts", &[("client", None), ("hal", None)]),
            package("fuzz", &[("client", None), ("counts", None)]),
        ];
        assert_eq!(count(&packages), 2);
    }
}
