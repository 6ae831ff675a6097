//! Where things lie in the repository.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::Arch;

/// The repository's folders. Everything that `./x` writes lies in one of them.
pub struct Workspace {
    /// The repository's root.
    pub root: PathBuf,
    /// Downloads and what is unpacked from them; survives `./x clean`.
    pub cache: PathBuf,
    /// Compiler output.
    pub target: PathBuf,
    /// Results: what a user boots.
    pub dist: PathBuf,
}

impl Workspace {
    /// The workspace this program was built from.
    ///
    /// # Errors
    /// When the source folder has been moved or removed since.
    pub fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask has no parent folder")?
            .canonicalize()
            .context("the repository has moved; run ./x from its root")?;
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
        Ok(Self { cache: root.join(".cache"), dist: root.join("dist"), target, root })
    }

    /// The folder of results for one CPU; created when absent.
    pub fn dist_for(&self, arch: Arch) -> Result<PathBuf> {
        make_dir(self.dist.join(arch.to_string()))
    }

    /// The folder of logs; created when absent.
    pub fn logs(&self) -> Result<PathBuf> {
        make_dir(self.target.join("logs"))
    }

    /// A path relative to the root where possible, for messages.
    pub fn show(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }
}

/// Creates a folder with its parents and hands its path back.
pub fn make_dir(path: PathBuf) -> Result<PathBuf> {
    fs::create_dir_all(&path).with_context(|| format!("cannot create the folder {}", path.display()))?;
    Ok(path)
}
