//! Which files of a crate are its source, tests left out.

use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::rust_source;

/// All source files under a folder, but for modules that are declared as tests.
pub fn source_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut tests = BTreeSet::new();
    let mut to_visit = vec![folder.to_owned()];
    while let Some(folder) = to_visit.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                to_visit.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let mut lines = rust_source::lines(&fs::read_to_string(&path)?);
                let modules = modules_of(&path);
                for name in rust_source::without_tests(&mut lines) {
                    tests.insert(modules.join(format!("{name}.rs")));
                    tests.insert(modules.join(name));
                }
                files.push(path);
            }
        }
    }
    files.retain(|file| !file.ancestors().any(|path| tests.contains(path)));
    files.sort();
    Ok(files)
}

/// The folder where the modules that a file declares lie.
fn modules_of(file: &Path) -> PathBuf {
    let folder = file.parent().unwrap_or(file);
    match file.file_stem().and_then(|stem| stem.to_str()) {
        Some("lib" | "main" | "mod") | None => folder.to_owned(),
        Some(stem) => folder.join(stem),
    }
}

#[cfg(test)]
mod tests {
    use super::modules_of;
    use std::path::Path;

    #[test]
    fn child_modules_lie_beside_or_below() {
        assert_eq!(modules_of(Path::new("s/lib.rs")), Path::new("s"));
        assert_eq!(modules_of(Path::new("s/a.rs")), Path::new("s/a"));
    }
}
