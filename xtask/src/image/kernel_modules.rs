//! Picks kernel modules with what they depend on, and writes the `modules.dep` that modprobe reads.

use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::tree::Tree;
use crate::debian::DebianTree;
use crate::process;

/// The ending of a compressed module.
const COMPRESSED: &str = "xz";

/// All modules of one kernel, by name.
pub struct KernelModules {
    release: String,
    files: BTreeMap<String, PathBuf>,
}

impl KernelModules {
    /// Lists the modules of a Debian kernel.
    ///
    /// # Errors
    /// When its folder cannot be read.
    pub fn of(debian: &DebianTree) -> Result<Self> {
        let mut files = BTreeMap::new();
        collect(&debian.kernel_modules(), &mut files)?;
        Ok(Self { release: debian.kernel_release.clone(), files })
    }

    /// Adds modules and their dependencies to a tree, under `lib_folder/modules/RELEASE`.
    ///
    /// # Errors
    /// When the kernel has no such module.
    pub fn add(&self, tree: &mut Tree, lib_folder: &str, names: &[&str]) -> Result<()> {
        let folder = format!("{lib_folder}/modules/{}", self.release);
        let mut dependencies = String::new();
        let mut done = BTreeSet::new();
        let mut to_visit: Vec<String> = names.iter().map(|name| canonical(name)).collect();
        while let Some(name) = to_visit.pop() {
            if !done.insert(name.clone()) {
                continue;
            }
            let file = self.file(&name)?;
            tree.copy(&format!("{folder}/{}", file_name(&name)), &file)?;
            let direct = depends(&file)?;
            // modprobe loads from right to left, so the closure goes deepest last.
            let closure = self.closure(&direct)?;
            let listed: Vec<_> = closure.iter().map(|module| file_name(module)).collect();
            dependencies.push_str(&format!("{}: {}\n", file_name(&name), listed.join(" ")));
            to_visit.extend(direct);
        }
        tree.bytes(&format!("{folder}/modules.dep"), dependencies.into_bytes());
        Ok(())
    }

    fn closure(&self, direct: &[String]) -> Result<Vec<String>> {
        let mut ordered: Vec<String> = Vec::new();
        let mut to_visit: Vec<String> = direct.to_vec();
        while !to_visit.is_empty() {
            let mut next = Vec::new();
            for name in to_visit {
                // A module met again, deeper: its place is after all that need it.
                ordered.retain(|known| *known != name);
                next.extend(depends(&self.file(&name)?)?);
                ordered.push(name);
            }
            to_visit = next;
        }
        Ok(ordered)
    }

    /// The file of a module; one that is compressed is unpacked beside, where it stays.
    fn file(&self, name: &str) -> Result<PathBuf> {
        let Some(file) = self.files.get(name) else {
            bail!("Debian's kernel {} has no module {name}", self.release);
        };
        if file.extension().is_none_or(|extension| extension != COMPRESSED) {
            return Ok(file.clone());
        }
        let plain = file.with_extension("");
        if !plain.exists() {
            process::run(Command::new("xz").args(["--decompress", "--keep"]).arg(file))?;
        }
        Ok(plain)
    }
}

fn collect(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if let Some(name) = path.file_name().and_then(|name| module_name(name.to_str()?)) {
            files.insert(name, path);
        }
    }
    Ok(())
}

/// The module that a file holds, compressed or not.
fn module_name(file: &str) -> Option<String> {
    let plain = file.strip_suffix(COMPRESSED).and_then(|file| file.strip_suffix('.')).unwrap_or(file);
    plain.strip_suffix(".ko").map(canonical)
}

fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

fn file_name(name: &str) -> String {
    format!("{name}.ko")
}

/// The names in a module's own `depends=` string (its `.modinfo` section: NUL-separated `key=value`).
fn depends(file: &Path) -> Result<Vec<String>> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let describe = || format!("{} is not a kernel module", file.display());
    let elf = elf::ElfBytes::<elf::endian::LittleEndian>::minimal_parse(&bytes).with_context(describe)?;
    let section = elf.section_header_by_name(".modinfo").with_context(describe)?.with_context(describe)?;
    let (info, _) = elf.section_data(&section).with_context(describe)?;
    Ok(depends_in(info))
}

fn depends_in(info: &[u8]) -> Vec<String> {
    info.split(|byte| *byte == 0)
        .filter_map(|entry| std::str::from_utf8(entry).ok()?.strip_prefix("depends="))
        .flat_map(|list| list.split(','))
        .filter(|name| !name.is_empty())
        .map(canonical)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{depends_in, module_name};

    #[test]
    fn module_is_known_by_its_file_compressed_or_not() {
        assert_eq!(module_name("xen-gntdev.ko").as_deref(), Some("xen_gntdev"));
        assert_eq!(module_name("xen-gntdev.ko.xz").as_deref(), Some("xen_gntdev"));
        assert_eq!(module_name("modules.dep"), None);
    }

    #[test]
    fn dependencies_are_read_from_module_information() {
        let info = b"license=GPL\0depends=jbd2,xen-privcmd\0name=ext4\0";
        assert_eq!(depends_in(info), ["jbd2", "xen_privcmd"]);
    }

    #[test]
    fn module_without_dependencies_has_none() {
        assert!(depends_in(b"depends=\0name=loop\0").is_empty());
    }
}
